//! A service that dies comes back, says why, and nobody who asks through the gateway notices when there are
//! two.

use crate::home::{Home, SOON, server};
use crate::visitors::Visitors;
use haus_testkit::{Signal, kill, wait_until};
use serde_json::Value;

const ROUTE: &str = "routes:\n  \"web.${domain}\": web\n";

fn at(event: &Value) -> i64 {
    event["at"].as_i64().unwrap_or_else(|| panic!("an event has a time: {event}"))
}

/// How soon a process follows on one that was killed. When it is healthy is up to Python and the machine.
const BACK_MS: i64 = 2_000;

#[test]
fn a_killed_instance_has_a_new_process_within_two_seconds_and_is_healthy_again() {
    let mut home = Home::up(&format!("services:\n{}{ROUTE}", server("web", "", "")));
    let before = home.instance("web/1");
    let pid = home.pid("web/1");
    kill(pid, Signal::KILL);
    let successor = home.wait_for_successor("web/1", pid);
    let after = home.instance("web/1");
    assert!(after["run"].as_u64() > before["run"].as_u64(), "{before} {after}");
    assert_eq!((&after["restarts"], &after["ports"]), (&1.into(), &before["ports"]));
    assert_eq!(home.get("web", "/who").text(), format!("web/1 {successor}"));
    let exit = &home.wait_for_events(1, "web/1", &format!("process {pid} ended: killed by SIGKILL"))[0];
    let spawn = &home.wait_for_events(1, "web/1", &format!("process {successor} runs"))[0];
    let away_ms = at(spawn) - at(exit);
    assert!((0..BACK_MS).contains(&away_ms), "away for {away_ms} ms");
    wait_until("the event of its recovery", SOON, || {
        home.events().iter().any(|event| {
            event["subject"] == "web"
                && event["to"] == "healthy"
                && event["seq"].as_u64() > spawn["seq"].as_u64()
        })
    });
    home.down();
}

#[test]
fn no_request_fails_while_one_of_two_instances_is_killed_again_and_again() {
    let more = "instances: 2\nrecover: { first: 50ms, most: 200ms, tries: 50 }";
    let mut home = Home::up(&format!("services:\n{}{ROUTE}", server("web", "", more)));
    let visitors = Visitors::start(home.gateway, home.host("web"));
    for round in 0..6 {
        let id = if round % 2 == 0 { "web/1" } else { "web/2" };
        let pid = home.pid(id);
        visitors.wait_for_more(20);
        kill(pid, Signal::KILL);
        visitors.wait_for_more(20);
        home.wait_for_successor(id, pid);
    }
    let visit = visitors.end();
    assert!(visit.answers > 200, "only {} requests", visit.answers);
    home.down();
}

#[test]
fn both_instances_take_part_in_the_work() {
    let mut home = Home::up(&format!("services:\n{}{ROUTE}", server("web", "", "instances: 2")));
    let answered: Vec<String> = (0..10).map(|_| home.get("web", "/who").text()).collect();
    for id in ["web/1", "web/2"] {
        let count = answered.iter().filter(|text| text.starts_with(id)).count();
        assert_eq!(count, 5, "{answered:?}");
    }
    home.down();
}

#[test]
fn a_service_that_is_never_healthy_is_given_up_and_those_that_need_it_say_so() {
    // Long enough for Python to start and to be asked several times on a machine that does much else.
    let rhythm = "health: { get: /health, every: 1s, timeout: 900ms, start: 4s }";
    let more = format!("{rhythm}\nrecover: {{ tries: 2, first: 50ms, most: 100ms }}\nstop: {{ within: 1s }}");
    let sick = server("sick", "health-file=well", &more);
    let body =
        format!("services:\n{sick}{}{}", server("waits", "", "needs: [sick]"), server("other", "", ""));
    let mut home = Home::new(&body);
    home.begin();
    let why = home.wait_for_phase("sick/1", "given up");
    assert!(
        why.contains("2 exits within 10m") && why.contains("not healthy within 4s") && why.contains("503"),
        "{why}"
    );
    assert!(home.wait_for_phase("waits", "waiting").contains("sick"));
    home.wait_for_phase("other/1", "healthy");
    home.house.wait_for_line("up, but not whole: 1/3", SOON);
    let told = home.house.wait_for_line("  sick: ", SOON);
    assert!(told.contains("not healthy within 4s"), "{told}");
    assert_eq!(home.house.ask(&["status"]).code, Some(1), "open items");
    // What was wrong is mended, and a person says so.
    home.house.write("well", "");
    assert!(home.ask(&["restart", "sick"]).contains("sick is being restarted"));
    home.wait_for_phase("waits/1", "healthy");
    assert_eq!(home.status()["ready"], true);
    home.down();
}

#[test]
fn a_service_that_ends_at_once_is_tried_with_growing_pauses_and_given_up() {
    let run = "run: [/bin/sh, -c, \"echo I do not want; exit 3\"]\nports: {}\nhealth: { process: true }";
    let more = format!("{run}\nrecover: {{ tries: 4, first: 100ms, most: 400ms }}");
    let mut home = Home::new(&format!("services:\n{}", server("moody", "", &more)));
    home.begin();
    let why = home.wait_for_phase("moody/1", "given up");
    assert!(why.contains("exit code 3") && why.contains("4 exits"), "{why}");
    home.wait_for_events(4, "moody/1", "ended: exit code 3");
    assert!(home.ask(&["logs", "moody"]).contains("out I do not want"));
    home.down();
}

#[test]
fn a_service_that_turns_sick_leaves_the_gateway_and_is_restarted() {
    let rhythm = "health: { get: /health, every: 200ms, timeout: 150ms, unhealthy_after: 2 }";
    let mut home = Home::new(&format!("services:\n{}{ROUTE}", server("web", "health-file=well", rhythm)));
    home.house.write("well", "");
    home.start();
    let pid = home.pid("web/1");
    std::fs::remove_file(home.house.folder().join("well")).unwrap();
    wait_until("the gateway to refuse", SOON, || home.get("web", "/who").status == 503);
    let refusal = home.get("web", "/who");
    assert!(refusal.text().contains("web/1"), "the reason names the instance: {}", refusal.text());
    home.house.write("well", "");
    home.wait_for_successor("web/1", pid);
    wait_until("the gateway to serve", SOON, || home.get("web", "/who").status == 200);
    wait_until("an event that tells what the probe saw", SOON, || !home.events_of("web/1", "503").is_empty());
    home.down();
}
