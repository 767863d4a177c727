//! The same program on booted hosts of the lab, with the real apt, systemd, accounts and kernel.

mod guarded;
mod kinds;
mod machine;
mod packages;
mod units;
