//! Houses on real hosts: what a person sees and what is left on the host, through `haus` alone.
//!
//! One module per promise of `docs/ops/hosts.md`. What acts, roads and plans are made of is tested beside
//! their code.

mod desk;
mod lock_out;
mod refusals;
mod saved_plan;
mod settings;
mod shop;
mod software;
mod systemd;
mod taken_back;
mod torn;
