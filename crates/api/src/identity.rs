//! `/api/identity` and `/api/tokens`: how one comes in, stays in, and is let out.

use crate::credential::expose_text;
use haus_model::{Scope, Secret, ServiceName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /api/identity/enrol`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The one-time token: `haus_en_…`.
    #[serde(serialize_with = "expose_text", deserialize_with = "required")]
    #[schema(value_type = String, format = Password, write_only)]
    pub token: Secret,
    /// The instance that enrols, when the token is not bound to one.
    #[schema(max_length = 63, pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
    pub instance: Option<String>,
}

/// Body of `POST /api/identity/refresh`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The refresh token: `haus_re_…`. It is exchanged: only the one in the answer is valid afterwards.
    #[serde(serialize_with = "expose_text", deserialize_with = "required")]
    #[schema(value_type = String, format = Password, write_only)]
    pub refresh_token: Secret,
}

/// Answer of enrolment and refresh (names of RFC 6749, section 5.1).
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// For the header `Authorization: Bearer …`.
    #[serde(serialize_with = "expose_text", deserialize_with = "required")]
    #[schema(value_type = String, read_only)]
    pub access_token: Secret,
    /// `Bearer`
    pub token_type: String,
    /// Seconds for which the access token is valid.
    pub expires_in: u64,
    /// For `POST /api/identity/refresh`; used once.
    #[serde(serialize_with = "expose_text", deserialize_with = "required")]
    #[schema(value_type = String, read_only)]
    pub refresh_token: Secret,
    /// Seconds for which the refresh token is valid.
    pub refresh_expires_in: u64,
    /// What the holder may do, separated by spaces.
    pub scope: String,
    /// Who the holder is: `service:api/1`.
    pub subject: String,
}

/// Answer of `GET /api/identity/whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// `service:api/1`, `token:NAME`, `admin:uid=0`.
    pub subject: String,
    /// The service.
    #[schema(value_type = Option<String>, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub service: Option<ServiceName>,
    /// The instance.
    pub instance: Option<String>,
    /// What it may do.
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Scope>,
    /// RFC 3339: when the access token ends; none on the control socket.
    pub expires_at: Option<String>,
}

/// Body of `POST /api/tokens`: lets somebody in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    /// The service that it is for; gives the usual scopes of a service.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub service: Option<ServiceName>,
    /// The instance that it is bound to.
    #[serde(default)]
    #[schema(max_length = 63, pattern = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
    pub instance: Option<String>,
    /// For somebody who is no service: a name for lists and the trail.
    #[serde(default)]
    #[schema(pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub name: Option<String>,
    /// What the holder may do, in addition to the usual scopes of a service.
    #[serde(default)]
    #[schema(value_type = Vec<String>, example = json!(["gateway:call:*"]))]
    pub scopes: Vec<Scope>,
    /// Seconds for which the one-time token can be used, a day when absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2592000)]
    pub expires_in_s: Option<u64>,
}

/// Answer of `POST /api/tokens`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// For taking it back.
    pub id: String,
    /// The one-time token. It is shown this once.
    #[serde(serialize_with = "expose_text", deserialize_with = "required")]
    #[schema(value_type = String, read_only)]
    pub token: Secret,
    /// Who comes in by it.
    pub subject: String,
    /// RFC 3339.
    pub expires_at: String,
    /// What its holder may do.
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Scope>,
}

/// One row of `GET /api/tokens`: an open one-time token or a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id, for `DELETE /api/tokens/{id}`.
    pub id: String,
    /// `enrolment` or `session`.
    pub kind: String,
    /// Who.
    pub subject: String,
    /// What it may do.
    #[schema(value_type = Vec<String>)]
    pub scopes: Vec<Scope>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339: when it was last used.
    pub used_at: Option<String>,
    /// RFC 3339.
    pub expires_at: String,
    /// Who made it.
    pub made_by: Option<String>,
}

/// Answer of `POST /api/tokens/rotate-key` and `POST /api/vault/rotate-key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRotated {
    /// The new key's id.
    pub key_id: String,
    /// Keys that only read or verify from here on.
    pub former: Vec<String>,
    /// Versions that were sealed anew; none for signing keys.
    pub resealed: Option<u64>,
    /// Public half of the key that anchors of the trail are signed with from here on (Ed25519, hexadecimal):
    /// it is derived from the key ring and changes with it. None for signing keys.
    pub anchor_key: Option<String>,
    /// The one before it. An anchor that it signed is none of now.
    pub former_anchor_key: Option<String>,
}

fn required<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    crate::credential::text_secret(deserializer)?.ok_or_else(|| serde::de::Error::custom("a text is needed"))
}
