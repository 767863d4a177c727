//! When the trail cannot be written nothing secret is read and nothing is changed, everybody is told so
//! within a second, and everything else goes on.

use crate::home::{SOON, server};
use crate::open_house::{OpenHouse, good, refused};
use haus_testkit::{SmallDisk, wait_until};
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};

/// A second, and what a busy machine takes beside it.
const AT_ONCE: Duration = Duration::from_secs(3);

#[test]
fn a_full_disk_closes_credentials_within_a_second_and_nothing_else() {
    let test = "a_full_disk_closes_credentials_within_a_second_and_nothing_else";
    let far = "  far: { as: external, about: \"somewhere else\" }\n";
    let mut house =
        OpenHouse::new(&format!("{}{far}", server("web", "", "")), "routes:\n  \"web.${domain}\": web\n");
    let state = house.home.house.state();
    fs::create_dir_all(&state).unwrap();
    let Some(disk) = SmallDisk::mount_at(test, &state, 6 * 1_024) else { return };
    house.start();
    let id = house.credential(json!({ "name": "key", "service_name": "far", "value": "v-1" }));
    let (far, admin) = (house.token_of("far"), house.admin_token());
    assert_eq!(house.values(&far, "far").len(), 1);
    let ballast = disk.fill();

    let path = "/api/credentials/service/far";
    // What is left in the last page of the log may still take an entry or two.
    wait_until("the disk to be full for the trail too", SOON, || {
        let begun = Instant::now();
        let answer = house.get(&far, path);
        assert!(begun.elapsed() < AT_ONCE, "it took {:?}: {}", begun.elapsed(), answer.text());
        assert!(matches!(answer.status, 200 | 503), "{} {}", answer.status, answer.text());
        answer.status == 503
    });
    for _ in 0..5 {
        let begun = Instant::now();
        let answer = house.get(&far, path);
        assert!(begun.elapsed() < AT_ONCE, "it took {:?}", begun.elapsed());
        let problem = refused(&answer, 503, "trail-unavailable");
        assert!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{problem}");
        assert!(answer.header("retry-after").is_some(), "{problem}");
        assert!(!answer.text().contains("v-1"));
    }
    let patch = json!({ "description": "while the disk is full" });
    let answer = house.ask(Some(&admin), "PATCH", &format!("/api/credentials/{id}"), Some(patch));
    refused(&answer, 503, "trail-unavailable");
    let register = json!({ "name": "far", "instance": "a", "port": 4_711 });
    refused(&house.post(&far, "/api/services/register", register), 503, "trail-unavailable");
    let health = good(&house.ask(None, "GET", "/health", None));
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(house.ask(None, "GET", "/ready", None).status, 503, "it cannot do its work");
    good(&house.ask(None, "GET", "/api/services", None));
    assert_eq!(house.home.get("web", "/who").status, 200);

    fs::remove_file(ballast).unwrap();
    wait_until("the trail to be written again", SOON, || house.get(&far, path).status == 200);
    let kept = good(&house.admin("GET", &format!("/api/credentials/{id}"), None));
    assert_eq!(kept["description"], json!(null), "what was refused was not done: {kept}");
    wait_until("the house to be ready again", SOON, || house.ask(None, "GET", "/ready", None).status == 200);
    let told = house.home.house.run(&["trail", "verify", &*state.join("house.db").to_string_lossy()]);
    assert_eq!(told.code, Some(0), "{told:?}");
    house.home.down();
}
