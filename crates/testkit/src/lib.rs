//! What the tests of several crates share: waiting, skipping, small disks, a plain HTTP client, a whole
//! house under test and the conformance suite of each port.
//!
//! For tests only: it panics where a test should fail. It knows `haus` as a program, not its inside.

mod disk;
mod house;
mod http;
mod lab;
mod ledger_suite;
mod process;
mod remote;
mod skip;
mod store_suite;
mod wait;

pub use disk::SmallDisk;
pub use haus_lab::{
    CLEAN, ClaimedHost, ClaimedIncusHost, Force, IncusHost, Lab, LabError, LabHost, LabPlan, Login, Output,
    Pid1, Places, Ready,
};
pub use house::{CliOutput, TestHouse};
pub use http::{HttpAnswer, HttpAsk, free_port, http_get};
pub use lab::{lab_hosts, lab_hosts_as_they_are, lab_incus_host};
pub use ledger_suite::{OpenLedger, ledger_conformance};
pub use process::{is_running, kill, processes_about, wait_for_end};
pub use remote::remote_program;
pub use rustix::process::Signal;
pub use skip::{is_root, loud_skip, loud_skip_mandatory};
pub use store_suite::{OpenStore, store_conformance};
pub use wait::{wait_for, wait_until};
