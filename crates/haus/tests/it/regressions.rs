//! One test for each line of the list of faults that the program named after this document has (spec, 2.4),
//! by the number of the line, through the port with real tokens. Each says what must never be so again.
//!
//! Line 12 is about an image that cannot be built. There is no image here: what applies is that the program
//! needs nothing beside itself, which is tested in its place.

use crate::open_house::{OpenHouse, echo, good, refused};
use haus_testkit::{HttpAnswer, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::home::{SOON, server};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
const TYPES: [&str; 7] = ["api_key", "oauth", "basic_auth", "jwt", "database", "webhook", "custom"];
const FAR: &str = "  far: { as: external, about: \"somewhere else\" }\n";

/// A house with one service, and one that registers by itself.
fn house() -> OpenHouse {
    OpenHouse::up(&format!("{}{FAR}", echo("web", "")), "")
}

fn registration(port: u16) -> Value {
    json!({ "name": "far", "instance": "a", "version": "2.1.0", "port": port, "address": "127.0.0.1" })
}

/// All operations of the served document: method, and path with every parameter filled in.
fn operations(house: &OpenHouse) -> Vec<(String, String)> {
    let document = good(&house.ask(None, "GET", "/openapi.json", None));
    let paths = document["paths"].as_object().expect("the document has paths").clone();
    let mut operations = Vec::new();
    for (path, item) in paths {
        let filled: Vec<&str> =
            path.split('/').map(|part| if part.starts_with('{') { "web" } else { part }).collect();
        let offered = METHODS.iter().filter(|method| item.get(**method).is_some());
        // Who watches without a limit waits for a change.
        let path = if path == "/api/watch" { "/api/watch?wait_s=0".to_owned() } else { filled.join("/") };
        operations.extend(offered.map(|method| (method.to_uppercase(), path.clone())));
    }
    operations
}

/// Nothing of ours went wrong; problems of others (503, 502, 504) have their reason in a problem.
#[track_caller]
fn assert_no_fault(answer: &HttpAnswer, question: &str) {
    assert_ne!(answer.status, 500, "{question}: {}", answer.text());
    if answer.status >= 400 {
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{question}: {} {}", answer.status, answer.text());
    }
}

#[test]
fn line_1_every_request_with_a_body_is_answered() {
    let house = house();
    let mut asked = 0;
    for (method, path) in operations(&house).into_iter().filter(|(method, _)| method != "GET") {
        // Some of them end the session that asks.
        let token = house.admin_token();
        for body in [None, Some(json!({})), Some(json!({ "unknown": "x".repeat(20_000) }))] {
            let begun = Instant::now();
            let answer = house.ask(Some(&token), &method, &path, body);
            assert!(begun.elapsed() < Duration::from_secs(8), "{method} {path} took {:?}", begun.elapsed());
            assert_no_fault(&answer, &format!("{method} {path}"));
            asked += 1;
        }
    }
    assert!(asked > 45, "only {asked} requests were found in the document");
}

#[test]
fn line_2_a_missing_or_bad_token_is_401_and_no_error_is_a_bare_500() {
    let house = house();
    let path = "/api/credentials";
    refused(&house.ask(None, "GET", path, None), 401, "unauthorized");
    for bad in ["", "x", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.", &"A".repeat(5_000)] {
        refused(&house.get(bad, path), 401, "unauthorized");
    }
    let mut ask = house.question(None, "GET", path, None);
    ask.headers.push(("Authorization".to_owned(), "Basic YTpi".to_owned()));
    refused(&ask.send(house.port).unwrap(), 401, "unauthorized");
    let token = house.admin_token();
    refused(&house.get(&token, "/api/discover?service=nobody"), 404, "not-found");
    refused(&house.get(&token, "/api/services/nobody"), 404, "not-found");
    refused(&house.get(&token, "/api/credentials/nobody"), 404, "not-found");
    refused(&house.get(&token, "/no/such/path"), 404, "not-found");
    refused(&house.ask(Some(&token), "DELETE", "/health", None), 405, "method-not-allowed");
    for (method, path) in operations(&house) {
        assert_no_fault(&house.ask(None, &method, &path, None), &format!("{method} {path} by a stranger"));
    }
}

#[test]
fn line_3_the_registry_is_filled_over_http_and_only_by_those_who_may() {
    let house = house();
    refused(
        &house.ask(None, "POST", "/api/services/register", Some(registration(4_711))),
        401,
        "unauthorized",
    );
    refused(&house.ask(None, "POST", "/api/register", Some(registration(4_711))), 401, "unauthorized");
    let token = house.token_of("far");
    for path in ["/api/services/register", "/api/register"] {
        let answer = house.post(&token, path, registration(4_711));
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(good(&answer)["id"], "far/a");
    }
    let found = good(&house.ask(None, "GET", "/api/discover?service=far", None));
    assert_eq!((&found["address"], &found["port"]), (&json!("127.0.0.1"), &json!(4_711)), "{found}");
    assert_eq!(found["endpoints"][0]["version"], "2.1.0", "{found}");
    assert_eq!(good(&house.ask(None, "GET", "/api/discover?service_name=far", None))["name"], "far");
}

#[test]
fn line_4_lists_details_and_heartbeats_work_and_times_are_times() {
    let house = house();
    let token = house.token_of("far");
    good(&house.post(&token, "/api/services/register", registration(4_711)));
    let list = good(&house.ask(None, "GET", "/api/services", None));
    let names: Vec<&str> =
        list["services"].as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    assert!(names.contains(&"far") && names.contains(&"web"), "{names:?}");
    for name in names {
        let detail = good(&house.ask(None, "GET", &format!("/api/services/{name}"), None));
        for instance in detail["instances"].as_array().unwrap() {
            let since = instance["since"].as_str().unwrap();
            assert!(since.len() >= 20 && since.ends_with('Z') && &since[10..11] == "T", "{since}");
        }
        good(&house.ask(None, "GET", &format!("/api/services/{name}/health"), None));
    }
    let beat = |load: f64| {
        house.post(&token, "/api/services/far/heartbeat", json!({ "instance": "a", "load": load }))
    };
    let seen = good(&beat(0.5));
    assert_eq!(seen["id"], "far/a", "{seen}");
    assert!(seen["timestamp"].as_str().unwrap().ends_with('Z'), "{seen}");
    let path = "/api/services/far/heartbeat";
    refused(&house.post(&token, path, json!({ "instance": "never-seen" })), 404, "not-found");
    assert_eq!(house.ask(Some(&token), "DELETE", "/api/services/far?instance=a", None).status, 204);
    refused(&beat(0.5), 404, "not-found");
}

#[test]
fn line_5_an_instance_that_falls_silent_is_degraded_then_offline_and_comes_back() {
    let house = OpenHouse::up(&format!("{}{FAR}", echo("web", "")), "api: { heartbeat: 3s }\n");
    let token = house.token_of("far");
    let interval =
        good(&house.post(&token, "/api/services/register", registration(4_711)))["heartbeat_interval_s"]
            .clone();
    assert_eq!(interval, 3);
    let health =
        || good(&house.ask(None, "GET", "/api/services/far", None))["instances"][0]["health"].clone();
    assert_eq!(health(), "healthy");
    wait_until("far/a to be offline", SOON, || health() == "offline");
    refused(&house.ask(None, "GET", "/api/discover?service=far", None), 503, "unavailable");
    good(&house.post(&token, "/api/services/far/heartbeat", json!({ "instance": "a" })));
    assert_eq!(health(), "healthy", "a heartbeat resets it at once");
    // What lay between is in the history only: whoever asks may miss it.
    let expected = ["degraded", "offline", "healthy"].map(|state| json!(state));
    wait_until("the history of health", SOON, || {
        let history = good(&house.admin("GET", "/api/health/history?service=far", None));
        let mut changes = history["items"].as_array().cloned().unwrap_or_default();
        changes.reverse();
        let own = changes.iter().filter(|row| row["instance"] != Value::Null).map(|row| row["to"].clone());
        let states: Vec<Value> = own.skip_while(|state| *state == "healthy").take(3).collect();
        let is_whole = states.len() == 3;
        assert!(!is_whole || states == expected, "{states:?}");
        is_whole
    });
}

#[test]
fn line_6_the_gateway_answers_with_services_there_and_passes_on_what_it_was_given() {
    let house = OpenHouse::up(&echo("web", ""), "");
    let token = house.session(json!({ "name": "caller", "scopes": ["gateway:call:*", "read"] })).access;
    let status = good(&house.get(&token, "/api/gateway/status"));
    assert_eq!(status["status"], "operational", "{status}");
    assert!(house.get(&token, "/metrics").text().contains("z13_services"));
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let body = (method != "GET").then(|| json!({ "n": 1 }));
        let mut ask =
            house.question(Some(&token), method, "/api/gateway/proxy/web/a/b?x=1&y=%20z", body.as_ref());
        ask.headers.push(("X-Own".to_owned(), "kept".to_owned()));
        let seen = good(&ask.send(house.port).unwrap());
        assert_eq!((&seen["method"], &seen["path"]), (&json!(method), &json!("/a/b?x=1&y=%20z")), "{seen}");
        assert_eq!(seen["headers"]["x-own"], "kept", "{seen}");
        assert_eq!(seen["headers"].get("authorization"), None, "the token went to the service: {seen}");
        assert_eq!(seen["body"], body.map_or(String::new(), |body| body.to_string()), "{seen}");
    }
    assert_eq!(house.ask(Some(&token), "HEAD", "/api/gateway/proxy/web/x", None).status, 200);
    for status in [201, 404, 418, 500] {
        let answer = house.get(&token, &format!("/api/gateway/proxy/web/status/{status}"));
        assert_eq!(
            (answer.status, answer.text()),
            (status, format!("status {status}")),
            "it is the service's own"
        );
    }
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(house.get(&token, "/api/gateway/proxy/web/bytes").body, bytes);
    let envelope = json!({ "service_name": "web", "method": "PUT", "path": "/e", "query_params": { "q": "1" }, "body": [1] });
    let answer = good(&house.post(&token, "/api/gateway/proxy", envelope));
    assert_eq!((&answer["status_code"], &answer["data"]["method"]), (&json!(200), &json!("PUT")), "{answer}");
    assert_eq!(
        (&answer["data"]["path"], &answer["data"]["body"]),
        (&json!("/e?q=1"), &json!("[1]")),
        "{answer}"
    );
}

