//! A JSON value without the parser: the model carries it, the edges read and write it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Any JSON value. Numbers that are whole stay whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

// A plan never holds NaN (YAML's .nan is refused), so equality is total here.
impl Eq for Json {}
