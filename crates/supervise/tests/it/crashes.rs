//! The core crashes, the parent is killed, records are forged: services are neither lost nor confused.

use std::fs;
use std::process::Command;

use haus_model::Secret;
use haus_supervise::{ExitKind, FileSpec, Order, ProcessIdentity, Report};

use crate::fixture::{CORE_PROGRAM, House, eventually, is_running, new_root, parent_command, signal};

#[test]
fn a_core_that_crashes_leaves_services_alone_and_learns_of_them_again() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let (pid, _) = core.spawn(house.spec("api/1", 5, "exec sleep 600"));
    signal(core.pid, libc::SIGKILL);
    let mut next = house.core();
    let hello = next.hello();
    assert_eq!(hello.core_start, 2);
    let state = &hello.children[0];
    assert_eq!(
        (state.key.as_str(), state.run, state.pid, state.running, state.stopping),
        ("api/1", 5, pid, true, false)
    );
    assert!(is_running(pid));
    assert!(house.said().contains("the core ended with signal 9; services go on"), "{}", house.said());
}

#[test]
fn an_exit_while_the_core_was_away_is_reported_after_the_greeting() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let (pid, _) = core.spawn(house.spec("api/1", 5, "exec sleep 600"));
    // Each crash makes the pause before the next start longer.
    for _ in 0..4 {
        signal(core.pid, libc::SIGKILL);
        core = house.core();
        core.hello();
    }
    signal(core.pid, libc::SIGKILL);
    eventually("the core is gone", || !is_running(core.pid));
    signal(pid, libc::SIGKILL);
    let mut next = house.core();
    assert!(next.hello().children.is_empty());
    let exit = next.exited();
    assert_eq!((exit.run, exit.pid, exit.exit), (5, pid, ExitKind::Signal(libc::SIGKILL)));
}

#[test]
fn a_hangup_while_the_core_was_away_reaches_the_next_one_and_only_that_one() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    // A core that was never heard would be given up.
    core.spawn(house.spec("web/1", 1, "exec sleep 600"));
    for _ in 0..4 {
        signal(core.pid, libc::SIGKILL);
        core = house.core();
        core.hello();
    }
    signal(core.pid, libc::SIGKILL);
    eventually("the core is gone", || !is_running(core.pid));
    signal(house.parent_pid(), libc::SIGHUP);
    let mut next = house.core();
    next.hello();
    assert_eq!(next.next(), Report::Reload);
    // Its order comes after it has read the wish.
    next.spawn(house.spec("api/1", 2, "exec sleep 600"));
    signal(next.pid, libc::SIGKILL);
    let mut last = house.core();
    last.hello();
    last.spawn(house.spec("api/2", 3, "exec sleep 600"));
}

#[test]
fn a_core_that_never_gives_an_order_is_given_up() {
    let mut house = House::start_with(&[(CORE_PROGRAM, "/bin/false")]);
    assert_eq!(house.wait_for_end().code(), Some(5));
    let said = house.said();
    assert!(
        said.contains("the core ended 5 times before it gave any order, last with exit code 1"),
        "{said}"
    );
}

#[test]
fn a_core_that_cannot_be_started_is_named() {
    let mut house = House::start_with(&[(CORE_PROGRAM, "/nowhere/core")]);
    assert_eq!(house.wait_for_end().code(), Some(5));
    assert!(house.said().contains("cannot start the core /nowhere/core: No such file"), "{}", house.said());
}

#[test]
fn a_killed_parent_takes_its_core_along_and_the_next_one_settles_the_services() {
    let mut house = House::start();
    let mut core = house.core();
    core.hello();
    let script = "setsid sh -c 'echo $$; exec sleep 600' & trap 'echo stopped cleanly; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let secret = house.root().join("run/key");
    let mut spec = house.spec("api/1", 5, script);
    let content = Secret::from(String::from("hunter2"));
    spec.files = vec![FileSpec { path: secret.clone(), content, mode: 0o400, owned: true }];
    let (pid, _) = core.spawn(spec);
    let (other, _) = core.spawn(house.spec("api/2", 6, "exec sleep 600"));
    house.wait_for_log("api/1", "ready");
    eventually("the escapee is there", || house.log("api/1").iter().any(|line| line.parse::<u32>().is_ok()));
    let escapee: u32 = house.log("api/1").iter().find_map(|line| line.parse().ok()).expect("pid");
    house.kill_parent();
    eventually("the core ends with its parent", || !is_running(core.pid));
    assert!([pid, other, escapee].into_iter().all(is_running));

    house.start_again();
    let mut next = house.core();
    let hello = next.hello();
    assert_eq!((hello.core_start, hello.children.len()), (1, 0));
    assert_eq!(hello.settled.len(), 2, "{:?}", hello.settled);
    assert!(hello.settled.iter().any(|line| line.contains(&format!("api/1 (run 5, process {pid})"))));
    assert!([pid, other, escapee].into_iter().all(|pid| !is_running(pid)));
    assert!(!secret.exists());
    // The lines themselves are the core's to show; the parent only says that it waits.
    let said = house.said();
    assert_eq!(said.matches("left by a parent that died, within 10s").count(), 1, "{said}");
    assert!(!said.contains("run 5"), "{said}");
    next.spawn(house.spec("api/1", 1, "exec sleep 600"));
}

#[test]
fn a_recycled_pid_is_never_touched() {
    let mut stranger = Command::new("sleep").arg("600").spawn().expect("starts");
    let stranger_identity = ProcessIdentity::of(stranger.id()).expect("runs");
    let record = |identity: &ProcessIdentity, run: u64| {
        serde_json::json!({
            "key": format!("api/{run}"), "run": run, "process": identity, "mark": "1-2-3", "cgroup": null,
            "stop": { "signal": libc::SIGKILL, "within_ms": 1_000 },
        })
    };
    let mut earlier = stranger_identity.clone();
    earlier.start_ticks -= 1;
    let mut other_boot = stranger_identity.clone();
    other_boot.boot_id = String::from("00000000-0000-0000-0000-000000000000");
    let records = [record(&earlier, 1), record(&other_boot, 2), record(&stranger_identity, 3)];
    let root = new_root();
    fs::create_dir(root.path().join("state")).expect("makes");
    let roster = serde_json::json!({ "version": 1, "children": records });
    fs::write(root.path().join("state/children.json"), roster.to_string()).expect("writes");

    let house = House::start_in(root, &[]);
    let hello = house.core().hello();
    assert_eq!(hello.settled, Vec::<String>::new());
    assert!(stranger_identity.is_alive());
    stranger.kill().expect("kills");
    stranger.wait().expect("waits");
}

#[test]
fn a_list_that_cannot_be_read_is_said_and_the_house_starts() {
    let root = new_root();
    fs::create_dir(root.path().join("state")).expect("makes");
    fs::write(root.path().join("state/children.json"), "{").expect("writes");
    let house = House::start_in(root, &[]);
    let settled = house.core().hello().settled;
    assert!(settled[0].contains("cannot understand") && settled[0].contains("children.json"), "{settled:?}");
}

#[test]
fn the_second_parent_of_a_house_learns_who_holds_it() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let second = parent_command(house.root(), &[]).status().expect("runs");
    assert_eq!(second.code(), Some(3));
    let expected = format!("cannot take the house: the house is held by process {}", house.parent_pid());
    assert!(house.said().contains(&expected), "{}", house.said());
    core.send(&Order::Ready);
    core.spawn(house.spec("api/1", 1, "exec sleep 600"));
}
