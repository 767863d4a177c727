//! The requests that change the host: begin, act, confirm, finish, take back.
//!
//! The order is what makes an apply interruptible: the dead-man is armed, then the note is on disk, then the
//! act is made, looked at, and noted as done. An act that fails is taken back before anybody hears of it.

use super::Session;
use crate::act::{Job, Made, carry_out, note, unit};
use crate::deadman;
use crate::journal::note::Note;
use crate::journal::recover::{clear_left_over, end, roll_back, tidy};
use crate::journal::{DoneLine, Line, Start, Writer, applies, last_standing, manifest, open};
use crate::machine::now;
use crate::observe::Observer;
use crate::refusal::Result;
use crate::satisfied::{is_made, is_removed};
use crate::wire::{Begin, Claim, Done, Ending, Finished, Outcome, Progress, Refusal, SecretValue};
use haus_model::argv::UnitVerb;
use haus_model::change::{ActKind, Change};
use haus_model::host_code::HostCode;
use haus_model::host_path::unit_path;
use haus_model::inventory::{Manifest, ManifestEntry, State, fingerprint_of};
use haus_model::operation::{let_go_verb, unit_verbs};
use haus_model::resource::{Kind, ResourceId, SecretVersion, Spec};
use haus_model::{Secret, Timestamp};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PLAN_AGAIN: &str = "make a new plan: the host is no longer what this one was made for";
/// Below the patience for a first sign of life; whoever asks comes back when it is not enough.
const LOST_WITHIN: Duration = Duration::from_secs(5);
const APPLY_ID_MAX: usize = 64;
/// Shorter values would be found in ordinary words.
const HIDDEN_BYTES_MIN: usize = 4;

