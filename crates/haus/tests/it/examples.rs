//! The examples of `docs/api.md`, run as they stand there: each language is one program from top to bottom.
//!
//! It takes the blocks out of the page and knows nothing of what they ask; the house is the one of the page.

use crate::open_house::{OpenHouse, echo, good};
use haus_testkit::loud_skip_mandatory;
use serde_json::json;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// As in the page's own plan; the service that is called tells what reached it.
const SCANNER: &str =
    "  scanner: { as: external, credentials: { KEY: scanner-key }, config: { days: 14 } }\n";
const REST: &str = "credentials:\n  scanner-key: { length: 32, scope: [scanner] }\n";

/// All blocks of one language, in their order.
fn program(language: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let page = std::fs::read_to_string(page).expect("docs/api.md is in the repository");
    let mut text = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(kind) if !inside => inside = kind == language,
            Some(_) => inside = false,
            None if inside => text.extend([line, "\n"]),
            None => {}
        }
    }
    assert!(text.lines().count() > 20, "docs/api.md has hardly any {language}");
    text
}

fn run(command: &mut Command, program: &str, house: &OpenHouse, folder: &Path) -> Output {
    let scanner = json!({ "service": "scanner", "scopes": ["gateway:call:web"] });
    let admin = json!({ "name": "alice", "scopes": ["admin"] });
    command
        .current_dir(folder)
        .env("HAUS_API", format!("http://{}", house.port))
        .env("ENROLMENT", house.enrolment(scanner))
        .env("ADMIN_ENROLMENT", house.enrolment(admin))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it answered a moment ago");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(program.as_bytes()).expect("the whole program is read");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// Runs the blocks of one language; what they print must hold each of `expected`.
fn check(language: &str, command: &[&str], needs: &[&str], expected: &[&str]) {
    let lacks = |program: &&&str| {
        let asked =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        !asked.is_ok_and(|status| status.success())
    };
    let missing: Vec<&str> = command[..1].iter().chain(needs).filter(lacks).copied().collect();
    if !missing.is_empty() {
        loud_skip_mandatory(&format!("examples in {language}"), &format!("missing: {}", missing.join(", ")));
        return;
    }
    let mut house = OpenHouse::new(&format!("{}{SCANNER}", echo("web", "")), REST);
    // The scanner registers in the examples only, so the house is not whole before.
    house.home.begin();
    house.wait_for_api();
    house.home.wait_for_phase("web/1", "healthy");
    let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
    let output = run(Command::new(command[0]).args(&command[1..]), &program(language), &house, folder.path());
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    for part in expected {
        assert!(said.contains(part), "{part:?} was not printed:\n{said}\n{complained}");
    }
    let left = good(&house.ask(None, "GET", "/api/services/scanner", None));
    assert_eq!(left["instances"], json!([]), "the example has not left: {left}");
}

#[test]
fn the_examples_for_curl_do_what_the_page_says() {
    let expected = [
        "service:scanner\n",
        "{\"id\":\"scanner/workshop-1\",\"heartbeat_interval_s\":30,\"config\":{\"days\":14}}\n",
        "scanner-key, version 1\n",
        "unchanged: 304\n",
        "\"health\":\"healthy\"",
        "\"reset\":false",
        "data:",
        "\nweb/1\n",
        "\"status_code\":200",
        "\"to_version\":2",
    ];
    check("sh", &["bash", "-euo", "pipefail"], &["curl", "jq"], &expected);
}

#[test]
fn the_examples_for_python_do_what_the_page_says() {
    let expected = [
        "service:scanner\n",
        "scanner/workshop-2 30 {'days': 14}\n",
        "['scanner-key'] for ",
        "unchanged: 304\n",
        " healthy ",
        "200 web/1 {",
        "'path': '/orders?dry=1'",
        " 2\n",
    ];
    check("python", &["python3", "-I", "-"], &[], &expected);
}

#[test]
fn the_examples_for_node_do_what_the_page_says() {
    let expected = [
        "service:scanner\n",
        "scanner/workshop-3 30 { days: 14 }\n",
        "[ 'scanner-key' ] for ",
        " healthy ",
        "path: '/orders?dry=1'",
        " 2\n",
    ];
    check("js", &["node", "--input-type=module", "-"], &[], &expected);
}
