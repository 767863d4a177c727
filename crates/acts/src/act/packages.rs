//! Debian packages by apt. Debian starts a server when its package is installed, before our files are there;
//! that is left as it is, since a package's own units are restarted when their files change.

mod leave;

use super::{Job, Made};
use crate::journal::note::{Also, Note};
use crate::machine::Layout;
use crate::observe::names_installed;
use crate::refusal::Result;
use crate::run::{Order, Ran, Sink, capture, run};
use crate::wire::{EVIDENCE_LINES_MAX, Refusal};
use haus_model::argv;
use haus_model::host_code::HostCode;
use haus_model::inventory::State;
use haus_model::operation::packages_missing;
use haus_model::resource::PackagesSpec;
use std::collections::BTreeSet;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(45 * 60);
/// For questions that change nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// Words of apt that say that a mirror cannot be reached.
const UNREACHABLE: [&str; 9] = [
    "Could not resolve",
    "Temporary failure resolving",
    "Could not connect",
    "Unable to connect",
    "Connection refused",
    "Connection timed out",
    "Connection failed",
    "Network is unreachable",
    "No route to host",
];

/// Words of apt that say that its lists are old or absent.
const OLD_LISTS: [&str; 4] =
    ["404  Not Found", "Unable to locate package", "has no installation candidate", "Hash Sum mismatch"];

/// Words of dpkg and apt after an interruption.
const INTERRUPTED: [&str; 3] = ["dpkg was interrupted", "dpkg --configure -a", "needs to be reinstalled"];

const FULL: [&str; 2] = ["No space left on device", "You don't have enough free space"];

/// What apt says instead of removing something, and the line above the names of what that would be.
const REMOVES: &str = "Packages need to be removed but remove is disabled";
const REMOVED: &str = "The following packages will be REMOVED:";

pub(super) fn note() -> Result<Note> {
    Ok(Note { paths: Vec::new(), also: Also::Packages { before: names_installed()? } })
}

pub(super) fn install(job: &mut Job<'_>, spec: &PackagesSpec) -> Result<Made> {
    let missing = packages_missing(spec, job.before);
    let before = names_installed()?;
    let old_lists = matches!(job.before, State::Packages { unknown, .. } if !unknown.is_disjoint(&missing));
    let tool = Tool { layout: job.layout };
    if old_lists {
        tool.must(&argv::apt_update(), job.sink)?;
    }
    let install = argv::apt_install(&missing);
    let mut ran = tool.run(&install, job.sink)?;
    if !ran.is_good() && says(&ran, &INTERRUPTED) {
        tool.must(&argv::dpkg_configure(), job.sink)?;
        ran = tool.run(&install, job.sink)?;
    }
    if !ran.is_good() && says(&ran, &OLD_LISTS) && !old_lists {
        tool.must(&argv::apt_update(), job.sink)?;
        ran = tool.run(&install, job.sink)?;
    }
    if !ran.is_good() {
        return Err(refusal(&install, ran));
    }
    let came: BTreeSet<String> = names_installed()?.difference(&before).cloned().collect();
    let notes = vec![format!("{} packages came: {}", came.len(), joined(&came))];
    Ok(Made { came, notes, inputs: None })
}

pub(super) fn remove(job: &mut Job<'_>, spec: &PackagesSpec) -> Result<Made> {
    let State::Packages { installed, .. } = job.before else { return Ok(Made::default()) };
    let gone: BTreeSet<&String> = installed.keys().filter(|name| spec.names.contains(*name)).collect();
    if !gone.is_empty() {
        let tool = Tool { layout: job.layout };
        tool.must(&argv::apt_remove(gone), job.sink)?;
    }
    Ok(Made::default())
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Brings packages back: those that came go, those that went come. `came` is what is known to have come with
/// the change; without it everything that is more than before. The text says what stays, since somebody else
/// needs it.
pub(crate) fn take_back(
    tool: &Tool<'_>,
    before: &BTreeSet<String>,
    came: Option<&BTreeSet<String>>,
    sink: Sink<'_>,
) -> Result<Option<String>> {
    // An interrupted dpkg refuses everything until it has finished.
    tool.must(&argv::dpkg_configure(), sink)?;
    let now = names_installed()?;
    let more: BTreeSet<String> = now.difference(before).cloned().collect();
    let more = came.map_or(more.clone(), |came| more.intersection(came).cloned().collect());
    let leaving = leave::decide(&more, &|argv| tool.ask(argv))?;
    if !leaving.go.is_empty() {
        tool.must(&argv::apt_remove(&leaving.go), sink)?;
    }
    let less: BTreeSet<&String> =
        if came.is_some() { BTreeSet::new() } else { before.difference(&now).collect() };
    if !less.is_empty() {
        tool.must(&argv::apt_install(less), sink)?;
    }
    Ok(leaving.why_not_all)
}

/// apt and dpkg with everything that is fixed for them.
pub(crate) struct Tool<'a> {
    /// Where their output goes, so that they go on when we are gone.
    pub(crate) layout: &'a Layout,
}

