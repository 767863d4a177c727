//! Changes that lock us out come back: over the session that is left, by the host's own timer, and after a
//! restart.

use super::world::{Wanted, World, folder, options, text, unit};
use haus_apply::outcome::{Event, HostOutcome};
use haus_testkit::{Login, Ready, lab_hosts};
use std::sync::atomic::{AtomicBool, Ordering};

/// A packet filter that lets nobody in anew; `keeps` says whether it lets pass what is open already.
fn wanted(keeps: bool) -> Vec<Wanted> {
    let pass = if keeps { "ct state established accept; " } else { "" };
    let rules = format!(
        "table inet haus {{ chain input {{ type filter hook input priority 0; policy drop; iif lo accept; {pass}}}\n}}\n"
    );
    let service = "[Unit]\nDefaultDependencies=no\nBefore=network-pre.target\n[Service]\nType=oneshot\n\
                   RemainAfterExit=yes\nExecStart=/usr/sbin/nft -f /etc/haus/firewall.nft\n\
                   ExecStop=/usr/sbin/nft delete table inet haus\n[Install]\nWantedBy=sysinit.target\n";
    let guarded = |spec| Wanted { spec, guarded: true };
    vec![
        Wanted { spec: folder("/etc/haus"), guarded: false },
        Wanted { spec: text("/etc/before", "harmless\n"), guarded: false },
        guarded(text("/etc/haus/firewall.nft", &rules)),
        guarded(text("/etc/systemd/system/haus-firewall.service", service)),
        guarded(unit("haus-firewall.service", true, "1")),
        Wanted { spec: text("/etc/after", "harmless\n"), guarded: false },
    ]
}

fn is_as_before(world: &World<'_>) {
    let gone = "/etc/haus /etc/before /etc/after /etc/systemd/system/haus-firewall.service";
    for path in gone.split(' ') {
        assert!(!world.holds(&format!("test -e {path}")), "{path} is there");
    }
    assert!(!world.holds("nft list table inet haus"), "the filter is there");
    assert!(!world.holds("systemctl is-enabled haus-firewall.service"));
    assert_eq!(world.shell("ls /etc/systemd/system | grep haus-revert | wc -l"), "0", "the dead-man is gone");
    assert!(world.host.ssh(Login::Root, "true").expect("runs").is_success(), "it is reached again");
}

fn check(world: &World<'_>, keeps: bool, during: &(dyn Fn(&Event) + Sync)) {
    let wanted = wanted(keeps);
    let outcome = world.apply(&world.plan(&wanted), &options("l-001"), during);
    let HostOutcome::RolledBack { fault, left } = outcome else { panic!("{outcome:?}") };
    assert_eq!(fault.finding.code, "HH0217", "{fault:?}");
    assert!(left.is_empty(), "{left:?}");
    is_as_before(world);
}

#[test]
fn a_filter_that_lets_nobody_in_comes_back_over_the_session_that_is_left() {
    let test = "a_filter_that_lets_nobody_in_comes_back_over_the_session_that_is_left";
    let Some(hosts) = lab_hosts(test, 1) else { return };
    check(&World::new(&hosts[0], Login::Root), true, &|_| {});
}

#[test]
fn a_filter_that_cuts_everything_is_taken_back_by_the_host() {
    let Some(hosts) = lab_hosts("a_filter_that_cuts_everything_is_taken_back_by_the_host", 1) else { return };
    check(&World::new(&hosts[0], Login::Deploy), false, &|_| {});
}

#[test]
fn a_restart_in_the_meantime_changes_nothing_about_that() {
    let Some(hosts) = lab_hosts("a_restart_in_the_meantime_changes_nothing_about_that", 1) else { return };
    let (world, once) = (World::new(&hosts[0], Login::Root), AtomicBool::new(false));
    check(&world, false, &|event| {
        let locked = matches!(event, Event::Confirming | Event::Searching { .. });
        if locked && !once.swap(true, Ordering::SeqCst) {
            hosts[0].reboot(Ready::Booted).expect("restarts");
        }
    });
}

#[test]
fn a_filter_that_lets_us_in_stays() {
    let Some(hosts) = lab_hosts("a_filter_that_lets_us_in_stays", 1) else { return };
    let world = World::new(&hosts[0], Login::Deploy);
    let mut wanted = wanted(true);
    let port = hosts[0].ssh_port;
    let rules = format!(
        "table inet haus {{ chain input {{ type filter hook input priority 0; policy drop; iif lo accept; \
         ct state established accept; tcp dport {port} accept; }}\n}}\n"
    );
    wanted[2].spec = text("/etc/haus/firewall.nft", &rules);
    let outcome = world.apply(&world.plan(&wanted), &options("l-002"), &|_| {});
    assert_eq!(outcome, HostOutcome::Done { changes: 6 });
    assert!(world.holds("nft list table inet haus"));
    assert_eq!(world.shell("ls /etc/systemd/system | grep haus-revert | wc -l"), "0", "the dead-man is gone");
}
