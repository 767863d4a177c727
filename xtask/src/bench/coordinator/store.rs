//! The store alone, without the API in front of it: the example of its crate, run as it is.

use std::path::Path;
use std::process::Command;

use crate::error::TaskError;

/// The line of the example that counts.
const LINE: &str = "changes with their entries from 64 threads";

/// Changes per second from 64 threads; none when the example was not built.
pub(super) fn changes_per_second(haus: &Path, folder: &Path) -> Result<Option<f64>, TaskError> {
    let example = haus.with_file_name("examples").join("ledger_speed");
    if !example.exists() {
        return Ok(None);
    }
    let output = Command::new(&example).arg(folder).output();
    let output = output.map_err(|source| TaskError::Run { program: "ledger_speed".to_owned(), source })?;
    Ok(rate_in(&String::from_utf8_lossy(&output.stdout)))
}

fn rate_in(text: &str) -> Option<f64> {
    text.lines().find(|line| line.contains(LINE))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_stands_at_the_begin_of_its_line() {
        let text = "  100 /s  batches\n  19426 /s  changes with their entries from 64 threads: 4.3 times\n";
        assert_eq!(rate_in(text), Some(19_426.0));
        assert_eq!(rate_in("nothing"), None);
    }
}
