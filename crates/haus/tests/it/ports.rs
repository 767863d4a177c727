//! Ports: who sits on one is named, automatic ones stay, and move only when a stranger came first.

use crate::home::{Home, SOON, free_port, server};
use haus_testkit::wait_until;
use std::net::{Ipv4Addr, TcpListener};

fn occupy(port: u16) -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free")
}

#[test]
fn a_port_in_use_is_told_with_its_occupant_and_taken_when_it_is_free() {
    let port = free_port();
    let stranger = occupy(port);
    let more = format!("ports: {{ http: {port} }}\nrecover: {{ first: 100ms, most: 300ms, tries: 1000 }}");
    let mut home = Home::new(&format!("services:\n{}{}", server("late", "", &more), server("other", "", "")));
    home.begin();
    let why = home.wait_for_reason("late/1", "in use");
    let occupant = format!("127.0.0.1:{port} is in use by process {}", std::process::id());
    assert!(why.contains(&occupant), "{why}");
    home.wait_for_phase("other/1", "healthy");
    drop(stranger);
    home.wait_for_phase("late/1", "healthy");
    home.down();
}

#[test]
fn a_gateway_port_in_use_refuses_the_house() {
    let mut home = Home::new(&format!("services:\n{}", server("web", "", "")));
    let _stranger = occupy(home.gateway.port());
    home.house.up(&[]);
    assert_eq!(home.house.wait_for_exit(SOON), Some(3));
    let said = home.house.lines().join("\n");
    let occupant = format!("{} is in use by process {}", home.gateway, std::process::id());
    assert!(said.contains(&occupant) && said.contains("gateway.listen"), "{said}");
    assert_eq!(home.house.processes(), []);
}

#[test]
fn the_port_of_the_coordinator_in_use_refuses_the_house() {
    let port = free_port();
    let _stranger = occupy(port);
    let desk = format!("  desk:\n    as: coordinator\n    ports: {{ http: {port} }}\n");
    let mut home = Home::new(&format!("services:\n{desk}{}", server("web", "", "")));
    home.house.up(&[]);
    assert_eq!(home.house.wait_for_exit(SOON), Some(3));
    let said = home.house.lines().join("\n");
    assert!(
        said.contains(&format!("127.0.0.1:{port} is in use by process {}", std::process::id())),
        "{said}"
    );
    assert_eq!(home.house.processes(), []);
}

#[test]
fn automatic_ports_and_data_survive_a_restart_of_the_house() {
    let keeps = "data: [db]\nprepare: [[/bin/sh, -c, \"echo kept > ${data.db}/file\"]]";
    let body = format!("services:\n{}{}", server("web", "", keeps), server("pair", "", "instances: 2"));
    let mut home = Home::up(&body);
    let ports = ["web/1", "pair/1", "pair/2"].map(|id| home.port(id));
    assert!(ports.iter().all(|port| (20_000..30_000).contains(port)), "{ports:?}");
    home.down();
    home.start();
    assert_eq!(["web/1", "pair/1", "pair/2"].map(|id| home.port(id)), ports);
    let kept = std::fs::read_to_string(home.house.state().join("data/web/1/db/file")).unwrap();
    assert_eq!(kept, "kept\n");
    home.down();
}

#[test]
fn an_automatic_port_moves_when_a_stranger_has_it_and_says_so() {
    let mut home = Home::up(&format!("services:\n{}", server("web", "", "")));
    let port = home.port("web/1");
    home.down();
    // The last connections of the house may still hold the address for a moment.
    wait_until("the port to be free", SOON, || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    let _stranger = occupy(port);
    home.start();
    let moved = home.port("web/1");
    assert_ne!(moved, port);
    let note = home.house.wait_for_line(&format!("moves to {moved}"), SOON);
    assert!(
        note.contains(&format!("127.0.0.1:{port} is in use by process {}", std::process::id())),
        "{note}"
    );
    home.down();
}