impl Session<'_> {
    pub(super) fn begin(&mut self, begin: Begin) -> Result<()> {
        let what = || format!("begin the apply {}", begin.apply);
        let fault = |why: &str, remedy: &str| Err(Refusal::new(HostCode::ActFailed, what(), why, remedy));
        let good = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if begin.apply.is_empty() || begin.apply.len() > APPLY_ID_MAX || !begin.apply.chars().all(good) {
            return fault("its id is not of letters, digits and `-`", "this is a fault of haus; report it");
        }
        self.claim(&begin.claim)?;
        if self.writer.is_some() || open(&self.layout).is_some() {
            return fault("another apply is open", "let the host recover first");
        }
        self.expect_later(&begin.apply)?;
        tidy(self.machine, &self.layout)?;
        let manifest = self.manifest()?;
        let states = self.states(begin.changes.iter().map(|change| &change.spec), &manifest);
        let moved: Vec<&Change> = begin
            .changes
            .iter()
            .filter(|change| !same(change, states.get(&change.resource).unwrap_or(&State::Absent)))
            .collect();
        if let Some(first) = moved.first() {
            let why = format!("{} of its resources changed since", moved.len());
            let lines = moved.iter().map(|change| change.resource.to_string());
            let refusal = Refusal::new(HostCode::Moved, what(), why, PLAN_AGAIN).with_evidence(lines);
            return Err(Refusal { resource: Some(first.resource.clone()), ..refusal });
        }
        let writer = Writer::create(&self.layout, begin, self.machine.program.clone(), now())?;
        self.writer = Some(writer);
        Ok(())
    }

    /// Journals are ordered by their ids, which begin with the time of the desk. One that sorted before
    /// another would not be found when it is open, nor taken back as the last one.
    fn expect_later(&self, apply: &str) -> Result<()> {
        let Some(latest) = applies(&self.layout).into_iter().next() else { return Ok(()) };
        if latest.as_str() <= apply {
            return Ok(());
        }
        let why = format!(
            "the apply {latest} was made here already: it came in between, or one of two desks has a wrong clock"
        );
        let remedy = format!(
            "apply again; when that is refused as well, compare the clocks of both desks, and wait until this \
             one has come to that time, or move {} away",
            self.layout.journal(&latest).display()
        );
        Err(Refusal::new(HostCode::ClockSkew, format!("begin the apply {apply}"), why, remedy))
    }

    fn states<'s>(
        &self,
        specs: impl IntoIterator<Item = &'s Spec>,
        manifest: &Manifest,
    ) -> BTreeMap<ResourceId, State> {
        let salt = manifest::salt(&self.layout);
        Observer { machine: self.machine, mark: self.layout.mark(), manifest, salt: &salt }.states(specs)
    }

    fn state(&self, spec: &Spec, manifest: &Manifest) -> State {
        self.states([spec], manifest).remove(&spec.id()).unwrap_or(State::Absent)
    }

    pub(super) fn act(
        &mut self,
        number: u32,
        secrets: Vec<SecretValue>,
        sink: &mut dyn FnMut(Progress),
    ) -> Result<Done> {
        let secrets: BTreeMap<SecretVersion, Secret> =
            secrets.into_iter().map(|secret| (secret.of, secret.value)).collect();
        let change = self.change(number)?;
        let mut told = |progress: Progress| sink(hidden_progress(progress, &secrets));
        let outcome = self.carry_out(&change, &secrets, &mut told);
        outcome.map_err(|refusal| {
            hidden(Refusal { resource: Some(change.resource.clone()), ..refusal }, &secrets)
        })
    }

    /// The change that is next. Nothing is done twice.
    fn change(&self, number: u32) -> Result<Change> {
        let what = format!("carry out change {number}");
        let fault = |why: &str| {
            Refusal::new(HostCode::ActFailed, what.clone(), why, "this is a fault of haus; report it")
        };
        let Some(writer) = &self.writer else { return Err(fault("no apply has begun in this session")) };
        let journal = &writer.journal;
        if journal.started.contains_key(&number) {
            return Err(fault("it was carried out already"));
        }
        let change = journal.head.begin.changes.iter().find(|change| change.number == number);
        change.cloned().ok_or_else(|| fault("the apply has no such change"))
    }

    fn carry_out(
        &mut self,
        change: &Change,
        secrets: &BTreeMap<SecretVersion, Secret>,
        sink: &mut dyn FnMut(Progress),
    ) -> Result<Done> {
        let begun = Instant::now();
        let manifest = self.manifest()?;
        let before = self.state(&change.spec, &manifest);
        self.expect_unmoved(change, &before)?;
        let armed_until = self.guard(change, sink)?;
        let entry = manifest.entries.get(&change.resource).cloned();
        // A folder that has to go is tried even though it may stay when it is not empty, and a unit that is
        // let go reads again.
        let tries = match change.act {
            ActKind::Remove => matches!(before, State::Directory { .. }),
            ActKind::Forget => let_go_verb(&change.spec, &before).is_some(),
            ActKind::Create | ActKind::Update => false,
        };
        let nothing_to_do = !tries && is_there(change.act, &change.spec, &before);
        let salt = manifest::salt(&self.layout);
        let (house, layout) = (self.house.clone(), self.layout.clone());
        let apply = self.apply_id();
        let mut job = Job {
            machine: self.machine,
            layout: &layout,
            house: house.as_str(),
            apply: &apply,
            number: change.number,
            before: &before,
            accounts: self.accounts(),
            secrets,
            salt: &salt,
            sink,
        };
        let kept = if nothing_to_do { Note::default() } else { note(&mut job, change.act, &change.spec)? };
        let start = Start { number: change.number, note: kept.clone(), entry: entry.clone() };
        write(&mut self.writer, Line::Start(start))?;
        let made =
            if nothing_to_do { Ok(Made::default()) } else { carry_out(&mut job, change.act, &change.spec) };
        let sink = job.sink;
        let outcome = made.and_then(|made| {
            let entry = self.entry(change, entry.as_ref(), &made);
            let after = self.look(change, &manifest, entry.as_ref())?;
            Ok((made, entry, after))
        });
        let (made, entry, after) = match outcome {
            Ok(outcome) => outcome,
            Err(refusal) => return Err(self.failed(change, &kept, refusal, sink)),
        };
        let done = DoneLine { number: change.number, entry, after: after.clone(), came: made.came };
        write(&mut self.writer, Line::Done(done))?;
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let notes = made.notes.into_iter().chain(exposure(change, &before, &manifest)).collect();
        let (number, changed) = (change.number, !nothing_to_do);
        Ok(Done { number, changed, after, notes, took_ms, armed_until })
    }

    fn apply_id(&self) -> String {
        self.writer.as_ref().map(|writer| writer.journal.apply().to_owned()).unwrap_or_default()
    }

    /// Something may have changed since the beginning, by somebody else or by an earlier change with wide
    /// effects.
    fn expect_unmoved(&self, change: &Change, before: &State) -> Result<()> {
        let wide = self.writer.as_ref().is_some_and(|writer| {
            let changes = &writer.journal.head.begin.changes;
            let done = |change: &&Change| writer.journal.done.contains_key(&change.number);
            changes.iter().filter(done).any(|change| has_wide_effects(&change.spec))
        });
        if wide || same(change, before) || is_there(change.act, &change.spec, before) {
            return Ok(());
        }
        let what = format!("change {}", change.resource);
        Err(Refusal::new(HostCode::Moved, what, "somebody changed it after the apply began", PLAN_AGAIN))
    }

    fn guard(&self, change: &Change, sink: &mut dyn FnMut(Progress)) -> Result<Option<Timestamp>> {
        if !change.guarded {
            return Ok(None);
        }
        let guard_s = self.writer.as_ref().map_or(0, |writer| writer.journal.head.begin.guard_s);
        let (house, apply) = (self.house.as_str(), self.apply_id());
        deadman::arm(self.machine, &self.layout, house, &apply, guard_s, sink).map(Some)
    }

    /// What the manifest says afterwards.
    fn entry(&self, change: &Change, before: Option<&ManifestEntry>, made: &Made) -> Option<ManifestEntry> {
        match change.act {
            ActKind::Remove | ActKind::Forget => None,
            ActKind::Create | ActKind::Update => {
                let was_made = before.map_or(change.act == ActKind::Create, |entry| entry.made);
                let noted = before.and_then(|entry| entry.inputs);
                let inputs = made.inputs.or_else(|| inputs_of(&change.spec)).or(noted);
                Some(ManifestEntry { spec: change.spec.clone(), made: was_made, inputs })
            }
        }
    }

    /// Looks whether it is true now.
    fn look(&self, change: &Change, manifest: &Manifest, entry: Option<&ManifestEntry>) -> Result<State> {
        let mut manifest = manifest.clone();
        manifest::set(&mut manifest, &change.resource, entry.cloned());
        let after = self.state(&change.spec, &manifest);
        if let Spec::Unit(spec) = &change.spec {
            // What a unit does after its start is proven by health; here only the files of systemd could be
            // new again.
            return match change.act {
                ActKind::Create | ActKind::Update => unit::verify(spec, &after),
                ActKind::Remove => unit::verify(&unit::gone(spec), &after),
                ActKind::Forget => Ok(()),
            }
            .map(|()| after);
        }
        if is_there(change.act, &change.spec, &after) {
            return Ok(after);
        }
        let why = "it was done, and yet it is not so";
        let remedy = "look at it on the host; something else may be changing it";
        let found = serde_json::to_string(&after).unwrap_or_default();
        Err(Refusal::new(HostCode::ActFailed, format!("change {}", change.resource), why, remedy)
            .with_evidence([found]))
    }

    /// Takes back what failed, and says so when that did not work either.
    fn failed(
        &mut self,
        change: &Change,
        kept: &Note,
        refusal: Refusal,
        sink: &mut dyn FnMut(Progress),
    ) -> Refusal {
        let left = self.undo(sink).single(kept);
        let (number, why) = (change.number, refusal.to_string());
        let written = match &left {
            None => write(&mut self.writer, Line::Undone { number, why }),
            Some(left) => {
                write(&mut self.writer, Line::Left { number, why: format!("{why}; not taken back: {left}") })
            }
        };
        let more = left.into_iter().chain(written.err().map(|error| error.to_string()));
        let more: Vec<String> = more.map(|why| format!("not taken back: {why}")).collect();
        refusal.with_evidence(more)
    }

    pub(super) fn confirm(&self, apply: &str) -> Result<()> {
        if self.writer.as_ref().is_some_and(|writer| writer.journal.apply() == apply) {
            let why = "this connection is older than the change";
            let remedy = "this is a fault of haus; report it";
            return Err(Refusal::new(
                HostCode::NotConfirmed,
                format!("confirm the apply {apply}"),
                why,
                remedy,
            ));
        }
        deadman::confirm(self.machine, &self.layout, self.house.as_str(), apply)
    }

    pub(super) fn finish(&mut self, ending: Ending, sink: &mut dyn FnMut(Progress)) -> Result<Finished> {
        let what = "end the apply";
        let Some(writer) = self.writer.take() else {
            let remedy = "this is a fault of haus; report it";
            return Err(Refusal::new(
                HostCode::ActFailed,
                what,
                "no apply has begun in this session",
                remedy,
            ));
        };
        let apply = writer.journal.apply().to_owned();
        let armed = deadman::holds(&self.layout, &apply);
        let outcome = match ending {
            Ending::RollBack => {
                let journal = writer.journal;
                return roll_back(&mut self.undo(sink), journal, Outcome::RolledBack);
            }
            Ending::Commit | Ending::Stop if armed => {
                self.writer = Some(writer);
                let why = "a change that could lock us out was not confirmed over a new connection";
                let remedy = "confirm it, or wait until the host takes it back";
                return Err(Refusal::new(HostCode::NotConfirmed, what, why, remedy));
            }
            Ending::Commit => Outcome::Committed,
            Ending::Stop => Outcome::Stopped,
        };
        end(self.machine, &self.layout, self.house.as_str(), writer, outcome)?;
        Ok(Finished { apply, outcome, left: Vec::new() })
    }

    pub(super) fn roll_back(
        &mut self,
        claim: &Claim,
        apply: Option<String>,
        sink: &mut dyn FnMut(Progress),
    ) -> Result<Finished> {
        // Who names the apply that is open there is its own haus, over a new road.
        self.claim_from(claim, apply.as_deref(), LOST_WITHIN)?;
        self.writer = None;
        clear_left_over(&mut self.undo(sink))?;
        let what = "take the last apply back";
        let fault = |why: String| {
            Refusal::new(
                HostCode::ActFailed,
                what,
                why,
                "look at `haus history`; only the last one that stands can be taken back",
            )
        };
        let nothing = || fault("nothing was applied here that still stands".to_owned());
        let journal = last_standing(&self.layout).ok_or_else(nothing)?;
        if let Some(apply) = apply.filter(|apply| apply != journal.apply()) {
            return Err(fault(format!("the last one is {}, not {apply}", journal.apply())));
        }
        if journal.end.is_some() {
            self.expect_as_left(&journal)?;
        }
        roll_back(&mut self.undo(sink), journal, Outcome::RolledBack)
    }

    /// What somebody has changed since is not thrown away.
    fn expect_as_left(&self, journal: &crate::journal::Journal) -> Result<()> {
        let manifest = self.manifest()?;
        let changes = journal.head.begin.changes.iter();
        let done: Vec<(&Change, &State)> = changes
            .filter_map(|change| Some((change, &journal.done.get(&change.number)?.after)))
            .filter(|(change, _)| is_ours_alone(change.spec.kind()))
            .collect();
        let states = self.states(done.iter().map(|(change, _)| &change.spec), &manifest);
        let as_left =
            |change: &Change, after: &State| states.get(&change.resource).is_some_and(|is| alike(is, after));
        let moved: Vec<String> = done
            .iter()
            .filter(|(change, after)| !as_left(change, after))
            .map(|(change, _)| change.resource.to_string())
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        let why = format!("{} of its resources were changed since", moved.len());
        let remedy = "bring them back by hand, or correct the plan and apply it";
        Err(Refusal::new(HostCode::Moved, "take the last apply back", why, remedy).with_evidence(moved))
    }
}

