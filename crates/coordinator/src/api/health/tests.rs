//! Tests of `/health`, `/ready` and the history.

use super::*;
use crate::directory::Standing;
use crate::fixture::{self, TestDesk};
use haus_model::house::Anonymous;

fn desk() -> TestDesk {
    TestDesk::of(fixture::house(vec![fixture::service("api", 1), fixture::service("web", 1)]))
}

fn stand(desk: &TestDesk, service: &str, health: HealthState) {
    let standing = Standing {
        phase: health.to_string(),
        health,
        since: desk.desk.clock.now(),
        why: format!("it is {health}"),
    };
    desk.desk.directory.note_standings(vec![(service.parse().unwrap(), standing)], &[]);
}

#[tokio::test]
async fn the_house_is_as_well_as_its_worst_service() {
    use HealthState::{Degraded, Healthy, Offline};
    let desk = desk();
    for (api, web, expected) in [
        (None, None, "degraded"),
        (Some(Healthy), Some(Healthy), "healthy"),
        (Some(Healthy), Some(Degraded), "degraded"),
        (Some(Offline), Some(Degraded), "offline"),
    ] {
        for (service, state) in [("api", api), ("web", web)] {
            if let Some(state) = state {
                stand(&desk, service, state);
            }
        }
        for path in ["/api/health", "/api/health/system", "/api/health/services"] {
            let answer = desk.ask("GET", path, None, None).await;
            assert_eq!(answer.json["status"], expected, "{path}: {}", answer.text);
            assert_eq!(answer.json["services_total"], 2);
        }
    }
    let system = desk.ask("GET", "/api/health", None, None).await;
    assert_eq!(system.json["database_status"], "connected", "{}", system.text);
    assert_eq!(system.json["services"][0]["error_message"], "it is offline");
}

#[tokio::test]
async fn a_database_that_refuses_is_not_called_connected() {
    let desk = TestDesk::without_ledger(fixture::house(Vec::new()));
    let system = desk.ask("GET", "/api/health", None, None).await;
    assert_eq!(system.json["database_status"], "unavailable", "{}", system.text);
    assert!(system.json["database_error"].as_str().unwrap().contains("the disk is gone"));
    assert_eq!(system.json["status"], "degraded");
    let ready = desk.ask("GET", "/ready", None, None).await;
    assert_eq!((ready.status.as_u16(), ready.code()), (503, "unavailable"), "{}", ready.text);
    assert_eq!(ready.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn readiness_is_a_word_of_the_engine_and_a_write() {
    let desk = desk();
    let ready = desk.ask("GET", "/ready", None, None).await;
    assert_eq!(
        (ready.status.as_u16(), ready.json["status"].as_str()),
        (200, Some("ready")),
        "{}",
        ready.text
    );
    let first = desk.desk.trial.last(&desk.desk).await;
    assert!(Arc::ptr_eq(&first, &desk.desk.trial.last(&desk.desk).await), "one trial serves everybody");
}

#[tokio::test]
async fn strangers_see_nothing_but_life_when_the_plan_says_so() {
    let mut house = fixture::house(vec![fixture::service("api", 1)]);
    house.api.anonymous = Anonymous::None;
    let desk = TestDesk::of(house);
    let paths = [
        "/api/services",
        "/api/services/api",
        "/api/discover?service=api",
        "/api/watch",
        "/api/health",
        "/api/health/history",
    ];
    for path in paths {
        assert_eq!(desk.ask("GET", path, None, None).await.status.as_u16(), 401, "{path}");
    }
    for path in ["/health", "/ready"] {
        assert_eq!(desk.ask("GET", path, None, None).await.status.as_u16(), 200, "{path}");
    }
}

#[tokio::test]
async fn the_history_is_kept_in_order_and_read_in_pages() {
    use HealthState::{Degraded, Healthy, Offline};
    let desk = desk();
    crate::announcing::start(&desk.desk);
    for state in [Healthy, Degraded, Offline] {
        stand(&desk, "api", state);
    }
    stand(&desk, "web", Healthy);
    let ledger = Arc::clone(&desk.desk.ledger);
    let all = || HealthQuery { limit: 100, ..HealthQuery::default() };
    let kept = tokio::task::spawn_blocking(move || {
        let are_kept = || ledger.health_history(&all()).is_ok_and(|rows| rows.len() == 4);
        haus_testkit::wait_until("four rows are kept", Duration::from_secs(20), are_kept);
    });
    kept.await.unwrap();
    let page = desk.ask("GET", "/api/health/history?service=api&limit=2", None, None).await;
    let states = |answer: &fixture::Answer| -> Vec<String> {
        answer.json["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["to"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(states(&page), ["offline", "degraded"], "{}", page.text);
    let rest = format!("/api/health/history?service=api&before={}", page.json["next"]);
    let rest = desk.ask("GET", &rest, None, None).await;
    assert_eq!((states(&rest), rest.json["next"].is_null()), (vec!["healthy".to_owned()], true));
    let later = desk.ask("GET", "/api/health/history?since=2999-01-01T00:00:00Z", None, None).await;
    assert_eq!(later.json["items"], serde_json::json!([]));
    for query in ["limit=0", "limit=1001", "since=yesterday", "service=A", "page=1"] {
        let refused = desk.ask("GET", &format!("/api/health/history?{query}"), None, None).await;
        assert_eq!(refused.status.as_u16(), 422, "{query}: {}", refused.text);
    }
}
