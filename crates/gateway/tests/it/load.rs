//! Changes while requests run.

use crate::rig::{Rig, all_to, endpoint, eventually, upstream};
use crate::wire::{Instance, ok};
use haus_model::health::HealthState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::task::JoinSet;

const CLIENTS: usize = 8;

/// Clients that GET over kept connections until told to stop; counts answers and wrong ones.
struct Load {
    clients: JoinSet<()>,
    stop: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    bad: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
}

impl Load {
    fn on(rig: &Rig) -> Load {
        let mut load = Load {
            clients: JoinSet::new(),
            stop: Arc::default(),
            good: Arc::default(),
            bad: Arc::default(),
            opened: Arc::default(),
        };
        for _ in 0..CLIENTS {
            let (stop, good, bad, opened) =
                (load.stop.clone(), load.good.clone(), load.bad.clone(), load.opened.clone());
            let address = rig.address;
            load.clients.spawn(async move {
                let mut wire = crate::wire::Wire::to(address).await;
                opened.fetch_add(1, Ordering::SeqCst);
                while !stop.load(Ordering::SeqCst) {
                    wire.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
                    match wire.message(true).await {
                        Some(answer) if answer.status() == 200 && answer.is_complete => {
                            good.fetch_add(1, Ordering::SeqCst);
                        }
                        _ => {
                            bad.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
        load
    }

    async fn more(&self, count: usize) {
        let goal = self.good.load(Ordering::SeqCst) + count;
        eventually("more answers", || {
            self.good.load(Ordering::SeqCst) + self.bad.load(Ordering::SeqCst) >= goal
        })
        .await;
    }

    async fn end(mut self) -> (usize, usize) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        assert_eq!(self.opened.load(Ordering::SeqCst), CLIENTS, "no client had to connect again");
        (self.good.load(Ordering::SeqCst), self.bad.load(Ordering::SeqCst))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_instance_costs_no_get_when_another_one_is_there() {
    let one = Instance::start(|_| ok("1")).await;
    let two = Instance::start(|_| ok("2")).await;
    let rig = Rig::start(all_to(upstream(&[one.address, two.address])));
    let load = Load::on(&rig);
    load.more(200).await;
    one.kill().await;
    load.more(200).await;
    let (good, bad) = load.end().await;
    assert!(good >= 400 && bad == 0, "{good} good, {bad} bad; {:?}", rig.handle.stats());
}

#[tokio::test]
async fn snapshots_under_load_cut_nothing() {
    let one = Instance::start(|_| ok("1")).await;
    let two = Instance::start(|_| ok("2")).await;
    let rig = Rig::start(all_to(upstream(&[one.address, two.address])));
    let load = Load::on(&rig);
    for round in 0..40 {
        load.more(10).await;
        let mut shop = upstream(&[]);
        // Now the one, now the other, now both, now a new run of both.
        if round % 3 != 0 {
            shop.endpoints.push(endpoint("shop/1", one.address, HealthState::Healthy));
        }
        if round % 3 != 1 {
            shop.endpoints.push(endpoint("shop/2", two.address, HealthState::Healthy));
        }
        for endpoint in &mut shop.endpoints {
            endpoint.run = round / 10;
        }
        rig.handle.set_snapshot(Arc::new(all_to(shop))).unwrap();
    }
    let (good, bad) = load.end().await;
    assert!(good >= 400 && bad == 0, "{good} good, {bad} bad; {:?}", rig.handle.stats());
    assert_eq!(rig.handle.stats().retries, 0);
}

#[tokio::test]
async fn an_unrelated_change_keeps_connections_and_counters() {
    let instance = Instance::start(|_| ok("1")).await;
    let rig = Rig::start(all_to(upstream(&[instance.address])));
    for _ in 0..5 {
        assert_eq!(rig.get("localhost", "/").await.status(), 200);
        let mut shop = upstream(&[instance.address]);
        shop.why_empty = "changed".to_owned();
        rig.handle.set_snapshot(Arc::new(all_to(shop))).unwrap();
    }
    assert_eq!((instance.connections(), instance.requests()), (1, 5));
    assert_eq!(rig.handle.stats().services["shop"].requests, 5);
}
