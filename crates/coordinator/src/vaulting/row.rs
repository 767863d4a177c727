//! Rows of credentials: how they are made, named in the trail, and what they say about time. No values.

use haus_api::{Problem, ProblemCode};
use haus_model::{Credential, ServiceName, Timestamp};
use haus_store::{CredentialOrigin, CredentialRow, VersionRow};
use haus_trail::NAME_BYTES_MAX;
use std::time::Duration;

/// The subject of a credential in the trail: `credential:NAME` for one of the plan, `credential:OWNER/NAME`
/// for one of a service; by its id where the name is too long for the trail.
pub(crate) fn subject(row: &CredentialRow) -> String {
    let subject = match &row.owner {
        Some(owner) => format!("credential:{owner}/{}", row.name),
        None => format!("credential:{}", row.name),
    };
    if subject.len() > NAME_BYTES_MAX { format!("credential:{}", row.id) } else { subject }
}

/// The row of a credential that the plan describes.
pub(super) fn of_plan(id: String, credential: &Credential, now: Timestamp) -> CredentialRow {
    CredentialRow {
        id,
        name: credential.name.to_string(),
        owner: None,
        kind: credential.kind,
        description: credential.reason.clone(),
        metadata: "{}".to_owned(),
        origin: CredentialOrigin::Plan,
        scope: credential.scope.clone(),
        version: 1,
        rotation_required: false,
        rotate_days: credential.rotate_days,
        expires_at: expiry(credential.ttl, now),
        rotation_count: 0,
        created_at: now,
        updated_at: now,
        rotated_at: now,
        last_used_at: None,
        revision: 1,
    }
}

/// When a version that was made now may no longer be read.
pub(crate) fn expiry(ttl: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
    ttl.map(|ttl| now.after(ttl))
}

/// Whether it may no longer be read.
pub(crate) fn has_expired(row: &CredentialRow, now: Timestamp) -> bool {
    row.expires_at.is_some_and(|at| at <= now)
}

/// The refusal of an expired one.
pub(crate) fn expired(row: &CredentialRow) -> Problem {
    let at = row.expires_at.map(|at| at.to_string()).unwrap_or_default();
    Problem::new(ProblemCode::Expired, format!("credential `{}` expired at {at}", row.name))
        .with_hint(format!("rotate it: `haus credential rotate {}`", row.name))
}

/// Whether a version that was replaced is still valid.
pub(super) fn is_valid_beside(version: &VersionRow, now: Timestamp) -> bool {
    version.valid_until.is_none_or(|until| until > now)
}

/// Whose binding the seals of a row have.
pub(super) fn owner(row: &CredentialRow) -> &str {
    row.owner.as_ref().map_or("", ServiceName::as_str)
}

/// A random id (UUID version 4, RFC 9562).
///
/// # Errors
/// The kernel gives no random bytes.
pub(crate) fn fresh_id() -> Result<String, Problem> {
    let mut bytes = crate::random::bytes::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_random_uuid() {
        let id = fresh_id().unwrap();
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "4");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
        assert_ne!(id, fresh_id().unwrap());
    }
}
