//! What can go wrong before a request exists: binding, and refusing a snapshot.

use std::io;
use std::net::SocketAddr;

/// Why the gateway did not start or did not take a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The listener could not be opened.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A route names a header that HTTP does not allow. The former snapshot stays in force.
    #[error("route {route} names the header `{header}`, which is no valid header name")]
    HeaderName {
        /// The route.
        route: String,
        /// The text.
        header: String,
    },
    /// A route sets a header to a value that HTTP does not allow. The former snapshot stays in force.
    #[error("route {route} sets the header `{header}` to a value with control characters")]
    HeaderValue {
        /// The route.
        route: String,
        /// The header.
        header: String,
    },
}

impl GatewayError {
    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        match self {
            GatewayError::Bind { .. } => true,
            GatewayError::HeaderName { .. } | GatewayError::HeaderValue { .. } => false,
        }
    }
}
