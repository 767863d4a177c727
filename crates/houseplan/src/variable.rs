//! What a variable means: a text known with the plan, or something that is filled in at start.

use crate::draft::{Draft, Machine, Place, ServiceDraft, Stage};
use crate::shape::{builtin_variables, parse_address};
use crate::template::{Part, parts};
use crate::tree::Text;
use haus_model::service::{PortNumber, RunsAs};
use haus_model::template::{Piece, Template, Variable};
use std::borrow::Cow;
use std::net::IpAddr;

/// Where a text with variables stands.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a, 't> {
    pub(crate) draft: &'a Draft<'t>,
    pub(crate) stage: &'a Stage<'a, 't>,
    pub(crate) domain: &'a str,
    pub(crate) home: Home<'a, 't>,
}

/// What a text is a text of; that decides which variables it has.
#[derive(Clone, Copy)]
pub(crate) enum Home<'a, 't> {
    /// What a service is started with.
    Service(&'a ServiceDraft<'t>),
    /// What a service is built with: before it has a place, a port or an instance.
    Build(&'a ServiceDraft<'t>),
    /// The content of a file on a host; ports that are chosen later are filled in later.
    Machine(&'a Machine<'a, 't>),
    /// A command that is said about a host and has to be known whole.
    MachineCommand(&'a Machine<'a, 't>),
    /// The host of a route.
    Route,
}

impl Home<'_, '_> {
    /// How a message calls it.
    fn title(self) -> &'static str {
        match self {
            Home::Service(_) => "a service",
            Home::Build(_) => "a build",
            Home::Machine(_) => "what is said about a host",
            Home::MachineCommand(_) => "a command of a host",
            Home::Route => "the host of a route",
        }
    }
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
    /// A host that does not exist.
    NoHost(String),
    /// The service that it stands in.
    Itself,
    /// Already reported elsewhere.
    Reported,
}

impl<'a, 't> Scope<'a, 't> {
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
        if head == "host" {
            return self.host_variable(rest);
        }
        if let Home::Machine(machine) | Home::MachineCommand(machine) = self.home {
            return self.machine_variable(machine, head, rest);
        }
        // Only ports and data folders have parts; `${in.port}` is the port of a service named `in`.
        let own = match rest {
            None => builtin_variables().contains(&head),
            Some(_) => matches!(head, "port" | "data"),
        };
        let Home::Service(service) = self.home else {
            if let (Home::Build(service), "service", None) = (self.home, head, rest) {
                return Ok(Meaning::Text(service.name.text.into()));
            }
            let exists = own || self.draft.service(head).is_some();
            return Err(if exists { Meaningless::NotHere(self.home.title()) } else { Meaningless::Unknown });
        };
        if own { own_variable(service, head, rest) } else { self.others_variable(service, head, rest) }
    }

