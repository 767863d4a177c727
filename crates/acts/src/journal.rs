//! What an apply has done, on disk before it is done: one file of JSON lines per apply.
//!
//! The journal is what makes an apply interruptible anywhere. It knows lines and their order; what they mean
//! for the machine is known by `recover` and `act`.

pub(crate) mod history;
pub(crate) mod lock;
pub(crate) mod manifest;
pub(crate) mod note;
pub(crate) mod recover;
pub(crate) mod undo;

use crate::disk;
use crate::machine::Layout;
use crate::refusal::{Attempt as _, Result};
use crate::wire::{Begin, Outcome, Refusal};
use haus_model::Timestamp;
use haus_model::host_code::HostCode;
use haus_model::inventory::{ManifestEntry, State};
use note::{Also, Note, UnitWas};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;

/// The version of the format of a journal.
const FORMAT: u32 = 1;

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Line {
    /// The first one.
    Begin(Box<Head>),
    /// A change begins.
    Start(Start),
    /// It is done.
    Done(DoneLine),
    /// It is taken back.
    Undone {
        /// Its number.
        number: u32,
        /// Why.
        why: String,
    },
    /// It could not be taken back, or not wholly.
    Left {
        /// Its number.
        number: u32,
        /// Why.
        why: String,
    },
    /// All of it is to be taken back; an apply that had ended is open again.
    RollBack {
        /// How it will end.
        outcome: Outcome,
    },
    /// The last one.
    End {
        /// How.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
}

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Version of the format.
    pub(crate) format: u32,
    /// The request.
    pub(crate) begin: Begin,
    /// When it came.
    pub(crate) began: Timestamp,
    /// The program that carries it out.
    pub(crate) program: PathBuf,
}

/// A change that begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Its number.
    pub(crate) number: u32,
    /// How it is taken back.
    pub(crate) note: Note,
    /// The manifest's entry as it was.
    pub(crate) entry: Option<ManifestEntry>,
}

/// A change that is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DoneLine {
    /// Its number.
    pub(crate) number: u32,
    /// The manifest's entry as it is.
    pub(crate) entry: Option<ManifestEntry>,
    /// What is there.
    pub(crate) after: State,
    /// Packages that came, also those that nobody named.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) came: BTreeSet<String>,
}

/// A journal as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    /// What was asked for.
    pub(crate) head: Head,
    /// Changes that began and were not taken back, by number.
    pub(crate) started: BTreeMap<u32, Start>,
    /// Changes that are done and were not taken back, by number.
    pub(crate) done: BTreeMap<u32, DoneLine>,
    /// Entries of the manifest as they were, of changes that were taken back.
    pub(crate) undone: BTreeMap<u32, Option<ManifestEntry>>,
    /// Units of changes that began, also of those that were taken back, in order.
    pub(crate) units: Vec<UnitWas>,
    /// Set while all of it is taken back.
    pub(crate) rolls_back: Option<Outcome>,
    /// What could not be taken back.
    pub(crate) left: Vec<(u32, String)>,
    /// The first fault, in words.
    pub(crate) fault: Option<String>,
    /// How it ended, and when.
    pub(crate) end: Option<(Outcome, Timestamp)>,
}

impl Journal {
    /// The id of the apply.
    pub(crate) fn apply(&self) -> &str {
        &self.head.begin.apply
    }

    /// The change that began and is not done.
    pub(crate) fn under_way(&self) -> Option<&Start> {
        self.started.values().find(|start| !self.done.contains_key(&start.number))
    }

    fn new(head: Head) -> Journal {
        let (started, done) = (BTreeMap::new(), BTreeMap::new());
        let (undone, units, left) = (BTreeMap::new(), Vec::new(), Vec::new());
        Journal { head, started, done, undone, units, rolls_back: None, left, fault: None, end: None }
    }

    /// What a line means for the whole.
    pub(crate) fn take(&mut self, line: Line) {
        match line {
            Line::Begin(_) => {}
            Line::Start(start) => {
                if let Also::Unit(unit) = &start.note.also {
                    self.units.push(unit.clone());
                }
                self.started.insert(start.number, start);
            }
            Line::Done(done) => drop(self.done.insert(done.number, done)),
            Line::Undone { number, why } => {
                if let Some(start) = self.started.remove(&number) {
                    self.undone.insert(number, start.entry);
                }
                self.done.remove(&number);
                self.fault.get_or_insert(why);
            }
            Line::Left { number, why } => {
                self.started.remove(&number);
                self.left.push((number, why));
            }
            Line::RollBack { outcome } => {
                self.end = None;
                self.rolls_back = Some(outcome);
            }
            Line::End { outcome, at } => self.end = Some((outcome, at)),
        }
    }

