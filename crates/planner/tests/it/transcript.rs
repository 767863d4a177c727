//! A plan as text, the way a person reads it: per host what blocks, what is worth knowing, and every change.

use haus_model::Finding;
use haus_model::change::{ActKind, Change, ChangeSet, DiffLine, Operation, Outcome, Undo};
use std::fmt::Write as _;

/// What is written besides the changes themselves.
#[derive(Clone, Copy, Default)]
pub(crate) struct Detail {
    pub operations: bool,
    pub short: bool,
}

pub(crate) fn plan(changes: &ChangeSet, detail: Detail) -> String {
    let mut text = String::new();
    if changes.waves.len() > 1 {
        let waves: Vec<String> = changes
            .waves
            .iter()
            .map(|wave| wave.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            .collect();
        let _ = writeln!(text, "waves: {}", waves.join(" / "));
    }
    for (name, host) in &changes.hosts {
        let _ = writeln!(text, "{name}: {} changes, {} unchanged", host.changes.len(), host.unchanged);
        host.blocked.iter().for_each(|found| finding(&mut text, "blocked", found));
        host.notes.iter().for_each(|found| finding(&mut text, "note", found));
        host.changes.iter().for_each(|one| change(&mut text, one, detail));
    }
    text
}

fn finding(text: &mut String, word: &str, finding: &Finding) {
    let _ = writeln!(text, "  {word} {}: {} / {}", finding.code, finding.message, finding.remedy);
}

fn change(text: &mut String, change: &Change, detail: Detail) {
    let act = match change.act {
        ActKind::Create => "create",
        ActKind::Update => "update",
        ActKind::Remove => "remove",
        ActKind::Forget => "forget",
    };
    let guarded = if change.guarded { " guarded" } else { "" };
    let _ = writeln!(text, "  {}. {act} {}{guarded}", change.number, change.resource);
    if detail.short {
        return;
    }
    let _ = writeln!(text, "     {}", change.why);
    for line in &change.diff {
        let _ = match line {
            DiffLine::Same(line) if line.is_empty() => writeln!(text, "      ."),
            DiffLine::Same(line) => writeln!(text, "       {line}"),
            DiffLine::Gone(line) => writeln!(text, "     - {line}"),
            DiffLine::New(line) if line.is_empty() => writeln!(text, "     +"),
            DiffLine::New(line) => writeln!(text, "     + {line}"),
            DiffLine::Skipped(count) => writeln!(text, "     … {count} lines"),
        };
    }
    if let Outcome::Unknown(why) = &change.outcome {
        let _ = writeln!(text, "     outcome unknown: {why}");
    }
    match &change.undo {
        Undo::Exact => {}
        Undo::Partial(why) => drop(writeln!(text, "     undo in part: {why}")),
        Undo::None(why) => drop(writeln!(text, "     no undo: {why}")),
    }
    for operation in change.operations.iter().filter(|_| detail.operations) {
        let _ = match operation {
            Operation::Run(argv) => writeln!(text, "     $ {}", argv.join(" ")),
            Operation::Native(words) => writeln!(text, "     > {words}"),
        };
    }
}
