//! A plan that is read again: only the difference is applied, nobody who asks is turned away, a broken one
//! changes nothing.

use crate::home::{Home, SOON, free_port, server};
use crate::visitors::Visitors;
use haus_testkit::{Signal, http_get, is_running, wait_until};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

const ROUTES: &str = "routes:\n  \"web.${domain}\": web\n";

#[test]
fn a_reload_touches_only_what_changed() {
    let kept = server("kept", "", "");
    let web = |flavour: &str| server("web", "", &format!("instances: 2\nenv: {{ FLAVOUR: {flavour} }}"));
    let mut home = Home::up(&format!("services:\n{kept}{}{}{ROUTES}", web("sweet"), server("gone", "", "")));
    let (kept_pid, gone_pid) = (home.pid("kept/1"), home.pid("gone/1"));
    let old = ["web/1", "web/2"].map(|id| home.pid(id));
    let visitors = Visitors::start(home.gateway, home.host("web"));
    home.plan(&format!("services:\n{kept}{}{}{ROUTES}", web("sour"), server("fresh", "", "")));
    let said = home.ask(&["reload"]);
    assert_eq!(said, "added: fresh\nremoved: gone\nrestarted: web\n");
    for (id, pid) in ["web/1", "web/2"].into_iter().zip(old) {
        home.wait_for_successor(id, pid);
        assert!(!is_running(pid));
    }
    home.wait_for_phase("fresh/1", "healthy");
    wait_until("the end of what is gone", SOON, || !is_running(gone_pid));
    visitors.wait_for_more(50);
    visitors.end();
    assert_eq!(home.pid("kept/1"), kept_pid);
    assert!(home.get("web", "/env").text().contains("FLAVOUR=sour\n"));
    wait_until("only what the plan says", SOON, || home.service("gone").is_null());
    assert_eq!(home.processes_with("server.py"), 4);
    assert!(home.ask(&["reload"]).contains("no difference"));
    home.down();
}