#[test]
fn line_6_a_dead_upstream_is_a_bad_gateway_and_no_fault_of_ours() {
    let house = house();
    // A port that was free a moment ago, and that nobody answers on.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    good(&house.post(&house.token_of("far"), "/api/services/register", registration(dead)));
    let token = house.session(json!({ "name": "caller", "scopes": ["gateway:call:far"] })).access;
    wait_until("the gateway to know far", SOON, || {
        house.get(&token, "/api/gateway/proxy/far/x").status != 404
    });
    let answer = house.ask(Some(&token), "POST", "/api/gateway/proxy/far/x", Some(json!({})));
    assert!(matches!(answer.status, 502 | 503), "{} {}", answer.status, answer.text());
    let code = if answer.status == 502 { "bad-gateway" } else { "unavailable" };
    let problem = refused(&answer, answer.status, code);
    assert!(problem["detail"].as_str().unwrap().contains("far"), "{problem}");
    refused(&house.get(&token, "/api/gateway/proxy/web/x"), 403, "forbidden");
}

#[test]
fn line_7_credentials_of_every_type_are_created_on_both_paths_and_kept() {
    let mut house = house();
    let mut expected = Vec::new();
    for (number, kind) in TYPES.iter().enumerate() {
        let path = ["/api/credentials", "/api/credentials/create"][number % 2];
        let (name, value) = (format!("key-{number}"), format!("value-{number}-of-{kind}"));
        let request = json!({ "name": name, "credential_type": kind, "service_name": "far", "value": value });
        let answer = house.admin("POST", path, Some(request));
        assert_eq!(answer.status, 201, "{}", answer.text());
        let made = good(&answer);
        assert_eq!(
            (&made["credential_type"], &made["service_name"]),
            (&json!(kind), &json!("far")),
            "{made}"
        );
        assert!(!answer.text().contains(&value), "the answer holds the value");
        expected.push((name, value));
    }
    let twice = json!({ "name": "KEY-0", "service_name": "far", "value": "another" });
    refused(&house.admin("POST", "/api/credentials", Some(twice)), 409, "conflict");
    let unknown = json!({ "name": "key-9", "service_name": "far", "credential_type": "token", "value": "v" });
    refused(&house.admin("POST", "/api/credentials", Some(unknown)), 422, "invalid");
    let session = house.session(json!({ "service": "far" }));
    assert_eq!(sorted(house.values(&session.access, "far")), expected);
    house.home.down();
    house.start();
    assert_eq!(sorted(house.values(&session.access, "far")), expected, "after a restart");
}

