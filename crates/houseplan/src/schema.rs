//! The JSON Schema of the plan language, made from the same tables that the walk uses.
//!
//! A schema knows single files; what parts mean together only the checks know.

use crate::shape::{Form, INCLUDED, Key, Kind, PLAN, Shape, all_shapes};
use haus_model::unit;
use serde_json::{Map, Value, json};

/// JSON Schema (draft 2020-12) of a plan file. `$defs/included` describes an included file.
pub fn schema() -> Value {
    let shapes = all_shapes();
    let others = shapes.iter().filter(|shape| shape.name != PLAN.name).copied().chain([&INCLUDED]);
    let defs: Map<String, Value> = others.map(|shape| (shape.name.to_owned(), object(shape))).collect();
    let mut root = object(&PLAN);
    if let Value::Object(members) = &mut root {
        members.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        members.insert("title".to_owned(), json!("Hausmeister plan"));
        members.insert("$defs".to_owned(), Value::Object(defs));
    }
    root
}

/// A map with its keys.
fn object(shape: &Shape) -> Value {
    // Reserved words and forbidden keys are left out, so that a schema refuses what a check refuses.
    let usable = |key: &&Key| !matches!(key.kind, Kind::Reserved(_) | Kind::Secret);
    let properties: Map<String, Value> = shape
        .keys
        .iter()
        .filter(usable)
        .map(|key| (key.name.to_owned(), documented(value(&key.kind), key.doc)))
        .collect();
    let required: Vec<&str> = shape.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    if !properties.is_empty() {
        schema.insert("properties".to_owned(), Value::Object(properties));
    }
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    match &shape.others {
        Some(others) => {
            schema.insert("additionalProperties".to_owned(), value(&others.kind));
            if let Some(pattern) = others.form.pattern() {
                schema.insert("propertyNames".to_owned(), names(shape, others.form, pattern));
            }
        }
        None => {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    if !shape.one_of.is_empty() {
        let choices: Vec<Value> = shape.one_of.iter().map(|key| json!({ "required": [key] })).collect();
        schema.insert("oneOf".to_owned(), json!(choices));
    }
    Value::Object(schema)
}

/// How the keys of a map of names are written.
fn names(shape: &Shape, form: Form, pattern: &str) -> Value {
    if form == Form::Name {
        return json!({ "pattern": pattern, "maxLength": haus_model::id::NAME_BYTES_MAX });
    }
    let known: Vec<&str> =
        shape.keys.iter().filter(|key| !matches!(key.kind, Kind::Reserved(_))).map(|key| key.name).collect();
    if known.is_empty() {
        json!({ "pattern": pattern })
    } else {
        json!({ "anyOf": [{ "pattern": pattern }, { "enum": known }] })
    }
}

/// Editors show this text beside the key.
fn documented(schema: Value, doc: &str) -> Value {
    let mut schema = schema;
    if let Value::Object(members) = &mut schema {
        members.insert("description".to_owned(), json!(doc));
    }
    schema
}

/// A value, as narrow as a schema can say it.
fn value(kind: &Kind) -> Value {
    match kind {
        Kind::Text(form) => text(*form),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Cores => json!({ "type": "number", "minimum": 0.001, "maximum": 1024 }),
        Kind::Duration(_) | Kind::Period(..) => quantity(&unit::DURATION_UNITS.map(|(unit, _)| unit)),
        Kind::Size(_) => quantity(&unit::SIZE_UNITS.map(|(unit, _)| unit)),
        Kind::Port => {
            json!({ "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1, "maximum": 65535 }] })
        }
        Kind::Version => json!({ "const": 1 }),
        Kind::Command => json!({ "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "minItems": 1, "items": { "type": ["string", "number"] } },
        ] }),
        Kind::Word(words) => {
            let usable = words.iter().filter(|word| word.reserved.is_none());
            let choices: Vec<Value> =
                usable.map(|word| json!({ "const": word.word, "description": word.doc })).collect();
            json!({ "oneOf": choices })
        }
        Kind::Map(shape) => reference(shape),
        Kind::List(kind) => json!({ "type": "array", "items": value(kind) }),
        Kind::Either(first, second) => json!({ "anyOf": [value(first), value(second)] }),
        Kind::MapOrList(shape, kind) => {
            json!({ "anyOf": [reference(shape), { "type": "array", "items": value(kind) }] })
        }
        Kind::Any => json!({}),
        Kind::Reserved(_) | Kind::Secret => json!(false),
    }
}

/// Shapes stand once under `$defs`.
fn reference(shape: &Shape) -> Value {
    json!({ "$ref": format!("#/$defs/{}", shape.name) })
}

/// A text by its pattern.
fn text(form: Form) -> Value {
    match form.pattern() {
        Some(pattern) => json!({ "type": "string", "pattern": pattern }),
        // YAML reads `1.2` as a number; where any text may stand, its digits are meant.
        None => json!({ "type": ["string", "number"] }),
    }
}

/// A number with one of these units.
fn quantity(units: &[&str]) -> Value {
    json!({ "type": "string", "pattern": format!("^[0-9]+({})$", units.join("|")) })
}
