//! What variables stand for on a host: for its own files, and for services that run there.
//! How the variables of a plan are read and checked is known elsewhere.

use super::View;
use crate::names::{Names, coordinator_unit};
use haus_model::host::Host;
use haus_model::json::Json;
use haus_model::service::{RunsAs, Service};
use haus_model::template::{Template, Variable};
use haus_model::{HostName, PortName, ServiceName};
use std::net::IpAddr;

/// Where the credential files of a running unit are.
#[derive(Clone, Copy)]
pub(crate) enum CredentialFolder {
    /// In a unit file, where systemd knows it (`%d`).
    Specifier,
    /// In a file that the service reads while it runs.
    Path,
}

/// Fills in variables of one instance.
#[derive(Clone, Copy)]
pub(crate) struct InstanceVariables<'a> {
    pub view: View<'a>,
    pub service: &'a Service,
    pub ordinal: u32,
    /// Where credentials lie when they are not systemd's: the service reads them itself.
    pub own_credentials: bool,
}

impl View<'_> {
    /// A text of this host with its variables: `${SERVICE.address}`, `${SERVICE.port}`, `${HOST.address}`,
    /// and the four words of the house that a file beside the plan cannot have got while the plan was read.
    pub(crate) fn fill_text(&self, text: &str) -> Result<String, Variable> {
        let words: [(&str, &str); 4] = [
            ("${domain}", &self.house.domain),
            ("${house}", self.house.name.as_str()),
            ("${stage}", self.house.stage.as_str()),
            ("${host}", self.host.name.as_str()),
        ];
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, tail) = rest.split_at(at);
            filled.push_str(before);
            let word = words.iter().find(|(word, _)| tail.starts_with(word) && !before.ends_with('$'));
            match word {
                Some((word, value)) => {
                    filled.push_str(value);
                    rest = &tail[word.len()..];
                }
                None => {
                    filled.push_str("${");
                    rest = &tail[2..];
                }
            }
        }
        filled.push_str(rest);
        Template::from_display(&filled).fill(&|variable| self.lookup(variable))
    }

    fn lookup(&self, variable: &Variable) -> Option<String> {
        match variable {
            Variable::AddressOf(other) => self.address_of(other),
            Variable::PortOf(other, name) => Some(self.port_of(other, name.as_ref())?.to_string()),
            Variable::Port(_)
            | Variable::Data(_)
            | Variable::Config
            | Variable::Credentials
            | Variable::Address
            | Variable::Instance
            | Variable::In => None,
        }
    }

    /// The address by which a service is reached from this host; a host's own when there is no such service.
    pub(crate) fn address_of(&self, name: &ServiceName) -> Option<String> {
        let Some(service) = self.house.services.get(name) else {
            let host = self.house.hosts.values().find(|host| host.name.as_str() == name.as_str())?;
            return Some(host.address.clone());
        };
        match self.host_of(service) {
            None => Some(service.address.clone()),
            Some(host) if *host == self.host.name => Some(near(&service.address)),
            Some(host) => Some(far(&service.address, self.house.hosts.get(host)?)),
        }
    }

    /// The port of a service's first instance as this host reaches it.
    pub(crate) fn port_of(&self, name: &ServiceName, port: Option<&PortName>) -> Option<u16> {
        let service = self.house.services.get(name)?;
        if let Some(number) =
            self.host_of(service).and_then(|host| self.ports.get(host)?.get(service, 1, port))
        {
            return Some(number);
        }
        // A process under a coordinator or an external service: only a number that stands in the plan is
        // known.
        match service.ports.get(port.or_else(|| service.main_port())?)? {
            haus_model::service::PortNumber::Fixed(number) => Some(*number),
            haus_model::service::PortNumber::Auto => None,
        }
    }

    /// The host that serves this one: itself when it can, otherwise the first of the plan.
    fn host_of<'b>(&self, service: &'b Service) -> Option<&'b HostName> {
        let on = &service.deployment.as_ref()?.on;
        on.iter().find(|host| **host == self.host.name).or_else(|| on.first())
    }
}

