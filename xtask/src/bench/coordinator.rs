//! The coordinator under load: audited credential reads, durable writes beside the disk's own pace and beside
//! etcd, registry reads beside etcd, and how long a change takes to reach everybody who watches. Loopback
//! only, about four minutes.
//!
//! It owns the order of the rounds and the report. Both peers speak HTTP/1.1 with JSON here, so one generator
//! (wrk) loads them alike.

mod disk;
mod etcd;
mod house;
mod http;
mod load;
mod store;
mod watchers;

use std::path::Path;
use std::time::Duration;

use self::disk::{SLOWER, serial_syncs_per_second, slower_environment, slower_library};
use self::etcd::Etcd;
use self::house::House;
use self::load::{CLIENTS, Question, SECONDS, Tally, load};
use self::watchers::Spread;
use super::core::open_folder;
use super::measure::{median, memory_kib};
use super::{ROUNDS, Report};
use crate::error::TaskError;

const NAME: &str = "coordinator";
const PATIENCE: Duration = Duration::from_secs(60);

/// Every kind of load, all rounds of it.
#[derive(Default)]
struct Figures {
    syncs: Vec<f64>,
    credential_reads: Tally,
    writes: Tally,
    registrations: Tally,
    etcd_writes: Tally,
    registry_reads: Tally,
    etcd_reads: Tally,
    etcd_stale_reads: Tally,
    /// Changes of the store alone.
    store: Vec<f64>,
    /// The same house on disks whose syncs take longer.
    slower: Vec<Slower>,
}

/// What a slower disk makes of it.
struct Slower {
    /// How much longer a sync takes there.
    by: Duration,
    syncs: Vec<f64>,
    writes: Tally,
    registrations: Tally,
}

pub(super) fn run(haus: &Path) -> Result<Report, TaskError> {
    let folder = open_folder()?;
    let mut house = House::start(haus, folder.path(), &[])?;
    let etcd = Etcd::start(folder.path())?;
    let mut figures = Figures::default();
    for _ in 0..ROUNDS {
        one_round(&mut figures, folder.path(), &house, etcd.as_ref())?;
        figures.store.extend(store::changes_per_second(haus, folder.path())?);
    }
    let after_load = rss_mib(&house);
    drop(etcd);
    house.register_fleet()?;
    let spread = watchers::measure(&house)?;
    let with_fleet = rss_mib(&house);
    drop(house);
    for by in SLOWER {
        figures.slower.extend(on_a_slower_disk(haus, by)?);
    }
    Ok(report(&figures, &spread, after_load, with_fleet))
}

/// Every load once, in turn, so that a slow minute of the machine meets all of them.
fn one_round(
    figures: &mut Figures,
    folder: &Path,
    house: &House,
    etcd: Option<&Etcd>,
) -> Result<(), TaskError> {
    figures.syncs.push(serial_syncs_per_second(folder, Duration::ZERO)?);
    let ours = |questions: &[Question], into: &mut Tally| -> Result<(), TaskError> {
        into.add(load(folder, house.port(), questions, &house.pids())?);
        Ok(())
    };
    ours(house.credential_reads(), &mut figures.credential_reads)?;
    ours(house.credential_writes(), &mut figures.writes)?;
    ours(house.registrations(), &mut figures.registrations)?;
    house.report_in()?;
    ours(house.registry_reads(), &mut figures.registry_reads)?;
    let Some(etcd) = etcd else { return Ok(()) };
    let theirs = |questions: &[Question], into: &mut Tally| -> Result<(), TaskError> {
        into.add(load(folder, etcd.port(), questions, &[etcd.pid()])?);
        Ok(())
    };
    theirs(&etcd.writes(), &mut figures.etcd_writes)?;
    theirs(&etcd.reads(false), &mut figures.etcd_reads)?;
    theirs(&etcd.reads(true), &mut figures.etcd_stale_reads)
}

