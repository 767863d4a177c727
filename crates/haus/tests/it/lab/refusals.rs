//! What is wrong with a host or the way to it: one clear finding each, and the host stays as it was.

use super::desk::{Begin, Desk, assert_same, fingerprint, shell};
use super::shop::plan_with;
use haus_testkit::wait_until;
use std::time::{Duration, Instant};

const APPLY: [&str; 2] = ["apply", "--yes"];

/// A desk whose host is as it is, and must be the same afterwards.
struct Untouched {
    desk: Desk,
    before: String,
}

impl Untouched {
    #[track_caller]
    fn new(test: &str) -> Option<Untouched> {
        let desk = Desk::new(test, 1, Begin::ShopToLookAt)?;
        let before = fingerprint(desk.host());
        Some(Untouched { desk, before })
    }

    /// The command ends with this code and exactly one finding, which says each of these; the host is as it
    /// was.
    #[track_caller]
    fn check(&self, arguments: &[&str], code: i32, finding: &str, words: &[&str]) -> String {
        let text = self.desk.says(arguments, code, words);
        assert_one_finding(&text, finding);
        assert_same(self.desk.host(), &self.before);
        text
    }
}

#[track_caller]
fn assert_one_finding(text: &str, finding: &str) {
    let found: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("error[")).collect();
    assert!(found.len() == 1 && found[0].contains(finding), "not {finding} alone: {text}");
    assert!(text.contains("help: "), "{text}");
}

#[test]
fn another_host_key_than_the_known_one() {
    let Some(host) = Untouched::new("another_host_key_than_the_known_one") else { return };
    let desk = &host.desk;
    let known = std::fs::read_to_string(desk.host().known_hosts()).expect("reads");
    // Every host shows the key of the last one in the eyes of whoever believes this file.
    let key = |line: &str| line.split_once(' ').map(|(_, key)| key.to_owned()).unwrap_or_default();
    let wrong = desk.path("wrong.pub");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(wrong.with_extension(""))
        .status();
    assert!(made.expect("runs").success());
    let other = std::fs::read_to_string(&wrong).expect("reads");
    let other = other.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let lines = known.lines().map(|line| line.replace(&key(line), &other) + "\n");
    desk.write("wrong_hosts", &lines.collect::<String>());
    desk.write_ssh_config("wrong_config", &desk.path("wrong_hosts"));
    let config = desk.path("wrong_config").display().to_string();
    let offending = desk.path("wrong_hosts").display().to_string();
    host.check(&["apply", "--yes", "--ssh-config", &config], 1, "HH0201", &["another key", &offending]);
}

#[test]
fn a_host_key_that_nobody_has_vouched_for_is_accepted_by_its_fingerprint_alone() {
    let test = "a_host_key_that_nobody_has_vouched_for_is_accepted_by_its_fingerprint_alone";
    let Some(host) = Untouched::new(test) else { return };
    let desk = &host.desk;
    desk.write("known", "");
    desk.write_ssh_config("config", &desk.path("known"));
    let config = desk.path("config").display().to_string();
    let fingerprint = desk.shell("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2");
    host.check(&["apply", "--yes", "--ssh-config", &config], 1, "HH0202", &[&fingerprint]);
    let with = |fingerprint: &str, code: i32| {
        desk.says(&["plan", "--ssh-config", &config, "--accept-host-key", fingerprint], code, &[])
    };
    let other = format!("SHA256:{}", "A".repeat(43));
    assert!(with(&other, 1).contains("HH0202"));
    assert_eq!(std::fs::read_to_string(desk.path("known")).expect("reads"), "");
    assert!(with(&fingerprint, 0).contains("nothing to change"));
    desk.done(&["plan", "--ssh-config", &config]);
}

#[test]
fn a_jump_host_is_gone_through_and_must_be_known_as_well() {
    let test = "a_jump_host_is_gone_through_and_must_be_known_as_well";
    let Some(desk) = Desk::new(test, 2, Begin::Clean) else { return };
    desk.host().restore(haus_testkit::CLEAN).expect("restores");
    let (jump, behind) = (desk.host(), &desk.hosts()[1]);
    // Only the jump host knows this name, so no other way leads there.
    desk.shell(&format!("echo '{} behind' >> /etc/hosts", behind.address));
    desk.plan("haus: 1\nhouse: inner\nhosts:\n  web: { connect: ssh://root@behind, files: { /etc/a: { text: a } } }\n");
    // The configuration of somebody whom ssh asks.
    desk.write_ssh_config("lab_config", &desk.path("known"));
    let lab = std::fs::read_to_string(desk.path("lab_config")).expect("reads");
    let (jump, alias) = (&jump.name, &behind.name);
    desk.write(
        "config",
        &format!(
            "Host *\n  BatchMode no\n  StrictHostKeyChecking ask\n\n\
             Host behind\n  HostKeyAlias {alias}\n  ProxyJump {jump}\n\n{lab}"
        ),
    );
    let config = desk.path("config").display().to_string();
    let apply = ["apply", "--yes", "--ssh-config", &config];
    let known = std::fs::read_to_string(desk.host().known_hosts()).expect("reads");
    let others = known.lines().filter(|line| !line.starts_with(&format!("{jump},")));
    desk.write("known", &others.map(|line| format!("{line}\n")).collect::<String>());
    let text = desk.says(&apply, 1, &["a jump host on the way there"]);
    assert_one_finding(&text, "HH0202");
    desk.write("known", &known);
    desk.done(&apply);
    assert_eq!(shell(behind, "cat /etc/a"), "a");
    let text = desk.done(&apply);
    assert!(text.contains("nothing to change"), "{text}");
}

