//! Skipping a test out loud: what could not be tested is said where the result is read.

use std::io::Write as _;

/// Whether we are root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says on stderr, and in the file named by `HAUS_SKIP_LOG`, that a test did not run. The caller returns.
pub fn loud_skip(test: &str, reason: &str) {
    let line = format!("SKIPPED {test}: {reason}\n");
    // The harness captures `eprint!` of a passing test; this reaches the terminal.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os("HAUS_SKIP_LOG") {
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let written = opened.and_then(|mut file| file.write_all(line.as_bytes()));
        written.expect("the file named by HAUS_SKIP_LOG can be written");
    }
}

/// The same where the missing tool is part of every test machine.
///
/// # Panics
/// When `CI=true`: there the test must run.
pub fn loud_skip_mandatory(test: &str, reason: &str) {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!in_ci, "{test} must not be skipped in CI: {reason}");
    loud_skip(test, reason);
}
