//! Shell syntax in commands: no shell runs, so it would reach the program as words.
//!
//! Only what is not quoted counts, and only commands that are written as one text: whoever writes a
//! list of words, or quotes, has thought about words. Messages never repeat a word, it may be a secret.

use super::exposure::is_address_name;
use crate::code::Code;
use crate::draft::Draft;
use crate::fault::{Fault, Session, Subject};
use crate::tree::Text;
use std::collections::BTreeMap;
use std::ops::Range;

/// Longest first, because the first that fits is taken.
const OPERATORS: [&str; 6] = ["&&", "||", "|&", "|", ";", "&"];

/// Variables that everybody knows, with what is filled in here.
const OURS: [(&str, &str); 6] = [
    ("HOME", "${data}"),
    ("PORT", "${port}"),
    ("PWD", "${in}"),
    ("HAUS_CONFIG", "${config}"),
    ("CREDENTIALS_DIRECTORY", "${credentials}"),
    ("HAUS_SERVICE", "${service}"),
];

/// What a shell would make of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Syntax {
    Operator,
    Variable,
    Home,
    Pattern,
    Assignment,
}

/// Every command of services, of their builds, and of hosts.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    for service in &draft.services {
        let builds = service.deployment.iter().flat_map(|deployment| deployment.commands());
        for written in service.commands().chain(builds).filter_map(|command| command.written) {
            command(session, Subject::Service(service.name.text), written);
        }
    }
    for (subject, settings) in draft.settings() {
        for written in settings.commands().filter_map(|command| command.written) {
            command(session, subject, written);
        }
    }
}

fn command<'t>(session: &Session<'t>, subject: Subject<'t>, written: Text<'t>) {
    let mut found: BTreeMap<Syntax, Vec<Range<usize>>> = BTreeMap::new();
    for (syntax, range) in syntax(written.text) {
        found.entry(syntax).or_default().push(range);
    }
    for (syntax, ranges) in found {
        report(session, subject, written, syntax, &ranges);
    }
}

/// One fault for each kind and command, at the first place.
fn report<'t>(
    session: &Session<'t>,
    subject: Subject<'t>,
    written: Text<'t>,
    syntax: Syntax,
    ranges: &[Range<usize>],
) {
    let span = |range: &Range<usize>| session.sources.narrow(written.span, written.text, range.clone());
    let Some((first, further)) = ranges.split_first() else { return };
    let shell = "let a shell run it, `sh -c '…'` around the whole command; where the program shall get this, quote it";
    let (message, remedy) = match syntax {
        Syntax::Operator => {
            let operator = &written.text[first.clone()];
            (format!("`{operator}` is for a shell, and none runs here"), shell.to_owned())
        }
        Syntax::Variable => variable(&written.text[first.clone()]),
        Syntax::Home => (
            "`~` is for a shell, and none runs here".to_owned(),
            "write `${data}/…`, or an absolute path".to_owned(),
        ),
        Syntax::Pattern => ("this is no list of file names: no shell runs here".to_owned(), shell.to_owned()),
        Syntax::Assignment => (
            "an assignment before the program is for a shell, and none runs here".to_owned(),
            "write it under `env`".to_owned(),
        ),
    };
    let label = match syntax {
        Syntax::Assignment => "taken for the program",
        Syntax::Operator | Syntax::Variable | Syntax::Home | Syntax::Pattern => "handed over as it is",
    };
    let primary = span(first);
    let mut fault = Fault::new(Code::ShellSyntax, subject, primary, message).label(label).remedy(remedy);
    // A text with escapes cannot be narrowed, and the same place twice says nothing.
    for place in further.iter().map(span).filter(|place| *place != primary) {
        fault = fault.related(place, "here too");
    }
    session.report(fault);
}

/// Message and remedy about `$NAME`, `$(…)` or a backtick. Only well-known names are repeated: `$` may
/// also stand in a password.
fn variable(text: &str) -> (String, String) {
    let name = text.strip_prefix('$').unwrap_or(text);
    if let Some((known, ours)) = OURS.iter().find(|(known, _)| *known == name) {
        return (format!("`${known}` is for a shell, and none runs here"), format!("write `{ours}`"));
    }
    let message = if text.ends_with(['(', '`']) {
        "a command in a command is for a shell, and none runs here"
    } else {
        "a `$` without braces is for a shell, and none runs here"
    };
    let remedy = "write a variable with braces, such as `${data}`, or let a shell run it: `sh -c '…'`; where the program shall get this, quote it";
    (message.to_owned(), remedy.to_owned())
}

/// What a shell would see in a command, in order, at most once in each word.
fn syntax(text: &str) -> Vec<(Syntax, Range<usize>)> {
    let special =
        |byte: u8| matches!(byte, b'|' | b'&' | b';' | b'<' | b'>' | b'$' | b'`' | b'~' | b'*' | b'?' | b'=');
    if !text.bytes().any(special) {
        return Vec::new();
    }
    let bare = bare(text);
    let mut found = Vec::new();
    let mut before: Option<&str> = None;
    for word in bare.split([' ', '\t', '\n']).filter(|word| !word.is_empty()) {
        let start = word.as_ptr() as usize - bare.as_ptr() as usize;
        if let Some((syntax, range)) = in_word(word, before) {
            found.push((syntax, start + range.start..start + range.end));
        }
        before = Some(word);
    }
    found
}

