//! Killed at any point, nothing acknowledged is lost.
//!
//! The test starts itself as a child that writes from several threads and acknowledges each event over a
//! pipe after the store did. The child is killed without warning; what it acknowledged must be there.

use crate::{Place, event, open, reasons};
use haus_store::Store;
use haus_testkit::wait_until;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

const DATABASE: &str = "HAUS_TEST_CRASH_DATABASE";
const THREADS: u32 = 4;

/// The child's part; as a test of its own it has nothing to do.
#[test]
fn child_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let store = open(path.as_ref());
    let out = Mutex::new(std::io::stdout());
    let run = store.next_run(1).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, out) = (&store, &out);
            scope.spawn(move || {
                for number in 0_u64.. {
                    let texts: Vec<String> =
                        (0..1 + number % 3).map(|part| format!("{run}-{thread}-{number}-{part}")).collect();
                    store.append_events(texts.iter().map(|text| event(text)).collect()).unwrap();
                    let mut out = out.lock().unwrap();
                    for text in texts {
                        writeln!(out, "kept {text}").unwrap();
                    }
                    out.flush().unwrap();
                }
            });
        }
    });
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

/// Lets a child write for a random while, kills it and returns what it had acknowledged.
fn acknowledged_until_killed(place: &Place, lines_before_kill: usize) -> Vec<String> {
    let mut child = start_child(place);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    for line in lines.map_while(Result::ok) {
        acknowledged.extend(line.strip_prefix("kept ").map(str::to_owned));
        // Killed while further writes are on their way; what is still in the pipe counts too.
        if acknowledged.len() == lines_before_kill {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(status.code().is_none(), "the child was to be killed, but ended with {status}");
    acknowledged
}

#[test]
fn killed_at_random_points_nothing_acknowledged_is_lost() {
    let rounds = if std::env::var_os("HAUS_SOAK").is_some() { 1_000 } else { 20 };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let place = Place::new();
    let mut expected = BTreeSet::new();
    for round in 0..rounds {
        expected.extend(acknowledged_until_killed(&place, random.usize(1..120)));
        let store = place.open();
        let kept: BTreeSet<String> = reasons(&store).into_iter().collect();
        let lost: Vec<&String> = expected.difference(&kept).collect();
        assert!(lost.is_empty(), "round {round}, seed {seed}: acknowledged but lost: {lost:?}");
        assert_eq!(store.integrity_check().unwrap(), Vec::<String>::new(), "round {round}, seed {seed}");
        assert_whole(&kept);
        // A long soak would otherwise read ever more.
        if round % 50 == 49 {
            store.prune_events(haus_store::Retention { rows_max: Some(0), before: None }).unwrap();
            expected.clear();
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