fn write(writer: &mut Option<Writer>, line: Line) -> Result<()> {
    writer.as_mut().expect("an apply has begun: its change was looked up").write(line)
}

fn is_there(act: ActKind, spec: &Spec, state: &State) -> bool {
    match act {
        ActKind::Create | ActKind::Update => is_made(spec, state),
        ActKind::Remove => is_removed(spec, state),
        ActKind::Forget => true,
    }
}

fn inputs_of(spec: &Spec) -> Option<haus_model::Fingerprint> {
    match spec {
        Spec::Command(spec) => Some(spec.inputs),
        Spec::Unit(spec) => Some(spec.inputs),
        Spec::Health(spec) => Some(spec.inputs),
        Spec::Packages(_)
        | Spec::Holds(_)
        | Spec::Group(_)
        | Spec::User(_)
        | Spec::Keys(_)
        | Spec::Directory(_)
        | Spec::File(_)
        | Spec::Link(_)
        | Spec::Release(_)
        | Spec::Switch(_)
        | Spec::Sysctl(_) => None,
    }
}

/// How open to attacks a service is that was just started from a unit file of ours.
fn exposure(change: &Change, before: &State, manifest: &Manifest) -> Option<String> {
    let Spec::Unit(spec) = &change.spec else { return None };
    let started = match change.act {
        ActKind::Create | ActKind::Update => {
            let starts = |verb: &UnitVerb| matches!(verb, UnitVerb::Start | UnitVerb::Restart);
            unit_verbs(spec, before).1.iter().any(starts)
        }
        ActKind::Remove | ActKind::Forget => false,
    };
    let file = ResourceId::new(Kind::File, unit_path(&spec.name).display());
    let is_ours = spec.name.ends_with(".service") && manifest.entries.contains_key(&file);
    if started && is_ours { unit::exposure(&spec.name) } else { None }
}

