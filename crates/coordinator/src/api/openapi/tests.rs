//! The document against its committed copy and against the rules that every operation follows.

use super::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Every operation with its path and method.
fn all(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let operations = METHODS.iter().filter_map(|method| Some((*method, item.get(*method)?.clone())));
        operations.map(|(method, operation)| (path.clone(), method.to_owned(), operation)).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// Names of all schemas that are referred to.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.push(reference.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn openapi_is_what_is_committed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api/openapi.json");
    let document = document();
    if std::env::var("HAUS_GOLDEN").is_ok_and(|mode| mode == "write") {
        let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let text = std::fs::read_to_string(&path).expect("docs/api/openapi.json is there");
    let committed: Value = serde_json::from_str(&text).unwrap();
    let changed: Vec<String> = all(&document)
        .into_iter()
        .filter(|(path, method, operation)| committed["paths"][path][method] != *operation)
        .map(|(path, method, _)| format!("{method} {path}"))
        .collect();
    assert!(
        committed == document,
        "docs/api/openapi.json is not what the program serves; HAUS_GOLDEN=write rewrites it; changed: {changed:?}"
    );
}

#[test]
fn every_operation_has_an_id_of_its_own_a_tag_a_summary_and_a_way_in() {
    let document = document();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (path, method, operation) in all(&document) {
        let id = operation["operationId"].as_str().expect("an id").to_owned();
        let place = format!("{method} {path}");
        if let Some(other) = seen.insert(id.clone(), place.clone()) {
            panic!("{place} and {other} are both called {id}");
        }
        assert!(operation["tags"].as_array().is_some_and(|tags| !tags.is_empty()), "{place} has no tag");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{place} has no summary");
        for parameter in operation["parameters"].as_array().unwrap() {
            assert!(!parameter["schema"]["type"].is_array(), "{place}: {parameter} can be null");
        }
        assert!(operation["security"].is_array(), "{place} says nothing about security");
    }
    assert!(seen.len() > 5);
}

#[test]
fn every_refusal_is_a_problem_and_nothing_is_referred_to_that_is_not_there() {
    let document = document();
    for (path, method, operation) in all(&document) {
        let answers = operation["responses"].as_object().unwrap();
        for status in ["400", "401", "404", "429", "500", "503"] {
            assert!(answers.contains_key(status), "{method} {path} lacks {status}");
        }
        for (status, answer) in
            answers.iter().filter(|(status, _)| status.parse().is_ok_and(|status: u16| status >= 400))
        {
            let is_common = answer["$ref"] == format!("#/components/responses/Problem{status}");
            let is_own = answer["content"].get(haus_api::problem::MEDIA_TYPE).is_some();
            assert!(is_common || is_own, "{method} {path} answers {status} with something else: {answer}");
        }
        assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path} has no good end");
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn the_ways_in_and_the_version_are_told() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    assert_eq!(document["paths"]["/api/identity/enrol"]["post"]["security"], json!([{}]));
    assert_eq!(document["paths"]["/api/tokens"]["post"]["security"], json!([{ "bearer": [] }]));
}
