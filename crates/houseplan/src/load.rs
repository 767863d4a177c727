//! From a path to a plan: runs every pass in order and decides whether there is a plan.
//!
//! Knows what the passes are for, not how they work; reads nothing itself.

use crate::build;
use crate::checks;
use crate::draft::{Stage, decode};
use crate::fault::{Session, into_findings, mark_secrets};
use crate::files::Files;
use crate::host_files;
use crate::include;
use crate::shape::{INCLUDED, PLAN};
use crate::source::{Source, Sources, Span};
use crate::walk::walk;
use haus_model::{Finding, House, Severity, StageName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The name of the plan file in a folder.
pub const PLAN_FILE: &str = "house.yaml";

/// What came of loading a plan.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The folder of the plan file; relative paths of the plan start here.
    pub root: PathBuf,
    /// Every file that was read, the plan file first.
    pub sources: Vec<Source>,
    /// Everything found, sorted by file and line.
    pub findings: Vec<Finding>,
    /// The plan; none when there is an error.
    pub plan: Option<Plan>,
}

/// A plan without errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The house as each stage sees it. Without `stages` there is one, `default`.
    pub stages: BTreeMap<StageName, House>,
}

impl Loaded {
    /// How many findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Reads a plan from its file, or from the folder that holds `house.yaml`, and checks all of it.
pub fn load(path: &Path, files: &dyn Files) -> Loaded {
    let (root, file) = locate(path, files);
    let sources = Sources::new();
    let (findings, stages, secrets) = check(&file, files, &sources);
    let mut sources = sources.into_sources();
    mark_secrets(&mut sources, &secrets);
    let has_error = findings.iter().any(|finding| finding.severity == Severity::Error);
    let plan = stages.filter(|_| !has_error).map(|stages| Plan { stages });
    Loaded { root, sources, findings, plan }
}

/// The plan's folder and file.
fn locate(path: &Path, files: &dyn Files) -> (PathBuf, PathBuf) {
    if files.is_folder(path) {
        return (path.to_owned(), path.join(PLAN_FILE));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    (folder, path.to_owned())
}

type Checked = (Vec<Finding>, Option<BTreeMap<StageName, House>>, Vec<Span>);

fn check(file: &Path, files: &dyn Files, sources: &Sources) -> Checked {
    let session = Session::new(sources);
    let read = include::read(&session, file, files);
    let documents = read.documents;
    for (at, document) in documents.iter().enumerate().filter(|(_, document)| !document.broken) {
        if let Some(tree) = &document.root {
            walk(&session, tree, if at == 0 { &PLAN } else { &INCLUDED }, document.partial);
        }
    }
    // With a file missing, half of all references would be reported although nothing is wrong with them.
    let incomplete = read.incomplete;
    let mut draft =
        decode(&session, documents.iter().filter_map(|document| document.root.as_ref()), read.folders);
    host_files::read(&session, files, file.parent().unwrap_or(Path::new("")), &mut draft);
    let stages = Stage::all(&draft);
    if !incomplete {
        checks::check(&session, &draft);
        for (at, stage) in stages.iter().enumerate() {
            session.enter_stage(Some(at));
            checks::check_stage(&session, &draft, stage);
        }
        session.enter_stage(None);
    }
    let (mut faults, secrets) = session.into_parts();
    if !incomplete {
        checks::accept(&mut faults, &draft);
    }
    let names: Vec<&str> = stages.iter().map(|stage| stage.name).collect();
    let findings = into_findings(faults, sources, &names);
    let sound = findings.iter().all(|finding| finding.severity != Severity::Error);
    let houses = if sound {
        stages
            .iter()
            .map(|stage| build::house(&draft, stage).map(|house| (house.stage.clone(), house)))
            .collect::<Option<BTreeMap<_, _>>>()
    } else {
        None
    };
    (findings, houses, secrets)
}
