//! `haus credential rotate`: begins it, and with `--wait` says what became of it.

use super::Running;
use super::resolve::{called, meant};
use crate::arguments::CredentialRotate;
use crate::exit::{Code, DONE, FAILED, Failure, UNKNOWN};
use crate::listing::count;
use crate::{secret_input, terminal};
use haus_api::credential::{Credential, RotateRequest, RotationView};
use std::time::{Duration, Instant};

/// How often a rotation is looked at.
const EVERY: Duration = Duration::from_millis(250);

pub(super) fn cmd_rotate(arguments: &CredentialRotate) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    let found = meant(&running, &arguments.name)?;
    let name = called(&found);
    let is_given = arguments.ask || arguments.from.is_some();
    let value = is_given
        .then(|| secret_input::value(arguments.from.as_deref(), &format!("credential `{name}`")))
        .transpose()?;
    let request = RotateRequest { value, emergency: arguments.emergency };
    let begun = running.order(running.client.rotate_credential(&found.id, &request))?;
    if !arguments.wait {
        if arguments.asked.json {
            terminal::json(&begun);
        } else {
            terminal::line(&format!(
                "{name}: the rotation to version {} has begun; `haus credential show {name}` says how far it is",
                begun.to_version
            ));
        }
        return Ok(DONE);
    }
    wait(&running, &found, &begun, arguments)
}

/// How a rotation that was begun stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stand {
    /// Not decided.
    UnderWay(String),
    /// The new value is in force.
    InForce(String),
    /// The old value is in force again.
    Undone(String),
    /// Neither goes on by itself.
    Stuck(String),
}

fn wait(
    running: &Running,
    credential: &Credential,
    begun: &RotationView,
    arguments: &CredentialRotate,
) -> Result<Code, Failure> {
    let name = called(credential);
    let begun_at = Instant::now();
    let mut told = String::new();
    loop {
        let now = running.ask(running.client.credential(&credential.id))?;
        let stand = stand(&now, begun);
        let (Stand::UnderWay(words) | Stand::InForce(words) | Stand::Undone(words) | Stand::Stuck(words)) =
            &stand;
        if *words != told && !arguments.asked.json {
            terminal::line(&format!("{name}: {words}"));
            told.clone_from(words);
        }
        let is_late = begun_at.elapsed() >= arguments.within;
        if arguments.asked.json && (is_late || !matches!(stand, Stand::UnderWay(_))) {
            terminal::json(&now);
        }
        match stand {
            Stand::InForce(_) => return Ok(DONE),
            Stand::Undone(_) => return Ok(FAILED),
            Stand::Stuck(_) => return Ok(UNKNOWN),
            Stand::UnderWay(words) if is_late => {
                let within = haus_model::unit::format_duration(arguments.within);
                return Err(Failure::new(UNKNOWN, format!("{name} is not done within {within}: {words}"))
                    .hint(format!("it goes on by itself; look again with `haus credential show {name}`")));
            }
            Stand::UnderWay(_) => std::thread::sleep(EVERY),
        }
    }
}

fn stand(now: &Credential, begun: &RotationView) -> Stand {
    let version = begun.to_version;
    let Some(rotation) = now.rotation.as_ref().filter(|rotation| rotation.id == begun.id) else {
        return if now.version >= version {
            Stand::InForce(format!("version {version} is in force"))
        } else {
            Stand::Undone(format!("version {} stays in force: the rotation was undone", now.version))
        };
    };
    let why = rotation.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    match rotation.step.as_str() {
        "overlap" | "retire" => Stand::InForce(format!(
            "version {version} is in force; the old one is valid beside it for a while"
        )),
        "done" => Stand::InForce(format!("version {version} is in force")),
        "undone" => {
            Stand::Undone(format!("version {} stays in force: the rotation was undone{why}", now.version))
        }
        "stuck" => Stand::Stuck(format!("the rotation is stuck{why}; a person has to look")),
        step => {
            let tries = if rotation.tries > 0 {
                format!(" (tried {})", count(u64::from(rotation.tries), "time", "times"))
            } else {
                String::new()
            };
            Stand::UnderWay(format!("to version {version}, {step}{tries}{why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolve::tests::credential;
    use super::*;

    fn view(step: &str) -> RotationView {
        RotationView {
            id: "r".into(),
            step: step.into(),
            to_version: 2,
            tries: 1,
            began_at: "then".into(),
            ended_at: None,
            why: Some("login refused".into()),
        }
    }

    /// What a credential of this version with a rotation in this step says.
    #[track_caller]
    fn check(version: u64, step: Option<&str>, expected: fn(String) -> Stand, part: &str) {
        let mut now = credential("a", Some("web"), "key");
        (now.version, now.rotation) = (version, step.map(view));
        let told = stand(&now, &view("tell"));
        let (Stand::UnderWay(words) | Stand::InForce(words) | Stand::Undone(words) | Stand::Stuck(words)) =
            &told;
        assert!(words.contains(part), "{words}");
        assert_eq!(told, expected(words.clone()));
    }

    #[test]
    fn only_a_proven_value_is_in_force() {
        check(1, Some("tell"), Stand::UnderWay, "tell (tried 1 time): login refused");
        check(1, Some("undo"), Stand::UnderWay, "undo");
        check(2, Some("overlap"), Stand::InForce, "valid beside it");
        check(2, Some("done"), Stand::InForce, "version 2 is in force");
        check(2, None, Stand::InForce, "version 2");
    }

    #[test]
    fn a_rotation_that_went_wrong_says_why() {
        check(
            1,
            Some("undone"),
            Stand::Undone,
            "version 1 stays in force: the rotation was undone: login refused",
        );
        check(1, None, Stand::Undone, "version 1 stays");
        check(1, Some("stuck"), Stand::Stuck, "login refused");
    }
}
