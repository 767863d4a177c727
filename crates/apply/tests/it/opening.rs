//! From a road to a session: the program is found, put there, replaced; and a host that lies, floods or falls
//! silent gains nothing. The program here is a script, so that it can misbehave as no real one would.

use crate::private::Private;
use haus_acts::wire::Progress;
use haus_apply::host::{Host, HostError};
use haus_apply::patience::Patience;
use haus_apply::programs::Programs;
use haus_apply::remote::{RemoteHost, Session};
use haus_apply::transport::Purpose;
use haus_model::host::{Architecture, Elevation};
use haus_model::host_code::HostCode;
use haus_testkit::{SmallDisk, is_root, loud_skip, wait_until};
use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What the program says first.
const MAGIC: &str = "printf \"\\000haus-remote\\n\"; ";

/// A message, framed, as a command of shell.
fn says(message: &str) -> String {
    let length = u32::try_from(message.len() + 1).expect("short");
    let [a, b, c, d] = length.to_be_bytes();
    let escaped = message.replace('\\', "\\\\").replace('%', "%%");
    format!("printf '\\{a:03o}\\{b:03o}\\{c:03o}\\{d:03o}J{escaped}'; ")
}

fn welcome() -> String {
    says(r#"{"welcome":{"version":1,"program":"script","machine":"x86_64","is_root":true}}"#)
}

fn greets() -> String {
    format!("{MAGIC}{}", welcome())
}

fn session(script: &str) -> Session {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("program");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writes");
    let both = [Architecture::Amd64, Architecture::Arm64].map(|one| (one, path.as_path()));
    Session {
        programs: Programs::read(both).expect("reads"),
        elevation: Elevation::Auto,
        house: "sample".parse().expect("a name"),
        purpose: Purpose::Work,
        patience: Patience {
            answer: Duration::from_secs(2),
            observe: Duration::from_secs(2),
            ..Patience::default()
        },
    }
}

/// Opens a session with such a program and observes, and says what stood in the way.
fn fails(private: &Private, session: &Session) -> (HostCode, String) {
    let answer = RemoteHost::open(private, session).and_then(|mut host| host.observe(&[]));
    match answer {
        Err(HostError::Road(fault)) => (fault.code, format!("{fault}; {}", fault.remedy)),
        Err(HostError::Refused(refusal)) => (refusal.code, refusal.to_string()),
        other => panic!("{other:?}"),
    }
}

fn check(script: &str, code: HostCode, word: &str) {
    let (found, text) = fails(&Private::new(), &session(script));
    assert!(found == code && text.contains(word), "{found:?}: {text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn a_cold_host_needs_two_connections_and_a_warm_one_one() {
    let (private, session) = (Private::new(), session(&format!("{}cat > /dev/null", greets())));
    for connections in [2, 3] {
        let host = RemoteHost::open(&private, &session).expect("opens");
        assert_eq!(host.welcome().program, "script");
        host.close();
        assert_eq!(private.started.load(Ordering::SeqCst), connections);
    }
    let files: Vec<_> =
        fs::read_dir(private.programs()).expect("is there").map(|file| file.expect("reads")).collect();
    assert_eq!(files.len(), 1, "nothing else is left: {files:?}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(files[0].metadata().expect("reads").permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_program_that_is_not_intact_is_replaced() {
    let (private, session) = (Private::new(), session(&format!("{}cat > /dev/null", greets())));
    RemoteHost::open(&private, &session).expect("opens").close();
    let file =
        fs::read_dir(private.programs()).expect("is there").next().expect("one").expect("reads").path();
    fs::write(&file, "#!/bin/sh\necho owned\n").expect("writes");
    RemoteHost::open(&private, &session).expect("opens").close();
    assert!(fs::read_to_string(file).expect("reads").contains("haus-remote"));
}

#[test]
fn older_programs_go_and_the_latest_stay() {
    let private = Private::new();
    for number in 0..6 {
        let session = session(&format!("# {number}\n{}cat > /dev/null", greets()));
        RemoteHost::open(&private, &session).expect("opens").close();
    }
    assert_eq!(fs::read_dir(private.programs()).expect("is there").count(), 3);
}

#[test]
fn many_sessions_put_the_same_program_at_once() {
    let (private, session) = (Private::new(), session(&format!("{}cat > /dev/null", greets())));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| RemoteHost::open(&private, &session).expect("opens").close());
        }
    });
    assert_eq!(fs::read_dir(private.programs()).expect("is there").count(), 1);
}

#[test]
fn what_a_shell_says_first_is_skipped() {
    let mut private = Private::new();
    let noise = "echo welcome; printf 'no line end '; exec \"$@\"";
    private.through = ["sh", "-c", noise, "noise"].map(str::to_owned).to_vec();
    let session = session(&format!("{}cat > /dev/null", greets()));
    RemoteHost::open(&private, &session).expect("opens").close();
}

#[test]
fn without_a_program_for_the_machine_it_says_which_there_are() {
    let none = Session { programs: Programs::default(), ..session("") };
    let (code, text) = fails(&Private::new(), &none);
    assert_eq!(code, HostCode::NoProgram);
    assert!(text.contains(std::env::consts::ARCH) && text.contains("none at all"), "{text}");
}