    /// Reads one. Lines behind an incomplete one were never on disk when something was done for them.
    pub(crate) fn read(layout: &Layout, apply: &str) -> Result<Journal> {
        let path = layout.journal(apply);
        let text = fs::read(&path).attempt("read", &path)?;
        let mut lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let mut read = || lines.next().and_then(|line| serde_json::from_slice::<Line>(line).ok());
        let Some(Line::Begin(head)) = read() else {
            let why = "its first line cannot be read";
            let remedy = "move the file away when you know what it was; the next plan shows what is there";
            return Err(Refusal::new(HostCode::ActFailed, format!("read {}", path.display()), why, remedy));
        };
        let mut journal = Journal::new(*head);
        while let Some(line) = read() {
            journal.take(line);
        }
        Ok(journal)
    }
}

/// Ids of all applies, the latest first. A journal without a complete first line never began.
pub(crate) fn applies(layout: &Layout) -> Vec<String> {
    let entries = fs::read_dir(layout.journals()).into_iter().flatten().flatten();
    let id = |name: std::ffi::OsString| Some(name.to_str()?.strip_suffix(".jsonl")?.to_owned());
    let ids = entries.filter_map(|entry| id(entry.file_name()));
    // One that had not got its name yet begins with a dot.
    let mut ids: Vec<String> = ids.filter(|id| !id.starts_with('.')).collect();
    ids.sort_unstable_by(|one, other| other.cmp(one));
    ids
}

/// The last apply. One whose first line is not whole did nothing and is passed over.
pub(crate) fn last(layout: &Layout) -> Option<Journal> {
    applies(layout).iter().find_map(|apply| Journal::read(layout, apply).ok())
}

/// The last apply that was not taken back.
pub(crate) fn last_standing(layout: &Layout) -> Option<Journal> {
    let journals = applies(layout).into_iter().filter_map(|apply| Journal::read(layout, &apply).ok());
    let mut standing = journals.filter(|journal| match journal.end {
        Some((Outcome::RolledBack | Outcome::Reverted, _)) => false,
        Some((Outcome::Open | Outcome::Committed | Outcome::Stopped | Outcome::Interrupted, _)) | None => {
            true
        }
    });
    standing.next()
}

/// The last apply when it did not end.
pub(crate) fn open(layout: &Layout) -> Option<Journal> {
    last(layout).filter(|journal| journal.end.is_none())
}

/// A journal that is written to, with what it says so far.
pub(crate) struct Writer {
    file: File,
    path: PathBuf,
    /// As a reader would find it.
    pub(crate) journal: Journal,
}

impl Writer {
    /// Of an apply that begins.
    pub(crate) fn create(
        layout: &Layout,
        begin: Begin,
        program: PathBuf,
        began: Timestamp,
    ) -> Result<Writer> {
        let head = Head { format: FORMAT, begin, began, program };
        let path = layout.journal(&head.begin.apply);
        disk::make_own_folder(&layout.journals())?;
        if path.exists() {
            let what = format!("begin the apply {}", head.begin.apply);
            return Err(Refusal::new(
                HostCode::ActFailed,
                what,
                "there was one of that id already",
                "apply again",
            ));
        }
        let line = text_of(&Line::Begin(Box::new(head.clone())));
        disk::write_own(&path, &line)?;
        Writer::reopen(path, Journal::new(head))
    }

    /// Of one that is there. What stands behind its last whole line is cut off.
    pub(crate) fn open(layout: &Layout, journal: Journal) -> Result<Writer> {
        let path = layout.journal(journal.apply());
        let text = fs::read(&path).attempt("read", &path)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            disk::write_own(&path, &text[..whole])?;
        }
        Writer::reopen(path, journal)
    }

    fn reopen(path: PathBuf, journal: Journal) -> Result<Writer> {
        let file = OpenOptions::new().append(true).open(&path).attempt("open", &path)?;
        Ok(Writer { file, path, journal })
    }

    /// Writes a line; it is on disk afterwards.
    pub(crate) fn write(&mut self, line: Line) -> Result<()> {
        disk::append(&mut self.file, &text_of(&line), &self.path)?;
        self.journal.take(line);
        Ok(())
    }
}

fn text_of(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).expect("a line is plain data with text as keys");
    text.push(b'\n');
    text
}
