//! The apply from outside: the conformance suites of its two ports, and the executor over hosts in memory.

mod bootstrap;
mod roads;
mod sshd;
mod transport_suite;
