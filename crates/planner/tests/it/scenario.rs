//! Plays a scenario: a script of what a plan says and what hosts are goes in, a transcript of the plans comes
//! out. The language stands in `scenarios/README.md`.

use crate::fixture::{self, object};
use crate::simulated_host::{Node, SimulatedHost, Unit, text_file};
use crate::transcript::{self, Detail};
use haus_model::change::ChangeSet;
use haus_model::host::{Access, Architecture};
use haus_model::host_code::HostCode;
use haus_model::inventory::{Inventory, Listener};
use haus_model::resource::{Content, ResourceId, Spec};
use haus_model::{Finding, HostName, House, Timestamp};
use haus_planner::{Blob, Cause, Desired, FileInput, Inputs, Only, PlanSettings};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

pub(crate) struct Player {
    house: House,
    inputs: Inputs,
    hosts: BTreeMap<HostName, SimulatedHost>,
    unreachable: BTreeSet<HostName>,
    last: Option<ChangeSet>,
    seen: BTreeMap<HostName, Result<Inventory, Finding>>,
    transcript: String,
}

pub(crate) fn play(script: &str) -> String {
    let mut player = Player {
        house: fixture::house(),
        inputs: Inputs::default(),
        hosts: BTreeMap::new(),
        unreachable: BTreeSet::new(),
        last: None,
        seen: BTreeMap::new(),
        transcript: String::new(),
    };
    for line in script.lines() {
        if line.trim().is_empty() || line.starts_with('#') {
            let _ = writeln!(player.transcript, "{line}");
            continue;
        }
        let _ = writeln!(player.transcript, "> {line}");
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if !(player.says(word, rest) || player.is(word, rest) || player.act(word, rest)) {
            panic!("no word of the language: {line}");
        }
    }
    player.transcript
}

