//! Services that leave the plan and come back, and ends that are interrupted: what a reviewer broke once.

use crate::home::{Home, SOON, free_port, server, service};
use haus_testkit::{Signal, is_running, kill, wait_until};

/// A house in which something always runs.
fn with(others: &str) -> String {
    format!("services:\n{}{others}", server("kept", "", ""))
}

#[test]
fn a_service_that_leaves_while_it_is_prepared_can_come_back() {
    let slow = "prepare: [[/bin/sh, -c, \"while ! test -e go; do sleep 0.05; done\"]]";
    let slow = with(&server("slow", "", slow));
    let mut home = Home::up(&with(""));
    home.plan(&slow);
    home.ask(&["reload"]);
    home.wait_for_phase("slow", "preparing");
    home.plan(&with(""));
    home.ask(&["reload"]);
    home.plan(&slow);
    home.ask(&["reload"]);
    home.house.write("go", "");
    home.wait_for_phase("slow/1", "healthy");
    home.down();
}

#[test]
fn a_service_that_comes_back_has_its_port_and_its_preparation() {
    let web = with(&server("web", "", "prepare: [[/bin/sh, -c, \"echo again >> ${data}/prepared\"]]"));
    let mut home = Home::up(&web);
    let (port, pid) = (home.port("web/1"), home.pid("web/1"));
    home.plan(&with(""));
    assert_eq!(home.ask(&["reload"]), "removed: web\n");
    wait_until("its end", SOON, || !is_running(pid));
    home.plan(&web);
    assert_eq!(home.ask(&["reload"]), "added: web\n");
    home.wait_for_successor("web/1", pid);
    assert_eq!(home.port("web/1"), port);
    let prepared = std::fs::read_to_string(home.house.state().join("data/web/1/prepared")).unwrap();
    assert_eq!(prepared, "again\n");
    home.down();
}

#[test]
fn a_removed_service_is_stopped_as_its_own_plan_said() {
    let polite = service(
        "polite",
        &[
            "run: [/bin/sh, -c, \"trap 'echo asked by INT; exit 0' INT; trap '' TERM; while :; do sleep 0.05; done\"]",
            "user: nobody",
            "health: { process: true }",
            "stop: { signal: INT, within: 30s }",
        ],
        "",
    );
    let mut home = Home::up(&with(&polite));
    let pid = home.pid("polite/1");
    home.plan(&with(""));
    home.ask(&["reload"]);
    wait_until("its end", SOON, || !is_running(pid));
    // Its last line is read from the pipe after its end.
    wait_until("its last word", SOON, || home.ask(&["logs", "polite"]).contains("asked by INT"));
    home.down();
}

#[test]
fn a_house_that_goes_down_stays_down_when_its_core_dies_on_the_way() {
    let stubborn = server("stubborn", "term=ignore", "stop: { within: 8s }");
    let mut home = Home::up(&with(&stubborn));
    let core = home.house.core_pid().unwrap();
    let state = home.house.state();
    let down = std::thread::spawn({
        let mut down = std::process::Command::new(env!("CARGO_BIN_EXE_haus"));
        down.args(["down", "--state"]).arg(&state);
        move || down.output().unwrap()
    });
    home.wait_for_phase("stubborn/1", "stopping");
    kill(core, Signal::KILL);
    let ended = home.house.wait_for_exit(SOON);
    assert!(ended.is_some(), "{:?}", home.house.lines());
    down.join().unwrap();
    assert_eq!(home.house.processes(), []);
}

#[test]
fn a_changed_port_of_the_api_is_left_to_the_next_up() {
    let (old, new) = (free_port(), free_port());
    let plan = |port: u16| {
        let desk = service("desk", &["as: coordinator"], &format!("ports: {{ http: {port} }}"));
        let told = server("told", "", "needs: [desk]\nenv: { DESK: \"${desk.port}\" }");
        format!("services:\n{desk}{told}")
    };
    let mut home = Home::up(&plan(old));
    let pid = home.pid("told/1");
    home.plan(&plan(new));
    for _ in 0..2 {
        let said = home.ask(&["reload"]);
        assert!(said.contains("only with a new `haus up`: desk: the API's own port"), "{said}");
    }
    assert_eq!((home.pid("told/1"), home.port("desk/1")), (pid, old));
    home.down();
    home.start();
    assert_eq!(home.port("desk/1"), new);
    home.down();
}
