//! Whether a body meets the expectation. Shows what was expected, never what came: that may hold secrets.

use crate::evidence::shorten;
use haus_model::health::Expectation;
use haus_model::json::Json;
use std::collections::BTreeMap;

/// Characters of an expected value that are shown.
const SHOWN_CHARACTERS_MAX: usize = 80;

/// What was read of a body.
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    /// Whether there is more than was read.
    pub(crate) cut: bool,
}

/// Says what is missing.
pub(crate) fn check(body: &Body, expect: &Expectation) -> Result<(), String> {
    if let Some(text) = &expect.text
        && !contains(&body.bytes, text.as_bytes())
    {
        let within =
            if body.cut { format!(" in its first {} KiB", body.bytes.len() / 1024) } else { String::new() };
        return Err(format!("body lacks the text {}{within}", quoted(text)));
    }
    let Some(expected) = &expect.json else { return Ok(()) };
    if body.cut {
        return Err(format!("body is larger than {} KiB, so its JSON was not read", body.bytes.len() / 1024));
    }
    let found: Json = serde_json::from_slice(&body.bytes)
        .map_err(|error| format!("body is not JSON ({})", position(&error)))?;
    lack(expected, Some(&found), "").map_or(Ok(()), |lack| Err(format!("body lacks {lack}")))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

// The parser's own message quotes what it found.
fn position(error: &serde_json::Error) -> String {
    if error.is_eof() {
        "it ends early".to_owned()
    } else {
        format!("line {} column {}", error.line(), error.column())
    }
}

/// The first member of `expected` that `found` does not have, with its path; objects inside are subsets too.
fn lack(expected: &Json, found: Option<&Json>, path: &str) -> Option<String> {
    if let (Json::Object(wanted), Some(Json::Object(have))) = (expected, found) {
        return lack_in_object(wanted, have, path);
    }
    if found.is_some_and(|found| equal(expected, found)) {
        return None;
    }
    let value = shorten(&serde_json::to_string(expected).unwrap_or_default(), SHOWN_CHARACTERS_MAX);
    Some(if path.is_empty() { value } else { format!("{}: {value}", quoted(path)) })
}

fn lack_in_object(
    wanted: &BTreeMap<String, Json>,
    have: &BTreeMap<String, Json>,
    path: &str,
) -> Option<String> {
    wanted.iter().find_map(|(name, value)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        lack(value, have.get(name), &path)
    })
}

/// Equal as JSON: `1` and `1.0` are one number. Lists must agree as a whole, objects in them as subsets.
fn equal(expected: &Json, found: &Json) -> bool {
    match (expected, found) {
        (Json::Integer(whole), Json::Float(float)) | (Json::Float(float), Json::Integer(whole)) => {
            *whole as f64 == *float
        }
        (Json::List(wanted), Json::List(have)) => {
            wanted.len() == have.len() && wanted.iter().zip(have).all(|(a, b)| lack(a, Some(b), "").is_none())
        }
        (expected, found) => expected == found,
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", shorten(text, SHOWN_CHARACTERS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_json(body: &str, expected: &str, outcome: Result<(), &str>) {
        let expect =
            Expectation { json: Some(serde_json::from_str(expected).unwrap()), ..Expectation::default() };
        let body = Body { bytes: body.as_bytes().to_vec(), cut: false };
        assert_eq!(check(&body, &expect), outcome.map_err(str::to_owned), "{expected} in {:?}", body.bytes);
    }

    #[test]
    fn expected_members_must_be_there_and_others_may() {
        check_json(r#"{"ok":true,"secret":"x"}"#, r#"{"ok":true}"#, Ok(()));
        check_json(r#"{"ok":false}"#, r#"{"ok":true}"#, Err(r#"body lacks "ok": true"#));
        check_json(r#"{}"#, r#"{"ok":true}"#, Err(r#"body lacks "ok": true"#));
        check_json(r#"{"ok":null}"#, r#"{"ok":null}"#, Ok(()));
        check_json(r#"{}"#, r#"{"ok":null}"#, Err(r#"body lacks "ok": null"#));
        check_json(r#"[]"#, r#"{"ok":true}"#, Err(r#"body lacks {"ok":true}"#));
        check_json(r#"[1]"#, r#"{}"#, Err(r#"body lacks {}"#));
    }

    #[test]
    fn objects_inside_are_subsets_too_and_lists_are_whole() {
        let body = r#"{"db":{"up":true,"lag":3},"list":[{"a":1,"b":2}],"n":1.0}"#;
        check_json(body, r#"{"db":{"up":true}}"#, Ok(()));
        check_json(body, r#"{"db":{"lag":4}}"#, Err(r#"body lacks "db.lag": 4"#));
        check_json(body, r#"{"list":[{"a":1}],"n":1}"#, Ok(()));
        check_json(body, r#"{"list":[]}"#, Err(r#"body lacks "list": []"#));
    }

    #[test]
    fn what_is_no_json_is_not_quoted() {
        check_json("", r#"{}"#, Err("body is not JSON (it ends early)"));
        check_json("\nhunter2", r#"{}"#, Err("body is not JSON (line 2 column 1)"));
    }

    fn check_text(body: &str, cut: bool, text: &str, outcome: Result<(), &str>) {
        let expect = Expectation { text: Some(text.to_owned()), ..Expectation::default() };
        let body = Body { bytes: body.as_bytes().to_vec(), cut };
        assert_eq!(check(&body, &expect), outcome.map_err(str::to_owned));
    }

    #[test]
    fn a_text_must_stand_somewhere() {
        check_text("all is well", false, "well", Ok(()));
        check_text("all is well", false, "", Ok(()));
        check_text("all is well", false, "bad", Err("body lacks the text \"bad\""));
        check_text(&"x".repeat(2048), true, "bad", Err("body lacks the text \"bad\" in its first 2 KiB"));
    }
}
