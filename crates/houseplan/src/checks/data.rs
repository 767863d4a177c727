//! Data folders: links that do not cross, and the remark that nothing backs them up yet.

use crate::build::local_folder;
use crate::code::Code;
use crate::draft::{Draft, ServiceDraft, SourceDraft};
use crate::fault::{Fault, Session, Subject};
use crate::path::{within, within_or_absolute};
use crate::source::Span;
use crate::tree::Text;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Links are compared as paths in the plan's folder, because two services may share a working folder.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    let mut owners: HashMap<PathBuf, (&str, Span)> = HashMap::new();
    for service in &draft.services {
        let subject = Subject::Service(service.name.text);
        if let Some(file) = service.folder.filter(|file| leaves(draft, service, *file)) {
            session.report(crate::path::escape_fault(file, subject));
        }
        let Some(key) = service.data_key.filter(|_| !service.data.is_empty()) else { continue };
        let fault = Fault::new(Code::NoBackup, subject, key, "nothing backs this data up");
        session.report(
            fault
                .label("kept in one place only")
                .remedy("copy it yourself until `backups` come in release 0.7"),
        );
        // On hosts each service has a release of its own.
        let apart = !service.on().is_empty() && !draft.stages.iter().any(|stage| stage.without_hosts);
        let base = if apart {
            PathBuf::from(service.name.text)
        } else {
            local_folder(draft, service).unwrap_or_default()
        };
        let mut links: Vec<(PathBuf, Span)> = Vec::new();
        for link in service.data.iter().filter_map(|data| data.link) {
            let Some(path) = within(Path::new(""), link.text) else { continue };
            if service.instances > 1 {
                let message =
                    format!("`{}` cannot lead to the data of {} instances", link.text, service.instances);
                let fault = Fault::new(Code::LinkShared, subject, link.span, message);
                session.report(fault.label("one link").remedy(
                    "give a list of folders, `data: [NAME]`, and let the program use `${data.NAME}`",
                ));
            }
            if let Some((_, outer)) =
                links.iter().find(|(other, _)| path.starts_with(other) || other.starts_with(&path))
            {
                let message = format!("the link `{}` and another lie inside each other", link.text);
                let fault = Fault::new(Code::LinkInLink, subject, link.span, message);
                session.report(
                    fault.label("this link").related(*outer, "and this").remedy("link one of the two"),
                );
            }
            let whole = base.join(&path);
            if let Some((owner, first)) = owners.get(&whole)
                && *owner != service.name.text
            {
                let message = format!("`{}` is a data link of service {owner} too", whole.display());
                let fault = Fault::new(Code::LinkShared, subject, link.span, message);
                session.report(
                    fault
                        .label("one link")
                        .related(*first, "first here")
                        .remedy("give one of them another `in` folder"),
                );
            }
            owners.entry(whole).or_insert((service.name.text, link.span));
            links.push((path, link.span));
        }
    }
}

/// Whether a working folder is neither absolute nor inside what it is relative to.
fn leaves(draft: &Draft<'_>, service: &ServiceDraft<'_>, folder: Text<'_>) -> bool {
    let in_code = within_or_absolute(Path::new(""), folder.text).is_none();
    let deployment = service.deployment.as_ref();
    let on_hosts = !service.on().is_empty();
    let has_folder =
        deployment.is_some_and(|deployment| matches!(deployment.source, Some(SourceDraft::Folder(_))));
    let in_file = within_or_absolute(&draft.folders[folder.span.file as usize], folder.text).is_none();
    // With a folder of code it is relative to that everywhere; a git repository is only on hosts.
    if has_folder { in_code } else { in_file || (on_hosts && in_code) }
}
