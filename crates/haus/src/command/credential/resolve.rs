//! From what a person calls a credential to the one that is meant: NAME, SERVICE/NAME, /NAME for one of the
//! plan, or its id. Where several could be meant, all are shown and none is touched.

use super::Running;
use crate::exit::{Failure, REFUSED, WRONG_USE};
use haus_api::ProblemCode;
use haus_api::credential::Credential;
use haus_client::{ClientError, CredentialFilter};

/// The credential that is meant.
pub(super) fn meant(running: &Running, text: &str) -> Result<Credential, Failure> {
    check(text)?;
    let found = running.ask(async {
        if is_id(text) {
            match running.client.credential(text).await {
                // A name may look like an id.
                Err(ClientError::Refused { problem }) if problem.code == ProblemCode::NotFound => {}
                other => return other.map(|found| vec![found]),
            }
        }
        let mut found = named(running, text).await?;
        if let Some((owner, name)) = text.split_once('/') {
            let of_owner = named(running, name).await?;
            found.extend(of_owner.into_iter().filter(|one| owner_of(one) == owner));
        }
        Ok(found)
    })?;
    one_of(found, text)
}

/// What could never be a name, told without repeating what may be a value.
pub(super) fn check(text: &str) -> Result<(), Failure> {
    let fault = if text.contains('=') {
        "a value behind `=`: whoever saw the command line has it now, so use another one"
    } else if text.is_empty() || text.chars().any(char::is_control) {
        "nothing, or control characters"
    } else {
        return Ok(());
    };
    Err(Failure::new(WRONG_USE, format!("the name of the credential holds {fault}"))
        .hint("values are asked for at the terminal, or come with --from FILE"))
}

async fn named(running: &Running, name: &str) -> Result<Vec<Credential>, ClientError> {
    let wanted = CredentialFilter { name: Some(name.to_lowercase()), ..CredentialFilter::default() };
    running.client.all_credentials(&wanted).await
}

fn one_of(mut found: Vec<Credential>, text: &str) -> Result<Credential, Failure> {
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    match (found.len(), found.pop()) {
        (1, Some(one)) => Ok(one),
        (_, None) => {
            Err(Failure::new(WRONG_USE, format!("there is no credential `{}`", text.escape_debug()))
                .hint("`haus credential list` shows those that there are"))
        }
        (_, Some(last)) => {
            found.push(last);
            let shown: Vec<String> =
                found.iter().map(|one| format!("{} ({})", called(one), one.id)).collect();
            let message = format!("`{}` could be one of several: {}", text.escape_debug(), shown.join(", "));
            Err(Failure::new(REFUSED, message).hint("name it with its service (SERVICE/NAME), or by its id"))
        }
    }
}

/// A UUID as text.
fn is_id(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

fn owner_of(credential: &Credential) -> &str {
    credential.service_name.as_ref().map_or("", |service| service.as_str())
}

/// How a credential is called without a doubt: SERVICE/NAME, or /NAME for one of the plan.
pub(super) fn called(credential: &Credential) -> String {
    format!("{}/{}", owner_of(credential), credential.name)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use haus_model::CredentialKind;

    /// A credential of the API.
    pub(crate) fn credential(id: &str, owner: Option<&str>, name: &str) -> Credential {
        Credential {
            id: id.to_owned(),
            name: name.to_owned(),
            credential_type: CredentialKind::Custom,
            service_name: owner.map(|owner| owner.parse().expect("a name")),
            scope: Vec::new(),
            origin: if owner.is_some() { "api" } else { "plan" }.to_owned(),
            description: None,
            metadata: serde_json::Map::new(),
            version: 1,
            expires_at: None,
            rotation_required: false,
            rotate_days: None,
            next_rotation_at: None,
            rotation_count: 0,
            created_at: "2026-11-21T03:00:00.000Z".to_owned(),
            updated_at: "2026-11-21T03:00:00.000Z".to_owned(),
            last_used: None,
            revision: 1,
            rotation: None,
        }
    }

    #[test]
    fn several_that_could_be_meant_are_all_shown() {
        let found = vec![credential("b", Some("web"), "key"), credential("a", None, "key")];
        let failure = one_of(found, "key").unwrap_err();
        assert_eq!(failure.code, REFUSED);
        assert_eq!(failure.message, "`key` could be one of several: /key (a), web/key (b)");
    }

    #[test]
    fn the_same_one_found_twice_is_one() {
        let found = vec![credential("a", Some("web"), "key"), credential("a", Some("web"), "key")];
        assert_eq!(one_of(found, "web/key").unwrap().id, "a");
        assert_eq!(one_of(Vec::new(), "key").unwrap_err().code, WRONG_USE);
    }

    #[test]
    fn a_value_given_as_a_name_is_not_repeated() {
        let failure = check("db=hunter2").unwrap_err();
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        assert!(check("").is_err() && check("a\nb").is_err() && check("web/db pass").is_ok());
    }

    #[test]
    fn an_id_is_told_from_a_name() {
        assert!(is_id("6f1c2b1e-0a3d-4c58-9b57-0a1b2c3d4e5f"));
        assert!(!is_id("6f1c2b1e-0a3d-4c58-9b57-0a1b2c3d4e5") && !is_id("payment-key"));
    }
}
