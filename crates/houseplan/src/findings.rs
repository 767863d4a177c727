//! Findings as JSON, in the stable form that `docs/formats/findings.md` describes.

use crate::load::Loaded;
use haus_model::{Finding, Place, Severity};
use serde_json::{Value, json};

/// Version of the form. Keys may be added without changing it.
const FORMAT: u32 = 1;

/// Everything found in a plan.
pub fn to_json(loaded: &Loaded) -> Value {
    let stages: Vec<&str> =
        loaded.plan.iter().flat_map(|plan| plan.stages.keys()).map(haus_model::StageName::as_str).collect();
    json!({
        "format": FORMAT,
        "root": loaded.root.display().to_string(),
        "files": loaded.sources.iter().map(|source| source.path.display().to_string()).collect::<Vec<_>>(),
        "stages": stages,
        "errors": loaded.count(Severity::Error),
        "warnings": loaded.count(Severity::Warning),
        "notes": loaded.count(Severity::Note),
        "findings": loaded.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// One finding with all its keys, also the empty ones.
fn finding(finding: &Finding) -> Value {
    let related = finding.related.iter().map(|(at, label)| json!({ "place": place(at), "label": label }));
    json!({
        "code": finding.code,
        "severity": finding.severity.as_str(),
        "subject": finding.subject,
        "message": finding.message,
        "place": finding.place.as_ref().map(place),
        "label": finding.label,
        "related": related.collect::<Vec<_>>(),
        "remedy": finding.remedy,
        "accepted": finding.accepted,
        "stages": finding.stages,
    })
}

/// A place with its offsets, for tools that replace text.
fn place(place: &Place) -> Value {
    json!({
        "file": place.file.display().to_string(),
        "line": place.line,
        "column": place.column,
        "start": place.start,
        "end": place.end,
    })
}