#[test]
fn an_account_without_sudo_says_so_and_may_still_look() {
    if !is_root() {
        return loud_skip(
            "an_account_without_sudo_says_so_and_may_still_look",
            "only root can be somebody else",
        );
    }
    let private = Private::as_nobody();
    private.put_in_path("sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n");
    let session = session(&format!("{}cat > /dev/null", greets()));
    let (code, text) = fails(&private, &session);
    assert_eq!(code, HostCode::NoSudo, "{text}");
    assert!(text.contains("a password is required") && text.contains("NOPASSWD"), "{text}");

    let without = Session { elevation: Elevation::None, ..session };
    RemoteHost::open(&private, &without).expect("opens").close();
    assert_eq!(fs::read_dir(private.programs()).expect("is there").count(), 1);

    // With a sudo that works it is root's place again.
    private.put_in_path("sudo", "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"\n");
    RemoteHost::open(&private, &session_again(&without)).expect("opens").close();
}

fn session_again(session: &Session) -> Session {
    Session { elevation: Elevation::Auto, ..session.clone() }
}

#[test]
fn a_host_without_space_says_so_and_nothing_is_left() {
    let test = "a_host_without_space_says_so_and_nothing_is_left";
    let Some(disk) = SmallDisk::mount(test, 64) else { return };
    let private = Private::new();
    std::os::unix::fs::symlink(disk.path(), private.path().join("haus-remote")).expect("links");
    let big = session(&format!("# {}\n", "x".repeat(300 << 10)));
    let (code, text) = fails(&private, &big);
    assert_eq!(code, HostCode::CopyFailed);
    assert!(text.contains("No space left"), "{text}");
    let bin = disk.path().join("bin");
    assert_eq!(fs::read_dir(bin).map_or(0, Iterator::count), 0, "nothing is left");
}

#[test]
fn a_silent_host_is_given_up() {
    check("exec sleep 300", HostCode::Hangs, "no answer for 2 s");
    check(&format!("{MAGIC}exec sleep 300"), HostCode::Hangs, "greet the program");
    check(&format!("{}exec sleep 300", greets()), HostCode::Hangs, "observe over private");
}

#[test]
fn a_host_that_goes_away_is_a_lost_link_with_its_last_words() {
    check(
        &format!("{}echo killed by somebody >&2; exit 9", greets()),
        HostCode::LinkLost,
        "killed by somebody",
    );
    check(&format!("{}kill -9 $$", greets()), HostCode::LinkLost, "ended in the middle");
}

#[test]
fn another_program_or_another_version_is_a_fault_of_protocol() {
    check("echo I am something else", HostCode::Protocol, "I am something else");
    check("exit 3", HostCode::Protocol, "something else answers");
    let later = says(r#"{"welcome":{"version":9,"program":"9.0","machine":"x86_64","is_root":true}}"#);
    check(&format!("{MAGIC}{later}"), HostCode::Protocol, "version 9 of the protocol");
    check(&format!("{}{}", greets(), says("\"begun\"")), HostCode::Protocol, "another question");
    check(&format!("{}{}", greets(), says("{\"dance\":1}")), HostCode::Protocol, "cannot be read");
}

#[test]
fn a_hostile_host_costs_no_memory_and_no_time() {
    check(&format!("{}printf '\\377\\377\\377\\377J'; exec cat", greets()), HostCode::Protocol, "too long");
    check(
        &format!("{}printf '\\000\\000\\000\\010Q1234567'; exec cat", greets()),
        HostCode::Protocol,
        "unknown kind",
    );
    check("exec yes welcome", HostCode::Protocol, "something else answers");
    check(&format!("{}yes error >&2 & exec sleep 300", greets()), HostCode::Hangs, "no answer");
    let step = says(r#"{"progress":{"step":"x"}}"#);
    check(&format!("{}while :; do {step} done", greets()), HostCode::Protocol, "without end");
}

#[test]
fn escape_sequences_of_a_host_are_made_visible() {
    let (private, script) = (Private::new(), says(r#"{"progress":{"line":"\u001b[2Jclean"}}"#));
    let refusal = says(
        r#"{"refused":{"code":"HH0213","what":"w\u001b[31m","why":"y","remedy":"r","evidence":[],"resource":null}}"#,
    );
    let session = session(&format!("{}{script}{refusal}exec cat > /dev/null", greets()));
    let mut host = RemoteHost::open(&private, &session).expect("opens");
    let mut told = Vec::new();
    let request = haus_acts::wire::Request::History { last: 1 };
    let answer = host.ask(&request, &mut |step| told.push(step));
    assert!(matches!(answer, Err(HostError::Refused(_))), "{answer:?}");
    assert_eq!(told, [Progress::Line("\\u{1b}[2Jclean".to_owned())]);
}

#[test]
fn a_session_that_is_dropped_leaves_no_process() {
    let private = Private::new();
    let mark = private.path().join("gone");
    let session = session(&format!("{}cat > /dev/null; echo > {}", greets(), mark.display()));
    let host = RemoteHost::open(&private, &session).expect("opens");
    let process = host.process().expect("it lives");
    drop(host);
    wait_until("the program has seen the end", Duration::from_secs(10), || mark.exists());
    haus_testkit::wait_for_end(process, Duration::from_secs(10));
}