#[test]
fn an_account_without_sudo() {
    let Some(host) = Untouched::new("an_account_without_sudo") else { return };
    plan_with(&host.desk, &[("root@", "plain@")]);
    host.check(&APPLY, 1, "HH0205", &["sudo: a password is required"]);
    // Without sudo an account may look, and the plan says what it may not.
    plan_with(&host.desk, &[("root@", "plain@"), ("os: debian-12", "elevation: none"), ("first", "other")]);
    let text = host.desk.says(&APPLY, 1, &["HH0113", "plain is not root there"]);
    assert!(!text.contains("HH0105"), "our own service is no stranger: {text}");
}

#[test]
fn a_lock_file_that_cannot_be_read() {
    let Some(host) = Untouched::new("a_lock_file_that_cannot_be_read") else { return };
    plan_with(&host.desk, &[("first", "other")]);
    let lock = "/var/lib/haus-remote/shop/lock";
    for damage in ["echo garbage >", "rm -f", "mkdir"] {
        host.desk.shell(&format!("test -d {lock} && rmdir {lock}; {damage} {lock}"));
        if damage != "rm -f" {
            host.check(&APPLY, 3, "HH0209", &[lock, "nothing was changed"]);
        }
    }
    host.desk.shell(&format!("rmdir {lock}"));
}

#[test]
fn somebody_else_changes_the_host() {
    let Some(desk) = Desk::new("somebody_else_changes_the_host", 1, Begin::Shop) else { return };
    // It stops at the gate until the test opens it.
    let steps = "steps: { wait: { run: \"sh -c 'mkfifo /run/gate; read line < /run/gate'\" } }";
    plan_with(&desk, &[("directories:", &format!("{steps}\n    directories:"))]);
    let first = desk.start(&["apply", "--yes", "--only", "command:wait", "--reason", "mend the roof"]);
    wait_until("the first apply to wait", Duration::from_secs(30), || {
        desk.host().exec(&["test", "-p", "/run/gate"]).is_ok_and(|output| output.is_success())
    });
    plan_with(&desk, &[("first", "other")]);
    let before = fingerprint(desk.host());
    let host = Untouched { desk, before };
    host.check(&APPLY, 3, "HH0210", &["anna@", "(mend the roof)", "nothing was changed"]);
    host.desk.shell("echo > /run/gate");
    let ended = first.end(Duration::from_secs(30));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    host.desk.done(&APPLY);
}

#[test]
fn a_port_that_somebody_else_has() {
    let Some(host) = Untouched::new("a_port_that_somebody_else_has") else { return };
    host.desk.shell("systemd-run --quiet --unit=squatter python3 -m http.server 8200 --bind 127.0.0.1");
    wait_until("the squatter to listen", Duration::from_secs(20), || {
        host.desk.shell("ss -Hltn sport = :8200 | wc -l") == "1"
    });
    plan_with(&host.desk, &[("http: 8100", "http: 8200")]);
    host.check(&APPLY, 1, "HH0105", &["python3 (squatter.service) listens on port 8200"]);
    host.desk.shell("systemctl stop squatter");
}

#[test]
fn a_tag_that_is_not_in_the_repository() {
    let Some(host) = Untouched::new("a_tag_that_is_not_in_the_repository") else { return };
    plan_with(&host.desk, &[("ref: v1", "ref: v9")]);
    host.check(&APPLY, 1, "HH0104", &["file:///opt/git/shop.git has no tag or branch v9"]);
}

#[test]
fn data_where_a_link_belongs() {
    let Some(host) = Untouched::new("data_where_a_link_belongs") else { return };
    host.desk.shell("mkdir /usr/local/pictures; echo a > /usr/local/pictures/a.jpg");
    let host = Untouched { before: fingerprint(host.desk.host()), ..host };
    plan_with(
        &host.desk,
        &[("directories:", "links: { /usr/local/pictures: /srv/other }\n    directories:")],
    );
    host.check(&APPLY, 1, "HH0101", &["/usr/local/pictures", "where a link to /srv/other belongs"]);
    host.desk.shell("rm -r /usr/local/pictures");
}

