//! The road over ssh to a real host, for each kind of account.

use super::world::{pretender, road};
use crate::transport_suite::transport_conformance;
use haus_apply::host::{Host as _, HostError};
use haus_apply::incus::{Incus, Instance};
use haus_apply::remote::{RemoteHost, Session};
use haus_apply::transport::{Purpose, RoadSettings, Transport as _};
use haus_model::host::Elevation;
use haus_model::host_code::HostCode;
use haus_testkit::{LabHost, Login, lab_hosts, lab_incus_host};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

fn code(answer: Result<RemoteHost, HostError>) -> (HostCode, String) {
    match answer {
        Err(HostError::Road(fault)) => (fault.code, fault.to_string()),
        other => panic!("{other:?}"),
    }
}

fn shell(host: &LabHost, line: &str) -> String {
    let output = host.exec_shell(line).expect("runs");
    assert!(output.is_success(), "{line}: {output:?}");
    output.stdout.trim().to_owned()
}

#[test]
fn ssh_to_a_real_host_is_a_road_for_every_account() {
    let Some(hosts) = lab_hosts("ssh_to_a_real_host_is_a_road_for_every_account", 1) else { return };
    for account in Login::ALL {
        // The suite looks for files that the process on the host makes, so the folder is one that both sides
        // see.
        let place = format!("/var/tmp/suite-{}", account.account());
        shell(&hosts[0], &format!("install -d -m 0777 {place}"));
        let outside = hosts[0].root().join(place.trim_start_matches('/'));
        let folder = std::path::Path::new(&place);
        fs::read_dir(outside).expect("the host's disk is seen from outside");
        transport_conformance(&road(&hosts[0], account), folder, &|path| {
            let inside = path.strip_prefix("/").expect("it is absolute");
            hosts[0].root().join(inside).exists()
        });
    }
}

#[test]
fn the_program_is_put_by_root_by_sudo_and_by_nobody_else() {
    let Some(hosts) = lab_hosts("the_program_is_put_by_root_by_sudo_and_by_nobody_else", 1) else { return };
    let (host, session) = (&hosts[0], pretender());
    let (found, text) = code(RemoteHost::open(&road(host, Login::Plain), &session));
    assert!(found == HostCode::NoSudo && text.contains("password is required"), "{found:?} {text}");

    let without = Session { elevation: Elevation::None, ..session.clone() };
    RemoteHost::open(&road(host, Login::Plain), &without).expect("may look").close();
    assert_eq!(
        shell(host, "ls ~plain/.local/state/haus-remote/bin | wc -l; ls /var/lib | grep -c haus; true"),
        "1\n0"
    );

    let sudo = RemoteHost::open(&road(host, Login::Deploy), &session).expect("sudo works");
    assert_eq!(sudo.welcome().program, "script");
    sudo.close();
    let seen = shell(host, "stat -c '%U %a' /var/lib/haus-remote /var/lib/haus-remote/bin/haus-remote-*");
    assert_eq!(seen, "root 700\nroot 700");
    RemoteHost::open(&road(host, Login::Root), &session).expect("root works").close();
    assert_eq!(shell(host, "ls /var/lib/haus-remote/bin | wc -l"), "1");
}

#[test]
fn a_program_that_a_unit_still_names_stays() {
    let Some(hosts) = lab_hosts("a_program_that_a_unit_still_names_stays", 1) else { return };
    let host = &hosts[0];
    let old = "haus-remote-0000000000000000000000000000000000000000000000000000000000000001";
    let line = format!(
        "mkdir -p /var/lib/haus-remote/bin; cd /var/lib/haus-remote/bin; for n in 1 2 3 4 5; do \
         touch -d @$n haus-remote-000000000000000000000000000000000000000000000000000000000000000$n; done; \
         printf '[Service]\\nExecStart=/var/lib/haus-remote/bin/{old} revert x y\\n' > /etc/systemd/system/haus-revert-x.service"
    );
    shell(host, &line);
    RemoteHost::open(&road(host, Login::Root), &pretender()).expect("opens").close();
    let left = shell(host, "ls /var/lib/haus-remote/bin | cut -c 76- | tr '\\n' ' '");
    // The latest two, the new one, and the one of the unit.
    assert!(
        left.starts_with("1 4 5 ") || left.contains('1') && left.split_whitespace().count() == 4,
        "{left}"
    );
}

