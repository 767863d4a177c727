//! What was applied here, read from the journals; and the apply that did not end, for whoever looks.

use super::lock::holder;
use super::{Journal, applies, open};
use crate::machine::Layout;
use crate::wire::{Outcome, PastApply};
use haus_model::inventory::OpenApply;

/// The last applies, the latest first. A journal that cannot be read is passed over.
pub(crate) fn history(layout: &Layout, last: u32) -> Vec<PastApply> {
    let journals = applies(layout).into_iter().filter_map(|apply| Journal::read(layout, &apply).ok());
    journals.take(last as usize).map(|journal| past(&journal)).collect()
}

fn past(journal: &Journal) -> PastApply {
    let begin = &journal.head.begin;
    PastApply {
        apply: begin.apply.clone(),
        claim: begin.claim.clone(),
        plan: begin.plan,
        began: journal.head.began,
        ended: journal.end.map(|(_, at)| at),
        outcome: journal.end.map_or(Outcome::Open, |(outcome, _)| outcome),
        done: count(journal.done.len()),
        of: count(begin.changes.len()),
        changes: begin.changes.iter().map(|change| (change.resource.clone(), change.why.clone())).collect(),
        fault: journal.fault.clone(),
    }
}

/// The apply that did not end.
pub(crate) fn open_apply(layout: &Layout) -> Option<OpenApply> {
    let journal = open(layout)?;
    let begin = &journal.head.begin;
    let under_way = journal.under_way().map(|start| start.number);
    let resource = begin.changes.iter().find(|change| Some(change.number) == under_way);
    Some(OpenApply {
        id: begin.apply.clone(),
        owner: begin.claim.owner.clone(),
        reason: begin.claim.reason.clone(),
        plan: begin.plan,
        began: journal.head.began,
        done: count(journal.done.len()),
        of: count(begin.changes.len()),
        under_way: resource.map(|change| change.resource.clone()),
        alive: holder(layout).ok().flatten().is_some_and(|holder| holder.is_alive()),
    })
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