#[test]
fn another_system_and_another_architecture() {
    let Some(host) = Untouched::new("another_system_and_another_architecture") else { return };
    plan_with(&host.desk, &[("os: debian-12", "os: debian-11")]);
    host.check(&APPLY, 1, "HH0106", &["it runs debian-12, the plan says debian-11"]);
    plan_with(&host.desk, &[("os: debian-12", "arch: arm64")]);
    host.check(&APPLY, 1, "HH0107", &["the plan says arm64"]);
}

/// The unit test of the planner (`clock`) sets other times; a container has no clock of its own, so here it
/// is `haus` that lives in another time.
#[test]
fn a_clock_that_is_wrong() {
    let Some(host) = Untouched::new("a_clock_that_is_wrong") else { return };
    let Some(faketime) = faketime() else { return };
    plan_with(&host.desk, &[("first", "other")]);
    let mut command = host.desk.command(&APPLY);
    command.env("LD_PRELOAD", faketime).env("FAKETIME", "-1h").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let output = command.output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_one_finding(&text, "HH0109");
    assert_same(host.desk.host(), &host.before);
}

/// Where Debian puts libfaketime.
fn faketime() -> Option<String> {
    let path = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    if std::path::Path::new(&path).exists() {
        return Some(path);
    }
    haus_testkit::loud_skip_mandatory(
        "a_clock_that_is_wrong",
        "libfaketime is not installed (Debian: libfaketime)",
    );
    None
}

#[test]
fn no_space_left() {
    let Some(host) = Untouched::new("no_space_left") else { return };
    let desk = &host.desk;
    plan_with(desk, &[("first", "other"), ("ref: v1", "ref: v2")]);
    let kept = desk.path("kept").display().to_string();
    desk.says(&["plan", "-o", &kept], 1, &[]);
    desk.host().fill_disk().expect("fills");
    host.check(&APPLY, 1, "HH0108", &["/ has 0 MiB free"]);
    // A plan that was made before the disk was full.
    host.check(&["apply", "--yes", &kept], 3, "HH0108", &["nothing was changed"]);
    desk.host().empty_disk().expect("empties");
    desk.done(&["history"]);
}

#[test]
fn no_space_left_for_our_own_program() {
    let Some(desk) = Desk::new("no_space_left_for_our_own_program", 1, Begin::Clean) else { return };
    desk.host().restore(haus_testkit::CLEAN).expect("restores");
    desk.plan(
        "haus: 1\nhouse: shop\nhosts:\n  web: { connect: ssh://root@@0@, files: { /etc/a: { text: a } } }\n",
    );
    let before = fingerprint(desk.host());
    desk.host().fill_disk().expect("fills");
    let text = desk.says(&APPLY, 1, &[]);
    // A host that gives some of its own space back may take the program, and is full for the rest of the plan
    // then.
    let there = desk.shell("find /var/lib/haus-remote -type f 2>/dev/null | wc -l");
    match there.as_str() {
        "0" => assert_one_finding(&text, "HH0208"),
        _ => assert_one_finding(&text, "HH0108"),
    }
    desk.host().empty_disk().expect("empties");
    assert_same(desk.host(), &before);
    desk.done(&APPLY);
}

#[test]
fn a_package_mirror_that_cannot_be_reached() {
    let Some(desk) = Desk::new("a_package_mirror_that_cannot_be_reached", 1, Begin::Shop) else { return };
    let settings = "Acquire::Retries \"0\";\nAcquire::http::Proxy \"http://127.0.0.1:9\";\nAcquire::https::Proxy \"http://127.0.0.1:9\";\n";
    desk.shell(&format!("printf '%s' '{settings}' > /etc/apt/apt.conf.d/99dead"));
    plan_with(&desk, &[("python3]", "python3, tree]"), ("first", "other")]);
    let before = fingerprint(desk.host());
    let text = desk.says(&APPLY, 4, &["a package mirror does not answer", "failed and taken back"]);
    assert_one_finding(&text, "HH0212");
    assert_same(desk.host(), &before);
    // Sources that lead nowhere and were never read: nobody knows the package.
    desk.shell(
        "rm -rf /etc/apt/sources.list.d/* /etc/apt/sources.list /var/lib/apt/lists/*; \
                echo 'deb http://127.0.0.1:9/debian bookworm main' > /etc/apt/sources.list",
    );
    let before = fingerprint(desk.host());
    let text = desk.says(&APPLY, 4, &["a package mirror does not answer"]);
    assert_one_finding(&text, "HH0212");
    assert_same(desk.host(), &before);
}

#[test]
fn a_host_that_says_nothing() {
    let Some(host) = Untouched::new("a_host_that_says_nothing") else { return };
    let desk = &host.desk;
    let sshd = "$(systemctl show --property MainPID --value ssh.service)";
    desk.shell(&format!("kill -STOP {sshd}"));
    let begun = Instant::now();
    host.check(&APPLY, 1, "HH0206", &["timed out"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    desk.shell(&format!("kill -CONT {sshd}"));
    desk.host().cut_link().expect("cuts");
    let begun = Instant::now();
    host.check(&APPLY, 1, "HH0203", &["timed out"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    desk.host().mend_link().expect("mends");
}
