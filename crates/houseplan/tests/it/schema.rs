//! The JSON Schema, asked by a validator that knows nothing of us.

use crate::fixtures::{load_fixture, names};
use crate::houses::houses;
use boon::{Compiler, SchemaIndex, Schemas};
use granit_parser::{Event, Parser, ScalarStyle};
use haus_houseplan::{DiskFiles, load, schema, starter};
use serde_json::{Map, Value, json};

struct Validator {
    schemas: Schemas,
    plan: SchemaIndex,
    included: SchemaIndex,
}

impl Validator {
    fn new() -> Validator {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        compiler.add_resource("plan.json", schema()).unwrap();
        let plan = compiler.compile("plan.json", &mut schemas).unwrap();
        let included = compiler.compile("plan.json#/$defs/included", &mut schemas).unwrap();
        Validator { schemas, plan, included }
    }

    fn check(&self, text: &str, is_plan: bool) -> Result<(), String> {
        let index = if is_plan { self.plan } else { self.included };
        self.schemas.validate(&yaml(text), index).map_err(|error| error.to_string())
    }
}

/// YAML as JSON, by a way of its own: aliases by their anchors, plain scalars by the core schema.
fn yaml(text: &str) -> Value {
    let mut open: Vec<(Value, Option<String>, usize)> = Vec::new();
    let mut anchors: Map<String, Value> = Map::new();
    let mut done = Value::Null;
    for event in Parser::new_from_str(text) {
        let (value, anchor) = match event.unwrap().0 {
            Event::SequenceStart(_, anchor, _) => {
                open.push((json!([]), None, anchor));
                continue;
            }
            Event::MappingStart(_, anchor, _) => {
                open.push((json!({}), None, anchor));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (value, _, anchor) = open.pop().unwrap();
                (value, anchor)
            }
            Event::Scalar(text, ScalarStyle::Plain, anchor, _) => (plain(&text), anchor),
            Event::Scalar(text, _, anchor, _) => (json!(text), anchor),
            Event::Alias(id) => (anchors[&id.to_string()].clone(), 0),
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::UnresolvedAlias(_)
            | Event::Comment(..)
            | _ => continue,
        };
        if anchor != 0 {
            anchors.insert(anchor.to_string(), value.clone());
        }
        match open.last_mut() {
            None => done = value,
            Some((Value::Array(items), _, _)) => items.push(value),
            Some((Value::Object(members), key, _)) => match key.take() {
                Some(key) => drop(members.insert(key, value)),
                None => *key = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
            },
            Some(_) => panic!("only collections are open"),
        }
    }
    done
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => json!(true),
        "false" => json!(false),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => json!(number),
            (_, Ok(number)) if text.starts_with(|c: char| c.is_ascii_digit()) => json!(number),
            _ => json!(text),
        },
    }
}

#[test]
fn what_the_check_takes_the_schema_takes() {
    let validator = Validator::new();
    let mut checked = 0;
    let fixtures = names().into_iter().map(|name| load_fixture(&name));
    for loaded in fixtures.chain(houses().iter().map(|house| load(house, &DiskFiles))) {
        if loaded.plan.is_none() {
            continue;
        }
        // Templates and keys are sources too, and no plans.
        let plans =
            loaded.sources.iter().filter(|source| source.path.extension().is_some_and(|end| end == "yaml"));
        for (at, source) in plans.enumerate() {
            validator
                .check(&source.text, at == 0)
                .unwrap_or_else(|error| panic!("{}: {error}", source.path.display()));
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked}");
    validator.check(&starter("a"), true).unwrap();
}

#[test]
fn what_breaks_the_shape_breaks_the_schema() {
    let validator = Validator::new();
    let names = [
        "unknown-keys",
        "missing-keys",
        "wrong-kinds",
        "units",
        "words",
        "reserved",
        "version",
        "together",
        "names",
        "booleans-in-env",
        "credentials",
        "top-is-list",
        "forms",
        "host-forms",
        "firewall-forms",
        "deployment-forms",
        "stage-hosts-say-too-much",
    ];
    for name in names {
        let text = &load_fixture(name).sources[0].text;
        assert!(validator.check(text, true).is_err(), "{name}");
    }
}

#[test]
fn one_unknown_key_is_enough() {
    let validator = Validator::new();
    let plan = starter("a");
    validator.check(&plan, true).unwrap();
    assert!(validator.check(&format!("{plan}\ncolour: red\n"), true).is_err());
    assert!(validator.check(&plan.replace("    limits:", "    limit:"), true).is_err());
}
