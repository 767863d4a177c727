//! `/api/credentials`: what is asked and answered. A value appears in exactly three shapes:
//! [`CredentialCreate`], [`RotateRequest`] and [`ServiceCredential`].

use crate::page::SortOrder;
use haus_model::{CredentialKind, Secret, ServiceName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Body of `POST /api/credentials` and `POST /api/credentials/create`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialCreate {
    /// Name, unique per service; upper case is lowered.
    #[schema(min_length = 1, max_length = 255, example = "payment-key")]
    pub name: String,
    /// What it is used for.
    #[serde(default)]
    #[schema(value_type = String, example = "api_key", pattern = "^(api_key|oauth|basic_auth|jwt|database|webhook|custom)$")]
    pub credential_type: Option<CredentialKind>,
    /// The service that owns it; absent: the plan's own credential of that name gets its first value.
    #[serde(default, alias = "service", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63, example = "zimmer-09-clawdbot-bote")]
    pub service_name: Option<ServiceName>,
    /// The value; none makes the coordinator generate one of `length` characters.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "expose_some_text",
        deserialize_with = "text_secret"
    )]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 65536, format = Password, write_only)]
    pub value: Option<Secret>,
    /// Characters of a generated value, 48 when absent.
    #[schema(minimum = 16, maximum = 4096)]
    pub length: Option<u32>,
    /// For people.
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// An object of your own, up to 8 KiB.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
    /// Further services that may have it.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub scope: Vec<ServiceName>,
    /// RFC 3339: when the value may no longer be read.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// The same as a span in seconds from now.
    #[schema(minimum = 1)]
    pub ttl_s: Option<u64>,
    /// Whether a rotation is wanted from the start.
    #[serde(default)]
    pub rotation_required: bool,
    /// Days between rotations.
    #[schema(minimum = 1, maximum = 3650)]
    pub rotate_days: Option<u32>,
}

/// Body of `PUT` and `PATCH /api/credentials/{id}`. A field that is absent stays; `null` clears it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialUpdate {
    /// A new value: begins a rotation with it.
    #[serde(default, deserialize_with = "text_secret")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 65536, format = Password, write_only)]
    pub value: Option<Secret>,
    /// For people.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    pub description: Option<Option<String>>,
    /// An object of your own, up to 8 KiB; replaces the former.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
    /// Services that may have it, beside the owner.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub scope: Option<Vec<ServiceName>>,
    /// RFC 3339.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Option<String>>,
    /// Whether a rotation is wanted.
    pub rotation_required: Option<bool>,
    /// Days between rotations.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 3650)]
    pub rotate_days: Option<Option<u32>>,
}

/// Body of `POST /api/credentials/{id}/rotate`; an empty object generates a value.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// The new value.
    #[serde(
        default,
        alias = "new_value",
        skip_serializing_if = "Option::is_none",
        serialize_with = "expose_some_text",
        deserialize_with = "text_secret"
    )]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 65536, format = Password, write_only)]
    pub value: Option<Secret>,
    /// Skips the overlap: the old value ends as soon as the new one is proven.
    #[serde(default)]
    pub emergency: bool,
}

/// A credential without its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Credential {
    /// Its id.
    #[schema(pattern = "^[0-9a-f-]{36}$")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is used for.
    #[schema(value_type = String)]
    pub credential_type: CredentialKind,
    /// The service that owns it; none when the plan does.
    #[schema(value_type = Option<String>, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub service_name: Option<ServiceName>,
    /// Services that may have it.
    #[schema(value_type = Vec<String>)]
    pub scope: Vec<ServiceName>,
    /// `plan` or `api`: who may change it.
    pub origin: String,
    /// For people.
    pub description: Option<String>,
    /// An object of the owner's own.
    #[schema(value_type = Object)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// Number of the current version.
    pub version: u64,
    /// RFC 3339.
    pub expires_at: Option<String>,
    /// Whether a rotation is wanted.
    pub rotation_required: bool,
    /// Days between rotations.
    pub rotate_days: Option<u32>,
    /// RFC 3339: when the next rotation is due.
    pub next_rotation_at: Option<String>,
    /// Rotations so far.
    pub rotation_count: u64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// RFC 3339: when it was read last.
    pub last_used: Option<String>,
    /// The ETag for `If-Match`.
    pub revision: u64,
    /// The rotation under way; in the answer about a single credential also the last one that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationView>,
}

