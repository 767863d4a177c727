//! A credential as the plan describes it: kind, source, scope, rotation. Never its value.

use crate::id::{CredentialName, ServiceName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What a credential is used for; the names are those of the zimmer document (spec 2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// Key of an API.
    ApiKey,
    /// Tokens of an OAuth account.
    Oauth,
    /// Name and password of HTTP Basic.
    BasicAuth,
    /// Key that signs JSON web tokens.
    Jwt,
    /// Password of a database.
    Database,
    /// Key that signs webhooks.
    Webhook,
    /// Anything else.
    #[default]
    Custom,
}

impl CredentialKind {
    /// All of them.
    pub const ALL: [CredentialKind; 7] = [
        CredentialKind::ApiKey,
        CredentialKind::Oauth,
        CredentialKind::BasicAuth,
        CredentialKind::Jwt,
        CredentialKind::Database,
        CredentialKind::Webhook,
        CredentialKind::Custom,
    ];

    /// The word in plans, answers and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            CredentialKind::ApiKey => "api_key",
            CredentialKind::Oauth => "oauth",
            CredentialKind::BasicAuth => "basic_auth",
            CredentialKind::Jwt => "jwt",
            CredentialKind::Database => "database",
            CredentialKind::Webhook => "webhook",
            CredentialKind::Custom => "custom",
        }
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no kind of credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKind(pub String);

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<&str> = CredentialKind::ALL.iter().map(|kind| kind.as_str()).collect();
        write!(f, "`{}` is no kind of credential; there are {}", self.0, all.join(", "))
    }
}

impl std::error::Error for UnknownKind {}

impl FromStr for CredentialKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<CredentialKind, UnknownKind> {
        let found = CredentialKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// Where the first value of a credential comes from; afterwards the vault has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialSource {
    /// Made at first start with this many characters.
    Generated {
        /// Characters of the base64url alphabet, 6 bits each.
        length: u32,
    },
    /// Read from a file that the user keeps, at every start and reload.
    File {
        /// Absolute or relative to where the plan was read from.
        path: PathBuf,
    },
    /// Given by a person or over the API: `haus credential create`.
    Given,
}

/// Who makes a server know the new value of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotator {
    /// The password of a PostgreSQL role; the role itself logs in and changes it. A role has one password, so
    /// there is no overlap: the old one ends at once for new connections.
    Postgres {
        /// The service that is the server.
        service: ServiceName,
        /// The role.
        role: String,
        /// The database that it logs in to.
        database: String,
    },
    /// A password of a Redis ACL user (Redis 6 or newer); old and new are valid together during the overlap.
    Redis {
        /// The service that is the server.
        service: ServiceName,
        /// The user; `default` is the one of `requirepass`.
        user: String,
    },
}

/// A credential by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its name.
    pub name: CredentialName,
    /// What it is used for.
    pub kind: CredentialKind,
    /// Where the value comes from.
    pub source: CredentialSource,
    /// Services that may have it; those that name it when the plan gives no scope.
    pub scope: Vec<ServiceName>,
    /// Days between rotations; none means never.
    pub rotate_days: Option<u32>,
    /// How long the old value stays valid beside a new one.
    pub overlap: Duration,
    /// How long a version may be used; none means for ever.
    pub ttl: Option<Duration>,
    /// Who tells a server; none when only the services that read it have to know.
    pub rotator: Option<Rotator>,
    /// Why it is as it is.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_word() {
        for kind in CredentialKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        let error = "password".parse::<CredentialKind>().unwrap_err();
        assert!(error.to_string().ends_with("basic_auth, jwt, database, webhook, custom"), "{error}");
    }
}
