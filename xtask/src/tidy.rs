//! House rules on source text that neither rustfmt nor clippy knows: file headers, sizes, leftovers, words
//! that belong to one machine, and the ratchet on long functions. Knows text, not meaning.

mod source;
mod wrap;

use std::collections::BTreeMap;

use crate::error::TaskError;
use crate::fault::Fault;
use crate::tree::Tree;

/// Lines of a file before its tests: what can be read in one sitting, with some mercy.
const LINES_MAX: usize = 600;
/// The `max_width` of rustfmt.toml, which rustfmt does not apply to comments.
const COLUMNS_MAX: usize = 110;
/// Lines of code of a function, from `fn` to its last brace.
const FUNCTION_LINES_MAX: usize = 70;
const RATCHET: &str = "xtask/long-functions.toml";

// Written in two halves, so that this file does not break its own rules.
const MARKERS: [&str; 4] =
    [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X"), concat!("HA", "CK")];
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/fa", "rm/"), concat!("/Us", "ers/"), concat!("/root", "/.cargo")];
const REGISTRY_HOSTS: [&str; 5] = ["index.", "registry.", "deb.", "static.", "files."];
const IGNORED: &str = concat!("#[ig", "nore");
const SLEEPS: [&str; 2] = [concat!("thread::sl", "eep("), concat!("time::sl", "eep(")];
const SLEEPS_PYTHON: &str = concat!("time.sl", "eep(");

/// The rule over the real tree.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Fault>, TaskError> {
    let mut faults = Vec::new();
    for (path, text) in tree.texts() {
        faults.extend(check_text(path, text));
        if path.ends_with(".rs") {
            faults.extend(check_rust(path, text));
        }
    }
    let ratchet = tree.text(RATCHET).unwrap_or_default();
    let allowed = toml::from_str::<BTreeMap<String, usize>>(ratchet)
        .map_err(|source| TaskError::Parse { path: RATCHET, source: Box::new(source) })?;
    faults.extend(check_ratchet(&long_functions(tree), &allowed));
    Ok(faults)
}

/// Breaks comments that are too wide, in all sources.
pub(crate) fn wrap_comments(tree: &Tree) -> Result<(), TaskError> {
    for (path, text) in tree.texts().filter(|(path, _)| path.ends_with(".rs")) {
        if let Some(text) = wrap::wrapped(text) {
            let file = tree.root.join(path);
            std::fs::write(&file, text).map_err(|source| TaskError::Write { path: file, source })?;
        }
    }
    Ok(())
}

/// Files that hold nothing but tests.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

/// How many lines stand before the first test module.
pub(crate) fn lines_before_tests(text: &str) -> usize {
    let is_start = |line: &str| line.trim_start().starts_with("#[cfg(test)]");
    text.lines().position(is_start).unwrap_or_else(|| text.lines().count())
}

/// Whether this source has examples that `cargo test --doc` would run.
pub(crate) fn has_doctest(text: &str) -> bool {
    let mut inside = false;
    text.lines().any(|line| {
        let line = line.trim_start();
        let Some(doc) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            inside = false;
            return false;
        };
        let Some(kind) = doc.trim_start().strip_prefix("```") else { return false };
        inside = !inside;
        inside && ["", "rust", "no_run", "should_panic", "compile_fail"].contains(&kind.trim())
    })
}