/// A rotation as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotationView {
    /// Its id.
    pub id: String,
    /// `tell`, `deliver`, `prove`, `overlap`, `retire`, `undo`, `done`, `undone`, `stuck`.
    pub step: String,
    /// The version that it leads to.
    pub to_version: u64,
    /// Tries of this step so far.
    pub tries: u32,
    /// RFC 3339.
    pub began_at: String,
    /// RFC 3339.
    pub ended_at: Option<String>,
    /// What failed last.
    pub why: Option<String>,
}

/// One version of a credential, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Its number.
    pub version: u64,
    /// `pending`, `current`, `previous` or `retired`.
    pub state: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339: until when a previous one is valid.
    pub valid_until: Option<String>,
    /// The key that it is sealed with.
    pub key_id: String,
}

/// One credential with its value, only ever for the service that may have it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceCredential {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is used for.
    #[schema(value_type = String)]
    pub credential_type: CredentialKind,
    /// `utf-8`, or `base64` when the value is no text.
    #[schema(pattern = "^(utf-8|base64)$")]
    pub encoding: String,
    /// The value.
    #[serde(serialize_with = "expose_text", deserialize_with = "text_secret_required")]
    #[schema(value_type = String, read_only)]
    pub value: Secret,
    /// The value before, while it is still valid.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "expose_some_text",
        deserialize_with = "text_secret"
    )]
    #[schema(value_type = Option<String>, read_only)]
    pub previous_value: Option<Secret>,
    /// Number of the version.
    pub version: u64,
    /// RFC 3339.
    pub expires_at: Option<String>,
    /// The file names that the plan gives it for this service.
    #[serde(default)]
    pub names: Vec<String>,
}

/// Answer of `GET /api/credentials/service/{name}`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceCredentials {
    /// The service.
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length = 63)]
    pub service: ServiceName,
    /// Its credentials.
    pub credentials: Vec<ServiceCredential>,
    /// Seconds for which the holder may keep them in memory.
    pub ttl_s: u64,
    /// Changes with every rotation; also the ETag.
    pub revision: String,
}

/// Which credentials to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CredentialsQuery {
    /// Only those that this service may have.
    #[serde(alias = "service_name")]
    pub service: Option<String>,
    /// Only of this kind.
    #[param(pattern = "^(api_key|oauth|basic_auth|jwt|database|webhook|custom)$")]
    pub credential_type: Option<String>,
    /// Only of this name.
    pub name: Option<String>,
    /// `name`, `created_at`, `updated_at` or `expires_at`.
    #[param(pattern = "^(name|created_at|updated_at|expires_at)$")]
    pub sort_by: Option<String>,
    /// The direction.
    #[param(inline)]
    pub sort_order: Option<SortOrder>,
    /// Items to pass over.
    #[param(minimum = 0)]
    pub skip: Option<u64>,
    /// Items on a page, 1 to 1000; 50 when absent.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u64>,
}

/// A secret as the text that it is, for the few answers that are meant to carry one.
///
/// # Errors
/// The secret is no UTF-8; the caller encodes such values first.
pub(crate) fn expose_text<S: serde::Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    let text = std::str::from_utf8(secret.expose_bytes());
    serializer.serialize_str(text.map_err(|_| serde::ser::Error::custom("a secret is no text"))?)
}

pub(crate) fn expose_some_text<S: serde::Serializer>(
    secret: &Option<Secret>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => expose_text(secret, serializer),
        None => serializer.serialize_none(),
    }
}

/// Text as a secret; the error never quotes it.
pub(crate) fn text_secret<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Option<Secret>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(Secret::from(text.to_owned())))
        }

        fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Self::Value, E> {
            Ok(Some(Secret::from(text)))
        }

        fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_str(Visitor)
        }

        // Numbers and the like would be quoted by serde's own message.
        fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
            Err(E::custom("a text is needed, a number stands there"))
        }

        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
            Err(E::custom("a text is needed, a number stands there"))
        }

        fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
            Err(E::custom("a text is needed, a number stands there"))
        }

        fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
            Err(E::custom("a text is needed, a boolean stands there"))
        }
    }
    deserializer.deserialize_any(Visitor)
}

fn text_secret_required<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    text_secret(deserializer)?.ok_or_else(|| serde::de::Error::custom("a text is needed"))
}

/// Tells `null` from absent.
fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
