//! The core may die at any time: services never notice, and what it cannot mend ends the house in order.

use crate::home::{Home, SOON, server};
use haus_testkit::{Signal, http_get, is_running, kill, wait_for, wait_for_end, wait_until};
use std::collections::BTreeSet;

fn body() -> String {
    let services =
        [server("web", "", ""), server("pair", "", "instances: 2"), server("last", "", "needs: [web]")];
    format!("services:\n{}routes:\n  \"web.${{domain}}\": web\n", services.concat())
}

/// Kills the core and waits until another one answers through status and gateway.
fn kill_core(home: &Home) {
    let core = wait_for("a core", SOON, || home.house.core_pid());
    kill(core, Signal::KILL);
    wait_for_end(core, SOON);
    wait_until("another core to answer", SOON, || {
        let answers = home.try_status().is_some_and(|status| status["core_pid"] != core);
        answers && http_get(home.gateway, &home.host("web"), "/who").is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn services_keep_their_processes_when_the_core_is_killed() {
    let mut home = Home::up(&body());
    let ids = ["web/1", "pair/1", "pair/2", "last/1"];
    let facts = |home: &Home| {
        ids.map(|id| {
            home.wait_for_phase(id, "healthy");
            let instance = home.instance(id);
            [&instance["pid"], &instance["run"], &instance["ports"]].map(ToString::to_string)
        })
    };
    let before = facts(&home);
    kill_core(&home);
    assert_eq!(facts(&home), before);
    // Somebody edits the plan meanwhile: the accepted one goes on.
    home.house.write("house.yaml", "haus: 1\nhouse: [\n");
    kill_core(&home);
    assert_eq!(facts(&home), before);
    assert_eq!(home.processes_with("server.py"), 4);
    home.wait_for_events(2, "house", "the core came back; 4 instances ran on");
    assert_eq!(home.instance("web/1")["restarts"], 0);
    home.down();
}

#[test]
fn a_service_that_dies_while_the_core_is_away_is_restarted() {
    let mut home = Home::up(&body());
    let pid = home.pid("web/1");
    kill_core(&home);
    let core = home.house.core_pid().unwrap();
    // The second start of a core has a pause before it, in which nobody but the parent sees the end of the
    // service.
    kill(core, Signal::KILL);
    kill(pid, Signal::KILL);
    home.wait_for_successor("web/1", pid);
    home.wait_for_events(1, "web/1", &format!("process {pid} ended: killed by SIGKILL"));
    home.down();
}

#[test]
fn a_house_can_be_brought_down_right_after_its_core_was_killed() {
    let mut home = Home::up(&body());
    kill_core(&home);
    kill_core(&home);
    kill(home.house.core_pid().unwrap(), Signal::KILL);
    home.down();
}

#[test]
fn orders_given_before_the_core_died_are_carried_out_after_it() {
    let mut home = Home::up(&body());
    let pid = home.pid("web/1");
    home.ask(&["restart", "web"]);
    kill(home.house.core_pid().unwrap(), Signal::KILL);
    wait_until("everything to be healthy", SOON, || {
        home.try_status().is_some_and(|status| status["ready"] == true)
    });
    // Whether the order arrived or not: one process each, and the gateway knows which.
    assert_eq!(home.processes_with("server.py"), 4);
    let now = home.pid("web/1");
    assert!(now == pid || !is_running(pid), "two processes of web/1: {pid} and {now}");
    assert_eq!(home.get("web", "/who").text(), format!("web/1 {now}"));
    home.down();
}

#[test]
fn a_core_whose_accepted_plan_is_unreadable_reads_the_plan_itself() {
    let mut home = Home::up(&body());
    let pid = home.pid("web/1");
    std::fs::write(home.house.state().join("accepted.json"), "{").unwrap();
    kill_core(&home);
    assert_eq!(home.pid("web/1"), pid, "{}", home.house.lines().join("\n"));
    home.down();
}

/// What a broken disk makes of the database.
fn damage_database(home: &Home) {
    std::fs::write(home.house.state().join("house.db"), [0x55; 8192]).expect("the state is our own");
    for beside in ["house.db-wal", "house.db-shm"] {
        let _ = std::fs::remove_file(home.house.state().join(beside));
    }
}

#[test]
fn a_core_comes_back_without_its_database_and_says_so() {
    let mut home = Home::up(&body());
    let pid = home.pid("web/1");
    damage_database(&home);
    kill_core(&home);
    assert_eq!(home.pid("web/1"), pid);
    assert_eq!(home.status()["store"]["writable"], false);
    assert!(home.house.ask(&["status"]).stdout.contains("NOT WRITABLE"));
    home.down();
}

#[test]
fn a_damaged_database_ends_the_start_with_its_name_and_leaves_nothing() {
    let mut home = Home::up(&body());
    home.down();
    damage_database(&home);
    home.house.forget_lines();
    home.house.up(&[]);
    assert_eq!(home.house.wait_for_exit(SOON), Some(4));
    let said = home.house.lines().join("\n");
    assert!(said.contains("error: ") && said.contains("house.db") && said.contains("help: "), "{said}");
    assert_eq!(home.house.processes(), []);
}

#[test]
fn services_outlive_a_core_that_cannot_come_back_until_it_can() {
    let mut home = Home::up(&body());
    let services: BTreeSet<u32> = home.house.service_pids().into_iter().collect();
    assert_eq!(services.len(), 4);
    // Both ways on are closed: no accepted plan, and a plan with errors.
    let accepted = std::fs::read(home.house.state().join("accepted.json")).unwrap();
    std::fs::write(home.house.state().join("accepted.json"), "{").unwrap();
    let plan = std::fs::read_to_string(home.house.folder().join("house.yaml")).unwrap();
    home.house.write("house.yaml", "haus: 1\nhouse: [\n");
    kill(home.house.core_pid().unwrap(), Signal::KILL);
    home.house.wait_for_line("has errors", SOON);
    assert!(services.iter().all(|pid| is_running(*pid)), "services run on without a core");
    home.house.write("house.yaml", &plan);
    std::fs::write(home.house.state().join("accepted.json"), accepted).unwrap();
    home.status();
    assert_eq!(home.house.service_pids().into_iter().collect::<BTreeSet<u32>>(), services);
    home.down();
}
