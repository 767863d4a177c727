//! JSON Schema as OpenAPI 3.1 uses it, told in words and tables. Knows no operation.

use std::fmt::Write as _;

use serde_json::Value;

/// A named type with its fields.
pub(super) fn section(name: &str, schema: &Value) -> String {
    let mut text = format!("### Type {name}\n");
    let meaning = schema["description"].as_str().unwrap_or_default();
    if !meaning.is_empty() {
        let _ = writeln!(text, "\n{}", sentence(&one_line(meaning)));
    }
    let Some(fields) = schema["properties"].as_object() else {
        let words: Vec<String> = [type_words(schema)].into_iter().chain(limits(schema)).collect();
        let _ = writeln!(text, "\n{}.", capital(&words.join(", ")));
        return text;
    };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    text.push_str("\n| Field | Type | Meaning |\n|---|---|---|\n");
    for (field, told) in fields {
        let must = if required.contains(&field.as_str()) { "" } else { ", may be absent" };
        let kind = cell(&type_words(told));
        let meaning = with_limits(description(told), &limits(told));
        let _ = writeln!(text, "| `{field}` | {kind}{must} | {} |", cell(&meaning));
    }
    text
}

/// What kind of value it is, with links to named types.
pub(super) fn type_words(schema: &Value) -> String {
    if let Some(target) = schema["$ref"].as_str() {
        let name = target.rsplit('/').next().unwrap_or(target);
        return format!("[`{name}`](#type-{})", name.to_lowercase());
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(ways) = schema[key].as_array() {
            let mut words: Vec<String> = ways.iter().map(type_words).collect();
            // "nothing" reads best at the end.
            words.sort_by_key(|word| word == "null");
            return words.join(if key == "allOf" { " and " } else { " or " });
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    if kinds.is_empty() {
        return "any value".to_owned();
    }
    let words: Vec<String> = kinds.into_iter().map(|kind| kind_words(kind, schema)).collect();
    words.join(" or ")
}

fn kind_words(kind: &str, schema: &Value) -> String {
    match kind {
        "array" => format!("list of {}", type_words(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object of {}", type_words(&schema["additionalProperties"]))
        }
        "string" => match schema["format"].as_str() {
            Some("date-time") => "time (RFC 3339)".to_owned(),
            Some("password") => "secret text".to_owned(),
            Some("binary") => "bytes".to_owned(),
            _ => "text".to_owned(),
        },
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        other => other.to_owned(),
    }
}

/// The limits of a value, each in a few words.
pub(super) fn limits(schema: &Value) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(values) = schema["enum"].as_array() {
        let listed: Vec<String> =
            values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        words.push(format!("one of {}", listed.join(", ")));
    }
    let mut between = |least: &str, most: &str, unit: &str| match (schema.get(least), schema.get(most)) {
        (Some(least), Some(most)) => words.push(format!("{least} to {most}{unit}")),
        (Some(least), None) if least != 0 => words.push(format!("at least {least}{unit}")),
        (None, Some(most)) => words.push(format!("at most {most}{unit}")),
        (Some(_), None) | (None, None) => {}
    };
    between("minimum", "maximum", "");
    between("minLength", "maxLength", " characters");
    between("minItems", "maxItems", " items");
    if let Some(pattern) = schema["pattern"].as_str() {
        words.push(format!("`{pattern}`"));
    }
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        words.push(format!("`{default}` when absent"));
    }
    words
}

/// What the value means; of one that may be null or another type, what that one means.
fn description(schema: &Value) -> &str {
    let own = schema["description"].as_str();
    let ways = ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| schema[key].as_array()).flatten();
    let inner = || ways.filter_map(|way| way["description"].as_str()).next();
    own.or_else(inner).unwrap_or_default()
}

/// The meaning as a sentence, followed by the limits as another.
pub(super) fn with_limits(meaning: &str, limits: &[String]) -> String {
    let limits = capital(&limits.join(", "));
    format!("{} {}", sentence(&one_line(meaning)), sentence(&limits)).trim().to_owned()
}

/// Text that does not end its cell of a table.
pub(super) fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}

/// The text with a full stop.
pub(super) fn sentence(text: &str) -> String {
    let text = text.trim();
    let ended = text.is_empty() || text.ends_with(['.', ':', '!', '?']);
    if ended { text.to_owned() } else { format!("{text}.") }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}
