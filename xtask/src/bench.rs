//! `./x bench NAME`: figures beside a named peer, from one run on one machine, medians of five. Owns the
//! report and where it goes (`docs/bench/NAME.md`); each bench knows its own peer. Needs a release build of
//! `haus` beside this program.

mod apply;
mod check;
mod coordinator;
mod core;
mod gateway;
pub(crate) mod measure;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub(crate) use self::core::{accepts, open_folder, write};
use crate::error::TaskError;

/// Rounds of every figure; the median is reported.
const ROUNDS: usize = 5;

/// Runs one bench, prints its page and keeps it under `docs/bench/`.
pub(crate) fn run(root: &Path, name: &str, words: &[&str]) -> Result<bool, TaskError> {
    let haus = haus_binary()?;
    let report = match (name, words) {
        ("apply", sizes) => apply::run(root, &haus, sizes)?,
        ("check", []) => check::run(root, &haus)?,
        ("coordinator", []) => coordinator::run(&haus)?,
        ("core", []) => core::run(&haus)?,
        ("gateway", []) => gateway::run(&haus)?,
        _ => {
            let words = words.join(" ");
            eprintln!(
                "there is no bench {name} {words}; there are: apply [HOSTS...], check, coordinator, core, gateway"
            );
            return Ok(false);
        }
    };
    let page = report.page(&measure::machine());
    println!("{page}");
    let folder = root.join("docs/bench");
    let file = folder.join(format!("{name}.md"));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&file, &page))
        .map_err(|source| TaskError::Write { path: file, source })?;
    Ok(true)
}

/// The `haus` of the same build as this program.
fn haus_binary() -> Result<PathBuf, TaskError> {
    let here = std::env::current_exe();
    let beside = here.ok().and_then(|here| here.parent().map(|folder| folder.join("haus")));
    let problem = "there is no haus beside xtask: cargo build --release -p haus -p xtask".to_owned();
    beside.filter(|path| path.exists()).ok_or(TaskError::Bench { name: "all", problem })
}

/// What a bench found, ready for a page.
struct Report {
    title: &'static str,
    /// What is run, and how the peer is set up.
    method: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// Peers that were not there, and what else limits the figures.
    notes: Vec<String>,
}

impl Report {
    fn page(&self, machine: &str) -> String {
        let mut page = format!("# Bench: {}\n\n{}\n\nMachine: {machine}\n\n", self.title, self.method);
        let _ = writeln!(page, "| {} |", self.columns.join(" | "));
        let _ = writeln!(page, "|{}", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            let _ = writeln!(page, "| {} |", row.join(" | "));
        }
        if !self.notes.is_empty() {
            page.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(page, "- {note}");
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_a_page() {
        let report = Report {
            title: "x",
            method: "How.".to_owned(),
            columns: vec!["what", "ms"],
            rows: vec![vec!["haus".to_owned(), "1.0".to_owned()]],
            notes: vec!["no peer".to_owned()],
        };
        let expected =
            "# Bench: x\n\nHow.\n\nMachine: m\n\n| what | ms |\n|---|---|\n| haus | 1.0 |\n\n- no peer\n";
        assert_eq!(report.page("m"), expected);
    }
}
