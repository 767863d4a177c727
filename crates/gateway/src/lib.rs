//! The data plane: takes HTTP requests, finds their route, passes them on and answers.
//!
//! It gets an immutable [`Snapshot`] and knows no registry, no vault, no database and no plan file.
//! Policy (breaker, balancing) comes from `haus-watch`; sockets and time are at home here.
//!
//! The road of a request: `accept` → `answer` (head, route) → `forward` (which instance, how often)
//! → `attempt` (one exchange) → `body` (back to the client), or from `answer` to `files`. A request that
//! somebody in our own process makes begins in `call`, takes the same road and ends in `call_body`.

mod accept;
mod access;
mod answer;
mod attempt;
mod body;
mod budget;
mod call;
mod call_body;
mod client;
mod client_stream;
mod clock;
mod error;
mod files;
mod forward;
mod gateway;
mod header;
mod instance;
mod joined_write;
mod limits;
mod outgoing;
mod path;
mod pool;
mod problem;
mod request;
mod snapshot;
mod stats;
mod table;
mod upload;

pub use access::{AccessRecord, AccessSink, NoAccessLog, RequestPath, Text};
pub use call::{CallOptions, CallProblem, Called};
pub use call_body::{CallBody, CallBodyError};
pub use error::GatewayError;
pub use gateway::{Drained, Gateway, Handle};
pub use limits::Limits;
pub use snapshot::{Address, Defaults, Endpoint, FilesTarget, Route, Snapshot, Target, Upstream};
pub use stats::{BreakerView, Latency, ServiceStats, Stats, StatusClasses};
pub use upload::RequestBody;
