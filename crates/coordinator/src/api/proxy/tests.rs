//! Calls through the API to a real service behind a real gateway.

use crate::fixture::{self, TestDesk};
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse;
use axum::routing::any;
use haus_gateway::{Address, Endpoint, Snapshot, Upstream};
use haus_model::Scope;
use haus_model::health::HealthState;
use haus_model::house::LogBodies;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// A service that tells what it was asked.
async fn mirror() -> SocketAddr {
    let tell = async |request: AxumRequest| {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let told = json!({
            "method": parts.method.as_str(),
            "target": parts.uri.to_string(),
            "body": String::from_utf8_lossy(&body),
            "authorization": header("authorization"),
            "id": header("x-request-id"),
            "kind": header("content-type"),
            "own": header("x-own"),
            "timeout": header("x-haus-timeout"),
        });
        let status = if parts.uri.path() == "/teapot" { StatusCode::IM_A_TEAPOT } else { StatusCode::OK };
        (status, [("x-told", "yes")], axum::Json(told)).into_response()
    };
    let router = axum::Router::new().fallback(any(tell));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            let stream = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
        }
    });
    address
}

fn upstream(service: &str, address: Option<SocketAddr>) -> Arc<Upstream> {
    let endpoint = |address| Endpoint {
        id: format!("{service}/1"),
        run: 1,
        address: Address::Tcp(address),
        state: HealthState::Healthy,
        weight: 1,
    };
    Arc::new(Upstream {
        service: service.to_owned(),
        endpoints: address.into_iter().map(endpoint).collect(),
        hold: None,
        why_empty: "it is being tested".to_owned(),
    })
}

async fn desk() -> TestDesk {
    desk_that_logs(LogBodies::Asked).await
}

async fn desk_that_logs(log_bodies: LogBodies) -> TestDesk {
    let services = ["api", "dead", "empty"].map(|name| fixture::service(name, 1));
    let mut house = fixture::house(services.to_vec());
    house.api.log_bodies = log_bodies;
    let desk = TestDesk::of(house);
    // Nobody listens at a port that was just given back.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let upstreams =
        [upstream("api", Some(mirror().await)), upstream("dead", Some(dead)), upstream("empty", None)];
    let services = upstreams.into_iter().map(|upstream| (upstream.service.parse().unwrap(), upstream));
    let snapshot = Snapshot { services: services.collect::<BTreeMap<_, _>>(), ..Snapshot::default() };
    desk.desk.gateway.set_snapshot(Arc::new(snapshot)).unwrap();
    desk
}

const ALL: [Scope; 1] = [Scope::GatewayCall(None)];

#[tokio::test]
async fn every_method_passes_and_the_answer_comes_back_as_it_is() {
    let desk = desk().await;
    let token = desk.token("script", &ALL).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = desk
            .ask(method, "/api/gateway/proxy/api/v1/x%2Fy?q=1", Some(&token), Some(json!({ "a": 1 })))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{method}: {}", answer.text);
        assert_eq!(answer.json["method"], method);
        assert_eq!(answer.json["target"], "/v1/x%2Fy?q=1");
        assert_eq!(answer.json["body"], "{\"a\":1}");
        assert_eq!(answer.json["authorization"], Value::Null, "our tokens stay here");
        assert_eq!(answer.json["id"].as_str(), answer.header("x-request-id"));
        assert_eq!((answer.header("x-told"), answer.header("x-haus-instance")), (Some("yes"), Some("api/1")));
    }
    let head = desk.ask("HEAD", "/api/gateway/proxy/api", Some(&token), None).await;
    assert_eq!((head.status, head.text.as_str(), head.header("x-told")), (StatusCode::OK, "", Some("yes")));
    for root in ["/api/gateway/proxy/api", "/api/gateway/proxy/api/", "/api/gateway/proxy/api/?"] {
        let answer = desk.ask("GET", root, Some(&token), None).await;
        assert!(answer.json["target"].as_str().is_some_and(|target| target.starts_with('/')), "{root}");
    }
    let teapot = desk.ask("GET", "/api/gateway/proxy/api/teapot", Some(&token), None).await;
    assert_eq!(teapot.status, StatusCode::IM_A_TEAPOT);
}

