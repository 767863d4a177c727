//! The conformance suite of the port `Host`: what every session must do, in memory or on a machine.

use haus_acts::wire::{Begin, Claim, Ending, Outcome, Recovered, SecretValue};
use haus_apply::host::{Act, Blob, Host, HostError};
use haus_model::change::{ActKind, Change, Outcome as Foreseen, Undo};
use haus_model::host::Access;
use haus_model::host_code::HostCode;
use haus_model::inventory::{OpenApply, State};
use haus_model::resource::{Content, FileSpec, SecretVersion, Spec};
use haus_model::{Fingerprint, Secret};
use haus_testkit::wait_for;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

const ENOUGH: Duration = Duration::from_secs(30);
const VALUE: &str = "correct horse battery staple";

/// A host under test.
pub(crate) trait HostWorld {
    /// A new session.
    fn open(&self) -> Box<dyn Host>;
    /// An empty folder on the host that the test may fill.
    fn folder(&self) -> PathBuf;
    /// Who owns what is made there.
    fn access(&self) -> Access;
    /// Whether the host can arm a dead-man.
    fn has_dead_man(&self) -> bool;
    /// Files of ours on the host, other than this one, that hold the text.
    fn files_with(&self, text: &str, except: &Path) -> Vec<String>;
}

/// All of it, one after the other on the same host.
pub(crate) fn host_conformance(world: &dyn HostWorld) {
    let suite = Suite { world };
    suite.what_is_committed_stays_and_is_told();
    suite.what_moved_is_refused_and_nothing_begins();
    suite.one_at_a_time();
    suite.a_session_that_dies_is_brought_into_order();
    suite.an_apply_can_be_ended_early();
    suite.what_is_taken_back_is_gone();
    suite.a_committed_apply_can_be_taken_back_later();
    suite.requests_out_of_turn_are_refused_and_the_session_goes_on();
    suite.blobs_are_compared_and_kept_until_they_are_used();
    suite.a_value_goes_into_its_file_and_nowhere_else();
    if world.has_dead_man() {
        suite.a_guarded_change_needs_a_confirmation_by_somebody_new();
    }
}

struct Suite<'a> {
    world: &'a dyn HostWorld,
}

fn claim(owner: &str) -> Claim {
    Claim { owner: owner.to_owned(), reason: Some("a test".to_owned()) }
}

