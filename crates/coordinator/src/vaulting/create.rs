//! Making credentials that the plan does not make: those of a service, and the plan's own that a person
//! gives.
//!
//! Threat: a credential under another's name. A name is unique per owner; one of the plan can be given once
//! and only where the plan says `given: true`, and its readers stay those of the plan.

use super::row::{self, subject};
use super::{Vaulting, fresh_id, keep_sealed};
use crate::api::Caller;
use crate::desk::Desk;
use haus_api::{Problem, ProblemCode};
use haus_model::{Credential, CredentialKind, CredentialSource, Secret, ServiceName, Timestamp};
use haus_store::{Batch, CredentialOrigin, CredentialRow, VersionState, Write};
use haus_trail::{Action, Outcome};
use haus_vault::SystemEntropy;

/// Characters of a generated value when nobody says how many.
pub(crate) const LENGTH_DEFAULT: u32 = 48;

/// A credential that somebody wants.
pub(crate) struct NewCredential {
    /// Its name, in lower case.
    pub name: String,
    /// What it is used for.
    pub kind: Option<CredentialKind>,
    /// The service that owns it; none means one that the plan names and leaves to a person.
    pub owner: Option<ServiceName>,
    /// The value; none generates one.
    pub value: Option<Secret>,
    /// Characters of a generated one.
    pub length: Option<u32>,
    /// For people.
    pub description: Option<String>,
    /// A JSON object.
    pub metadata: String,
    /// Further services that may have it.
    pub scope: Vec<ServiceName>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// Whether a rotation is wanted.
    pub rotation_required: bool,
    /// Days between rotations.
    pub rotate_days: Option<u32>,
}

impl Vaulting {
    /// Makes a credential with its first version; it is on disk when this returns.
    ///
    /// # Errors
    /// The name is taken, the plan makes it, or the trail cannot be written.
    pub(crate) async fn create(
        &self,
        desk: &Desk,
        caller: &Caller,
        new: NewCredential,
    ) -> Result<CredentialRow, Problem> {
        // The plan must not make the same one meanwhile.
        let _turn = self.syncing.lock().await;
        let given = new.value.is_some();
        let now = desk.clock.wall();
        let value = match new.value.clone() {
            Some(value) => value,
            None => haus_vault::generate::text(new.length.unwrap_or(LENGTH_DEFAULT), &mut SystemEntropy)
                .map_err(|error| Problem::new(ProblemCode::Internal, crate::chain(&error)))?,
        };
        let row = match (planned(desk, &new)?, new.owner.clone()) {
            (Some(credential), _) => row::of_plan(fresh_id()?, &credential, now),
            (None, Some(owner)) => own(owner, new, fresh_id()?, now),
            (None, None) => {
                let detail = format!("the plan has no credential `{}`", new.name);
                return Err(Problem::new(ProblemCode::NotFound, detail).with_hint(
                    "name the service that is to own it, or add it to the plan with `given: true`",
                ));
            }
        };
        let entry = desk.registrar.entry(caller, Action::CredentialCreate, subject(&row), Outcome::Allowed);
        let entry = entry
            .detail("id", row.id.clone())
            .detail("version", row.version.to_string())
            .detail("value", if given { "given" } else { "generated" });
        keep_sealed(desk, || {
            let mut version = self.seal_version(&row, row.version, &value, now)?;
            version.state = VersionState::Current;
            let create = Write::CredentialCreate(Box::new(row.clone()), Box::new(version));
            Ok(Batch::of(vec![create], entry.clone()))
        })
        .await?;
        Ok(row)
    }
}

/// The plan's credential that is meant: one that it leaves to a person. Its name alone, or with a service of
/// its scope, means the plan's and no other.
fn planned(desk: &Desk, new: &NewCredential) -> Result<Option<Credential>, Problem> {
    let house = desk.house();
    let Some(credential) = house.credentials.get(new.name.as_str()) else { return Ok(None) };
    if new.owner.as_ref().is_some_and(|owner| !credential.scope.contains(owner)) {
        return Ok(None);
    }
    let made = match &credential.source {
        CredentialSource::Given => return Ok(Some(credential.clone())),
        CredentialSource::Generated { .. } => "generates it".to_owned(),
        CredentialSource::File { path } => format!("takes it from {}", path.display()),
    };
    Err(Problem::new(
        ProblemCode::Conflict,
        format!("credential `{}` is there already: the plan {made}", new.name),
    )
    .with_hint("rotate it for another value, or say `given: true` in the plan"))
}

fn own(owner: ServiceName, new: NewCredential, id: String, now: Timestamp) -> CredentialRow {
    let mut scope = vec![owner.clone()];
    for service in new.scope {
        if !scope.contains(&service) {
            scope.push(service);
        }
    }
    CredentialRow {
        id,
        name: new.name,
        owner: Some(owner),
        kind: new.kind.unwrap_or_default(),
        description: new.description,
        metadata: new.metadata,
        origin: CredentialOrigin::Api,
        scope,
        version: 1,
        rotation_required: new.rotation_required,
        rotate_days: new.rotate_days,
        expires_at: new.expires_at,
        rotation_count: 0,
        created_at: now,
        updated_at: now,
        rotated_at: now,
        last_used_at: None,
        revision: 1,
    }
}
