//! `haus credential create` for a house that does not run here: the first value of a credential that the plan
//! leaves to a person, straight into the vault, so that `haus apply` has it.

use super::Running;
use crate::arguments::CredentialCreate;
use crate::exit::{Code, DONE, FAILED, FINDINGS, Failure, REFUSED, WRONG_USE};
use crate::{secret_input, terminal};
use haus_api::ProblemCode;
use haus_coordinator::{KeyPlace, OfflineError, OfflineOptions, OfflineVault};
use haus_houseplan::DiskFiles;
use haus_model::CredentialName;
use haus_model::error::chain;
use haus_supervise::lock::Lock;
use std::path::Path;

/// Whether no house runs there, so that its vault may be opened. A running one answers for itself.
pub(super) fn nobody_runs(running: &Running) -> bool {
    Lock::holder(running.places.state()).is_none()
}

pub(super) fn create(arguments: &CredentialCreate, running: &Running, name: &str) -> Result<Code, Failure> {
    let name: CredentialName = name
        .parse()
        .map_err(|error| Failure::from_error(WRONG_USE, &error, "write the name as the plan has it"))?;
    let state = running.places.state();
    let path = arguments.asked.target.path.as_deref().unwrap_or(Path::new("."));
    let loaded = haus_houseplan::load(path, &DiskFiles);
    // Stages have the same credentials, and one vault.
    let Some(house) = loaded.plan.as_ref().and_then(|plan| plan.stages.values().next()) else {
        let message =
            format!("no house runs in {}, and {} is no plan without errors", state.display(), path.display());
        let code = if loaded.sources.is_empty() { REFUSED } else { FINDINGS };
        return Err(Failure::new(code, message)
            .hint("start the house with `haus up DIR`, or name the folder of its plan with --house"));
    };
    let keys = KeyPlace {
        file: arguments.keys.key_file.clone(),
        passphrase_file: arguments.keys.passphrase_file.clone(),
    };
    let options = OfflineOptions { keys, why: "credential create".to_owned() };
    // Opened before anybody is asked to type a secret for nothing.
    let vault = OfflineVault::open(house, &loaded.root, state, &options).map_err(|error| failure(&error))?;
    let value = secret_input::value(arguments.from.as_deref(), &format!("credential `{name}`"))?;
    let version = vault.give(&name, &value).map_err(|error| failure(&error))?;
    if arguments.asked.json {
        terminal::json(&serde_json::json!({ "name": name, "version": version, "offline": true }));
    } else {
        let state = state.display();
        terminal::line(&format!(
            "{name}: taken over, version {version}, in the vault of {state}; no house runs there"
        ));
    }
    Ok(DONE)
}

/// The vault's words with the exit codes of all commands.
pub(crate) fn failure(error: &OfflineError) -> Failure {
    let code = match error {
        OfflineError::Held { .. } | OfflineError::Trail { .. } => REFUSED,
        OfflineError::Refused { problem } => match problem.code {
            ProblemCode::NotFound | ProblemCode::Invalid | ProblemCode::TooLarge => WRONG_USE,
            ProblemCode::Conflict | ProblemCode::Forbidden | ProblemCode::Expired => REFUSED,
            ProblemCode::BadRequest
            | ProblemCode::MethodNotAllowed
            | ProblemCode::UnsupportedMediaType
            | ProblemCode::IdempotencyMismatch
            | ProblemCode::Unauthorized
            | ProblemCode::Busy
            | ProblemCode::PreconditionFailed
            | ProblemCode::TooManyRequests
            | ProblemCode::PlanRefused
            | ProblemCode::RequestTimeout
            | ProblemCode::Internal
            | ProblemCode::BadGateway
            | ProblemCode::Unavailable
            | ProblemCode::TrailUnavailable
            | ProblemCode::VaultSealed
            | ProblemCode::GatewayTimeout => FAILED,
        },
        OfflineError::Folder { .. }
        | OfflineError::Lock { .. }
        | OfflineError::Store(_)
        | OfflineError::Keys(_)
        | OfflineError::System(_) => FAILED,
    };
    Failure::new(code, chain(error)).hint(error.remedy())
}
