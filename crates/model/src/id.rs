//! Typed names. A name is checked once, when it is made, so no reader checks it again.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest name in bytes: a service name becomes a host name label (RFC 1123, section 2.1).
pub const NAME_BYTES_MAX: usize = 63;

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdError {
    /// Nothing was given.
    Empty,
    /// Longer than [`NAME_BYTES_MAX`] bytes.
    TooLong,
    /// The first character is no lower-case letter.
    Start(char),
    /// A character that is neither lower-case letter, digit nor dash.
    Character(char),
    /// A dash at the end, or two in a row.
    Dash,
    /// An instance id without `/NUMBER`.
    Instance,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdError::Empty => write!(f, "a name must not be empty"),
            IdError::TooLong => write!(f, "a name has at most {NAME_BYTES_MAX} characters"),
            IdError::Start(c) => write!(f, "a name starts with a lower-case letter, not with `{c}`"),
            IdError::Character(c) => {
                write!(f, "a name has lower-case letters, digits and dashes, not `{c}`")
            }
            IdError::Dash => write!(f, "dashes stand alone and inside a name"),
            IdError::Instance => write!(f, "an instance is written SERVICE/NUMBER"),
        }
    }
}

impl std::error::Error for IdError {}

/// Checks a name: lower-case letters, digits, single inner dashes, a letter first, at most 63 bytes.
///
/// # Errors
/// The first rule that the text breaks.
pub fn check_name(text: &str) -> Result<(), IdError> {
    let first = text.chars().next().ok_or(IdError::Empty)?;
    if text.len() > NAME_BYTES_MAX {
        return Err(IdError::TooLong);
    }
    if !first.is_ascii_lowercase() {
        return Err(IdError::Start(first));
    }
    if let Some(c) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(IdError::Character(c));
    }
    if text.ends_with('-') || text.contains("--") {
        return Err(IdError::Dash);
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check_name(text)?;
                Ok($name(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type!(/// The name of a house.
    HouseName);
name_type!(/// The name of a service, unique in its house; also its host name label.
    ServiceName);
name_type!(/// The name of a credential, unique in its house.
    CredentialName);
name_type!(/// The name of one port of a service.
    PortName);
name_type!(/// The name of a stage, such as `staging`.
    StageName);
name_type!(/// The name of a host, unique in its house.
    HostName);
name_type!(/// The name of a group of hosts.
    GroupName);
name_type!(/// The name of a network between hosts.
    NetworkName);

/// One slot of a service: `SERVICE/1`, `SERVICE/2`, … The slot stays when its process is replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    /// The service that the slot belongs to.
    pub service: ServiceName,
    /// Counted from 1.
    pub ordinal: u32,
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.ordinal)
    }
}

impl FromStr for InstanceId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (service, ordinal) = text.rsplit_once('/').ok_or(IdError::Instance)?;
        let ordinal = ordinal.parse().map_err(|_| IdError::Instance)?;
        Ok(InstanceId { service: service.parse()?, ordinal })
    }
}

impl Serialize for InstanceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InstanceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), IdError>) {
        assert_eq!(check_name(text), expected, "{text:?}");
    }

    #[test]
    fn names_are_host_name_labels() {
        check("zimmer-01-n8n-manager", Ok(()));
        check("a", Ok(()));
        check("", Err(IdError::Empty));
        check("1a", Err(IdError::Start('1')));
        check("aB", Err(IdError::Character('B')));
        check("a_b", Err(IdError::Character('_')));
        check("a-", Err(IdError::Dash));
        check("a--b", Err(IdError::Dash));
        check(&"a".repeat(63), Ok(()));
        check(&"a".repeat(64), Err(IdError::TooLong));
    }

    #[test]
    fn instance_ids_survive_text() {
        let id: InstanceId = "web/2".parse().unwrap();
        assert_eq!(id.to_string(), "web/2");
        assert_eq!("web".parse::<InstanceId>(), Err(IdError::Instance));
        assert_eq!("web/x".parse::<InstanceId>(), Err(IdError::Instance));
    }
}
