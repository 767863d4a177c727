//! How an apply ends, whoever ends it: committed, stopped, taken back, or found open and brought into order.

use super::note::Was;
use super::undo::Undo;
use super::{Journal, Line, Writer, applies, manifest, open};
use crate::act::command::credentials_root;
use crate::act::release::{forget_aside, prune};
use crate::deadman;
use crate::disk;
use crate::machine::{Layout, Machine, now};
use crate::observe::Observer;
use crate::refusal::Result;
use crate::run::end_left_over;
use crate::wire::{Finished, Outcome, Recovered};
use haus_model::inventory::Manifest;
use haus_model::resource::Spec;
use std::fs;
use std::time::Duration;

/// How long package tools of an earlier session may go on.
pub(crate) const LEFT_OVER_WITHIN: Duration = Duration::from_secs(45 * 60);

const JOURNALS_KEPT: usize = 10;
const BACKUPS_KEPT: usize = 3;
/// Programs that no session has used for so long are removed.
const PROGRAM_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Brings an apply into order that did not end. The lock must be held.
pub(crate) fn recover(undo: &mut Undo<'_>) -> Result<Recovered> {
    clear_left_over(undo)?;
    let Some(journal) = open(undo.layout) else {
        deadman::disarm(undo.machine, undo.layout, undo.house)?;
        return Ok(Recovered::Nothing);
    };
    let apply = journal.apply().to_owned();
    let unconfirmed = deadman::holds(undo.layout, &apply);
    if unconfirmed || journal.rolls_back.is_some() {
        let outcome = journal.rolls_back.unwrap_or(Outcome::Reverted);
        return roll_back(undo, journal, outcome).map(Recovered::TakenBack);
    }
    let under_way = journal.under_way().cloned();
    let mut writer = Writer::open(undo.layout, journal)?;
    let mut repaired = None;
    if let Some(start) = under_way {
        let left = undo.single(&start.note);
        let why = left.clone().unwrap_or_else(|| "it was interrupted, and is as it was before".to_owned());
        let number = start.number;
        writer.write(match left {
            None => Line::Undone { number, why: "it was interrupted".to_owned() },
            Some(why) => Line::Left { number, why },
        })?;
        let changes = &writer.journal.head.begin.changes;
        undo.tell_systemd(changes);
        let resource =
            changes.iter().find(|change| change.number == number).map(|change| change.resource.clone());
        repaired = resource.map(|resource| (resource, why));
    }
    end(undo.machine, undo.layout, undo.house, writer, Outcome::Interrupted)?;
    Ok(Recovered::Closed { apply, repaired })
}

/// Ends what runs for us and removes credentials of commands.
pub(crate) fn clear_left_over(undo: &mut Undo<'_>) -> Result<()> {
    end_left_over(undo.layout.mark(), LEFT_OVER_WITHIN, undo.sink)?;
    let begin = format!("{}-", undo.house);
    for entry in fs::read_dir(credentials_root(undo.machine)).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&begin) {
            disk::remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// Takes all of an apply back, also one that had ended.
pub(crate) fn roll_back(undo: &mut Undo<'_>, journal: Journal, outcome: Outcome) -> Result<Finished> {
    let mut writer = Writer::open(undo.layout, journal)?;
    writer.write(Line::RollBack { outcome })?;
    let left = undo.all(&mut writer)?;
    let apply = writer.journal.apply().to_owned();
    end(undo.machine, undo.layout, undo.house, writer, outcome)?;
    Ok(Finished { apply, outcome, left })
}

/// Ends an apply: manifest, last line, and what is not needed any longer.
pub(crate) fn end(
    machine: &Machine,
    layout: &Layout,
    house: &str,
    mut writer: Writer,
    outcome: Outcome,
) -> Result<Manifest> {
    let mut noted = manifest::with(manifest::read(layout)?, &writer.journal);
    let begin = &writer.journal.head.begin;
    let all_done = writer.journal.done.len() == begin.changes.len();
    match outcome {
        Outcome::Committed => {
            noted.ports.extend(begin.ports.clone());
            noted.applied = Some((begin.plan, now()));
        }
        // What was done there listens on these ports.
        Outcome::Stopped | Outcome::Interrupted => noted.ports.extend(begin.ports.clone()),
        Outcome::Open | Outcome::RolledBack | Outcome::Reverted => {}
    }
    manifest::write(layout, &noted)?;
    writer.write(Line::End { outcome, at: now() })?;
    deadman::disarm(machine, layout, house)?;
    // An apply that only lacks its end leaves nothing to do for the next one, which would prune otherwise.
    let is_whole = outcome == Outcome::Interrupted && all_done;
    if outcome == Outcome::Committed || is_whole {
        prune_releases(machine, layout, &noted)?;
    }
    remove_blobs(layout)?;
    tidy(machine, layout)?;
    Ok(noted)
}

/// Of all services, not only of those that this apply has switched: one that was interrupted after its switch
/// left too many.
fn prune_releases(machine: &Machine, layout: &Layout, noted: &Manifest) -> Result<()> {
    let salt = manifest::salt(layout);
    let observer = Observer { machine, mark: layout.mark(), manifest: noted, salt: &salt };
    for entry in noted.entries.values() {
        if let Spec::Switch(switch) = &entry.spec {
            prune(&machine.at(&switch.root), switch.keep, &observer.state(&entry.spec))?;
        }
    }
    Ok(())
}

/// Removes what nobody needs any longer: old journals, backups and programs, secrets of ended applies.
/// Whatever was left by a crash goes the next time.
pub(crate) fn tidy(machine: &Machine, layout: &Layout) -> Result<()> {
    let applies = applies(layout);
    for (age, apply) in applies.iter().enumerate() {
        let backups = layout.backups(apply);
        if let Ok(journal) = Journal::read(layout, apply) {
            if journal.end.is_none() {
                continue;
            }
            forget(&journal)?;
        }
        if age >= BACKUPS_KEPT && backups.exists() {
            disk::remove_tree(&backups)?;
        }
        if age >= JOURNALS_KEPT {
            disk::remove(&layout.journal(apply))?;
        }
    }
    old_programs(machine);
    Ok(())
}

/// What was carried for an apply that has ended. Not before the next one: its blobs come before it begins.
fn remove_blobs(layout: &Layout) -> Result<()> {
    for entry in fs::read_dir(layout.blobs()).into_iter().flatten().flatten() {
        disk::remove(&entry.path())?;
    }
    Ok(())
}

/// What an ended apply keeps no longer: copies of secrets, and what it moved aside.
fn forget(journal: &Journal) -> Result<()> {
    for path in journal.started.values().flat_map(|start| &start.note.paths) {
        match &path.was {
            Was::File { backup, secret: true, .. } if backup.exists() => drop(disk::remove(backup)?),
            Was::Moved(aside) => forget_aside(aside)?,
            Was::File { .. } | Was::Absent | Was::Link { .. } | Was::Folder(_) => {}
        }
    }
    Ok(())
}

/// Other versions of this program, unless one of them may have to revert something.
fn old_programs(machine: &Machine) {
    let houses = fs::read_dir(&machine.state).into_iter().flatten().flatten();
    if houses.map(|house| Layout { folder: house.path() }).any(|layout| deadman::is_armed(&layout)) {
        return;
    }
    for entry in fs::read_dir(machine.state.join("bin")).into_iter().flatten().flatten() {
        let used = entry.metadata().and_then(|metadata| metadata.modified().or(metadata.accessed()));
        let old = used.ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age > PROGRAM_AGE);
        if old && entry.path() != machine.program {
            let _ = fs::remove_file(entry.path());
        }
    }
}
