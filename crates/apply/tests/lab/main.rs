//! The apply against real hosts of the lab: booted Debian with systemd and sshd, reached as any machine is.

#[path = "../it/transport_suite.rs"]
mod transport_suite;

mod roads;
mod world;
