//! Values are planted by every road on which one comes in, then looked for in every place where none may be.
//!
//! A value may stand in the files of the service that has it, in the answers to that service, and sealed in
//! the database; a token in the answer that made it. Everything else is a leak.

use crate::home::{SOON, server};
use crate::open_house::{OpenHouse, good};
use haus_testkit::wait_until;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const CREDENTIALS: &str = "credentials:
  generated: { length: 40, scope: [web] }
  from-file: { file: key.txt, scope: [web] }
  imported:  { length: 30, scope: [web] }
  given:     { given: true, scope: [far] }
";
const FROM_FILE: &str = "planted-in-a-file-of-the-owner";
const IMPORTED: &str = "planted-by-an-earlier-version";
const GIVEN: &str = "planted-by-a-person";
const CREATED: &str = "planted-over-the-api";
const ROTATED: &str = "planted-by-a-rotation";
const MISPLACED: &str = "planted-in-the-wrong-field";
const CALLED: &str = "planted-in-the-body-of-a-call";

fn house() -> OpenHouse {
    let keys = "credentials: { GENERATED: generated, FROM_FILE: from-file, IMPORTED: imported }";
    let far = "  far: { as: external, about: \"somewhere else\", credentials: { GIVEN: given } }\n";
    let services = format!("{}{}{far}", server("web", "", keys), server("other", "", ""));
    let mut house = OpenHouse::new(&services, CREDENTIALS);
    house.home.house.write("key.txt", &format!("{FROM_FILE}\n"));
    let earlier = house.home.house.state().join("credentials");
    fs::create_dir_all(&earlier).expect("the test's own folder is writable");
    for folder in [house.home.house.state(), earlier.clone()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .expect("the test's own folder is writable");
    }
    fs::write(earlier.join("imported"), IMPORTED).expect("the test's own folder is writable");
    fs::set_permissions(earlier.join("imported"), fs::Permissions::from_mode(0o600))
        .expect("the test's own folder is writable");
    house.start();
    house
}

/// The whole of what must not be found, with a word for each.
struct Planted(Vec<(String, Vec<u8>)>);

impl Planted {
    /// A value is looked for as it is and as people encode it.
    fn add(&mut self, what: &str, value: &str) {
        assert!(value.len() >= 16, "{what} is too short to be looked for");
        let hexadecimal: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        // The last characters depend on what follows the value.
        let encoded = base64(value.as_bytes());
        let encoded = &encoded[..encoded.len() - 4];
        for (form, text) in [("", value), (" in hexadecimal", &*hexadecimal), (" in base64", encoded)] {
            self.0.push((format!("{what}{form}"), text.as_bytes().to_vec()));
        }
    }

    fn bytes(&mut self, what: &str, value: Vec<u8>) {
        self.0.push((what.to_owned(), value));
    }

