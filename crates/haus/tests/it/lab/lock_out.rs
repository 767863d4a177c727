//! Changes that lock us out come back by themselves, also when the host restarts meanwhile.
//!
//! What a plan shows beforehand to be a closed door is refused; these are the ones that only a new connection
//! shows.

use super::desk::{Begin, Desk, assert_same, fingerprint, shell};
use haus_testkit::{CLEAN, Login, Ready, wait_until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// The first host gets rules that let in only a network that is not ours, the second an sshd that lets nobody
/// log in, the third a network that switches its link off.
const PLAN: &str = "haus: 1
house: gate
hosts:
  rules:
    connect: ssh://root@@0@
    files: { /etc/gate.conf: { text: before } }
    firewall: { allow: [ { port: 22, from: [10.99.0.0/16] } ] }
  door:
    connect: ssh://root@@1@
    files:
      /etc/gate.conf: { text: before }
      /etc/ssh/sshd_config.d/20-gate.conf: { text: \"AllowUsers nobody\\n\", then: [reload ssh.service] }
  road:
    connect: ssh://root@@2@
    files:
      /etc/gate.conf: { text: before }
      /etc/systemd/network/05-gate.network:
        text: \"[Match]\\nName=host0\\n[Link]\\nActivationPolicy=always-down\\n\"
        then: [restart systemd-networkd.service]
";

#[track_caller]
fn begin(test: &str) -> Option<(Desk, Vec<String>)> {
    let desk = Desk::new(test, 3, Begin::Clean)?;
    desk.host().restore(CLEAN).expect("restores");
    desk.plan(PLAN);
    let before = desk.hosts().iter().map(|host| fingerprint(host)).collect();
    Some((desk, before))
}

#[track_caller]
fn assert_as_before(desk: &Desk, before: &[String]) {
    for (host, before) in desk.hosts().iter().zip(before) {
        assert!(
            host.ssh(Login::Root, "true").is_ok_and(|output| output.is_success()),
            "{} is closed",
            host.name
        );
        assert_same(host, before);
        let left = "ls /run/systemd/system /etc/systemd/system | grep haus-revert || true";
        assert_eq!(shell(host, left), "");
    }
}

#[test]
fn rules_and_settings_that_lock_us_out_are_taken_back() {
    let Some((desk, before)) = begin("rules_and_settings_that_lock_us_out_are_taken_back") else { return };
    let text = desk.says(
        &["apply", "--yes"],
        4,
        &[
            "rules: failed and taken back",
            "door: failed and taken back",
            "road: failed and taken back",
            "the change would have locked us out",
        ],
    );
    assert_eq!(text.matches("error[HH0217]").count(), 3, "{text}");
    assert_as_before(&desk, &before);
    assert!(desk.done(&["history"]).contains("rolled back"));
}

/// `haus` dies as soon as it is locked out, and then the host restarts before its timer has run down.
#[test]
fn they_are_also_taken_back_when_the_host_restarts_and_haus_is_gone() {
    let test = "they_are_also_taken_back_when_the_host_restarts_and_haus_is_gone";
    let Some((desk, before)) = begin(test) else { return };
    let running = desk.start(&["apply", "--yes"]);
    for host in desk.hosts() {
        wait_until("the door to be closed", SOON, || {
            host.ssh(Login::Root, "true").is_ok_and(|output| !output.is_success())
        });
    }
    running.kill();
    for host in desk.hosts() {
        host.cut_power().expect("pulls the plug");
        host.restore_power(Ready::Ssh).expect("the host lets us in after its restart");
    }
    assert_as_before(&desk, &before);
    assert!(desk.done(&["history"]).contains("taken back by the host, since nobody confirmed it"));
    let text = desk.says(&["plan"], 1, &["to create"]);
    assert!(!text.contains("error["), "{text}");
}
