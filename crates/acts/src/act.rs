//! Making one thing true: a file per kind, each with the note that takes it back and the act itself.
//!
//! An act starts from what was just observed, does what `haus_model::operation` says, and is looked at again
//! afterwards. It neither decides whether it should be done nor writes the journal.

mod accounts;
pub(crate) mod command;
mod file;
mod folder;
mod health;
mod holds;
mod keys;
mod link;
pub(crate) mod packages;
pub(crate) mod release;
pub(crate) mod sysctl;
pub(crate) mod unit;

use crate::account::Accounts;
use crate::journal::note::{Also, Keeper, Note};
use crate::machine::{Layout, Machine};
use crate::refusal::Result;
use crate::run::{Order, Ran, Sink, run};
use crate::wire::{Progress, Refusal};
use haus_model::change::ActKind;
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::operation::let_go_verb;
use haus_model::resource::{SecretVersion, Spec};
use haus_model::{Fingerprint, Secret};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that an act needs to know.
pub(crate) struct Job<'a> {
    /// The machine.
    pub(crate) machine: &'a Machine,
    /// Our folders.
    pub(crate) layout: &'a Layout,
    /// The house.
    pub(crate) house: &'a str,
    /// The apply.
    pub(crate) apply: &'a str,
    /// The change.
    pub(crate) number: u32,
    /// What was just observed.
    pub(crate) before: &'a State,
    /// Accounts as they are.
    pub(crate) accounts: Accounts,
    /// Values of credentials.
    pub(crate) secrets: &'a BTreeMap<SecretVersion, Secret>,
    /// Makes fingerprints of secrets worthless elsewhere.
    pub(crate) salt: &'a [u8],
    /// Where progress goes.
    pub(crate) sink: Sink<'a>,
}

/// What came of an act.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// What the manifest remembers as read, done or proven.
    pub(crate) inputs: Option<Fingerprint>,
    /// What is worth telling.
    pub(crate) notes: Vec<String>,
    /// Packages that came.
    pub(crate) came: BTreeSet<String>,
}

impl Job<'_> {
    fn keeper(&self) -> Keeper<'_> {
        Keeper { machine: self.machine, backups: self.layout.backups(self.apply), number: self.number }
    }

    fn step(&mut self, text: impl Into<String>) {
        (self.sink)(Progress::Step(text.into()));
    }

    /// A command of the system that must end well.
    fn system(&mut self, argv: &[String], within: Duration, remedy: &str) -> Result<Ran> {
        let order = Order { mark: self.layout.mark(), ..Order::new(argv, within) };
        run(&order, self.sink)?.expect_good(&order, remedy)
    }

    fn secret(&self, version: &SecretVersion) -> Result<&Secret> {
        self.secrets.get(version).ok_or_else(|| {
            let what = format!("take credential {}, version {}", version.credential, version.version);
            Refusal::new(
                HostCode::ActFailed,
                what,
                "its value was not sent",
                "this is a fault of haus; report it",
            )
        })
    }
}

/// How a change is taken back; what has to be kept for that is on disk afterwards.
pub(crate) fn note(job: &mut Job<'_>, act: ActKind, spec: &Spec) -> Result<Note> {
    if act == ActKind::Forget && let_go_verb(spec, job.before).is_none() {
        return Ok(Note::default());
    }
    match spec {
        Spec::Packages(_) => packages::note(),
        Spec::Holds(spec) => Ok(holds::note(job, act, spec)),
        Spec::Group(spec) => Ok(accounts::note_group(job, spec)),
        Spec::User(spec) => Ok(accounts::note_user(job, spec)),
        Spec::Keys(spec) => keys::note(job, spec),
        Spec::Directory(spec) => folder::note(job, act, spec),
        Spec::File(spec) => file::note(job, spec),
        Spec::Link(spec) => {
            Ok(Note { paths: vec![job.keeper().keep(&spec.path, false)?], also: Also::Nothing })
        }
        Spec::Release(spec) => release::note(job, act, spec),
        Spec::Switch(spec) => release::note_switch(job, spec),
        Spec::Sysctl(spec) => sysctl::note(job, spec),
        Spec::Command(_) => Ok(command::note(job)),
        Spec::Unit(spec) => Ok(unit::note(job, spec)),
        Spec::Health(_) => Ok(Note::default()),
    }
}

/// Makes it true, or takes it away.
pub(crate) fn carry_out(job: &mut Job<'_>, act: ActKind, spec: &Spec) -> Result<Made> {
    match act {
        ActKind::Create | ActKind::Update => make(job, spec),
        ActKind::Remove => remove(job, spec),
        ActKind::Forget => match let_go_verb(spec, job.before) {
            Some(verb) => unit::let_go(job, spec.id().name(), verb),
            None => Ok(Made::default()),
        },
    }
}

fn make(job: &mut Job<'_>, spec: &Spec) -> Result<Made> {
    match spec {
        Spec::Packages(spec) => packages::install(job, spec),
        Spec::Holds(spec) => holds::hold(job, spec),
        Spec::Group(spec) => accounts::make_group(job, spec),
        Spec::User(spec) => accounts::make_user(job, spec),
        Spec::Keys(spec) => keys::write(job, spec),
        Spec::Directory(spec) => folder::make(job, spec),
        Spec::File(spec) => file::write(job, spec),
        Spec::Link(spec) => link::make(job, spec),
        Spec::Release(spec) => release::build(job, spec),
        Spec::Switch(spec) => release::switch(job, spec),
        Spec::Sysctl(spec) => sysctl::set(job, spec),
        Spec::Command(spec) => command::run_it(job, spec),
        Spec::Unit(spec) => unit::make(job, spec),
        Spec::Health(spec) => health::prove(job, spec),
    }
}

fn remove(job: &mut Job<'_>, spec: &Spec) -> Result<Made> {
    match spec {
        Spec::Packages(spec) => packages::remove(job, spec),
        Spec::Holds(_) => holds::unhold(job),
        Spec::Group(spec) => accounts::remove_group(job, spec),
        Spec::User(spec) => accounts::remove_user(job, spec),
        Spec::Keys(spec) => keys::remove(job, spec),
        Spec::Directory(spec) => folder::remove(job, spec),
        Spec::File(spec) => file::remove(job, &spec.path),
        Spec::Link(spec) => link::remove(job, spec),
        Spec::Release(spec) => release::remove(job, spec),
        Spec::Switch(spec) => release::remove_switch(job, spec),
        Spec::Sysctl(spec) => sysctl::remove(job, spec),
        Spec::Command(_) | Spec::Health(_) => Ok(Made::default()),
        Spec::Unit(spec) => unit::remove(job, spec),
    }
}