/// Kinds whose change makes other resources appear or change.
fn has_wide_effects(spec: &Spec) -> bool {
    match spec.kind() {
        Kind::Packages | Kind::Command | Kind::User | Kind::Unit | Kind::Release | Kind::Group => true,
        Kind::Holds
        | Kind::Keys
        | Kind::Directory
        | Kind::File
        | Kind::Link
        | Kind::Switch
        | Kind::Sysctl
        | Kind::Health => false,
    }
}

/// Kinds that nobody changes but us and people.
fn is_ours_alone(kind: Kind) -> bool {
    match kind {
        Kind::Keys | Kind::Directory | Kind::File | Kind::Link | Kind::Switch | Kind::Sysctl => true,
        Kind::Packages
        | Kind::Holds
        | Kind::Group
        | Kind::User
        | Kind::Release
        | Kind::Command
        | Kind::Unit
        | Kind::Health => false,
    }
}

/// Whether a resource is what the plan was made for. What runs, runs by itself: units are compared by what
/// has to be done.
fn same(change: &Change, is: &State) -> bool {
    match (&change.before, is) {
        (State::Unit { .. } | State::Absent, State::Unit { .. } | State::Absent)
            if matches!(change.spec, Spec::Unit(_)) =>
        {
            true
        }
        (before, is) => alike(before, is),
    }
}

