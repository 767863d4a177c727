//! What a variable means: a text known with the plan, or something that is filled in at start.

use crate::draft::{Draft, ServiceDraft, Stage};
use crate::shape::builtin_variables;
use crate::template::{Part, parts};
use haus_model::template::{Piece, Template, Variable};
use std::borrow::Cow;

/// Where a text with variables stands.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a, 't> {
    pub(crate) draft: &'a Draft<'t>,
    pub(crate) stage: &'a Stage<'t>,
    pub(crate) domain: &'a str,
    /// None in the hosts of routes.
    pub(crate) service: Option<&'a ServiceDraft<'t>>,
}

/// What a variable stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    Text(Cow<'a, str>),
    AtStart(Variable),
}

/// Why a variable means nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaningless {
    Unknown,
    /// Exists, but not here.
    NotHere(&'static str),
    /// The service has no such port, folder or key.
    Absent(String),
    /// Another service that is not in `needs`.
    NotNeeded,
    /// Another service that does not exist.
    NoService,
    /// The service that it stands in.
    Itself,
    /// Already reported elsewhere.
    Reported,
}

impl<'a> Scope<'a, '_> {
    /// What the variable with this name means here.
    pub(crate) fn meaning(&self, name: &'a str) -> Result<Meaning<'a>, Meaningless> {
        if let Some(value) = self.stage.vars.get(name) {
            return Ok(Meaning::Text(Cow::Borrowed(value.text)));
        }
        match name {
            "domain" => return Ok(Meaning::Text(Cow::Borrowed(self.domain))),
            "house" => return Ok(Meaning::Text(self.draft.house.map_or("", |house| house.text).into())),
            "stage" => return Ok(Meaning::Text(Cow::Borrowed(self.stage.name))),
            _ => {}
        }
        let (head, rest) = name.split_once('.').map_or((name, None), |(head, rest)| (head, Some(rest)));
        // Only ports and data folders have parts; `${in.port}` is the port of a service named `in`.
        let own = match rest {
            None => builtin_variables().contains(&head),
            Some(_) => matches!(head, "port" | "data"),
        };
        let Some(service) = self.service else {
            let exists = own || self.draft.service(head).is_some();
            return Err(if exists {
                Meaningless::NotHere("the host of a route")
            } else {
                Meaningless::Unknown
            });
        };
        if own { own_variable(service, head, rest) } else { self.others_variable(service, head, rest) }
    }

    /// `${NAME.address}`, `${NAME.port}`, `${NAME.port.PORT}`.
    fn others_variable(
        &self,
        service: &ServiceDraft<'_>,
        head: &str,
        rest: Option<&str>,
    ) -> Result<Meaning<'a>, Meaningless> {
        let rest = rest.ok_or(Meaningless::Unknown)?;
        let (what, port) = rest.split_once('.').map_or((rest, None), |(what, port)| (what, Some(port)));
        if !matches!((what, port), ("address", None) | ("port", _)) {
            return Err(match self.draft.service(head) {
                Some(_) => Meaningless::Absent(format!(
                    "of another service there are `{head}.address` and `{head}.port`"
                )),
                None => Meaningless::Unknown,
            });
        }
        if head == service.name.text {
            return Err(Meaningless::Itself);
        }
        let Some(other) = self.draft.service(head) else { return Err(Meaningless::NoService) };
        if !service.needs.iter().any(|need| need.text == head) {
            return Err(Meaningless::NotNeeded);
        }
        let name = head.parse().map_err(|_| Meaningless::Reported)?;
        if other.is_external() {
            return Err(Meaningless::Absent(format!(
                "`{head}` runs somewhere else; where is known when it has registered (`/api/discover`)"
            )));
        }
        if what == "address" {
            return Ok(Meaning::AtStart(Variable::AddressOf(name)));
        }
        let Some(port) = port else {
            if other.main_port().is_none() {
                return Err(no_port(other, no_main_port(other)));
            }
            return Ok(Meaning::AtStart(Variable::PortOf(name, None)));
        };
        if other.port(port).is_none() {
            return Err(no_port(other, format!("`{head}` has no port `{port}`")));
        }
        let port = port.parse().map_err(|_| Meaningless::Reported)?;
        Ok(Meaning::AtStart(Variable::PortOf(name, Some(port))))
    }

    /// A text as a template; none when one of its variables means nothing.
    pub(crate) fn template(&self, text: &str) -> Option<Template> {
        if !text.contains("${") {
            return Some(Template::literal(text));
        }
        let mut pieces: Vec<Piece> = Vec::new();
        for part in parts(text) {
            match part {
                Part::Text(text) => push_text(&mut pieces, text),
                Part::Variable(name, _) => match self.meaning_of(name)? {
                    Meaning::Text(text) => push_text(&mut pieces, &text),
                    Meaning::AtStart(variable) => pieces.push(Piece::Variable(variable)),
                },
                Part::Unclosed(_) => return None,
            }
        }
        Some(Template { pieces })
    }

    fn meaning_of<'b>(&'b self, name: &'b str) -> Option<Meaning<'b>> {
        let scope: &Scope<'b, '_> = self;
        scope.meaning(name).ok()
    }
}

/// Neighbouring texts become one piece, so equal templates are equal.
fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if let Some(Piece::Text(last)) = pieces.last_mut() {
        last.push_str(text);
    } else if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// A variable of the service itself.
fn own_variable<'a>(
    service: &ServiceDraft<'_>,
    head: &str,
    rest: Option<&str>,
) -> Result<Meaning<'a>, Meaningless> {
    if service.is_external() && head != "service" {
        let name = service.name.text;
        return Err(Meaningless::Absent(format!("`{name}` runs somewhere else and is not started here")));
    }
    let variable = match (head, rest) {
        ("port", None) => {
            if service.main_port().is_none() {
                return Err(no_port(service, no_main_port(service)));
            }
            Variable::Port(None)
        }
        ("port", Some(port)) => {
            if service.port(port).is_none() {
                return Err(no_port(service, format!("`{}` has no port `{port}`", service.name.text)));
            }
            Variable::Port(Some(port.parse().map_err(|_| Meaningless::Reported)?))
        }
        ("data", None) => Variable::Data(None),
        ("data", Some(folder)) => {
            if !service.data.iter().any(|data| data.folder.text == folder) {
                let name = service.name.text;
                return Err(Meaningless::Absent(format!("`{name}` has no folder `{folder}` under `data`")));
            }
            Variable::Data(Some(folder.to_owned()))
        }
        ("config", None) if service.config.is_none() => {
            return Err(Meaningless::Absent(format!("`{}` has no `config`", service.name.text)));
        }
        ("config", None) => Variable::Config,
        ("credentials", None) => Variable::Credentials,
        ("address", None) => Variable::Address,
        ("instance", None) => Variable::Instance,
        ("in", None) => Variable::In,
        ("service", None) => return Ok(Meaning::Text(Cow::Owned(service.name.text.to_owned()))),
        _ => return Err(Meaningless::Unknown),
    };
    Ok(Meaning::AtStart(variable))
}

/// A port that is not there; where ports are written wrongly, that was reported and is all there is to say.
fn no_port(service: &ServiceDraft<'_>, what: String) -> Meaningless {
    if service.ports_unclear { Meaningless::Reported } else { Meaningless::Absent(what) }
}

/// Why there is no main port.
fn no_main_port(service: &ServiceDraft<'_>) -> String {
    let name = service.name.text;
    if service.ports.is_empty() {
        format!("`{name}` has no ports")
    } else {
        format!("`{name}` has several ports and none is named `http`")
    }
}
