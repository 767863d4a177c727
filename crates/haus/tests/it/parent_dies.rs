//! The parent may be killed too: the next `up` settles what it left, and never touches a stranger.

use crate::home::{Home, SOON, server};
use haus_testkit::{Signal, is_running, kill, wait_for_end, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::process::{Child, Command};

fn body() -> String {
    format!("services:\n{}{}", server("web", "", ""), server("pair", "", "instances: 2"))
}

/// Kills the parent; its core must end with it.
fn kill_parent(home: &mut Home, core_first: bool) {
    let core = home.house.core_pid().expect("a core runs");
    if core_first {
        kill(core, Signal::KILL);
    }
    home.house.signal(Signal::KILL);
    assert_eq!(home.house.wait_for_exit(SOON), None);
    wait_for_end(core, SOON);
    wait_until("the end of every core", SOON, || home.house.core_pid().is_none());
}

#[test]
fn after_the_parent_was_killed_the_next_up_settles_and_starts_anew() {
    let mut home = Home::up(&body());
    let first = home.pid("web/1");
    for core_first in [false, true] {
        let pids = ["web/1", "pair/1", "pair/2"].map(|id| home.pid(id));
        kill_parent(&mut home, core_first);
        assert!(pids.iter().all(|pid| is_running(*pid)), "services run on without care");
        home.start();
        for pid in pids {
            assert!(!is_running(pid), "process {pid} of the earlier house runs beside the new one");
        }
        assert_eq!(home.processes_with("server.py"), 3);
        let said = home.house.lines().join("\n");
        assert!(
            said.contains(&format!("process {}", pids[0])) && said.contains("was left by a parent that died"),
            "{said}"
        );
    }
    home.wait_for_events(2, "house", "settled: web/1");
    assert_ne!(home.pid("web/1"), first);
    home.down();
}

#[test]
fn what_was_settled_is_told_once_even_when_the_core_comes_back() {
    let mut home = Home::up(&body());
    kill_parent(&mut home, false);
    home.start();
    let core = home.house.core_pid().unwrap();
    kill(core, Signal::KILL);
    wait_until("another core", SOON, || home.try_status().is_some_and(|status| status["core_pid"] != core));
    home.wait_for_events(1, "house", "the core came back");
    assert_eq!(home.events_of("house", "settled: web/1").len(), 1);
    home.down();
}

/// A process that does not belong to the house. It leads no session, like most processes.
struct Stranger(Child);

impl Stranger {
    fn start() -> Stranger {
        Stranger(Command::new("sleep").arg("600").spawn().expect("sleep is there"))
    }

    fn identity(&self) -> (u32, u64) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("a state follows").split(' ').collect();
        (self.0.id(), fields[19].parse().expect("field 22 is the start time"))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stranger_with_a_recorded_process_number_is_not_touched() {
    let mut home = Home::up(&body());
    let pids = ["web/1", "pair/1", "pair/2"].map(|id| home.pid(id));
    kill_parent(&mut home, false);
    for pid in pids {
        kill(pid, Signal::KILL);
        wait_for_end(pid, SOON);
    }
    let strangers = [Stranger::start(), Stranger::start(), Stranger::start()];
    let path = home.house.state().join("children.json");
    let mut list: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let children = list["children"].as_array_mut().unwrap();
    assert_eq!(children.len(), 3);
    // The kernel has given the numbers of our services to strangers: started later, in another boot, or (no
    // forgery can be better) at the same time.
    for ((child, stranger), way) in children.iter_mut().zip(&strangers).zip(["later", "boot", "same"]) {
        let (number, ticks) = stranger.identity();
        child["process"]["pid"] = json!(number);
        match way {
            "boot" => child["process"]["boot_id"] = json!("00000000-0000-0000-0000-000000000000"),
            "same" => child["process"]["start_ticks"] = json!(ticks),
            _ => {}
        }
    }
    fs::write(&path, serde_json::to_vec(&list).unwrap()).unwrap();
    home.start();
    for mut stranger in strangers {
        assert!(stranger.0.try_wait().unwrap().is_none(), "a stranger was ended");
    }
    home.down();
}

#[test]
fn an_unreadable_list_of_children_is_said_and_does_not_stop_the_house() {
    let mut home = Home::up(&body());
    home.down();
    fs::write(home.house.state().join("children.json"), "{\"version\":1,").unwrap();
    home.start();
    assert!(home.house.lines().join("\n").contains("children.json"), "{:?}", home.house.lines());
    home.down();
}
