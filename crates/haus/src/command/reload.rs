//! `haus reload`: read the plan again, apply only the difference.

use super::{block_on, client, order_failure};
use crate::arguments::Target;
use crate::exit::{Code, DONE, Failure};
use crate::{locate, terminal};
use haus_api::ProblemCode;
use haus_api::control::Reloaded;
use haus_model::{Finding, Severity};
use haus_supervise::lock::Lock;

pub(crate) fn cmd_reload(target: &Target) -> Result<Code, Failure> {
    let places = locate::running(target.path.as_deref(), target.state.as_deref())?;
    let reloaded = block_on(client(&places).reload())?;
    let reloaded = reloaded.map_err(|error| {
        if error.code() == Some(ProblemCode::PlanRefused)
            && let Some(holder) = Lock::holder(places.state())
        {
            super::up::show_errors(&holder.folder);
        }
        order_failure(&error, &places)
    })?;
    terminal::out(&describe(&reloaded));
    Ok(DONE)
}

/// The difference in words, one line per kind, and what the new plan is warned of.
pub(crate) fn describe(reloaded: &Reloaded) -> String {
    let mut text = if reloaded.is_empty() {
        "no difference: the house runs what the plan says\n".to_owned()
    } else {
        difference(reloaded)
    };
    let warnings = reloaded.findings.iter().filter(|finding| finding.severity >= Severity::Warning);
    warnings.for_each(|finding| text.push_str(&warning(finding)));
    text
}

/// One line; `haus check` draws it in full.
fn warning(finding: &Finding) -> String {
    let place = finding.place.as_ref();
    let place = place.map(|place| format!("{}:{}: ", place.file.display(), place.line)).unwrap_or_default();
    let Finding { severity, subject, message, code, .. } = finding;
    format!("{severity}: {place}{subject}: {message} ({code})\n")
}

fn difference(reloaded: &Reloaded) -> String {
    let mut text = String::new();
    let kinds = [
        ("added", &reloaded.added),
        ("removed", &reloaded.removed),
        ("restarted", &reloaded.restarted),
        ("adjusted without a restart", &reloaded.adjusted),
        ("only with a new `haus up`", &reloaded.needs_up),
    ];
    for (kind, names) in kinds {
        if !names.is_empty() {
            text.push_str(&format!("{kind}: {}\n", names.join(", ")));
        }
    }
    if reloaded.routes_changed {
        text.push_str("routes and gateway settings: taken over\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::finding::Place;

    #[test]
    fn only_differences_are_listed() {
        assert!(describe(&Reloaded::default()).starts_with("no difference"));
        let reloaded = Reloaded { restarted: vec!["web".into(), "api".into()], ..Reloaded::default() };
        assert_eq!(describe(&reloaded), "restarted: web, api\n");
    }

    #[test]
    fn warnings_of_the_new_plan_are_shown_and_notes_are_not() {
        let finding = |severity, message: &str, place| Finding {
            code: "HP0105".into(),
            severity,
            subject: "service web".into(),
            message: message.into(),
            place,
            label: String::new(),
            related: Vec::new(),
            remedy: String::new(),
            accepted: None,
            stages: Vec::new(),
        };
        let place = Place { file: "house.yaml".into(), line: 4, column: 3, start: 40, end: 43 };
        let findings = vec![
            finding(Severity::Warning, "nothing tells whether it works", Some(place)),
            finding(Severity::Note, "data that nothing backs up", None),
            finding(Severity::Warning, "no place", None),
        ];
        let reloaded = Reloaded { added: vec!["web".into()], findings, ..Reloaded::default() };
        let lines = [
            "added: web",
            "warning: house.yaml:4: service web: nothing tells whether it works (HP0105)",
            "warning: service web: no place (HP0105)\n",
        ];
        assert_eq!(describe(&reloaded), lines.join("\n"));
    }
}
