//! `haus credential import`: a file of values, all of it or nothing.
//!
//! Everything that can be refused is looked for before anything is done, so that one run names every fault.
//! What is done then, and taken back, stands in `carry_out`. No value is ever shown, not even one that cannot
//! be read.

mod carry_out;
mod env;
mod json;

use super::Running;
use super::resolve::called;
use crate::arguments::CredentialImport;
use crate::exit::{Code, DONE, FINDINGS, Failure, WRONG_USE};
use crate::{listing, secret_input, terminal};
use haus_api::credential::Credential;
use haus_client::CredentialFilter;
use haus_houseplan::DiskFiles;
use haus_model::{CredentialKind, CredentialSource, Secret, ServiceName};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Longest file, in bytes.
const FILE_BYTES_MAX: usize = 4 << 20;
/// Longest value, in bytes, as the API has it.
const VALUE_BYTES_MAX: usize = 65_536;
/// Longest name, in characters, as the API has it.
const NAME_CHARS_MAX: usize = 255;

/// One value of the file, and what the file says beside it.
#[derive(Debug)]
struct Item {
    /// Where it stands: `line 3`, `entry 2`.
    place: String,
    name: String,
    value: Secret,
    service: Option<ServiceName>,
    kind: Option<CredentialKind>,
    scope: Vec<ServiceName>,
    description: Option<String>,
    expires_at: Option<String>,
}

impl Item {
    fn new(place: String, name: String, value: Secret) -> Item {
        let (service, kind, description, expires_at) = (None, None, None, None);
        Item { place, name, value, service, kind, scope: Vec::new(), description, expires_at }
    }

    fn called(&self) -> String {
        format!("{}/{}", self.service.as_ref().map_or("", ServiceName::as_str), self.name)
    }
}

/// A place that cannot be taken over, and why, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    place: String,
    name: String,
    why: String,
}

/// What a file holds.
#[derive(Debug, Default)]
struct Parsed {
    items: Vec<Item>,
    faults: Vec<Fault>,
}

impl Parsed {
    fn fault(&mut self, place: &str, name: &str, why: impl Into<String>) {
        self.faults.push(Fault { place: place.to_owned(), name: name.to_owned(), why: why.into() });
    }
}

/// One row of what was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    /// Where it stands in the file.
    place: String,
    /// SERVICE/NAME.
    credential: String,
    /// `made`, `changed`, `refused`, `taken back`, `not tried`, `would be made`, `would be changed`.
    outcome: &'static str,
    /// Why, or what follows.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

/// What becomes of an item.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Make,
    /// A rotation of the credential with this id.
    Change(String),
}

pub(super) fn cmd_import(arguments: &CredentialImport) -> Result<Code, Failure> {
    let text = secret_input::read(&arguments.file, FILE_BYTES_MAX)?;
    let mut parsed = parse(&text, &secret_input::shown(&arguments.file))?;
    for item in &mut parsed.items {
        item.service = item.service.take().or_else(|| arguments.service.clone());
        item.kind = item.kind.or(arguments.kind);
    }
    let running = Running::of(&arguments.asked.target)?;
    let known = Known::ask(&running)?;
    let steps = check(&mut parsed, &known, arguments.replace);
    if !parsed.faults.is_empty() {
        let refused = parsed.faults.into_iter().map(|fault| Row {
            place: fault.place,
            credential: fault.name,
            outcome: "refused",
            why: fault.why,
        });
        show(&refused.collect::<Vec<_>>(), arguments.asked.json);
        terminal::error("nothing was done: mend what was refused, then import the whole file again\n");
        return Ok(FINDINGS);
    }
    if arguments.dry_run {
        show(&preview(&parsed.items, &steps), arguments.asked.json);
        return Ok(DONE);
    }
    let done = carry_out::carry_out(&running, parsed.items, &steps)?;
    show(&done.rows, arguments.asked.json);
    done.failure.map_or(Ok(DONE), Err)
}

fn parse(text: &Secret, shown: &str) -> Result<Parsed, Failure> {
    let bytes = text.expose_bytes();
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Failure::new(WRONG_USE, format!("{shown} is no text (UTF-8) from line {line} on"))
            .hint("encode such values, for example with base64, and let their readers decode them")
    })?;
    let parsed = if text.trim_start().starts_with('{') { json::parse(text) } else { env::parse(text) };
    if parsed.items.is_empty() && parsed.faults.is_empty() {
        return Err(Failure::new(WRONG_USE, format!("{shown} holds no values"))
            .hint("write lines NAME=VALUE, or JSON; see `haus credential import --help`"));
    }
    Ok(parsed)
}

