//! The rules by which a house is watched: pure state machines for health, restarts, balancing,
//! circuit breaking, the registry, alerts, expiry and the life of all services together.
//!
//! Nothing here asks a clock, opens a socket, starts a process or draws a random number: time and
//! seeds are arguments, wishes come out as values. Every machine has the same verbs: `handle_*`
//! tells it what happened, `poll_*` asks what is to be done and when it wants to be asked again.
//! Time stamps are monotonic milliseconds with any origin; only their differences matter. What is
//! kept over a restart (alerts, deliveries, the ladder, expiry, maintenance) gets wall-clock time
//! instead, and says so.

pub mod alert;
pub mod announced;
pub mod backoff;
pub mod balance;
pub mod breaker;
pub mod conductor;
pub mod delivery;
pub mod expiry;
pub mod health;
pub mod ladder;
pub mod maintenance;
pub mod random;
pub mod recover;
pub mod registry;
pub mod schedule;
pub mod timer;