fn sorted(mut values: Vec<(String, String)>) -> Vec<(String, String)> {
    values.sort();
    values
}

#[test]
fn line_8_values_are_for_their_service_alone_and_the_audit_can_be_read() {
    let house = house();
    let id = house.credential(json!({ "name": "key", "service_name": "far", "value": "mine-alone" }));
    let (far, web) = (house.token_of("far"), house.token_of("web"));
    let path = "/api/credentials/service/far";
    refused(&house.ask(None, "GET", path, None), 401, "unauthorized");
    refused(&house.get(&web, path), 403, "forbidden");
    assert_eq!(house.values(&far, "far"), [("key".to_owned(), "mine-alone".to_owned())]);
    let patch = json!({ "description": "for people", "metadata": { "a": 1 }, "rotation_required": true, "rotate_days": 30 });
    let patched = good(&house.admin("PATCH", &format!("/api/credentials/{id}"), Some(patch.clone())));
    for (field, value) in patch.as_object().unwrap() {
        assert_eq!(&patched[field], value, "{patched}");
    }
    let audit = good(&house.admin("GET", &format!("/api/credentials/{id}/audit"), None));
    let actions: Vec<&str> =
        audit.as_array().unwrap().iter().filter_map(|row| row["action"].as_str()).collect();
    for action in ["credential-create", "credential-read", "credential-update"] {
        assert!(actions.contains(&action), "{action} is not in {actions:?}");
    }
}

