//! What cannot start says why, with the remedy, and the rest of the house lives.

use crate::home::{Home, SOON, server, service};
use haus_testkit::{Signal, TestHouse, is_root, kill, loud_skip, wait_until};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

const GIVES_UP: &str = "recover: { tries: 2, first: 50ms, most: 100ms }";

/// A house with a neighbour that is not concerned, up as far as it comes.
fn with_neighbour(concerned: &str) -> Home {
    let mut home = Home::new(&format!("services:\n{concerned}{}", server("neighbour", "", "")));
    home.begin();
    home
}

/// The concerned service is given up for a reason with all these parts; the neighbour is healthy.
#[track_caller]
fn check_given_up(mut home: Home, subject: &str, parts: &[&str]) {
    let why = home.wait_for_phase(subject, "given up");
    for part in parts {
        assert!(why.contains(part), "the reason lacks {part:?}: {why}");
    }
    home.wait_for_phase("neighbour/1", "healthy");
    home.down();
}

#[test]
fn a_missing_program_is_named_with_the_remedy() {
    let lost = server("lost", "", &format!("run: no-such-program --port ${{port}}\n{GIVES_UP}"));
    check_given_up(with_neighbour(&lost), "lost/1", &["there is no program `no-such-program`", "install"]);
}

#[test]
fn a_missing_working_folder_is_named() {
    let lost = server("lost", "", &format!("in: nowhere\n{GIVES_UP}"));
    check_given_up(with_neighbour(&lost), "lost/1", &["nowhere does not exist"]);
}

#[test]
fn a_folder_that_the_account_cannot_enter_is_named_with_its_mode() {
    if !is_root() {
        return loud_skip(
            "a_folder_that_the_account_cannot_enter_is_named_with_its_mode",
            "services have other accounts than ours only when root starts them",
        );
    }
    let shut = server("shut", "", &format!("in: closed/inner\n{GIVES_UP}"));
    let mut home = Home::new(&format!("services:\n{shut}{}", server("neighbour", "", "")));
    home.house.write("closed/inner/server.py", "");
    let closed = home.house.folder().join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    home.begin();
    let named = format!("{} has mode 0700", closed.display());
    check_given_up(home, "shut/1", &["account nobody cannot enter", &named, "chmod o+x"]);
}

#[test]
fn a_prepare_step_that_fails_keeps_the_service_from_starting() {
    let raw = server(
        "raw",
        "",
        &format!("prepare: [\"true\", [/bin/sh, -c, \"echo no luck; exit 3\"]]\n{GIVES_UP}"),
    );
    let waits = server("waits", "", "needs: [raw]");
    let mut home = with_neighbour(&format!("{raw}{waits}"));
    let why = home.wait_for_phase("raw/1", "given up");
    assert!(why.contains("prepare/2 failed: exit code 3") && why.contains("haus logs raw"), "{why}");
    assert!(home.ask(&["logs", "raw"]).contains("out no luck"));
    assert!(home.wait_for_phase("waits", "waiting").contains("raw"));
    assert_eq!(home.processes_with("server.py"), 1, "only the neighbour runs");
    home.down();
}

fn prepared(lines: &str) -> String {
    let steps: Vec<String> = lines
        .split(' ')
        .map(|line| format!("[/bin/sh, -c, \"echo {line} >> ${{data}}/prepared\"]"))
        .collect();
    format!("services:\n{}", server("web", "", &format!("prepare: [{}]", steps.join(", "))))
}

fn read_prepared(house: &TestHouse) -> String {
    fs::read_to_string(house.state().join("data/web/1/prepared")).unwrap_or_default()
}

