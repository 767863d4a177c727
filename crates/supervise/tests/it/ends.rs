//! How a house ends: drained by its core, forced by its owner, refused by its core.

use std::os::unix::net::UnixDatagram;

use haus_model::Secret;
use haus_supervise::lock::Lock;
use haus_supervise::{ExitKind, FileSpec, FolderSpec, Order, Report, StopSpec};

use crate::fixture::{Core, DRAIN_WITHIN_MS, House, eventually, is_running, signal, status_of};

/// A house with one service that ends at once when asked and one that never does.
fn busy_house(env: &[(&str, &str)]) -> (House, Core, Vec<u32>) {
    let house = House::start_with(env);
    let mut core = house.core();
    core.hello();
    let (easy, _) = core.spawn(house.spec("easy/1", 1, "exec sleep 600"));
    let mut stubborn = house.spec("stubborn/1", 2, "trap '' TERM; echo ready; while :; do sleep 0.05; done");
    stubborn.stop = StopSpec { signal: libc::SIGTERM, within_ms: 300 };
    let (stubborn, _) = core.spawn(stubborn);
    house.wait_for_log("stubborn/1", "ready");
    (house, core, vec![easy, stubborn])
}

fn check_nothing_left(house: &House, pids: &[u32]) {
    assert!(pids.iter().all(|pid| !is_running(*pid)), "{pids:?}");
    assert_eq!(Lock::holder(&house.root().join("state")), None);
    let list = std::fs::read_to_string(house.root().join("state/children.json")).expect("reads");
    assert!(list.contains("\"children\": []"), "{list}");
}

#[test]
fn a_signal_asks_the_core_to_drain_and_its_exit_code_counts() {
    let (mut house, mut core, pids) = busy_house(&[]);
    signal(house.parent_pid(), libc::SIGTERM);
    assert_eq!(core.next(), Report::Drain { reason: String::from("asked to terminate") });
    core.stop("easy/1", 5_000);
    assert_eq!(core.exited().exit, ExitKind::Signal(libc::SIGTERM));
    assert!(is_running(pids[1]));
    // What the core left to us is stopped by us.
    core.send(&Order::Drained { exit_code: 7 });
    core.exit(0);
    assert_eq!(house.wait_for_end().code(), Some(7));
    check_nothing_left(&house, &pids);
}

#[test]
fn a_core_that_ends_with_its_last_words_is_heard() {
    let (mut house, mut core, pids) = busy_house(&[]);
    core.send(&Order::Drained { exit_code: 0 });
    core.exit(1);
    assert_eq!(house.wait_for_end().code(), Some(0));
    check_nothing_left(&house, &pids);
}

#[test]
fn a_second_signal_makes_the_parent_stop_everything_itself() {
    let (mut house, mut core, pids) = busy_house(&[]);
    signal(house.parent_pid(), libc::SIGINT);
    assert_eq!(core.next(), Report::Drain { reason: String::from("interrupted") });
    signal(house.parent_pid(), libc::SIGINT);
    assert_eq!(house.wait_for_end().code(), Some(4));
    check_nothing_left(&house, &pids);
    assert!(!is_running(core.pid));
}

#[test]
fn a_drain_that_takes_too_long_is_taken_over() {
    let (mut house, core, pids) = busy_house(&[(DRAIN_WITHIN_MS, "200")]);
    signal(house.parent_pid(), libc::SIGTERM);
    assert_eq!(house.wait_for_end().code(), Some(4));
    assert!(house.said().contains("the core did not drain in time"), "{}", house.said());
    check_nothing_left(&house, &pids);
    assert!(!is_running(core.pid));
}

#[test]
fn a_core_that_crashes_while_draining_is_not_started_again() {
    let (mut house, mut core, pids) = busy_house(&[]);
    signal(house.parent_pid(), libc::SIGTERM);
    core.next();
    signal(core.pid, libc::SIGKILL);
    assert_eq!(house.wait_for_end().code(), Some(0));
    check_nothing_left(&house, &pids);
}

