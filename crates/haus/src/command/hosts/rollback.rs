//! `haus rollback`: takes the last apply of hosts back, as their own journals remember it.

use super::applying::told;
use super::{Meant, confirm, owner, roads};
use crate::arguments::RollbackHosts;
use crate::command::check::plural;
use crate::exit::{Code, DONE, Failure, REFUSED, UNKNOWN};
use crate::terminal::{self, harmless};
use haus_acts::wire::{Claim, Finished, Progress};
use haus_apply::host::HostError;
use haus_apply::outcome::Fault;
use haus_apply::sessions::{Roads, Sessions as _, Target};
use haus_apply::transport::Purpose;
use haus_model::HostName;

pub(crate) fn cmd_rollback(arguments: &RollbackHosts) -> Result<Code, Failure> {
    let meant = Meant::load(&arguments.path, &arguments.reach)?;
    let roads = roads(&meant.house, &arguments.reach)?;
    let targets = meant.targets();
    let what = arguments.apply.as_ref().map_or("the last apply".to_owned(), |apply| format!("apply {apply}"));
    confirm(&format!("take {what} back on {}?", plural(targets.len(), "host")), arguments.yes)?;
    let claim = Claim { owner: owner(), reason: Some("haus rollback".to_owned()) };
    let mut worst = DONE;
    let mut all = serde_json::Map::new();
    for target in &targets {
        let outcome = one(&roads, target, &claim, arguments);
        let (code, line) = result(&target.host, &outcome);
        worst = Code(worst.0.max(code.0));
        if arguments.reach.json {
            let value = match &outcome {
                Ok(finished) => serde_json::to_value(finished).expect("an outcome is plain data"),
                Err(failed) => serde_json::json!({ "error": haus_model::error::chain(failed.error()) }),
            };
            all.insert(target.host.to_string(), value);
        } else {
            terminal::out(&line);
        }
    }
    if arguments.reach.json {
        terminal::json(&all);
    }
    Ok(worst)
}

fn one(roads: &Roads, target: &Target, claim: &Claim, arguments: &RollbackHosts) -> Result<Finished, Failed> {
    let mut progress = |progress: Progress| {
        if arguments.reach.json {
            return;
        }
        let text = match &progress {
            Progress::Run(argv) => format!("$ {}", super::page::command_line(argv)),
            Progress::Step(step) => format!("· {}", harmless(step)),
            Progress::Line(line) => format!("  {}", harmless(line)),
        };
        terminal::line(&format!("{}: {text}", target.host));
    };
    let mut session = roads.open(target, Purpose::Work).map_err(Failed::Before)?;
    session.roll_back(claim, arguments.apply.as_deref(), &mut progress).map_err(Failed::Meanwhile)
}

/// How far it came.
enum Failed {
    /// Nothing was asked for.
    Before(HostError),
    /// It was asked for.
    Meanwhile(HostError),
}

impl Failed {
    fn error(&self) -> &HostError {
        match self {
            Failed::Before(error) | Failed::Meanwhile(error) => error,
        }
    }
}

fn result(host: &HostName, outcome: &Result<Finished, Failed>) -> (Code, String) {
    match outcome {
        Ok(finished) if finished.left.is_empty() => {
            (DONE, format!("{host}: apply {} is taken back\n", harmless(&finished.apply)))
        }
        Ok(finished) => {
            let mut text = format!("{host}: apply {} is taken back in part\n", harmless(&finished.apply));
            for left in &finished.left {
                text.push_str(&format!("  not as it was: {}: {}\n", left.resource, harmless(&left.why)));
            }
            (UNKNOWN, text)
        }
        Err(Failed::Before(error) | Failed::Meanwhile(error @ HostError::Refused(_))) => {
            let fault = Fault::of(host, error);
            (REFUSED, format!("{host}: refused, nothing was changed\n{}", told(&fault)))
        }
        Err(Failed::Meanwhile(error @ (HostError::Road(_) | HostError::Blob { .. }))) => {
            let fault = told(&Fault::of(host, error));
            (
                UNKNOWN,
                format!(
                    "{host}: STATE UNKNOWN\n{fault}  `haus history --host {host}` says how far it came\n"
                ),
            )
        }
    }
}