#[tokio::test]
async fn an_envelope_carries_the_call_and_its_answer() {
    let desk = desk().await;
    let token = desk.token("script", &ALL).await;
    let body = json!({ "service": "api", "method": "PUT", "path": "/v1", "query_params": { "q": "a b" },
        "headers": { "X-Own": "1", "Authorization": "Bearer other" }, "body": [1] });
    let answer = desk.ask("POST", "/api/gateway/proxy", Some(&token), Some(body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let told = &answer.json;
    assert_eq!(
        (&told["status_code"], &told["instance"], &told["attempts"]),
        (&200.into(), &"api/1".into(), &1.into())
    );
    let data = &told["data"];
    assert_eq!((&data["method"], &data["target"]), (&"PUT".into(), &"/v1?q=a%20b".into()));
    assert_eq!((&data["body"], &data["kind"]), (&"[1]".into(), &"application/json".into()));
    assert_eq!((&data["own"], &data["authorization"]), (&"1".into(), &Value::Null));
    assert_eq!(told["headers"]["x-told"], "yes");
    let teapot = json!({ "service_name": "api", "path": "/teapot" });
    let answer = desk.ask("POST", "/api/gateway/proxy", Some(&token), Some(teapot)).await;
    assert_eq!((answer.status, &answer.json["status_code"]), (StatusCode::OK, &418.into()));
}

async fn check(path: &str, status: u16, code: &str) {
    let desk = desk().await;
    let token = desk.token("script", &ALL).await;
    let name = path.split('/').nth(1).unwrap();
    let answer = desk.ask("POST", &format!("/api/gateway/proxy{path}"), Some(&token), None).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path}: {}", answer.text);
    let body = json!({ "service": name, "method": "POST", "path": "/" });
    let answer = desk.ask("POST", "/api/gateway/proxy", Some(&token), Some(body)).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "envelope {path}: {}", answer.text);
    assert_eq!(answer.header("retry-after").is_some(), status == 503);
}

#[tokio::test]
async fn a_service_that_cannot_answer_has_its_own_status() {
    check("/dead/x", 502, "bad-gateway").await;
    check("/empty", 503, "unavailable").await;
    check("/nobody/x", 404, "not-found").await;
}

