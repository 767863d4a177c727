//! The walk over a tree along the shape tables: every fault of every value, never only the first.
//!
//! Knows single values and keys; what values mean together is `checks`.

mod quantity;
mod site;
mod value;

pub(crate) use quantity::parse_cores;
use site::Site;

use crate::code::Code;
use crate::fault::{Fault, Session, Subject};
use crate::secret;
use crate::shape::{self, Entering, Form, Key, Kind, Shape, Translation};
use crate::source::Span;
use crate::tree::{Entry, Node, Text, Value};

/// Checks a file's top against its shape.
///
/// In a `partial` tree a value was left out, so a key that is not there may well have been written.
pub(crate) fn walk<'t>(session: &Session<'t>, root: &'t Node<'_>, shape: &'static Shape, partial: bool) {
    let whole = Text { text: "", span: first_line(root.span) };
    Walker { session, partial }.map(root, shape, whole, Subject::House);
}

fn first_line(span: Span) -> Span {
    Span { end: span.start, ..span }
}

struct Walker<'a, 't> {
    session: &'a Session<'t>,
    partial: bool,
}

impl<'t> Walker<'_, 't> {
    fn site(&self, at: Text<'t>, subject: Subject<'t>) -> Site<'_, 't> {
        Site { session: self.session, at, subject }
    }

    /// Checks one value; `at` is the key or item that a fault about a missing part points to.
    fn value(&self, node: &'t Node<'_>, kind: &'static Kind, at: Text<'t>, subject: Subject<'t>) {
        match kind {
            Kind::Map(shape) => self.map(node, shape, at, subject),
            Kind::List(item) => self.list(node, item, at, subject),
            Kind::MapOrList(shape, item) => match &node.value {
                Value::List(_) => self.list(node, item, at, subject),
                Value::Map(_) | Value::Scalar(..) => self.map(node, shape, at, subject),
            },
            Kind::Either(scalar, other) => match &node.value {
                Value::Scalar(..) => self.value(node, scalar, at, subject),
                Value::Map(_) | Value::List(_) => self.value(node, other, at, subject),
            },
            Kind::Reserved(release) => self.reserved(at, release, subject),
            Kind::Secret => self.secret(node, at, subject),
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
            | Kind::Any => value::check(self.site(at, subject), node, kind),
        }
    }

    /// Items are checked under the key of the list, which is what messages name.
    fn list(&self, node: &'t Node<'_>, item: &'static Kind, at: Text<'t>, subject: Subject<'t>) {
        let Value::List(items) = &node.value else {
            return self.site(at, subject).wrong_kind(
                node,
                "a list",
                "write `[one, two]`, or one `- item` per line",
            );
        };
        for node in items {
            self.value(node, item, Text { text: at.text, span: node.span }, subject);
        }
    }

    /// Known keys by their kinds, own names by their form, then what is missing.
    fn map(&self, node: &'t Node<'_>, shape: &'static Shape, at: Text<'t>, subject: Subject<'t>) {
        let Value::Map(entries) = &node.value else {
            let remedy = match shape.name {
                "ports" => value::ports_example(node),
                "route" | "health" => value::short_form_example(node, shape),
                _ if shape.keys.is_empty() => "write `name: value` below it".to_owned(),
                _ => "write its keys below it".to_owned(),
            };
            return self.site(at, subject).wrong_kind(node, "a map of keys", &remedy);
        };
        for entry in entries {
            self.entry(entry, shape, subject);
        }
        if self.partial {
            return;
        }
        for key in shape.keys.iter().filter(|key| key.required) {
            // What is there under a word of another tool was reported with ours.
            let is_it = |entry: &Entry<'_>| match shape::translation(shape, &entry.key) {
                Some(Translation::Called(ours)) => ours == key.name,
                Some(Translation::Instead(_)) | None => entry.key == key.name,
            };
            if !entries.iter().any(is_it) {
                self.missing(key, shape, at, subject);
            }
        }
        self.one_of(entries, shape, at, subject);
    }

    /// One key with its value; decides what faults below it are about.
    fn entry(&self, entry: &'t Entry<'_>, shape: &'static Shape, subject: Subject<'t>) {
        let at = entry.key_text();
        if let Some(key) = shape.key(&entry.key) {
            let subject = match (&subject, key.name) {
                (Subject::House, "gateway") => Subject::Gateway,
                (Subject::House, "api") => Subject::Api,
                (Subject::House, "alerts") => Subject::Alerts,
                _ => subject,
            };
            return self.value(&entry.value, &key.kind, at, subject);
        }
        let Some(others) = &shape.others else {
            return self.unknown(entry, shape, subject);
        };
        let inner = match (others.entering, subject) {
            (Entering::Same, subject) => subject,
            (Entering::Service, _) => Subject::Service(at.text),
            (Entering::Credential, _) => Subject::Credential(at.text),
            (Entering::Stage, _) => Subject::Stage(at.text),
            (Entering::Receiver, _) => Subject::Receiver(at.text),
            (Entering::Maintenance, _) => Subject::Maintenance(at.text),
            (Entering::Host, _) => Subject::Host(at.text),
            (Entering::Machine, _) => Subject::Machine(at.text),
            (Entering::Group, _) => Subject::Group(at.text),
            (Entering::Network, _) => Subject::Network(at.text),
            (Entering::Path, Subject::Host(host)) if at.text.starts_with('/') => {
                Subject::Route(host, at.text)
            }
            (Entering::Path, subject) => subject,
        };
        self.own_key(at, others.form, shape, inner);
        self.value(&entry.value, &others.kind, at, inner);
    }

    /// A key that the user chose: a service's name, a variable's, a path.
    fn own_key(&self, at: Text<'t>, form: Form, shape: &'static Shape, subject: Subject<'t>) {
        if form == Form::Name {
            return self.name(at, shape, subject);
        }
        if form == Form::RoutePath && !at.text.starts_with('/') {
            return self.unknown_path(at, shape, subject);
        }
        if form == Form::VariableName && shape::builtin_variables().contains(&at.text) {
            let message = format!("`{}` is a variable that Hausmeister fills in itself", at.text);
            let fault = Fault::new(Code::Name, subject, at.span, message);
            return self.session.report(fault.label("already has a meaning").remedy("choose another name"));
        }
        value::form(self.site(at, subject), at, form);
    }

    /// A name of the user's own, and the few words that are taken.
    fn name(&self, at: Text<'t>, shape: &'static Shape, subject: Subject<'t>) {
        if shape.name == "services" {
            let taken = match at.text {
                "haus" => Some("`haus` is the word for Hausmeister's own API"),
                // `${data.port}` would be a folder of the one or the port of the other.
                "port" => Some("a service `port` could not be told from the variable"),
                "data" => Some("a service `data` could not be told from the variable"),
                "gateway" => Some("`haus logs gateway` shows what the gateway answered"),
                // Folders of a house on its hosts that are no service's.
                "plan" => Some("`/srv/HOUSE/plan` is the plan itself on a host"),
                "credentials" => Some("`/etc/haus/HOUSE/credentials` are the credentials of all services"),
                "host" => Some("`${host.NAME.address}` is the address of a host"),
                "house" => Some("`haus events house` shows what happened to the whole house"),
                _ => None,
            };
            if let Some(message) = taken {
                let fault = Fault::new(Code::Name, subject, at.span, message);
                let remedy = format!("choose another name, such as `{}`", another_name(at.text));
                self.session.report(fault.label("already has a meaning").remedy(remedy));
            }
        }
        value::name(self.site(at, subject), at);
    }

    /// In a host of the routes, whatever does not begin with a slash was meant as a key or lacks it.
    fn unknown_path(&self, at: Text<'t>, shape: &'static Shape, subject: Subject<'t>) {
        let known = shape.keys.iter().map(|key| key.name);
        let remedy = self
            .session
            .suggest
            .remedy(at.text, known, || format!("begin a path with a slash: `/{}`", at.text));
        let message = format!("`{}` is neither a path nor a key of {}", at.text, shape.title);
        let fault = Fault::new(Code::UnknownKey, subject, at.span, message);
        self.session.report(fault.label("unknown key").remedy(remedy));
    }

    /// A key that nobody knows. Its value may be a secret that looked for a home.
    fn unknown(&self, entry: &'t Entry<'_>, shape: &'static Shape, subject: Subject<'t>) {
        let at = entry.key_text();
        if secret::is_secret_name(at.text) {
            self.session.hide(entry.value.span);
        }
        let remedy = self.remedy_for_unknown(at.text, shape);
        let message = format!("`{}` is not a key of {}", at.text, shape.title);
        let fault = Fault::new(Code::UnknownKey, subject, at.span, message);
        self.session.report(fault.label("unknown key").remedy(remedy));
    }

    /// What was meant by an unknown key: a word of other tools, a slip of the finger, a key of
    /// another place, and in the end the list of what there is.
    fn remedy_for_unknown(&self, word: &str, shape: &'static Shape) -> String {
        match shape::translation(shape, word) {
            Some(Translation::Called(ours)) => return format!("here it is called `{ours}`"),
            Some(Translation::Instead(remedy)) => return remedy.to_owned(),
            None => {}
        }
        let usable = |key: &&Key| !matches!(key.kind, Kind::Reserved(_) | Kind::Secret);
        let known = || shape.keys.iter().filter(usable).map(|key| key.name);
        let near = self.session.suggest.nearest(word, known());
        // What looks like a secret has to leave the plan and not to move within it.
        let homes = if secret::is_secret_name(word) { Vec::new() } else { shape::all_shapes() };
        let home = homes.into_iter().find(|other| other.key(word).is_some());
        match (near, home) {
            (Some(near), Some(home)) => {
                format!("did you mean `{near}`? `{word}` is a key of {}", home.title)
            }
            (Some(near), None) => format!("did you mean `{near}`?"),
            (None, Some(home)) => format!("`{word}` is a key of {}; move it there", home.title),
            (None, None) => format!("known here: {}", known().collect::<Vec<_>>().join(", ")),
        }
    }

    /// A required key that is not there; the place is the key of the map, or the file's beginning.
    fn missing(&self, key: &Key, shape: &Shape, at: Text<'t>, subject: Subject<'t>) {
        let message = format!("the key `{}` is missing in {}", key.name, shape.title);
        let example = match key.name {
            "haus" => "add the line `haus: 1`",
            "house" => "add a line such as `house: my-house`",
            "at" => "add a time such as `at: \"02:00\"`",
            "for" => "add a duration such as `for: 2h`",
            "reason" => "add `reason: \"…\"`; whoever finds nothing told wants to know why",
            "signal" => "add `signal: HUP`",
            _ => "add it",
        };
        let fault = Fault::new(Code::MissingKey, subject, at.span, message);
        self.session.report(fault.label("without it").remedy(example));
    }

    /// Of some keys exactly one.
    fn one_of(&self, entries: &'t [Entry<'_>], shape: &'static Shape, at: Text<'t>, subject: Subject<'t>) {
        if shape.one_of.is_empty() {
            return;
        }
        let mut given = entries.iter().filter(|entry| shape.one_of.contains(&entry.key.as_ref()));
        let words = || alternatives(shape.one_of);
        let Some(first) = given.next() else {
            let is_secret = |key: &Key| matches!(key.kind, Kind::Secret);
            if entries.iter().any(|entry| shape.key(&entry.key).is_some_and(is_secret)) {
                return; // Whoever wrote the value thought that it was one of them.
            }
            let translated = |entry: &Entry<'_>| match shape::translation(shape, &entry.key) {
                Some(Translation::Called(ours)) => shape.one_of.contains(&ours),
                Some(Translation::Instead(_)) | None => false,
            };
            if entries.iter().any(translated) {
                return; // It is there under a foreign word, and that was reported.
            }
            let message = format!("{} needs {}", shape.title, words());
            let fault = Fault::new(Code::Together, subject, at.span, message);
            return self.session.report(fault.label("has none of them").remedy(format!("add {}", words())));
        };
        for further in given {
            let message = format!("`{}` and `{}` exclude each other", first.key, further.key);
            let fault = Fault::new(Code::Together, subject, further.key_span, message);
            self.session.report(
                fault
                    .label("one too many")
                    .related(first.key_span, "already here")
                    .remedy(format!("keep exactly one of {}", words())),
            );
        }
    }

    /// A word of a later release: refused, because what is ignored looks configured.
    fn reserved(&self, at: Text<'t>, release: &str, subject: Subject<'t>) {
        let message = format!("`{}` comes in release {release}", at.text);
        let fault = Fault::new(Code::Reserved, subject, at.span, message);
        self.session.report(
            fault
                .label("not yet")
                .remedy("remove it for now: it would be ignored, and a plan says only what is done"),
        );
    }

    /// The value of a credential, which has no place in a plan at all.
    fn secret(&self, node: &'t Node<'_>, at: Text<'t>, subject: Subject<'t>) {
        self.session.hide(node.span);
        let fault = Fault::new(
            Code::CredentialValue,
            subject,
            at.span,
            "a plan never holds the value of a credential",
        );
        self.session.report(
            fault
                .label("the value stands in the plan")
                .remedy("write `length: 32` to have one made, or `file: /path` to read it from a file; then change the secret, it was in a file"),
        );
    }
}

/// A name that is not taken, near what was meant.
fn another_name(taken: &str) -> String {
    match taken {
        "gateway" => "edge".to_owned(),
        "data" => "database".to_owned(),
        _ => format!("{taken}-service"),
    }
}

/// `a`, `b` or `c`.
fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
