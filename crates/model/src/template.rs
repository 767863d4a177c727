//! Texts with variables: `${port}`, `${db.address}`; `$${` writes a plain `${`.
//!
//! A template is parsed and checked with the plan and filled in when an instance starts,
//! because ports and folders are known only then.

use crate::id::{PortName, ServiceName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a variable stands for at start time. House-wide values are filled in at parse time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variable {
    /// `${port}` or `${port.NAME}`: the instance's own port.
    Port(Option<PortName>),
    /// `${data}` or `${data.NAME}`: the instance's data folder or one below it.
    Data(Option<String>),
    /// `${config}`: path of the JSON file with the service's `config:`.
    Config,
    /// `${credentials}`: folder with the credential files.
    Credentials,
    /// `${address}`: the address that the instance listens on.
    Address,
    /// `${instance}`: the ordinal, from 1.
    Instance,
    /// `${in}`: the working folder as an absolute path.
    In,
    /// `${NAME.address}`: where another service listens.
    AddressOf(ServiceName),
    /// `${NAME.port}` or `${NAME.port.PORT}`: port of another service's first instance.
    PortOf(ServiceName, Option<PortName>),
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Variable::Port(None) => write!(f, "port"),
            Variable::Port(Some(name)) => write!(f, "port.{name}"),
            Variable::Data(None) => write!(f, "data"),
            Variable::Data(Some(name)) => write!(f, "data.{name}"),
            Variable::Config => write!(f, "config"),
            Variable::Credentials => write!(f, "credentials"),
            Variable::Address => write!(f, "address"),
            Variable::Instance => write!(f, "instance"),
            Variable::In => write!(f, "in"),
            Variable::AddressOf(service) => write!(f, "{service}.address"),
            Variable::PortOf(service, None) => write!(f, "{service}.port"),
            Variable::PortOf(service, Some(port)) => write!(f, "{service}.port.{port}"),
        }
    }
}

impl Variable {
    /// The variable with this name, as its `Display` writes it; none when there is none.
    pub fn from_name(name: &str) -> Option<Variable> {
        let (head, rest) = name.split_once('.').map_or((name, None), |(head, rest)| (head, Some(rest)));
        Some(match (head, rest) {
            ("port", None) => Variable::Port(None),
            ("port", Some(port)) => Variable::Port(Some(port.parse().ok()?)),
            ("data", None) => Variable::Data(None),
            ("data", Some(folder)) => Variable::Data(Some(folder.to_owned())),
            ("config", None) => Variable::Config,
            ("credentials", None) => Variable::Credentials,
            ("address", None) => Variable::Address,
            ("instance", None) => Variable::Instance,
            ("in", None) => Variable::In,
            (service, Some("address")) => Variable::AddressOf(service.parse().ok()?),
            (service, Some("port")) => Variable::PortOf(service.parse().ok()?, None),
            (service, Some(rest)) => {
                let port = rest.strip_prefix("port.")?;
                Variable::PortOf(service.parse().ok()?, Some(port.parse().ok()?))
            }
            (_, None) => return None,
        })
    }
}

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// Text that stays as it is.
    Text(String),
    /// A variable to fill in.
    Variable(Variable),
}

/// A text with its variables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template {
    /// In the order of the text.
    pub pieces: Vec<Piece>,
}

impl Template {
    /// A template without variables.
    pub fn literal(text: impl Into<String>) -> Template {
        let text = text.into();
        Template { pieces: if text.is_empty() { Vec::new() } else { vec![Piece::Text(text)] } }
    }

    /// Reads what `Display` has written. What names no variable stays as text: the plan's own
    /// texts are read and checked elsewhere, with places and remedies.
    pub fn from_display(text: &str) -> Template {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let escaped = rest[..at].ends_with('$');
            plain.push_str(&rest[..at]);
            let end = rest[at..].find('}').map(|length| at + length);
            let variable = end.and_then(|end| Variable::from_name(&rest[at + 2..end]));
            match (escaped, variable, end) {
                (true, _, _) => {
                    plain.pop();
                    plain.push_str("${");
                    rest = &rest[at + 2..];
                }
                (false, Some(variable), Some(end)) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Variable(variable));
                    rest = &rest[end + 1..];
                }
                (false, _, _) => {
                    plain.push_str("${");
                    rest = &rest[at + 2..];
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Template { pieces }
    }

    /// Fills the variables in.
    ///
    /// # Errors
    /// The first variable that `lookup` has no value for.
    pub fn fill(&self, lookup: &dyn Fn(&Variable) -> Option<String>) -> Result<String, Variable> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Variable(variable) => {
                    text.push_str(&lookup(variable).ok_or_else(|| variable.clone())?);
                }
            }
        }
        Ok(text)
    }

    /// The variables in the order of the text.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(variable),
            Piece::Text(_) => None,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(&text.replace("${", "$${"))?,
                Piece::Variable(variable) => write!(f, "${{{variable}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filling_names_the_variable_that_is_missing() {
        let template =
            Template { pieces: vec![Piece::Text("--port ".into()), Piece::Variable(Variable::Port(None))] };
        assert_eq!(template.fill(&|_| Some("80".into())), Ok("--port 80".into()));
        assert_eq!(template.fill(&|_| None), Err(Variable::Port(None)));
        assert_eq!(template.to_string(), "--port ${port}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let every = [
            "port",
            "port.http",
            "data",
            "data.db",
            "config",
            "credentials",
            "address",
            "instance",
            "in",
            "db.address",
            "db.port",
            "db.port.http",
        ];
        for name in every {
            let template = Template {
                pieces: vec![
                    Piece::Text("a ${b} ".into()),
                    Piece::Variable(Variable::from_name(name).unwrap()),
                    Piece::Text(" c".into()),
                ],
            };
            assert_eq!(template.to_string(), format!("a $${{b}} ${{{name}}} c"));
            assert_eq!(Template::from_display(&template.to_string()), template, "{name}");
        }
        assert_eq!(Template::from_display("${unclosed"), Template::literal("${unclosed"));
        assert_eq!(Variable::from_name("domain"), None);
    }
}
