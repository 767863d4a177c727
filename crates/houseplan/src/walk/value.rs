//! Checks of single values: kinds, words, forms, commands.

use super::quantity;
use super::site::Site;
use crate::code::Code;
use crate::path;
use crate::shape::{Fill, Form, Kind, Shape, Word};
use crate::suggest::corrected_name;
use crate::tree::{Node, ScalarKind, Text, Value};
use haus_model::id::check_name;
use std::path::Path;
use std::time::Duration;

/// Checks a value that has no keys of its own.
pub(super) fn check<'t>(site: Site<'_, 't>, node: &'t Node<'_>, kind: &'static Kind) {
    if matches!(kind, Kind::Any) {
        return any(site, node);
    }
    if matches!(kind, Kind::Command) {
        return command(site, node);
    }
    let (wanted, remedy) = wanted(kind);
    let Value::Scalar(text, scalar) = &node.value else {
        return site.wrong_kind(node, wanted, remedy);
    };
    let value = Text { text, span: node.span };
    match (kind, scalar) {
        (_, ScalarKind::Null) => site.wrong_kind(node, wanted, remedy),
        (Kind::Text(_), ScalarKind::Bool(_)) => {
            site.wrong_kind(node, wanted, &format!("quote it: `\"{text}\"`"));
        }
        (Kind::Text(form_of), _) => form(site, value, *form_of),
        (Kind::Bool, ScalarKind::Bool(_)) => {}
        (Kind::Whole(least, most), ScalarKind::Integer) => quantity::whole(site, value, *least, *most),
        (Kind::Cores, ScalarKind::Integer | ScalarKind::Float) => quantity::cores(site, value),
        // A bare number is a quantity without its unit, not a value of the wrong kind.
        (Kind::Duration(least_ms), ScalarKind::Text | ScalarKind::Integer | ScalarKind::Float) => {
            quantity::duration(site, value, Duration::from_millis(*least_ms), quantity::DURATION_MAX);
        }
        (Kind::Period(least_ms, most_ms), ScalarKind::Text | ScalarKind::Integer | ScalarKind::Float) => {
            let [least, most] = [*least_ms, *most_ms].map(Duration::from_millis);
            quantity::duration(site, value, least, most);
        }
        (Kind::Size(least), ScalarKind::Text | ScalarKind::Integer | ScalarKind::Float) => {
            quantity::size(site, value, *least);
        }
        (Kind::Port, ScalarKind::Integer) => quantity::port(site, value),
        (Kind::Port, ScalarKind::Text) if text == "auto" => {}
        (Kind::Version, ScalarKind::Integer) => quantity::version(site, value),
        (Kind::Word(words), ScalarKind::Text) => word(site, value, words),
        _ => site.wrong_kind(node, wanted, remedy),
    }
}

/// What a kind wants, and how to write it.
fn wanted(kind: &Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Text(_) => ("a text", "write a text, or remove the key"),
        Kind::Bool => ("`true` or `false`", "write `true` or `false`"),
        Kind::Whole(..) => ("a whole number", "write a number without quotes"),
        Kind::Cores => ("a number", "write a number such as `0.5`"),
        Kind::Duration(_) | Kind::Period(..) => ("a duration", "write a number with a unit, such as `30s`"),
        Kind::Size(_) => ("a size", "write a number with a unit, such as `10MiB`"),
        Kind::Port => ("a port", "write `auto` or a number without quotes"),
        Kind::Version => ("a version", "write `haus: 1`"),
        Kind::Word(_) => ("a word", "write one of the words that it knows"),
        Kind::Command => ("a command", "write a text or a list of words"),
        Kind::Map(_) | Kind::MapOrList(..) => ("a map of keys", "write its keys below it"),
        Kind::List(_) => ("a list", "write `[one, two]`"),
        Kind::Either(..) | Kind::Any | Kind::Reserved(_) | Kind::Secret => ("a value", "write a value"),
    }
}

/// Checks the form of a text, and that it has variables only where they are filled in.
pub(super) fn form(site: Site<'_, '_>, value: Text<'_>, form: Form) {
    if form.fill() == Fill::No
        && let Some(start) = value.text.find("${")
    {
        let end = value.text[start..].find('}').map_or(value.text.len(), |end| start + end + 1);
        let span = site.session.sources.narrow(value.span, value.text, start..end);
        let message = format!("variables are not filled in in `{}`", site.key());
        let fault = site.fault(Code::Variable, span, message);
        return site.report(fault.label("stays as it is").remedy("write the value itself"));
    }
    if form == Form::Name {
        return name(site, value);
    }
    if form == Form::InnerPath && path::within(Path::new(""), value.text).is_none() {
        return site.report(path::escape_fault(value, site.subject));
    }
    if let Err(rule) = form.check(value.text) {
        // A key that the user chose is shown; a value may be something that belongs elsewhere.
        let message = if site.at.span == value.span {
            format!("`{}` is not written as it must be", value.text)
        } else {
            format!("`{}` takes {rule}", site.key())
        };
        let fault = site.fault(Code::Form, value.span, message);
        site.report(fault.label("not understood").remedy(format!("write {rule}")));
    }
}

/// Checks a name and suggests a corrected one.
pub(super) fn name(site: Site<'_, '_>, value: Text<'_>) {
    let Err(error) = check_name(value.text) else { return };
    let remedy = match corrected_name(value.text) {
        Some(name) => format!("write `{name}`"),
        None => "use lower-case letters, digits and single dashes, a letter first".to_owned(),
    };
    let fault = site.fault(Code::Name, value.span, error.to_string());
    site.report(fault.label("not a valid name").remedy(remedy));
}

