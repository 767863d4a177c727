//! Places on a host: those that are Hausmeister's own, and those that two parts of a plan want.

use crate::code::Code;
use crate::draft::{Draft, Machine, SettingsDraft, Stage};
use crate::fault::{Fault, Session, Subject};
use crate::source::Span;
use crate::tree::Text;
use std::collections::HashMap;

/// Where Hausmeister keeps what it makes on a host; below `/srv` it is the folder of the house.
const OURS: [&str; 2] = ["/etc/haus", "/var/lib/haus-remote"];
/// What the names of Hausmeister's own units begin with.
const OUR_UNITS: &str = "haus-";

/// Paths and units that are ours.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    let srv = draft.house.map(|house| format!("/srv/{}", house.text));
    let ours = |path: &str| {
        let below = |folder: &str| {
            path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        OURS.iter().copied().chain(srv.as_deref()).any(below)
    };
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
        claim(format!("/etc/systemd/system/{}", unit.name.text), "a unit", unit.name.span);
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
        let home = home.map_or_else(|| format!("/home/{}", account.name), |home| home.text.to_owned());
        claim(format!("{home}/.ssh/authorized_keys"), "the keys of an account", part.name.span);
    }
    let name = machine.name();
    if machine.layers.iter().filter_map(|layer| layer.hosts_file).next_back() == Some(true) {
        claim("/etc/hosts".to_owned(), "the list of hosts", name.span);
    }
    if machine.sshd().is_some() {
        claim("/etc/ssh/sshd_config.d/50-haus.conf".to_owned(), "a part of `sshd`", name.span);
    }
}

/// A package that shall be installed and never change.
fn holds<'t>(session: &Session<'t>, machine: &Machine<'_, 't>) {
    let patterns: Vec<Text<'t>> = machine.hold().collect();
    if patterns.is_empty() {
        return;
    }
    for package in machine.packages() {
        let Some(pattern) = patterns.iter().find(|pattern| matches(pattern.text, package.text)) else {
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

/// Whether a pattern with `*` and `?` fits a whole text. Backtracks only to the last `*`, so it stays short.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[position] => {
                at += 1;
                position += 1;
            }
            Some(_) | None => {
                let Some((before, from)) = star else { return false };
                star = Some((before, from + 1));
                at = before + 1;
                position = from + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }

    #[test]
    fn patterns_fit_whole_names() {
        check("linux-image-*", "linux-image-amd64", true);
        check("linux-image-*", "linux-image", false);
        check("nginx", "nginx", true);
        check("nginx", "nginx-full", false);
        check("*-dev", "libc6-dev", true);
        check("lib*-*v", "libc6-dev", true);
        check("libc?", "libc6", true);
        check("a*b*c", "aXbXbXc", true);
        check("a*b*c", "aXbXbX", false);
    }
}
