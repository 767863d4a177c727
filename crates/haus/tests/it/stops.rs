//! Going down: requests in flight end, the stubborn are killed, impatience is obeyed, and nothing is left.

use crate::home::{Home, SOON, server};
use haus_testkit::{Signal, http_get, wait_until};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const ROUTE: &str = "routes:\n  \"web.${domain}\": web\n";

#[test]
fn a_service_that_ignores_its_stop_signal_is_killed_in_time() {
    let mut home =
        Home::up(&format!("services:\n{}", server("web", "term=ignore", "stop: { within: 700ms }")));
    let begun = Instant::now();
    home.down();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(700), "it was not given its time: {took:?}");
    // Who gives no time of its own has ten seconds.
    assert!(took < Duration::from_secs(9), "it was given too much: {took:?}");
}

#[test]
fn a_second_interrupt_ends_the_house_at_once() {
    let mut home = Home::up(&format!("services:\n{}", server("web", "term=ignore", "stop: { within: 60s }")));
    home.house.signal(Signal::INT);
    home.house.wait_for_line("going down", SOON);
    let stopping = || home.try_status().is_none_or(|status| status["services"][0]["phase"] == "stopping");
    wait_until("the service to be asked to end", SOON, stopping);
    home.house.signal(Signal::INT);
    assert_eq!(home.house.wait_for_exit(Duration::from_secs(8)), Some(4), "{:?}", home.house.lines());
    assert_eq!(home.house.processes(), []);
}

#[test]
fn an_interrupt_before_the_house_is_up_ends_it_too() {
    let never = "health: { get: /health, every: 200ms, timeout: 150ms, start: 60s }";
    let body =
        format!("services:\n{}{}", server("slow", "health=503", never), server("waits", "", "needs: [slow]"));
    let mut home = Home::new(&body);
    home.begin();
    home.wait_for_phase("slow/1", "starting");
    home.house.signal(Signal::INT);
    assert_eq!(home.house.wait_for_exit(SOON), Some(0), "{:?}", home.house.lines());
    assert_eq!(home.house.processes(), []);
}

#[test]
fn a_request_in_flight_is_answered_before_the_house_goes_down() {
    let mut home = Home::up(&format!("services:\n{}{ROUTE}", server("web", "", "")));
    let (gateway, host) = (home.gateway, home.host("web"));
    let slow = std::thread::spawn(move || http_get(gateway, &host, "/wait/go"));
    wait_until("the request to arrive", SOON, || home.ask(&["logs", "web"]).contains("out waiting"));
    home.house.signal(Signal::INT);
    home.house.wait_for_line("going down", SOON);
    wait_until("new connections to be refused", SOON, || TcpStream::connect(gateway).is_err());
    assert!(!slow.is_finished(), "the request in flight was cut off");
    home.house.write("go", "");
    let answer = slow.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(home.house.wait_for_exit(SOON), Some(0));
    home.house.wait_for_line("down: nothing is left running", SOON);
}

#[test]
fn processes_that_a_service_leaves_behind_end_with_it() {
    // One child in the group, one that has left it for a session of its own.
    let script = "sleep 600 & setsid sleep 601 & exec python3 -I server.py ${port}";
    let run = format!("run: [/bin/sh, -c, \"{script}\"]");
    let mut home = Home::up(&format!("services:\n{}", server("web", "", &run)));
    assert_eq!((home.processes_with("sleep 600"), home.processes_with("sleep 601")), (1, 1));
    home.down();
}

#[test]
fn an_operator_can_choose_the_signal_that_stops() {
    let script = "trap 'echo got interrupt; exit 0' INT; echo ready; while :; do sleep 0.05; done";
    let more = format!(
        "run: [/bin/sh, -c, \"{script}\"]\nports: {{}}\nhealth: {{ process: true }}\nstop: {{ signal: INT, within: 10s }}"
    );
    let mut home = Home::up(&format!("services:\n{}", server("shell", "", &more)));
    wait_until("its trap", SOON, || home.ask(&["logs", "shell"]).contains("ready"));
    home.down();
    assert!(home.house.ask(&["logs", "shell"]).stdout.contains("got interrupt"));
}