/// The first word and the rest.
fn split(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

fn text(quoted: &str) -> String {
    serde_json::from_str(quoted).unwrap_or_else(|_| panic!("no quoted text: {quoted}"))
}

impl Player {
    /// What the plan says, and what stands beside it.
    fn says(&mut self, word: &str, rest: &str) -> bool {
        let (name, tail) = split(rest);
        match word {
            "host" => {
                let (connect, over) = split(tail);
                let host = fixture::host(name, connect, &object(over));
                self.hosts.entry(host.name.clone()).or_insert_with(|| SimulatedHost::fresh(name));
                self.house.hosts.insert(host.name.clone(), host);
            }
            "settings" => {
                let host = self.house.hosts.get_mut(name).unwrap();
                host.settings = fixture::settings(&host.settings, &object(tail));
            }
            "without" => {
                let host = self.house.hosts.get_mut(name).unwrap();
                let mut whole = serde_json::to_value(&host.settings).unwrap();
                let (key, member) = split(tail);
                match whole.get_mut(key).unwrap() {
                    serde_json::Value::Object(members) if !member.is_empty() => {
                        members.remove(member).unwrap();
                    }
                    serde_json::Value::Array(list) if !member.is_empty() => {
                        list.retain(|item| item != member);
                    }
                    place => *place = serde_json::Value::Null,
                }
                host.settings = serde_json::from_value(whole).unwrap();
            }
            "service" => {
                let service = fixture::service(name, &object(tail));
                self.house.services.insert(service.name.clone(), service);
            }
            "no-service" => drop(self.house.services.remove(name).unwrap()),
            "file" => drop(self.inputs.files.insert(name.into(), FileInput::of(text(tail).as_bytes()))),
            "archive" => drop(self.inputs.archives.insert(name.into(), Blob::of(tail.as_bytes()))),
            "plan-archive" => self.inputs.plan_archive = Some(Blob::of(rest.as_bytes())),
            "program" => {
                let architecture = Architecture::from_machine(name).unwrap();
                self.inputs.program.insert(architecture, Blob::of(tail.as_bytes()));
            }
            "credential" => {
                self.inputs.credentials.insert(name.parse().unwrap(), tail.parse().unwrap());
            }
            _ => return false,
        }
        true
    }

    /// What a host is.
    fn is(&mut self, word: &str, rest: &str) -> bool {
        let (name, tail) = split(rest);
        if word == "unreachable" {
            self.unreachable.insert(name.parse().unwrap());
            return true;
        }
        if ![
            "facts",
            "listens",
            "installed",
            "unknown",
            "reference",
            "path",
            "gone",
            "unit",
            "odd",
            "sysctl",
            "satisfied",
            "keys",
            "group",
        ]
        .contains(&word)
        {
            return false;
        }
        let host = self.hosts.get_mut(name).unwrap();
        match word {
            "facts" => host.facts = fixture::laid_over(&host.facts, &object(tail)),
            "listens" => drop(host.facts.listeners.insert(listener(tail))),
            "installed" => {
                host.packages.extend(tail.split(' ').map(|name| (name.to_owned(), "1.0-1".to_owned())));
            }
            "unknown" => host.unknown.extend(tail.split(' ').map(str::to_owned)),
            "reference" => {
                let (reference, commit) = split(tail);
                host.references.insert(reference.to_owned(), commit.repeat(40 / commit.len()));
            }
            "path" => place(host, tail),
            "gone" => drop(host.paths.remove(std::path::Path::new(tail)).unwrap()),
            "unit" => {
                let [unit, enabled, active] = tail.split(' ').collect::<Vec<_>>()[..] else {
                    panic!("{tail}")
                };
                let new = Unit { enabled: String::new(), active: String::new(), loaded: None, starts: 0 };
                let known = host.units.entry(unit.to_owned()).or_insert(new);
                (known.enabled, known.active) = (enabled.to_owned(), active.to_owned());
            }
            "odd" => {
                let (id, state) = split(tail);
                let id: ResourceId =
                    serde_json::from_value(serde_json::Value::String(id.to_owned())).unwrap();
                if state.is_empty() {
                    host.odd.remove(&id);
                } else {
                    host.odd.insert(id, serde_json::from_str(state).unwrap());
                }
            }
            "sysctl" => {
                let (key, value) = split(tail);
                host.sysctl.entry(key.to_owned()).or_default().0 = value.to_owned();
            }
            "satisfied" => drop(host.satisfied.insert(tail.to_owned())),
            "group" => drop(host.groups.insert(tail.to_owned())),
            "keys" => {
                let (user, keys) = split(tail);
                host.keys.insert(user.to_owned(), keys.split(',').map(str::to_owned).collect());
            }
            _ => return false,
        }
        true
    }

    /// What is done.
    fn act(&mut self, word: &str, rest: &str) -> bool {
        match word {
            "plan" => self.plan(rest),
            "apply" => {
                let last = self.last.clone().expect("there is a plan");
                for (name, plan) in &last.hosts {
                    let host = self.hosts.get_mut(name).unwrap();
                    match rest.parse() {
                        Ok(count) => host.apply_first(plan, count),
                        Err(_) => host.apply(plan),
                    }
                }
            }
            "causes" => {
                for (host, causes) in haus_planner::causes(self.last.as_ref().unwrap(), &self.seen) {
                    for (number, cause) in causes {
                        let word = match cause {
                            Cause::Wish => "wish",
                            Cause::Drift => "drift",
                            Cause::Owed => "owed",
                        };
                        let _ = writeln!(self.transcript, "{host} {number}: {word}");
                    }
                }
            }
            "desired" => {
                let (host, id) = split(rest);
                let desired = self.expand(true);
                let shown = desired.hosts[host]
                    .resources
                    .iter()
                    .filter(|resource| haus_model::operation::pattern_fits(id, resource.id.as_str()));
                for resource in shown {
                    show(&mut self.transcript, &resource.id, &resource.spec);
                }
            }
            _ => return false,
        }
        true
    }

    fn expand(&self, learned: bool) -> Desired {
        let mut inputs = self.inputs.clone();
        if learned {
            inputs.learn(&self.house.name, &self.seen);
        }
        haus_planner::expand(&self.house, &inputs)
    }

    fn plan(&mut self, rest: &str) {
        let mut settings = PlanSettings::default();
        let mut detail = Detail::default();
        for word in rest.split_whitespace() {
            match word.split_once('=') {
                Some(("only", words)) => settings.only = words.split(',').map(Only::new).collect(),
                Some(("hosts", words)) => {
                    settings.hosts = Some(words.split(',').map(|name| name.parse().unwrap()).collect());
                }
                Some(("now", ms)) => settings.now = Timestamp(ms.parse().unwrap()),
                _ if word == "operations" => detail.operations = true,
                _ if word == "short" => detail.short = true,
                _ => panic!("no word of a plan: {word}"),
            }
        }
        // Observed with what an expansion guesses that knows nothing of the hosts yet.
        self.seen.clear();
        let guessed = self.expand(false);
        for (name, host) in &guessed.hosts {
            let seen = if self.unreachable.contains(name) {
                Err(HostCode::Unreachable.finding(format!("host {name}"), "no answer", "look at the network"))
            } else {
                Ok(self.hosts[name].observe(host))
            };
            self.seen.insert(name.clone(), seen);
        }
        let desired = self.expand(true);
        let ids = |desired: &Desired| {
            let hosts = desired.hosts.values().flat_map(|host| host.resources.iter());
            hosts.map(|resource| resource.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&guessed), ids(&desired), "what was learned changed what is observed");
        let changes = haus_planner::plan(&desired, &self.seen, &settings);
        assert!(haus_planner::verify_hash(&changes));
        self.transcript.push_str(&transcript::plan(&changes, detail));
        if haus_planner::is_partial(&changes) {
            let _ = writeln!(self.transcript, "another plan is needed behind this one");
        }
        self.last = Some(changes);
    }
}

/// `tcp 0.0.0.0:8000 nginx nginx.service`; a dash is nobody knows.
fn listener(text: &str) -> Listener {
    let [protocol, address, process, unit] = text.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    let address: std::net::SocketAddr = address.parse().unwrap();
    let known = |word: &str| Some(word.to_owned()).filter(|word| word != "-");
    Listener {
        protocol: serde_json::from_str(&format!("{protocol:?}")).unwrap(),
        address: address.ip(),
        port: address.port(),
        process: known(process),
        unit: known(unit),
    }
}

/// `file PATH MODE "text"`, `folder PATH MODE`, `link PATH TARGET`
fn place(host: &mut SimulatedHost, text_of: &str) {
    let (kind, rest) = split(text_of);
    let (path, rest) = split(rest);
    let (first, content) = split(rest);
    let access = || Access::root(u32::from_str_radix(first, 8).unwrap());
    let node = match kind {
        "file" => text_file(&text(content), access()),
        "folder" => Node::Directory(access()),
        "link" => Node::Link(first.into()),
        _ => panic!("no kind of path: {kind}"),
    };
    host.paths.insert(path.into(), node);
}

fn show(transcript: &mut String, id: &ResourceId, spec: &Spec) {
    if let Spec::File(file) = spec
        && let Content::Text(text) = &file.content
    {
        let access = &file.access;
        let check =
            file.check.as_ref().map(|check| format!(", check: {}", check.join(" "))).unwrap_or_default();
        let _ = writeln!(transcript, "{id} {}:{} {:04o}{check}", access.owner, access.group, access.mode);
        for line in text.lines() {
            let _ = writeln!(transcript, "{}", format!("  | {line}").trim_end());
        }
        return;
    }
    let value = serde_json::to_value(spec).unwrap();
    let inner = value.as_object().and_then(|members| members.values().next()).cloned().unwrap_or_default();
    let _ = writeln!(transcript, "{id} {inner}");
}
