//! Which faults are named for which damage: one cause should be one sentence, and damage further on is found
//! all the same.

use crate::sample::plain_trail;
use haus_trail::{Action, Entry, FAULTS_MAX, Fault, Hash, Head, NewEntry, Outcome, Verifier, seal};

/// One word of a damaged trail, made from a sound one of 20 entries: `3` is entry 3 as it was; `3!` has
/// another body; `3#` another hash; `3<` another `prev`; `3*` another body and the hash to fit; `3=70` bears
/// number 70; `junk` is no entry.
fn damaged(word: &str, sound: &[Entry]) -> Option<Entry> {
    if word == "junk" {
        return None;
    }
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (number, damage) = word.split_at(digits);
    let mut entry = sound[number.parse::<usize>().unwrap() - 1].clone();
    match damage {
        "" => {}
        "!" => entry.entry.outcome = Outcome::Denied,
        "#" => entry.hash = Hash([9; 32]),
        "<" => entry.prev = Hash([9; 32]),
        "*" => {
            entry.entry.outcome = Outcome::Denied;
            entry = seal(&Head { seq: entry.seq - 1, hash: entry.prev }, entry.entry);
        }
        renumbered => entry.seq = renumbered.strip_prefix('=').unwrap().parse().unwrap(),
    }
    Some(entry)
}

fn report_from(start: Head, words: &str, anchor: Option<Head>) -> Vec<String> {
    let sound = plain_trail(20);
    let mut verifier = Verifier::new(start);
    for word in words.split_whitespace() {
        match damaged(word, &sound) {
            Some(entry) => drop(verifier.check(&entry)),
            None => drop(verifier.unreadable(&Entry::from_line("junk\u{1b}").unwrap_err())),
        }
    }
    verifier.finish(anchor.as_ref()).faults.iter().map(ToString::to_string).collect()
}

fn check(words: &str, expected: &[&str]) {
    assert_eq!(report_from(Head::GENESIS, words, None), expected, "{words}");
}

#[test]
fn a_sound_trail_has_no_faults() {
    check("", &[]);
    check("1", &[]);
    check("1 2 3 4 5 6 7", &[]);
}

#[test]
fn a_changed_entry_is_one_fault_wherever_it_stands() {
    let sentence = "entry 3 was changed: its hash does not fit its content";
    for damage in ["!", "#", "<"] {
        check(&format!("1 2 3{damage} 4 5"), &[sentence]);
        check(&format!("1 2 3{damage}"), &[sentence]);
    }
    check("1! 2", &["entry 1 was changed: its hash does not fit its content"]);
}

#[test]
fn an_entry_with_another_number_is_one_fault() {
    check("1 2 3=70 4 5", &["entry 70 was changed: its hash does not fit its content"]);
    check(
        "1 2 3=18446744073709551615 4 5",
        &["entry 18446744073709551615 was changed: its hash does not fit its content"],
    );
    check("1 2 3=2 4 5", &["entry 2 was changed: its hash does not fit its content"]);
}

#[test]
fn neighbours_that_were_changed_are_a_fault_each() {
    check(
        "1 2! 3! 4 5! 6",
        &[
            "entry 2 was changed: its hash does not fit its content",
            "entry 3 was changed: its hash does not fit its content",
            "entry 5 was changed: its hash does not fit its content",
        ],
    );
}

#[test]
fn an_entry_replaced_with_its_hash_is_found_at_the_next() {
    check(
        "1 2* 3 4",
        &["entry 3 does not continue the entry before it: one of the two was replaced, hash and all"],
    );
}

#[test]
fn an_entry_replaced_with_its_hash_at_the_end_needs_the_anchor() {
    check("1 2 3*", &[]);
    let anchor = plain_trail(3)[2].head();
    let found = report_from(Head::GENESIS, "1 2 3*", Some(anchor));
    assert_eq!(found, ["entry 3 is not the one that the anchor holds: the trail up to it was replaced"]);
}

#[test]
fn missing_entries_are_named() {
    check("1 2 4 5", &["entry 3 is missing: entry 2 is followed by entry 4"]);
    check(
        "1 5 6 9",
        &[
            "entries 2 to 4 are missing: entry 1 is followed by entry 5",
            "entries 7 to 8 are missing: entry 6 is followed by entry 9",
        ],
    );
    check("4 5", &["entries 1 to 3 are missing: entry 0 is followed by entry 4"]);
}

#[test]
fn a_gap_beside_a_changed_entry_is_placed_where_the_chain_shows_it() {
    let changed = |seq: u64| format!("entry {seq} was changed: its hash does not fit its content");
    check("1 2! 4 5", &[&changed(2), "entry 3 is missing: entry 2 is followed by entry 4"]);
    check("1 3! 4 5", &[&changed(3), "entry 2 is missing: entry 1 is followed by entry 3"]);
    check("1 4! 5!", &[&changed(4), &changed(5)]);
}

