//! Tokens through the API as callers see it, with a real ledger.

use crate::api::Peer;
use crate::fixture::{self, Answer, TestDesk};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use haus_model::Scope;
use haus_model::house::House;
use serde_json::{Value, json};

fn house() -> House {
    let mut api = fixture::service("api", 1);
    api.needs = vec!["db".parse().unwrap()];
    fixture::house(vec![api, fixture::service("db", 1)])
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

async fn one_time(desk: &TestDesk, body: Value) -> String {
    let made = desk.ask_as_admin("POST", "/api/tokens", Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    text(&made.json["token"])
}

async fn enrol(desk: &TestDesk, token: &str) -> Answer {
    desk.ask("POST", "/api/identity/enrol", None, Some(json!({ "token": token }))).await
}

async fn refresh(desk: &TestDesk, token: &str) -> Answer {
    desk.ask("POST", "/api/identity/refresh", None, Some(json!({ "refresh_token": token }))).await
}

async fn whoami(desk: &TestDesk, token: &str) -> StatusCode {
    desk.ask("GET", "/api/identity/whoami", Some(token), None).await.status
}

#[tokio::test]
async fn a_one_time_token_lets_a_service_in_once() {
    let desk = TestDesk::of(house());
    let token = one_time(&desk, json!({ "service": "api" })).await;
    let tokens = enrol(&desk, &token).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.text);
    assert_eq!(tokens.json["scope"], "cred:read:api registry:write:api gateway:call:db");
    assert_eq!(tokens.json["expires_in"], 900);
    assert_eq!(tokens.header("cache-control"), Some("no-store"));
    let who = desk.ask("GET", "/api/identity/whoami", Some(&text(&tokens.json["access_token"])), None).await;
    assert_eq!((&who.json["subject"], &who.json["service"]), (&json!("service:api"), &json!("api")));

    let again = enrol(&desk, &token).await;
    assert_eq!((again.status, again.code()), (StatusCode::GONE, "expired"));
    let acts = desk.acts();
    assert!(acts.iter().any(|act| act.starts_with("service:api token-enrol token:e-")), "{acts:?}");
    let last = desk.trail().pop().unwrap().entry;
    assert_eq!((last.outcome, last.address.as_deref()), (haus_trail::Outcome::Denied, Some("192.0.2.7")));
}

#[tokio::test]
async fn what_a_token_is_bound_to_cannot_be_talked_away() {
    let desk = TestDesk::of(house());
    let bound = one_time(&desk, json!({ "service": "api", "instance": "blue-1" })).await;
    let body = json!({ "token": bound, "instance": "other" });
    let refused = desk.ask("POST", "/api/identity/enrol", None, Some(body)).await;
    assert_eq!(refused.code(), "invalid");
    // A mistake costs no token.
    assert_eq!(enrol(&desk, &bound).await.json["subject"], "service:api/blue-1");
    let free = one_time(&desk, json!({ "service": "api" })).await;
    for instance in ["", "a/b", "-a", "x y", "ü"] {
        let body = json!({ "token": free, "instance": instance });
        assert_eq!(
            desk.ask("POST", "/api/identity/enrol", None, Some(body)).await.code(),
            "invalid",
            "{instance}"
        );
    }
}

#[tokio::test]
async fn a_token_that_contradicts_itself_or_the_plan_is_not_made() {
    let desk = TestDesk::of(house());
    for body in [
        json!({}),
        json!({ "service": "api", "name": "x", "scopes": ["read"] }),
        json!({ "service": "nobody" }),
        json!({ "name": "script" }),
        json!({ "name": "Not A Name", "scopes": ["read"] }),
        json!({ "name": "script", "scopes": ["cred:read:nobody"] }),
        json!({ "name": "script", "scopes": ["everything"] }),
        json!({ "name": "script", "scopes": ["read"], "instance": "1" }),
        json!({ "service": "api", "expires_in_s": 0 }),
        json!({ "service": "api", "expires_in_s": 2_592_001 }),
    ] {
        let made = desk.ask_as_admin("POST", "/api/tokens", Some(body.clone())).await;
        assert_eq!((made.status, made.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid"), "{body}");
        assert!(made.json["request_id"].is_string());
    }
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_copy_ends_the_session() {
    let desk = TestDesk::of(house());
    let token = one_time(&desk, json!({ "service": "api" })).await;
    let first = enrol(&desk, &token).await.json;
    let second = refresh(&desk, &text(&first["refresh_token"])).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.text);
    let access = text(&second.json["access_token"]);
    assert_eq!(whoami(&desk, &access).await, StatusCode::OK);

    let stolen = refresh(&desk, &text(&first["refresh_token"])).await;
    assert_eq!((stolen.status, stolen.code()), (StatusCode::UNAUTHORIZED, "unauthorized"));
    assert!(stolen.json["detail"].as_str().unwrap().contains("somebody has a copy"));
    assert_eq!(whoami(&desk, &access).await, StatusCode::UNAUTHORIZED);
    let owner = refresh(&desk, &text(&second.json["refresh_token"])).await;
    assert_eq!(owner.status, StatusCode::UNAUTHORIZED);
    assert!(desk.acts().iter().any(|act| act.contains("token-revoke") && act.ends_with("denied")));
}

#[tokio::test]
async fn what_was_revoked_stays_revoked_over_a_restart_and_what_was_not_goes_on() {
    let desk = TestDesk::of(house());
    let leaving = desk.service_token("api").await;
    let staying = desk.service_token("db").await;
    assert_eq!(whoami(&desk, &leaving).await, StatusCode::OK);
    let left = desk.ask("POST", "/api/identity/revoke", Some(&leaving), None).await;
    assert_eq!(left.status, StatusCode::NO_CONTENT, "{}", left.text);
    assert_eq!(whoami(&desk, &leaving).await, StatusCode::UNAUTHORIZED);
    let desk = desk.restarted();
    assert_eq!(whoami(&desk, &leaving).await, StatusCode::UNAUTHORIZED);
    assert_eq!(whoami(&desk, &staying).await, StatusCode::OK);
}

#[tokio::test]
async fn an_administrator_sees_who_is_in_and_puts_them_out() {
    let desk = TestDesk::of(house());
    let access = desk.service_token("api").await;
    one_time(&desk, json!({ "service": "db" })).await;
    let list = desk.ask_as_admin("GET", "/api/tokens", None).await.json;
    assert_eq!(list["total"], 2);
    assert!(!list.to_string().contains("haus_"), "a list has no tokens");
    for item in list["items"].as_array().unwrap() {
        let path = format!("/api/tokens/{}", text(&item["id"]));
        assert_eq!(desk.ask_as_admin("DELETE", &path, None).await.status, StatusCode::NO_CONTENT);
        let again = desk.ask_as_admin("DELETE", &path, None).await;
        assert_eq!(again.status, StatusCode::NOT_FOUND, "{}", again.text);
    }
    assert_eq!(whoami(&desk, &access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(desk.ask_as_admin("GET", "/api/tokens?limit=0", None).await.code(), "invalid");
    assert_eq!(desk.ask_as_admin("GET", "/api/tokens?limit=1&skip=5", None).await.json["items"], json!([]));
}

#[tokio::test]
async fn tokens_of_a_replaced_key_live_on_and_those_of_a_stolen_one_end() {
    let desk = TestDesk::of(house());
    let old = desk.service_token("api").await;
    let rotated = desk.ask_as_admin("POST", "/api/tokens/rotate-key", None).await;
    assert_eq!(rotated.status, StatusCode::OK, "{}", rotated.text);
    assert_eq!(whoami(&desk, &old).await, StatusCode::OK);
    let keys = desk.ask_as_admin("GET", "/api/identity/keys", None).await.json;
    assert_eq!(keys["keys"][0]["kid"], rotated.json["key_id"]);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);

    let desk = desk.restarted();
    assert_eq!(whoami(&desk, &old).await, StatusCode::OK);
    let middle = desk.service_token("api").await;
    desk.ask_as_admin("POST", "/api/tokens/rotate-key?emergency=true", None).await;
    for token in [&old, &middle] {
        assert_eq!(whoami(&desk, token).await, StatusCode::UNAUTHORIZED);
    }
    let desk = desk.restarted();
    assert_eq!(whoami(&desk, &middle).await, StatusCode::UNAUTHORIZED);
    desk.desk.guard.keep_up(&desk.desk).await.unwrap();
    assert_eq!(desk.desk.ledger.signing_keys().unwrap().len(), 1);
    let public = desk.desk.ledger.signing_keys().unwrap().pop().unwrap();
    assert!(public.retires_at.is_none() && !public.sealed.is_empty());
}

#[tokio::test]
async fn a_scope_that_is_missing_is_a_refusal_on_record() {
    let desk = TestDesk::of(house());
    let token = desk.token("script", &[Scope::Read]).await;
    assert_eq!(desk.ask("GET", "/api/tokens", Some(&token), None).await.status, StatusCode::OK);
    let refused = desk.ask("POST", "/api/tokens", Some(&token), Some(json!({ "service": "api" }))).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "forbidden"));
    assert_eq!(desk.acts().pop().unwrap(), "token:script token-issue tokens denied");
    let entries = desk.trail().len();
    let stranger = desk.ask("GET", "/api/tokens", None, None).await;
    assert_eq!((stranger.status, stranger.code()), (StatusCode::UNAUTHORIZED, "unauthorized"));
    assert!(stranger.header("www-authenticate").is_some());
    assert_eq!(desk.trail().len(), entries, "a stranger leaves no entry");
}

#[tokio::test]
async fn whoever_guesses_is_slowed_down_and_those_who_are_in_are_not() {
    let desk = TestDesk::of(house());
    let good = desk.service_token("api").await;
    assert_eq!(whoami(&desk, &good).await, StatusCode::OK);
    let entries = desk.trail().len();
    for guess in 0..10 {
        let token = format!("guess-{guess}");
        assert_eq!(whoami(&desk, &token).await, StatusCode::UNAUTHORIZED);
    }
    let blocked = desk.ask("GET", "/api/identity/whoami", Some("guess-10"), None).await;
    assert_eq!((blocked.status, blocked.code()), (StatusCode::TOO_MANY_REQUESTS, "too-many-requests"));
    assert!(blocked.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(desk.trail().len(), entries + 10, "what is blocked leaves no entry");
    assert!(!format!("{:?}", desk.trail()).contains("guess-"), "a trail has no tokens");
    assert_eq!(whoami(&desk, &good).await, StatusCode::OK);
}

/// A request with this token from the gateway's side of loopback.
async fn from_here(desk: &TestDesk, peer: &str, token: &str) -> StatusCode {
    let request = Request::get("/api/identity/whoami").header("authorization", format!("Bearer {token}"));
    let request = request.header("host", "localhost").body(Body::empty()).unwrap();
    desk.send(Peer::Tcp(peer.parse().unwrap()), request).await.status
}

#[tokio::test]
async fn a_good_token_passes_where_others_fail_too_often() {
    let desk = TestDesk::of(house());
    // None of them was shown from there before, so nothing is remembered of them.
    let access = desk.service_token("api").await;
    let unused = one_time(&desk, json!({ "service": "api" })).await;
    let session = enrol(&desk, &one_time(&desk, json!({ "service": "db" })).await).await.json;
    for guess in 0..10 {
        assert_eq!(whoami(&desk, &format!("guess-{guess}")).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(whoami(&desk, "guess-10").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(whoami(&desk, &access).await, StatusCode::OK);
    assert_eq!(enrol(&desk, &unused).await.status, StatusCode::OK);
    assert_eq!(refresh(&desk, &text(&session["refresh_token"])).await.status, StatusCode::OK);
    // It ends no block, and what fails is refused without an entry.
    let entries = desk.trail().len();
    assert_eq!(whoami(&desk, "guess-11").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(enrol(&desk, "guess-12").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(desk.trail().len(), entries);
}

#[tokio::test]
async fn who_comes_from_an_address_of_this_machine_fails_alone() {
    let desk = TestDesk::of(house());
    let route = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        // Tells the address that would be used; nothing is sent.
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let Some(own) = route.ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback()) else {
        let test = "who_comes_from_an_address_of_this_machine_fails_alone";
        return haus_testkit::loud_skip(test, "this machine has no address but loopback");
    };
    for guess in 0..20 {
        let status = from_here(&desk, &format!("{own}:4711"), &format!("guess-{guess}")).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{guess}");
    }
}

#[tokio::test]
async fn noise_hides_no_use_of_a_token_that_was_good() {
    let desk = TestDesk::of(house());
    let used = one_time(&desk, json!({ "service": "api" })).await;
    let session = enrol(&desk, &used).await.json;
    let ended = text(&session["access_token"]);
    let left = desk.ask("POST", "/api/identity/revoke", Some(&ended), None).await;
    assert_eq!(left.status, StatusCode::NO_CONTENT);
    for guess in 0..70 {
        let status = from_here(&desk, "127.0.0.1:4711", &format!("eyJ{guess}.a.b")).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let entries = desk.trail().len();
    assert_eq!(enrol(&desk, &used).await.status, StatusCode::GONE);
    assert_eq!(refresh(&desk, &text(&session["refresh_token"])).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(whoami(&desk, &ended).await, StatusCode::UNAUTHORIZED);
    let acts = desk.acts().split_off(entries);
    let kinds: Vec<&str> = acts.iter().filter_map(|act| act.split(' ').nth(1)).collect();
    assert_eq!(kinds, ["token-enrol", "token-refresh", "token-refuse"], "{acts:?}");
    assert!(acts.iter().all(|act| act.ends_with(" denied")), "{acts:?}");
    // Nine more are written down; then it waits, and nobody else does.
    for _ in 0..9 {
        assert_eq!(enrol(&desk, &used).await.status, StatusCode::GONE);
    }
    assert_eq!(enrol(&desk, &used).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(desk.trail().len(), entries + 12);
    let fresh = one_time(&desk, json!({ "service": "api" })).await;
    assert_eq!(enrol(&desk, &fresh).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_of_another_house_or_of_no_house_is_refused() {
    let desk = TestDesk::of(house());
    let mut other = house();
    other.name = "other".parse().unwrap();
    let foreign = TestDesk::of(other).service_token("api").await;
    assert_eq!(whoami(&desk, &foreign).await, StatusCode::UNAUTHORIZED);
    let own = desk.service_token("api").await;
    let (message, _) = own.rsplit_once('.').unwrap();
    for token in [format!("{message}."), format!("{message}.AAAA"), own.replace('.', "")] {
        assert_eq!(whoami(&desk, &token).await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn an_instance_that_is_started_anew_ends_what_its_former_run_had() {
    let desk = TestDesk::of(house());
    let id = "api/1".parse().unwrap();
    let guard = &desk.desk.guard;
    let unused = guard.enrolment_for(&desk.desk, &id).await.unwrap();
    let used = guard.enrolment_for(&desk.desk, &id).await.unwrap();
    let own = |secret: &haus_model::Secret| String::from_utf8(secret.expose_bytes().to_vec()).unwrap();
    assert_eq!(enrol(&desk, &own(&unused)).await.status, StatusCode::UNAUTHORIZED);
    let session = enrol(&desk, &own(&used)).await.json;
    assert_eq!(session["subject"], "service:api/1");
    let by_hand =
        desk.ask_as_admin("POST", "/api/tokens", Some(json!({ "service": "api", "instance": "1" }))).await;
    let by_hand = enrol(&desk, by_hand.json["token"].as_str().unwrap()).await.json;

    guard.enrolment_for(&desk.desk, &id).await.unwrap();
    assert_eq!(whoami(&desk, &text(&session["access_token"])).await, StatusCode::UNAUTHORIZED);
    assert_eq!(refresh(&desk, &text(&session["refresh_token"])).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(whoami(&desk, &text(&by_hand["access_token"])).await, StatusCode::OK);
    let nobody = guard.enrolment_for(&desk.desk, &"nobody/1".parse().unwrap()).await;
    assert_eq!(nobody.unwrap_err().status, 404);
}

#[tokio::test]
async fn without_a_ledger_nobody_is_let_in_and_told_so_at_once() {
    let desk = TestDesk::without_ledger(house());
    let refused = desk.ask("GET", "/api/identity/whoami", Some("a.b.c"), None).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "trail-unavailable"));
    let made = desk.ask_as_admin("POST", "/api/tokens", Some(json!({ "service": "api" }))).await;
    assert_eq!(made.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(made.header("retry-after").is_some());
}

#[tokio::test]
async fn a_service_that_left_the_plan_is_let_in_no_more() {
    let desk = TestDesk::of(house());
    let token = one_time(&desk, json!({ "service": "api" })).await;
    let session = enrol(&desk, &one_time(&desk, json!({ "service": "api" })).await).await.json;
    let without = crate::desk::PlanInForce {
        house: std::sync::Arc::new(fixture::house(vec![fixture::service("db", 1)])),
        root: desk.folder.path().to_owned(),
    };
    desk.desk.plan.store(std::sync::Arc::new(without));
    assert_eq!(enrol(&desk, &token).await.code(), "forbidden");
    assert_eq!(refresh(&desk, &text(&session["refresh_token"])).await.code(), "forbidden");
}

#[tokio::test]
async fn a_mistyped_token_is_told_apart_from_an_unknown_one() {
    let desk = TestDesk::of(house());
    let token = one_time(&desk, json!({ "service": "api" })).await;
    let cut = enrol(&desk, &token[..50]).await;
    assert_eq!(cut.status, StatusCode::UNAUTHORIZED);
    assert!(cut.json["detail"].as_str().unwrap().contains("60 characters"), "{}", cut.text);
    let wrong_kind = refresh(&desk, &token).await;
    assert_eq!(wrong_kind.status, StatusCode::UNAUTHORIZED);
    assert!(!format!("{}{}", cut.text, wrong_kind.text).contains(&token[..50]));
}

#[tokio::test]
async fn a_gateway_tells_where_a_caller_sits_and_nobody_else_can() {
    let desk = TestDesk::of(house());
    let request = || {
        let request = Request::get("/api/identity/whoami").header("authorization", "Bearer wrong");
        request
            .header("x-forwarded-for", "203.0.113.9")
            .header("host", "localhost")
            .body(Body::empty())
            .unwrap()
    };
    desk.send(Peer::Tcp("192.0.2.7:1".parse().unwrap()), request()).await;
    desk.send(Peer::Gateway, request()).await;
    let addresses: Vec<_> = desk.trail().into_iter().rev().take(2).map(|entry| entry.entry.address).collect();
    assert_eq!(addresses, [Some("203.0.113.9".to_owned()), Some("192.0.2.7".to_owned())]);
}
