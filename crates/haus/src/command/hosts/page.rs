//! How a plan of changes looks to a person. Nothing here decides; it prints what the plan says.

use crate::command::check::plural;
use crate::terminal::harmless;
use haus_model::Finding;
use haus_model::change::{ActKind, Change, ChangeSet, DiffLine, HostPlan, Operation, Outcome, Undo};
use haus_model::resource::Spec;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The whole plan: host by host in the order of its waves, then a summary.
pub(crate) fn plan(change_set: &ChangeSet, colour: bool) -> String {
    let mut text = String::new();
    for name in change_set.waves.iter().flatten() {
        let Some(host) = change_set.hosts.get(name) else { continue };
        let head = format!("{name} · {}", counted(host));
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{}", paint(&head, "1", colour));
        for finding in host.blocked.iter().chain(&host.notes) {
            text.push_str(&self::finding(finding, colour));
        }
        for change in &host.changes {
            text.push_str(&self::change(change, colour));
        }
        text.push('\n');
    }
    text.push_str(&summary(change_set));
    text
}

/// One finding about a host, with what to do.
pub(crate) fn finding(finding: &Finding, colour: bool) -> String {
    let head = format!("{}[{}]", finding.severity, finding.code);
    let code = match finding.severity {
        haus_model::Severity::Error => "1;31",
        haus_model::Severity::Warning => "1;33",
        haus_model::Severity::Note => "1",
    };
    let mut text =
        format!("  {}: {}: {}\n", paint(&head, code, colour), finding.subject, harmless(&finding.message));
    for line in finding.remedy.lines() {
        let _ = writeln!(text, "    help: {}", harmless(line));
    }
    text
}

/// One change: what and why, the exact difference, the exact commands.
pub(crate) fn change(change: &Change, colour: bool) -> String {
    let (mark, code) = match change.act {
        ActKind::Create => ("+", "32"),
        ActKind::Update => ("~", "33"),
        ActKind::Remove => ("-", "31"),
        ActKind::Forget => (".", "2"),
    };
    let mut text = format!("  {} {}\n", paint(mark, code, colour), paint(&heading(change), "1", colour));
    let _ = writeln!(text, "      why: {}", harmless(&change.why));
    for line in &change.diff {
        let _ = match line {
            DiffLine::Same(line) => writeln!(text, "        {}", harmless(line)),
            DiffLine::Gone(line) => {
                writeln!(text, "      {}", paint(&format!("- {}", harmless(line)), "31", colour))
            }
            DiffLine::New(line) => {
                writeln!(text, "      {}", paint(&format!("+ {}", harmless(line)), "32", colour))
            }
            DiffLine::Skipped(count) => writeln!(text, "        … {}", plural(*count as usize, "line")),
        };
    }
    for operation in &change.operations {
        let _ = match operation {
            Operation::Run(argv) => writeln!(text, "      $ {}", command_line(argv)),
            Operation::Native(words) => writeln!(text, "      · {}", harmless(words)),
        };
    }
    match &change.outcome {
        Outcome::Known => {}
        Outcome::Unknown(why) => {
            let _ = writeln!(text, "      outcome not known before: {}", harmless(why));
        }
    }
    match &change.undo {
        Undo::Exact => {}
        Undo::Partial(stays) => {
            let _ = writeln!(text, "      can be taken back in part: {}", harmless(stays));
        }
        Undo::None(why) => {
            let _ = writeln!(text, "      cannot be taken back: {}", harmless(why));
        }
    }
    if change.guarded {
        text.push_str("      guarded: takes itself back unless a new connection confirms it\n");
    }
    text
}

/// The last line: how much of what.
pub(crate) fn summary(change_set: &ChangeSet) -> String {
    let mut acts: BTreeMap<ActKind, usize> = BTreeMap::new();
    let changes = change_set.hosts.values().flat_map(|host| &host.changes);
    changes.for_each(|change| *acts.entry(change.act).or_default() += 1);
    let blocked = change_set.hosts.values().filter(|host| !host.blocked.is_empty()).count();
    let unchanged: u32 = change_set.hosts.values().map(|host| host.unchanged).sum();
    let mut parts: Vec<String> = acts
        .iter()
        .map(|(act, count)| {
            let word = match act {
                ActKind::Create => "to create",
                ActKind::Update => "to change",
                ActKind::Remove => "to remove",
                ActKind::Forget => "to forget",
            };
            format!("{count} {word}")
        })
        .collect();
    if parts.is_empty() {
        parts.push("nothing to change".to_owned());
    }
    parts.push(format!("{unchanged} as they should be"));
    if blocked > 0 {
        parts.push(format!("{} blocked", plural(blocked, "host")));
    }
    format!("{} · plan {}\n", parts.join(" · "), change_set.hash.short())
}

