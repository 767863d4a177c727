//! Kinds that need a whole machine: packages, holds, accounts, kernel parameters, units.

use super::machine::{Machine, state_of};
use crate::talk::{Fault, changes};
use haus_acts::wire::{Ending, Recovered};
use haus_model::Fingerprint;
use haus_model::host::Access;
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::resource::{
    Content, FileSpec, GroupSpec, HealthQuestion, HealthSpec, HoldsSpec, KeysSpec, OnChange, PackagesSpec,
    Spec, SysctlSpec, UnitSpec, UserSpec,
};
use std::time::Instant;

pub(super) fn file(path: &str, text: &str) -> Spec {
    let content = Content::Text(text.to_owned());
    Spec::File(FileSpec { path: path.into(), content, access: Access::root(0o644), check: None })
}

pub(super) fn packages(names: &[&str]) -> Spec {
    Spec::Packages(PackagesSpec { names: names.iter().map(|name| (*name).to_owned()).collect() })
}

fn account(name: &str) -> [Spec; 2] {
    let user = UserSpec {
        name: name.to_owned(),
        uid: None,
        system: true,
        group: name.to_owned(),
        groups: ["adm".to_owned()].into(),
        leaves: [].into(),
        home: format!("/home/{name}").into(),
        make_home: true,
        shell: "/bin/sh".into(),
    };
    [Spec::Group(GroupSpec { name: name.to_owned(), system: true }), Spec::User(user)]
}

/// A service that listens as long as its settings are good.
fn service(program: &str) -> [Spec; 3] {
    let text = format!(
        "[Unit]\nDescription=a test\n[Service]\nUser=api\nExecStart=/bin/sh -c '{program}'\n[Install]\nWantedBy=multi-user.target\n"
    );
    let inputs = Fingerprint::of(text.as_bytes());
    let name = || "api.service".to_owned();
    let unit = FileSpec {
        path: "/etc/systemd/system/api.service".into(),
        content: Content::Text(text),
        access: Access::root(0o644),
        check: Some(["systemd-analyze", "verify", "{}"].map(str::to_owned).to_vec()),
    };
    let run = UnitSpec {
        name: name(),
        enabled: Some(true),
        running: Some(true),
        on_change: OnChange::Restart,
        in_effect: None,
        inputs,
    };
    let question = HealthQuestion::Unit { name: name() };
    let health = HealthSpec { name: "api".to_owned(), question, timeout_ms: 2000, within_ms: 5000, inputs };
    [Spec::File(unit), Spec::Unit(run), Spec::Health(health)]
}

#[test]
fn a_service_with_its_account_comes_runs_and_goes_with_everything() {
    let Some(machine) = Machine::claim("a_service_with_its_account_comes_runs_and_goes_with_everything")
    else {
        return;
    };
    let before =
        machine.shell("dpkg-query -W | sort | sha256sum; getent passwd; getent group; ls -a /etc /etc/ssh");
    let keys = KeysSpec { user: "api".to_owned(), keys: vec!["ssh-ed25519 AAAA anna".to_owned()] };
    let mut specs = vec![packages(&["jq"]), Spec::Holds(HoldsSpec { patterns: ["jq".to_owned()].into() })];
    specs.extend(account("api"));
    specs.extend([Spec::Keys(keys), file("/etc/api.conf", "x\n")]);
    specs.push(Spec::Sysctl(SysctlSpec {
        key: "net.ipv4.tcp_keepalive_time".to_owned(),
        value: "1200".to_owned(),
    }));
    specs.extend(service("while true; do sleep 1; done"));
    // The holds are seen only when the package is there, so that they come with the second apply.
    machine.make("a1", &specs);
    machine.make("a2", &specs);
    let is = machine.observe(&specs);
    assert!(
        matches!(state_of(&is, &specs[0]), State::Packages { installed, .. } if installed.contains_key("jq"))
    );
    assert_eq!(state_of(&is, &specs[1]), State::Holds([("jq".to_owned(), true)].into()));
    assert_eq!(machine.shell("sysctl -n net.ipv4.tcp_keepalive_time"), "1200");
    assert_eq!(machine.shell("id -nG api"), "api adm");
    assert_eq!(
        machine.shell("stat -c '%U %a' /home/api/.ssh /home/api/.ssh/authorized_keys"),
        "api 700\napi 600"
    );
    assert_eq!(machine.shell("systemctl is-enabled api; systemctl is-active api"), "enabled\nactive");
    assert_eq!(is.facts.os, "debian-12");
    assert!(is.facts.is_root && is.facts.systemd.is_some());
    assert!(
        is.facts.listeners.iter().any(|one| one.port == 22 && one.unit.as_deref() == Some("ssh.service"))
    );

    let mut talk = machine.talk();
    assert_eq!(talk.roll_back().expect("the holds go").left, []);
    talk.close();
    let finished = machine.talk().roll_back().expect("everything goes");
    assert_eq!(finished.left, []);
    let after =
        machine.shell("dpkg-query -W | sort | sha256sum; getent passwd; getent group; ls -a /etc /etc/ssh");
    assert_eq!(after, before);
    assert_eq!(machine.try_shell("systemctl is-active api").stdout.trim(), "inactive");
}