/// The core of a busy house drains by itself; what it stops shows that the parent has heard of it.
fn draining_house(within_ms: u64) -> (House, Core, Vec<u32>) {
    let (house, mut core, pids) = busy_house(&[]);
    core.send(&Order::Draining { reason: String::from("haus down"), within_ms });
    core.send(&Order::StopAsSpecified { key: String::from("easy/1") });
    // An order to drain would come before this.
    assert_eq!(core.exited().exit, ExitKind::Signal(libc::SIGTERM));
    (house, core, pids)
}

#[test]
fn a_core_that_crashes_while_draining_by_itself_is_not_started_again() {
    let (mut house, core, pids) = draining_house(600_000);
    signal(core.pid, libc::SIGKILL);
    assert_eq!(house.wait_for_end().code(), Some(0));
    assert!(!house.said().contains("started again"), "{}", house.said());
    check_nothing_left(&house, &pids);
}

#[test]
fn a_drain_that_the_core_began_by_itself_has_its_limit_too() {
    let (mut house, core, pids) = draining_house(3_000);
    assert_eq!(house.wait_for_end().code(), Some(4));
    assert!(house.said().contains("the core did not drain in time"), "{}", house.said());
    check_nothing_left(&house, &pids);
    assert!(!is_running(core.pid));
}

#[test]
fn the_first_signal_does_not_hurry_a_core_that_drains_by_itself() {
    let (mut house, mut core, pids) = draining_house(600_000);
    signal(house.parent_pid(), libc::SIGTERM);
    eventually("the signal is heard", || house.said().contains("the house is draining already"));
    core.send(&Order::StopAsSpecified { key: String::from("stubborn/1") });
    assert_eq!(core.exited().exit, ExitKind::Signal(libc::SIGKILL));
    core.send(&Order::Drained { exit_code: 0 });
    core.exit(0);
    assert_eq!(house.wait_for_end().code(), Some(0));
    check_nothing_left(&house, &pids);
}

#[test]
fn the_core_says_how_long_a_drain_may_take() {
    let (mut house, mut core, pids) = busy_house(&[(DRAIN_WITHIN_MS, "0")]);
    core.send(&Order::DrainBudget { within_ms: 600_000 });
    core.send(&Order::StopAsSpecified { key: String::from("easy/1") });
    core.exited();
    signal(house.parent_pid(), libc::SIGTERM);
    assert_eq!(core.next(), Report::Drain { reason: String::from("asked to terminate") });
    core.send(&Order::StopAsSpecified { key: String::from("stubborn/1") });
    core.exited();
    core.send(&Order::Drained { exit_code: 7 });
    core.exit(0);
    assert_eq!(house.wait_for_end().code(), Some(7));
    check_nothing_left(&house, &pids);
}

#[test]
fn without_a_core_a_signal_ends_the_house_in_order() {
    let (mut house, core, pids) = busy_house(&[]);
    let mut core = core;
    for _ in 0..4 {
        signal(core.pid, libc::SIGKILL);
        core = house.core();
        core.hello();
    }
    signal(core.pid, libc::SIGKILL);
    eventually("the core is gone and reaped", || {
        !std::path::Path::new(&format!("/proc/{}", core.pid)).exists()
    });
    signal(house.parent_pid(), libc::SIGTERM);
    assert_eq!(house.wait_for_end().code(), Some(0));
    check_nothing_left(&house, &pids);
}

#[test]
fn a_house_that_the_core_refuses_ends_with_the_cores_code() {
    let mut house = House::start();
    let mut core = house.core();
    core.hello();
    core.send(&Order::Refused { exit_code: 2 });
    core.exit(0);
    assert_eq!(house.wait_for_end().code(), Some(2));
    assert!(!house.said().contains("started again"), "{}", house.said());
}

