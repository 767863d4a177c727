//! One round of load by wrk, with requests that were made before.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::super::core::write;
use super::super::gateway::{Load, parse};
use super::super::measure::{cpu_seconds, median};
use super::problem;
use crate::error::TaskError;

/// Connections that are kept open at once.
pub(super) const CLIENTS: u32 = 64;
/// Length of one round.
pub(super) const SECONDS: u32 = 4;

/// Requests are made once, so that the generator does little but send them.
const SCRIPT: &str = r#"
local requests, at = {}, 0
function init(arguments)
  for line in io.lines(arguments[1]) do
    local method, path, token, body = line:match("^(%S+)\t(%S+)\t(%S*)\t(.*)$")
    local headers = { ["Content-Type"] = "application/json" }
    if token ~= "" then headers["Authorization"] = "Bearer " .. token end
    if body == "" then body = nil; headers["Content-Type"] = nil end
    requests[#requests + 1] = wrk.format(method, path, headers, body)
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"#;

/// A request of the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) method: &'static str,
    pub(super) path: String,
    /// Empty for none.
    pub(super) token: String,
    /// Empty for none; one line.
    pub(super) body: String,
}

/// All rounds of one load.
#[derive(Debug, Default)]
pub(super) struct Tally {
    per_second: Vec<f64>,
    per_cpu_second: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Tally {
    pub(super) fn add(&mut self, (load, cpu_seconds): (Load, f64)) {
        self.per_second.push(load.per_second);
        self.per_cpu_second.push(load.requests / cpu_seconds);
        self.p50_ms.push(load.p50_ms);
        self.p99_ms.push(load.p99_ms);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.per_second.is_empty()
    }

    /// Times the other's, round by round, the middle of them.
    pub(super) fn beside(&self, other: &Tally) -> f64 {
        self.beside_pace(&other.per_second)
    }

    /// The same beside another pace of each round.
    pub(super) fn beside_pace(&self, per_second: &[f64]) -> f64 {
        let ratios: Vec<f64> =
            self.per_second.iter().zip(per_second).map(|(ours, other)| ours / other).collect();
        median(&ratios)
    }

    pub(super) fn rate(&self) -> String {
        format!("{:.0}/s", median(&self.per_second))
    }

    pub(super) fn cpu(&self) -> String {
        format!("{:.0}", median(&self.per_cpu_second))
    }

    pub(super) fn latency(&self) -> String {
        format!("{:.1} / {:.1}", median(&self.p50_ms), median(&self.p99_ms))
    }
}

/// Loads a port; gives what the generator saw and the processor seconds that the server took.
pub(super) fn load(
    folder: &Path,
    port: u16,
    questions: &[Question],
    pids: &[u32],
) -> Result<(Load, f64), TaskError> {
    let (script, list) = (folder.join("load.lua"), folder.join("load.txt"));
    write(&script, SCRIPT)?;
    write(&list, &lines(questions))?;
    let used = || pids.iter().map(|pid| cpu_seconds(*pid)).sum::<f64>();
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{CLIENTS}"), &format!("-d{SECONDS}s"), "--latency", "-s"]).arg(&script);
    command.arg(format!("http://127.0.0.1:{port}/")).arg("--").arg(&list);
    let before = used();
    let output = command.output().map_err(|source| TaskError::Run { program: "wrk".to_owned(), source })?;
    let after = used();
    let text = String::from_utf8_lossy(&output.stdout);
    let load = parse(&text).ok_or_else(|| {
        let first = questions.first().map(|question| format!("{} {}", question.method, question.path));
        problem(format!("wrk saw errors or nothing at {}: {text}", first.unwrap_or_default()))
    })?;
    Ok((load, after - before))
}

fn lines(questions: &[Question]) -> String {
    questions.iter().fold(String::new(), |mut text, Question { method, path, token, body }| {
        let _ = writeln!(text, "{method}\t{path}\t{token}\t{body}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_one_line_of_four_fields() {
        let question =
            Question { method: "GET", path: "/a".to_owned(), token: String::new(), body: "{}".to_owned() };
        assert_eq!(lines(&[question.clone(), question]), "GET\t/a\t\t{}\nGET\t/a\t\t{}\n");
    }

    #[test]
    fn the_middle_round_counts() {
        let mut tally = Tally::default();
        for per_second in [30.0, 10.0, 20.0] {
            let load = Load { requests: 100.0, per_second, p50_ms: 1.0, p99_ms: 9.0 };
            tally.add((load, 2.0));
        }
        assert_eq!(
            (tally.rate(), tally.cpu(), tally.latency()),
            ("20/s".into(), "50".into(), "1.0 / 9.0".into())
        );
    }
}
