//! Whole houses under test: the real program, real processes, real sockets.
//!
//! One module per promise of `docs/ops/running.md`. What is inside the program is tested beside its code.

mod alerts;
mod claims;
mod client;
mod comes_and_goes;
mod comes_up;
mod commands;
mod core_dies;
mod credential_commands;
mod credentials;
mod crowd;
mod dice;
mod disks;
mod durable;
mod examples;
mod follows;
mod home;
mod house_commands;
mod identity;
mod isolation;
mod lab;
mod line;
mod open_house;
mod parent_dies;
mod placed;
mod ports;
mod receivers;
mod recovers;
mod recovery;
mod regressions;
mod reloads;
mod rotation;
mod rotation_killed;
mod secrets;
mod starts_wrong;
mod stops;
mod stores;
mod storms;
mod three_hosts;
mod trail_blocked;
mod vault;
mod vault_offline;
mod visitors;
mod zimmer;
