//! Just enough of Rust's lexical rules to know where functions begin and end: comments, strings, characters,
//! lifetimes, braces. Knows no grammar; rustfmt'ed code is assumed.

/// Stands for each character of a literal, its quotes included; occurs in no source.
pub(super) const LITERAL: char = '\u{1}';

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Line of the word `fn`, counted from 1.
    pub(super) line: usize,
    /// Lines from `fn` to the closing brace without blank and comment lines.
    pub(super) code_lines: usize,
}

/// Every function with a body, inner ones as well.
pub(super) fn functions(text: &str) -> Vec<Function> {
    let code = without_comments(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        // A type such as `fn (u8)` has no name, a trait's method may have no body.
        let Some(length) = (!name.is_empty()).then(|| body_end(rest)).flatten() else { continue };
        let line_start = code[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let whole = &code[line_start..at + 3 + length];
        let code_lines = whole.lines().filter(|line| !line.trim().is_empty()).count();
        found.push(Function { name, line: code[..at].matches('\n').count() + 1, code_lines });
    }
    found
}

/// Bytes from here to just after the brace that closes the body.
fn body_end(signature: &str) -> Option<usize> {
    let (mut brackets, mut braces) = (0_usize, 0_usize);
    for (at, character) in signature.char_indices() {
        match character {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if brackets == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The same text with comments blanked and literals replaced by `LITERAL`; line breaks stay.
pub(super) fn without_comments(text: &str) -> String {
    let input: Vec<char> = text.chars().collect();
    let mut output = String::with_capacity(text.len());
    let mut at = 0;
    while at < input.len() {
        let before = at.checked_sub(1).map(|before| input[before]);
        let Some((length, filler)) = piece(&input[at..], before) else {
            output.push(input[at]);
            at += 1;
            continue;
        };
        for character in &input[at..at + length] {
            output.push(if *character == '\n' { '\n' } else { filler });
        }
        at += length;
    }
    output
}

/// Length and filler of the comment or literal that starts here, if one does.
fn piece(rest: &[char], before: Option<char>) -> Option<(usize, char)> {
    let next = rest.get(1).copied();
    match rest[0] {
        '/' if next == Some('/') => Some((rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()), ' ')),
        '/' if next == Some('*') => Some((block_comment(rest), ' ')),
        '"' => Some((1 + quoted(&rest[1..], '"'), LITERAL)),
        '\'' if next == Some('\\') => Some((1 + quoted(&rest[1..], '\''), LITERAL)),
        '\'' if rest.get(2) == Some(&'\'') => Some((3, LITERAL)),
        'r' if !before.is_some_and(|c| c.is_alphanumeric() && c != 'b' && c != 'c' || c == '_') => {
            let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
            (rest.get(1 + hashes) == Some(&'"')).then(|| (raw(rest, hashes), LITERAL))
        }
        _ => None,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < rest.len() {
        match (rest[at], rest[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Characters up to and including the closing quote.
fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 0;
    while at < rest.len() {
        if rest[at] == quote {
            return at + 1;
        }
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    rest.len()
}

fn raw(rest: &[char], hashes: usize) -> usize {
    let start = hashes + 2;
    let ends = |at: &usize| {
        rest[*at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (start..rest.len()).find(ends).map_or(rest.len(), |at| at + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, usize, usize)]) {
        let found = functions(text);
        let found: Vec<(&str, usize, usize)> = found
            .iter()
            .map(|function| (function.name.as_str(), function.line, function.code_lines))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn blank_and_comment_lines_do_not_count() {
        check("//! x\npub(crate) fn a(x: [u8; 4]) -> u8 {\n    // why\n\n    x[0]\n}\n", &[("a", 2, 3)]);
    }

    #[test]
    fn braces_in_literals_and_comments_do_not_count() {
        let body = "let a = \"}\\\"}\"; let b = '}'; let c = r#\"}\"}\"#; let d = b\"}\"; /* } /* } */ } */";
        check(
            &format!("fn a<'x>(y: &'x str) {{\n{body}\n// }}\n}}\nfn b() {{}}\n"),
            &[("a", 1, 3), ("b", 5, 1)],
        );
    }

    #[test]
    fn signatures_without_a_body_and_function_types_are_no_functions() {
        check("trait T { fn a(&self) -> [u8; 2];\n}\nlet f: fn (u8) = g;\nlet often = 1;\n", &[]);
    }

    #[test]
    fn inner_functions_are_found_too() {
        check("fn a() {\n    fn b() {\n    }\n}\n", &[("a", 1, 4), ("b", 2, 2)]);
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_text() {
        for text in ["fn a() { \"", "fn a() { r##\"x\"#", "fn a() { /* ", "'\\", "fn a() {"] {
            check(text, &[]);
        }
    }
}