/// What kind of change to which resource, in a few words.
pub(crate) fn heading(change: &Change) -> String {
    let verb = match (&change.spec, change.act) {
        (Spec::Packages(_), ActKind::Create | ActKind::Update) => "install",
        (Spec::Unit(_), ActKind::Create | ActKind::Update) => "bring into its state",
        (Spec::Switch(_), ActKind::Create | ActKind::Update) => "switch to release",
        (Spec::Release(_), ActKind::Create | ActKind::Update) => "build",
        (Spec::Health(_), ActKind::Create | ActKind::Update) => "prove",
        (Spec::Command(_), ActKind::Create | ActKind::Update) => "run",
        (_, ActKind::Create) => "create",
        (_, ActKind::Update) => "change",
        (_, ActKind::Remove) => "remove",
        (_, ActKind::Forget) => "forget",
    };
    format!("{verb} {}", change.resource)
}

fn counted(host: &HostPlan) -> String {
    match (host.blocked.len(), host.changes.len()) {
        (0, 0) => format!("nothing to change, {} as they should be", host.unchanged),
        (0, changes) => format!("{}, {} as they should be", plural(changes, "change"), host.unchanged),
        (_, _) => "blocked, nothing is changed".to_owned(),
    }
}

/// Words as a shell would need them, for reading and for pasting.
pub(crate) fn command_line(argv: &[String]) -> String {
    let is_plain = |word: &String| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c))
    };
    let quoted = |word: &String| {
        if is_plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let words: Vec<String> = argv.iter().map(quoted).collect();
    harmless(&words.join(" ")).into_owned()
}

fn paint(text: &str, code: &str, colour: bool) -> String {
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::Fingerprint;
    use haus_model::host::{Access, Connect, Elevation};
    use haus_model::inventory::State;
    use haus_model::resource::{Content, FileSpec};

    fn motd() -> Change {
        let spec = Spec::File(FileSpec {
            path: "/etc/motd".into(),
            content: Content::Text("hello\n".into()),
            access: Access::root(0o644),
            check: None,
        });
        Change {
            number: 1,
            resource: spec.id(),
            act: ActKind::Update,
            spec,
            before: State::Absent,
            service: None,
            why: "files of host web: its content differs".into(),
            diff: vec![DiffLine::Gone("old \u{1b}[2J".into()), DiffLine::New("hello".into())],
            operations: vec![
                Operation::Native("write /etc/motd".into()),
                Operation::Run(vec!["echo".into(), "it's".into()]),
            ],
            outcome: Outcome::Unknown("a test".into()),
            undo: Undo::Exact,
            guarded: true,
        }
    }

    #[test]
    fn a_change_says_what_why_and_how_and_cannot_steer_the_terminal() {
        let expected = "  ~ change file:/etc/motd\n      why: files of host web: its content differs\n\
            \x20     - old \\x1b[2J\n      + hello\n      · write /etc/motd\n      $ echo 'it'\\''s'\n\
            \x20     outcome not known before: a test\n\
            \x20     guarded: takes itself back unless a new connection confirms it\n";
        assert_eq!(change(&motd(), false), expected);
    }

    #[test]
    fn the_summary_counts_every_host() {
        let host = HostPlan {
            connect: Connect::Local,
            elevation: Elevation::Auto,
            observed: Fingerprint::of(b""),
            needs: std::collections::BTreeSet::new(),
            changes: vec![motd()],
            unchanged: 3,
            blocked: Vec::new(),
            notes: Vec::new(),
            ports: BTreeMap::new(),
        };
        let change_set = ChangeSet {
            format: 1,
            house: "home".parse().unwrap(),
            stage: "default".parse().unwrap(),
            hosts: BTreeMap::from([("web".parse().unwrap(), host)]),
            waves: vec![vec!["web".parse().unwrap()]],
            hash: Fingerprint::of(b"abc"),
        };
        assert_eq!(summary(&change_set), "1 to change · 3 as they should be · plan ba7816bf8f01\n");
        assert!(plan(&change_set, false).starts_with("web · 1 change, 3 as they should be\n  ~ change"));
    }
}