#[test]
fn an_account_leaves_a_group_and_is_in_it_again_when_that_is_taken_back() {
    let Some(machine) =
        Machine::claim("an_account_leaves_a_group_and_is_in_it_again_when_that_is_taken_back")
    else {
        return;
    };
    let [group, wished] = account("api");
    let Spec::User(user) = wished.clone() else { panic!("an account") };
    machine.make("a1", &[group, wished]);
    machine.shell("gpasswd --add api video");
    let leaves = UserSpec { groups: [].into(), leaves: ["adm".to_owned()].into(), ..user };
    machine.make("a2", &[Spec::User(leaves)]);
    assert_eq!(machine.shell("id -nG api"), "api video");
    let finished = machine.talk().roll_back().expect("it is in the group again");
    assert_eq!(finished.left, []);
    assert_eq!(machine.shell("id -nG api"), "api adm video");
}

#[test]
fn a_change_that_does_not_work_is_taken_back_and_the_old_one_runs() {
    let Some(machine) = Machine::claim("a_change_that_does_not_work_is_taken_back_and_the_old_one_runs")
    else {
        return;
    };
    machine.make("a0", &account("api"));
    let good = service("while true; do sleep 1; done");
    machine.make("a1", &good);
    let bad = service("echo no such table >&2; exit 3");
    let mut talk = machine.talk();
    let is = talk.observe(&bad).expect("observes");
    talk.begin("a2", changes(&bad, &is, None)).expect("begins");
    talk.act(1, Vec::new()).expect("the file is good for systemd");
    let refusal = match talk.act(2, Vec::new()) {
        Err(fault) => fault.refusal(),
        // systemd may call it active for a moment; health sees the rest.
        Ok(_) => talk.act(3, Vec::new()).expect_err("does not work").refusal(),
    };
    assert!(refusal.evidence.iter().any(|line| line.contains("no such table")), "{refusal:?}");
    let finished = talk.finish(Ending::RollBack).expect("rolls back");
    assert_eq!(finished.left, []);
    assert_eq!(machine.shell("systemctl is-active api"), "active");
    machine.shell("systemctl cat api | grep -q 'while true'");
    let broken = FileSpec {
        path: "/etc/systemd/system/api.service".into(),
        content: Content::Text("[Service]\nExecStart=nothing\nTypo=1\n".to_owned()),
        access: Access::root(0o644),
        check: Some(["systemd-analyze", "verify", "{}"].map(str::to_owned).to_vec()),
    };
    let broken = [Spec::File(broken)];
    let is = talk.observe(&broken).expect("observes");
    talk.begin("a3", changes(&broken, &is, None)).expect("begins");
    let refusal = talk.act(1, Vec::new()).expect_err("systemd-analyze refuses").refusal();
    assert!(refusal.what.contains("systemd-analyze verify"), "{refusal:?}");
    machine.shell("systemctl cat api | grep -q 'while true'");
}

