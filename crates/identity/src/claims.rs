//! What an access token says: who, for whom, until when, with which scopes. It knows no signature and no
//! header.

use crate::{ACCESS_TTL, LEEWAY, TokenError};
use haus_model::{HouseName, InstanceId, Scope, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest `sub`, `jti` and `sid` in bytes.
pub const SUBJECT_BYTES_MAX: usize = 255;

/// The `iss` of a house's tokens: `haus:HOUSE`.
pub fn issuer_of(house: &HouseName) -> String {
    format!("haus:{house}")
}

/// The `aud` of tokens for a house's API: `haus:HOUSE:api`.
pub fn audience_of(house: &HouseName) -> String {
    format!("haus:{house}:api")
}

/// Who a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A service, or one instance of it: `service:api`, `service:api/1`.
    Service {
        /// The service.
        service: ServiceName,
        /// What its registration calls the instance, without the service: `1`.
        instance: Option<String>,
    },
    /// A token that a person made: `token:NAME`.
    Token {
        /// The name that it was given.
        name: String,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Service { service, instance: Some(instance) } => {
                write!(f, "service:{service}/{instance}")
            }
            Subject::Service { service, instance: None } => write!(f, "service:{service}"),
            Subject::Token { name } => write!(f, "token:{name}"),
        }
    }
}

impl From<InstanceId> for Subject {
    fn from(id: InstanceId) -> Subject {
        Subject::Service { service: id.service, instance: Some(id.ordinal.to_string()) }
    }
}

/// What a caller decides about a token; the rest follows from the house and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who gets it.
    pub subject: Subject,
    /// What its holder may do.
    pub scope: Vec<Scope>,
    /// The session: one id for all tokens that descend from one enrolment by refreshing. Revoked as one.
    pub sid: String,
    /// An id of this token alone, for the trail. Has to be random: 128 bits as hexadecimal do.
    pub jti: String,
}

/// The claims of an access token (RFC 7519, section 4.1). Times are whole seconds since 1970, as that page
/// wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer, see [`issuer_of`].
    pub iss: String,
    /// Audience, see [`audience_of`]. One text, never a list.
    pub aud: String,
    /// Subject in the text form of [`Subject`].
    pub sub: String,
    /// Id of this token.
    pub jti: String,
    /// When it was made.
    pub iat: i64,
    /// From when on it may be used.
    pub nbf: i64,
    /// The first second at which it is refused.
    pub exp: i64,
    /// What its holder may do; in the token one text with blanks between (RFC 8693, section 4.2).
    #[serde(with = "scope_text")]
    pub scope: Vec<Scope>,
    /// The service, when the subject is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// The instance, when the subject is one: the part of `sub` behind the stroke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The session, see [`Grant::sid`].
    pub sid: String,
}

impl Claims {
    /// Claims that hold from `now` for [`ACCESS_TTL`], for the API of `house`.
    pub fn issue(house: &HouseName, grant: Grant, now: Timestamp) -> Claims {
        let iat = now.0.div_euclid(1000);
        let sub = grant.subject.to_string();
        let (service, instance) = match grant.subject {
            Subject::Service { service, instance } => (Some(service), instance),
            Subject::Token { name: _ } => (None, None),
        };
        Claims {
            iss: issuer_of(house),
            aud: audience_of(house),
            sub,
            jti: grant.jti,
            iat,
            nbf: iat,
            exp: iat.saturating_add(seconds(ACCESS_TTL)),
            scope: grant.scope,
            service,
            instance,
            sid: grant.sid,
        }
    }

    /// Whether the holder may do what needs `wanted`.
    pub fn allow(&self, wanted: &Scope) -> bool {
        self.scope.iter().any(|held| held.allows(wanted))
    }

    /// The first moment at which the token is refused.
    pub fn expires_at(&self) -> Timestamp {
        moment(self.exp)
    }

    /// Checks the times alone: `exp` to the millisecond, `iat` and `nbf` with [`LEEWAY`].
    ///
    /// # Errors
    /// [`TokenError::Expired`] or [`TokenError::NotYet`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), TokenError> {
        if now >= self.expires_at() {
            return Err(TokenError::Expired { at: self.expires_at() });
        }
        let at = moment(self.nbf.max(self.iat));
        if at > now.after(LEEWAY) {
            return Err(TokenError::NotYet { at });
        }
        Ok(())
    }

    /// Checks what has to hold whoever asks and whenever: applied before signing and after verifying, so that
    /// a mistake in one place does not become a token for a year.
    pub(crate) fn check_rules(&self) -> Result<(), TokenError> {
        let refuse = |what| Err(TokenError::Claims { what });
        match self.exp.checked_sub(self.iat) {
            Some(life) if life < 1 => return refuse("it expires before it was made"),
            Some(life) if life <= seconds(ACCESS_TTL) => {}
            Some(_) | None => return refuse("it lives longer than access tokens may"),
        }
        if self.nbf >= self.exp {
            return refuse("it expires before it may be used");
        }
        if ![&self.sub, &self.jti, &self.sid].into_iter().all(|text| is_plain(text)) {
            return refuse("sub, jti and sid have 1 to 255 visible ASCII characters");
        }
        let subject = match (&self.service, self.sub.strip_prefix("token:")) {
            (None, Some("")) => return refuse("a token that a person made has a name"),
            (None, Some(_)) if self.instance.is_none() => return Ok(()),
            (None, _) => return refuse("the subject is neither a service nor a named token"),
            (Some(service), _) => {
                Subject::Service { service: service.clone(), instance: self.instance.clone() }.to_string()
            }
        };
        if self.sub == subject {
            Ok(())
        } else {
            refuse("sub names another service or instance than the claims")
        }
    }
}

/// Nothing that would break a line of a log or of the trail.
fn is_plain(text: &str) -> bool {
    (1..=SUBJECT_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp(seconds.saturating_mul(1000))
}

fn seconds(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

/// Scopes as one text with blanks between.
mod scope_text {
    use haus_model::Scope;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(scopes: &[Scope], serializer: S) -> Result<S::Ok, S::Error> {
        let words: Vec<String> = scopes.iter().map(Scope::to_string).collect();
        serializer.serialize_str(&words.join(" "))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Scope>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.split_ascii_whitespace().map(|word| word.parse().map_err(de::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests;