/// The same durable writes where the disk is the limit.
fn on_a_slower_disk(haus: &Path, by: Duration) -> Result<Option<Slower>, TaskError> {
    let folder = open_folder()?;
    let Some(library) = slower_library(folder.path())? else { return Ok(None) };
    let house = House::start(haus, folder.path(), &slower_environment(&library, by))?;
    let mut slower =
        Slower { by, syncs: Vec::new(), writes: Tally::default(), registrations: Tally::default() };
    for _ in 0..ROUNDS {
        slower.syncs.push(serial_syncs_per_second(folder.path(), by)?);
        slower.writes.add(load(folder.path(), house.port(), house.credential_writes(), &house.pids())?);
        let load = load(folder.path(), house.port(), house.registrations(), &house.pids())?;
        slower.registrations.add(load);
    }
    Ok(Some(slower))
}

/// Resident memory of parent and core together.
fn rss_mib(house: &House) -> f64 {
    house.pids().iter().map(|pid| memory_kib(*pid).0).sum::<u64>() as f64 / 1024.0
}

fn report(figures: &Figures, spread: &Spread, after_load: f64, with_fleet: f64) -> Report {
    let plain = |what: &str, value: String, gate: &str| {
        vec![what.to_owned(), value, String::new(), String::new(), gate.to_owned()]
    };
    let mib = |value: f64| format!("{value:.1} MiB");
    let mut rows = our_rows(figures);
    rows.push(plain("the disk's own pace, serial", format!("{:.0}/s", median(&figures.syncs)), ""));
    if !figures.store.is_empty() {
        let beside: Vec<f64> =
            figures.store.iter().zip(&figures.syncs).map(|(store, syncs)| store / syncs).collect();
        let told = format!("{:.0}/s; {:.1} × the disk's pace", median(&figures.store), median(&beside));
        rows.push(plain("the store alone, 64 threads: credential changed", told, ""));
    }
    rows.extend(figures.slower.iter().flat_map(rows_of_slower));
    rows.extend(rows_of_etcd(figures));
    rows.push(plain("change → watcher, p50", format!("{:.1} ms", spread.p50_ms), ""));
    rows.push(plain("change → watcher, p99", format!("{:.1} ms", spread.p99_ms), "50 ms / 10 ms"));
    rows.push(plain("parent and core after the load, RSS", mib(after_load), ""));
    rows.push(plain("the same with 5,000 announced instances", mib(with_fleet), ""));
    let columns = vec!["what", "measured", "requests per CPU-second", "p50 / p99, ms", "gate / goal"];
    Report { title: "the coordinator beside etcd", method: method(), columns, rows, notes: notes(figures) }
}

fn row(what: &str, value: String, tally: &Tally, gate: &str) -> Vec<String> {
    vec![what.to_owned(), value, tally.cpu(), tally.latency(), gate.to_owned()]
}

fn our_rows(figures: &Figures) -> Vec<Vec<String>> {
    let Figures { syncs, credential_reads, writes, registrations, registry_reads, .. } = figures;
    let pace = |tally: &Tally| format!("{}; {:.1} × the disk's pace", tally.rate(), tally.beside_pace(syncs));
    vec![
        row("audited credential reads", credential_reads.rate(), credential_reads, "5,000/s / 20,000/s"),
        row("durable writes: credential changed", pace(writes), writes, "5 × / 20 ×"),
        row("durable writes: instance registered", pace(registrations), registrations, "5 × / 20 ×"),
        row("registry reads: `GET /api/discover`", registry_reads.rate(), registry_reads, ""),
    ]
}

fn rows_of_slower(slower: &Slower) -> Vec<Vec<String>> {
    let pace = |tally: &Tally| {
        format!("{}; {:.1} × that disk's pace", tally.rate(), tally.beside_pace(&slower.syncs))
    };
    let (name, syncs) =
        (format!("syncs {:.1} ms slower", slower.by.as_secs_f64() * 1e3), median(&slower.syncs));
    let cells = |what: &str| format!("{name}: {what}");
    vec![
        row(&cells("credential changed"), pace(&slower.writes), &slower.writes, ""),
        row(&cells("instance registered"), pace(&slower.registrations), &slower.registrations, ""),
        vec![
            cells("that disk's own pace, serial"),
            format!("{syncs:.0}/s"),
            String::new(),
            String::new(),
            String::new(),
        ],
    ]
}

