//! What looks like a secret: names, addresses with a password, and how both are hidden in excerpts.
//!
//! Guesses by words. Whoever knows better accepts the finding with a reason.

use std::ops::Range;

/// What stands for each hidden character.
pub(crate) const MASK: char = '•';

/// Words that make a name the name of a secret.
const SECRET_WORDS: [&str; 15] = [
    "password",
    "passwd",
    "pass",
    "passphrase",
    "pwd",
    "secret",
    "secrets",
    "token",
    "key",
    "apikey",
    "credential",
    "credentials",
    "requirepass",
    "masterauth",
    "pgpassword",
];

/// Words after which it is the name of something about a secret, not of the secret.
const HARMLESS_WORDS: [&str; 26] = [
    "file",
    "path",
    "dir",
    "directory",
    "folder",
    "name",
    "id",
    "url",
    "header",
    "length",
    "size",
    "ttl",
    "timeout",
    "limit",
    "limits",
    "max",
    "count",
    "prefix",
    "algorithm",
    "type",
    "public",
    "format",
    "bits",
    "lifetime",
    "days",
    "hash",
];

/// Ends of names of files, as they stand after options such as `--tls-key`.
const FILE_ENDINGS: [&str; 9] = ["pem", "key", "crt", "p12", "json", "yaml", "toml", "txt", "env"];

/// Whether a name (`DB_PASSWORD`, `--api-key`, `redisPassword`) says that its value is a secret.
pub(crate) fn is_secret_name(name: &str) -> bool {
    // Most names are short and have none of the letters; this is asked for every variable of a plan.
    if name.len() < 3
        || !name.bytes().any(|byte| matches!(byte, b's' | b'S' | b'k' | b'K' | b'p' | b'P' | b'c' | b'C'))
    {
        return false;
    }
    let mut found = false;
    for word in words(name) {
        let is = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(word));
        if is(&HARMLESS_WORDS) {
            return false;
        }
        found |= is(&SECRET_WORDS);
    }
    // The shell's own variables for the working folder, and our key for what happens, not for what it is.
    found && !matches!(name, "PWD" | "OLDPWD" | "on_new_credential")
}

/// `DB_PASSWORD` → DB PASSWORD, `redisPassword` → redis Password.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(|part| {
        let bytes = part.as_bytes();
        let is_start =
            |at: usize| at > 0 && bytes[at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase();
        let mut starts: Vec<usize> = (0..bytes.len()).filter(|&at| is_start(at)).collect();
        starts.push(bytes.len());
        let mut from = 0;
        starts.into_iter().map(move |to| {
            let word = &part[from..to];
            from = to;
            word
        })
    })
}

/// Whether a value can be a secret at all: no variable, no number, no path, not empty.
pub(crate) fn is_literal(value: &str) -> bool {
    let value = value.trim();
    let number = value.bytes().all(|byte| byte.is_ascii_digit()) && value.len() < 5;
    let word = matches!(value, "true" | "false" | "yes" | "no" | "on" | "off" | "none" | "null");
    let file = value.rsplit_once('.').is_some_and(|(_, end)| FILE_ENDINGS.contains(&end));
    !(value.is_empty() || number || word || file || value.contains("${") || value.starts_with('/'))
}

/// The password in `scheme://user:password@host`, when it is written out.
pub(crate) fn url_password(text: &str) -> Option<Range<usize>> {
    if !text.contains('@') {
        return None;
    }
    let mut from = 0;
    while let Some(found) = text[from..].find("://") {
        let start = from + found + 3;
        let authority = text[start..]
            .find(|c: char| c == '/' || c == '?' || c == '#' || c.is_whitespace() || c == '"' || c == '\'')
            .map_or(text.len(), |end| start + end);
        if let Some(at) = text[start..authority].rfind('@')
            && let Some(colon) = text[start..start + at].find(':')
        {
            let password = start + colon + 1..start + at;
            // `${…}` may itself hold no colon, so a variable is always seen whole here.
            if !password.is_empty() && !text[password.clone()].contains("${") {
                return Some(password);
            }
        }
        from = start;
    }
    None
}

