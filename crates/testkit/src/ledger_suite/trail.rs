//! Cases of batches and of the trail: one transaction, one chain, no gap.

use super::{Case, assert_sound, create, credential, done, entry, name, refused, whole_trail};
use haus_model::Timestamp;
use haus_store::{Batch, Committed, Conflict, Ledger, StoreError, TrailQuery, Write};
use haus_trail::{Action, Head, NewEntry, Outcome};
use std::collections::BTreeSet;
use std::sync::mpsc::channel;

pub(super) const CASES: &[Case] = &[
    ("an empty ledger has an empty trail that begins at genesis", empty),
    ("a batch of nothing is acknowledged and leaves nothing", nothing),
    ("an entry comes back as it went in", round_trip),
    ("entries of one batch and of the next follow each other", chained),
    ("a batch that is refused leaves no gap and no part of itself", no_gap),
    ("a submitted batch is acknowledged exactly once", submitted),
    ("a submitted batch is refused exactly once", submitted_refused),
    ("batches of many threads become one chain", concurrent),
    ("a callback that panics harms nobody", panicking),
    ("the trail is found by subject, actor, action and number", queries),
    ("a long trail is found by the same", queries_of_a_long_trail),
    ("pruning keeps the chain and tells of itself", pruning),
    ("pruning stops at the first entry that is young enough", pruning_stops),
    ("pruning many needs several steps and one note", pruning_many),
];

fn at(ms: i64, subject: &str) -> NewEntry {
    NewEntry { at: Timestamp(ms), ..entry(subject) }
}

fn subjects(ledger: &dyn Ledger, query: &TrailQuery) -> Vec<String> {
    ledger.trail(query).unwrap().into_iter().map(|entry| entry.entry.subject).collect()
}

fn empty(ledger: &dyn Ledger) {
    assert_eq!(ledger.trail_head().unwrap(), Head::GENESIS);
    assert_eq!(ledger.trail_start().unwrap(), Head::GENESIS);
    assert_eq!(whole_trail(ledger), []);
    assert_eq!(ledger.prune_trail(Timestamp(i64::MAX), entry("note")).unwrap(), 0);
    assert_eq!(whole_trail(ledger), [], "nothing was removed, so there is nothing to tell");
}

fn nothing(ledger: &dyn Ledger) {
    assert_eq!(ledger.commit(Batch::default()).unwrap(), Committed::default());
    let silent = Batch { writes: vec![Write::AlertStatePut("{}".into())], entries: Vec::new() };
    assert_eq!(ledger.commit(silent).unwrap(), Committed::default());
    assert_eq!(ledger.alert_state().unwrap().as_deref(), Some("{}"));
    assert_eq!(ledger.trail_head().unwrap(), Head::GENESIS);
}

fn round_trip(ledger: &dyn Ledger) {
    let full = NewEntry::new(Timestamp(-1), "admin:uid=0", Action::KeyRotate, "house", Outcome::Failed)
        .request("r-1")
        .from_address("127.0.0.1:9")
        .because("\"quoted\"\n\u{0}ü\u{1f6a7}")
        .detail("key", "k2")
        .detail("", "");
    ledger.commit(Batch::entry(full.clone())).unwrap();
    let kept = whole_trail(ledger);
    assert_eq!((kept.len(), &kept[0].entry), (1, &full));
    assert_sound(ledger);
}

fn chained(ledger: &dyn Ledger) {
    let first = ledger.commit(Batch { writes: Vec::new(), entries: vec![entry("a"), entry("b")] }).unwrap();
    let second = ledger.commit(Batch::entry(entry("c"))).unwrap();
    assert_eq!((first.trail, second.trail), (vec![1, 2], vec![3]));
    assert_eq!(first.head.map(|head| head.seq), Some(2));
    assert_eq!(second.head, Some(ledger.trail_head().unwrap()));
    assert_sound(ledger);
}

fn no_gap(ledger: &dyn Ledger) {
    let row = credential("c1", "db");
    assert_eq!(done(ledger, create(&row)).trail, [1]);
    refused(ledger, create(&row), Conflict::Exists("credential `db`".into()));
    assert_eq!(done(ledger, Write::CredentialDelete { id: "c1".into(), if_revision: None }).trail, [2]);
    // The first write of the batch is fine by itself.
    let both = Batch::of(vec![create(&row), create(&row)], entry("x"));
    assert!(matches!(ledger.commit(both), Err(StoreError::Conflict { .. })));
    assert_eq!(ledger.credential("c1").unwrap(), None);
    assert_eq!(ledger.trail_head().unwrap().seq, 2);
    assert_sound(ledger);
}

