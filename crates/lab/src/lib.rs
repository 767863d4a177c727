//! Real Debian hosts on one machine for tests: each boots systemd as its PID 1 and runs sshd, on a disk,
//! behind a cable and with a power button that a test can reach. Owns images, disks, the network and the
//! claims on hosts; knows nothing of Hausmeister itself. Why systemd-nspawn:
//! `docs/decisions/0018-lab-of-systemd-containers.md`.
//!
//! ```text
//! let lab = Lab::new(Places::of_this_account());
//! lab.up(LabPlan::of(2), &|line| eprintln!("{line}"))?;
//! let hosts = lab.claim(1, Duration::from_secs(60))?;      // clean, and nobody else's
//! hosts[0].ssh(Login::Deploy, "sudo id -u")?;
//! ```

mod claim;
mod disk;
mod error;
mod files;
mod hash;
mod host;
mod identity;
mod image;
mod incus;
mod keys;
mod lab;
mod network;
mod places;
mod power;
mod recipe;
mod tool;
mod wait;

pub use disk::CLEAN;
pub use error::LabError;
pub use host::{LabHost, Login, Ready};
pub use incus::{ClaimedIncusHost, IncusHost};
pub use lab::{ClaimedHost, Force, Lab, LabPlan};
pub use places::Places;
pub use power::Pid1;
pub use tool::Output;