fn refused(answer: Result<impl std::fmt::Debug, HostError>) -> HostCode {
    match answer {
        Err(HostError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

impl Suite<'_> {
    fn change(&self, number: u32, name: &str, content: Content) -> Change {
        let path = self.world.folder().join(name);
        let spec = Spec::File(FileSpec { path, content, access: self.world.access(), check: None });
        Change {
            number,
            resource: spec.id(),
            act: ActKind::Create,
            spec,
            before: State::Absent,
            service: None,
            why: "the suite wants it".to_owned(),
            diff: Vec::new(),
            operations: Vec::new(),
            outcome: Foreseen::Known,
            undo: Undo::Exact,
            guarded: false,
        }
    }

    fn files(&self, names: &[&str]) -> Vec<Change> {
        let text = |name: &str| Content::Text(format!("this is {name}\n"));
        names.iter().zip(1..).map(|(name, number)| self.change(number, name, text(name))).collect()
    }

    fn begin(&self, apply: &str, changes: &[Change]) -> Begin {
        Begin {
            apply: apply.to_owned(),
            claim: claim("anna@desk"),
            plan: Fingerprint::of(apply.as_bytes()),
            changes: changes.to_vec(),
            ports: BTreeMap::new(),
            guard_s: 60,
        }
    }

    fn act(&self, host: &mut dyn Host, number: u32) {
        let done = host.act(Act { number, secrets: Vec::new() }, &mut |_| {}).expect("acts");
        assert_eq!((done.number, done.changed), (number, true));
    }

    /// Which of these are there, as a new session sees it.
    fn there(&self, changes: &[Change]) -> Vec<bool> {
        let specs: Vec<Spec> = changes.iter().map(|change| change.spec.clone()).collect();
        let seen = self.world.open().observe(&specs).expect("observes");
        let is_there = |change: &Change| seen.states[&change.resource] != State::Absent;
        changes.iter().map(is_there).collect()
    }

    fn last(&self) -> (String, Outcome) {
        let past = self.world.open().history(1).expect("remembers");
        (past[0].apply.clone(), past[0].outcome)
    }

    /// Clears the way for the next part.
    fn tidy(&self, apply: &str) {
        self.world.open().roll_back(&claim("tidy"), Some(apply), &mut |_| {}).expect("takes back");
    }

    /// The process of a session that was dropped ends a moment later.
    fn wait_for_death(&self) -> OpenApply {
        wait_for("the host sees that nobody is there", ENOUGH, || {
            let seen = self.world.open().observe(&[]).expect("observes");
            seen.open.filter(|open| !open.alive)
        })
    }

    fn what_is_committed_stays_and_is_told(&self) {
        let changes = self.files(&["a", "b"]);
        let mut host = self.world.open();
        host.begin(&self.begin("t01", &changes)).expect("begins");
        self.act(host.as_mut(), 1);
        self.act(host.as_mut(), 2);
        let finished = host.finish(Ending::Commit, &mut |_| {}).expect("commits");
        assert_eq!((finished.apply.as_str(), finished.outcome), ("t01", Outcome::Committed));
        assert_eq!(self.there(&changes), [true, true]);
        let past = self.world.open().history(5).expect("remembers");
        let Claim { owner, reason } = &past[0].claim;
        assert_eq!((owner.as_str(), reason.as_deref(), past[0].of), ("anna@desk", Some("a test"), 2));
        assert!(self.world.open().observe(&[]).expect("observes").open.is_none());
    }

    fn what_moved_is_refused_and_nothing_begins(&self) {
        // `a` is there since the part before, and this plan believes that it is not.
        let changes = self.files(&["c", "a"]);
        let mut host = self.world.open();
        assert_eq!(refused(host.begin(&self.begin("t02", &changes))), HostCode::Moved);
        drop(host);
        assert_eq!(self.there(&changes), [false, true]);
        assert_eq!(self.last().0, "t01");
        self.tidy("t01");
    }

    fn one_at_a_time(&self) {
        let changes = self.files(&["a"]);
        let mut first = self.world.open();
        first.begin(&self.begin("t03", &changes)).expect("begins");
        let mut second = self.world.open();
        let open = second.observe(&[]).expect("looking needs no lock").open.expect("it is open");
        assert!(open.alive && open.owner == "anna@desk" && open.id == "t03", "{open:?}");
        assert_eq!(refused(second.begin(&self.begin("t04", &changes))), HostCode::Locked);
        assert_eq!(refused(second.recover(&claim("bert@desk"), None)), HostCode::Locked);
        first.finish(Ending::RollBack, &mut |_| {}).expect("takes back");
        drop(first);
        second.begin(&self.begin("t04", &changes)).expect("the lock is free");
        second.finish(Ending::RollBack, &mut |_| {}).expect("takes back");
    }

    fn a_session_that_dies_is_brought_into_order(&self) {
        let changes = self.files(&["a", "b"]);
        let mut host = self.world.open();
        host.begin(&self.begin("t05", &changes)).expect("begins");
        self.act(host.as_mut(), 1);
        drop(host);
        let open = self.wait_for_death();
        assert_eq!((open.id.as_str(), open.done, open.of), ("t05", 1, 2));
        let recovered = self.world.open().recover(&claim("bert@desk"), None).expect("recovers");
        assert_eq!(recovered, Recovered::Closed { apply: "t05".to_owned(), repaired: None });
        assert_eq!(self.there(&changes), [true, false]);
        assert_eq!(self.last(), ("t05".to_owned(), Outcome::Interrupted));
        assert_eq!(
            self.world.open().recover(&claim("bert@desk"), None).expect("recovers"),
            Recovered::Nothing
        );
        self.tidy("t05");
        assert_eq!(self.there(&changes), [false, false]);
    }

    fn an_apply_can_be_ended_early(&self) {
        let changes = self.files(&["a", "b"]);
        let mut host = self.world.open();
        host.begin(&self.begin("t06", &changes)).expect("begins");
        self.act(host.as_mut(), 1);
        assert_eq!(host.finish(Ending::Stop, &mut |_| {}).expect("stops").outcome, Outcome::Stopped);
        drop(host);
        assert_eq!(self.there(&changes), [true, false]);
        self.tidy("t06");
    }

    fn what_is_taken_back_is_gone(&self) {
        let changes = self.files(&["a", "b"]);
        let mut host = self.world.open();
        host.begin(&self.begin("t07", &changes)).expect("begins");
        self.act(host.as_mut(), 1);
        self.act(host.as_mut(), 2);
        let finished = host.finish(Ending::RollBack, &mut |_| {}).expect("takes back");
        assert!(finished.outcome == Outcome::RolledBack && finished.left.is_empty(), "{finished:?}");
        assert_eq!(self.there(&changes), [false, false]);
        assert_eq!(self.last(), ("t07".to_owned(), Outcome::RolledBack));
    }

    fn a_committed_apply_can_be_taken_back_later(&self) {
        let changes = self.files(&["a"]);
        let mut host = self.world.open();
        host.begin(&self.begin("t08", &changes)).expect("begins");
        self.act(host.as_mut(), 1);
        host.finish(Ending::Commit, &mut |_| {}).expect("commits");
        drop(host);
        let other = self.world.open().roll_back(&claim("bert@desk"), Some("t01"), &mut |_| {});
        assert!(matches!(other, Err(HostError::Refused(_))), "only the last one");
        assert_eq!(self.there(&changes), [true]);
        self.tidy("t08");
        assert_eq!(self.there(&changes), [false]);
    }

    fn requests_out_of_turn_are_refused_and_the_session_goes_on(&self) {
        let mut host = self.world.open();
        assert!(matches!(host.finish(Ending::Commit, &mut |_| {}), Err(HostError::Refused(_))));
        let act = Act { number: 1, secrets: Vec::new() };
        assert!(matches!(host.act(act, &mut |_| {}), Err(HostError::Refused(_))));
        assert!(matches!(host.confirm("t99"), Err(HostError::Refused(_))));
        host.observe(&[]).expect("the session goes on");
    }

    fn blobs_are_compared_and_kept_until_they_are_used(&self) {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 253) as u8).collect();
        let (hash, size) = (Fingerprint::of(&bytes), bytes.len() as u64);
        let mut host = self.world.open();
        assert_eq!(host.missing(BTreeSet::from([hash])).expect("compares"), BTreeSet::from([hash]));
        let wrong = Blob { hash: Fingerprint::of(b"other"), bytes: size, from: &mut bytes.as_slice() };
        assert!(matches!(host.put(wrong), Err(HostError::Refused(_))));
        host.put(Blob { hash, bytes: size, from: &mut bytes.as_slice() }).expect("puts");
        assert!(host.missing(BTreeSet::from([hash])).expect("compares").is_empty());
        let changes = [self.change(1, "blob", Content::Blob { hash, bytes: size })];
        host.begin(&self.begin("t09", &changes)).expect("begins");
        self.act(host.as_mut(), 1);
        host.finish(Ending::Commit, &mut |_| {}).expect("commits");
        drop(host);
        assert_eq!(self.there(&changes), [true]);
        self.tidy("t09");
    }

    fn a_value_goes_into_its_file_and_nowhere_else(&self) {
        let of = SecretVersion { credential: "door".parse().expect("a name"), version: 1 };
        let changes = [self.change(1, "secret", Content::Secret(of.clone()))];
        let mut host = self.world.open();
        host.begin(&self.begin("t10", &changes)).expect("begins");
        let act = Act { number: 1, secrets: vec![SecretValue { of, value: Secret::from(VALUE.to_owned()) }] };
        let mut told = Vec::new();
        let done = host.act(act, &mut |step| told.push(format!("{step:?}"))).expect("acts");
        host.finish(Ending::Commit, &mut |_| {}).expect("commits");
        drop(host);
        let seen = self.world.open().observe(&[changes[0].spec.clone()]).expect("observes");
        let past = self.world.open().history(9).expect("remembers");
        let all = format!("{done:?} {told:?} {seen:?} {past:?}");
        assert!(!all.contains(VALUE), "{all}");
        let file = self.world.folder().join("secret");
        assert_eq!(self.world.files_with(VALUE, &file), Vec::<String>::new());
        self.tidy("t10");
        assert_eq!(self.world.files_with(VALUE, Path::new("/nonexistent")), Vec::<String>::new());
    }

    fn a_guarded_change_needs_a_confirmation_by_somebody_new(&self) {
        let mut changes = self.files(&["guarded"]);
        changes[0].guarded = true;
        let mut host = self.world.open();
        host.begin(&self.begin("t11", &changes)).expect("begins");
        let done = host.act(Act { number: 1, secrets: Vec::new() }, &mut |_| {}).expect("acts");
        assert!(done.armed_until.is_some());
        assert!(matches!(host.finish(Ending::Commit, &mut |_| {}), Err(HostError::Refused(_))));
        assert!(matches!(host.confirm("t11"), Err(HostError::Refused(_))), "it proves nothing");
        self.world.open().confirm("t11").expect("somebody new");
        host.finish(Ending::Commit, &mut |_| {}).expect("commits");
        drop(host);
        assert_eq!(self.there(&changes), [true]);
        self.tidy("t11");
    }
}
