//! The shape of the plan language as data: every key, what it may hold, and its one-line documentation.
//!
//! The one home of these facts: the walker checks against these tables and the JSON Schema is made
//! from them. Knows no YAML and no meaning beyond a single value.

mod alerts;
mod contact;
mod credential;
mod deployment;
mod foreign;
mod form;
mod host;
mod host_form;
mod plan;
mod range;
mod service;

pub(crate) use contact::{is_loopback, parse_keep, parse_repeat, parse_server, parse_time, parse_web_url};
pub(crate) use foreign::{Translation, service_key, translation};
pub(crate) use form::{
    Fill, Form, builtin_variables, is_host_name, parse_address, parse_listen, parse_rotation,
};
pub(crate) use host_form::{
    HostForm, is_public_key, parse_connect, parse_mode, parse_port_rule, parse_reaction, parse_reboot,
};
pub(crate) use plan::{INCLUDED, PLAN};
pub(crate) use range::{Range, parse_range};

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A text of a certain form; a number stands for its digits.
    Text(Form),
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Whole(i64, i64),
    /// A number of processor cores.
    Cores,
    /// `30s`; not shorter than so many milliseconds.
    Duration(u64),
    /// `400d`; not shorter and not longer than so many milliseconds.
    Period(u64, u64),
    /// `10MiB`; not smaller than so many bytes.
    Size(u64),
    /// `auto` or a port number.
    Port,
    /// The format version.
    Version,
    /// A command as text or as a list of words.
    Command,
    /// One of a few words.
    Word(&'static [Word]),
    /// A map with known keys.
    Map(&'static Shape),
    /// A list of one kind.
    List(&'static Kind),
    /// A text or something else: the first when the value is a scalar, the second otherwise.
    Either(&'static Kind, &'static Kind),
    /// A map, or a list: the first when the value is a map.
    MapOrList(&'static Shape, &'static Kind),
    /// Anything that JSON can say; texts in it may have variables.
    Any,
    /// A word kept for a later release.
    Reserved(&'static str),
    /// Never allowed: the value of a credential.
    Secret,
}

/// A word that a key may have as its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) word: &'static str,
    pub(crate) doc: &'static str,
    /// The release that brings it, when it is only kept.
    pub(crate) reserved: Option<&'static str>,
}

/// A key of a shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) doc: &'static str,
    pub(crate) required: bool,
}

/// What the entries of a map are about, so that faults name the right subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entering {
    /// The same as the map itself.
    Same,
    Service,
    Credential,
    Stage,
    Host,
    Path,
    Receiver,
    Maintenance,
    /// A host; the word `Host` is taken by the hosts of routes.
    Machine,
    Group,
    Network,
}

/// Keys that are names of the user's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others {
    pub(crate) form: Form,
    pub(crate) kind: Kind,
    pub(crate) entering: Entering,
}

/// A map: its known keys, and what other keys may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Its name in the JSON Schema.
    pub(crate) name: &'static str,
    /// How a message calls it: `a service`.
    pub(crate) title: &'static str,
    pub(crate) keys: &'static [Key],
    pub(crate) others: Option<Others>,
    /// Exactly one of these must be there; empty when there is no such rule.
    pub(crate) one_of: &'static [&'static str],
}

impl Shape {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        let keys: &'static [Key] = self.keys;
        keys.iter().find(|key| key.name == name)
    }
}

/// Every shape that a plan can reach, each once, outermost first.
pub(crate) fn all_shapes() -> Vec<&'static Shape> {
    fn visit(kind: &'static Kind, found: &mut Vec<&'static Shape>) {
        match kind {
            Kind::Map(shape) => visit_shape(shape, found),
            Kind::List(kind) => visit(kind, found),
            Kind::Either(first, second) => {
                visit(first, found);
                visit(second, found);
            }
            Kind::MapOrList(shape, kind) => {
                visit_shape(shape, found);
                visit(kind, found);
            }
            Kind::Text(_)
            | Kind::Bool
            | Kind::Whole(..)
            | Kind::Cores
            | Kind::Duration(_)
            | Kind::Period(..)
            | Kind::Size(_)
            | Kind::Port
            | Kind::Version
            | Kind::Command
            | Kind::Word(_)
            | Kind::Any
            | Kind::Reserved(_)
            | Kind::Secret => {}
        }
    }
    fn visit_shape(shape: &'static Shape, found: &mut Vec<&'static Shape>) {
        if found.iter().any(|known| known.name == shape.name) {
            return;
        }
        found.push(shape);
        for key in shape.keys {
            visit(&key.kind, found);
        }
        if let Some(others) = &shape.others {
            visit(&others.kind, found);
        }
    }
    let mut found = Vec::new();
    visit_shape(&PLAN, &mut found);
    found
}

/// A key that may be left out.
const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, doc, required: false }
}

/// A key that must be there.
const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, doc, required: true }
}

/// A key kept for a later release.
const fn reserved(name: &'static str, release: &'static str, doc: &'static str) -> Key {
    Key { name, kind: Kind::Reserved(release), doc, required: false }
}

const fn word(word: &'static str, doc: &'static str) -> Word {
    Word { word, doc, reserved: None }
}

const fn later(word: &'static str, release: &'static str, doc: &'static str) -> Word {
    Word { word, doc, reserved: Some(release) }
}

/// A shape of known keys only.
const fn shape(name: &'static str, title: &'static str, keys: &'static [Key]) -> Shape {
    Shape { name, title, keys, others: None, one_of: &[] }
}

/// A shape whose keys are the user's own names.
const fn names(name: &'static str, title: &'static str, form: Form, kind: Kind, entering: Entering) -> Shape {
    Shape { name, title, keys: &[], others: Some(Others { form, kind, entering }), one_of: &[] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_documented_and_stands_once_in_its_shape() {
        for shape in all_shapes().into_iter().chain([&INCLUDED]) {
            let mut names: Vec<&str> = shape.keys.iter().map(|key| key.name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{}", shape.name);
            assert!(shape.keys.iter().all(|key| key.doc.len() > 10), "{}", shape.name);
            assert!(shape.one_of.iter().all(|name| shape.key(name).is_some()), "{}", shape.name);
        }
    }
}
