//! Rows as answers. No value is in reach here.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use haus_api::credential::{Credential, RotationView, Version};
use haus_model::Timestamp;
use haus_store::{CredentialRow, RotationRow, VersionRow};
use haus_vault::rotation::Rotation;

/// A credential with its ETag.
pub(super) struct Shown(Credential);

impl Shown {
    /// A row with the rotation that is under way, or the last one that was.
    pub(super) fn of(row: CredentialRow, rotation: Option<RotationRow>) -> Shown {
        Shown(credential(row, rotation))
    }
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let tag = etag(self.0.revision);
        let mut response = Json(self.0).into_response();
        response.headers_mut().insert(header::ETAG, tag);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// The ETag of a revision.
pub(super) fn etag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).expect("digits in quotes are a header")
}

/// A row without its value.
pub(super) fn credential(row: CredentialRow, rotation: Option<RotationRow>) -> Credential {
    let text = |at: Timestamp| at.to_string();
    let day_ms = 86_400_000;
    let due =
        row.rotate_days.map(|days| Timestamp(row.rotated_at.0.saturating_add(i64::from(days) * day_ms)));
    Credential {
        id: row.id,
        name: row.name,
        credential_type: row.kind,
        service_name: row.owner,
        scope: row.scope,
        origin: row.origin.as_str().to_owned(),
        description: row.description,
        metadata: serde_json::from_str(&row.metadata).unwrap_or_default(),
        version: row.version,
        expires_at: row.expires_at.map(text),
        rotation_required: row.rotation_required,
        rotate_days: row.rotate_days,
        next_rotation_at: due.map(text),
        rotation_count: row.rotation_count,
        created_at: text(row.created_at),
        updated_at: text(row.updated_at),
        last_used: row.last_used_at.map(text),
        revision: row.revision,
        rotation: rotation.and_then(|row| view_of(&row)),
    }
}

/// A version without its value.
pub(super) fn version(row: VersionRow) -> Version {
    Version {
        version: row.version,
        state: row.state.as_str().to_owned(),
        created_at: row.created_at.to_string(),
        valid_until: row.valid_until.map(|at| at.to_string()),
        key_id: row.key_id,
    }
}

fn view_of(row: &RotationRow) -> Option<RotationView> {
    let rotation: Rotation = serde_json::from_str(&row.state).ok()?;
    Some(crate::rotating::view(&rotation, row.ended_at))
}
