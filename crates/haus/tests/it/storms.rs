//! Whatever is killed in whatever order, the house comes back whole and nothing is doubled.
//!
//! The order comes from a seed that is printed; twenty rounds, or a thousand with `HAUS_SOAK=1`.

use crate::home::{Home, SOON, server};
use haus_testkit::{Signal, http_get, is_running, kill, wait_until};
use std::time::Instant;

const SERVICES: usize = 5;

fn body(flavour: u64) -> String {
    // Without a short pause the storm would mostly wait for back-offs, which are tested elsewhere.
    let calm = |name, switches, more: &str| {
        server(name, switches, &format!("recover: {{ first: 50ms, most: 200ms, tries: 100000 }}\n{more}"))
    };
    let services = [
        calm("base", "", &format!("env: {{ FLAVOUR: \"{flavour}\" }}")),
        calm("pair", "", "instances: 2\nneeds: [base]"),
        calm("held", "", "rollout: hold"),
        // Every part of a stop is late for this one.
        calm("deaf", "term=ignore", "stop: { within: 200ms }"),
    ];
    format!("services:\n{}routes:\n  \"pair.${{domain}}\": pair\n", services.concat())
}

/// xorshift64 (Marsaglia 2003): a seed is one number that anybody can type in again.
struct Order {
    state: u64,
    /// Since the last parent began.
    cores_killed: u32,
}

impl Order {
    fn below(&mut self, count: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % count
    }
}

fn kill_core(home: &Home, order: &mut Order) {
    order.cores_killed += 1;
    if let Some(core) = home.house.core_pid() {
        kill(core, Signal::KILL);
    }
}

fn kill_some(home: &Home, order: &mut Order) {
    let mut pids = home.house.service_pids();
    pids.sort_unstable();
    for pid in pids {
        if order.below(3) == 0 {
            kill(pid, Signal::KILL);
        }
    }
}

fn begin_again(home: &mut Home, order: &mut Order) {
    order.cores_killed = 0;
    home.house.signal(Signal::KILL);
    assert_eq!(home.house.wait_for_exit(SOON), None);
    home.house.up(&[]);
}

/// One blow; returns its name.
fn strike(home: &mut Home, order: &mut Order) -> &'static str {
    // A core that was killed often is started with growing pauses; a new parent begins without.
    let blow = if order.cores_killed >= 4 { 4 } else { order.below(8) };
    match blow {
        0 => {
            kill_core(home, order);
            "the core"
        }
        1 => {
            kill_some(home, order);
            "some services"
        }
        2 => {
            kill_core(home, order);
            kill_some(home, order);
            "the core, then some services"
        }
        3 => {
            kill_some(home, order);
            kill_core(home, order);
            "some services, then the core"
        }
        4 => {
            begin_again(home, order);
            "the parent"
        }
        5 => {
            // Refused while the core is away, which is fine.
            home.house.ask(&["restart", ["base", "pair", "held", "deaf"][order.below(4) as usize]]);
            "a restart"
        }
        6 => {
            home.plan(&body(order.below(1 << 20)));
            home.house.ask(&["reload"]);
            "a reload"
        }
        _ => {
            home.plan(&body(order.below(1 << 20)));
            home.house.ask(&["reload"]);
            kill_core(home, order);
            "the core in a reload"
        }
    }
}

#[test]
fn whatever_is_killed_the_house_comes_back_whole() {
    let seed = match std::env::var("HAUS_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed,
        None => u64::from(std::process::id()) << 16 | 1,
    };
    eprintln!("repeat with HAUS_SEED={seed}");
    let rounds = if std::env::var_os("HAUS_SOAK").is_some() { 1_000 } else { 20 };
    let mut order = Order { state: seed, cores_killed: 0 };
    let mut home = Home::up(&body(0));
    for round in 1..=rounds {
        // Sometimes the next blow comes before the house has recovered from the last one.
        let blows: Vec<&str> = (0..=order.below(2)).map(|_| strike(&mut home, &mut order)).collect();
        let begun = Instant::now();
        wait_until("the house to be whole", SOON * 2, || {
            assert!(is_running(home.house.up_pid()), "haus up ended:\n{}", home.house.lines().join("\n"));
            home.try_status().is_some_and(|status| status["ready"] == true)
                && home.processes_with("server.py") == SERVICES
                && http_get(home.gateway, &home.host("pair"), "/who").is_ok_and(|answer| answer.status == 200)
        });
        eprintln!("round {round}: {} · whole after {:?}", blows.join(" + "), begun.elapsed());
    }
    home.down();
}