/// One of a few words; some of them come later.
fn word(site: Site<'_, '_>, value: Text<'_>, words: &[Word]) {
    let usable = || words.iter().filter(|word| word.reserved.is_none()).map(|word| word.word);
    let list = || usable().collect::<Vec<_>>().join(", ");
    let Some(found) = words.iter().find(|word| word.word == value.text) else {
        let remedy = site.session.suggest.remedy(value.text, usable(), || format!("write one of {}", list()));
        let message = format!("`{}` does not know this word", site.key());
        let fault = site.fault(Code::Choice, value.span, message);
        return site.report(fault.label("unknown").remedy(remedy));
    };
    if let Some(release) = found.reserved {
        let message = format!("`{}: {}` comes in release {release}", site.key(), value.text);
        let fault = site.fault(Code::Reserved, value.span, message);
        site.report(fault.label("not yet").remedy(format!("until then: {}", list())));
    }
}

/// A command as text or as words. Programs are not looked for: the plan may be made for another machine.
fn command<'t>(site: Site<'_, 't>, node: &'t Node<'_>) {
    let empty = || {
        let fault = site.fault(Code::Form, node.span, format!("`{}` is an empty command", site.key()));
        site.report(fault.label("no program").remedy("write a program with its arguments"));
    };
    match &node.value {
        Value::Scalar(text, ScalarKind::Text) if text.trim().is_empty() => empty(),
        // Nearly every command has no quotes and is not split twice for this check.
        Value::Scalar(text, ScalarKind::Text) if text.contains(['"', '\'', '\\', '#']) => {
            match shlex::split(text) {
                Some(words) if words.is_empty() => empty(),
                Some(_) => {}
                None => {
                    let message = format!("a quote in `{}` is not closed", site.key());
                    let fault = site.fault(Code::Form, node.span, message);
                    site.report(
                        fault
                            .label("cannot be split into words")
                            .remedy("close the quote, or write a list of words"),
                    );
                }
            }
        }
        Value::Scalar(_, ScalarKind::Text) => {}
        Value::List(items) if items.is_empty() => empty(),
        Value::List(items) => items.iter().for_each(|item| check(site, item, &Kind::Text(Form::Value))),
        Value::Scalar(..) | Value::Map(_) => {
            let (wanted, remedy) = wanted(&Kind::Command);
            site.wrong_kind(node, wanted, remedy);
        }
    }
}

/// How ports are written, with the number that a list or a lone number names: `"8080:80"` of compose is
/// port 8080 of this machine.
pub(super) fn ports_example(node: &Node<'_>) -> String {
    let first = node.items().first().map_or_else(|| node.text(), Node::text);
    let number = first.and_then(|text| {
        let mut parts = text.text.split('/').next()?.rsplit(':');
        let last = parts.next()?;
        parts.next().unwrap_or(last).parse::<u16>().ok().filter(|port| *port > 0)
    });
    let number = number.map_or_else(|| "auto".to_owned(), |number| number.to_string());
    let others = if node.items().len() > 1 { ", a name for each" } else { "" };
    format!("write a name with its port: `ports: {{ http: {number} }}`{others}")
}

/// What a text in place of a map was meant to be: a route's target, a path to ask. A text that could be
/// neither is not repeated.
pub(super) fn short_form_example(node: &Node<'_>, shape: &Shape) -> String {
    let Some(text) = node.text().map(|text| text.text) else { return "write its keys below it".to_owned() };
    match shape.name {
        "route" if Form::Target.check(text).is_ok() => format!("write `{{ to: {text} }}`"),
        "health" if Form::RoutePath.check(text).is_ok() => format!("write `{{ get: {text} }}`"),
        _ => "write its keys below it".to_owned(),
    }
}

/// Any tree, as long as JSON can say it.
fn any<'t>(site: Site<'_, 't>, node: &'t Node<'_>) {
    let too_much = |what: &str| {
        let fault = site.fault(Code::Range, node.span, format!("a number in `{}` {what}", site.key()));
        site.report(fault.label("no JSON number").remedy("quote it"));
    };
    match &node.value {
        Value::Scalar(text, ScalarKind::Integer) if text.parse::<i64>().is_err() => {
            too_much("has more than 63 bits");
        }
        Value::Scalar(text, ScalarKind::Float) if !text.parse::<f64>().is_ok_and(f64::is_finite) => {
            too_much("is not finite");
        }
        Value::Scalar(..) => {}
        Value::List(items) => items.iter().for_each(|item| any(site, item)),
        Value::Map(entries) => entries.iter().for_each(|entry| any(site, &entry.value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Span;

    fn check(items: &[&str], expected: &str) {
        let node = |value| Node { span: Span::new(0, 0..0), value };
        let scalar = |text: &&str| node(Value::Scalar(text.to_string().into(), ScalarKind::Text));
        let example = ports_example(&node(Value::List(items.iter().map(scalar).collect())));
        assert!(example.contains(&format!("{{ http: {expected} }}")), "{items:?}: {example}");
    }

    #[test]
    fn the_example_has_the_port_of_this_machine() {
        check(&["8080"], "8080");
        check(&["8080:80", "443"], "8080");
        check(&["127.0.0.1:5000:5001/tcp"], "5000");
        check(&["8000-8010"], "auto");
        check(&["99999"], "auto");
        check(&["0"], "auto");
        check(&[], "auto");
    }
}
