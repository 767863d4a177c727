//! The text of a unit file: sections in order, and words quoted so that systemd reads back what was meant.
//! What belongs into a unit is not known here.

use haus_model::template::{Piece, Template, Variable};
use std::path::Path;

/// A unit file under construction.
#[derive(Default)]
pub(crate) struct UnitFile {
    text: String,
}

impl UnitFile {
    pub(crate) fn new() -> UnitFile {
        UnitFile { text: format!("{}\n", super::system::WRITTEN) }
    }

    pub(crate) fn section(&mut self, name: &str) {
        if self.text.contains('[') {
            self.text.push('\n');
        }
        self.text.push_str(&format!("[{name}]\n"));
    }

    /// A value that is written as it is.
    pub(crate) fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        self.text.push_str(&format!("{name}={value}\n"));
    }

    pub(crate) fn set_some(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// The check of a unit's file at its place: systemd reads it and looks for the programs and units that it
/// names. So what a unit names must be on the host before its file is.
pub(crate) fn check(path: &Path) -> Vec<String> {
    let words = ["systemd-analyze", "verify", "--man=no"].map(str::to_owned);
    words.into_iter().chain([path.display().to_string()]).collect()
}

/// What is special in a place of a unit file besides quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// `ExecStart=`: a dollar names a variable, a percent sign a specifier.
    Command,
    /// `Environment=`: only specifiers.
    Environment,
}

/// Text in double quotes when it needs them.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%,+$~{}".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Text that systemd must take literally.
pub(crate) fn literal(text: &str, context: Context) -> String {
    let text = text.replace('%', "%%");
    match context {
        Context::Command => text.replace('$', "$$"),
        Context::Environment => text,
    }
}

/// A template filled in for a unit file. Only what `specifier` answers is left for systemd to read.
pub(crate) fn fill(
    template: &Template,
    context: Context,
    value: &dyn Fn(&Variable) -> Option<String>,
) -> Result<String, Variable> {
    let mut text = String::new();
    for piece in &template.pieces {
        match piece {
            Piece::Text(part) => text.push_str(&literal(part, context)),
            Piece::Variable(variable) => {
                let value = value(variable).ok_or_else(|| variable.clone())?;
                match variable {
                    // A specifier of systemd's, or a path without anything special.
                    Variable::Credentials => text.push_str(&value),
                    Variable::Port(_)
                    | Variable::Data(_)
                    | Variable::Config
                    | Variable::Address
                    | Variable::Instance
                    | Variable::In
                    | Variable::AddressOf(_)
                    | Variable::PortOf(..) => text.push_str(&literal(&value, context)),
                }
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(quoted(&literal(text, Context::Command)), expected, "{text:?}");
    }

    #[test]
    fn systemd_reads_back_what_was_meant() {
        check("--port=8080", "--port=8080");
        check("", "\"\"");
        check("two words", "\"two words\"");
        check("100%", "100%%");
        check("$HOME", "$$HOME");
        check("say \"hi\\\"\n", "\"say \\\"hi\\\\\\\"\\n\"");
        check("a;b", "\"a;b\"");
    }
}