#[test]
fn a_broken_plan_is_refused_with_its_place_and_changes_nothing() {
    let mut home = Home::up(&format!("services:\n{}{ROUTES}", server("web", "", "")));
    let pid = home.pid("web/1");
    home.plan(&format!("services:\n{}\n  other:\n    runn: sleep 1\n", server("web", "", "instances: 2")));
    let refused = home.house.ask(&["reload"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let line = std::fs::read_to_string(home.house.folder().join("house.yaml")).unwrap();
    let line = line.lines().position(|line| line.contains("runn")).unwrap() + 1;
    assert!(refused.stderr.contains(&format!("house.yaml:{line}:5")), "{refused:?}");
    assert!(refused.stderr.contains("nothing was changed"), "{refused:?}");
    assert_eq!(home.pid("web/1"), pid);
    assert!(home.instance("web/2").is_null());
    home.house.write(
        "house.yaml",
        "haus: 1\nhouse: another\nservices: { web: { run: sleep 1, health: { process: true } } }\n",
    );
    let refused = home.house.ask(&["reload"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("another"), "{refused:?}");
    std::fs::remove_file(home.house.folder().join("house.yaml")).unwrap();
    let refused = home.house.ask(&["reload"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("house.yaml"), "{refused:?}");
    assert_eq!(home.pid("web/1"), pid);
    home.down();
}

#[test]
fn a_changed_route_or_probe_restarts_nothing() {
    let web = server("web", "", "");
    let mut home = Home::up(&format!("services:\n{web}{ROUTES}"));
    let pid = home.pid("web/1");
    home.plan(&format!("services:\n{web}{ROUTES}  \"shop.${{domain}}\": web\n"));
    assert_eq!(home.ask(&["reload"]), "routes and gateway settings: taken over\n");
    wait_until("the new route", SOON, || home.get("shop", "/who").text() == format!("web/1 {pid}"));
    let web = server("web", "", "health: { get: /other, every: 500ms, timeout: 400ms }");
    home.plan(&format!("services:\n{web}{ROUTES}"));
    let said = home.ask(&["reload"]);
    assert!(said.contains("adjusted without a restart: web\n"), "{said}");
    wait_until("the old route to be gone", SOON, || home.get("shop", "/who").status == 404);
    assert_eq!(home.pid("web/1"), pid);
    home.down();
}

#[test]
fn another_gateway_address_waits_for_a_new_up() {
    let mut home = Home::up(&format!("services:\n{}{ROUTES}", server("web", "", "")));
    let (old, new) = (home.gateway, SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
    home.gateway = new;
    home.plan(&format!("services:\n{}{ROUTES}", server("web", "", "")));
    let said = home.ask(&["reload"]);
    assert!(said.contains("only with a new `haus up`: gateway.listen"), "{said}");
    assert_eq!(http_get(old, &home.host("web"), "/who").unwrap().status, 200);
    assert!(TcpStream::connect(new).is_err());
    home.down();
    home.start();
    assert_eq!(home.get("web", "/who").status, 200);
    home.down();
}

#[test]
fn a_hangup_signal_without_a_terminal_reloads() {
    let web = server("web", "", "");
    let mut home = Home::up(&format!("services:\n{web}"));
    let pid = home.pid("web/1");
    home.plan(&format!("services:\n{web}{}", server("fresh", "", "")));
    home.house.signal(Signal::HUP);
    home.wait_for_phase("fresh/1", "healthy");
    assert_eq!(home.pid("web/1"), pid);
    home.house.write("house.yaml", "haus: 1\n");
    home.house.signal(Signal::HUP);
    home.house.wait_for_line("the plan was not taken over", SOON);
    assert_eq!(home.pid("web/1"), pid);
    home.down();
}

#[test]
fn more_and_fewer_instances_come_and_go_without_touching_the_others() {
    let body = |instances: u32| {
        format!("services:\n{}{ROUTES}", server("web", "", &format!("instances: {instances}")))
    };
    let mut home = Home::up(&body(1));
    let first = home.pid("web/1");
    let visitors = Visitors::start(home.gateway, home.host("web"));
    home.plan(&body(3));
    home.ask(&["reload"]);
    home.wait_for_phase("web/3", "healthy");
    visitors.wait_for_more(20);
    home.plan(&body(1));
    home.ask(&["reload"]);
    wait_until("the surplus to be gone", SOON, || home.processes_with("server.py") == 1);
    visitors.wait_for_more(20);
    visitors.end();
    assert_eq!(home.pid("web/1"), first);
    home.down();
}

#[test]
fn requests_wait_at_the_gateway_while_a_held_service_changes() {
    let mut home = Home::up(&format!("services:\n{}{ROUTES}", server("web", "", "rollout: hold")));
    let visitors = Visitors::start(home.gateway, home.host("web"));
    for _ in 0..2 {
        let pid = home.pid("web/1");
        home.ask(&["restart", "web"]);
        home.wait_for_successor("web/1", pid);
        visitors.wait_for_more(20);
    }
    visitors.end();
    home.down();
}

#[test]
fn a_restart_of_two_instances_leaves_always_one() {
    let mut home = Home::up(&format!("services:\n{}{ROUTES}", server("web", "", "instances: 2")));
    let visitors = Visitors::start(home.gateway, home.host("web"));
    let old = ["web/1", "web/2"].map(|id| home.pid(id));
    home.ask(&["restart", "web"]);
    for (id, pid) in ["web/1", "web/2"].into_iter().zip(old) {
        home.wait_for_successor(id, pid);
    }
    let second = home.pid("web/2");
    home.ask(&["restart", "web/2"]);
    home.wait_for_successor("web/2", second);
    visitors.wait_for_more(20);
    visitors.end();
    let unknown = home.house.ask(&["restart", "nobody"]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("nobody"), "{unknown:?}");
    home.down();
}
