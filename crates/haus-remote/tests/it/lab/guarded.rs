//! Changes that could lock us out: they come back by themselves unless somebody confirms them over a new
//! connection.

use super::machine::{Machine, guarded};
use crate::talk::Talk;
use haus_acts::wire::{Ending, Outcome, Reply, Request};
use haus_model::Fingerprint;
use haus_model::host::Access;
use haus_model::host_code::HostCode;
use haus_model::resource::{Content, FileSpec, OnChange, Spec, UnitSpec};
use haus_testkit::{Login, Ready, wait_until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(90);

/// A drop-in that makes sshd listen where nobody asks.
fn locked_out() -> [Spec; 2] {
    let text = "Port 2222\n".to_owned();
    let inputs = Fingerprint::of(text.as_bytes());
    let file = FileSpec {
        path: "/etc/ssh/sshd_config.d/50-haus.conf".into(),
        content: Content::Text(text),
        access: Access::root(0o644),
        check: Some(["/usr/sbin/sshd", "-t"].map(str::to_owned).to_vec()),
    };
    let unit = UnitSpec {
        name: "ssh.service".to_owned(),
        enabled: Some(true),
        running: Some(true),
        on_change: OnChange::Restart,
        in_effect: None,
        inputs,
    };
    [Spec::File(file), Spec::Unit(unit)]
}

/// A table that drops everything, loaded at boot by a unit of ours.
fn wall() -> [Spec; 3] {
    let rules =
        "table inet haus {\n chain input {\n  type filter hook input priority 0; policy drop;\n }\n}\n";
    let rules = format!("table inet haus\ndelete table inet haus\n{rules}");
    let unit = "[Unit]\nDefaultDependencies=no\nBefore=network-pre.target shutdown.target\nWants=network-pre.target\nConflicts=shutdown.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/sbin/nft -f /etc/haus/firewall.nft\nExecReload=/usr/sbin/nft -f /etc/haus/firewall.nft\nExecStop=/usr/sbin/nft delete table inet haus\n[Install]\nWantedBy=sysinit.target\n";
    let file = |path: &str, text: &str| {
        let content = Content::Text(text.to_owned());
        Spec::File(FileSpec { path: path.into(), content, access: Access::root(0o644), check: None })
    };
    let inputs = Fingerprint::of(rules.as_bytes());
    let (enabled, running, on_change) = (Some(true), Some(true), OnChange::Reload);
    let run = UnitSpec {
        name: "haus-firewall.service".to_owned(),
        enabled,
        running,
        on_change,
        in_effect: None,
        inputs,
    };
    [
        file("/etc/haus/firewall.nft", &rules),
        file("/etc/systemd/system/haus-firewall.service", unit),
        Spec::Unit(run),
    ]
}

/// For what nobody confirms.
const SHORT_S: u32 = 20;
/// For what is confirmed, however slow the machine is.
const LONG_S: u32 = 300;

fn carry_out(machine: &Machine, specs: &[Spec], guard_s: u32) -> Talk {
    let mut talk = machine.talk();
    let is = talk.observe(specs).expect("observes");
    let changes = guarded(specs, &is);
    let numbers: Vec<u32> = changes.iter().map(|change| change.number).collect();
    talk.begin_guarded("a1", changes, guard_s).expect("begins");
    for number in numbers {
        let done = talk.act(number, Vec::new()).unwrap_or_else(|fault| panic!("{fault:?}"));
        assert!(done.armed_until.is_some());
    }
    talk
}

fn is_reached(machine: &Machine) -> bool {
    machine.host.ssh(Login::Root, "true").expect("runs").is_success()
}

fn outcome(machine: &Machine) -> Outcome {
    let Ok(Reply::History(past)) = machine.talk().ask(&Request::History { last: 1 }) else {
        panic!("no history")
    };
    past[0].outcome
}

fn nothing_is_left(machine: &Machine) {
    let units = "ls /etc/systemd/system/haus-revert* /etc/systemd/system/*/haus-revert* /run/systemd/system/haus-revert* /var/lib/haus-remote/zimmer/armed /var/lib/haus-remote/zimmer/reverting 2>/dev/null; true";
    assert_eq!(machine.shell(units), "");
}

#[test]
fn sshd_that_cannot_be_reached_comes_back_by_itself() {
    let Some(machine) = Machine::claim("sshd_that_cannot_be_reached_comes_back_by_itself") else { return };
    let mut talk = carry_out(&machine, &locked_out(), SHORT_S);
    assert!(!is_reached(&machine));
    assert_eq!(talk.finish(Ending::Commit).expect_err("refused").refusal().code, HostCode::NotConfirmed);
    wait_until("the host takes it back", SOON, || is_reached(&machine));
    wait_until("the apply has ended", SOON, || outcome(&machine) == Outcome::Reverted);
    assert_eq!(machine.try_shell("cat /etc/ssh/sshd_config.d/50-haus.conf").stdout, "");
    nothing_is_left(&machine);
    let late =
        machine.talk().ask(&Request::Confirm { apply: "a1".to_owned() }).expect_err("too late").refusal();
    assert_eq!(late.code, HostCode::NotConfirmed);
    assert!(talk.reply().is_err(), "the session that held the lock is gone");
}

#[test]
fn what_is_confirmed_over_a_new_connection_stays() {
    let Some(machine) = Machine::claim("what_is_confirmed_over_a_new_connection_stays") else { return };
    let mut talk = carry_out(&machine, &locked_out(), LONG_S);
    let own =
        talk.ask(&Request::Confirm { apply: "a1".to_owned() }).expect_err("not over this one").refusal();
    assert_eq!(own.code, HostCode::NotConfirmed);
    let confirmed = machine.talk().ask(&Request::Confirm { apply: "a1".to_owned() });
    assert!(matches!(confirmed, Ok(Reply::Confirmed)), "{confirmed:?}");
    nothing_is_left(&machine);
    assert_eq!(talk.finish(Ending::Commit).expect("commits").outcome, Outcome::Committed);
    talk.close();
    machine.host.reboot(Ready::Booted).expect("boots");
    let listening = machine.shell("ss -ltn; systemctl status --no-pager ssh.service || true");
    assert!(listening.contains(":2222 "), "{listening}");
}

#[test]
fn a_host_that_restarts_meanwhile_comes_back_reachable() {
    let Some(machine) = Machine::claim("a_host_that_restarts_meanwhile_comes_back_reachable") else { return };
    machine.shell("apt-get -q -y install --no-install-recommends nftables >/dev/null; mkdir -p /etc/haus");
    let _talk = carry_out(&machine, &wall(), SHORT_S);
    assert!(!is_reached(&machine));
    machine.host.cut_power().expect("is off");
    machine.host.restore_power(Ready::Booted).expect("boots");
    wait_until("it is reached", SOON, || is_reached(&machine));
    assert_eq!(outcome(&machine), Outcome::Reverted);
    nothing_is_left(&machine);
    assert_eq!(machine.try_shell("nft list tables").stdout.trim(), "");
    assert_eq!(machine.try_shell("ls /etc/haus").stdout.trim(), "");
    assert_ne!(machine.try_shell("systemctl is-enabled haus-firewall").stdout.trim(), "enabled");
}
