//! Commands, their exit codes and their help, with and without a running house.

use crate::home::{Home, SOON, server};
use haus_testkit::{CliOutput, TestHouse};
use std::fs;
use std::path::Path;

fn haus(plan: &str) -> TestHouse {
    TestHouse::new(env!("CARGO_BIN_EXE_haus"), plan)
}

const CLEAN: &str = "haus: 1\nhouse: small\nservices:\n  web: { run: sleep 1, health: { process: true } }\n";
const WARNED: &str = "haus: 1\nhouse: small\nservices:\n  web: { run: sleep 1 }\n";
const BROKEN: &str = "haus: 1\nhouse: small\nservices:\n  web: { runn: sleep 1, needs: [wbe] }\n";

#[track_caller]
fn check(output: &CliOutput, code: i32, parts: &[&str]) {
    assert_eq!(output.code, Some(code), "{output:?}");
    for part in parts {
        assert!(output.stdout.contains(part) || output.stderr.contains(part), "lacks {part:?}: {output:?}");
    }
}

#[test]
fn check_tells_clean_from_warned_from_broken_from_unreadable() {
    check(&haus(CLEAN).run(&["check"]), 0, &["clean", "0 errors"]);
    check(&haus(WARNED).run(&["check"]), 1, &["HP0105", "1 warning"]);
    let broken = haus(BROKEN);
    check(&broken.run(&["check"]), 1, &["house.yaml:4:10", "runn", "`run`", "HP0012", "HP0101"]);
    check(&broken.run(&["check", "house.yaml", "nowhere"]), 2, &["HP0012", "nowhere"]);
    let json = broken.run(&["check", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, told["plans"].as_array().map(Vec::len)), (Some(1), Some(1)), "{told}");
    check(&broken.run(&["check", "--format", "xml"]), 2, &["xml"]);
    check(&broken.run(&["chekc"]), 2, &["chekc", "check"]);
}

#[test]
fn a_plan_with_errors_starts_nothing() {
    let house = haus(BROKEN);
    let state = house.state();
    let state = state.to_str().unwrap();
    check(&house.run(&["up", "--state", state]), 1, &["nothing was started", "HP0012", "haus check"]);
    assert!(!Path::new(state).exists());
    check(&house.run(&["up", "nowhere", "--state", state]), 2, &["nowhere"]);
    let stages = "stages:\n  staging: { domain: staging.example }\n  production: { domain: app.example }\n";
    house.write("house.yaml", &format!("{CLEAN}{stages}"));
    check(&house.run(&["up", "--state", state]), 2, &["--stage", "staging", "production"]);
    check(&house.run(&["up", "--stage", "prod", "--state", state]), 2, &["no stage `prod`", "production"]);
    assert!(!Path::new(state).exists());
}

#[test]
fn a_chosen_stage_comes_up() {
    let stages =
        "stages:\n  staging: { domain: staging.localhost }\n  production: { domain: app.localhost }\n";
    let body = format!("services:\n{}{stages}routes:\n  \"web.${{domain}}\": web\n", server("web", "", ""));
    let mut home = Home::new(&body);
    home.house.up(&["--stage", "staging"]);
    home.house.wait_for_line("up: ", SOON);
    assert_eq!(
        (&home.status()["stage"], &home.status()["domain"]),
        (&"staging".into(), &"staging.localhost".into())
    );
    let answer = haus_testkit::http_get(home.gateway, "web.staging.localhost", "/who").unwrap();
    assert_eq!(answer.status, 200);
    home.down();
}

#[test]
fn the_only_stage_on_this_machine_needs_no_name() {
    let stages = "stages:\n  here: { hosts: none }\n  there: { hosts: { far: { connect: ssh://root@far.example } } }\nhosts: { far: { os: debian-12 } }\n";
    let mut home = Home::new(&format!("services:\n{}{stages}", server("web", "", "")));
    home.house.up(&[]);
    home.house.wait_for_line("up: ", SOON);
    assert_eq!(home.status()["stage"], "here");
    home.down();
}

#[test]
fn a_second_up_says_who_holds_the_house() {
    let mut home = Home::up(&format!("services:\n{}", server("web", "", "")));
    let pid = home.pid("web/1");
    let folder = home.house.folder();
    let second = home.house.ask(&["up", folder.to_str().unwrap()]);
    let holder = format!("process {}", home.house.up_pid());
    check(&second, 3, &[&holder, &folder.display().to_string(), "since 20", "haus down"]);
    assert_eq!(home.pid("web/1"), pid);
    home.down();
}

