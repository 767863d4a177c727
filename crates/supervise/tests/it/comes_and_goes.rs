//! Services start, write, stop and end; nothing of them is left.

use haus_supervise::{ExitKind, Order, Report, StopSpec};

use crate::fixture::{House, eventually, is_running, signal};

#[test]
fn a_service_starts_writes_to_its_log_and_its_exit_is_reported() {
    let house = House::start();
    let mut core = house.core();
    let hello = core.hello();
    assert_eq!((hello.core_start, hello.parent_pid, hello.children.len()), (1, house.parent_pid(), 0));
    let (pid, _) =
        core.spawn(house.spec("api/1", 7, "echo to out; echo to err >&2; printf unfinished; exit 3"));
    let exit = core.exited();
    assert_eq!((exit.run, exit.pid, exit.exit, exit.lingering_killed), (7, pid, ExitKind::Code(3), 0));
    let mut log = house.log("api/1");
    log.sort();
    assert_eq!(log, ["to err", "to out", "unfinished"]);
}

#[test]
fn a_key_is_busy_until_its_run_has_ended() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let (pid, _) = core.spawn(house.spec("api/1", 1, "exec sleep 600"));
    let failure = core.spawn_failure(house.spec("api/1", 2, "exec sleep 600"));
    assert_eq!(failure, format!("slot: api/1 is held by run 1, process {pid} | "));
    core.stop("api/1", 5_000);
    assert_eq!(core.exited().exit, ExitKind::Signal(libc::SIGTERM));
    core.spawn(house.spec("api/1", 2, "exec sleep 600"));
}

#[test]
fn a_service_that_ignores_the_signal_is_killed_when_its_time_is_over() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    core.spawn(house.spec("api/1", 1, "trap '' TERM; echo ready; while :; do sleep 0.05; done"));
    house.wait_for_log("api/1", "ready");
    core.stop("api/1", 200);
    assert_eq!(core.exited().exit, ExitKind::Signal(libc::SIGKILL));
}

#[test]
fn a_service_may_take_the_time_it_was_given() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    core.spawn(house.spec(
        "api/1",
        1,
        "trap 'echo last words; exit 0' TERM; echo ready; while :; do sleep 0.05; done",
    ));
    house.wait_for_log("api/1", "ready");
    core.stop("api/1", 10_000);
    assert_eq!(core.exited().exit, ExitKind::Code(0));
    house.wait_for_log("api/1", "last words");
}

#[test]
fn a_service_is_stopped_as_its_spec_says() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let mut spec =
        house.spec("api/1", 1, "trap '' TERM; trap 'exit 7' INT; echo ready; while :; do sleep 0.05; done");
    spec.stop = StopSpec { signal: libc::SIGINT, within_ms: 10_000 };
    core.spawn(spec);
    house.wait_for_log("api/1", "ready");
    core.send(&Order::StopAsSpecified { key: String::from("api/1") });
    assert_eq!(core.exited().exit, ExitKind::Code(7));
}

#[test]
fn a_service_that_is_being_stopped_is_left_in_peace() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let script = "trap 'echo asked' TERM; trap 'exit 9' INT; trap 'exit 3' USR1; echo ready; \
                  while :; do sleep 0.05; done";
    let mut spec = house.spec("api/1", 1, script);
    spec.stop = StopSpec { signal: libc::SIGINT, within_ms: 0 };
    let (pid, _) = core.spawn(spec);
    house.wait_for_log("api/1", "ready");
    core.stop("api/1", 600_000);
    house.wait_for_log("api/1", "asked");
    core.send(&Order::StopAsSpecified { key: String::from("api/1") });
    // What the parent says next it says after that order.
    core.spawn(house.spec("other/1", 2, "exec sleep 600"));
    signal(pid, libc::SIGUSR1);
    assert_eq!(core.exited().exit, ExitKind::Code(3));
}

#[test]
fn an_order_to_kill_does_not_wait() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    core.spawn(house.spec("api/1", 1, "trap '' TERM; echo ready; while :; do sleep 0.05; done"));
    house.wait_for_log("api/1", "ready");
    core.stop("api/1", 600_000);
    core.send(&Order::Kill { key: String::from("api/1") });
    assert_eq!(core.exited().exit, ExitKind::Signal(libc::SIGKILL));
}

/// Runs a script that writes the pid of a process to be left behind and makes the file `THERE` once that
/// process is there; ends it, and expects that process to be gone.
fn check_left_behind(script: &str, stop: bool) {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let there = house.root().join("there");
    core.spawn(house.spec("api/1", 1, &script.replace("THERE", &there.to_string_lossy())));
    eventually("the process is there", || there.exists());
    eventually("its pid is written", || house.log("api/1").iter().any(|line| line.parse::<u32>().is_ok()));
    let left: u32 = house.log("api/1").iter().find_map(|line| line.parse().ok()).expect("pid");
    if stop {
        assert!(is_running(left));
        core.stop("api/1", 5_000);
    }
    let exit = core.exited();
    assert_eq!(exit.lingering_killed, 1, "{script}: {exit:?}");
    assert!(!is_running(left), "{script}");
}

#[test]
fn a_member_of_the_group_that_outlives_its_leader_is_ended_and_counted() {
    check_left_behind("sleep 600 & echo $!; touch THERE; exit 0", false);
    check_left_behind(
        "(trap '' TERM; touch THERE; exec sleep 600) & echo $!; until [ -e THERE ]; do :; done",
        false,
    );
}

#[test]
fn a_process_that_left_the_session_is_found_by_its_mark() {
    let leaves = "setsid sh -c 'echo $$; touch THERE; exec sleep 600'";
    check_left_behind(&format!("{leaves} & until [ -e THERE ]; do :; done"), false);
    check_left_behind(&format!("({leaves} &); exec sleep 600"), true);
}

#[test]
fn a_process_that_left_the_session_without_its_mark_is_found_by_descent() {
    let leaves = "env -i setsid /bin/sh -c 'echo $$; /usr/bin/touch THERE; exec /bin/sleep 600'";
    check_left_behind(&format!("{leaves} & exec sleep 600"), true);
}

#[test]
fn a_stop_that_comes_with_the_start_is_not_lost() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    core.send(&Order::Spawn(Box::new(house.spec("api/1", 1, "exec sleep 600"))));
    core.stop("api/1", 10_000);
    let started = core.next();
    assert!(matches!(started, Report::Spawned { .. }), "{started:?}");
    assert_eq!(core.exited().exit, ExitKind::Signal(libc::SIGTERM));
}

#[test]
fn many_services_start_and_end_together() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    for number in 0..40 {
        let spec = house.spec(&format!("many/{number}"), number, "exec sleep 600");
        core.send(&Order::Spawn(Box::new(spec)));
    }
    let mut pids = Vec::new();
    while pids.len() < 40 {
        if let Report::Spawned { pid, .. } = core.next() {
            pids.push(pid);
        }
    }
    for number in 0..40 {
        core.stop(&format!("many/{number}"), 10_000);
    }
    for _ in 0..40 {
        assert_eq!(core.exited().exit, ExitKind::Signal(libc::SIGTERM));
    }
    assert!(pids.iter().all(|pid| !is_running(*pid)));
}
