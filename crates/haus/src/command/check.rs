//! `haus check`: every fault of every named plan in one run.

use crate::arguments::{Check, Format};
use crate::exit::{Code, DONE, FINDINGS, Failure, WRONG_USE};
use crate::terminal;
use haus_houseplan::{DiskFiles, Loaded, Style};
use haus_model::{Finding, Severity};

pub(crate) fn cmd_check(arguments: &Check) -> Result<Code, Failure> {
    let loaded: Vec<Loaded> =
        arguments.paths.iter().map(|path| haus_houseplan::load(path, &DiskFiles)).collect();
    match arguments.format {
        Format::Json => {
            let plans: Vec<_> = loaded.iter().map(haus_houseplan::to_json).collect();
            let text = serde_json::to_string_pretty(&serde_json::json!({ "plans": plans }))
                .expect("findings are plain data");
            terminal::line(&text);
        }
        Format::Text => {
            for (path, loaded) in arguments.paths.iter().zip(&loaded) {
                terminal::out(&text(path, loaded, arguments.notes));
            }
        }
    }
    Ok(code(&loaded))
}

fn code(loaded: &[Loaded]) -> Code {
    if loaded.iter().any(|loaded| loaded.sources.is_empty()) {
        WRONG_USE
    } else if loaded.iter().any(|loaded| loaded.count(Severity::Error) + loaded.count(Severity::Warning) > 0)
    {
        FINDINGS
    } else {
        DONE
    }
}

fn text(path: &std::path::Path, loaded: &Loaded, notes: bool) -> String {
    let style =
        Style { color: terminal::colour_out(), width: terminal::width().unwrap_or(terminal::WIDTH_DEFAULT) };
    let shown: Vec<Finding> = loaded
        .findings
        .iter()
        .filter(|finding| notes || finding.severity > Severity::Note)
        .cloned()
        .collect();
    let mut text = haus_houseplan::render(&shown, &loaded.sources, style);
    if !shown.is_empty() {
        text.push('\n');
    }
    text.push_str(&summary(path, loaded, notes));
    text
}

fn summary(path: &std::path::Path, loaded: &Loaded, notes: bool) -> String {
    let [errors, warnings, all_notes] =
        [Severity::Error, Severity::Warning, Severity::Note].map(|severity| loaded.count(severity));
    let verdict = if errors + warnings == 0 { "clean" } else { "not clean" };
    let mut parts = Vec::new();
    if let Some(plan) = &loaded.plan
        && let Some(house) = plan.stages.values().next()
    {
        parts.push(format!("house {}, {}", house.name, plural(house.services.len(), "service")));
        if plan.stages.len() > 1 {
            parts.push(plural(plan.stages.len(), "stage"));
        }
    }
    parts.push(plural(errors, "error"));
    parts.push(plural(warnings, "warning"));
    parts.push(plural(all_notes, "note"));
    let more = if !notes && all_notes > 0 { " (show notes with --notes)" } else { "" };
    let explain = if errors + warnings > 0 { "; `haus explain CODE` tells more about a finding" } else { "" };
    format!("{}: {verdict} · {}{more}{explain}\n", path.display(), parts.join(" · "))
}

pub(crate) fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