/// What is there already.
struct Known {
    /// Credentials by SERVICE/NAME.
    credentials: BTreeMap<String, Credential>,
    services: BTreeSet<ServiceName>,
    /// Credentials of the plan that wait for a first value; none when the plan cannot be read.
    given: Option<BTreeSet<String>>,
}

impl Known {
    fn ask(running: &Running) -> Result<Known, Failure> {
        let credentials = running.ask(running.client.all_credentials(&CredentialFilter::default()))?;
        let status = running.ask(running.client.status())?;
        Ok(Known {
            credentials: credentials.into_iter().map(|one| (called(&one), one)).collect(),
            services: status.services.into_iter().map(|service| service.name).collect(),
            given: given(Path::new(&status.folder), &status.stage),
        })
    }
}

/// The plan's credentials of the kind `given: true`.
fn given(folder: &Path, stage: &str) -> Option<BTreeSet<String>> {
    let plan = haus_houseplan::load(folder, &DiskFiles).plan?;
    let house = plan.stages.iter().find(|(name, _)| name.as_str() == stage)?.1;
    let wanted = house.credentials.values().filter(|one| one.source == CredentialSource::Given);
    Some(wanted.map(|one| one.name.to_string()).collect())
}

/// Finds everything that would be refused, and what is to be done with the rest.
fn check(parsed: &mut Parsed, known: &Known, replaces: bool) -> Vec<Step> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut steps = Vec::new();
    for item in std::mem::take(&mut parsed.items) {
        match step(&item, known, replaces, &seen) {
            Ok(step) => steps.push(step),
            Err(why) => parsed.fault(&item.place, &item.called(), why),
        }
        seen.entry(item.called()).or_insert_with(|| item.place.clone());
        parsed.items.push(item);
    }
    steps
}

fn step(item: &Item, known: &Known, replaces: bool, seen: &BTreeMap<String, String>) -> Result<Step, String> {
    let name_chars = item.name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&name_chars) || item.name.trim().is_empty() {
        return Err(format!("a name has 1 to {NAME_CHARS_MAX} characters, not only blanks"));
    }
    if item.name.chars().any(char::is_control) {
        return Err("a name has no control characters".to_owned());
    }
    match item.value.expose_bytes().len() {
        0 => return Err("it has no value".to_owned()),
        1..=VALUE_BYTES_MAX => {}
        bytes => return Err(format!("its value has {bytes} bytes, {VALUE_BYTES_MAX} are possible")),
    }
    if let Some(place) = seen.get(&item.called()) {
        return Err(format!("{place} has it already"));
    }
    let named = item.service.iter().chain(&item.scope);
    if let Some(stranger) = named.into_iter().find(|service| !known.services.contains(*service)) {
        return Err(format!("the house has no service `{stranger}`"));
    }
    let Some(there) = known.credentials.get(&item.called()) else { return may_be_made(item, known) };
    if !replaces {
        return Err("it is there already; --replace rotates it to this value".to_owned());
    }
    if !item.scope.is_empty() || item.description.is_some() || item.expires_at.is_some() {
        return Err(
            "it is there already, and a new value changes nothing else: name the value alone".to_owned()
        );
    }
    match there.rotation.as_ref().filter(|rotation| rotation.ended_at.is_none()) {
        Some(rotation) => Err(format!("a rotation of it is under way ({})", rotation.step)),
        None => Ok(Step::Change(there.id.clone())),
    }
}

fn may_be_made(item: &Item, known: &Known) -> Result<Step, String> {
    match (&item.service, &known.given) {
        (None, Some(given)) if !given.contains(&item.name) => Err(
            "the plan has no credential of this name with `given: true`; for one of a service say --service"
                .to_owned(),
        ),
        (Some(_) | None, _) => Ok(Step::Make),
    }
}

fn preview(items: &[Item], steps: &[Step]) -> Vec<Row> {
    let row = |(item, step): (&Item, &Step)| Row {
        place: item.place.clone(),
        credential: item.called(),
        outcome: match step {
            Step::Make => "would be made",
            Step::Change(_) => "would be changed",
        },
        why: String::new(),
    };
    items.iter().zip(steps).map(row).collect()
}

fn show(rows: &[Row], as_json: bool) {
    if as_json {
        terminal::json(&rows);
        return;
    }
    let cells: Vec<_> = rows
        .iter()
        .map(|row| [row.place.clone(), row.credential.clone(), row.outcome.to_owned(), row.why.clone()])
        .collect();
    terminal::out(&listing::table(["PLACE", "CREDENTIAL", "OUTCOME", "WHY"], &cells));
}

#[cfg(test)]
mod tests;
