//! All hosts of a house together: what their plan is made from, looking at them, planning, carrying out,
//! keeping a plan.
//!
//! It joins planner and executor, which do not know each other, and reads the files that a plan names. It
//! knows no terminal, no arguments, no exit codes, and not where values of credentials are kept.

pub mod archive;
pub mod fleet;
pub mod saved;
pub mod supplies;

pub use fleet::{Choice, Fleet, Inventories, Planned, carry_out};
pub use saved::{SavedPlan, SavedPlanError};
pub use supplies::{Origin, Supplies, SupplyError};
