//! Places on a host: those that are Hausmeister's own, and those that two parts of a plan want.

use crate::code::Code;
use crate::draft::{Draft, Machine, SettingsDraft, Stage};
use crate::fault::{Fault, Session, Subject};
use crate::source::Span;
use crate::tree::Text;
use haus_model::host_path::{self, UNITS};
use haus_model::operation::{pattern_fits, sysctl_file};
use std::collections::HashMap;

/// Where Hausmeister keeps what it makes on a host; below `/srv` it is the folder of the house.
const OURS: [&str; 2] = ["/etc/haus", "/var/lib/haus-remote"];
/// What the names of Hausmeister's own units begin with.
const OUR_UNITS: &str = "haus-";

/// Paths and units that are ours.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    let srv = draft.house.map(|house| format!("/srv/{}", house.text));
    let ours = |path: &str| is_unit_of_ours(path) || is_below(path, OURS.into_iter().chain(srv.as_deref()));
    for (subject, settings) in draft.settings() {
        let units =
            settings.units.iter().map(|unit| unit.name).filter(|unit| unit.text.starts_with(OUR_UNITS));
        let paths = paths(settings).filter(|path| ours(path.text));
        for place in paths.chain(units) {
            let message = format!("`{}` belongs to Hausmeister", place.text);
            let fault = Fault::new(Code::OurPath, subject, place.span, message);
            session.report(fault.label("not yours").remedy(
                "choose another place: what Hausmeister makes there would be replaced and removed again",
            ));
        }
    }
}

fn is_below<'a>(path: &str, folders: impl IntoIterator<Item = &'a str>) -> bool {
    folders
        .into_iter()
        .any(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// The file of a unit itself. What a person adds to it in a folder `haus-NAME.service.d` is their own.
fn is_unit_of_ours(path: &str) -> bool {
    let name = path.strip_prefix(UNITS).and_then(|rest| rest.strip_prefix('/'));
    name.is_some_and(|name| name.starts_with(OUR_UNITS) && !name.contains('/') && !name.ends_with(".d"))
}

/// What settings put somewhere by its path.
fn paths<'a, 't>(settings: &'a SettingsDraft<'t>) -> impl Iterator<Item = Text<'t>> + use<'a, 't> {
    let directories = settings.directories.iter().map(|directory| directory.path);
    let files = settings.files.iter().map(|file| file.path);
    let links = settings.links.iter().map(|(link, _)| *link);
    directories.chain(files).chain(links)
}

/// What each host gets in one place, after merging.
pub(super) fn check_stage<'t>(session: &Session<'t>, stage: &Stage<'_, 't>) {
    for machine in &stage.fleet.machines {
        twice(session, machine);
        holds(session, machine);
    }
}

/// Every path that something is put at.
fn twice<'t>(session: &Session<'t>, machine: &Machine<'_, 't>) {
    let mut owners: HashMap<String, (&'static str, Span)> = HashMap::new();
    let mut claim = |path: String, kind: &'static str, span: Span| {
        let Some((other, first)) = owners.get(&path) else {
            owners.insert(path, (kind, span));
            return;
        };
        let message = format!("`{path}` is {kind} and {other} on one host");
        let fault = Fault::new(Code::PathTwice, Subject::Machine(machine.name().text), span, message);
        session.report(fault.label("again").related(*first, "first").remedy("keep one of them"));
    };
    for directory in machine.directories() {
        claim(directory.path.text.to_owned(), "a folder", directory.path.span);
    }
    for file in machine.files() {
        claim(file.path.text.to_owned(), "a file", file.path.span);
    }
    for (link, _) in machine.links() {
        claim(link.text.to_owned(), "a link", link.span);
    }
    for unit in machine.units().into_iter().filter(|unit| unit.content.is_some()) {
        claim(format!("{UNITS}/{}", unit.name.text), "a unit", unit.name.span);
    }
    for site in machine.nginx() {
        for folder in ["sites-available", "sites-enabled"] {
            claim(format!("/etc/nginx/{folder}/{}", site.name.text), "a site of nginx", site.name.span);
        }
    }
    for account in machine.accounts() {
        let Some(part) = account.parts.iter().find(|part| part.keys.is_some() || part.keys_file.is_some())
        else {
            continue;
        };
        let home = account.parts.iter().rev().find_map(|part| part.home);
        let usual =
            || if account.name == "root" { "/root".to_owned() } else { format!("/home/{}", account.name) };
        let home = home.map_or_else(usual, |home| home.text.to_owned());
        claim(format!("{home}/.ssh/authorized_keys"), "the keys of an account", part.name.span);
    }
    for (path, kind) in fixed(machine) {
        claim(path, kind, machine.name().span);
    }
}

/// Files that words of the plan write and whose names nobody chooses.
fn fixed(machine: &Machine<'_, '_>) -> Vec<(String, &'static str)> {
    let mut fixed = Vec::new();
    let mut add = |is_said: bool, path: &str, kind| {
        if is_said {
            fixed.push((path.to_owned(), kind));
        }
    };
    let layers = || machine.layers.iter();
    let hosts_file = layers().filter_map(|layer| layer.hosts_file).next_back();
    add(hosts_file == Some(true), host_path::HOSTS, "the list of hosts");
    add(machine.sshd().is_some(), host_path::SSHD, "a part of `sshd`");
    add(layers().any(|layer| layer.journal.is_some()), host_path::JOURNAL, "a part of `journal`");
    add(layers().any(|layer| layer.upgrades.is_some()), host_path::UPGRADES, "a part of `upgrades`");
    let times = || layers().filter_map(|layer| layer.time.as_ref());
    add(times().any(|time| !time.servers.is_empty()), host_path::TIME_SERVERS, "a part of `time`");
    let has_zone = times().any(|time| time.zone.is_some());
    for path in [host_path::ZONE_LINK, host_path::ZONE_NAME] {
        add(has_zone, path, "the zone of `time`");
    }
    for (key, _) in machine.sysctl() {
        add(true, &sysctl_file(key.text).to_string_lossy(), "a part of `sysctl`");
    }
    fixed
}

/// A package that shall be installed and never change.
fn holds<'t>(session: &Session<'t>, machine: &Machine<'_, 't>) {
    let patterns: Vec<Text<'t>> = machine.hold().collect();
    if patterns.is_empty() {
        return;
    }
    for package in machine.packages() {
        let Some(pattern) = patterns.iter().find(|pattern| pattern_fits(pattern.text, package.text)) else {
            continue;
        };
        let message = format!("`{}` is to be installed, and `{}` holds it", package.text, pattern.text);
        let fault =
            Fault::new(Code::HoldInstalls, Subject::Machine(machine.name().text), package.span, message);
        session.report(
            fault
                .label("wanted here")
                .related(pattern.span, "held here")
                .remedy("remove it from one of the two, or accept it with the reason"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_unit(path: &str, expected: bool) {
        assert_eq!(is_unit_of_ours(path), expected, "{path}");
    }

    #[test]
    fn the_file_of_a_unit_is_ours_and_what_is_added_to_it_is_not() {
        check_unit("/etc/systemd/system/haus-firewall.service", true);
        check_unit("/etc/systemd/system/haus-sample-api.service.d/own.conf", false);
        check_unit("/etc/systemd/system/haus-sample-api.service.d", false);
        check_unit("/etc/systemd/system/night.timer", false);
    }

    #[test]
    fn the_rules_of_the_firewall_are_ours() {
        assert!(is_below(host_path::FIREWALL_RULES, OURS));
        assert!(!is_below("/etc/hausbar", OURS));
    }
}