#[test]
fn line_8_a_store_that_cannot_be_read_is_never_an_empty_list() {
    let house = house();
    house.credential(json!({ "name": "key", "service_name": "far", "value": "v-1" }));
    let far = house.token_of("far");
    let state = house.home.house.state();
    fs::write(state.join("house.db"), [0x55; 8_192]).unwrap();
    for beside in ["house.db-wal", "house.db-shm"] {
        let _ = fs::remove_file(state.join(beside));
    }
    house.kill_core();
    let answer = house.get(&far, "/api/credentials/service/far");
    assert_eq!(answer.status, 503, "{}", answer.text());
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{problem}");
}

#[test]
fn line_9_each_house_makes_a_key_of_its_own_and_refuses_to_start_without_it() {
    let mut house = house();
    house.credential(json!({ "name": "key", "service_name": "far", "value": "kept-for-years" }));
    let session = house.session(json!({ "service": "far" }));
    house.home.down();
    let ring = house.home.house.state().join("keyring");
    let text = fs::read_to_string(&ring).unwrap();
    let key =
        text.lines().nth(1).and_then(|line| line.split_whitespace().nth(2)).unwrap_or_default().to_owned();
    assert_eq!(key.len(), 64, "32 bytes as hexadecimal digits");
    fs::rename(&ring, ring.with_extension("away")).unwrap();
    house.home.house.forget_lines();
    house.home.house.up(&[]);
    assert_eq!(house.home.house.wait_for_exit(SOON), Some(4));
    let said = house.home.house.lines().join("\n");
    assert!(said.contains(&*ring.to_string_lossy()) && said.contains("help: "), "{said}");
    assert!(!ring.exists(), "another key was made, which opens nothing");
    fs::rename(ring.with_extension("away"), &ring).unwrap();
    house.start();
    assert_eq!(house.values(&session.access, "far"), [("key".to_owned(), "kept-for-years".to_owned())]);
}

#[test]
fn line_10_keys_differ_from_house_to_house_and_no_variable_sets_them() {
    let (one, other) = (OpenHouse::up(FAR, ""), OpenHouse::up(FAR, ""));
    let keys = |house: &OpenHouse| good(&house.ask(None, "GET", "/api/identity/keys", None))["keys"].clone();
    let (of_one, of_other) = (keys(&one), keys(&other));
    assert_ne!(of_one[0]["x"], of_other[0]["x"]);
    assert_eq!((&of_one[0]["kty"], &of_one[0]["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert_eq!(of_one[0].get("d"), None, "the private half is shown");
    let ring = |house: &OpenHouse| fs::read_to_string(house.home.house.state().join("keyring")).unwrap();
    assert_ne!(ring(&one), ring(&other));
}

#[test]
fn line_11_load_is_what_was_said_and_figures_count_requests() {
    let house = house();
    let far = house.token_of("far");
    good(&house.post(&far, "/api/services/register", registration(4_711)));
    for _ in 0..150 {
        let beat = json!({ "instance": "a", "load": 0.25, "response_time_ms": 900.0 });
        good(&house.post(&far, "/api/services/far/heartbeat", beat));
    }
    let found = good(&house.ask(None, "GET", "/api/discover?service=far", None));
    assert_eq!(found["load"], 0.25, "heartbeats are no load");
    let too_much = json!({ "instance": "a", "load": 1.5 });
    refused(&house.post(&far, "/api/services/far/heartbeat", too_much), 422, "invalid");
    let caller = house.session(json!({ "name": "caller", "scopes": ["gateway:call:web", "read"] })).access;
    for _ in 0..7 {
        good(&house.get(&caller, "/api/gateway/proxy/web/x"));
    }
    let counted = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("z13_gateway_requests_total{"));
        let of_web = lines.filter(|line| line.contains("service=\"web\""));
        of_web.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    wait_until("seven counted requests", SOON, || counted(&house.get(&caller, "/metrics").text()) == 7.0);
    let status = good(&house.get(&caller, "/api/gateway/status"));
    let web =
        status["services"].as_array().unwrap().iter().find(|row| row["name"] == "web").cloned().unwrap();
    assert_eq!((&web["requests"], &web["errors"]), (&json!(7), &json!(0)), "{web}");
}

#[test]
fn line_12_the_program_needs_nothing_beside_itself() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("haus");
    fs::copy(env!("CARGO_BIN_EXE_haus"), &program).unwrap();
    let output =
        Command::new(&program).arg("schema").env_clear().current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema.is_object());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "it left something behind");
}

