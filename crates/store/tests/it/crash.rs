//! Killed at any point, nothing acknowledged is lost.
//!
//! The test starts itself as a child that writes from several threads and acknowledges each event and each
//! batch of the ledger over a pipe after the store did. The child is killed without warning; what it
//! acknowledged must be there, and the trail must be one chain that tells of everything that is there.

use crate::{Place, assert_sound, credential, event, open, read_entry, reasons, whole_trail};
use haus_store::{Batch, CredentialQuery, Ledger, SqliteStore, Store};
use haus_testkit::wait_until;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const DATABASE: &str = "HAUS_TEST_CRASH_DATABASE";
const THREADS: u32 = 4;
const LEDGER_THREADS: u32 = 2;

/// The child's part; as a test of its own it has nothing to do.
#[test]
fn child_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let store = open(path.as_ref());
    let run = store.next_run(1).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || append_for_ever(store, &format!("{run}-{thread}")));
        }
        for thread in 0..LEDGER_THREADS {
            let store = &store;
            scope.spawn(move || commit_for_ever(store, &format!("{run}-{thread}")));
        }
    });
}

fn acknowledge(lines: &[String]) {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}").unwrap();
    }
    out.flush().unwrap();
}

fn append_for_ever(store: &SqliteStore, writer: &str) {
    for number in 0_u64.. {
        let texts: Vec<String> =
            (0..1 + number % 3).map(|part| format!("{writer}-{number}-{part}")).collect();
        store.append_events(texts.iter().map(|text| event(text)).collect()).unwrap();
        acknowledge(&texts.iter().map(|text| format!("kept {text}")).collect::<Vec<_>>());
    }
}

/// Every batch is a credential and the entry that tells of it; some are handed over, some waited for, and
/// some are refused in between.
fn commit_for_ever(store: &SqliteStore, writer: &str) {
    for number in 0_u64.. {
        let id = format!("{writer}-{number}");
        let batch = Batch::of(vec![credential(&id)], read_entry(&id));
        let line = format!("committed {id}");
        match number % 3 {
            0 => store.submit(
                batch,
                Box::new(move |outcome| {
                    outcome.unwrap();
                    acknowledge(&[line]);
                }),
            ),
            1 => {
                let twice = Batch::of(vec![credential("twice"), credential("twice")], read_entry("twice"));
                store.commit(twice).unwrap_err();
            }
            _ => {
                store.commit(batch).unwrap();
                acknowledge(&[line]);
            }
        }
    }
}

fn start_child(place: &Place) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_writes_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(DATABASE, place.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// What a child said before it was killed.
#[derive(Default)]
struct Acknowledged {
    events: BTreeSet<String>,
    credentials: BTreeSet<String>,
}

/// Lets a child write for a random while, kills it and adds what it had acknowledged.
fn write_until_killed(place: &Place, lines_before_kill: usize, acknowledged: &mut Acknowledged) {
    let mut child = start_child(place);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = 0;
    for line in lines.map_while(Result::ok) {
        let event = line.strip_prefix("kept ").map(str::to_owned);
        let credential = line.strip_prefix("committed ").map(str::to_owned);
        seen += usize::from(event.is_some() || credential.is_some());
        acknowledged.events.extend(event);
        acknowledged.credentials.extend(credential);
        // Killed while further writes are on their way; what is still in the pipe counts too.
        if seen == lines_before_kill {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(status.code().is_none(), "the child was to be killed, but ended with {status}");
}

#[test]
fn killed_at_random_points_nothing_acknowledged_is_lost() {
    let rounds = if std::env::var_os("HAUS_SOAK").is_some() { 1_000 } else { 20 };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut place = Place::new();
    let mut expected = Acknowledged::default();
    for round in 0..rounds {
        write_until_killed(&place, random.usize(1..120), &mut expected);
        let store = place.open();
        let kept: BTreeSet<String> = reasons(&store).into_iter().collect();
        let lost: Vec<&String> = expected.events.difference(&kept).collect();
        assert!(lost.is_empty(), "round {round}, seed {seed}: acknowledged but lost: {lost:?}");
        assert_eq!(store.integrity_check().unwrap(), Vec::<String>::new(), "round {round}, seed {seed}");
        assert_whole(&kept);
        assert_ledger(&store, &expected.credentials, &format!("round {round}, seed {seed}"));
        // A long soak would otherwise read ever more.
        match round % 50 {
            24 => {
                store.prune_events(haus_store::Retention { rows_max: Some(0), before: None }).unwrap();
                expected.events.clear();
            }
            49 => (place, expected) = (Place::new(), Acknowledged::default()),
            _ => {}
        }
    }
}

/// Every append is there with all its parts or not at all.
fn assert_whole(kept: &BTreeSet<String>) {
    for text in kept {
        let (call, _) = text.rsplit_once('-').unwrap();
        let number: u64 = call.rsplit_once('-').unwrap().1.parse().unwrap();
        for part in 0..1 + number % 3 {
            assert!(kept.contains(&format!("{call}-{part}")), "{text} without part {part}");
        }
    }
}

/// What was acknowledged is there; what is there has its entry and what has an entry is there; the chain
/// holds.
#[track_caller]
fn assert_ledger(store: &SqliteStore, acknowledged: &BTreeSet<String>, place: &str) {
    assert_sound(store);
    let all = CredentialQuery { limit: u64::MAX, ..CredentialQuery::default() };
    let (rows, total) = store.credentials(&all).unwrap();
    let kept: BTreeSet<String> = rows.into_iter().map(|row| row.id).collect();
    let lost: Vec<&String> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "{place}: acknowledged but lost: {lost:?}");
    let told: Vec<String> = whole_trail(store).into_iter().map(|entry| entry.entry.subject).collect();
    assert_eq!((told.len(), total), (kept.len(), kept.len() as u64), "{place}");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), kept, "{place}");
}

#[test]
fn a_second_start_follows_a_kill_during_the_first() {
    for _ in 0..5 {
        let place = Place::new();
        let mut child = start_child(&place);
        wait_until("the file to appear", Duration::from_secs(10), || place.path().exists());
        child.kill().unwrap();
        child.wait().unwrap();
        let store = place.open();
        assert_eq!(store.integrity_check().unwrap(), Vec::<String>::new());
        store.append_events(vec![event("x")]).unwrap();
    }
}
