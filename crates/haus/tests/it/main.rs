//! Whole houses under test: the real program, real processes, real sockets.
//!
//! One module per promise of `docs/ops/running.md`. What is inside the program is tested beside its code.

mod comes_and_goes;
mod comes_up;
mod commands;
mod core_dies;
mod credentials;
mod disks;
mod follows;
mod home;
mod isolation;
mod parent_dies;
mod ports;
mod recovers;
mod reloads;
mod starts_wrong;
mod stops;
mod storms;
mod visitors;
mod zimmer;