    /// What of it stands there.
    fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let is_there = |value: &[u8]| bytes.windows(value.len()).any(|window| window == value);
        self.0.iter().filter(|(_, value)| is_there(value)).map(|(what, _)| &**what).collect()
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sixes = |three: &[u8]| {
        let number = three.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        let number = number << (8 * (3 - three.len()));
        (0..=three.len()).map(move |at| char::from(LETTERS[number >> (18 - 6 * at) & 63])).collect::<String>()
    };
    bytes.chunks(3).map(sixes).collect()
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

/// Plants a value by every road; gives all of them.
fn plant(house: &OpenHouse) -> Planted {
    let mut planted = Planted(Vec::new());
    let constants = [
        ("the value of a file", FROM_FILE),
        ("the imported value", IMPORTED),
        ("the given value", GIVEN),
        ("the created value", CREATED),
        ("the rotated value", ROTATED),
        ("the misplaced value", MISPLACED),
        ("the body of a call", CALLED),
    ];
    for (what, value) in constants {
        planted.add(what, value);
    }
    good(&house.admin("POST", "/api/credentials", Some(json!({ "name": "given", "value": GIVEN }))));
    let id = house.credential(json!({ "name": "created", "service_name": "far", "value": CREATED }));
    house.credential(json!({ "name": "made-for-far", "service_name": "far", "length": 40 }));
    for request in [json!({ "service": "far" }), json!({ "name": "script", "scopes": ["admin"] })] {
        let token = house.enrolment(request);
        planted.add("a one-time token", &token);
        let session = house.enrol(&token);
        planted.add("an access token", &session.access);
        planted.add("a refresh token", &session.refresh);
        let next = house.ask(
            None,
            "POST",
            "/api/identity/refresh",
            Some(json!({ "refresh_token": session.refresh })),
        );
        let next = crate::open_house::Session::of(&good(&next));
        planted.add("the next access token", &next.access);
        planted.add("the next refresh token", &next.refresh);
    }
    planted.add("a one-time token that nobody used", &house.enrolment(json!({ "service": "other" })));
    let (web, far) = (house.token_of("web"), house.token_of("far"));
    for (token, service) in [(&web, "web"), (&far, "far")] {
        for (name, value) in house.values(token, service) {
            planted.add(&format!("the value of {name}"), &value);
        }
    }
    good(&house.admin("POST", &format!("/api/credentials/{id}/rotate"), Some(json!({ "value": ROTATED }))));
    wait_until("the rotation", SOON, || house.values(&far, "far").iter().any(|(_, value)| value == ROTATED));
    let page = good(&house.admin("GET", "/api/credentials?name=generated", None));
    let generated = page["items"][0]["id"].as_str().expect("it is in the answer").to_owned();
    let before = house.values(&web, "web");
    good(&house.admin("POST", &format!("/api/credentials/{generated}/rotate"), Some(json!({}))));
    wait_until("the value that the house makes anew", SOON * 2, || {
        let now = house.values(&web, "web");
        let new = now
            .iter()
            .find(|(name, value)| name == "generated" && !before.iter().any(|(_, old)| old == value));
        if let Some((_, value)) = new {
            planted.add("the value made anew", value);
        }
        new.is_some()
    });
    wait_until("the end of the rotation", SOON * 2, || {
        let row = good(&house.admin("GET", &format!("/api/credentials/{generated}"), None));
        row["version"] == 2 && house.home.instance("web/1")["phase"] == "healthy"
    });
    planted
}

/// Requests that carry a value where none belongs, and tokens where they are not expected. An unknown name of
/// a field is repeated, so that a slip of the pen can be seen: names are no place for values.
fn misplace(house: &OpenHouse) -> Vec<String> {
    let admin = |method: &str, path: &str, body: Value| house.admin(method, path, Some(body)).text();
    let secret = MISPLACED;
    let mut answers = vec![
        admin(
            "POST",
            "/api/credentials",
            json!({ "name": "a", "service_name": "far", "credential_type": secret }),
        ),
        admin(
            "POST",
            "/api/credentials",
            json!({ "name": "a", "service_name": "far", "value": { secret: 1 } }),
        ),
        admin("POST", "/api/credentials", json!({ "name": "a", "service_name": "far", "value": [secret] })),
        admin(
            "POST",
            "/api/credentials",
            json!({ "name": "a", "service_name": format!("{secret}!"), "value": "v" }),
        ),
        admin(
            "POST",
            "/api/credentials",
            json!({ "name": "a", "service_name": "far", "value": "v", "expires_at": secret }),
        ),
        admin("POST", "/api/identity/enrol", json!({ "token": secret })),
        admin("POST", "/api/identity/enrol", json!({ "token": { secret: secret } })),
        admin("POST", "/api/identity/refresh", json!({ "refresh_token": secret })),
        house.get(secret, "/api/identity/whoami").text(),
        house.get(secret, "/api/credentials/service/far").text(),
    ];
    let mut half = house.question(None, "POST", "/api/identity/enrol", Some(&json!({ "token": secret })));
    half.body.pop();
    answers.push(half.send(house.port).expect("the house answers").text());
    answers
}

/// What everybody but the owner of a value can ask for.
fn answers_of_others(house: &OpenHouse) -> Vec<(String, String)> {
    let document = good(&house.ask(None, "GET", "/openapi.json", None));
    let page = good(&house.admin("GET", "/api/credentials?limit=1000", None));
    let ids: Vec<&str> = page["items"]
        .as_array()
        .expect("it is in the answer")
        .iter()
        .filter_map(|row| row["id"].as_str())
        .collect();
    let other = house.token_of("other");
    let mut answers = Vec::new();
    for (path, item) in document["paths"].as_object().expect("it is in the answer") {
        // What waits for changes has its own test.
        if item.get("get").is_none() || path == "/api/watch" {
            continue;
        }
        let paths: Vec<String> = match path {
            path if path.contains("{id}") => ids.iter().map(|id| path.replace("{id}", id)).collect(),
            path => ["web", "far"].map(|name| filled(path, name)).to_vec(),
        };
        for path in paths {
            answers.push((format!("GET {path} by the administrator"), house.admin("GET", &path, None)));
            answers.push((format!("GET {path} by another service"), house.get(&other, &path)));
            answers.push((format!("GET {path} by a stranger"), house.ask(None, "GET", &path, None)));
        }
    }
    assert!(answers.len() > 60, "the document has hardly any paths");
    answers.into_iter().map(|(what, answer)| (what, answer.text())).collect()
}

fn filled(path: &str, name: &str) -> String {
    let parts: Vec<&str> =
        path.split('/').map(|part| if part.starts_with('{') { name } else { part }).collect();
    parts.join("/")
}

#[test]
fn no_planted_value_is_found_where_none_may_be() {
    let mut house = house();
    let mut planted = plant(&house);
    let ring = house.home.house.state().join("keyring");
    let text = fs::read_to_string(&ring).unwrap();
    for key in text.split_whitespace().filter(|word| word.len() == 64) {
        planted.add("a key of the ring", key);
        let bytes = (0..32).map(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).unwrap()).collect();
        planted.bytes("the bytes of a key of the ring", bytes);
    }
    let caller = house.session(json!({ "name": "caller", "scopes": ["gateway:call:web"] })).access;
    let call = json!({ "service": "web", "path": "/who", "headers": { "X-Key": CALLED } });
    good(&house.post(&caller, "/api/gateway/proxy", call));

