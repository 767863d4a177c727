//! Trails to test with: small fixed ones, and any that can exist.

use haus_model::Timestamp;
use haus_trail::{Action, Entry, Head, NewEntry, Outcome, Report, Verifier, seal};
use proptest::prelude::*;

/// Seals one after the other.
pub(crate) fn chain(start: Head, entries: Vec<NewEntry>) -> Vec<Entry> {
    let mut head = start;
    let seal_next = |entry| {
        let entry = seal(&head, entry);
        head = entry.head();
        entry
    };
    entries.into_iter().map(seal_next).collect()
}

/// A trail of `count` plain entries from the first on.
pub(crate) fn plain_trail(count: u64) -> Vec<Entry> {
    chain(Head::GENESIS, (1..=count).map(plain).collect())
}

fn plain(number: u64) -> NewEntry {
    let at = Timestamp(i64::try_from(number * 1000).unwrap());
    NewEntry::new(at, "service:api/1", Action::CredentialRead, "credential:db", Outcome::Allowed)
}

/// What a verification from `start` finds.
pub(crate) fn verify(start: Head, trail: &[Entry], anchor: Option<&Head>) -> Report {
    let mut verifier = Verifier::new(start);
    for entry in trail {
        verifier.check(entry);
    }
    verifier.finish(anchor)
}

/// Any text, with the characters that encoders get wrong more often than chance would have it.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        '"', '\\', '/', '\0', '\u{8}', '\t', '\n', '\u{c}', '\r', '\u{1f}', '\u{7f}', '\u{85}', '\u{2028}',
        '\u{feff}', '\u{202e}', '…', '😀', '{', ',', 'a',
    ]);
    prop::collection::vec(prop_oneof![nasty, any::<char>()], 0..24).prop_map(String::from_iter)
}

/// Any entry, also beyond the limits in the number of details.
pub(crate) fn new_entry() -> impl Strategy<Value = NewEntry> {
    entry_of(text().boxed(), 20)
}

/// An entry of few words: for tests in which many are chained and what they say does not matter.
pub(crate) fn brief_entry() -> impl Strategy<Value = NewEntry> {
    entry_of(
        prop::sample::select(vec!["", "a", "house", "ü€", "\"", "b\n"]).prop_map(str::to_owned).boxed(),
        3,
    )
}

fn entry_of(text: BoxedStrategy<String>, details_max: usize) -> impl Strategy<Value = NewEntry> {
    let words = (prop::sample::select(Action::ALL), prop::sample::select(Outcome::ALL));
    let maybe = prop::option::of(text.clone()).boxed();
    let optional = (maybe.clone(), maybe.clone(), maybe);
    let details = prop::collection::btree_map(text.clone(), text.clone(), 0..=details_max);
    (any::<i64>(), text.clone(), words, text, optional, details).prop_map(
        |(at, actor, (action, outcome), subject, (request_id, address, why), details)| {
            let at = Timestamp(at);
            NewEntry { at, actor, action, subject, outcome, request_id, address, why, details }
        },
    )
}

/// Any trail of `least` to 8 brief entries.
pub(crate) fn trail(least: usize) -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(brief_entry(), least..=8).prop_map(|entries| chain(Head::GENESIS, entries))
}
