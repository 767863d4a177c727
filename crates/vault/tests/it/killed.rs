//! A writer that is killed: the kept ring is the old one or the new one, and every row opens through the
//! whole change of the key.

use crate::CountedEntropy;
use haus_model::Secret;
use haus_vault::custody::{Custody, create, open, replace};
use haus_vault::{Binding, KeyRing, Sealed, SystemEntropy, rewrap, seal};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Names the ring's file to the child process.
const FILE: &str = "HAUS_VAULT_TEST_FILE";

fn rings() -> (KeyRing, KeyRing) {
    let mut entropy = CountedEntropy::default();
    let old = KeyRing::generate(&mut entropy).unwrap();
    let mut new = old.clone();
    new.rotate(&mut entropy).unwrap();
    (old, new)
}

/// The child of the test below: replaces the ring for ever and says how often. By itself it does nothing.
#[test]
fn writer_for_ever() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let custody = Custody::File(PathBuf::from(path));
    let (old, new) = rings();
    for round in 0u64.. {
        replace(&custody, if round % 2 == 0 { &new } else { &old }).unwrap();
        println!("\nround {round}");
    }
}

#[test]
fn a_killed_writer_leaves_the_old_ring_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key-ring");
    let custody = Custody::File(path.clone());
    let (old, new) = rings();
    create(&custody, &old).unwrap();
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::writer_for_ever", "--nocapture"])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let rounds = lines.map_while(Result::ok).filter(|line| line.starts_with("round "));
        // Killed in the midst of some replacing, after a different number of complete ones each time.
        assert_eq!(rounds.take(round % 5 + 1).count(), round % 5 + 1, "the writer ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        let ids = open(&custody).unwrap().ring.ids();
        assert!(ids == old.ids() || ids == new.ids(), "{ids:?}");
    }
    // And the next writer is not disturbed by what was left behind.
    replace(&custody, &new).unwrap();
    assert_eq!(open(&custody).unwrap().ring.ids(), new.ids());
}

/// The whole change of the key as the coordinator drives it, ended before every single step and begun anew.
#[test]
fn a_change_of_the_key_that_ends_anywhere_leaves_every_row_readable() {
    const ROWS: u64 = 5;
    for ends_after in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let custody = Custody::File(folder.path().join("key-ring"));
        let first = KeyRing::generate(&mut SystemEntropy).unwrap();
        create(&custody, &first).unwrap();
        let binding = |row| Binding { house: "zimmer", credential: "c", version: row, owner: "o" };
        let value = |row: u64| Secret::from(format!("value {row}"));
        let seal_row = |row| seal(&first, &binding(row), &value(row), &mut SystemEntropy).unwrap().to_bytes();
        let mut rows: Vec<Vec<u8>> = (1..=ROWS).map(seal_row).collect();
        change_key(&custody, &mut rows, &binding, ends_after);
        let check = |rows: &[Vec<u8>]| {
            let ring = open(&custody).unwrap().ring;
            for (row, bytes) in (1..).zip(rows) {
                let sealed = Sealed::from_bytes(bytes).unwrap();
                let opened = haus_vault::open(&ring, &binding(row), &sealed);
                assert_eq!(opened.unwrap(), value(row), "ended after {ends_after} steps");
            }
            ring
        };
        check(&rows);
        change_key(&custody, &mut rows, &binding, usize::MAX);
        let ring = check(&rows);
        assert_eq!(ring.ids().len(), 1);
        assert_ne!(ring.active(), first.active());
    }
}

/// Rotates unless a rotation is under way, wraps every row anew, retires the old keys; returns after `steps`
/// steps.
fn change_key<'a>(
    custody: &Custody,
    rows: &mut [Vec<u8>],
    binding: &dyn Fn(u64) -> Binding<'a>,
    mut steps: usize,
) {
    let mut may_go_on = move || {
        let may = steps > 0;
        steps = steps.saturating_sub(1);
        may
    };
    let mut ring = open(custody).unwrap().ring;
    if ring.ids().len() == 1 {
        ring.rotate(&mut SystemEntropy).unwrap();
        if !may_go_on() {
            return;
        }
        replace(custody, &ring).unwrap();
    }
    for (row, bytes) in (1..).zip(rows) {
        if !may_go_on() {
            return;
        }
        let sealed = Sealed::from_bytes(bytes).unwrap();
        if let Some(anew) = rewrap(&ring, &binding(row), &sealed, &mut SystemEntropy).unwrap() {
            *bytes = anew.to_bytes();
        }
    }
    for id in ring.ids().into_iter().skip(1) {
        ring.retire(&id).unwrap();
    }
    if may_go_on() {
        replace(custody, &ring).unwrap();
    }
}