/// The text with the same length in which all that is quoted is dots, comments are spaces, and `${…}`,
/// which is ours, is dots too.
fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut quote: Option<char> = None;
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        let mut hidden = c.len_utf8();
        match (quote, c) {
            (None | Some('"'), '\\') => {
                hidden += characters.next().map_or(0, |(_, escaped)| escaped.len_utf8());
            }
            (Some(open), _) => {
                if c == open {
                    quote = None;
                }
            }
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if bare.is_empty() || bare.ends_with([' ', '\t', '\n']) => {
                let length = text[at..].find('\n').unwrap_or(text.len() - at);
                bare.extend(std::iter::repeat_n(' ', length));
                while characters.offset() < at + length {
                    characters.next();
                }
                continue;
            }
            (None, '$') if text[at..].starts_with("${") => {
                let end = text[at..].find('}').map_or(2, |end| end + 1);
                hidden = end;
                while characters.offset() < at + end {
                    characters.next();
                }
            }
            (None, _) => {
                bare.push(c);
                continue;
            }
        }
        bare.extend(std::iter::repeat_n('.', hidden));
    }
    bare
}

/// What a shell would see in one word.
fn in_word(word: &str, before: Option<&str>) -> Option<(Syntax, Range<usize>)> {
    if let Some(range) = operator(word) {
        return Some((Syntax::Operator, range));
    }
    if before.is_none()
        && let Some((name, _)) = word.split_once('=')
        && crate::shape::Form::EnvironmentName.check(name).is_ok()
    {
        return Some((Syntax::Assignment, 0..name.len() + 1));
    }
    if let Some(range) = variable_in(word) {
        return Some((Syntax::Variable, range));
    }
    if word == "~" || word.starts_with("~/") {
        return Some((Syntax::Home, 0..1));
    }
    is_pattern(word, before).then_some((Syntax::Pattern, 0..word.len()))
}

/// An operator as a word, at the end of one (`first;`) or at its beginning (`|next`), and redirections.
fn operator(word: &str) -> Option<Range<usize>> {
    let redirect = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&');
    if redirect.starts_with(['<', '>']) {
        let end = redirect.find(|c| !matches!(c, '<' | '>' | '&')).unwrap_or(redirect.len());
        return Some(0..word.len() - redirect.len() + end);
    }
    let is_address = word.contains("://");
    for operator in OPERATORS {
        if word.starts_with(operator) {
            return Some(0..operator.len());
        }
        // `http://…/?a=1&` is an odd address, but an address.
        if word.ends_with(operator) && !is_address {
            return Some(word.len() - operator.len()..word.len());
        }
    }
    None
}

/// `$NAME`, `$(` or a backtick, anywhere in a word; `$1` and a `$` alone are more often meant.
fn variable_in(word: &str) -> Option<Range<usize>> {
    for (at, _) in word.match_indices(['$', '`']) {
        let rest = &word[at + 1..];
        if word.as_bytes()[at] == b'`' || rest.starts_with('(') {
            return Some(at..at + 1 + usize::from(rest.starts_with('(')));
        }
        if rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            let name = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            return Some(at..at + 1 + name);
        }
    }
    None
}

/// A pattern of file names. Not every star is one: addresses, `*:8080`, `--allow=*` and the value of
/// `--host` have others.
fn is_pattern(word: &str, before: Option<&str>) -> bool {
    let is_address = word.starts_with("*:") || word.contains("://");
    let is_option_value = before.is_some_and(|option| option.starts_with('-') && is_address_name(option));
    let has_value = word.starts_with('-') && word.contains('=');
    if is_address || has_value || (word == "*" && is_option_value) {
        return false;
    }
    word.contains('*') || (word.contains('?') && !word.contains('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(Syntax, &str)]) {
        let found = syntax(text);
        let found: Vec<(Syntax, &str)> =
            found.iter().map(|(syntax, range)| (*syntax, &text[range.clone()])).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn operators_are_found_as_words_and_glued_to_them() {
        use Syntax::Operator;
        check("a && b || c", &[(Operator, "&&"), (Operator, "||")]);
        check("a | b; c &", &[(Operator, "|"), (Operator, ";"), (Operator, "&")]);
        check("a |b &&c", &[(Operator, "|"), (Operator, "&&")]);
        check(
            "a > x 2>&1 >>y < z &>w",
            &[(Operator, ">"), (Operator, "2>&"), (Operator, ">>"), (Operator, "<"), (Operator, "&>")],
        );
        check("x ';'", &[]);
        check("find . -exec rm {} \\;", &[]);
    }

    #[test]
    fn variables_are_found_unless_they_are_ours() {
        use Syntax::Variable;
        check("a $HOME/x --p=$PORT", &[(Variable, "$HOME"), (Variable, "$PORT")]);
        check("a $(date) `date`", &[(Variable, "$("), (Variable, "`")]);
        check("a ${data}/x ${port.http} $${kept} $1 5$", &[]);
        check("a '$HOME' \"$HOME\" \\$HOME", &[]);
        check("sh -c 'cd \"$HOME\" && exec x | y > z'", &[]);
    }

    #[test]
    fn homes_patterns_and_assignments_are_found() {
        check("a ~/x ~ b~ a/~/b", &[(Syntax::Home, "~"), (Syntax::Home, "~")]);
        check("a *.py b?.c", &[(Syntax::Pattern, "*.py"), (Syntax::Pattern, "b?.c")]);
        check("LEVEL=1 a B=2", &[(Syntax::Assignment, "LEVEL=")]);
    }

    #[test]
    fn what_only_looks_like_shell_is_left_alone() {
        check("serve --host * --origins=* --bind *:80 http://a/?b=1&c=* /find?x=1&y=2", &[]);
        check("a '*.py' \"x > y\" a=>b a|b # && comment", &[]);
        check("größe 'ä && ö' ${data", &[]);
        check("", &[]);
    }
}