    for (number, answer) in misplace(&house).into_iter().enumerate() {
        assert_eq!(planted.found_in(answer.as_bytes()), [""; 0], "misplaced {number}: {answer}");
    }
    for (what, answer) in answers_of_others(&house) {
        assert_eq!(planted.found_in(answer.as_bytes()), [""; 0], "{what}: {answer}");
    }
    let told = [
        house.home.house.ask(&["status", "--json"]).stdout,
        house.home.ask(&["events", "--json", "-n", "10000"]),
        house.home.ask(&["logs", "web"]),
        house.home.house.lines().join("\n"),
    ];
    for text in told {
        assert_eq!(planted.found_in(text.as_bytes()), [""; 0], "{text}");
    }
    for (pid, command) in house.home.house.processes() {
        assert_eq!(planted.found_in(command.as_bytes()), [""; 0], "the arguments of {pid}: {command}");
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        assert_eq!(planted.found_in(&environment), [""; 0], "the environment of {command}");
    }
    on_disk(&house, &planted, true);
    house.home.down();
    on_disk(&house, &planted, false);
    let lines = house.home.house.lines().join("\n");
    assert_eq!(planted.found_in(lines.as_bytes()), [""; 0], "{lines}");
}

/// Looks into every file of the state folder, the run folder and the plan's folder.
fn on_disk(house: &OpenHouse, planted: &Planted, is_up: bool) {
    let state = house.home.house.state();
    let (mut files, mut with_values) = (Vec::new(), BTreeSet::new());
    files_below(&state, &mut files);
    assert!(files.iter().any(|file| file.ends_with("house.db")), "{files:?}");
    for file in &files {
        let found = planted.found_in(&fs::read(file).unwrap_or_default());
        if found.is_empty() {
            continue;
        }
        if file.ends_with("keyring") {
            assert!(found.iter().all(|what| what.contains("of the ring")), "{found:?} in the key ring");
            assert_eq!(fs::metadata(file).expect("the file is there").permissions().mode() & 0o777, 0o600);
            continue;
        }
        let of_web = state.join("run/credentials/web/1");
        assert!(file.starts_with(&of_web), "{found:?} in {}", file.display());
        let metadata = fs::metadata(file).expect("the file is there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o400, "{}", file.display());
        let owner =
            fs::metadata(format!("/proc/{}", house.home.pid("web/1"))).expect("the file is there").uid();
        assert_eq!(metadata.uid(), owner, "{}", file.display());
        with_values.insert(file.file_name().expect("a file has a name").to_string_lossy().into_owned());
    }
    // The search finds what is there.
    let expected: &[&str] = if is_up { &["FROM_FILE", "GENERATED", "IMPORTED"] } else { &[] };
    let with_values: Vec<&str> = with_values.iter().map(|name| &**name).collect();
    let plain: Vec<&str> = with_values.into_iter().filter(|name| !name.ends_with(".previous")).collect();
    assert_eq!(plain, expected);
    assert!(!state.join("credentials/imported").exists(), "what was imported still lies there");
}

#[test]
fn a_deleted_credential_leaves_nothing_in_the_database() {
    let mut house = house();
    let id = house.credential(
        json!({ "name": "short-lived", "service_name": "far", "value": "gone-tomorrow-morning" }),
    );
    let rows = |house: &OpenHouse| -> Vec<usize> {
        let count = |name: &str| {
            let bytes = fs::read(house.home.house.state().join(name)).unwrap_or_default();
            // A sealed version begins with these letters.
            bytes.windows(4).filter(|window| window == b"HVS1").count()
        };
        ["house.db", "house.db-wal"].map(count).to_vec()
    };
    house.home.down();
    let before = rows(&house);
    house.start();
    assert_eq!(house.admin("DELETE", &format!("/api/credentials/{id}"), None).status, 204);
    house.home.down();
    let after = rows(&house);
    assert!(after < before, "the sealed bytes of a deleted credential are still there: {before:?} {after:?}");
}

#[test]
fn our_own_processes_leave_no_dump_of_their_memory() {
    let house = OpenHouse::up(&server("web", "", ""), "");
    for pid in [house.home.house.core_pid().unwrap(), house.home.house.parent_pid().unwrap()] {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{line}");
    }
}
