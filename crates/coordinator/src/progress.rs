//! What the core tells the terminal (or nobody) while it works. No words are printed here.

use haus_api::control::Reloaded;
use std::net::SocketAddr;

/// One step worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Leftovers of an earlier run were ended before this start.
    Settled {
        /// One line each.
        orphans: Vec<String>,
    },
    /// The core came back after a crash and found these instances running.
    Returned {
        /// Instances that run on.
        running: usize,
    },
    /// The gateway accepts connections.
    Listening {
        /// Where.
        gateway: SocketAddr,
        /// The name below which routes live.
        domain: String,
    },
    /// A service or instance changed its phase.
    Changed {
        /// `SERVICE` or `SERVICE/1`.
        subject: String,
        /// The phase before.
        from: &'static str,
        /// The phase after.
        to: &'static str,
        /// Why.
        why: String,
        /// Where the whole house stands.
        count: Count,
    },
    /// Every service is ready or has failed for good.
    Up {
        /// Where the whole house stands.
        count: Count,
        /// From the start of the core.
        took_ms: u64,
        /// Services that are not ready, and why.
        failed: Vec<(String, String)>,
        /// Where services can be reached.
        urls: Vec<(String, String)>,
    },
    /// The plan was read again and the difference is being applied.
    Reloaded(Box<Reloaded>),
    /// Something that a person should know.
    Note(String),
    /// The house comes to an end.
    Draining {
        /// Who asked.
        why: String,
    },
    /// Everything has ended.
    Drained,
}

/// How many services are ready, and which are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Ready services.
    pub ready: usize,
    /// All services.
    pub total: usize,
    /// Names of those that are not ready.
    pub waiting: Vec<String>,
}

/// Who is told. Called on the core's own thread: it must return at once.
pub trait Observer: Send {
    /// Takes one step note of.
    fn tell(&mut self, progress: Progress);
}