#[test]
fn of_two_houses_started_at_once_one_comes_up() {
    let mut home = Home::new(&format!("services:\n{}", server("web", "", "")));
    let folder = home.house.folder();
    let folder = folder.to_str().unwrap();
    home.house.up(&[]);
    let state = home.house.state();
    let mut second = std::process::Command::new(env!("CARGO_BIN_EXE_haus"));
    second.args(["up", folder, "--state", state.to_str().unwrap()]).stdin(std::process::Stdio::null());
    let mut second =
        second.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    // Whoever lost has ended with 3; the other one runs.
    let mut ended = None;
    haus_testkit::wait_until("one of them to give way", SOON, || {
        ended = second.try_wait().unwrap();
        ended.is_some() || !haus_testkit::is_running(home.house.up_pid())
    });
    match ended {
        Some(status) => {
            assert_eq!(status.code(), Some(3));
            home.house.wait_for_line("up: ", SOON);
            home.down();
        }
        None => {
            assert_eq!(home.house.wait_for_exit(SOON), Some(3));
            home.wait_for_phase("web/1", "healthy");
            home.ask(&["down"]);
            assert_eq!(second.wait().unwrap().code(), Some(0));
        }
    }
}

#[test]
fn init_writes_a_house_that_checks_clean_and_comes_up() {
    let mut home = Home::new("");
    let plan = home.house.folder().join("house.yaml");
    fs::remove_file(&plan).unwrap();
    check(&home.house.run(&["init"]), 0, &["wrote", "haus check", "haus up"]);
    check(&home.house.run(&["check"]), 0, &["clean"]);
    check(&home.house.run(&["init"]), 3, &["house.yaml is already there"]);
    check(&home.house.run(&["init", "new/My House"]), 0, &["wrote"]);
    assert!(
        fs::read_to_string(home.house.folder().join("new/My House/house.yaml"))
            .unwrap()
            .contains("house: my-house")
    );
    // The starter has the usual port and an account of its own; a test must not depend on either.
    let text = fs::read_to_string(&plan).unwrap();
    assert!(text.contains("listen: 127.0.0.1:8080") && text.contains("\n    run:"), "{text}");
    let text = text
        .replace("127.0.0.1:8080", &home.gateway.to_string())
        .replace("\n    run:", "\n    user: nobody\n    run:");
    fs::write(&plan, text).unwrap();
    home.start();
    assert_eq!(home.status()["services"][0]["health"], "healthy");
    home.down();
}

#[test]
fn findings_are_explained_and_the_schema_is_json() {
    let house = haus(CLEAN);
    check(&house.run(&["explain", "hp0012"]), 0, &["HP0012"]);
    check(&house.run(&["explain"]), 0, &["HP0001", "HP0012"]);
    check(&house.run(&["explain", "HP9999"]), 2, &["HP9999"]);
    let schema: serde_json::Value = serde_json::from_str(&house.run(&["schema"]).stdout).unwrap();
    assert!(schema["$schema"].is_string() && schema["properties"]["services"].is_object(), "{schema}");
}

#[test]
fn commands_without_a_running_house_say_how_to_start_one() {
    let house = haus(CLEAN);
    for command in ["status", "events", "reload", "services", "alerts", "trail", "vault"] {
        check(&house.ask(&[command]), 3, &["no house runs", "haus up"]);
    }
    check(&house.ask(&["restart", "web"]), 3, &["no house runs"]);
    check(&house.ask(&["down"]), 0, &["nothing to do"]);
    check(&house.ask(&["logs", "web"]), 2, &["no log of `web`"]);
}

/// With `HAUS_GOLDEN=write` the file is written instead; read it before you keep it.
#[test]
fn the_help_of_every_command_is_as_written() {
    let house = haus(CLEAN);
    let commands = [
        "check",
        "up",
        "serve",
        "status",
        "logs",
        "events",
        "restart",
        "reload",
        "down",
        "credential",
        "credential create",
        "credential list",
        "credential show",
        "credential versions",
        "credential rotate",
        "credential revoke",
        "credential import",
        "token",
        "token create",
        "token list",
        "token revoke",
        "token rotate-key",
        "services",
        "discover",
        "alerts",
        "alerts silence",
        "alerts unsilence",
        "trail",
        "trail show",
        "trail export",
        "trail verify",
        "vault",
        "vault status",
        "vault rotate-key",
        "init",
        "explain",
        "schema",
    ];
    let mut text = house.run(&["--help"]).stdout;
    for command in commands {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = house.run(&words);
        assert_eq!(help.code, Some(0), "{help:?}");
        text.push_str(&format!("\n$ haus {command} --help\n{}", help.stdout));
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/help.txt");
    if std::env::var("HAUS_GOLDEN").is_ok_and(|value| value == "write") {
        fs::create_dir_all(golden.parent().unwrap()).unwrap();
        fs::write(&golden, &text).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(text, expected, "run with HAUS_GOLDEN=write when the change is meant");
}
