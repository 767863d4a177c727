//! What is asked, with every variable filled in.

use haus_model::health::Expectation;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// How a server is asked over HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpMethod {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`: the same answer without its body.
    Head,
}

impl HttpMethod {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            HttpMethod::Get => "GET",
            HttpMethod::Head => "HEAD",
        }
    }
}

/// One thing to ask.
#[derive(Clone, PartialEq, Eq)]
pub enum ProbeTarget {
    /// An HTTP/1.1 request.
    Http {
        /// By which method.
        method: HttpMethod,
        /// Where to connect.
        address: SocketAddr,
        /// The `Host` header.
        host: String,
        /// Path and query.
        path: String,
        /// What the answer must look like.
        expect: Expectation,
    },
    /// A TCP connection that is accepted.
    Tcp {
        /// Where to connect.
        address: SocketAddr,
    },
    /// A command that ends with 0. Its environment is `env` and `HAUS_PROBE`, the mark by which all that it
    /// started is found and ended.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// The whole environment; never printed.
        env: BTreeMap<String, String>,
        /// Working folder.
        folder: PathBuf,
        /// User and group id to run as; our own when absent.
        account: Option<(u32, u32)>,
    },
    /// A process that runs. The start time tells it from a later one with the same number.
    Process {
        /// Its number.
        pid: u32,
        /// Field 22 of `/proc/PID/stat`: clock ticks from boot to its start.
        start_ticks: u64,
    },
}

impl fmt::Display for ProbeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A query may carry a token, so only the path is shown.
            ProbeTarget::Http { method, address, path, .. } => {
                let path = path.split('?').next().unwrap_or_default();
                write!(f, "{} http://{address}{path}", method.as_str())
            }
            ProbeTarget::Tcp { address } => write!(f, "connect {address}"),
            // Arguments may carry secrets that we cannot recognise; the program alone says enough.
            ProbeTarget::Command { argv, .. } => {
                write!(f, "command {}", argv.first().map_or("(none)", String::as_str))
            }
            ProbeTarget::Process { pid, .. } => write!(f, "process {pid}"),
        }
    }
}

impl fmt::Debug for ProbeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProbeTarget({self})")
    }
}