fn submitted(ledger: &dyn Ledger) {
    let (sender, answers) = channel();
    ledger.submit(Batch::entry(entry("a")), Box::new(move |outcome| sender.send(outcome).unwrap()));
    let committed = answers.recv().unwrap().unwrap();
    // On disk before it was acknowledged.
    assert_eq!(committed.head, Some(ledger.trail_head().unwrap()));
    assert_eq!(committed.trail, [1]);
    // The sender went with the callback: nobody can call it again.
    assert!(answers.recv().is_err());
}

fn submitted_refused(ledger: &dyn Ledger) {
    let (sender, answers) = channel();
    let missing = Write::SilenceDelete { id: "s".into() };
    let done = Box::new(move |outcome| sender.send(outcome).unwrap());
    ledger.submit(Batch::of(vec![missing], entry("a")), done);
    assert!(matches!(answers.recv().unwrap(), Err(StoreError::Conflict { .. })));
    assert!(answers.recv().is_err());
    assert_eq!(ledger.trail_head().unwrap(), Head::GENESIS);
}

fn panicking(ledger: &dyn Ledger) {
    ledger.submit(Batch::entry(entry("a")), Box::new(|_| panic!("a callback of the suite, on purpose")));
    assert_eq!(ledger.commit(Batch::entry(entry("b"))).unwrap().trail, [2]);
}

fn concurrent(ledger: &dyn Ledger) {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 25;
    let (sender, answers) = channel();
    std::thread::scope(|scope| {
        for number in 0..WRITERS {
            let sender = sender.clone();
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    // Every third one is refused in the midst of the others.
                    let writes = match round % 3 {
                        0 => vec![Write::SilenceDelete { id: "none".into() }],
                        _ => vec![Write::CredentialUsed { ids: Vec::new(), at: Timestamp(0) }],
                    };
                    let batch = Batch { writes, entries: vec![entry(&format!("s{number}")), entry("x")] };
                    let sender = sender.clone();
                    ledger.submit(batch, Box::new(move |outcome| sender.send(outcome).unwrap()));
                }
            });
        }
    });
    drop(sender);
    let answers: Vec<_> = answers.iter().collect();
    assert_eq!(answers.len(), WRITERS * ROUNDS);
    let kept: Vec<Vec<u64>> = answers.into_iter().flatten().map(|committed| committed.trail).collect();
    assert!(kept.iter().all(|numbers| numbers.len() == 2 && numbers[1] == numbers[0] + 1));
    let numbers: BTreeSet<u64> = kept.into_iter().flatten().collect();
    let expected = (WRITERS * ROUNDS.saturating_sub(ROUNDS.div_ceil(3)) * 2) as u64;
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), (1..=expected).collect::<Vec<_>>());
    assert_sound(ledger);
}

const NONE: [u64; 0] = [];

fn queries(ledger: &dyn Ledger) {
    for (subject, actor, action) in [
        ("credential:a", "x", Action::CredentialRead),
        ("credential:b", "y", Action::CredentialRead),
        ("credential:a", "y", Action::CredentialRotate),
        ("credential:a", "x", Action::CredentialRead),
    ] {
        let new = NewEntry::new(Timestamp(7), actor, action, subject, Outcome::Allowed);
        ledger.commit(Batch::entry(new)).unwrap();
    }
    let numbers = |query: TrailQuery| -> Vec<u64> {
        ledger.trail(&query).unwrap().into_iter().map(|entry| entry.seq).collect()
    };
    let all = TrailQuery { limit: 100, ..TrailQuery::default() };
    assert_eq!(numbers(all.clone()), [1, 2, 3, 4]);
    assert_eq!(numbers(TrailQuery { newest_first: true, limit: 2, ..all.clone() }), [4, 3]);
    assert_eq!(numbers(TrailQuery { after: Some(1), before: Some(4), ..all.clone() }), [2, 3]);
    assert_eq!(numbers(TrailQuery { after: Some(u64::MAX), ..all.clone() }), NONE);
    let of_a = TrailQuery { subject: Some("credential:a".into()), ..all.clone() };
    assert_eq!(numbers(of_a.clone()), [1, 3, 4]);
    assert_eq!(numbers(TrailQuery { actor: Some("x".into()), newest_first: true, ..of_a.clone() }), [4, 1]);
    assert_eq!(numbers(TrailQuery { action: Some(Action::CredentialRotate), ..all.clone() }), [3]);
    assert_eq!(numbers(TrailQuery { action: Some(Action::KeyRotate), ..of_a }), NONE);
    assert_eq!(numbers(TrailQuery { limit: 0, ..all.clone() }), NONE);
    assert_eq!(numbers(TrailQuery { subject: Some("credential:%' OR 1".into()), ..all }), NONE);
}

