//! What can be recorded: the acts and how they ended. Adding an act is adding a word here and nowhere else;
//! a word that is in use is never renamed, since it stands in hashed bytes.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! words {
    (
        $(#[$doc:meta])* $name:ident, $case:literal, $error:ident, $what:literal:
        $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = $case)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every word, in the order of the format.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word as it stands in the trail.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        #[doc = concat!("A text that is no ", $what, " of the trail.")]
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[error("`{text}` is no {} of the trail; there are {}", $what, [$($text),+].join(", "))]
        pub struct $error {
            /// The text, at most its first 64 characters.
            pub text: String,
        }

        impl FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<$name, $error> {
                match text {
                    $($text => Ok($name::$variant),)+
                    other => Err($error { text: other.chars().take(64).collect() }),
                }
            }
        }
    };
}

words! {
    /// The act that an entry records.
    Action, "kebab-case", UnknownAction, "action":
    /// A credential was made.
    CredentialCreate = "credential-create",
    /// A credential's value was read, or somebody tried to.
    CredentialRead = "credential-read",
    /// A credential's value or terms were changed.
    CredentialUpdate = "credential-update",
    /// A credential was removed.
    CredentialDelete = "credential-delete",
    /// A credential moved on to a new version.
    CredentialRotate = "credential-rotate",
    /// A credential's value was taken in from outside.
    CredentialImport = "credential-import",
    /// A credential reached its end.
    CredentialExpire = "credential-expire",
    /// The key that wraps the credentials was changed.
    KeyRotate = "key-rotate",
    /// A service showed its enrolment token.
    TokenEnrol = "token-enrol",
    /// An access token was given out.
    TokenIssue = "token-issue",
    /// An access token was renewed.
    TokenRefresh = "token-refresh",
    /// A token was made invalid before its end.
    TokenRevoke = "token-revoke",
    /// A token was shown that is not accepted.
    TokenRefuse = "token-refuse",
    /// A service entered the registry.
    ServiceRegister = "service-register",
    /// A service changed its entry in the registry.
    ServiceUpdate = "service-update",
    /// A service left the registry.
    ServiceDeregister = "service-deregister",
    /// A service was taken out of the registry, its lease ran out.
    ServiceExpire = "service-expire",
    /// A call went through the gateway's API.
    GatewayCall = "gateway-call",
    /// Somebody silenced alerts.
    AlertSilence = "alert-silence",
    /// Another act of an administrator; the details name it.
    Admin = "admin",
    /// The trail was read out.
    TrailExport = "trail-export",
    /// Old entries were removed from the front of the trail.
    TrailPrune = "trail-prune",
    /// The coordinator began to work.
    HouseStart = "house-start",
    /// The coordinator ended in order.
    HouseEnd = "house-end",
}

words! {
    /// How the act ended.
    Outcome, "lowercase", UnknownOutcome, "outcome":
    /// It was permitted and done.
    Allowed = "allowed",
    /// It was refused: the actor may not.
    Denied = "denied",
    /// It was permitted and did not succeed.
    Failed = "failed",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_in_text_and_in_json() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_string(action).unwrap(), format!("\"{action}\""));
            assert_eq!(action.as_str().parse::<Action>(), Ok(*action));
        }
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_string(outcome).unwrap(), format!("\"{outcome}\""));
            assert_eq!(outcome.as_str().parse::<Outcome>(), Ok(*outcome));
        }
    }

    #[test]
    fn an_unknown_word_is_told_the_known_ones() {
        let error = "permitted".parse::<Outcome>().unwrap_err();
        let expected = "`permitted` is no outcome of the trail; there are allowed, denied, failed";
        assert_eq!(error.to_string(), expected);
        assert_eq!("x".repeat(1000).parse::<Action>().unwrap_err().text.len(), 64);
        assert!("Admin".parse::<Action>().is_err());
    }
}
