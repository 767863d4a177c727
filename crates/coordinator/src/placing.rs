//! The places file: read, held against the plan, its names turned into addresses.
//!
//! Threat: whoever can write it says where requests go and where a service's health is asked. It is as much
//! trusted as the plan, lies beside it, and is never written here. What does not fit is refused as a whole.

use haus_model::house::House;
use haus_model::placement::{PLACES_FILE, PLACES_FORMAT, Placements};
use haus_model::{HouseName, InstanceId, ServiceName, StageName};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Below it lie the folders of houses on their hosts.
const CONFIGURATION: &str = "/etc/haus";

/// A file that is larger was not written by us.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// How long all names together may take to become addresses.
const RESOLVE_WITHIN: Duration = Duration::from_secs(3);

/// Why a places file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlacingError {
    /// It cannot be read.
    #[error("cannot read the places file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no places file.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// Another version of haus wrote it.
    #[error("{} is of format {found}, and this program reads format {PLACES_FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It belongs to another house or stage.
    #[error("{} tells of house {found}, stage {stage}, not of {expected}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// Its house.
        found: HouseName,
        /// Its stage.
        stage: StageName,
        /// The house and stage that run.
        expected: String,
    },
    /// The numbers of instances are no 1, 2, 3, …
    #[error("{}:{line}: instances of {service} are numbered {found}, and not 1 to {count}", path.display())]
    Numbers {
        /// The file.
        path: PathBuf,
        /// Where the service begins.
        line: usize,
        /// The service.
        service: ServiceName,
        /// The numbers.
        found: String,
        /// How many there are.
        count: usize,
    },
}

impl PlacingError {
    /// What to do.
    pub fn remedy(&self) -> String {
        match self {
            PlacingError::Read { path, .. } => {
                format!("`haus apply` writes it; see that {} is there and can be read", path.display())
            }
            PlacingError::Text { .. } | PlacingError::Numbers { .. } => {
                "let `haus apply` write it anew; its form is docs/formats/places.md".to_owned()
            }
            PlacingError::Format { .. } => {
                "use one version of haus for `haus apply` and on the hosts, then apply again".to_owned()
            }
            PlacingError::Other { .. } => {
                "name the file of this house and stage with --places; `haus apply` writes it".to_owned()
            }
        }
    }
}

/// Where the file of a house lies on its hosts.
pub(crate) fn usual_path(house: &House) -> PathBuf {
    Path::new(CONFIGURATION).join(house.name.as_str()).join(PLACES_FILE)
}

/// Reads a places file of this house.
///
/// # Errors
/// It cannot be read, is no places file, or belongs to another house.
pub(crate) fn read(path: &Path, house: &House) -> Result<Placements, PlacingError> {
    let failed = |source| PlacingError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has {bytes} bytes"))));
    }
    parse(path, &std::fs::read_to_string(path).map_err(failed)?, house)
}

/// Only what tells whether the rest can be read.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// Takes the text of a places file of this house.
///
/// # Errors
/// It is no places file, or belongs to another house.
pub(crate) fn parse(path: &Path, text: &str, house: &House) -> Result<Placements, PlacingError> {
    let head: Head = serde_json::from_str(text).map_err(|error| told(path, &error))?;
    if head.format != PLACES_FORMAT {
        return Err(PlacingError::Format { path: path.to_owned(), found: head.format });
    }
    let mut placements: Placements = serde_json::from_str(text).map_err(|error| told(path, &error))?;
    if (&placements.house, &placements.stage) != (&house.name, &house.stage) {
        return Err(PlacingError::Other {
            path: path.to_owned(),
            found: placements.house,
            stage: placements.stage,
            expected: format!("house {}, stage {}", house.name, house.stage),
        });
    }
    for (service, placed) in &mut placements.services {
        placed.sort_by_key(|one| one.instance);
        let is_counted = (1..).zip(placed.iter()).all(|(number, one)| one.instance == number);
        if !is_counted {
            let found: Vec<String> = placed.iter().map(|one| one.instance.to_string()).collect();
            return Err(PlacingError::Numbers {
                path: path.to_owned(),
                line: line_of(text, service),
                service: service.clone(),
                found: found.join(", "),
                count: placed.len(),
            });
        }
    }
    Ok(placements)
}

/// An error of the parser with its place in front, as everywhere else.
fn told(path: &Path, error: &serde_json::Error) -> PlacingError {
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let message = message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message);
    PlacingError::Text { path: path.to_owned(), line, column, message: message.to_owned() }
}

/// Where a service is named first as a member.
fn line_of(text: &str, service: &ServiceName) -> usize {
    let member = format!("\"{service}\"");
    let names =
        |line: &str| line.split_once(&member).is_some_and(|(_, rest)| rest.trim_start().starts_with(':'));
    text.lines().position(names).map_or(1, |index| index + 1)
}

/// Places whose addresses are addresses.
pub(crate) struct Resolved {
    /// The places.
    pub placements: Placements,
    /// Why an instance has no address that can be used.
    pub astray: BTreeMap<String, String>,
    /// Sentences for people.
    pub notes: Vec<String>,
}

