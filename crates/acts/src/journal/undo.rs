//! Taking changes back by their notes: one that failed, or all of an apply in reverse.

use super::note::{Also, Known, Note, UserWas};
use super::{DoneLine, Line, Writer};
use crate::account::Accounts;
use crate::act::packages::{self, Tool};
use crate::act::release::home_of;
use crate::act::sysctl::write_value;
use crate::act::unit;
use crate::disk;
use crate::machine::{Layout, Machine};
use crate::observe::{CURRENT, RELEASES};
use crate::refusal::Result;
use crate::run::{Order, Sink, run};
use crate::wire::{Left, Progress};
use haus_model::argv;
use haus_model::change::Change;
use haus_model::operation::{release_folder, release_note};
use haus_model::resource::{ResourceId, Spec};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(120);
const REMEDY: &str = "see the output";

/// What taking back needs to know.
pub(crate) struct Undo<'a> {
    /// The machine.
    pub(crate) machine: &'a Machine,
    /// Our folders.
    pub(crate) layout: &'a Layout,
    /// The house.
    pub(crate) house: &'a str,
    /// Whether the machine is starting: then nothing may wait for systemd.
    pub(crate) booting: bool,
    /// Where progress goes.
    pub(crate) sink: Sink<'a>,
}

impl Undo<'_> {
    /// Takes back everything that a journal has begun, the last first. What cannot be taken back stays and is
    /// told.
    pub(crate) fn all(&mut self, writer: &mut Writer) -> Result<Vec<Left>> {
        let numbers: Vec<u32> = writer.journal.started.keys().rev().copied().collect();
        for number in numbers {
            let Some(start) = writer.journal.started.get(&number).cloned() else { continue };
            (self.sink)(Progress::Step(format!("take back change {number}")));
            let done = writer.journal.done.get(&number).cloned();
            let outcome = self.one(&start.note, &Known { done: done.as_ref() });
            writer.write(line_of(number, &outcome, "it was taken back"))?;
        }
        let lost = writer.journal.left.iter();
        let mut left: Vec<Left> = lost.map(|(number, why)| left_of(writer, *number, why)).collect();
        self.tell_systemd(&writer.journal.head.begin.changes);
        // After an interruption as well, so of all changes and not only of those that were just taken back.
        let units = &writer.journal.units;
        for (unit, refusal) in unit::again(self.layout.mark(), units, self.booting, self.sink) {
            let resource = ResourceId::new(haus_model::resource::Kind::Unit, unit);
            left.push(Left { resource, why: refusal.to_string() });
        }
        Ok(left)
    }

    /// A unit whose file was there in between is not as it was before systemd has read the old one again, be
    /// it that no change of the unit itself was reached.
    pub(crate) fn tell_systemd(&mut self, changes: &[Change]) {
        let is_unit_file =
            |change: &Change| path_of(&change.spec).is_some_and(|path| path.starts_with("/etc/systemd"));
        let is_there = self.machine.is_real() && Path::new("/run/systemd/system").is_dir();
        if is_there && changes.iter().any(is_unit_file) {
            // Whoever looks afterwards finds what it did not do.
            let _ = self.run(&argv::daemon_reload());
        }
    }

    /// Takes back one change that failed or was under way. The text says what could not be. A unit that ran
    /// before is not started again: what it reads is not yet as it was, and who takes the rest back wakes it.
    pub(crate) fn single(&mut self, note: &Note) -> Option<String> {
        text_of(&self.one(note, &Known { done: None }))
    }

    fn one(&mut self, note: &Note, known: &Known<'_>) -> Result<Option<String>> {
        let mut left: Vec<String> = Vec::new();
        match self.also(&note.also, known.done) {
            Ok(why) => left.extend(why),
            // The paths come back all the same.
            Err(refusal) => left.push(refusal.to_string()),
        }
        for path in note.paths.iter().rev() {
            match path.bring_back() {
                Ok(why) => left.extend(why),
                Err(refusal) => left.push(refusal.to_string()),
            }
        }
        Ok((!left.is_empty()).then(|| left.join("; ")))
    }

    fn also(&mut self, also: &Also, done: Option<&DoneLine>) -> Result<Option<String>> {
        match also {
            Also::Nothing => Ok(None),
            Also::Never(why) => Ok(Some(why.clone())),
            Also::Packages { before } => {
                let tool = Tool { layout: self.layout };
                packages::take_back(&tool, before, done.map(|done| &done.came), self.sink)
            }
            Also::Holds { held, unheld } => {
                if !held.is_empty() {
                    self.run(&argv::apt_unhold(held))?;
                }
                if !unheld.is_empty() {
                    self.run(&argv::apt_hold(unheld))?;
                }
                Ok(None)
            }
            Also::Group { name, gid } => self.group(name, *gid),
            Also::User { name, was } => self.user(name, was.as_ref()),
            Also::Sysctl { path, value } => write_value(path, value).map(|()| None),
            Also::Release { root, id } => release(root, id),
            Also::Unit(was) => unit::take_back(self.layout.mark(), was, self.booting, self.sink),
        }
    }

    fn run(&mut self, argv: &[String]) -> Result<()> {
        let order = Order { mark: self.layout.mark(), ..Order::new(argv, WITHIN) };
        run(&order, self.sink)?.expect_good(&order, REMEDY).map(drop)
    }

    fn group(&mut self, name: &str, gid: Option<u32>) -> Result<Option<String>> {
        let is = Accounts::read(self.machine).gid(name);
        match (gid, is) {
            (None, Some(_)) => self.run(&argv::groupdel(name))?,
            (Some(gid), None) => {
                let mut argv = argv::groupadd(name, false);
                argv.splice(1..1, ["--gid".to_owned(), gid.to_string()]);
                self.run(&argv)?;
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        Ok(None)
    }

    fn user(&mut self, name: &str, was: Option<&UserWas>) -> Result<Option<String>> {
        let is = Accounts::read(self.machine).user(name);
        match (was, is) {
            (None, None) => Ok(None),
            (None, Some(account)) => {
                self.run(&argv::userdel(name))?;
                Ok(skeleton(&self.machine.at(&account.home), &self.machine.at(Path::new("/etc/skel"))))
            }
            (Some(was), is) => {
                let spec = haus_model::resource::UserSpec {
                    name: name.to_owned(),
                    uid: Some(was.uid),
                    system: false,
                    group: was.group.clone(),
                    groups: was.groups.clone(),
                    leaves: BTreeSet::new(),
                    home: was.home.clone(),
                    make_home: false,
                    shell: was.shell.clone(),
                };
                if is.is_none() {
                    self.run(&argv::useradd(&spec))?;
                    return Ok(Some("its password, if it had one, is gone".to_owned()));
                }
                let change = argv::UserChange {
                    uid: is.filter(|is| is.uid != was.uid).map(|_| was.uid),
                    group: Some(&was.group),
                    joins: BTreeSet::new(),
                    leaves: BTreeSet::new(),
                    home: Some(&was.home),
                    shell: Some(&was.shell),
                };
                if let Some(argv) = argv::usermod(name, &change) {
                    self.run(&argv)?;
                }
                self.run(&argv::usermod_groups(name, &was.groups)).map(|()| None)
            }
        }
    }
}

/// Removes a release that was made, and what it was made in.
fn release(root: &Path, id: &str) -> Result<Option<String>> {
    if !root.join(RELEASES).exists() {
        return Ok(None);
    }
    disk::remove_tree(&home_of(root, id))?;
    if fs::read_link(root.join(CURRENT)).is_ok_and(|target| target.ends_with(id)) {
        return Ok(Some(format!("release {id} is the current one")));
    }
    disk::remove(&release_note(root, id))?;
    disk::remove_tree(&release_folder(root, id)).map(|()| None)
}

/// Removes a home in which nothing stands but what it was made with.
fn skeleton(home: &Path, skel: &Path) -> Option<String> {
    if !home.is_dir() || !skel.is_dir() {
        return None;
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let same = fs::read(entry.path()).ok() == fs::read(skel.join(entry.file_name())).ok();
        if !same || entry.path().is_dir() {
            return Some(format!("the home {} is not empty, so it stays", home.display()));
        }
        names.push(entry.path());
    }
    let removed = names.iter().try_for_each(fs::remove_file).and_then(|()| fs::remove_dir(home));
    removed.err().map(|error| format!("the home {}: {error}", home.display()))
}

fn text_of(outcome: &Result<Option<String>>) -> Option<String> {
    match outcome {
        Ok(why) => why.clone(),
        Err(refusal) => Some(refusal.to_string()),
    }
}

fn line_of(number: u32, outcome: &Result<Option<String>>, why: &str) -> Line {
    match text_of(outcome) {
        None => Line::Undone { number, why: why.to_owned() },
        Some(why) => Line::Left { number, why },
    }
}

fn left_of(writer: &Writer, number: u32, why: &str) -> Left {
    let changes = &writer.journal.head.begin.changes;
    let resource =
        changes.iter().find(|change| change.number == number).map(|change| change.resource.clone());
    let resource = resource.unwrap_or_else(|| ResourceId::new(haus_model::resource::Kind::Command, number));
    Left { resource, why: why.to_owned() }
}

fn path_of(spec: &Spec) -> Option<&Path> {
    match spec {
        Spec::File(file) => Some(&file.path),
        Spec::Link(link) => Some(&link.path),
        Spec::Packages(_)
        | Spec::Holds(_)
        | Spec::Group(_)
        | Spec::User(_)
        | Spec::Keys(_)
        | Spec::Directory(_)
        | Spec::Release(_)
        | Spec::Switch(_)
        | Spec::Sysctl(_)
        | Spec::Command(_)
        | Spec::Unit(_)
        | Spec::Health(_) => None,
    }
}
