//! Copies in every state that somebody may bring them into.

use super::*;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use haus_model::Timestamp;
use haus_store::{Batch, Ledger, SqliteStore};
use haus_trail::{Action, Anchor, Entry, Fault, NewEntry, Outcome, seal};
use std::fs;
use tempfile::TempDir;

/// A chain of so many entries.
fn chain(count: u64) -> Vec<Entry> {
    let mut head = Head::GENESIS;
    let entry = |number: u64| {
        let subject = format!("credential:c{number}");
        let at = Timestamp(i64::try_from(number).expect("small"));
        let sealed =
            seal(&head, NewEntry::new(at, "house", Action::CredentialRead, subject, Outcome::Allowed));
        head = sealed.head();
        sealed
    };
    (1..=count).map(entry).collect()
}

fn lines(entries: &[Entry]) -> String {
    entries.iter().map(|entry| format!("{}\n", entry.to_line())).collect()
}

/// An anchor of this head in a file, by the key of this seed.
fn anchor(folder: &TempDir, head: Head, seed: u8) -> PathBuf {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let public_key = pair.public_key().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let anchor = Anchor {
        house: "home".parse().unwrap(),
        head,
        at: Timestamp(1),
        key_id: "k1".to_owned(),
        public_key,
        signature: String::new(),
    };
    let path = folder.path().join("anchor.json");
    let signed = anchor.signed(|bytes| pair.sign(bytes).as_ref().to_vec());
    fs::write(&path, signed.to_text()).unwrap();
    path
}

/// The faults of an export, with an anchor of `head` when there is one.
#[track_caller]
fn check(export: &str, head: Option<Head>, expected: &[Fault]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trail.jsonl");
    fs::write(&path, export).unwrap();
    let anchor = head.map(|head| read_anchor(&anchor(&folder, head, 7), None).unwrap());
    let verified = verify_copy(&path, anchor.as_ref()).unwrap();
    assert_eq!(verified.report.faults, expected);
    assert_eq!(verified.is_sound(), expected.is_empty());
    // However it arrives, it is the same.
    for size in [1, 7, 4_096] {
        let mut by_parts = ExportVerifier::new(anchor.as_ref());
        export.as_bytes().chunks(size).for_each(|part| by_parts.take(part));
        assert_eq!(by_parts.finish(), verified, "in parts of {size}");
    }
}

#[test]
fn an_untouched_export_is_sound_also_without_its_last_line_feed() {
    let entries = chain(5);
    check(&lines(&entries), None, &[]);
    check(&lines(&entries), Some(entries[2].head()), &[]);
    check(lines(&entries).trim_end(), Some(entries[4].head()), &[]);
}

#[test]
fn a_changed_entry_is_named() {
    let export = lines(&chain(5)).replacen("credential:c3", "credential:c9", 1);
    check(&export, None, &[Fault::Changed { seq: 3 }]);
}

#[test]
fn a_removed_entry_is_named() {
    let mut entries = chain(5);
    entries.remove(2);
    check(&lines(&entries), None, &[Fault::Missing { after: 2, next: 4 }]);
}

#[test]
fn a_moved_entry_is_named() {
    let mut entries = chain(5);
    entries.swap(1, 2);
    check(&lines(&entries), None, &[Fault::Reordered { seq: 2, after: 3 }]);
}

#[test]
fn a_cut_end_is_seen_by_the_anchor_alone() {
    let entries = chain(5);
    check(&lines(&entries[..3]), None, &[]);
    let cut = [Fault::TooShort { anchor_seq: 5, last_seq: 3 }];
    check(&lines(&entries[..3]), Some(entries[4].head()), &cut);
}

#[test]
fn a_rewritten_trail_is_seen_by_the_anchor_alone() {
    let other = Head { seq: 4, hash: chain(5)[2].hash };
    check(&lines(&chain(5)), Some(other), &[Fault::AnchorDiffers { seq: 4 }]);
}

#[test]
fn a_cut_front_is_told_as_the_start_and_an_anchor_in_it_says_nothing() {
    let entries = chain(5);
    check(&lines(&entries[2..]), Some(entries[1].head()), &[]);
    let too_old = [Fault::AnchorTooOld { seq: 1, start: 2 }];
    check(&lines(&entries[2..]), Some(entries[0].head()), &too_old);
    let mut verifier = ExportVerifier::new(None);
    verifier.take(lines(&entries[2..]).as_bytes());
    assert_eq!(verifier.finish().start, entries[1].head());
}