impl Tool<'_> {
    pub(super) fn run(&self, argv: &[String], sink: Sink<'_>) -> Result<Ran> {
        run(&self.order(argv), sink)
    }

    fn must(&self, argv: &[String], sink: Sink<'_>) -> Result<()> {
        let ran = self.run(argv, sink)?;
        if ran.is_good() { Ok(()) } else { Err(refusal(argv, ran)) }
    }

    /// What apt answers to a question that changes nothing.
    fn ask(&self, argv: &[String]) -> Result<String> {
        let ran = capture(&Order { mark: self.layout.mark(), ..Order::new(argv, ANSWER_WITHIN) })?;
        if ran.is_good() {
            Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
        } else {
            Err(refusal(argv, ran))
        }
    }

    fn order<'o>(&'o self, argv: &'o [String]) -> Order<'o> {
        let fixed = [
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("NEEDRESTART_MODE", "l"),
            ("NEEDRESTART_SUSPEND", "1"),
            ("APT_LISTCHANGES_FRONTEND", "none"),
        ];
        let env = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let output = Some(self.layout.output());
        Order { env, output, mark: self.layout.mark(), ..Order::new(argv, WITHIN) }
    }
}

fn says(ran: &Ran, words: &[&str]) -> bool {
    ran.tail.iter().any(|line| words.iter().any(|word| line.contains(word)))
}

/// The packages that apt would have removed.
fn in_the_way(ran: &Ran) -> String {
    let behind = ran.tail.iter().skip_while(|line| *line != REMOVED).skip(1);
    let names: Vec<&str> = behind.map_while(|line| line.strip_prefix("  ")).map(str::trim).collect();
    if names.is_empty() { "other packages".to_owned() } else { names.join(" ") }
}

/// What apt could not do, with its faults and warnings as evidence: they name the mirror.
fn refusal(argv: &[String], ran: Ran) -> Refusal {
    let (code, why, remedy) = if says(&ran, &[REMOVES]) {
        let remedy = "remove on the host yourself what nobody needs any longer, or take out of `packages` of \
                      the host what does not go together with it, then apply again";
        let why = format!("{} would have to be removed for it", in_the_way(&ran));
        (HostCode::OtherInPlace, why, remedy)
    } else if says(&ran, &UNREACHABLE) {
        let why = "a package mirror does not answer";
        (
            HostCode::PackagesUnreachable,
            why.to_owned(),
            "see that the host reaches its mirrors, then apply again",
        )
    } else if says(&ran, &FULL) {
        (HostCode::NoSpace, "there is not enough space".to_owned(), "make room on the host, then apply again")
    } else if says(&ran, &["Unable to locate package", "has no installation candidate"]) {
        let remedy = "correct the name, or add the package source to the host";
        (HostCode::PackageUnknown, "the host's package sources do not have it".to_owned(), remedy)
    } else if says(&ran, &["Could not get lock", "dpkg frontend lock"]) {
        let why = "another program holds the lock of the package system";
        (HostCode::ActFailed, why.to_owned(), "wait until it has ended, then apply again")
    } else {
        (HostCode::ActFailed, ran.ending(), "see the output, and try the same command on the host")
    };
    let what = format!("run {}", crate::refusal::cut(&argv.join(" ")));
    let telling = |line: &&String| ["E: ", "W: ", "Err:", "  "].iter().any(|begin| line.starts_with(begin));
    let mut evidence: Vec<String> = ran.tail.iter().filter(telling).cloned().collect();
    if evidence.is_empty() {
        evidence = ran.tail.into_iter().collect();
    }
    let surplus = evidence.len().saturating_sub(EVIDENCE_LINES_MAX);
    Refusal::new(code, what, why, remedy).with_evidence(evidence.drain(surplus..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(lines: &[&str]) -> Refusal {
        let tail = lines.iter().map(|line| (*line).to_owned()).collect();
        refusal(&argv::apt_update(), Ran { status: None, tail, stdout: Vec::new() })
    }

    fn check(lines: &[&str], code: HostCode) {
        let found = refused(lines);
        assert_eq!(found.code, code, "{lines:?}");
        assert!(!found.evidence.is_empty());
    }

    #[test]
    fn what_would_have_to_go_is_named() {
        // As apt 2.6 says it.
        let lines = [
            "Reading package lists...",
            "Building dependency tree...",
            "The following packages will be REMOVED:",
            "  shop-top shop-user",
            "The following NEW packages will be installed:",
            "  shop-other",
            "0 upgraded, 1 newly installed, 2 to remove and 0 not upgraded.",
            "E: Packages need to be removed but remove is disabled.",
        ];
        let found = refused(&lines);
        assert_eq!(found.code, HostCode::OtherInPlace);
        assert_eq!(found.why, "shop-top shop-user would have to be removed for it");
        assert_eq!(refused(&lines[6..]).why, "other packages would have to be removed for it");
        // None of the ways out for other faults is tried.
        let ran = Ran { status: None, tail: lines.map(str::to_owned).into(), stdout: Vec::new() };
        assert!(!says(&ran, &INTERRUPTED) && !says(&ran, &OLD_LISTS));
    }

    #[test]
    fn what_apt_says_becomes_one_kind_of_fault() {
        check(
            &[
                "Err:1 http://mirror.example bookworm InRelease",
                "  Could not connect to mirror.example:80 (10.9.9.9).",
            ],
            HostCode::PackagesUnreachable,
        );
        check(&["E: Unable to locate package nginxx"], HostCode::PackageUnknown);
        check(&["E: You don't have enough free space in /var/cache/apt/archives/."], HostCode::NoSpace);
        check(&["dpkg: error processing package x"], HostCode::ActFailed);
    }
}