fn alike(one: &State, other: &State) -> bool {
    // Our own files come into a folder while an apply goes on.
    if let (State::Directory { access: one, .. }, State::Directory { access: other, .. }) = (one, other) {
        return one == other;
    }
    // Old releases are pruned when an apply ends.
    if let (State::Releases { current: one, .. }, State::Releases { current: other, .. }) = (one, other) {
        return one == other;
    }
    let id = ResourceId::new(Kind::File, "");
    fingerprint_of([(&id, one)]) == fingerprint_of([(&id, other)])
}

/// A command of the plan may print what it was given.
fn hide(text: &str, secrets: &BTreeMap<SecretVersion, Secret>) -> String {
    let mut text = text.to_owned();
    for secret in secrets.values() {
        if let Ok(value) = std::str::from_utf8(secret.expose_bytes())
            && value.trim().len() >= HIDDEN_BYTES_MIN
        {
            text = text.replace(value.trim(), "[hidden]");
        }
    }
    text
}

fn hidden_progress(progress: Progress, secrets: &BTreeMap<SecretVersion, Secret>) -> Progress {
    match progress {
        Progress::Run(argv) => Progress::Run(argv),
        Progress::Step(text) => Progress::Step(hide(&text, secrets)),
        Progress::Line(text) => Progress::Line(hide(&text, secrets)),
    }
}

fn hidden(refusal: Refusal, secrets: &BTreeMap<SecretVersion, Secret>) -> Refusal {
    let evidence = refusal.evidence.iter().map(|line| hide(line, secrets)).collect();
    Refusal { why: hide(&refusal.why, secrets), evidence, ..refusal }
}
