//! `haus token`, `services`, `discover`, `alerts`, `trail` and `vault` on a running house.

use crate::home::{Home, server};
use haus_api::alert::{Alerts, Silence};
use haus_api::identity::{KeyRotated, TokenCreated, TokenView};
use haus_api::registry::{Discovery, Service, Services};
use haus_api::trail::Trail;
use haus_api::vault::VaultStatus;
use haus_testkit::CliOutput;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

fn home() -> Home {
    Home::up(&format!("services:\n{}{}", server("web", "", ""), server("other", "", "")))
}

#[track_caller]
fn check(output: &CliOutput, code: i32, parts: &[&str]) {
    assert_eq!(output.code, Some(code), "{output:?}");
    for part in parts {
        assert!(output.stdout.contains(part) || output.stderr.contains(part), "lacks {part:?}: {output:?}");
    }
}

#[track_caller]
fn json<T: serde::de::DeserializeOwned>(home: &Home, arguments: &[&str]) -> T {
    let text = home.ask(&[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

#[test]
fn a_token_is_shown_once_and_can_be_taken_back() {
    let mut home = home();
    let made = home.house.ask(&["token", "create", "--service", "web"]);
    check(&made, 0, &["shown this once", "service:web", "cred:read:web"]);
    let token = made.stdout.trim_end();
    assert!(token.starts_with("haus_en_") && token.len() == 60 && !made.stderr.contains(token), "{made:?}");
    let file = home.house.folder().join("token");
    let path = file.to_str().unwrap();
    let written = home.house.ask(&["token", "create", "--name", "ada", "--scope", "read", "--to", path]);
    check(&written, 0, &["token:ada", path]);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("haus_en_") && !written.stdout.contains(text.trim_end()), "{written:?}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    check(
        &home.house.ask(&["token", "create", "--name", "bob", "--scope", "read", "--to", path]),
        3,
        &["exists"],
    );
    let listed: Vec<TokenView> = json(&home, &["token", "list"]);
    let who: Vec<&str> = listed.iter().map(|token| token.subject.as_str()).collect();
    assert!(
        who.contains(&"service:web") && who.contains(&"token:ada") && !who.contains(&"token:bob"),
        "{who:?}"
    );
    let list = home.ask(&["token", "list"]);
    assert!(!list.contains("haus_en_"), "{list}");
    check(&home.house.ask(&["token", "revoke", token]), 2, &["a token itself"]);
    check(&home.house.ask(&["token", "revoke", "token:ada"]), 0, &["opens nothing"]);
    check(&home.house.ask(&["token", "revoke", "token:ada"]), 2, &["no token"]);
    let made: TokenCreated = json(&home, &["token", "create", "--service", "web", "--expires", "1h"]);
    check(&home.house.ask(&["token", "revoke", &made.id]), 0, &["opens nothing"]);
    let rotated: KeyRotated = json(&home, &["token", "rotate-key"]);
    assert_eq!(rotated.former.len(), 1);
    check(&home.house.ask(&["token", "create"]), 2, &["--name"]);
    check(&home.house.ask(&["token", "create", "--name", "ada"]), 2, &["--scope"]);
    home.down();
}

#[test]
fn the_registry_is_shown_and_a_service_is_found() {
    let mut home = home();
    let services: Services = json(&home, &["services"]);
    assert_eq!(services.services.len(), 2);
    let web: Service = json(&home, &["services", "web"]);
    let port = home.port("web/1");
    assert_eq!(web.instances[0].port, Some(port));
    let address = format!("127.0.0.1:{port}");
    check(&home.house.ask(&["services"]), 0, &["SERVICE", "web/1", "healthy", &address, "supervised"]);
    check(&home.house.ask(&["services", "web"]), 0, &["web/1", &address]);
    check(&home.house.ask(&["discover", "web"]), 0, &[&address, "1 place"]);
    assert_eq!(json::<Discovery>(&home, &["discover", "web"]).port, Some(port));
    check(&home.house.ask(&["discover", "nobody"]), 2, &["nobody"]);
    check(&home.house.ask(&["discover", "No Name"]), 2, &["No Name"]);
    home.down();
}

#[test]
fn alerts_are_shown_and_silenced() {
    let mut home = home();
    check(&home.house.ask(&["alerts"]), 0, &["nothing is wrong"]);
    let made: Silence = json(&home, &["alerts", "silence", "web", "--for", "2h", "--why", "moving"]);
    assert_eq!((made.service.as_deref(), made.why.as_str()), (Some("web"), "moving"));
    check(&home.house.ask(&["alerts"]), 0, &["SILENCE", "web", "moving"]);
    assert_eq!(json::<Alerts>(&home, &["alerts"]).silences.len(), 1);
    check(&home.house.ask(&["alerts", "unsilence", "other"]), 2, &["no silence"]);
    check(&home.house.ask(&["alerts", "unsilence", "web"]), 0, &["heard again"]);
    check(&home.house.ask(&["alerts", "silence", "--for", "2h"]), 2, &["--why"]);
    check(&home.house.ask(&["alerts", "silence", "--for", "31d", "--why", "x"]), 2, &["1s to 30d"]);
    home.down();
}

#[test]
fn the_keys_of_the_vault_are_shown_and_changed() {
    let mut home = home();
    check(&home.house.ask(&["vault"]), 0, &["active key", "keyring"]);
    let before: VaultStatus = json(&home, &["vault", "status"]);
    let rotated: KeyRotated = json(&home, &["vault", "rotate-key"]);
    let after: VaultStatus = json(&home, &["vault"]);
    assert!(rotated.former.is_empty() && after.active_key == rotated.key_id, "{rotated:?} {after:?}");
    assert_ne!((before.active_key, before.fingerprint), (after.active_key, after.fingerprint));
    assert_eq!((rotated.former_anchor_key, rotated.anchor_key), (before.anchor_key, after.anchor_key));
    home.down();
}

/// Changes a closed database behind the back of its rules.
fn change(database: &Path, sql: &str) {
    let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n\
        for name, in c.execute(\"SELECT name FROM sqlite_schema WHERE type = 'trigger'\").fetchall():\n\
        \tc.execute(f'DROP TRIGGER {name}')\nc.execute(sys.argv[2])\nc.commit()\n";
    let done = Command::new("python3").args(["-I", "-c", script]).arg(database).arg(sql).output();
    let done = done.expect("python3 starts");
    assert!(done.status.success(), "{done:?}");
}

fn verify(home: &Home, more: &[&str]) -> (CliOutput, Value) {
    let output = home.house.run(&[&["trail", "verify"], more, &["--json"]].concat());
    let told = serde_json::from_str(&output.stdout).unwrap_or(Value::Null);
    (output, told)
}

#[test]
fn the_trail_is_shown_exported_and_verified() {
    let mut home = home();
    home.ask(&["token", "create", "--service", "web"]);
    let trail: Trail = json(&home, &["trail", "--action", "token-issue"]);
    assert_eq!(trail.entries.len(), 1);
    check(&home.house.ask(&["trail", "show", "-n", "5"]), 0, &["WHO", "token-issue", "admin:uid="]);
    check(&home.house.ask(&["trail", "--action", "nonsense"]), 2, &["nonsense"]);
    check(&home.house.ask(&["trail", "verify"]), 0, &["sound", "head: entry"]);
    let file = home.house.folder().join("trail.jsonl");
    let path = file.to_str().unwrap();
    check(&home.house.ask(&["trail", "export", "--to", path]), 0, &["wrote"]);
    check(&home.house.ask(&["trail", "export", "--to", path]), 3, &["exists"]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // The export tells of itself.
    let lines = home.ask(&["trail", "export"]);
    assert!(lines.starts_with(&fs::read_to_string(&file).unwrap()) && lines.ends_with("\"}\n"), "{lines}");
    check(&home.house.run(&["trail", "verify", path]), 0, &["sound", "no anchor"]);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("token-issue", "token-enrol", 1)).unwrap();
    check(&home.house.run(&["trail", "verify", path]), 1, &["was changed", "NOT SOUND: 1 fault"]);
    check(&home.house.run(&["trail", "verify", "nowhere"]), 2, &["nowhere"]);
    home.down();
    check(&home.house.ask(&["trail", "verify"]), 0, &["house.db: sound", "anchor: entry"]);
}

#[test]
fn a_copy_is_held_against_an_anchor_without_a_house() {
    let mut home = home();
    home.ask(&["token", "create", "--service", "web"]);
    home.ask(&["token", "create", "--name", "ada", "--scope", "read"]);
    home.down();
    let state = home.house.state();
    let anchor = home.house.folder().join("anchor.json");
    fs::copy(state.join("trail-anchor.json"), &anchor).unwrap();
    let anchor = anchor.to_str().unwrap();
    let copied = |sql: Option<&str>| {
        let copy = home.house.folder().join("copy.db");
        for end in ["", "-wal", "-shm"] {
            let [from, to] =
                [state.join("house.db"), copy.clone()].map(|path| format!("{}{end}", path.display()));
            let _ = fs::remove_file(&to);
            let _ = fs::copy(from, to);
        }
        sql.inspect(|sql| change(&copy, sql));
        copy.to_str().unwrap().to_owned()
    };
    let (output, told) = verify(&home, &[&copied(None), "--anchor", anchor]);
    assert_eq!((output.code, &told["sound"]), (Some(0), &Value::Bool(true)), "{output:?}");
    let (key, last) =
        (told["anchor"]["fingerprint"].as_str().unwrap(), told["head"]["seq"].as_u64().unwrap());
    assert_eq!(told["anchor"]["seq"], last, "the anchor of the end");
    assert_eq!(verify(&home, &[&copied(None), "--anchor", anchor, "--key", key]).0.code, Some(0));
    for (sql, kind) in [
        ("UPDATE trail SET body = replace(body, 'token:', 'tokem:') WHERE seq = 3".to_owned(), "changed"),
        ("DELETE FROM trail WHERE seq = 2".to_owned(), "missing"),
        (format!("DELETE FROM trail WHERE seq = {last}"), "too-short"),
    ] {
        let (output, told) = verify(&home, &[&copied(Some(&sql)), "--anchor", anchor]);
        assert_eq!(
            (output.code, told["faults"][0]["fault"]["kind"].as_str()),
            (Some(1), Some(kind)),
            "{output:?}"
        );
    }
    let cut = copied(Some(&format!("DELETE FROM trail WHERE seq = {last}")));
    assert_eq!(verify(&home, &[&cut]).0.code, Some(0), "without an anchor a cut end cannot be seen");
    let filed = copied(Some("UPDATE trail SET actor = 'nobody' WHERE seq = 2"));
    check(&home.house.run(&["trail", "verify", &filed]), 1, &["entry 2 is filed under", "actor"]);
    let text = fs::read_to_string(anchor).unwrap();
    fs::write(anchor, text.replace(&format!("\"seq\":{last}"), "\"seq\":2")).unwrap();
    check(
        &home.house.run(&["trail", "verify", &copied(None), "--anchor", anchor]),
        1,
        &["signature does not fit"],
    );
    fs::write(anchor, text).unwrap();
    let strange = "0".repeat(64);
    let refused = home.house.run(&["trail", "verify", &copied(None), "--anchor", anchor, "--key", &strange]);
    check(&refused, 1, &[key, &strange]);
    fs::write(anchor, "{}").unwrap();
    check(&home.house.run(&["trail", "verify", &copied(None), "--anchor", anchor]), 2, &["no anchor"]);
}