#[test]
fn a_hangup_is_a_wish_to_reload_and_the_service_manager_hears_of_the_house() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("binds");
    manager.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("sets");
    let heard = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).expect("in time");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let house = House::start_with(&[("NOTIFY_SOCKET", path.to_str().expect("text"))]);
    let mut core = house.core();
    core.hello();
    let (pid, _) = core.spawn(house.spec("api/1", 1, "exec sleep 600"));
    for process in [core.pid, pid] {
        let environment = std::fs::read(format!("/proc/{process}/environ")).expect("reads");
        assert!(!String::from_utf8_lossy(&environment).contains("NOTIFY_SOCKET"));
    }
    core.send(&Order::Status { text: String::from("1 of 1 services healthy") });
    assert_eq!(heard(), "STATUS=1 of 1 services healthy");
    core.send(&Order::Ready);
    assert_eq!(heard(), "READY=1");
    signal(house.parent_pid(), libc::SIGHUP);
    assert_eq!(core.next(), Report::Reload);
    core.send(&Order::Draining { reason: String::from("haus down"), within_ms: 600_000 });
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(heard(), "STATUS=draining: haus down");
    core.send(&Order::Drained { exit_code: 0 });
    core.exit(0);
}

#[test]
fn the_service_manager_hears_that_a_signal_ends_the_house() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("binds");
    manager.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("sets");
    let house = House::start_with(&[("NOTIFY_SOCKET", path.to_str().expect("text"))]);
    house.core().hello();
    signal(house.parent_pid(), libc::SIGTERM);
    let mut message = [0; 64];
    let length = manager.recv(&mut message).expect("in time");
    assert_eq!(&message[..length], b"STOPPING=1");
}

#[test]
fn the_core_starts_with_no_signal_blocked_and_in_a_group_of_its_own() {
    let house = House::start();
    let core = house.core();
    // The C library blocks signals for a moment whenever it starts a thread.
    eventually("no signal is blocked", || status_of(core.pid, "SigBlk") == "0000000000000000");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", core.pid)).expect("reads");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    assert_eq!(
        (fields[1], fields[2]),
        (house.parent_pid().to_string().as_str(), core.pid.to_string().as_str())
    );
}

#[test]
fn secrets_and_files_of_the_run_folder_are_gone_after_the_house() {
    let mut house = House::start();
    let mut core = house.core();
    core.hello();
    let folder = house.root().join("run/credentials");
    let mut spec = house.spec("api/1", 1, "exec sleep 600");
    spec.folders = vec![FolderSpec { path: folder.clone(), mode: 0o750, owned: true }];
    let given = [
        (folder.join("key"), 0o400),
        (folder.join("config"), 0o440),
        (house.root().join("key"), 0o400),
        (house.root().join("kept"), 0o440),
    ];
    spec.files = given
        .clone()
        .map(|(path, mode)| FileSpec { path, content: Secret::from(String::from("x")), mode, owned: true })
        .to_vec();
    core.spawn(spec);
    assert!(given.iter().all(|(path, _)| path.exists()));
    core.stop("api/1", 5_000);
    core.exited();
    core.send(&Order::Drained { exit_code: 0 });
    core.exit(0);
    assert_eq!(house.wait_for_end().code(), Some(0));
    let exists = given.map(|(path, _)| path.exists());
    assert_eq!(exists, [false, false, false, true]);
}

#[test]
fn a_process_that_was_stopped_hears_that_it_shall_end() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let script = "trap 'echo heard; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let (pid, _) = core.spawn(house.spec("api/1", 1, script));
    house.wait_for_log("api/1", "ready");
    signal(pid, libc::SIGSTOP);
    eventually("it is stopped", || status_of(pid, "State").starts_with('T'));
    core.stop("api/1", 60_000);
    assert_eq!(core.exited().exit, ExitKind::Code(7));
}