/// Every question is answered as if each entry had been looked at, in a trail long enough for any short cut.
fn queries_of_a_long_trail(ledger: &dyn Ledger) {
    let actions = [Action::CredentialRead, Action::CredentialUpdate, Action::ServiceRegister];
    let made = |number: u64| {
        let (subject, actor) = (format!("credential:{}", number * number % 67), format!("a{}", number / 300));
        let action = actions[usize::try_from(number % 3).unwrap()];
        let at = Timestamp(i64::try_from(number).unwrap());
        NewEntry::new(at, actor, action, subject, Outcome::Allowed)
    };
    let (mut number, mut size) = (1, 1);
    while number <= 1_500 {
        let entries: Vec<NewEntry> = (number..number + size).map(made).collect();
        ledger.commit(Batch { writes: Vec::new(), entries }).unwrap();
        (number, size) = (number + size, size % 97 + 13);
    }
    for pruned_to in [0, 700] {
        ledger.prune_trail(Timestamp(pruned_to), at(9_999, "note")).unwrap();
        let all = ledger.trail(&TrailQuery { limit: 10_000, ..TrailQuery::default() }).unwrap();
        for case in 0..4 * 3 * 3 * 2 * 3 {
            let (which, rest) = (case % 4, case / 4);
            let query = TrailQuery {
                subject: (which == 1 || which == 3).then(|| format!("credential:{}", rest % 67)),
                actor: (which == 2).then(|| format!("a{}", rest % 5)),
                action: (which == 0 || which == 3).then_some(actions[rest % 3]),
                after: [None, Some(255), Some(801)][rest / 3 % 3],
                before: [None, Some(769), Some(1_400)][rest / 9 % 3],
                newest_first: rest / 27 % 2 == 1,
                limit: [3, 10_000][rest / 5 % 2],
            };
            let is_wanted = |entry: &&haus_trail::Entry| {
                query.after.is_none_or(|after| entry.seq > after)
                    && query.before.is_none_or(|before| entry.seq < before)
                    && query.subject.as_ref().is_none_or(|subject| *subject == entry.entry.subject)
                    && query.actor.as_ref().is_none_or(|actor| *actor == entry.entry.actor)
                    && query.action.is_none_or(|action| action == entry.entry.action)
            };
            let mut expected: Vec<_> = all.iter().filter(is_wanted).cloned().collect();
            if query.newest_first {
                expected.reverse();
            }
            expected.truncate(query.limit);
            assert_eq!(ledger.trail(&query).unwrap(), expected, "{query:?}");
        }
    }
}

fn pruning(ledger: &dyn Ledger) {
    for ms in 1..=5 {
        ledger.commit(Batch::entry(at(ms, "old"))).unwrap();
    }
    let third = whole_trail(ledger)[2].head();
    assert_eq!(ledger.prune_trail(Timestamp(4), at(9, "note")).unwrap(), 3);
    assert_eq!(ledger.trail_start().unwrap(), third);
    assert_eq!(subjects(ledger, &TrailQuery { limit: 9, ..TrailQuery::default() }), ["old", "old", "note"]);
    assert_sound(ledger);
    assert_eq!(ledger.prune_trail(Timestamp(4), at(9, "note")).unwrap(), 0);
    // Everything goes but the note that tells of it.
    assert_eq!(ledger.prune_trail(Timestamp(100), at(9, "note 2")).unwrap(), 3);
    assert_eq!(subjects(ledger, &TrailQuery { limit: 9, ..TrailQuery::default() }), ["note 2"]);
    assert_eq!(ledger.trail_head().unwrap().seq, 7);
    assert_eq!(ledger.commit(Batch::entry(at(10, "next"))).unwrap().trail, [8]);
    assert_sound(ledger);
}

fn pruning_stops(ledger: &dyn Ledger) {
    // A clock that was set back: the third is older than the second, but stands behind it.
    for ms in [1, 50, 2] {
        ledger.commit(Batch::entry(at(ms, "x"))).unwrap();
    }
    assert_eq!(ledger.prune_trail(Timestamp(10), at(60, "note")).unwrap(), 1);
    assert_eq!(ledger.trail_start().unwrap().seq, 1);
    assert_sound(ledger);
}

fn pruning_many(ledger: &dyn Ledger) {
    let many = (0..5_000).map(|_| at(1, "flood")).collect();
    ledger.commit(Batch { writes: Vec::new(), entries: many }).unwrap();
    ledger.commit(Batch::entry(at(9, &format!("service:{}", name("kept"))))).unwrap();
    assert_eq!(ledger.prune_trail(Timestamp(5), at(9, "note")).unwrap(), 5_000);
    let rest = subjects(ledger, &TrailQuery { limit: 9, ..TrailQuery::default() });
    assert_eq!(rest, ["service:kept", "note"]);
    assert_eq!(ledger.trail_start().unwrap().seq, 5_000);
    assert_sound(ledger);
}
