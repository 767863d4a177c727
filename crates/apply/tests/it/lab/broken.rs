//! Connections and processes that are ended at any point: the host has the old or the new, never half, and
//! the next apply needs nothing from the one that died.

use super::world::{Wanted, World, folder, options, text, unit};
use haus_apply::outcome::{Event, HostOutcome};
use haus_apply::patience::Patience;
use haus_testkit::{Login, Signal, kill, lab_hosts};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What is ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Our own ssh.
    Ssh,
    /// The program on the host.
    Program,
    /// The cable, which is mended when we start to look for the host.
    Cable,
}

/// A folder with files and a unit, of this round.
fn wanted(round: u32) -> Vec<Wanted> {
    let place = format!("/srv/round-{round}");
    let name = format!("round-{round}.service");
    let service = "[Service]\nExecStart=/bin/sleep infinity\n";
    let mut specs = vec![folder(&place)];
    specs.extend((0..8).map(|file| text(&format!("{place}/file-{file}"), &format!("content {file}\n"))));
    specs.push(text(&format!("/etc/systemd/system/{name}"), service));
    specs.push(unit(&name, false, "1"));
    specs.into_iter().map(|spec| Wanted { spec, guarded: false }).collect()
}

/// Our own `ssh`, found by being our child.
fn our_ssh() -> Option<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?.flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let all: Vec<u32> =
        children.flat_map(|text| text.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect();
    let is_ssh = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "ssh")
    };
    all.into_iter().find(is_ssh)
}

fn end(world: &World<'_>, what: End) {
    match what {
        End::Ssh => {
            if let Some(pid) = our_ssh() {
                kill(pid, Signal::KILL);
            }
        }
        // By the number that it has written into its lock.
        End::Program => {
            let lock = "/var/lib/haus-remote/sample/lock";
            world.holds(&format!("kill -9 $(sed -n 's/.*\"pid\":\\([0-9]*\\).*/\\1/p' {lock})"));
        }
        End::Cable => world.host.cut_link().expect("cuts"),
    }
}

/// One round: whatever is ended at this event, the host settles or the next apply does. Says what became of
/// the first.
fn round(world: &World<'_>, number: u32, what: End, at: u32, settles: bool) -> &'static str {
    let wanted = wanted(number);
    let place = format!("{what:?} at event {at}, settles {settles}");
    let mut options = options(&format!("r-{number:04}-a"));
    if !settles {
        // As if we had been killed: nobody looks for the host.
        options.patience = Patience { search: Duration::ZERO, ..options.patience };
    }
    let events = AtomicU32::new(0);
    let outcome = world.apply(&world.plan(&wanted), &options, &|event| {
        if matches!(event, Event::Searching { .. }) && world.host.is_link_cut().expect("knows") {
            world.host.mend_link().expect("mends");
        }
        if events.fetch_add(1, Ordering::SeqCst) == at {
            end(world, what);
        }
    });
    if world.host.is_link_cut().expect("knows") {
        world.host.mend_link().expect("mends");
    }
    let files = world.shell(&format!("ls -A /srv/round-{number} 2>/dev/null | tr '\\n' ' '"));
    let service = format!("systemctl is-active --quiet round-{number}.service");
    let word = match &outcome {
        HostOutcome::Done { .. } => {
            assert_eq!(files.split_whitespace().count(), 8, "{place}: {files}");
            "done"
        }
        HostOutcome::RolledBack { left, fault } => {
            assert!(left.is_empty(), "{place}: {left:?} {fault:?}");
            assert!(!world.holds(&format!("test -e /srv/round-{number}")), "{place}: {files}");
            assert!(!world.holds(&service), "{place}");
            "back"
        }
        HostOutcome::Refused(_) => {
            assert_eq!(files, "", "{place}");
            "refused"
        }
        HostOutcome::Unknown { .. } => {
            assert!(!settles, "{place}: {outcome:?}");
            "unknown"
        }
        HostOutcome::Unchanged | HostOutcome::Stopped { .. } | HostOutcome::NotTried { .. } => {
            panic!("{place}: {outcome:?}")
        }
    };
    // Nothing from the first one is known here. The plan of a host whose apply is open is made anew after the
    // repair.
    let mut last = None;
    for attempt in 0..4 {
        let mut options = super::world::options(&format!("r-{number:04}-b{attempt}"));
        options.claim.owner = "bert@desk".to_owned();
        last = Some(world.apply(&world.plan(&wanted), &options, &|_| {}));
        if last.as_ref().is_some_and(HostOutcome::is_good) {
            break;
        }
    }
    assert!(last.as_ref().is_some_and(HostOutcome::is_good), "{place}: first {outcome:?}, then {last:?}");
    let files = world.shell(&format!("ls -A /srv/round-{number} | tr '\\n' ' '"));
    assert_eq!(
        files.trim(),
        (0..8).map(|file| format!("file-{file}")).collect::<Vec<_>>().join(" "),
        "{place}"
    );
    assert!(world.holds(&service), "{place}");
    let seen = world.observe(&wanted);
    assert!(seen.open.is_none(), "{place}: {:?}", seen.open);
    word
}

/// Twelve rounds, spread over all events of an apply, each with and without somebody who looks for the host.
fn rounds(world: &World<'_>, first: u32, what: End) {
    let words: BTreeSet<&str> =
        (0..12).map(|number| round(world, first + number, what, number * 5 % 36, number % 2 == 0)).collect();
    // A test that ends nothing at the right moment would see only what is done.
    assert!(words.contains("back") && words.contains("unknown"), "{what:?}: {words:?}");
}

#[test]
fn our_ssh_killed_at_any_point_leaves_the_old_or_the_new() {
    let Some(hosts) = lab_hosts("our_ssh_killed_at_any_point_leaves_the_old_or_the_new", 1) else { return };
    rounds(&World::new(&hosts[0], Login::Root), 0, End::Ssh);
}

#[test]
fn the_program_killed_at_any_point_leaves_the_old_or_the_new() {
    let Some(hosts) = lab_hosts("the_program_killed_at_any_point_leaves_the_old_or_the_new", 1) else {
        return;
    };
    rounds(&World::new(&hosts[0], Login::Deploy), 20, End::Program);
}

#[test]
fn a_cable_that_is_cut_at_any_point_leaves_the_old_or_the_new() {
    let test = "a_cable_that_is_cut_at_any_point_leaves_the_old_or_the_new";
    let Some(hosts) = lab_hosts(test, 1) else { return };
    let world = World::new(&hosts[0], Login::Root);
    for (number, at) in [2, 9, 20, 30].into_iter().enumerate() {
        round(&world, 100 + u32::try_from(number).expect("few"), End::Cable, at, true);
    }
}
