//! How many audited reads and changes per second the ledger acknowledges: batches of one entry, from many
//! threads, beside the rate at which the disk syncs for one. `cargo run --release -p haus-store --example
//! ledger_speed [FOLDER]`
//!
//! Knows no bound: what a disk can do is compared, not demanded.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool that prints figures")]

use haus_model::Timestamp;
use haus_store::{
    Batch, CredentialChange, CredentialOrigin, CredentialRow, Ledger, SqliteStore, VersionRow, VersionState,
    Write,
};
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

/// Credentials that are changed.
const TARGETS: u64 = 64;

fn create(store: &SqliteStore, number: u64) {
    let (id, at) = (format!("id-{number:034}"), Timestamp(1));
    let row = CredentialRow {
        name: format!("target-{number}"),
        owner: Some("fleet".parse().unwrap()),
        kind: haus_model::CredentialKind::default(),
        description: None,
        metadata: "{}".into(),
        origin: CredentialOrigin::Api,
        scope: vec!["fleet".parse().unwrap()],
        version: 1,
        rotation_required: false,
        rotate_days: None,
        expires_at: None,
        rotation_count: 0,
        created_at: at,
        updated_at: at,
        rotated_at: at,
        last_used_at: None,
        revision: 1,
        id: id.clone(),
    };
    let version = VersionRow {
        credential: id,
        version: 1,
        state: VersionState::Current,
        sealed: vec![7; 96],
        key_id: "k".into(),
        created_at: at,
        valid_until: None,
    };
    let create = Write::CredentialCreate(Box::new(row), Box::new(version));
    store.commit(Batch { writes: vec![create], entries: Vec::new() }).unwrap();
}

/// A change with its entry, as `PATCH /api/credentials/ID` makes it.
fn change(number: u64) -> Batch {
    let target = number % TARGETS;
    let (id, subject) = (format!("id-{target:034}"), format!("credential:fleet/target-{target}"));
    let change = CredentialChange { description: Some(Some("d".repeat(200))), ..CredentialChange::default() };
    let entry =
        NewEntry::new(Timestamp(1), "token:bench", Action::CredentialUpdate, subject, Outcome::Allowed)
            .request(format!("{number:032x}"))
            .from_address("127.0.0.1")
            .detail("id", id.clone())
            .detail("fields", "description");
    let at = Timestamp(number as i64);
    Batch::of(vec![Write::CredentialUpdate { id, if_revision: None, change: Box::new(change), at }], entry)
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

/// Microseconds of processor time that the store's writer has had.
fn writer_cpu_us() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let is_writer = |thread: &PathBuf| {
        std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim() == "store-writer")
    };
    let used = |thread: PathBuf| {
        let text = std::fs::read_to_string(thread.join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1_000.0
    };
    threads.filter(is_writer).map(used).sum()
}

/// The same with one thread that keeps so many batches on their way, as an asynchronous caller does.
/// Gives batches per second and the writer's microseconds for each.
fn submitted(store: &SqliteStore, in_flight: u64, batch: fn(u64) -> Batch) -> (f64, f64) {
    let cpu_us = writer_cpu_us();
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
    let done = done.load(Ordering::Acquire) as f64;
    (done / begun.elapsed().as_secs_f64(), (writer_cpu_us() - cpu_us) / done)
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
    (0..TARGETS).for_each(|number| create(&store, number));
    let changed = rate(THREADS, |number| drop(store.commit(change(number)).unwrap()));
    println!(
        "{changed:>10.0} /s  changes with their entries from {THREADS} threads: {:.1} times",
        changed / serial
    );
    for (what, batch) in [("batches of one entry", batch as fn(u64) -> Batch), ("changes", change)] {
        for in_flight in [64, 512] {
            let (rate, cpu_us) = submitted(&store, in_flight, batch);
            println!(
                "{rate:>10.0} /s  {what} submitted by one thread, {in_flight} on their way: {:.1} times; {cpu_us:.1} us \
                 of the writer for each",
                rate / serial
            );
        }
    }
    println!(
        "{} entries, {:.1} MB",
        store.trail_head().unwrap().seq,
        haus_store::Store::health(&store).bytes as f64 / 1e6
    );
}
