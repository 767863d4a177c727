//! The apply from outside: the conformance suites of its two ports, and the executor over hosts in memory.

mod executor;
mod fake;
mod host_suite;
mod hosts;
mod lab;
mod opening;
mod private;
mod roads;
mod sshd;
mod transport_suite;
