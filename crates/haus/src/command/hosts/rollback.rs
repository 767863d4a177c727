//! `haus rollback`: takes the last apply of hosts back, as their own journals remember it.

use super::outcomes::{self, not_as_it_was, told};
use super::{Meant, Question, confirm, owner, roads};
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
use serde_json::{Value, json};

pub(crate) fn cmd_rollback(arguments: &RollbackHosts) -> Result<Code, Failure> {
    let meant = Meant::load(&arguments.path, &arguments.reach)?;
    let roads = roads(&meant.house, &arguments.reach)?;
    let targets = meant.targets();
    let what = arguments.apply.as_ref().map_or("the last apply".to_owned(), |apply| format!("apply {apply}"));
    let words = format!("take {what} back on {}?", plural(targets.len(), "host"));
    confirm(&Question { words: &words, otherwise: "nothing was changed" }, arguments.yes)?;
    let claim = Claim { owner: owner(), reason: Some("haus rollback".to_owned()) };
    let mut worst = DONE;
    let mut all = serde_json::Map::new();
    for target in &targets {
        let ended = ended(&target.host, &one(&roads, target, &claim, arguments));
        worst = Code(worst.0.max(ended.code.0));
        if arguments.reach.json {
            all.insert(target.host.to_string(), ended.value);
        } else {
            terminal::out(&ended.text);
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

/// How it ended on one host, for people and for programs.
struct Ended {
    code: Code,
    text: String,
    value: Value,
}

fn ended(host: &HostName, outcome: &Result<Finished, Failed>) -> Ended {
    match outcome {
        Ok(finished) => {
            let (code, in_part) = if finished.left.is_empty() { (DONE, "") } else { (UNKNOWN, " in part") };
            let apply = harmless(&finished.apply);
            let left = not_as_it_was(&finished.left);
            let value = serde_json::to_value(finished).expect("an outcome is plain data");
            Ended { code, text: format!("{host}: apply {apply} is taken back{in_part}\n{left}"), value }
        }
        Err(Failed::Before(error) | Failed::Meanwhile(error @ HostError::Refused(_))) => {
            let fault = Fault::of(host, error);
            Ended {
                code: REFUSED,
                text: format!("{host}: refused, nothing was changed\n{}", told(&fault)),
                value: json!({ "outcome": "refused", "fault": outcomes::fault(&fault) }),
            }
        }
        Err(Failed::Meanwhile(error @ (HostError::Road(_) | HostError::Blob { .. }))) => {
            let fault = Fault::of(host, error);
            let look_at = format!("`haus history --host {host}` says how far it came");
            Ended {
                code: UNKNOWN,
                text: format!("{host}: STATE UNKNOWN\n{}  {look_at}\n", told(&fault)),
                value: json!({ "outcome": "unknown", "fault": outcomes::fault(&fault), "look_at": look_at }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_acts::wire::{Left, Outcome, Refusal};
    use haus_model::host_code::HostCode;
    use haus_model::resource::{Kind, ResourceId};

    fn check(outcome: Result<Finished, Failed>, code: Code, words: &str) -> Value {
        let ended = ended(&"web".parse().unwrap(), &outcome);
        assert_eq!(ended.code, code);
        assert!(ended.text.contains(words), "{}", ended.text);
        ended.value
    }

    #[test]
    fn a_refusal_has_its_code_and_remedy_also_for_programs() {
        let refusal = || {
            HostError::Refused(Box::new(Refusal {
                code: HostCode::Locked,
                what: "take the lock".to_owned(),
                why: "anna has it".to_owned(),
                remedy: "wait".to_owned(),
                resource: None,
                evidence: Vec::new(),
            }))
        };
        for failed in [Failed::Before(refusal()), Failed::Meanwhile(refusal())] {
            let value = check(Err(failed), REFUSED, "nothing was changed\n  error[HH0210]");
            assert_eq!(value["outcome"], "refused");
            let finding = &value["fault"]["finding"];
            assert_eq!((&finding["code"], &finding["remedy"]), (&json!("HH0210"), &json!("wait")));
        }
    }

    #[test]
    fn what_is_not_as_it_was_says_what_to_do() {
        let left = vec![Left { resource: ResourceId::new(Kind::File, "/etc/a"), why: "busy".to_owned() }];
        let finished = |left| Finished { apply: "a-1".to_owned(), outcome: Outcome::RolledBack, left };
        check(
            Ok(finished(left)),
            UNKNOWN,
            "taken back in part\n  not as it was: file:/etc/a: busy\n    help: ",
        );
        check(Ok(finished(Vec::new())), DONE, "web: apply a-1 is taken back\n");
    }
}