#[test]
fn preparation_runs_once_and_again_when_it_changes() {
    let mut home = Home::up(&prepared("one two"));
    assert_eq!(read_prepared(&home.house), "one\ntwo\n");
    home.ask(&["restart", "web"]);
    home.down();
    home.start();
    assert_eq!(read_prepared(&home.house), "one\ntwo\n");
    home.plan(&prepared("one three"));
    home.ask(&["reload"]);
    home.ask(&["restart", "web"]);
    wait_until("the new preparation", SOON, || read_prepared(&home.house) == "one\ntwo\none\nthree\n");
    home.wait_for_phase("web/1", "healthy");
    home.down();
}

fn interrupted(kill_it: impl Fn(&mut Home)) {
    // Begins, waits for a file, and only then has done its work.
    let script = "echo begun >> ${data}/prepared; while [ ! -e go ]; do sleep 0.02; done; echo done >> ${data}/prepared";
    let web = server("web", "", &format!("prepare: [[/bin/sh, -c, \"{script}\"]]"));
    let mut home = Home::new(&format!("services:\n{web}"));
    home.begin();
    wait_until("the preparation to begin", SOON, || read_prepared(&home.house) == "begun\n");
    kill_it(&mut home);
    wait_until("the preparation to begin again", SOON, || read_prepared(&home.house) == "begun\nbegun\n");
    assert_eq!(home.processes_with("server.py"), 0, "nothing starts before the preparation is done");
    // Looked at until it holds: a shell that forks shows twice for a moment.
    wait_until("the interrupted preparation to be gone", SOON, || home.processes_with("echo begun") == 1);
    home.house.write("go", "");
    home.wait_for_phase("web/1", "healthy");
    assert_eq!(read_prepared(&home.house), "begun\nbegun\ndone\n");
    home.down();
}

#[test]
fn a_preparation_interrupted_by_the_death_of_the_parent_runs_again() {
    interrupted(|home| {
        home.house.signal(Signal::KILL);
        home.house.wait_for_exit(SOON);
        home.begin();
    });
}

#[test]
fn a_preparation_interrupted_by_the_death_of_the_core_runs_again() {
    interrupted(|home| kill(home.house.core_pid().unwrap(), Signal::KILL));
}

#[test]
fn a_preparation_that_was_killed_has_failed_and_is_not_taken_for_done() {
    let script = "echo begun $$ >> ${data}/prepared; while [ ! -e go ]; do sleep 0.02; done";
    let web = server("web", "", &format!("prepare: [[/bin/sh, -c, \"{script}\"]]\n{GIVES_UP}"));
    let mut home = Home::new(&format!("services:\n{web}"));
    home.begin();
    let number = haus_testkit::wait_for("the preparation to begin", SOON, || {
        read_prepared(&home.house).lines().next()?.strip_prefix("begun ")?.parse().ok()
    });
    kill(number, Signal::KILL);
    home.wait_for_reason("web/1", "killed by SIGKILL");
    home.house.write("go", "");
    home.ask(&["restart", "web"]);
    home.wait_for_phase("web/1", "healthy");
    assert!(read_prepared(&home.house).lines().count() >= 2, "it ran again");
    home.down();
}

#[test]
fn a_link_never_replaces_what_stands_in_its_place() {
    let linked = server("linked", "", &format!("data: {{ uploads: uploads }}\n{GIVES_UP}"));
    let mut home = Home::new(&format!("services:\n{linked}{}", server("neighbour", "", "")));
    home.house.write("uploads/precious", "do not lose me");
    home.begin();
    let file = home.house.folder().join("uploads/precious");
    home.wait_for_phase("linked/1", "given up");
    assert_eq!(fs::read_to_string(file).unwrap(), "do not lose me");
    check_given_up(home, "linked/1", &["uploads"]);
}

#[test]
fn a_service_without_any_probe_is_healthy_when_it_stays_alive() {
    let quiet = service("quiet", &["run: sleep 600", "user: nobody", "health: { process: true }"], "");
    let mut home = Home::up(&format!("services:\n{quiet}"));
    assert!(home.instance("quiet/1")["pid"].is_u64());
    home.down();
}
