//! `xtask`: the automation behind `./x`. Owns the choice of the subcommand, the printing and the exit code;
//! the rules themselves live in one module each. It knows nothing of what the product does.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for the terminal")]

mod api_doc;
mod architecture;
mod bench;
mod changelog;
mod error;
mod fault;
mod findings;
mod fuzz_api;
mod lab;
mod layers;
mod links;
mod python;
mod remote;
mod steps;
mod summary;
mod tidy;
mod tree;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use error::TaskError;
use fault::Fault;
use fuzz_api::Budget;
use tree::Tree;

const USAGE: &str = "\
cargo run -p xtask -- COMMAND
  check         format, lints, and every rule below; cargo-deny where installed
  test          check, then documents and all tests, closed by one line of counts
  soak          all tests with HAUS_SOAK=1
  fmt           rustfmt, and comments that are too wide
  remote        the program for hosts, for each architecture that can be built here
  bench NAME    apply [HOSTS...] | check | coordinator | core | gateway
  lab           up N | down | status | ssh NAME | exec NAME CMD | ...: real hosts for tests; `lab` lists all
  fuzz-api      schemathesis against the API of a running house, for minutes; --short as in test
  layers        who may depend on whom, as layers.toml says
  architecture  ARCHITECTURE.md lists the crates and their directions as they are
  tidy          house rules on source text
  links         relative links and anchors in *.md resolve
  changelog     notes of changes are in order; with VERSION DATE they become a release
  findings      every finding code has its page, and every page its code
  api-doc       makes docs/api.md anew; with --check only says whether it is what its sources say";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root();
    if let ["lab", words @ ..] = words.as_slice() {
        return lab::run(words);
    }
    let outcome = match words.as_slice() {
        ["check"] => steps::check(&root),
        ["test"] => steps::test(&root),
        ["fmt"] => steps::format(&root),
        ["remote"] => remote::build(&root),
        ["soak"] => steps::soak(&root),
        ["changelog", version, date] => changelog::release(&root, version, date),
        ["api-doc"] => api_doc::write(&root),
        ["api-doc", "--check"] => run_rule(&root, "api-doc"),
        ["fuzz-api"] => steps::fuzz_api(&root, Budget::Long),
        ["fuzz-api", "--short"] => steps::fuzz_api(&root, Budget::Short),
        ["bench", name, words @ ..] => bench::run(&root, name, words),
        [rule] if Rule::named(rule).is_some() => run_rule(&root, rule),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("xtask: {}", error::chain(&error));
            ExitCode::from(4)
        }
    }
}

/// The clone this program was built from.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// A rule over the tree that needs neither compiler nor network.
struct Rule {
    name: &'static str,
    check: fn(&Tree) -> Result<Vec<Fault>, TaskError>,
}

const RULES: [Rule; 7] = [
    Rule { name: "layers", check: layers::check },
    Rule { name: "architecture", check: architecture::check },
    Rule { name: "tidy", check: tidy::check },
    Rule { name: "links", check: links::check },
    Rule { name: "changelog", check: changelog::check },
    Rule { name: "findings", check: findings::check },
    Rule { name: "api-doc", check: api_doc::check },
];

impl Rule {
    fn named(name: &str) -> Option<&'static Rule> {
        RULES.iter().find(|rule| rule.name == name)
    }
}

/// One rule by itself, for the person who is mending what it found.
fn run_rule(root: &Path, name: &str) -> Result<bool, TaskError> {
    let Some(rule) = Rule::named(name) else { return Ok(false) };
    let faults = (rule.check)(&Tree::read(root)?)?;
    fault::print(name, &faults);
    Ok(faults.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules guard the tree wherever the tests run, not only behind `./x`.
    #[test]
    fn the_tree_keeps_every_rule() {
        let tree = Tree::read(&root()).unwrap();
        let mut broken = Vec::new();
        for rule in &RULES {
            let faults = (rule.check)(&tree).unwrap();
            broken.extend(faults.iter().map(|fault| format!("{}: {fault}", rule.name)));
        }
        assert!(broken.is_empty(), "{} faults:\n{}", broken.len(), broken.join("\n"));
    }
}