fn rows_of_etcd(figures: &Figures) -> Vec<Vec<String>> {
    let Figures { etcd_writes, etcd_reads, etcd_stale_reads, .. } = figures;
    if etcd_writes.is_empty() {
        return Vec::new();
    }
    let ratio = |ours: &Tally, theirs: &Tally, what: &str| {
        format!("{}; {what} {:.2} × of it", theirs.rate(), ours.beside(theirs))
    };
    let (writes, reads) = (&figures.writes, &figures.registry_reads);
    vec![
        row("etcd: put", ratio(writes, etcd_writes, "our writes"), etcd_writes, ""),
        row("etcd: linearizable range", ratio(reads, etcd_reads, "our reads"), etcd_reads, ""),
        row("etcd: serializable range", ratio(reads, etcd_stale_reads, "our reads"), etcd_stale_reads, ""),
    ]
}

fn method() -> String {
    format!(
        "`haus up` of a generated house with {} services (`sleep infinity`), release build; {CLIENTS} clients on kept \
         HTTP/1.1 connections over loopback TCP (wrk, one thread, ready-made requests in turn), {ROUNDS} rounds of \
         {SECONDS} s of each load in turn, medians. Generator and server share the machine's cores unpinned, ours and \
         etcd alike. A credential read is `GET /api/credentials/service/NAME` with the service's own token: one \
         credential, whose entry is in the chained trail and on disk before the answer. Durable writes are `PATCH \
         /api/credentials/ID` and `POST /api/services/register`, each with its entry in the trail. etcd is Debian's \
         `etcd-server`, one member on the same disk, asked over its HTTP/JSON gateway (`/v3/kv/put`, `/v3/kv/range`; \
         values of 200 bytes). Watchers: {} instances registered, {} watchers (half server-sent events, half long \
         poll), heartbeats of all instances meanwhile; {} changes one after the other, each timed from before its \
         request is sent until each watcher has read it.",
        house::ROOMS,
        house::FLEETS * house::FLEET,
        watchers::WATCHERS,
        watchers::CHANGES,
    )
}

fn notes(figures: &Figures) -> Vec<String> {
    let mut notes = vec![
        "etcd's native interface is gRPC; its JSON gateway costs it a translation in the same process. Ours has no other \
         interface than this one."
            .to_owned(),
        "etcd keeps no audit trail and checks no token here; our writes carry both.".to_owned(),
        "The change of a watched instance is itself a durable write with an entry; that time is in the figure.".to_owned(),
        "Where syncs are slower, a library that is loaded before `haus` makes each take that much longer, as SSDs \
         without a protected cache do; everything else is the same machine. What the gate is about is shown there: on a disk \
         that syncs faster than the processor can answer at all, see the registry reads, no sharing of syncs can show."
            .to_owned(),
        "The bound of DESIGN §12 for memory is that of idle processes: `./x bench core`. After a load it is told here."
            .to_owned(),
    ];
    if figures.store.is_empty() {
        notes.push(
            "the store alone was not measured: `cargo build --release -p haus-store --examples`".to_owned(),
        );
    }
    if figures.slower.is_empty() {
        notes.push("there is no C compiler for the library that makes syncs slower".to_owned());
    }
    if figures.etcd_writes.is_empty() {
        notes.push("etcd was not found: `apt-get install etcd-server`".to_owned());
    }
    notes
}

/// A fault of this bench.
fn problem(text: impl Into<String>) -> TaskError {
    TaskError::Bench { name: NAME, problem: text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_so_when_there_is_no_peer() {
        let report = report(&Figures::default(), &Spread { p50_ms: 1.0, p99_ms: 2.0 }, 20.0, 30.0);
        assert!(report.notes.iter().any(|note| note.contains("etcd-server")));
        assert!(report.rows.iter().all(|row| !row[0].starts_with("etcd")));
        assert!(report.rows.iter().all(|row| row.len() == report.columns.len()));
    }
}