#[test]
fn a_first_entry_that_continues_something_is_broken() {
    let beyond = seal(&Head { seq: 0, hash: chain(1)[0].hash }, chain(1)[0].entry.clone());
    check(&lines(&[beyond]), None, &[Fault::Broken { seq: 1 }]);
}

#[test]
fn what_is_no_entry_is_named_by_its_place_and_reading_goes_on() {
    let entries = chain(3);
    for strange in ["{}".to_owned(), "x".repeat(3 * LINE), String::new()] {
        let export = format!("{}{strange}\n{}", lines(&entries[..2]), lines(&entries[2..]));
        let mut verifier = ExportVerifier::new(None);
        verifier.take(export.as_bytes());
        let report = verifier.finish().report;
        let places: Vec<_> = report.faults.iter().map(ToString::to_string).collect();
        assert!(places[0].starts_with("entry 3 of the input"), "{places:?}");
        assert_eq!(report.entries, 4);
    }
}

/// More than a line may have.
const LINE: usize = haus_trail::LINE_BYTES_MAX;

#[test]
fn bytes_that_are_no_text_are_a_change() {
    let mut export = lines(&chain(2)).into_bytes();
    let at = export.windows(2).position(|two| two == b"c1").unwrap();
    export[at] = 0xff;
    let mut verifier = ExportVerifier::new(None);
    verifier.take(&export);
    assert_eq!(verifier.finish().report.faults, [Fault::Changed { seq: 1 }]);
}

#[test]
fn a_database_is_read_like_its_export() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("house.db");
    let store = SqliteStore::open(&path).unwrap();
    let entries = chain(3).into_iter().map(|entry| entry.entry).collect();
    store.commit(Batch { writes: Vec::new(), entries }).unwrap();
    drop(store);
    let last = chain(3)[2].head();
    let held = read_anchor(&anchor(&folder, last, 7), None).unwrap();
    let verified = verify_copy(&path, Some(&held)).unwrap();
    assert_eq!((verified.report.head, verified.report.entries), (last, 3));
    assert!(verified.is_sound() && matches!(verified.form, TrailForm::Database(_)), "{verified:?}");
    let longer = read_anchor(&anchor(&folder, chain(9)[8].head(), 7), None).unwrap();
    let cut = verify_copy(&path, Some(&longer)).unwrap();
    assert_eq!(cut.report.faults, [Fault::TooShort { anchor_seq: 9, last_seq: 3 }]);
}

#[test]
fn an_empty_or_missing_copy_is_no_sound_trail() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("house.db");
    assert!(matches!(verify_copy(&path, None), Err(VerifyError::Read { .. })));
    fs::write(&path, "").unwrap();
    assert!(matches!(verify_copy(&path, None), Err(VerifyError::Empty { .. })));
    fs::write(&path, DATABASE_MAGIC).unwrap();
    assert!(matches!(verify_copy(&path, None), Err(VerifyError::Database { .. })));
}

#[test]
fn a_changed_anchor_and_one_of_another_key_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = anchor(&folder, chain(5)[4].head(), 7);
    let ours = read_anchor(&path, None).unwrap().fingerprint;
    assert_eq!(ours.to_string().parse(), Ok(ours));
    assert!(read_anchor(&path, Some(ours)).is_ok());
    let strange = anchor(&folder, chain(5)[4].head(), 8);
    let refused = read_anchor(&strange, Some(ours)).unwrap_err();
    assert!(matches!(refused, AnchorFileError::OtherKey { .. }) && refused.is_finding(), "{refused}");
    let changed = fs::read_to_string(&path).unwrap().replace("\"seq\":5", "\"seq\":3");
    fs::write(&path, changed).unwrap();
    let refused = read_anchor(&path, None).unwrap_err();
    assert!(
        matches!(refused, AnchorFileError::Signature { seq: 3, .. }) && refused.is_finding(),
        "{refused}"
    );
    fs::write(&path, "{}").unwrap();
    assert!(!read_anchor(&path, None).unwrap_err().is_finding());
}

#[test]
fn the_vectors_of_the_format_are_sound_under_their_anchor() {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats");
    let held = read_anchor(&formats.join("trail-anchor.json"), None).unwrap();
    let verified = verify_copy(&formats.join("trail-vectors.jsonl"), Some(&held)).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!(verified.report.entries, 4);
}