#[test]
fn swapped_entries_are_reordered_not_missing() {
    check("1 3 2 4", &["entry 2 stands in the wrong place: it comes after entry 3"]);
    check(
        "1 5 3 4 2 6",
        &[
            "entry 3 stands in the wrong place: it comes after entry 5",
            "entry 2 stands in the wrong place: it comes after entry 4",
        ],
    );
}

#[test]
fn a_moved_block_is_one_fault() {
    check("1 2 6 7 8 3 4 5 9 10", &["entry 3 stands in the wrong place: it comes after entry 8"]);
}

#[test]
fn what_stays_missing_after_a_move_is_said() {
    check(
        "1 6 4 7",
        &[
            "entries 2 to 3 are missing: entry 1 is followed by entry 4",
            "entry 5 is missing: entry 4 is followed by entry 6",
            "entry 4 stands in the wrong place: it comes after entry 6",
        ],
    );
}

#[test]
fn a_copied_entry_is_a_duplicate() {
    let sentence = "number 2 is given to more than one entry: one was copied or inserted";
    check("1 2 2 3", &[sentence]);
    check("1 2 3 4 2 5", &[sentence]);
    check("1 2 3 2", &[sentence]);
}

#[test]
fn an_inserted_entry_with_a_fitting_hash_is_a_duplicate() {
    let sentence = "number 2 is given to more than one entry: one was copied or inserted";
    check("1 2* 2 3", &[sentence]);
    check("1 2 2* 3", &[sentence]);
}

#[test]
fn a_line_that_is_no_entry_is_named_and_stands_for_the_entry_it_was() {
    let sentence = "entry 2 of the input, counted from 1, cannot be read: the text is not an entry of the trail: \
                    expected value at line 1 column 1";
    check("1 junk 3 4", &[sentence]);
    check("1 junk 2 3", &[sentence]);
    check("1 junk 4", &[sentence, "entry 3 is missing: entry 2 is followed by entry 4"]);
}

#[test]
fn faults_far_apart_are_all_found() {
    check(
        "1 3 4! 5 6* 7 8 8 9 11 10 12",
        &[
            "entry 2 is missing: entry 1 is followed by entry 3",
            "entry 4 was changed: its hash does not fit its content",
            "entry 7 does not continue the entry before it: one of the two was replaced, hash and all",
            "number 8 is given to more than one entry: one was copied or inserted",
            "entry 10 stands in the wrong place: it comes after entry 11",
        ],
    );
}

#[test]
fn a_pruned_trail_is_followed_from_its_start() {
    let sound = plain_trail(20);
    let start = sound[4].head();
    assert_eq!(report_from(start, "6 7 8", None), [""; 0]);
    assert_eq!(report_from(start, "7 8", None), ["entry 6 is missing: entry 5 is followed by entry 7"]);
    let older = "entry 5 does not belong here: this trail begins after entry 5";
    assert_eq!(report_from(start, "5 6 7", None), [older]);
    let wrong = Head { seq: 5, hash: Hash([1; 32]) };
    assert_eq!(report_from(wrong, "6 7", None).len(), 1);
}

#[test]
fn every_fault_is_returned_when_it_is_met() {
    let sound = plain_trail(4);
    let mut verifier = Verifier::new(Head::GENESIS);
    assert_eq!(verifier.check(&sound[0]), None);
    assert_eq!(verifier.check(&sound[2]), Some(Fault::Missing { after: 1, next: 3 }));
    assert_eq!(verifier.check(&sound[1]), Some(Fault::Reordered { seq: 2, after: 3 }));
    let report = verifier.finish(None);
    assert_eq!(report.faults, [Fault::Reordered { seq: 2, after: 3 }]);
    assert_eq!((report.entries, report.head), (3, sound[2].head()));
    assert!(!report.is_sound());
}

#[test]
fn a_wrecked_trail_does_not_fill_the_memory() {
    let at = haus_model::Timestamp(0);
    let lone = |seq: u64| {
        let entry = NewEntry::new(at, "house", Action::Admin, "house", Outcome::Allowed);
        seal(&Head { seq: seq - 1, hash: Hash([3; 32]) }, entry)
    };
    let mut verifier = Verifier::new(Head::GENESIS);
    verifier.check(&lone(100_000));
    for seq in (1..5000).map(|at| at * 2) {
        verifier.check(&lone(seq));
    }
    let report = verifier.finish(None);
    assert_eq!(report.entries, 5000);
    assert!(report.faults.len() <= FAULTS_MAX);
    assert!(report.faults_unlisted >= 4000);
}

#[test]
fn faults_are_data_for_programs_too() {
    let json = serde_json::to_string(&Fault::TooShort { anchor_seq: 9, last_seq: 7 }).unwrap();
    assert_eq!(json, r#"{"kind":"too-short","anchor_seq":9,"last_seq":7}"#);
}