/// The value in `Authorization: Bearer VALUE`, when it is written out.
fn header_secret(line: &str) -> Option<Range<usize>> {
    const NAME: &str = "authorization:";
    let start = line.to_ascii_lowercase().find(NAME)? + NAME.len();
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    let mut value = None;
    let mut from = start;
    // At most two words count: the scheme and the value.
    for _ in 0..2 {
        let word = from + (line[from..].len() - line[from..].trim_start().len());
        let end = line[word..].find(is_end).map_or(line.len(), |length| word + length);
        if word < end {
            value = Some(word..end);
        }
        from = end;
    }
    value.filter(|range| is_literal(&line[range.clone()]) && !line[range.clone()].starts_with(['$', '`']))
}

/// The password in the argument of `curl -u`, `USER:PASSWORD`.
pub(crate) fn user_password(text: &str) -> Option<Range<usize>> {
    let (user, password) = text.split_once(':')?;
    is_literal(password).then_some(user.len() + 1..text.len())
}

/// Ranges of one line that look like secrets, for excerpts of files that could not be understood.
///
/// Lines below `credentials:` name credentials and hold no values, so the caller leaves them out.
pub(crate) fn secrets_of_line(line: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = url_password(line).into_iter().chain(header_secret(line)).collect();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut from = 0;
    while let Some(start) = line[from..].find(is_name).map(|at| from + at) {
        let end = line[start..].find(|c: char| !is_name(c)).map_or(line.len(), |length| start + length);
        from = end;
        if !is_secret_name(&line[start..end]) {
            continue;
        }
        let rest = &line[end..];
        let gap = rest.len() - rest.trim_start_matches(['"', '\'', ' ', '\t', ':', '=', ',']).len();
        let separated = rest[..gap].contains([':', '=']) || line[start..end].starts_with("--");
        if !separated {
            continue;
        }
        let value = end + gap;
        let stop = if line[value..].starts_with("${") {
            value
        } else {
            line[value..].find([',', '}', ']', '"', '\'']).map_or(line.len(), |length| value + length)
        };
        let stop = value + line[value..stop].trim_end().len();
        if line[value..stop].starts_with(['{', '[']) || !is_literal(&line[value..stop]) {
            continue;
        }
        found.push(value..stop);
        from = stop;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: bool) {
        assert_eq!(is_secret_name(name), expected, "{name}");
    }

    #[test]
    fn names_of_secrets_are_told_from_names_about_secrets() {
        for name in
            ["PASSWORD", "DB_PASSWORD", "LTC_SECRET_KEY", "API_KEY", "redisPassword", "--token", "jwt-secret"]
        {
            check(name, true);
        }
        for name in [
            "PASSWORD_FILE",
            "TOKEN_TTL",
            "PUBLIC_KEY",
            "KEYBOARD",
            "MONKEY",
            "PWD",
            "COMPASS",
            "SECRET_NAME",
            "on_new_credential",
            "PORT",
        ] {
            check(name, false);
        }
    }

    #[test]
    fn passwords_in_addresses_are_found_and_variables_are_not() {
        let url = "redis://user:hunter2@127.0.0.1:6379/0";
        assert_eq!(url_password(url).map(|range| &url[range]), Some("hunter2"));
        for text in
            ["http://host:80/a@b", "redis://${x.address}:1", "a://u:${p}@h", "a://u@h", "://", "a://u:@h"]
        {
            assert_eq!(url_password(text), None, "{text}");
        }
    }

    #[test]
    fn secrets_of_a_line_are_found_in_every_notation() {
        for line in [
            "  PASSWORD: hunter2",
            "env: { A: b, API_KEY: \"hunter2\" }",
            "- DB_PASSWORD=hunter2",
            "run: redis-server --requirepass hunter2",
            "run: [\"redis-server\", \"--requirepass\", \"hunter2\"]",
            "URL: redis://u:hunter2@h",
            "health: { command: \"curl -H 'Authorization: Bearer hunter2' x\" }",
            "- authorization: hunter2",
        ] {
            let hidden = secrets_of_line(line);
            assert!(hidden.iter().any(|range| line[range.clone()].contains("hunter2")), "{line}");
        }
        for line in [
            "env: { PASSWORD: \"${x}\", KEY_FILE: /a }",
            "curl -H \"Authorization: Bearer $TOKEN\" x",
            "curl -H \"Authorization: Bearer ${x}\" x",
            "Authorization:",
        ] {
            assert!(secrets_of_line(line).is_empty(), "{line}");
        }
    }
}
