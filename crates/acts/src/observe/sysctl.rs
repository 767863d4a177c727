//! Kernel parameters: the value in the kernel, and the one in our file that sets it at boot.

use crate::machine::Machine;
use haus_model::inventory::State;
use haus_model::operation::{sysctl_file, sysctl_path};
use std::fs;

pub(super) fn state(machine: &Machine, key: &str) -> State {
    let at_boot = fs::read_to_string(machine.at(&sysctl_file(key))).ok();
    let at_boot = at_boot.and_then(|text| text.lines().find_map(|line| value_of(line, key)));
    match fs::read_to_string(machine.at(&sysctl_path(key))) {
        Ok(value) => State::Sysctl { value: normal(&value), at_boot },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => State::Absent,
        Err(error) => State::Unknown(error.to_string()),
    }
}

fn value_of(line: &str, key: &str) -> Option<String> {
    let (name, value) = line.split_once('=')?;
    (name.trim() == key).then(|| normal(value))
}

/// The kernel separates several numbers by tabs, people by blanks.
fn normal(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_same_however_they_are_spaced() {
        assert_eq!(
            value_of("net.ipv4.tcp_rmem = 4096\t131072  6291456", "net.ipv4.tcp_rmem").as_deref(),
            Some("4096 131072 6291456")
        );
        assert_eq!(value_of("# other", "other"), None);
    }
}