/// Turns names of hosts into addresses. A name that leads nowhere takes its instances off, not the house.
pub(crate) fn resolve(mut placements: Placements) -> Resolved {
    let until = Instant::now() + RESOLVE_WITHIN;
    let mut known: BTreeMap<String, Result<IpAddr, String>> = BTreeMap::new();
    let (mut astray, mut notes) = (BTreeMap::new(), Vec::new());
    for (service, placed) in &mut placements.services {
        for one in placed {
            let address = known.entry(one.address.clone()).or_insert_with(|| {
                let lookup = |name: &str| look_up(name, until);
                address_of(&one.address, &lookup)
            });
            let id = InstanceId { service: service.clone(), ordinal: one.instance };
            match address {
                Ok(address) => one.address = address.to_string(),
                Err(why) => {
                    let why = format!("its address `{}` on {} cannot be used: {why}", one.address, one.host);
                    notes.push(format!("{id}: {why}"));
                    astray.insert(id.to_string(), why);
                }
            }
        }
    }
    Resolved { placements, astray, notes }
}

fn address_of(text: &str, lookup: &dyn Fn(&str) -> Result<Vec<IpAddr>, String>) -> Result<IpAddr, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address);
    }
    let mut found = lookup(text)?;
    // The same one every time, and the older family first: few small houses have routes for the newer one.
    found.sort_by_key(|address| (address.is_ipv6(), *address));
    found.into_iter().next().ok_or_else(|| "the name has no address".to_owned())
}

/// Asks the system for the addresses of a name. A resolver that hangs is left to itself.
fn look_up(name: &str, until: Instant) -> Result<Vec<IpAddr>, String> {
    let (answer, answered) = mpsc::channel();
    let asked = name.to_owned();
    let ask = move || {
        let found = (asked.as_str(), 0).to_socket_addrs();
        let found = found.map(|all| all.map(|one| one.ip()).collect()).map_err(|error| error.to_string());
        // Whoever asked may have lost patience.
        let _ = answer.send(found);
    };
    let thread = std::thread::Builder::new().name("resolver".to_owned()).spawn(ask);
    thread.map_err(|error| format!("no thread to look it up: {error}"))?;
    let patience = until.saturating_duration_since(Instant::now());
    answered.recv_timeout(patience).unwrap_or_else(|_| Err("its name was not resolved in time".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    const WRITTEN: &str = r#"{
  "format": 1, "house": "test", "stage": "default", "since": "a later version",
  "hosts": { "web": { "address": "10.0.0.7" } },
  "services": {
    "api": [
      { "instance": 2, "host": "web", "address": "10.0.0.8", "ports": { "http": 81 }, "unit": "u.service" },
      { "instance": 1, "host": "web", "address": "10.0.0.7" }
    ]
  }
}"#;

    /// The error of a text, or the addresses in the order of their instances.
    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let read = parse(Path::new("/p.json"), text, &fixture::house(Vec::new()));
        let told = read.map(|read| {
            let all = read.services.values().flatten();
            all.map(|one| one.address.clone()).collect::<Vec<_>>().join(" ")
        });
        if let Err(error) = &told {
            assert!(!error.remedy().is_empty());
        }
        let told = told.map_err(|error| crate::chain(&error));
        assert_eq!(told.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn a_file_is_taken_as_a_whole_or_told_where_it_is_wrong() {
        check(WRITTEN, Ok("10.0.0.7 10.0.0.8"));
        check(
            &WRITTEN.replace("\"format\": 1", "\"format\": 2"),
            Err("/p.json is of format 2, and this program reads format 1"),
        );
        check(
            &WRITTEN.replace("\"test\"", "\"other\""),
            Err("/p.json tells of house other, stage default, not of house test, stage default"),
        );
        check(
            &WRITTEN.replace("\"instance\": 2", "\"instance\": 3"),
            Err("/p.json:5: instances of api are numbered 1, 3, and not 1 to 2"),
        );
        check(
            &WRITTEN.replace("\"instance\": 2", "\"instance\": 1"),
            Err("/p.json:5: instances of api are numbered 1, 1, and not 1 to 2"),
        );
        check(
            &WRITTEN.replace("81", "81000"),
            Err("/p.json:6:85: invalid value: integer `81000`, expected u16"),
        );
        check("{\n", Err("/p.json:2:0: EOF while parsing an object"));
        check("{}", Err("/p.json:1:2: missing field `format`"));
    }

    #[test]
    fn a_name_becomes_one_address_and_always_the_same() {
        let two = |_: &str| {
            Ok(vec!["::1".parse().unwrap(), "10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap()])
        };
        assert_eq!(address_of("web.internal", &two), Ok("10.0.0.1".parse().unwrap()));
        let never = |name: &str| -> Result<Vec<IpAddr>, String> { panic!("{name} needs no resolver") };
        assert_eq!(address_of("10.0.0.9", &never), Ok("10.0.0.9".parse().unwrap()));
        let none = |_: &str| Ok(Vec::new());
        assert_eq!(address_of("web.internal", &none), Err("the name has no address".to_owned()));
    }
}