#[test]
fn a_mirror_that_does_not_answer_is_told_with_its_name() {
    let Some(machine) = Machine::claim("a_mirror_that_does_not_answer_is_told_with_its_name") else { return };
    let sources = "rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/*; echo 'deb http://127.0.0.1:9/debian bookworm main' >/etc/apt/sources.list; rm -f /var/cache/apt/*.bin /var/cache/apt/archives/*.deb";
    machine.shell(sources);
    let specs = [packages(&["jq"])];
    let mut talk = machine.talk();
    let is = talk.observe(&specs).expect("observes");
    talk.begin("a1", changes(&specs, &is, None)).expect("begins");
    let refusal = talk.act(1, Vec::new()).expect_err("refused").refusal();
    assert_eq!(refusal.code, HostCode::PackagesUnreachable, "{refusal:?}");
    assert!(refusal.evidence.iter().any(|line| line.contains("127.0.0.1")), "{refusal:?}");
}

#[test]
fn a_hundred_resources_are_observed_at_once() {
    let Some(machine) = Machine::claim("a_hundred_resources_are_observed_at_once") else { return };
    let mut specs: Vec<Spec> = (0..90).map(|number| file(&format!("/etc/many-{number}"), "x\n")).collect();
    specs.push(packages(&["openssh-server"]));
    for name in ["ssh.service", "cron.service", "systemd-journald.service", "no-such.service"] {
        let (enabled, running, on_change) = (Some(true), Some(true), OnChange::Reload);
        let inputs = Fingerprint::of(b"x");
        specs.push(Spec::Unit(UnitSpec {
            name: name.to_owned(),
            enabled,
            running,
            on_change,
            in_effect: None,
            inputs,
        }));
    }
    machine.make("a1", &specs[..90]);
    let mut talk = machine.talk();
    talk.observe(&specs).expect("observes");
    let begun = Instant::now();
    let is = talk.observe(&specs).expect("observes");
    let took = begun.elapsed();
    assert_eq!(state_of(&is, specs.last().expect("many")), State::Absent);
    // Far above what it takes, since the machine may be busy; docs/bench tells the real time.
    assert!(took.as_millis() < 2000, "{took:?}");
    println!("{} resources observed in {took:?}", specs.len());
}

#[test]
fn an_apply_that_dies_in_the_middle_of_apt_is_brought_into_order() {
    let Some(machine) =
        Machine::claim_mortal("an_apply_that_dies_in_the_middle_of_apt_is_brought_into_order")
    else {
        return;
    };
    let specs = [packages(&["jq"]), file("/etc/api.conf", "x\n")];
    let before = machine.shell("dpkg-query -W | sort");
    let is = machine.observe(&specs);
    let mut step = 8;
    loop {
        let Ok(mut talk) = machine.mortal_talk(step) else { panic!("step {step} comes before the talk") };
        let outcome = talk.apply(&format!("a{step:03}"), changes(&specs, &is, None));
        if let Err(Fault::Refused(refusal)) = &outcome {
            panic!("step {step}: {refusal:?}");
        }
        talk.end();
        let mut talk = machine.talk();
        let recovered = talk.recover().unwrap_or_else(|fault| panic!("step {step}: {fault:?}"));
        assert_eq!(machine.shell("dpkg --audit"), "", "step {step}");
        if outcome.is_ok() {
            assert_eq!(recovered, Recovered::Nothing);
            break;
        }
        if let Recovered::Closed { .. } = recovered {
            talk.roll_back().unwrap_or_else(|fault| panic!("step {step}: {fault:?}"));
        }
        talk.close();
        machine.shell("rm -f /etc/api.conf");
        if machine.shell("dpkg-query -W | sort") != before {
            machine.shell("apt-get -q -y remove jq libjq1 libonig5");
        }
        step += 11;
    }
    assert!(step > 30, "it ended at step {step}");
}
