//! Who asks.

use super::refusal::Refusal;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use haus_api::{Problem, ProblemCode};
use haus_identity::Claims;
use haus_model::{Scope, ServiceName};
use std::net::SocketAddr;
use std::sync::Arc;

/// The other end of the connection, as the listener saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over the socket that only our own account can open: the gateway.
    Gateway,
    /// Over the control socket, by the kernel's word.
    Account {
        /// The user id.
        uid: u32,
    },
}

/// Who asks, from where, and in which request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Who.
    pub who: Who,
    /// The address of the peer, when it came over TCP.
    pub address: Option<String>,
    /// The request.
    pub request_id: String,
}

/// How somebody is known.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// Not at all.
    Anonymous,
    /// By a token.
    Token(Arc<Claims>),
    /// By the kernel's word, on the control socket: the house's own account or root.
    Account {
        /// The user id.
        uid: u32,
    },
    /// The house itself.
    House,
}

impl Caller {
    /// The house itself, for what it does unasked; `why` stands for the request.
    pub(crate) fn house(why: &str) -> Caller {
        Caller { who: Who::House, address: None, request_id: why.to_owned() }
    }

    /// The actor in the trail.
    pub(crate) fn actor(&self) -> String {
        match &self.who {
            Who::Anonymous => "anonymous".to_owned(),
            Who::Token(claims) => claims.sub.clone(),
            Who::Account { uid } => format!("admin:uid={uid}"),
            Who::House => "house".to_owned(),
        }
    }

    /// Whether this is allowed.
    pub(crate) fn allows(&self, wanted: &Scope) -> bool {
        match &self.who {
            Who::Anonymous => false,
            Who::Token(claims) => claims.scope.iter().any(|held| held.allows(wanted)),
            Who::Account { .. } | Who::House => true,
        }
    }

    /// Whether everything is allowed.
    pub(crate) fn is_admin(&self) -> bool {
        self.allows(&Scope::Admin)
    }

    /// The service that asks.
    pub(crate) fn service(&self) -> Option<&ServiceName> {
        match &self.who {
            Who::Token(claims) => claims.service.as_ref(),
            Who::Anonymous | Who::Account { .. } | Who::House => None,
        }
    }

    /// The instance that asks.
    pub(crate) fn instance(&self) -> Option<&str> {
        match &self.who {
            Who::Token(claims) => claims.instance.as_deref(),
            Who::Anonymous | Who::Account { .. } | Who::House => None,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Refusal> {
        let missing = || Problem::new(ProblemCode::Internal, "nobody found out who asks");
        parts.extensions.get::<Caller>().cloned().ok_or_else(|| missing().into())
    }
}