#[test]
fn line_13_a_service_is_given_all_that_it_needs_to_come_in_by_itself() {
    let services = format!("{}{}", server("web", "", "needs: [base]"), server("base", "", ""));
    let house = OpenHouse::up(&services, "routes:\n  \"web.${domain}\": web\n");
    let env = house.home.get("web", "/env").text();
    let variable = |name: &str| {
        let line = env.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("{name} is not in {env}")).to_owned()
    };
    assert_eq!(variable("HAUS_API"), format!("http://{}", house.port));
    let token = fs::read_to_string(variable("HAUS_ENROLMENT_FILE")).unwrap();
    assert!(!env.contains(token.trim()), "the token stands in the environment");
    let session = house.enrol(token.trim());
    let who = good(&house.get(&session.access, "/api/identity/whoami"));
    assert_eq!(who["subject"], "service:web/1", "{who}");
    let mut scopes: Vec<&str> = who["scopes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    scopes.sort_unstable();
    assert_eq!(scopes, ["cred:read:web", "gateway:call:base", "registry:write:web"], "no more than it needs");
    let port = house.home.port("web/1");
    let request =
        json!({ "name": "web", "version": "3.2.1", "port": port, "metadata": { "colour": "green" } });
    assert_eq!(good(&house.post(&session.access, "/api/services/register", request))["id"], "web/1");
    good(&house.post(&session.access, "/api/services/web/heartbeat", json!({ "load": 0.5 })));
    let found = good(&house.ask(None, "GET", "/api/discover?service=web", None));
    assert_eq!(found["endpoints"].as_array().unwrap().len(), 1, "it is no second instance: {found}");
    assert_eq!(
        (&found["endpoints"][0]["version"], &found["load"]),
        (&json!("3.2.1"), &json!(0.5)),
        "{found}"
    );
    refused(
        &house.ask(None, "POST", "/api/identity/enrol", Some(json!({ "token": token.trim() }))),
        410,
        "expired",
    );
}

#[test]
fn paths_that_stood_only_in_the_document_are_there() {
    let house = house();
    let id = house.credential(json!({ "name": "key", "service_name": "far", "value": "first" }));
    let token = house.admin_token();
    let health = good(&house.ask(None, "GET", "/api/health/services", None));
    assert_eq!(health["services_offline"], 0, "{health}");
    let put = house.ask(
        Some(&token),
        "PUT",
        &format!("/api/credentials/{id}"),
        Some(json!({ "description": "d" })),
    );
    assert_eq!(good(&put)["description"], "d");
    for path in
        ["/api/discover?service=web", "/api/discover?service_name=web", "/ready", "/health", "/api/health"]
    {
        good(&house.ask(None, "GET", path, None));
    }
    let system = good(&house.ask(None, "GET", "/api/health/system", None));
    assert_eq!(system["database_status"], "connected", "{system}");
    assert!(house.get(&token, "/metrics").text().starts_with('#'));
    let call = json!({ "service": "web", "path": "/who" });
    assert_eq!(good(&house.post(&token, "/api/gateway/proxy", call))["data"], "web/1");
    let rotated =
        house.post(&token, &format!("/api/credentials/{id}/rotate?new_value=in-the-address"), json!({}));
    refused(&rotated, 400, "bad-request");
}
