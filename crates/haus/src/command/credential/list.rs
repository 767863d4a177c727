//! `haus credential list`.

use super::Running;
use super::resolve::called;
use crate::arguments::CredentialList;
use crate::exit::{Code, DONE, Failure};
use crate::listing::{self, NOTHING};
use crate::terminal;
use haus_api::credential::Credential;
use haus_client::CredentialFilter;

pub(super) fn cmd_list(arguments: &CredentialList) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    let wanted = CredentialFilter {
        service: arguments.service.as_ref().map(ToString::to_string),
        kind: arguments.kind.map(|kind| kind.to_string()),
        name: None,
    };
    let found = running.ask(running.client.all_credentials(&wanted))?;
    if arguments.asked.json {
        terminal::json(&found);
    } else if found.is_empty() {
        terminal::line("no credentials; the plan or `haus credential create` makes them");
    } else {
        terminal::out(&table(&found));
    }
    Ok(DONE)
}

fn table(found: &[Credential]) -> String {
    let rows: Vec<_> = found.iter().map(row).collect();
    listing::table(["CREDENTIAL", "KIND", "VERSION", "EXPIRES", "ROTATION", "FOR"], &rows)
}

fn row(credential: &Credential) -> [String; 6] {
    [
        called(credential),
        credential.credential_type.to_string(),
        credential.version.to_string(),
        credential.expires_at.clone().unwrap_or_else(|| NOTHING.to_owned()),
        rotation(credential),
        listing::names(&credential.scope),
    ]
}

/// How it stands with the rotation, in a few words.
pub(super) fn rotation(credential: &Credential) -> String {
    if let Some(rotation) = credential.rotation.as_ref().filter(|rotation| rotation.ended_at.is_none()) {
        let why = rotation.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        return format!("to version {}, {}{why}", rotation.to_version, rotation.step);
    }
    if credential.rotation_required {
        return "wanted".to_owned();
    }
    match (&credential.next_rotation_at, credential.rotate_days) {
        (Some(at), _) => format!("at {at}"),
        (None, Some(days)) => format!("every {days} days"),
        (None, None) => NOTHING.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolve::tests::credential;
    use super::*;
    use haus_api::credential::RotationView;

    fn check(change: impl FnOnce(&mut Credential), expected: &str) {
        let mut one = credential("a", Some("web"), "key");
        change(&mut one);
        assert_eq!(rotation(&one), expected);
    }

    fn under_way(ended_at: Option<&str>) -> RotationView {
        RotationView {
            id: "r".into(),
            step: "prove".into(),
            to_version: 2,
            tries: 3,
            began_at: "then".into(),
            ended_at: ended_at.map(str::to_owned),
            why: Some("login refused".into()),
        }
    }

    #[test]
    fn a_rotation_under_way_says_how_far_it_is_and_why() {
        check(|one| one.rotation = Some(under_way(None)), "to version 2, prove: login refused");
        check(|one| one.rotation = Some(under_way(Some("now"))), "-");
    }

    #[test]
    fn what_is_due_is_said() {
        check(|_| (), "-");
        check(|one| one.rotation_required = true, "wanted");
        check(|one| one.rotate_days = Some(30), "every 30 days");
        check(|one| one.next_rotation_at = Some("2027".into()), "at 2027");
    }
}
