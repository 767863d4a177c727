//! `docs/api.md`: the introduction written by hand, and the reference made from the API's own document.
//!
//! Knows the layout of the page and that both sources and the page must agree. How one operation is told is
//! in `operation`, how a type is told in `schema`; neither knows what the API does.

mod operation;
mod schema;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::error::TaskError;
use crate::fault::Fault;
use crate::tree::Tree;

/// Made by a test of the coordinator from its handlers.
const DOCUMENT: &str = "docs/api/openapi.json";
/// Written by hand; its examples are run by `crates/haus/tests/it/examples.rs`.
const INTRO: &str = "docs/api/intro.md";
/// Made here.
const PAGE: &str = "docs/api.md";
const MADE: &str =
    "<!-- Made by `cargo run -p xtask -- api-doc` from docs/api/openapi.json and docs/api/intro.md. -->\n\n";

/// The page is what its sources say.
#[allow(clippy::unnecessary_wraps, reason = "the shape that all rules share")]
pub(crate) fn check(tree: &Tree) -> Result<Vec<Fault>, TaskError> {
    let page = match rendered(tree) {
        Ok(page) => page,
        Err(fault) => return Ok(vec![fault]),
    };
    let stands = tree.text(PAGE).unwrap_or_default();
    if stands == page {
        return Ok(Vec::new());
    }
    let line = stands.lines().zip(page.lines()).take_while(|(old, new)| old == new).count() + 1;
    let text = "is not what its sources say; `cargo run -p xtask -- api-doc` makes it anew";
    Ok(vec![Fault::at(PAGE, line, text)])
}

/// Makes the page anew.
pub(crate) fn write(root: &Path) -> Result<bool, TaskError> {
    match rendered(&Tree::read(root)?) {
        Ok(page) => {
            let path = root.join(PAGE);
            std::fs::write(&path, page).map_err(|source| TaskError::Write { path, source })?;
            Ok(true)
        }
        Err(fault) => {
            crate::fault::print("api-doc", &[fault]);
            Ok(false)
        }
    }
}

fn rendered(tree: &Tree) -> Result<String, Fault> {
    let missing = |path: &str, how: &str| Fault::whole(path, format!("is missing; {how}"));
    let how = "`HAUS_GOLDEN=write cargo nextest run -p haus-coordinator openapi` makes it";
    let document = tree.text(DOCUMENT).ok_or_else(|| missing(DOCUMENT, how))?;
    let intro = tree.text(INTRO).ok_or_else(|| missing(INTRO, "it is written by hand"))?;
    let document: Value = serde_json::from_str(document)
        .map_err(|error| Fault::at(DOCUMENT, error.line(), format!("is not JSON: {error}")))?;
    page(&document, intro)
}

fn page(document: &Value, intro: &str) -> Result<String, Fault> {
    let operations = operation::all(document).map_err(|text| Fault::whole(DOCUMENT, text))?;
    // The introduction stands one folder deeper than the page.
    let intro = intro.trim_end().replace("](../api.md#", "](#").replace("](../", "](");
    let mut page = format!("{MADE}{intro}\n\n# Reference\n");
    let version = document["info"]["version"].as_str().unwrap_or_default();
    let _ = writeln!(
        page,
        "\nVersion {version}, {} operations. `GET /openapi.json` serves the same",
        operations.len()
    );
    page.push_str("for programs.\n\n| Operation | Purpose | Who |\n|---|---|---|\n");
    for operation in &operations {
        let _ = writeln!(page, "{}", operation.row());
    }
    let mut tags: Vec<&str> = operations.iter().map(|operation| operation.tag).collect();
    tags.sort_unstable();
    tags.dedup();
    for tag in tags {
        let _ = writeln!(page, "\n## {}", title(tag));
        for operation in operations.iter().filter(|operation| operation.tag == tag) {
            let _ = write!(page, "\n{}", operation.section(document));
        }
    }
    let _ = write!(page, "\n## Refusals\n\n{}", refusals(document));
    page.push_str("\n## Types\n");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let _ = write!(page, "\n{}", schema::section(name, schema));
    }
    Ok(page)
}

/// The answers that many operations share, with the codes that a program can match on.
fn refusals(document: &Value) -> String {
    let mut text = String::from(
        "Every refusal is a [`Problem`](#type-problem) (RFC 9457). A program matches on `code`; words may change.\n\n\
         | Status | Codes |\n|---|---|\n",
    );
    for (name, answer) in document["components"]["responses"].as_object().into_iter().flatten() {
        let status = name.trim_start_matches(|character: char| !character.is_ascii_digit());
        let codes = answer["description"].as_str().unwrap_or_default();
        let _ = writeln!(text, "| {status} | {} |", schema::cell(codes));
    }
    text
}

/// `gateway-status` as a heading: `Gateway status`.
fn title(tag: &str) -> String {
    let words = tag.replace('-', " ");
    let mut characters = words.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}

#[cfg(test)]
mod tests;