/// The address of a listener on the same machine.
pub(crate) fn near(address: &str) -> String {
    match address {
        "0.0.0.0" | "*" | "" => "127.0.0.1".to_owned(),
        "::" | "[::]" => "::1".to_owned(),
        other => other.to_owned(),
    }
}

/// The address of a listener on another host: one that it listens on alone, otherwise that of its host.
pub(crate) fn far(address: &str, host: &Host) -> String {
    match address.parse::<IpAddr>() {
        Ok(own) if !own.is_unspecified() && !own.is_loopback() => own.to_string(),
        Ok(_) | Err(_) => host.address.clone(),
    }
}

/// `ADDRESS:PORT`, with brackets where an IPv6 address needs them.
pub(crate) fn join(address: &str, port: u16) -> String {
    if address.contains(':') && !address.starts_with('[') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

impl<'a> InstanceVariables<'a> {
    pub(crate) fn names(&self) -> Names<'a> {
        Names::new(self.view.house, self.service)
    }

    /// The name of the instance's unit without its ending.
    pub(crate) fn unit_stem(&self) -> String {
        match self.service.runs_as {
            RunsAs::Coordinator => {
                coordinator_unit(&self.view.house.name).trim_end_matches(".service").to_owned()
            }
            RunsAs::Process | RunsAs::External | RunsAs::Systemd => self.names().unit_stem(self.ordinal),
        }
    }

    /// The main port, or a named one.
    pub(crate) fn port(&self, name: Option<&PortName>) -> Option<u16> {
        self.view.own_ports().get(self.service, self.ordinal, name)
    }

    /// The value of a variable.
    pub(crate) fn value(&self, variable: &Variable, credentials: CredentialFolder) -> Option<String> {
        let names = self.names();
        let text = |path: std::path::PathBuf| path.display().to_string();
        match variable {
            Variable::Port(name) => Some(self.port(name.as_ref())?.to_string()),
            Variable::Data(None) => Some(text(names.data(self.ordinal))),
            Variable::Data(Some(name)) => Some(text(names.data(self.ordinal).join(name))),
            Variable::Config => Some(text(names.config(self.ordinal))),
            Variable::Credentials => Some(self.credential_folder(credentials)),
            Variable::Address => Some(self.service.address.clone()),
            Variable::Instance => Some(self.ordinal.to_string()),
            Variable::In => Some(text(names.folder())),
            Variable::AddressOf(_) | Variable::PortOf(..) => self.view.lookup(variable),
        }
    }

    /// Where the service finds its credentials.
    pub(crate) fn credential_folder(&self, folder: CredentialFolder) -> String {
        match (self.own_credentials, folder) {
            (true, _) => self.names().credentials().display().to_string(),
            (false, CredentialFolder::Specifier) => "%d".to_owned(),
            (false, CredentialFolder::Path) => format!("/run/credentials/{}.service", self.unit_stem()),
        }
    }

    /// A filled-in text that no unit file reads.
    pub(crate) fn fill(&self, template: &Template) -> Result<String, Variable> {
        template.fill(&|variable| self.value(variable, CredentialFolder::Path))
    }

    /// The same for every text in a tree.
    pub(crate) fn fill_json(&self, value: &Json) -> Result<Json, Variable> {
        Ok(match value {
            Json::Text(text) => Json::Text(self.fill(&Template::from_display(text))?),
            Json::List(items) => {
                Json::List(items.iter().map(|item| self.fill_json(item)).collect::<Result<_, _>>()?)
            }
            Json::Object(members) => Json::Object(
                members
                    .iter()
                    .map(|(name, item)| Ok((name.clone(), self.fill_json(item)?)))
                    .collect::<Result<_, Variable>>()?,
            ),
            Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Float(_) => value.clone(),
        })
    }
}
