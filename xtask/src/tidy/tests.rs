//! Each house rule is seen to fail once.

use super::*;

fn check(path: &str, text: &str, expected: &[&str]) {
    let faults = super::check(&Tree::of(&[(path, text)])).unwrap();
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(texts, expected);
}

#[test]
fn a_plain_file_has_no_fault() {
    check("src/a.rs", "//! Owns nothing.\n\nfn a() {}\n", &[]);
}

#[test]
fn a_file_without_a_header_is_named() {
    let fault = "src/a.rs:1: opens without `//!`: what it owns, what it deliberately does not know";
    check("src/a.rs", "fn a() {}\n", &[fault]);
}

#[test]
fn trailing_space_and_a_missing_last_newline_are_named() {
    check(
        "a.md",
        "one \ntwo",
        &["a.md:1: space at the end of the line", "a.md:2: no newline at the end of the file"],
    );
}

#[test]
fn markers_are_named_as_whole_words_only() {
    for marker in MARKERS {
        check(
            "a.py",
            &format!("# {marker}: later\n"),
            &[&format!("a.py:1: {marker}: do it, or write it into an issue")],
        );
        check("a.py", &format!("mktemp {marker}{marker}\n"), &[]);
    }
}

#[test]
fn paths_of_one_machine_and_registry_hosts_are_named() {
    for path in MACHINE_PATHS {
        check("a.md", &format!("see {path}x\n"), &[&format!("a.md:1: {path} is a path of one machine")]);
    }
    let host = concat!("https:", "//index.example");
    let fault = "a.md:1: a registry host (index.…) belongs into the user's own configuration";
    check("a.md", &format!("{host}\n"), &[fault]);
}

#[test]
fn a_golden_file_keeps_what_a_program_printed() {
    check("c/tests/it/golden/help.txt", "one \n", &[]);
}

#[test]
fn tests_neither_sleep_nor_hide() {
    let fault = "a test waits for a condition with a deadline, it does not sleep";
    for sleep in SLEEPS {
        let code = format!("//! x\nfn a() {{\n    std::{sleep}x);\n}}\n");
        check("c/src/a.rs", &code, &[]);
        check("c/tests/it/main.rs", &code, &[&format!("c/tests/it/main.rs:3: {fault}")]);
        let behind = code.replace("fn a", "#[cfg(test)]\nfn a");
        check("c/src/a.rs", &behind, &[&format!("c/src/a.rs:4: {fault}")]);
    }
    check("h/tests/a.py", &format!("{SLEEPS_PYTHON}1)\n"), &[&format!("h/tests/a.py:1: {fault}")]);
    check("h/tests/it/fixtures/slow.py", &format!("{SLEEPS_PYTHON}1)\n"), &[]);
    check("c/src/a.rs", &format!("//! x\n{IGNORED}]\n"), &["c/src/a.rs:2: an ignored test guards nothing"]);
}

#[test]
fn long_lines_are_named_unless_they_hold_an_address() {
    let long = "x".repeat(108);
    check("a.rs", &format!("//! {long}\n"), &["a.rs:1: 112 columns, at most 110"]);
    check("a.rs", &format!("//! https://{long}\n"), &[]);
    check("a.rs", &format!("//! x\nlet a = \"{long}\";\nlet b = \"\n{long}\n\";\n"), &[]);
    check("a.rs", &format!("//! \"{long}\"\n"), &["a.rs:1: 114 columns, at most 110"]);
}

#[test]
fn only_lines_before_the_tests_count_for_the_size() {
    let code = "//! x\n".repeat(599);
    check("c/src/a.rs", &format!("{code}#[cfg(test)]\n{code}"), &[]);
    check("c/tests/a.rs", &code.repeat(2), &[]);
    check("c/src/a.rs", &"//! x\n".repeat(601), &["c/src/a.rs: 601 lines before its tests, at most 600"]);
}

fn function_of(lines: usize) -> String {
    format!("//! x\nfn long() {{\n{}}}\n", "    call();\n".repeat(lines - 2))
}

#[test]
fn a_new_long_function_is_refused() {
    check("src/a.rs", &function_of(70), &[]);
    check("src/a.rs", &function_of(71), &["src/a.rs:2: `src/a.rs::long` has 71 lines of code, at most 70"]);
}

fn check_with_ratchet(allowed: &str, lines: usize, expected: &[&str]) {
    let files = [("src/a.rs", &*function_of(lines)), (RATCHET, allowed)];
    let texts: Vec<String> =
        super::check(&Tree::of(&files)).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(texts, expected);
}

#[test]
fn an_old_long_function_only_ever_becomes_shorter() {
    let allowed = "\"src/a.rs::long\" = 80\n";
    check_with_ratchet(allowed, 80, &[]);
    check_with_ratchet(allowed, 81, &["src/a.rs:2: `src/a.rs::long` grew from 80 to 81 lines of code"]);
    check_with_ratchet(
        allowed,
        79,
        &["src/a.rs:2: `src/a.rs::long` shrank to 79: lower its number in xtask/long-functions.toml"],
    );
    let gone = "xtask/long-functions.toml: `src/a.rs::long` is not too long (any more): remove it";
    check_with_ratchet(allowed, 60, &[gone]);
}

#[test]
fn only_examples_that_run_are_doctests() {
    assert!(has_doctest("/// ```\n/// let a = 1;\n/// ```\n"));
    assert!(has_doctest("//! ```no_run\n//! x();\n//! ```\n"));
    assert!(!has_doctest("/// ```text\n/// a\n/// ```\nfn a() {}\n"));
    assert!(!has_doctest("let a = \"```\";\n"));
}
