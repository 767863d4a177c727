//! How many audited reads per second the ledger acknowledges: batches of one entry, from many threads, beside
//! the rate at which the disk syncs for one. `cargo run --release -p haus-store --example ledger_speed
//! [FOLDER]`
//!
//! Knows no bound: what a disk can do is compared, not demanded.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool that prints figures")]

use haus_model::Timestamp;
use haus_store::{Batch, Ledger, SqliteStore, Write};
use haus_trail::{Action, NewEntry, Outcome};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const THREADS: u64 = 64;
const SPAN: Duration = Duration::from_secs(3);

fn batch(number: u64) -> Batch {
    let subject = format!("credential:key-{}", number % 50);
    let entry =
        NewEntry::new(Timestamp(1), "service:api/1", Action::CredentialRead, subject, Outcome::Allowed)
            .request(format!("{number:032x}"))
            .from_address("127.0.0.1:40000")
            .detail("version", "3");
    let used = Write::CredentialUsed { ids: vec!["none".into()], at: Timestamp(number as i64) };
    Batch::of(vec![used], entry)
}

/// Calls per second of `work` from so many threads.
fn rate(threads: u64, work: impl Fn(u64) + Sync) -> f64 {
    let (begun, done) = (Instant::now(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while begun.elapsed() < SPAN {
                    work(done.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
    });
    done.into_inner() as f64 / begun.elapsed().as_secs_f64()
}

/// The same with one thread that keeps so many batches on their way, as an asynchronous caller does.
fn submitted(store: &SqliteStore, in_flight: u64) -> f64 {
    let (begun, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut sent = 0;
    while begun.elapsed() < SPAN {
        if sent - done.load(Ordering::Acquire) >= in_flight {
            std::thread::yield_now();
            continue;
        }
        let done = Arc::clone(&done);
        store.submit(
            batch(sent),
            Box::new(move |outcome| {
                outcome.unwrap();
                done.fetch_add(1, Ordering::Release);
            }),
        );
        sent += 1;
    }
    done.load(Ordering::Acquire) as f64 / begun.elapsed().as_secs_f64()
}

fn main() {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder).unwrap();
    let file = std::sync::Mutex::new(std::fs::File::create(folder.path().join("plain")).unwrap());
    let syncs = rate(1, |_| {
        let mut file = file.lock().unwrap();
        file.write_all(&[1; 4096]).unwrap();
        file.sync_data().unwrap();
    });
    println!("{syncs:>10.0} /s  appends of 4 KiB to a plain file, each synced");
    let store = SqliteStore::open(&folder.path().join("house.db")).unwrap();
    let serial = rate(1, |number| drop(store.commit(batch(number)).unwrap()));
    println!("{serial:>10.0} /s  batches of one entry, one after the other");
    let together = rate(THREADS, |number| drop(store.commit(batch(number)).unwrap()));
    println!("{together:>10.0} /s  the same from {THREADS} threads: {:.1} times", together / serial);
    for in_flight in [64, 512] {
        let rate = submitted(&store, in_flight);
        println!(
            "{rate:>10.0} /s  submitted by one thread, {in_flight} on their way: {:.1} times",
            rate / serial
        );
    }
    println!(
        "{} entries, {:.1} MB",
        store.trail_head().unwrap().seq,
        haus_store::Store::health(&store).bytes as f64 / 1e6
    );
}
