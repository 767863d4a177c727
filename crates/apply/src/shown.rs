//! Texts that come from a host, made fit for a terminal: nothing there may move the cursor, hide a line or
//! fill a screen.

/// How long a text of a host may be where it is shown.
const CHARACTERS_MAX: usize = 600;

/// The text without control characters, and cut when it is too long. Line ends become spaces.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(CHARACTERS_MAX));
    for (count, character) in text.trim().chars().enumerate() {
        if count == CHARACTERS_MAX {
            out.push('…');
            break;
        }
        match character {
            '\n' | '\t' => out.push(' '),
            '\r' => {}
            _ if hides(character) => out.extend(character.escape_unicode()),
            _ => out.push(character),
        }
    }
    out
}

/// Control characters, and those that turn the direction of writing or have no width.
fn hides(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    fn check(text: &str, expected: &str) {
        assert_eq!(super::shown(text), expected);
    }

    #[test]
    fn nothing_of_a_host_reaches_the_terminal_raw() {
        check("plain ä text\r\nsecond", "plain ä text second");
        check("\u{1b}[2Jgone", "\\u{1b}[2Jgone");
        check("\u{9b}31m \u{202e}txt", "\\u{9b}31m \\u{202e}txt");
        check("a\u{7}b\u{0}", "a\\u{7}b\\u{0}");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(super::shown(&"x".repeat(5000)).chars().count(), super::CHARACTERS_MAX + 1);
    }
}
