//! Folders, files, links, units of the user's own and TLS files, as the plan names them.
//! What stands in a file is `source`'s business.

use super::collect::{Collector, UnitWish, Wish, file_id};
use crate::names;
use haus_model::host::{Access, FileSource};
use haus_model::host_path::unit_path;
use haus_model::resource::{DirectorySpec, FileSpec, LinkSpec, ResourceId, Spec};
use std::path::{Path, PathBuf};

pub(crate) fn expand(collector: &mut Collector<'_>) {
    let settings = &collector.view.host.settings;
    for (path, directory) in &settings.directories {
        let why = collector.view.word(&format!("directories.{}", path.display()));
        let spec = DirectorySpec { path: path.clone(), access: directory.access.clone() };
        collector.add(Wish::new(Spec::Directory(spec), why));
    }
    for (path, file) in &settings.files {
        let why = collector.view.word(&format!("files.{}", path.display()));
        if let Some(content) = collector.content(&file.source, &why) {
            let spec = FileSpec {
                path: path.clone(),
                content,
                access: file.access.clone(),
                check: file.check.clone(),
            };
            let id = collector.add(Wish::new(Spec::File(spec), &why));
            collector.reactions(&file.then, &[id], &why);
        }
    }
    for (path, target) in &settings.links {
        let why = collector.view.word(&format!("links.{}", path.display()));
        let spec = LinkSpec { path: path.clone(), target: target.clone() };
        collector.add(Wish::new(Spec::Link(spec), why));
    }
    units(collector);
    tls(collector);
}

fn units(collector: &mut Collector<'_>) {
    for (name, unit) in &collector.view.host.settings.units {
        let why = collector.view.word(&format!("units.{name}"));
        if let Some(source) = &unit.source {
            // systemd's own check would refuse a unit whose program or other unit comes later in the same
            // apply: by a step, by a file whose name sorts behind, by another of these units.
            collector.text_file(&unit_path(name), source, Access::root(0o644), &why);
        }
        // A timer wakes the service of the same name, so it must find the file of it.
        let wakes = name.strip_suffix(".timer").or_else(|| name.strip_suffix(".socket"));
        let woken = wakes.map(|stem| file_id(&unit_path(&format!("{stem}.service"))));
        let wish = UnitWish {
            why,
            enabled: unit.enabled,
            running: unit.running,
            restart: true,
            needs: woken.into_iter().collect(),
            ..UnitWish::default()
        };
        collector.unit(name, wish);
    }
}

fn tls(collector: &mut Collector<'_>) {
    let base = names::house_config(&collector.view.house.name).join("tls");
    for (name, tls) in &collector.view.host.settings.tls {
        let why = collector.view.word(&format!("tls.{name}"));
        let folder = base.join(name);
        collector.own_folders(&folder, &why);
        let certificate = folder.join("certificate.pem");
        let certificate = collector.text_file(&certificate, &tls.certificate, Access::root(0o644), &why);
        let access = match &tls.group {
            Some(group) => Access { owner: "root".to_owned(), group: group.clone(), mode: 0o640 },
            None => Access::root(0o600),
        };
        let key = FileSource::Credential(tls.key.clone());
        let key = collector.text_file(&folder.join("key.pem"), &key, access, &why);
        let reads: Vec<ResourceId> = certificate.into_iter().chain(key).collect();
        collector.reactions(&tls.then, &reads, &why);
    }
}

impl Collector<'_> {
    /// A file with content from a source; none when the source is missing.
    pub(crate) fn text_file(
        &mut self,
        path: &Path,
        source: &FileSource,
        access: Access,
        why: &str,
    ) -> Option<ResourceId> {
        let content = self.content(source, why)?;
        let spec = FileSpec { path: path.to_owned(), content, access, check: None };
        Some(self.add(Wish::new(Spec::File(spec), why)))
    }

    /// This folder and those above it that are ours: below `/etc/haus`, `/srv` and `/usr/local/lib/haus`,
    /// passable for all.
    pub(crate) fn own_folders(&mut self, folder: &Path, why: &str) {
        const ROOTS: [&str; 2] = ["/srv", "/usr/local/lib"];
        let mut folders: Vec<PathBuf> = folder.ancestors().map(Path::to_owned).collect();
        folders.retain(|folder| {
            folder.starts_with(names::CONFIG_ROOT)
                || ROOTS.iter().any(|root| folder.starts_with(root) && folder != Path::new(root))
        });
        for path in folders.into_iter().rev() {
            let spec = DirectorySpec { path, access: Access::root(0o755) };
            self.add(Wish::new(Spec::Directory(spec), why));
        }
    }
}
