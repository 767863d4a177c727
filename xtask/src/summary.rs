//! Reads the counts out of what test runners print at their end, and adds them up. Knows the last lines of
//! nextest, cargo test, Python's unittest and Node's test runner; starts none of them.

use std::fmt;

/// Tests by outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Whose output is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    Nextest,
    CargoTest,
    Unittest,
    Node,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Takes one line of output into account.
    pub(crate) fn read(&mut self, runner: Runner, line: &str) {
        let line = line.trim();
        match runner {
            Runner::Nextest => self.read_nextest(line),
            Runner::CargoTest => self.read_cargo(line),
            Runner::Unittest => self.read_unittest(line),
            Runner::Node => self.read_node(line),
        }
    }

    // `Summary [   3.2s] 12/14 tests run: 10 passed (1 slow), 1 failed, 1 timed out, 2 skipped`
    fn read_nextest(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("Summary").and_then(|rest| rest.split_once("run:")) else {
            return;
        };
        for part in counts.split(',') {
            // `1 exec failed`, `1 timed out`: everything that neither passed nor was left out failed.
            let Some((number, outcome)) = number_first(part) else { continue };
            match outcome.split([' ', '(']).next() {
                Some("passed") => self.passed += number,
                Some("skipped") => self.skipped += number,
                Some(_) | None => self.failed += number,
            }
        }
    }

    // `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s`
    fn read_cargo(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result:").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for (number, outcome) in counts.split(';').filter_map(number_first) {
            match outcome {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" | "filtered out" => self.skipped += number,
                _ => {}
            }
        }
    }

    // `Ran 5 tests in 0.1s`, then `OK (skipped=1)` or `FAILED (failures=1, errors=2, skipped=1)`.
    fn read_unittest(&mut self, line: &str) {
        if let Some((number, _)) = line.strip_prefix("Ran ").and_then(number_first) {
            self.passed += number;
            return;
        }
        let Some(outcome) = line.strip_prefix("OK").or_else(|| line.strip_prefix("FAILED")) else { return };
        for part in outcome.trim().trim_start_matches('(').trim_end_matches(')').split(", ") {
            let Some((name, number)) = part.split_once('=') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            self.passed = self.passed.saturating_sub(number);
            match name {
                "skipped" => self.skipped += number,
                "expected failures" => self.passed += number,
                _ => self.failed += number,
            }
        }
    }

    // TAP: `# pass 3`, `# fail 1`, `# cancelled 0`, `# skipped 0`
    fn read_node(&mut self, line: &str) {
        let Some((name, number)) = line.strip_prefix("# ").and_then(|rest| rest.split_once(' ')) else {
            return;
        };
        let Ok(number) = number.parse::<u64>() else { return };
        match name {
            "pass" => self.passed += number,
            "fail" | "cancelled" => self.failed += number,
            "skipped" => self.skipped += number,
            _ => {}
        }
    }
}

/// `3 passed` as number and word.
fn number_first(part: &str) -> Option<(u64, &str)> {
    let (number, rest) = part.trim().split_once(' ')?;
    Some((number.parse().ok()?, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(runner: Runner, output: &str, expected: [u64; 3]) {
        let mut counts = Counts::default();
        for line in output.lines() {
            counts.read(runner, line);
        }
        assert_eq!([counts.passed, counts.failed, counts.skipped], expected, "{output}");
    }

    #[test]
    fn nextest_is_understood() {
        check(Runner::Nextest, "     Summary [  12.345s] 3 tests run: 3 passed, 0 skipped", [3, 0, 0]);
        check(Runner::Nextest, "     Summary [   0.1s] 1 test run: 1 passed (1 slow), 2 skipped", [1, 0, 2]);
        let bad =
            "  Summary [ 0.1s] 5/6 tests run: 2 passed, 1 failed, 1 timed out, 1 exec failed, 4 skipped";
        check(Runner::Nextest, bad, [2, 3, 4]);
        check(Runner::Nextest, "PASS [ 0.1s] haus-watch tests::run: 9 passed", [0, 0, 0]);
    }

    #[test]
    fn cargo_test_is_added_up_over_its_binaries() {
        let output = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.00s";
        check(Runner::CargoTest, output, [4, 2, 5]);
    }

    #[test]
    fn unittest_is_understood() {
        check(Runner::Unittest, "Ran 5 tests in 0.1s\n\nOK", [5, 0, 0]);
        check(Runner::Unittest, "Ran 5 tests in 0.1s\n\nFAILED (failures=1, errors=1, skipped=1)", [2, 2, 1]);
    }

    #[test]
    fn node_is_understood() {
        check(
            Runner::Node,
            "# tests 4\n# pass 2\n# fail 1\n# cancelled 0\n# skipped 1\n# duration_ms 5.1",
            [2, 1, 1],
        );
    }
}
