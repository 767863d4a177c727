//! One operation of the API as text: who may, what goes in, what comes out. Knows the shape of an OpenAPI
//! operation.

use std::fmt::Write as _;

use serde_json::Value;

use super::schema::{cell, limits, sentence, type_words, with_limits};

const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];

/// One method of one path.
pub(super) struct Operation<'a> {
    path: &'a str,
    method: String,
    pub(super) tag: &'a str,
    told: &'a Value,
}

/// All operations, ordered by tag, path and the usual order of methods.
///
/// # Errors
/// An operation without id, tag or purpose: nobody could find or understand it.
pub(super) fn all(document: &Value) -> Result<Vec<Operation<'_>>, String> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            let Some(told) = item.get(method) else { continue };
            let named = |key: &str| told[key].as_str().is_some_and(|text| !text.is_empty());
            let tag = told["tags"][0].as_str().unwrap_or_default();
            if !named("operationId") || !named("summary") || tag.is_empty() {
                return Err(format!("{method} {path} lacks an operationId, a tag or a summary"));
            }
            operations.push(Operation { path, method: method.to_uppercase(), tag, told });
        }
    }
    // Stable: within a path the methods keep their order.
    operations.sort_by_key(|operation| (operation.tag, operation.path));
    Ok(operations)
}

impl Operation<'_> {
    /// A row of the table of contents.
    pub(super) fn row(&self) -> String {
        let name = format!("{} {}", self.method, self.path);
        // The rest is told in the section.
        let summary = cell(self.text("summary"));
        let purpose = summary.split_once(". ").map_or(summary.as_str(), |(first, _)| first);
        format!("| [`{name}`](#{}) | {} | {} |", anchor(&name), purpose.trim_end_matches('.'), self.who())
    }

    /// Everything about it.
    pub(super) fn section(&self, document: &Value) -> String {
        let mut text = format!("### {} {}\n\n{}", self.method, self.path, sentence(self.text("summary")));
        let more = self.text("description").trim();
        if !more.is_empty() {
            let _ = write!(text, " {}", sentence(&more.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
        let _ = writeln!(text, "\n\nFor {}. Operation `{}`.", self.who(), self.text("operationId"));
        text.push_str(&self.parameters(document));
        text.push_str(&self.body());
        text.push_str(&self.answers(document));
        text
    }

    fn text(&self, key: &str) -> &str {
        self.told[key].as_str().unwrap_or_default()
    }

    fn who(&self) -> String {
        let ways: Vec<&Value> = self.told["security"].as_array().into_iter().flatten().collect();
        let is_open = |way: &&Value| way.as_object().is_some_and(serde_json::Map::is_empty);
        // Scopes of a scheme that is no OAuth stand there since OpenAPI 3.1.
        let lists = ways.iter().filter_map(|way| way.as_object()).flat_map(|way| way.values());
        let scopes: Vec<String> = lists
            .flat_map(|list| list.as_array().into_iter().flatten())
            .filter_map(|scope| scope.as_str().map(|scope| format!("`{scope}`")))
            .collect();
        match (ways.iter().any(is_open), ways.len()) {
            (_, 0) | (true, 1) => "everybody".to_owned(),
            (true, _) => "everybody, unless the plan says `anonymous: none`".to_owned(),
            (false, _) if scopes.is_empty() => "holders of a token".to_owned(),
            (false, _) => format!("holders of {}", scopes.join(" or ")),
        }
    }

    fn parameters(&self, document: &Value) -> String {
        let listed: Vec<&Value> = self.told["parameters"].as_array().into_iter().flatten().collect();
        // The request's id can be sent everywhere and is told once, in the introduction.
        let own: Vec<&Value> = listed
            .into_iter()
            .map(|parameter| followed(document, parameter))
            .filter(|parameter| parameter["name"] != "X-Request-ID")
            .collect();
        if own.is_empty() {
            return String::new();
        }
        let mut text = String::from("\n| Parameter | In | Type | Meaning |\n|---|---|---|---|\n");
        for parameter in own {
            let name = parameter["name"].as_str().unwrap_or_default();
            let place = parameter["in"].as_str().unwrap_or_default();
            let must = if parameter["required"] == true { ", required" } else { "" };
            let schema = &parameter["schema"];
            let meaning = parameter["description"].as_str().unwrap_or_default();
            let meaning = cell(&with_limits(meaning, &limits(schema)));
            let _ =
                writeln!(text, "| `{name}` | {place}{must} | {} | {meaning} |", cell(&type_words(schema)));
        }
        text
    }

    fn body(&self) -> String {
        let body = &self.told["requestBody"];
        let mut text = String::new();
        for (media, content) in body["content"].as_object().into_iter().flatten() {
            let may = if body["required"] == true { "" } else { ", may be absent" };
            let _ = writeln!(text, "\nBody: `{media}`, {}{may}.", type_words(&content["schema"]));
        }
        text
    }

    fn answers(&self, document: &Value) -> String {
        let mut text = String::from("\n| Answer | When | Body |\n|---|---|---|\n");
        let mut shared = Vec::new();
        for (status, answer) in self.told["responses"].as_object().into_iter().flatten() {
            if answer.get("$ref").is_some() {
                shared.push(status.as_str());
                continue;
            }
            let answer = followed(document, answer);
            let content = answer["content"].as_object().into_iter().flatten();
            let bodies: Vec<String> = content
                .map(|(media, content)| {
                    let what = type_words(&content["schema"]);
                    if media == "application/json" || media == "application/problem+json" {
                        what
                    } else {
                        format!("{what} as `{media}`")
                    }
                })
                .collect();
            let body = if bodies.is_empty() { "–".to_owned() } else { bodies.join(" or ") };
            let when = answer["description"].as_str().unwrap_or_default();
            let _ = writeln!(text, "| {status} | {} | {} |", cell(when), cell(&body));
        }
        if !shared.is_empty() {
            let _ = writeln!(text, "\n[Refusals](#refusals): {}.", shared.join(", "));
        }
        text
    }
}

/// What a `$ref` within the document leads to; the value itself when it is none.
fn followed<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let path = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    path.and_then(|path| document.pointer(path)).unwrap_or(value)
}

/// The anchor that a forge gives this heading.
fn anchor(heading: &str) -> String {
    let kept = |character: char| match character {
        ' ' => Some('-'),
        '-' | '_' => Some(character),
        other => other.is_alphanumeric().then_some(other),
    };
    heading.to_lowercase().chars().filter_map(kept).collect()
}
