//! Tests of registration, discovery, watching and health over the router.

use crate::fixture::{self, TestDesk};
use axum::http::StatusCode;
use haus_model::house::House;
use haus_model::service::RunsAs;
use haus_model::{InstanceId, Scope};
use haus_watch::registry::{Entry, Origin};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn house() -> House {
    let mut scanner = fixture::service("scanner", 1);
    scanner.runs_as = RunsAs::External;
    scanner.ports.clear();
    fixture::house(vec![fixture::service("api", 2), scanner])
}

fn desk() -> TestDesk {
    let desk = TestDesk::of(house());
    for (ordinal, port) in [(1, 20_001), (2, 20_002)] {
        desk.desk.directory.put(supervised(ordinal, port));
    }
    desk
}

fn supervised(ordinal: u32, port: u16) -> Entry {
    Entry {
        id: InstanceId { service: "api".parse().unwrap(), ordinal },
        origin: Origin::Supervised,
        name: None,
        version: None,
        metadata: BTreeMap::new(),
        weight: 1,
        load: None,
        run: 1,
        address: "127.0.0.1".into(),
        ports: BTreeMap::from([("http".parse().unwrap(), port)]),
        main_port: Some("http".parse().unwrap()),
        state: haus_model::health::HealthState::Healthy,
        phase: "healthy".into(),
        since: haus_model::Timestamp(0),
        why: "test".into(),
        lease_until: None,
        revision: 0,
    }
}

fn body(service: &str, instance: &str, port: u16) -> Value {
    json!({ "name": service, "instance": instance, "port": port, "address": "192.0.2.7" })
}

#[tokio::test]
async fn a_stranger_registers_nothing() {
    let desk = desk();
    for path in ["/api/services/register", "/api/register"] {
        let refused = desk.ask("POST", path, None, Some(body("scanner", "desk", 9_000))).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::UNAUTHORIZED, "unauthorized"), "{path}");
    }
    assert!(desk.desk.directory.first_two(&"scanner".parse().unwrap()).is_empty());
}

#[tokio::test]
async fn a_token_of_another_service_is_refused_and_recorded() {
    let desk = desk();
    let token = desk.service_token("api").await;
    let refused =
        desk.ask("POST", "/api/services/register", Some(&token), Some(body("scanner", "desk", 9_000))).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", refused.text);
    assert!(
        desk.acts().iter().any(|act| act.ends_with("service-register service:scanner denied")),
        "{:?}",
        desk.acts()
    );
    let beat = desk.ask("POST", "/api/services/scanner/heartbeat", Some(&token), None).await;
    assert_eq!(beat.status, StatusCode::FORBIDDEN);
    let gone = desk.ask("DELETE", "/api/services/scanner?instance=desk", Some(&token), None).await;
    assert_eq!(gone.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_registration_is_on_disk_with_its_entry_and_survives_a_restart() {
    let desk = desk();
    let token = desk.service_token("scanner").await;
    let request = json!({ "service_name": "scanner", "instance": "desk", "port": 9000, "address": "192.0.2.7",
        "version": "2.0", "metadata": { "room": "workshop" }, "credentials_needed": ["nothing"] });
    let registered = desk.ask("POST", "/api/services/register", Some(&token), Some(request)).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{}", registered.text);
    assert_eq!(registered.json["id"], "scanner/desk");
    assert_eq!(registered.json["heartbeat_interval_s"], 30);
    assert_eq!(registered.json["status"], "healthy");
    assert_eq!(registered.json["credentials_missing"], json!(["nothing"]));
    assert_eq!(registered.header("cache-control"), Some("no-store"));
    assert!(desk.acts().iter().any(|act| act.ends_with("service-register service:scanner/desk allowed")));

    let shown = desk.ask("GET", "/api/services/scanner", None, None).await;
    assert_eq!(shown.json["status"], "healthy", "{}", shown.text);
    assert_eq!(shown.json["instances"][0]["name"], "desk");
    assert_eq!(shown.json["instances"][0]["origin"], "announced");
    assert_eq!(shown.json["instances"][0]["metadata"], json!({ "room": "workshop" }));

    let desk = desk.restarted();
    crate::announcing::restore(&desk.desk);
    let shown = desk.ask("GET", "/api/services/scanner", None, None).await;
    let instance = &shown.json["instances"][0];
    assert_eq!(
        (&instance["name"], &instance["health"], &instance["port"]),
        (&json!("desk"), &json!("unknown"), &json!(9000))
    );
    let token = desk.service_token("scanner").await;
    let beat =
        desk.ask("POST", "/api/services/scanner/heartbeat", Some(&token), Some(json!({ "load": 0.3 }))).await;
    assert_eq!(beat.status, StatusCode::OK, "{}", beat.text);
    let found = desk.ask("GET", "/api/discover?service=scanner", None, None).await;
    assert_eq!((&found.json["health"], &found.json["load"]), (&json!("healthy"), &json!(0.3)));
}

#[tokio::test]
async fn nothing_is_registered_that_cannot_be_kept() {
    let desk = TestDesk::without_ledger(house());
    let refused =
        desk.ask_as_admin("POST", "/api/services/register", Some(body("scanner", "desk", 9_000))).await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "trail-unavailable"),
        "{}",
        refused.text
    );
    assert!(desk.desk.directory.first_two(&"scanner".parse().unwrap()).is_empty());
}