/// What holds for every text file.
fn check_text(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut fault = |text: String| faults.push(Fault::at(path, index + 1, text));
        // A golden file is what a program really printed.
        if line.ends_with([' ', '\t']) && !path.contains("/golden/") {
            fault("space at the end of the line".to_owned());
        }
        if let Some(marker) = MARKERS.iter().find(|marker| has_word(line, marker)) {
            fault(format!("{marker}: do it, or write it into an issue"));
        }
        if let Some(machine) = MACHINE_PATHS.iter().find(|machine| line.contains(**machine)) {
            fault(format!("{machine} is a path of one machine"));
        }
        let after_scheme = line.split("://").skip(1);
        if let Some(host) = after_scheme
            .into_iter()
            .find_map(|rest| REGISTRY_HOSTS.iter().find(|host| rest.starts_with(**host)))
        {
            fault(format!("a registry host ({host}…) belongs into the user's own configuration"));
        }
        // A fixture may be a slow server on purpose.
        let is_python_test =
            path.contains("/tests/") && path.ends_with(".py") && !path.contains("/fixtures/");
        if is_python_test && line.contains(SLEEPS_PYTHON) {
            fault("a test waits for a condition with a deadline, it does not sleep".to_owned());
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        faults.push(Fault::at(path, text.lines().count(), "no newline at the end of the file"));
    }
    faults
}

/// What holds for Rust alone.
fn check_rust(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !text.lines().take(3).any(|line| line.starts_with("//! ")) {
        faults.push(Fault::at(
            path,
            1,
            "opens without `//!`: what it owns, what it deliberately does not know",
        ));
    }
    let code_lines = lines_before_tests(text);
    if !is_test_file(path) && code_lines > LINES_MAX {
        faults.push(Fault::whole(path, format!("{code_lines} lines before its tests, at most {LINES_MAX}")));
    }
    let code = source::without_comments(text);
    for (index, (line, code)) in text.lines().zip(code.lines()).enumerate() {
        let mut fault = |text: String| faults.push(Fault::at(path, index + 1, text));
        let columns = line.chars().count();
        // A message is left whole, so that it can be searched for; an address cannot be broken.
        if columns > COLUMNS_MAX && !code.contains(source::LITERAL) && !line.contains("://") {
            fault(format!("{columns} columns, at most {COLUMNS_MAX}"));
        }
        if line.trim_start().starts_with(IGNORED) {
            fault("an ignored test guards nothing".to_owned());
        }
        let in_tests = is_test_file(path) || index >= code_lines;
        if in_tests && SLEEPS.iter().any(|sleep| line.contains(sleep)) {
            fault("a test waits for a condition with a deadline, it does not sleep".to_owned());
        }
    }
    faults
}

/// `XX` inside of `MAXXED` is no marker.
fn has_word(line: &str, word: &str) -> bool {
    let joined = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !joined(line[..at].chars().next_back()) && !joined(line[at + word.len()..].chars().next())
    })
}

/// `path::name` to lines of code, for functions over the limit outside tests.
fn long_functions(tree: &Tree) -> BTreeMap<String, (usize, usize)> {
    let mut long = BTreeMap::new();
    for (path, text) in tree.texts().filter(|(path, _)| path.ends_with(".rs") && !is_test_file(path)) {
        let before_tests = lines_before_tests(text);
        for function in source::functions(text) {
            if function.line <= before_tests && function.code_lines > FUNCTION_LINES_MAX {
                long.insert(format!("{path}::{}", function.name), (function.line, function.code_lines));
            }
        }
    }
    long
}

/// Old long functions may stay, but only ever become shorter.
fn check_ratchet(long: &BTreeMap<String, (usize, usize)>, allowed: &BTreeMap<String, usize>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, (line, lines)) in long {
        let path = name.rsplit_once("::").map_or(name.as_str(), |(path, _)| path);
        let text = match allowed.get(name) {
            None => format!("`{name}` has {lines} lines of code, at most {FUNCTION_LINES_MAX}"),
            Some(limit) if lines > limit => format!("`{name}` grew from {limit} to {lines} lines of code"),
            Some(limit) if lines < limit => {
                format!("`{name}` shrank to {lines}: lower its number in {RATCHET}")
            }
            Some(_) => continue,
        };
        faults.push(Fault::at(path, *line, text));
    }
    let gone = allowed.keys().filter(|name| !long.contains_key(*name));
    faults.extend(
        gone.map(|name| Fault::whole(RATCHET, format!("`{name}` is not too long (any more): remove it"))),
    );
    faults
}

#[cfg(test)]
mod tests;
