//! `haus credential`: values go in from files, standard input and the terminal, and never come out.

use crate::home::{Home, SOON, server};
use haus_api::credential::{Credential, RotationView, Version};
use haus_testkit::{CliOutput, wait_for};
use std::io::Write as _;
use std::process::{Command, Stdio};

const PLAN: &str =
    "credentials:\n  web-key: { length: 40, scope: [web] }\n  mail: { given: true, scope: [web] }\n";

fn home() -> Home {
    let web = server("web", "", "credentials: { WEB_KEY: web-key }");
    Home::up(&format!("services:\n{web}{}{PLAN}", server("other", "", "")))
}

/// `haus ARGUMENTS` with this on standard input.
fn told(home: &Home, arguments: &[&str], input: &str) -> CliOutput {
    let mut child = Command::new(env!("CARGO_BIN_EXE_haus"))
        .args(arguments)
        .args(["--state".as_ref(), home.house.state().as_os_str()])
        .current_dir(home.house.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A command that needs no input may end without reading it.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("its output is text of ours");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    CliOutput { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[track_caller]
fn check(output: &CliOutput, code: i32, parts: &[&str]) {
    assert_eq!(output.code, Some(code), "{output:?}");
    for part in parts {
        assert!(output.stdout.contains(part) || output.stderr.contains(part), "lacks {part:?}: {output:?}");
    }
    // Every value of these tests looks like this.
    let all = format!("{}{}", output.stdout, output.stderr);
    assert!(!all.contains("hunter2"), "a value came out: {output:?}");
}

fn shown(home: &Home, name: &str) -> Credential {
    serde_json::from_str(&home.ask(&["credential", "show", name, "--json"])).expect("a credential")
}

#[test]
fn a_credential_is_made_listed_shown_and_revoked() {
    let mut home = home();
    let ask = |arguments: &[&str]| home.house.ask(&[&["credential"], arguments].concat());
    check(
        &told(&home, &["credential", "create", "web/key", "--from", "-"], "hunter2\n"),
        0,
        &["web/key", "web"],
    );
    check(
        &ask(&["create", "key", "-s", "other", "--length", "20", "--scope", "web", "--kind", "jwt"]),
        0,
        &["other/key", "generated", "web"],
    );
    check(
        &told(&home, &["credential", "create", "mail", "--from", "-"], "hunter2-mail"),
        0,
        &["/mail", "version 1"],
    );
    check(&ask(&["list"]), 0, &["web/key", "other/key", "/mail", "/web-key", "jwt"]);
    let listed: Vec<Credential> = serde_json::from_str(&home.ask(&["credential", "list", "--json"])).unwrap();
    assert_eq!(listed.len(), 4);
    check(&ask(&["show", "web/key"]), 0, &["made by", "the API"]);
    check(&ask(&["show", "/mail"]), 0, &["the plan"]);
    let versions = home.ask(&["credential", "versions", "web/key", "--json"]);
    let versions: Vec<Version> = serde_json::from_str(&versions).unwrap();
    assert_eq!((versions.len(), versions[0].state.as_str()), (1, "current"));
    check(&ask(&["revoke", "web/key"]), 3, &["not confirmed", "--yes"]);
    check(&ask(&["revoke", "web/key", "--yes"]), 0, &["revoked"]);
    check(&ask(&["show", "web/key"]), 2, &["no credential `web/key`", "credential list"]);
    check(&ask(&["revoke", "web-key", "--yes"]), 3, &["the plan"]);
    home.down();
}

#[test]
fn what_cannot_be_meant_or_given_is_refused() {
    let mut home = home();
    let ask = |arguments: &[&str]| home.house.ask(&[&["credential"], arguments].concat());
    for service in ["web", "other"] {
        check(&ask(&["create", "key", "-s", service, "--generate"]), 0, &["key"]);
    }
    let both = [shown(&home, "web/key").id, shown(&home, "other/key").id];
    check(&ask(&["show", "key"]), 3, &["several", "web/key", "other/key", &both[0], &both[1]]);
    check(&ask(&["show", &both[1]]), 0, &["other/key"]);
    check(&ask(&["create", "web/key", "--generate"]), 3, &["there already"]);
    check(&ask(&["create", "x=hunter2", "-s", "web"]), 2, &["use another one"]);
    check(&ask(&["create", "x", "-s", "nobody", "--generate"]), 2, &["no service `nobody`"]);
    check(&ask(&["create", "nothing", "--generate"]), 2, &["nothing"]);
    check(&ask(&["create", "x", "-s", "web"]), 2, &["no terminal", "--from"]);
    check(&ask(&["create", "x", "-s", "web", "--from", "missing"]), 2, &["missing"]);
    check(&told(&home, &["credential", "create", "x", "-s", "web", "--from", "-"], "\n"), 2, &["is empty"]);
    check(&ask(&["create", "x", "-s", "web", "--from", "f", "--generate"]), 2, &["--generate"]);
    home.down();
    check(&home.house.ask(&["credential", "list"]), 3, &["no house runs"]);
}

#[test]
fn a_rotation_is_waited_for_and_delivered() {
    let mut home = home();
    let file = home.house.state().join("run/credentials/web/1/WEB_KEY");
    let before = std::fs::read_to_string(&file).unwrap();
    let output = home.house.ask(&["credential", "rotate", "web-key", "--wait"]);
    check(&output, 0, &["version 2 is in force"]);
    let after =
        wait_for("the new value", SOON, || std::fs::read_to_string(&file).ok().filter(|now| *now != before));
    assert!(!output.stdout.contains(&after) && !output.stdout.contains(&before), "{output:?}");
    check(&home.house.ask(&["credential", "create", "key", "-s", "web", "--generate"]), 0, &[]);
    let begun = home.ask(&["credential", "rotate", "web/key", "--json"]);
    assert_eq!(serde_json::from_str::<RotationView>(&begun).unwrap().to_version, 2);
    home.down();
}

#[test]
fn a_file_is_imported_as_a_whole_or_not_at_all() {
    let mut home = home();
    let import =
        |text: &str, more: &[&str]| told(&home, &[&["credential", "import", "-"], more].concat(), text);
    let bad = "A_KEY=hunter2\nB=hunter2$x\nC\nWEB_KEY='hunter2'\n";
    check(&import(bad, &["-s", "web"]), 1, &["line 2", "line 3", "single quotes", "nothing was done"]);
    assert!(home.house.ask(&["credential", "show", "web/a-key"]).code == Some(2), "nothing was made");
    let good = "A_KEY=hunter2\nB='hunter2 $x'\n";
    check(&import(good, &["-s", "web", "--dry-run"]), 0, &["would be made", "web/a-key", "web/b"]);
    check(&import(good, &["-s", "web"]), 0, &["line 1", "web/a-key", "made"]);
    check(&import(good, &["-s", "web"]), 1, &["there already", "--replace"]);
    let changed = "A_KEY=hunter2\nB='hunter2 other'\nNEW=hunter2\n";
    // What has its value already needs no rotation, and keeps nothing else from its own.
    check(
        &import(changed, &["-s", "web", "--replace"]),
        1,
        &["made", "changed", "refused", "this value already"],
    );
    check(
        &import(
            r#"{"mail": "hunter2", "other": {"value": "hunter2", "service": "web", "scope": ["other"]}}"#,
            &[],
        ),
        0,
        &["/mail", "web/other"],
    );
    assert_eq!(shown(&home, "web/other").scope.len(), 2);
    home.down();
}

#[test]
fn what_was_made_is_taken_back_when_the_rest_cannot_be() {
    let mut home = home();
    // Only the house knows that this time is over.
    let text = r#"{"a": "hunter2", "b": {"value": "hunter2", "expires_at": "2001-01-01T00:00:00Z"}}"#;
    let output = told(&home, &["credential", "import", "-", "-s", "web"], text);
    check(&output, 4, &["taken back", "nothing of the file was kept"]);
    check(&home.house.ask(&["credential", "show", "web/a"]), 2, &["no credential"]);
    home.down();
}

/// Runs `haus` at a terminal of its own, types what is asked for and prints what the terminal showed.
const TERMINAL: &str = r#"
import os, pty, select, sys, time
typed = [word.encode().decode("unicode_escape").encode() for word in sys.argv[1].split("|")]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
shown, end = b"", time.monotonic() + 20
while time.monotonic() < end:
    if not select.select([terminal], [], [], 0.2)[0]:
        continue
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    if typed and part.rstrip(b" ").endswith(b":"):
        os.write(terminal, typed.pop(0))
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn a_value_is_asked_for_at_the_terminal_and_not_shown() {
    let mut home = home();
    let at_terminal = |typed: &str, arguments: &[&str]| {
        let output = Command::new("python3")
            .args(["-I", "-c", TERMINAL, typed, env!("CARGO_BIN_EXE_haus"), "credential"])
            .args(arguments)
            .args(["--state".as_ref(), home.house.state().as_os_str()])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        CliOutput { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    };
    let create = ["create", "web/key"];
    check(
        &at_terminal("hunter2\\r|hunter2\\r", &create),
        0,
        &["value of credential `key`:", "again:", "web/key: taken over"],
    );
    check(
        &at_terminal("hunter2\\r|hunter22\\r", &["create", "web/b"]),
        2,
        &["not the same", "nothing was done"],
    );
    check(&at_terminal("hunter2\\x03", &["create", "web/b"]), 3, &["given up"]);
    check(&home.house.ask(&["credential", "show", "web/b"]), 2, &["no credential"]);
    check(&at_terminal("no\\r", &["revoke", "web/key"]), 3, &["not confirmed"]);
    check(&at_terminal("web/key\\r", &["revoke", "web/key"]), 0, &["revoked"]);
    home.down();
}
