//! Who somebody is: signed access tokens, opaque enrolment and refresh tokens, the keys that sign, and the
//! limit on those who guess. The text forms are in `docs/formats/tokens.md`.
//!
//! It knows no HTTP, no store and no clock: headers, records and the time are somebody's arguments. The only
//! thing that it takes from the system is randomness for a new signing key. What a scope allows is
//! `haus_model::Scope`'s business, and whether a session was revoked is the caller's.

mod claims;
mod encoding;
mod error;
mod keys;
pub mod limiter;
pub mod opaque;
mod signed_bytes;
mod token;
pub mod verify_cache;

use std::time::Duration;

pub use claims::{Claims, Grant, SUBJECT_BYTES_MAX, Subject, audience_of, issuer_of};
pub use error::{KeyError, TokenError};
pub use keys::{KEYS_MAX, KeyRecord, SigningKeys};
pub use limiter::{LimitKey, Limiter, RetryAfter};
pub use opaque::{Opaque, OpaqueError, OpaqueKind, TokenHash, mint, parse};
pub use token::{TOKEN_BYTES_MAX, TOKEN_TYPE};
pub use verify_cache::VerifyCache;

/// How long an access token may be used. Short, because a copy of it works until then.
pub const ACCESS_TTL: Duration = Duration::from_secs(15 * 60);

/// How long a refresh token may be used, counted from when it was made. Who is silent for longer enrols
/// again.
pub const REFRESH_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How far ahead of ours the clock of whoever wrote `iat` and `nbf` may be. It never prolongs a life: `exp`
/// is exact (RFC 7519, section 4.1.4: "on or after which").
pub const LEEWAY: Duration = Duration::from_secs(30);

/// How long a replaced key has to verify so that no token which it signed dies early: [`ACCESS_TTL`] and
/// [`LEEWAY`].
pub const KEY_OVERLAP: Duration = Duration::from_secs(15 * 60 + 30);
