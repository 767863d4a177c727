//! What the holder of a token may do.

use crate::id::ServiceName;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// One permission. The words are those of DESIGN 6: `cred:read:api`, `admin`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read the values that a service may have.
    CredentialRead(ServiceName),
    /// Register, report and deregister instances of a service.
    RegistryWrite(ServiceName),
    /// Call a service through the gateway API; none stands for every service (`gateway:call:*`).
    GatewayCall(Option<ServiceName>),
    /// Read everything that is not a secret value.
    Read,
    /// Everything.
    Admin,
}

impl Scope {
    /// Whether a holder of `self` may do what needs `wanted`.
    pub fn allows(&self, wanted: &Scope) -> bool {
        match (self, wanted) {
            (Scope::Admin, _) | (Scope::GatewayCall(None), Scope::GatewayCall(_)) => true,
            (held, wanted) => held == wanted,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::CredentialRead(service) => write!(f, "cred:read:{service}"),
            Scope::RegistryWrite(service) => write!(f, "registry:write:{service}"),
            Scope::GatewayCall(Some(service)) => write!(f, "gateway:call:{service}"),
            Scope::GatewayCall(None) => write!(f, "gateway:call:*"),
            Scope::Read => write!(f, "read"),
            Scope::Admin => write!(f, "admin"),
        }
    }
}

/// A text that is no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeError(pub String);

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no scope; there are cred:read:SERVICE, registry:write:SERVICE, gateway:call:SERVICE, \
             gateway:call:*, read and admin",
            self.0
        )
    }
}

impl std::error::Error for ScopeError {}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Scope, ScopeError> {
        let bad = || ScopeError(text.to_owned());
        let service = |name: &str| name.parse::<ServiceName>().map_err(|_| bad());
        if let Some(name) = text.strip_prefix("cred:read:") {
            return Ok(Scope::CredentialRead(service(name)?));
        }
        if let Some(name) = text.strip_prefix("registry:write:") {
            return Ok(Scope::RegistryWrite(service(name)?));
        }
        match (text, text.strip_prefix("gateway:call:")) {
            ("admin", _) => Ok(Scope::Admin),
            ("read", _) => Ok(Scope::Read),
            (_, Some("*")) => Ok(Scope::GatewayCall(None)),
            (_, Some(name)) => Ok(Scope::GatewayCall(Some(service(name)?))),
            (_, None) => Err(bad()),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scope, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(held: &str, wanted: &str, expected: bool) {
        let parse = |text: &str| text.parse::<Scope>().unwrap();
        assert_eq!(parse(held).allows(&parse(wanted)), expected, "{held} for {wanted}");
        assert_eq!(parse(held).to_string(), held);
    }

    #[test]
    fn a_scope_allows_itself_and_an_admin_everything() {
        check("cred:read:api", "cred:read:api", true);
        check("cred:read:api", "cred:read:web", false);
        check("registry:write:api", "cred:read:api", false);
        check("gateway:call:*", "gateway:call:api", true);
        check("gateway:call:api", "gateway:call:*", false);
        check("read", "admin", false);
        check("admin", "cred:read:api", true);
    }

    #[test]
    fn what_is_no_scope_is_told_with_all_that_are() {
        for text in ["", "root", "cred:read:", "cred:read:A", "gateway:call:", "cred:write:api"] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }
}