    /// `${host}`, `${host.NAME.address}`, `${host.NAME.NETWORK}`.
    fn host_variable(&self, rest: Option<&str>) -> Result<Meaning<'a>, Meaningless> {
        let Some(rest) = rest else { return self.own_host() };
        let (name, what) = rest.split_once('.').ok_or(Meaningless::Unknown)?;
        let Some(written) = self.draft.machine(name) else {
            return Err(Meaningless::NoHost(name.to_owned()));
        };
        let Some(machine) = self.stage.fleet.machine(name) else {
            // In a stage without hosts every host is the machine in front of you.
            let known =
                what == "address" || written.road.networks.iter().any(|(known, _)| known.text == what);
            let absent = || Meaningless::Absent(format!("`{name}` is not in a network `{what}`"));
            return if known { Ok(Meaning::Text("127.0.0.1".into())) } else { Err(absent()) };
        };
        if what == "address" {
            return Ok(Meaning::Text(machine.reached_at().into()));
        }
        match machine.address_in(what) {
            Some(address) => Ok(Meaning::Text(address.text.to_owned().into())),
            None => Err(Meaningless::Absent(format!("`{name}` is not in a network `{what}`"))),
        }
    }

    /// The name of the host that a text is for, or that a service runs on.
    fn own_host(&self) -> Result<Meaning<'a>, Meaningless> {
        let service = match self.home {
            Home::Machine(machine) | Home::MachineCommand(machine) => {
                return Ok(Meaning::Text(machine.name().text.into()));
            }
            Home::Service(service) => service,
            Home::Build(_) | Home::Route => return Err(Meaningless::NotHere(self.home.title())),
        };
        match service.on() {
            [host] => Ok(Meaning::Text(host.text.into())),
            [] => Err(Meaningless::Absent(format!("`{}` names no host with `on`", service.name.text))),
            _ => Err(Meaningless::Absent(format!("`{}` runs on several hosts", service.name.text))),
        }
    }

    /// In what is said about a host: where a service listens, as far as the plan alone can tell.
    fn machine_variable(
        &self,
        machine: &Machine<'_, 't>,
        head: &str,
        rest: Option<&str>,
    ) -> Result<Meaning<'a>, Meaningless> {
        let own = rest.is_none() && builtin_variables().contains(&head);
        if own || matches!((head, rest), ("port" | "data", Some(_))) {
            return Err(Meaningless::NotHere(self.home.title()));
        }
        let rest = rest.ok_or(Meaningless::Unknown)?;
        let (what, port) = rest.split_once('.').map_or((rest, None), |(what, port)| (what, Some(port)));
        if !matches!((what, port), ("address", None) | ("port", _)) {
            return Err(Meaningless::Unknown);
        }
        let Some(service) = self.draft.service(head) else { return Err(Meaningless::NoService) };
        if service.is_external() {
            return Err(Meaningless::Absent(format!("`{head}` runs somewhere else")));
        }
        if what == "address" {
            return self.address_seen_from(machine, service);
        }
        let found = match port {
            Some(port) => service.port(port),
            None => service.main_port(),
        };
        let is_unit = matches!(service.runs_as, RunsAs::Systemd | RunsAs::Coordinator);
        let chosen_by_us = is_unit && !service.on().is_empty() && matches!(self.home, Home::Machine(_));
        match (found.map(|port| port.number), port) {
            (Some(PortNumber::Fixed(number)), _) => Ok(Meaning::Text(number.to_string().into())),
            (Some(PortNumber::Auto), _) if chosen_by_us => {
                let name = head.parse().map_err(|_| Meaningless::Reported)?;
                let port = port.map(str::parse).transpose().map_err(|_| Meaningless::Reported)?;
                Ok(Meaning::AtStart(Variable::PortOf(name, port)))
            }
            (Some(PortNumber::Auto), _) => Err(Meaningless::Absent(format!(
                "the port of `{head}` is `auto` and not known here; give it a number"
            ))),
            (None, Some(port)) => Err(no_port(service, format!("`{head}` has no port `{port}`"))),
            (None, None) => Err(no_port(service, no_main_port(service))),
        }
    }

    /// The address at which a host reaches a service: as it listens when it is there, else at its host.
    fn address_seen_from(
        &self,
        machine: &Machine<'_, 't>,
        service: &ServiceDraft<'t>,
    ) -> Result<Meaning<'a>, Meaningless> {
        let name = service.name.text;
        let listen = match service.address {
            Some(address) => self.listen_address(service, address).ok_or(Meaningless::Reported)?,
            None => "127.0.0.1".to_owned(),
        };
        let listen: IpAddr = listen.parse().map_err(|_| Meaningless::Reported)?;
        let places = self.stage.fleet.places(service);
        let here = self.stage.fleet.place(machine.name().text);
        if places.iter().any(|place| Some(*place) == here) {
            let seen = if listen.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { listen };
            return Ok(Meaning::Text(seen.to_string().into()));
        }
        if listen.is_loopback() {
            return Err(Meaningless::Absent(format!("`{name}` listens on {listen} of another machine")));
        }
        if !listen.is_unspecified() {
            return Ok(Meaning::Text(listen.to_string().into()));
        }
        match places.as_slice() {
            [place @ Place::On(_)] => match self.stage.fleet.at(*place) {
                Some(other) => Ok(Meaning::Text(other.reached_at().into())),
                None => Err(Meaningless::Reported),
            },
            [Place::Here] => {
                Err(Meaningless::Absent(format!("`{name}` runs on the machine in front of you")))
            }
            [] => Err(Meaningless::Reported),
            _ => Err(Meaningless::Absent(format!(
                "`{name}` runs on several hosts; name one, such as `host.NAME.address`"
            ))),
        }
    }

    /// The address that a service listens on: as written, or the one that its host has in a network.
    pub(crate) fn listen_address(&self, service: &ServiceDraft<'t>, written: Text<'t>) -> Option<String> {
        if let Some(address) = parse_address(written.text) {
            return Some(address.to_string());
        }
        if self.stage.fleet.without {
            return Some("127.0.0.1".to_owned());
        }
        let [host] = service.on() else { return None };
        Some(self.stage.fleet.machine(host.text)?.address_in(written.text)?.text.to_owned())
    }

    /// A command about a host with its variables filled in; none when one of them means nothing.
    pub(crate) fn filled(&self, text: &str) -> Option<String> {
        self.template(text)?.fill(&|_| None).ok()
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
