//! Which process is meant: a pid together with its start time and the boot it lives in.
//! It only reads `/proc`; it never signals anything.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
    /// The kernel's random id of this boot.
    pub boot_id: String,
}

/// Why an identity could not be read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The process is gone or `/proc` is not mounted.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel answered something else than documented.
    #[error("cannot understand {path}")]
    Parse {
        /// The file.
        path: String,
    },
}

impl ProcessIdentity {
    /// Reads the identity of a live process.
    pub fn of(pid: u32) -> Result<ProcessIdentity, IdentityError> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read(&path).map_err(|source| IdentityError::Read { path: path.clone(), source })?;
        let stat = ProcessStat::parse(&text).ok_or(IdentityError::Parse { path })?;
        Ok(ProcessIdentity { pid, start_ticks: stat.start_ticks, boot_id: boot_id()? })
    }

    /// The identity of the calling process.
    pub fn own() -> Result<ProcessIdentity, IdentityError> {
        ProcessIdentity::of(std::process::id())
    }

    /// Whether exactly this process still runs; a zombie does not, nor does a later process with the same
    /// pid.
    pub fn is_alive(&self) -> bool {
        boot_id().is_ok_and(|boot_id| boot_id == self.boot_id)
            && fs::read(format!("/proc/{}/stat", self.pid))
                .ok()
                .and_then(|text| ProcessStat::parse(&text))
                .is_some_and(|stat| stat.start_ticks == self.start_ticks && !stat.has_ended())
    }
}

/// The kernel's random id of this boot.
pub fn boot_id() -> Result<String, IdentityError> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text =
        fs::read_to_string(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

/// The few fields of `/proc/PID/stat` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) state: u8,
    pub(crate) parent_pid: u32,
    pub(crate) group: u32,
    pub(crate) session: u32,
    pub(crate) start_ticks: u64,
}

impl ProcessStat {
    /// The name in brackets may hold spaces and brackets, so the fields are counted from the last bracket.
    pub(crate) fn parse(text: &[u8]) -> Option<ProcessStat> {
        let end_of_name = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&text[end_of_name + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(ProcessStat {
            state: *fields.first()?.as_bytes().first()?,
            parent_pid: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(u8, u32, u32, u32, u64)>) {
        let read = ProcessStat::parse(text.as_bytes());
        assert_eq!(
            read.map(|s| (s.state, s.parent_pid, s.group, s.session, s.start_ticks)),
            expected,
            "{text}"
        );
    }

    #[test]
    fn the_name_of_a_process_cannot_forge_its_fields() {
        let tail = "1 2 3 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 83234 1 1";
        check(&format!("44 (sh) S {tail}"), Some((b'S', 1, 2, 3, 83234)));
        check(&format!("44 (a) R 9 (b c) Z {tail}"), Some((b'Z', 1, 2, 3, 83234)));
        check("44 (sh) S 1 2 3", None);
        check("", None);
    }

    #[test]
    fn only_the_very_same_process_counts_as_alive() {
        let own = ProcessIdentity::own().expect("we run");
        assert!(own.is_alive());
        assert!(!ProcessIdentity { start_ticks: own.start_ticks + 1, ..own.clone() }.is_alive());
        assert!(!ProcessIdentity { boot_id: String::from("another boot"), ..own.clone() }.is_alive());
        assert!(!ProcessIdentity { pid: u32::MAX, ..own }.is_alive());
    }

    #[test]
    fn a_process_that_has_ended_is_named_in_the_error() {
        let failure = ProcessIdentity::of(u32::MAX).expect_err("no such process").to_string();
        assert!(failure.contains("/proc/4294967295/stat"), "{failure}");
    }
}
