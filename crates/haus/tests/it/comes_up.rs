//! A house comes up, answers, shows what it does, and goes down.

use crate::home::{Home, SOON, free_port, server, service};
use haus_testkit::{HttpAnswer, http_get, wait_until};
use serde_json::Value;

fn json(answer: &HttpAnswer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

fn assert_problem(answer: &HttpAnswer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = json(answer);
    assert_eq!(problem["status"], status, "{problem}");
    assert!(
        problem["type"].is_string() && problem["title"].is_string() && problem["detail"].is_string(),
        "{problem}"
    );
}

fn two_services() -> String {
    let routes = r#"
routes:
  "web.${domain}": web
  "${domain}":
    /shop/: { to: shop, strip: /shop }
"#;
    format!("services:\n{}{}{routes}", server("web", "", ""), server("shop", "", ""))
}

#[test]
fn a_house_comes_up_and_answers_by_host_and_by_path() {
    let mut home = Home::up(&two_services());
    assert!(home.house.wait_for_line("up: ", SOON).contains("all healthy after"));
    assert_eq!(home.get("web", "/who").text(), format!("web/1 {}", home.pid("web/1")));
    assert_eq!(home.get_own("/shop/who").text(), format!("shop/1 {}", home.pid("shop/1")));
    let with_port = format!("{}:{}", home.host("web"), home.gateway.port());
    assert_eq!(http_get(home.gateway, &with_port, "/anything").unwrap().text(), "hello");
    assert_problem(&home.get("nobody", "/"), 404);
    assert_problem(&home.get_own("/no/such/place"), 404);
    home.down();
}

#[test]
fn the_read_only_api_tells_what_runs_where() {
    let mut home = Home::up(&two_services());
    let health = json(&home.get_own("/health"));
    assert_eq!((&health["status"], &health["house"]), (&"healthy".into(), &home.name.as_str().into()));
    let services = json(&home.get_own("/api/services"));
    let names: Vec<&Value> =
        services["services"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["shop", "web"]);
    let found = json(&home.get_own("/api/discover?service=web"));
    assert_eq!(found["port"], home.port("web/1"), "{found}");
    assert_eq!(found["endpoints"][0]["id"], "web/1");
    let all = json(&home.get_own("/api/health/services"));
    assert_eq!(
        (&all["status"], &all["services_healthy"], &all["services_total"]),
        (&"healthy".into(), &2.into(), &2.into())
    );
    assert!(all["services"][1]["evidence"]["web/1"].as_str().unwrap().contains("200"), "{all}");
    assert_problem(&home.get_own("/api/discover?service=nobody"), 404);
    assert_problem(&home.get_own("/api/discover"), 422);
    assert_problem(&home.get_own("/api/nothing"), 404);
    home.down();
}

#[test]
fn the_commands_show_state_events_and_logs() {
    let mut home = Home::up(&two_services());
    let status = home.status();
    assert_eq!((&status["ready"], &status["draining"]), (&true.into(), &false.into()));
    assert_eq!(status["parent_pid"], home.house.up_pid());
    assert_eq!(
        status["services"][1]["urls"][0],
        format!("http://{}:{}/", home.host("web"), home.gateway.port())
    );
    let table = home.ask(&["status"]);
    let row = table.lines().find(|line| line.starts_with("web ")).unwrap_or_else(|| panic!("{table}"));
    assert!(row.contains("healthy") && row.contains(&home.pid("web/1").to_string()), "{row}");
    let events = home.ask(&["events", "web"]);
    assert!(events.contains("→ healthy") && !events.contains("shop"), "{events}");
    assert!(home.ask(&["logs", "web"]).contains(" out listening"));
    home.get("web", "/seen");
    let wanted = |text: String| text.contains("/seen");
    wait_until("the access log", SOON, || wanted(home.ask(&["logs", "gateway"])));
    home.down();
    let after = home.house.ask(&["status"]);
    assert_eq!(after.code, Some(3), "{after:?}");
    assert!(after.stderr.contains("no house runs"), "{after:?}");
    assert!(home.house.ask(&["logs", "web"]).stdout.contains(" out listening"), "logs stay readable");
    assert_eq!(home.house.ask(&["down"]).code, Some(0), "going down twice is no fault");
}

#[test]
fn services_start_after_what_they_need_and_end_before_it() {
    let chain = [
        server("base", "", ""),
        server("middle", "", "needs: [base]\nenv: { BASE: \"http://${base.address}:${base.port}/\" }"),
        server("top", "", "needs: [middle]"),
    ];
    let body = format!("services:\n{}routes:\n  \"middle.${{domain}}\": middle\n", chain.concat());
    let mut home = Home::up(&body);
    let base = format!("BASE=http://127.0.0.1:{}/\n", home.port("base/1"));
    assert!(home.get("middle", "/env").text().contains(&base), "{base}");
    home.down();
    home.start();
    let events = home.events();
    let number = |subject: &str, is_it: &dyn Fn(&Value) -> bool| {
        let event = events.iter().find(|event| event["subject"] == subject && is_it(event));
        event.unwrap_or_else(|| panic!("{subject} lacks an event"))["seq"].as_u64().unwrap()
    };
    let runs = |event: &Value| event["kind"] == "spawn" && event["why"].as_str().unwrap().ends_with("runs");
    let healthy = |event: &Value| event["to"] == "healthy";
    let ended = |event: &Value| event["kind"] == "exit" && event["why"].as_str().unwrap().contains("ended");
    assert!(number("base", &healthy) < number("middle/1", &runs));
    assert!(number("middle", &healthy) < number("top/1", &runs));
    assert!(number("top/1", &ended) < number("middle/1", &ended));
    assert!(number("middle/1", &ended) < number("base/1", &ended));
    home.down();
}

#[test]
fn a_service_of_the_coordinator_serves_the_api_on_its_own_port() {
    let port = free_port();
    let api = service("desk", &["as: coordinator"], &format!("ports: {{ http: {port} }}"));
    let mut home = Home::up(&format!("services:\n{api}{}", server("web", "", "needs: [desk]")));
    let address = ([127, 0, 0, 1], port).into();
    let answer = http_get(address, "localhost", "/api/services").unwrap();
    assert_eq!(json(&answer)["services"][0]["status"], "healthy");
    // A page of another site whose name resolves to this machine learns nothing.
    let foreign = http_get(address, "evil.example", "/api/services").unwrap();
    assert_eq!(foreign.status, 404, "{}", foreign.text());
    home.down();
}
