//! How long each kind of request may go without a sign of life. It counts nothing itself.

use haus_acts::wire::Request;
use std::time::Duration;

/// Limits on waiting. Everything has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the start of a connection to the first word of the host, sudo included.
    pub ready: Duration,
    /// To bring the program to the host.
    pub put: Duration,
    /// For what a host answers from memory and disk.
    pub answer: Duration,
    /// To look at everything; a source of releases may be asked on the way.
    pub observe: Duration,
    /// Between two signs of life of an act: the commands on the host have limits of their own, which end
    /// first.
    pub act: Duration,
    /// For a session to end after its last answer.
    pub close: Duration,
    /// How long a host that was lost is looked for again. Zero leaves it to the next apply.
    pub search: Duration,
    /// Between two attempts at it.
    pub pause: Duration,
    /// Between a guarded unit and the proof that the host is still reached. A unit is through before what it
    /// does has come: sshd reads again and networkd takes addresses away a moment later, and until then the
    /// old road would prove itself.
    pub settle: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            ready: Duration::from_secs(20),
            put: Duration::from_secs(120),
            answer: Duration::from_secs(30),
            observe: Duration::from_secs(120),
            act: Duration::from_secs(3600),
            close: Duration::from_secs(3),
            search: Duration::from_secs(60),
            pause: Duration::from_secs(2),
            settle: Duration::from_secs(3),
        }
    }
}

impl Patience {
    /// For this request.
    pub(crate) fn of(&self, request: &Request) -> Duration {
        match request {
            Request::Observe { .. } => self.observe,
            Request::Act { .. }
            | Request::Recover { .. }
            | Request::Finish { .. }
            | Request::RollBack { .. } => self.act,
            // A beginning observes again.
            Request::Begin(_) => self.observe,
            Request::Hello(_)
            | Request::Missing { .. }
            | Request::Put { .. }
            | Request::Confirm { .. }
            | Request::History { .. } => self.answer,
        }
    }
}
