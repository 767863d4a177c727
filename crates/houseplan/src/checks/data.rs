//! Data folders: links that do not cross, and the remark that nothing backs them up yet.

use crate::code::Code;
use crate::draft::Draft;
use crate::fault::{Fault, Session, Subject};
use crate::path::{within, within_or_absolute};
use crate::source::Span;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Links are compared as paths in the plan's folder, because two services may share a working folder.
pub(super) fn check<'t>(session: &Session<'t>, draft: &Draft<'t>) {
    let mut owners: HashMap<PathBuf, (&str, Span)> = HashMap::new();
    for service in &draft.services {
        let subject = Subject::Service(service.name.text);
        if let Some(file) = service.folder
            && within_or_absolute(&draft.folders[file.span.file as usize], file.text).is_none()
        {
            session.report(crate::path::escape_fault(file, subject));
        }
        let Some(key) = service.data_key.filter(|_| !service.data.is_empty()) else { continue };
        let fault = Fault::new(Code::NoBackup, subject, key, "nothing backs this data up");
        session.report(
            fault
                .label("kept in one place only")
                .remedy("copy it yourself until `backups` come in release 0.7"),
        );
        let base = service.folder.map_or(PathBuf::from("."), |folder| {
            within_or_absolute(&draft.folders[folder.span.file as usize], folder.text).unwrap_or_default()
        });
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
