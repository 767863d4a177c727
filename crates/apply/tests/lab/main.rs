//! The apply against real hosts of the lab: booted Debian with systemd and sshd, reached as any machine is.

#[path = "../it/transport_suite.rs"]
mod transport_suite;

#[path = "../it/host_suite.rs"]
mod host_suite;

mod broken;
mod locked_out;
mod roads;
mod whole;
mod world;