#[test]
fn a_full_disk_and_a_cut_cable_are_one_finding_each() {
    let Some(hosts) = lab_hosts("a_full_disk_and_a_cut_cable_are_one_finding_each", 1) else { return };
    let (host, session) = (&hosts[0], pretender());
    host.fill_disk().expect("fills");
    let (found, text) = code(RemoteHost::open(&road(host, Login::Root), &session));
    host.empty_disk().expect("empties");
    assert!(found == HostCode::CopyFailed && text.contains("No space left"), "{found:?} {text}");
    assert_eq!(shell(host, "ls -A /var/lib/haus-remote/bin 2>/dev/null | wc -l"), "0", "nothing half done");

    let mut open = RemoteHost::open(&road(host, Login::Root), &session).expect("opens");
    host.cut_link().expect("cuts");
    let (found, text) = code(RemoteHost::open(&road(host, Login::Root), &session));
    assert!(found == HostCode::Unreachable && text.contains("timed out"), "{found:?} {text}");
    // The session that is open notices by itself, long before its own patience ends.
    let lost = open.history(1).expect_err("nobody answers");
    host.mend_link().expect("mends");
    let HostError::Road(fault) = lost else { panic!("{lost:?}") };
    assert_eq!(fault.code, HostCode::LinkLost, "{fault}");
}

#[test]
fn any_login_shell_will_do() {
    let Some(hosts) = lab_hosts("any_login_shell_will_do", 1) else { return };
    let (host, session) = (&hosts[0], pretender());
    shell(host, "DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends tcsh zsh fish");
    for program in ["/bin/sh", "/bin/tcsh", "/usr/bin/zsh", "/usr/bin/fish"] {
        shell(host, &format!("chsh -s {program} deploy; rm -rf /var/lib/haus-remote"));
        let twice = || RemoteHost::open(&road(host, Login::Deploy), &session);
        twice().unwrap_or_else(|error| panic!("{program}: {error}")).close();
        twice().unwrap_or_else(|error| panic!("{program}: {error}")).close();
        let argument = "it's $HOME \"a\"; `b` *".to_owned();
        let argv = ["printf", "%s", &argument].map(str::to_owned);
        let mut channel = road(host, Login::Deploy).start(&argv, Purpose::Proof).expect("starts");
        let (mut said, soon) = (String::new(), Instant::now() + Duration::from_secs(20));
        channel.until(soon).read_to_string(&mut said).expect("reads");
        assert_eq!(said, argument, "{program}");
    }
    shell(host, "chsh -s /usr/sbin/nologin deploy");
    assert_eq!(code(RemoteHost::open(&road(host, Login::Deploy), &session)).0, HostCode::LoginRefused);
}

#[test]
fn incus_exec_is_a_road() {
    let Some(host) = lab_incus_host("incus_exec_is_a_road") else { return };
    // The lab has an Incus of its own, found by its environment, which a plan cannot say.
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("incus");
    let script = format!("#!/bin/sh\nINCUS_DIR={} exec incus \"$@\"\n", host.incus_dir().display());
    fs::write(&program, script).expect("writes");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("may be run");
    let settings = RoadSettings { incus: program, ..RoadSettings::default() };
    let instance = |name: &str| Instance { name: name.to_owned(), project: None };
    let road = Incus::new(instance(&host.name), settings.clone());
    transport_conformance(&road, std::path::Path::new("/var/tmp"), &|path| {
        host.exec(&["test", "-e", &path.display().to_string()]).expect("runs").is_success()
    });
    let session = RemoteHost::open(&road, &pretender()).expect("opens");
    assert_eq!(session.welcome().program, "script");
    session.close();

    let nobody = Incus::new(instance("nobody"), settings);
    let (found, text) = code(RemoteHost::open(&nobody, &pretender()));
    assert!(found == HostCode::Unreachable && text.contains("not found"), "{found:?} {text}");
}