#[tokio::test]
async fn a_heartbeat_of_nobody_is_told_to_register_again() {
    let desk = desk();
    let token = desk.service_token("scanner").await;
    let unknown = desk
        .ask("POST", "/api/services/scanner/heartbeat", Some(&token), Some(json!({ "instance": "x" })))
        .await;
    assert_eq!((unknown.status, unknown.code()), (StatusCode::NOT_FOUND, "not-found"));
    assert!(unknown.json["hint"].as_str().unwrap().contains("register again"));
    let nonsense =
        desk.ask("POST", "/api/services/scanner/heartbeat", Some(&token), Some(json!({ "load": 7 }))).await;
    assert_eq!(nonsense.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn two_instances_take_turns_that_differ_by_one_at_most() {
    let desk = desk();
    let token = desk.token("admin", &[Scope::Admin]).await;
    for (instance, port) in [("desk", 9_000), ("hall", 9_001)] {
        let made =
            desk.ask("POST", "/api/register", Some(&token), Some(body("scanner", instance, port))).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    }
    let mut counts = BTreeMap::new();
    for turn in 0..21 {
        // Whoever else is asked for in between changes nothing.
        if turn % 2 == 0 {
            desk.ask("GET", "/api/discover?service=api", None, None).await;
        }
        let found = desk.ask("GET", "/api/discover?service_name=scanner", None, None).await;
        *counts.entry(found.json["port"].as_u64().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(counts.values().sum::<i32>(), 21);
    assert!(counts.values().max().unwrap() - counts.values().min().unwrap() <= 1, "{counts:?}");
}

#[tokio::test]
async fn discovery_without_a_known_name_is_a_problem_with_a_hint() {
    let desk = desk();
    for (query, status) in [
        ("", 422),
        ("?service=", 404),
        ("?service=nobody", 404),
        ("?service=A%0D", 404),
        ("?x=1", 422),
        ("?service=api&service_name=web", 422),
    ] {
        let found = desk.ask("GET", &format!("/api/discover{query}"), None, None).await;
        assert_eq!(found.status.as_u16(), status, "{query}: {}", found.text);
        assert!(found.json["hint"].is_string(), "{query}");
    }
}

#[tokio::test]
async fn a_supervised_instance_says_more_of_itself_and_never_where_it_is() {
    let desk = desk();
    let made =
        desk.ask_as_admin("POST", "/api/tokens", Some(json!({ "service": "api", "instance": "1" }))).await;
    let token = json!({ "token": made.json["token"] });
    let tokens = desk.ask("POST", "/api/identity/enrol", None, Some(token)).await;
    let token = tokens.json["access_token"].as_str().unwrap_or_else(|| panic!("{}", tokens.text)).to_owned();

    let request = json!({ "name": "api", "port": 20_001, "version": "3.2", "metadata": { "commit": "abc" } });
    let registered = desk.ask("POST", "/api/services/register", Some(&token), Some(request)).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{}", registered.text);
    assert_eq!(registered.json["id"], "api/1");
    let shown = desk.ask("GET", "/api/services/api", None, None).await;
    let first = &shown.json["instances"][0];
    assert_eq!((&first["version"], &first["origin"]), (&json!("3.2"), &json!("supervised")));

    let wrong = json!({ "name": "api", "port": 1, "version": "3.2" });
    let refused = desk.ask("POST", "/api/services/register", Some(&token), Some(wrong)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let moved = desk.ask("PATCH", "/api/services/api", Some(&token), Some(json!({ "port": 1 }))).await;
    assert_eq!((moved.status, moved.code()), (StatusCode::CONFLICT, "conflict"), "{}", moved.text);
    let other = json!({ "name": "api", "instance": "2", "port": 20_002 });
    let refused = desk.ask("POST", "/api/services/register", Some(&token), Some(other)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "it speaks for itself only");
    let left = desk.ask("DELETE", "/api/services/api", Some(&token), None).await;
    assert_eq!(left.status, StatusCode::NO_CONTENT, "{}", left.text);
    let shown = desk.ask("GET", "/api/services/api", None, None).await;
    assert_eq!(shown.json["instances"].as_array().unwrap().len(), 2, "the house still runs it");
    assert_eq!(shown.json["instances"][0].get("version"), None);
}

#[tokio::test]
async fn an_address_of_somebody_else_is_refused() {
    let desk = desk();
    let token = desk.service_token("scanner").await;
    let gateway = desk.desk.gateway_address;
    let at = |address: &str, port: u16| json!({ "name": "scanner", "instance": "desk", "address": address, "port": port });
    for (address, port, status) in [
        ("127.0.0.1", 20_001, 403),
        ("localhost", gateway.port(), 403),
        ("192.0.2.8", 80, 403),
        ("0.0.0.0", 80, 422),
        ("169.254.169.254", 80, 422),
        ("224.0.0.1", 80, 422),
        ("192.0.2.7", 0, 422),
    ] {
        let refused = desk.ask("POST", "/api/services/register", Some(&token), Some(at(address, port))).await;
        assert_eq!(refused.status.as_u16(), status, "{address}:{port}: {}", refused.text);
    }
    let admin = desk.token("admin", &[Scope::Admin]).await;
    for port in [20_001, gateway.port()] {
        let refused =
            desk.ask("POST", "/api/services/register", Some(&admin), Some(at("127.0.0.1", port))).await;
        assert_eq!(refused.status.as_u16(), 409, "{port}: {}", refused.text);
    }
    let first = desk.ask("POST", "/api/register", Some(&admin), Some(body("camera", "one", 9_000))).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let taken = desk.ask("POST", "/api/register", Some(&token), Some(body("scanner", "desk", 9_000))).await;
    assert_eq!((taken.status, taken.code()), (StatusCode::CONFLICT, "conflict"));
    assert!(taken.json["detail"].as_str().unwrap().contains("camera/one"));
}

#[tokio::test]
async fn a_new_name_at_the_same_address_replaces_the_old_one() {
    let desk = desk();
    let token = desk.service_token("scanner").await;
    for instance in ["before", "after"] {
        let made =
            desk.ask("POST", "/api/register", Some(&token), Some(body("scanner", instance, 9_000))).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    }
    let shown = desk.ask("GET", "/api/services/scanner", None, None).await;
    let names: Vec<&Value> =
        shown.json["instances"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&json!("after")]);
    let rows: Vec<String> =
        desk.desk.ledger.announced().unwrap().into_iter().map(|row| row.instance).collect();
    assert_eq!(rows, ["after"]);
}

#[tokio::test]
async fn changes_and_leaving_are_kept_and_recorded() {
    let desk = desk();
    let token = desk.service_token("scanner").await;
    desk.ask("POST", "/api/register", Some(&token), Some(body("scanner", "desk", 9_000))).await;
    let changed = desk
        .ask("PATCH", "/api/services/scanner", Some(&token), Some(json!({ "weight": 7, "port": 9001 })))
        .await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    assert_eq!((&changed.json["weight"], &changed.json["port"]), (&json!(7), &json!(9001)));
    let left = desk.ask("DELETE", "/api/services/scanner?instance=desk", Some(&token), None).await;
    assert_eq!(left.status, StatusCode::NO_CONTENT);
    let again = desk.ask("DELETE", "/api/services/scanner?instance=desk", Some(&token), None).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    let acts = desk.acts();
    for act in
        ["service-update service:scanner/desk allowed", "service-deregister service:scanner/desk allowed"]
    {
        assert!(acts.iter().any(|line| line.ends_with(act)), "{act} in {acts:?}");
    }
    assert!(desk.desk.ledger.announced().unwrap().is_empty());
}

#[tokio::test]
async fn nobody_gets_values_by_registering_for_somebody() {
    let desk = desk();
    let registered = desk.ask_as_admin("POST", "/api/register", Some(body("scanner", "desk", 9_000))).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{}", registered.text);
    assert_eq!(registered.json["credentials"], json!([]));
    assert!(!desk.acts().iter().any(|act| act.contains("credential-read")));
}

#[tokio::test]
async fn nobody_makes_the_house_call_servers_of_its_own_machine() {
    let desk = desk();
    let token = desk.service_token("scanner").await;
    let at =
        |address: &str| json!({ "name": "scanner", "instance": "desk", "address": address, "port": 29_998 });
    for address in ["127.0.0.1", "localhost", "::1", "10.0.0.1"] {
        let refused = desk.ask("POST", "/api/register", Some(&token), Some(at(address))).await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::FORBIDDEN, "forbidden"),
            "{}",
            refused.text
        );
    }
    assert!(desk.acts().iter().any(|act| act.ends_with("service-register service:scanner denied")));
    let made = desk.ask("POST", "/api/register", Some(&token), Some(at("192.0.2.7"))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    for change in [json!({ "address": "127.0.0.1" }), json!({ "address": "192.0.2.8", "port": 1 })] {
        let moved = desk.ask("PATCH", "/api/services/scanner", Some(&token), Some(change)).await;
        assert_eq!(moved.status, StatusCode::FORBIDDEN, "{}", moved.text);
    }
    let local = desk.ask_as_admin("POST", "/api/register", Some(at("127.0.0.1"))).await;
    assert_eq!(local.status, StatusCode::CREATED, "{}", local.text);
}

#[tokio::test]
async fn a_new_instance_that_is_probed_is_unknown_until_somebody_answers_there() {
    let desk = desk();
    let token = desk.service_token("scanner").await;
    let mut request = body("scanner", "desk", 9_000);
    request["health_endpoint"] = json!("/health");
    let made = desk.ask("POST", "/api/register", Some(&token), Some(request)).await;
    assert_eq!(
        (made.status, &made.json["status"]),
        (StatusCode::CREATED, &json!("unknown")),
        "{}",
        made.text
    );
    let found = desk.ask("GET", "/api/discover?service=scanner", None, None).await;
    assert_eq!((found.status, found.code()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"));
    let good = haus_model::health::ProbeOutcome { ok: true, evidence: "HTTP 200".into(), took_ms: 1 };
    desk.desk.directory.probed(&"scanner".parse().unwrap(), "desk", &good);
    let found = desk.ask("GET", "/api/discover?service=scanner", None, None).await;
    assert_eq!((found.status, &found.json["health"]), (StatusCode::OK, &json!("healthy")), "{}", found.text);
}

#[tokio::test]
async fn a_service_that_nobody_can_reach_is_refused_with_the_reason() {
    let desk = desk();
    let refused = desk.ask("GET", "/api/discover?service=scanner", None, None).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"));
    assert_eq!(refused.json["detail"], "scanner cannot be reached: no instance has registered");
    assert_eq!(refused.header("retry-after"), Some("5"));

    let token = desk.service_token("scanner").await;
    desk.ask("POST", "/api/register", Some(&token), Some(body("scanner", "s1", 9_000))).await;
    fall_silent(&desk);
    let refused = desk.ask("GET", "/api/discover?service=scanner", None, None).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text);
    let detail = refused.json["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("scanner cannot be reached: scanner/s1 is offline: no sign of life"),
        "{detail}"
    );
}

/// Lets everybody grow older than any heartbeat allows.
fn fall_silent(desk: &TestDesk) {
    let later = desk.desk.clock.now().after(std::time::Duration::from_secs(3_600));
    let changes = desk.desk.directory.age(later);
    crate::announcing::tell(&desk.desk, &changes);
}

#[tokio::test]
async fn whoever_deregisters_an_offline_instance_ends_its_alert() {
    let desk = desk();
    let token = desk.service_token("scanner").await;
    desk.ask("POST", "/api/register", Some(&token), Some(body("scanner", "s1", 9_000))).await;
    fall_silent(&desk);
    let is_raised = || desk.desk.alarms.is_said("scanner", haus_watch::alert::SERVICE_OFFLINE);
    assert!(is_raised());
    let left = desk.ask("DELETE", "/api/services/scanner", Some(&token), None).await;
    assert_eq!(left.status, StatusCode::NO_CONTENT, "{}", left.text);
    assert!(!is_raised(), "nobody misses what was deregistered");
}

#[tokio::test]
async fn an_instance_has_one_id_everywhere() {
    let desk = desk();
    let token = desk.service_token("scanner").await;
    let made = desk.ask("POST", "/api/register", Some(&token), Some(body("scanner", "s1", 9_000))).await;
    assert_eq!(made.json["id"], "scanner/s1");
    for (path, place) in [
        ("/api/services/scanner", "/instances/0/id"),
        ("/api/services", "/services/1/instances/0/id"),
        ("/api/discover?service=scanner", "/endpoints/0/id"),
        ("/api/services/scanner/health", "/instances/0/id"),
        ("/api/watch?revision=0&service=scanner", "/changes/0/id"),
        ("/api/watch?revision=0&service=scanner", "/changes/0/instance/id"),
    ] {
        let answer = desk.ask("GET", path, None, None).await;
        assert_eq!(answer.json.pointer(place), Some(&json!("scanner/s1")), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn lists_come_in_pages_and_without_the_words_of_instances() {
    let desk = desk();
    for number in 0..7 {
        let mut request = body("scanner", &format!("s{number}"), 9_000 + number);
        request["metadata"] = json!({ "room": "x".repeat(1_000) });
        let made = desk.ask_as_admin("POST", "/api/register", Some(request)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    for _ in 0..10 {
        let page = desk.ask("GET", &format!("/api/services?limit=2{after}"), None, None).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        assert!(!page.text.contains("xxx"), "words stand in the service alone");
        let services = page.json["services"].as_array().unwrap();
        let of = |service: &Value| service["instances"].as_array().unwrap().clone();
        let ids: Vec<String> =
            services.iter().flat_map(of).map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        assert!(ids.len() <= 2, "{ids:?}");
        seen.extend(ids);
        let Some(next) = page.json["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let all: Vec<String> = ["api/1", "api/2"]
        .map(str::to_owned)
        .into_iter()
        .chain((0..7).map(|n| format!("scanner/s{n}")))
        .collect();
    assert_eq!(seen, all);

    let first = desk.ask("GET", "/api/services/scanner?limit=5", None, None).await;
    let next = first.json["next"].as_str().unwrap();
    assert_eq!(first.json["instances"][4]["metadata"]["room"], "x".repeat(1_000));
    let last = desk.ask("GET", &format!("/api/services/scanner?after={next}"), None, None).await;
    assert_eq!((last.json["instances"].as_array().unwrap().len(), last.json.get("next")), (2, None));
    assert_eq!(last.json["registrations"].as_array().unwrap().len(), 2);
    for bad in ["limit=0", "limit=501", "after=x", "after=:1"] {
        let refused = desk.ask("GET", &format!("/api/services?{bad}"), None, None).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {}", refused.text);
    }
}

#[tokio::test]
async fn the_one_whose_turn_it_is_stands_first_among_a_bounded_crowd() {
    let desk = desk();
    for number in 0..120 {
        desk.ask_as_admin(
            "POST",
            "/api/register",
            Some(body("scanner", &format!("s{number}"), 9_000 + number)),
        )
        .await;
    }
    let mut ports = std::collections::BTreeSet::new();
    for _ in 0..120 {
        let found = desk.ask("GET", "/api/discover?service=scanner", None, None).await;
        let endpoints = found.json["endpoints"].as_array().unwrap();
        assert_eq!((endpoints.len(), &endpoints[0]["port"]), (100, &found.json["port"]));
        ports.insert(found.json["port"].as_u64());
    }
    assert_eq!(ports.len(), 120, "everybody has a turn");
}

#[tokio::test]
async fn an_answer_to_a_watcher_is_bounded_and_goes_on_where_it_ended() {
    let desk = desk();
    for number in 0..100 {
        let mut request = body("scanner", &format!("s{number}"), 9_000 + number);
        request["metadata"] = (0..4).map(|n| (n.to_string(), json!("x".repeat(1_000)))).collect::<Value>();
        desk.ask_as_admin("POST", "/api/register", Some(request)).await;
    }
    let (mut seen, mut revision) = (0, 0);
    while seen < 100 {
        let path = format!("/api/watch?service=scanner&wait_s=0&revision={revision}");
        let news = desk.ask("GET", &path, None, None).await;
        assert!(news.text.len() < 300 << 10, "{} bytes", news.text.len());
        let count = news.json["changes"].as_array().unwrap().len();
        assert!(count > 0, "{seen} of 100 were told");
        (seen, revision) = (seen + count, news.json["revision"].as_u64().unwrap());
    }
    assert_eq!(seen, 100);
}
