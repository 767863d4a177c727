//! The apply against real hosts of the lab: booted Debian with systemd and sshd, reached as any machine is.

mod broken;
mod locked_out;
mod roads;
mod whole;
mod world;