#[tokio::test]
async fn a_path_cannot_leave_the_service() {
    let desk = desk().await;
    let token = desk.token("script", &ALL).await;
    for path in ["/api/../../etc", "/api/%2e%2e/%2e%2e/x"] {
        let answer = desk.ask("GET", &format!("/api/gateway/proxy{path}"), Some(&token), None).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "bad-request"),
            "{path}: {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_token_reaches_only_the_services_that_it_names() {
    let desk = desk().await;
    let token = desk.token("script", &[Scope::GatewayCall(Some("dead".parse().unwrap()))]).await;
    let refused = desk.ask("GET", "/api/gateway/proxy/api/x", Some(&token), None).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "forbidden"));
    assert_eq!(desk.acts().pop().unwrap(), "token:script gateway-call service:api denied");
    let body = json!({ "service": "api", "path": "/" });
    let refused = desk.ask("POST", "/api/gateway/proxy", Some(&token), Some(body)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let stranger = desk.ask("GET", "/api/gateway/proxy/api/x", None, None).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_time_out_is_asked_for_in_a_header_that_the_service_does_not_see() {
    let desk = desk().await;
    let token = desk.token("script", &ALL).await;
    let send = async |seconds: &str| {
        let request =
            Request::get("/api/gateway/proxy/api").header("authorization", format!("Bearer {token}"));
        let request = request.header("x-haus-timeout", seconds).body(Body::empty()).unwrap();
        desk.send(crate::api::Peer::Gateway, request).await
    };
    assert_eq!(send("5").await.json["timeout"], Value::Null);
    for bad in ["0", "301", "x"] {
        assert_eq!(send(bad).await.code(), "invalid", "{bad}");
    }
}

#[tokio::test]
async fn a_call_is_a_line_in_the_log_and_its_bodies_only_when_asked_for() {
    let desk = desk().await;
    let token = desk.token("script", &ALL).await;
    let begun = desk.log(2).await.len();
    let path = "/api/gateway/proxy/api/v1?token=planted";
    let body = json!({ "password": "planted", "note": "hello" });
    desk.ask("POST", path, Some(&token), Some(body.clone())).await;
    let line = desk.log(begun + 1).await.pop().unwrap();
    assert_eq!(
        (&line["path"], &line["caller"]),
        (&json!("/api/gateway/proxy/api/v1"), &json!("token:script"))
    );
    assert_eq!((&line["service"], &line["instance"]), (&json!("api"), &json!("api/1")));
    assert_eq!((&line["upstream_status"], &line["attempts"]), (&json!(200), &json!(1)));
    assert!(!line.to_string().contains("planted"), "{line}");

    let envelope = json!({ "service": "api", "method": "POST", "path": "/", "body": body,
        "headers": { "X-Haus-Log-Bodies": "yes" } });
    desk.ask("POST", "/api/gateway/proxy", Some(&token), Some(envelope)).await;
    let request = Request::post("/api/gateway/proxy/api").header("authorization", format!("Bearer {token}"));
    let request = request.header("x-haus-log-bodies", "yes").header("content-type", "application/json");
    desk.send(crate::api::Peer::Gateway, request.body(Body::from(body.to_string())).unwrap()).await;
    let lines = desk.log(begun + 5).await;
    let told = lines.iter().filter(|line| !line["request_body"].is_null());
    let told: Vec<_> = told.map(|line| line["request_body"].as_str().unwrap()).collect();
    assert_eq!(told, [r#"{"note":"hello","password":"***"}"#; 2]);
    assert_eq!(lines.iter().filter(|line| line["answer_body"].is_string()).count(), 2);
    let answers = lines.iter().filter_map(|line| line["answer_body"].as_str()).collect::<String>();
    assert!(answers.contains("x-told") || answers.contains("target"), "{answers}");

    let request = Request::post("/api/gateway/proxy/api").header("authorization", format!("Bearer {token}"));
    let request = request.header("x-haus-log-bodies", "maybe").body(Body::empty()).unwrap();
    assert_eq!(desk.send(crate::api::Peer::Gateway, request).await.code(), "invalid");
}

#[tokio::test]
async fn the_plan_has_the_word_on_whose_bodies_are_logged() {
    for (log_bodies, header, expected) in [
        (LogBodies::Never, Some("yes"), 0),
        (LogBodies::Asked, None, 0),
        (LogBodies::Asked, Some("yes"), 1),
        (LogBodies::Always, None, 1),
        (LogBodies::Always, Some("no"), 0),
    ] {
        let desk = desk_that_logs(log_bodies).await;
        let token = desk.token("script", &ALL).await;
        let mut request =
            Request::post("/api/gateway/proxy/api").header("authorization", format!("Bearer {token}"));
        if let Some(header) = header {
            request = request.header("x-haus-log-bodies", header);
        }
        let request = request.header("content-type", "application/json").body(Body::from("{}")).unwrap();
        assert_eq!(desk.send(crate::api::Peer::Gateway, request).await.status, StatusCode::OK);
        let lines = desk.log(1 + expected).await;
        let told = lines.iter().filter(|line| !line["request_body"].is_null()).count();
        assert_eq!(told, expected, "{log_bodies:?} {header:?}: {lines:?}");
    }
}

#[tokio::test]
async fn a_good_read_is_no_line_and_a_refusal_is_one() {
    let desk = desk().await;
    desk.ask("GET", "/health", None, None).await;
    desk.ask("GET", "/api/tokens", None, None).await;
    let lines = desk.log(1).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0]["path"], &lines[0]["status"]), (&json!("/api/tokens"), &json!(401)));
    assert_eq!((&lines[0]["caller"], &lines[0]["address"]), (&json!("anonymous"), &json!("192.0.2.7")));
    assert!(lines[0]["error"].as_str().unwrap().contains("needs a token"));
}
