//! nginx sites: the file, the link that switches it on, a reload. The server's own configuration is not
//! touched.

use super::collect::{Collector, UnitWish, Wish};
use haus_model::host::Access;
use haus_model::resource::{FileSpec, LinkSpec, Spec};
use std::collections::BTreeSet;
use std::path::PathBuf;

pub(crate) fn expand(collector: &mut Collector<'_>) {
    let view = collector.view;
    for (name, site) in &view.host.settings.nginx {
        let why = view.word(&format!("nginx.{name}"));
        let packages = collector.package("nginx", &why);
        let mut reads = BTreeSet::new();
        if let Some(content) = collector.content(&site.source, &why) {
            let spec = FileSpec {
                path: PathBuf::from("/etc/nginx/sites-available").join(name),
                content,
                access: Access::root(0o644),
                check: Some(vec!["nginx".to_owned(), "-t".to_owned()]),
            };
            let file = collector.add(Wish::new(Spec::File(spec), &why).needs([packages.clone()]));
            // The link comes last: one that leads nowhere would keep nginx from starting after a crash in
            // between.
            let link = LinkSpec {
                path: PathBuf::from("/etc/nginx/sites-enabled").join(name),
                target: PathBuf::from("../sites-available").join(name),
            };
            let link = collector.add(Wish::new(Spec::Link(link), &why).needs([file.clone()]));
            reads.extend([file, link]);
        }
        let wish = UnitWish {
            why,
            enabled: Some(true),
            running: Some(true),
            reads,
            needs: BTreeSet::from([packages]),
            ..UnitWish::default()
        };
        collector.unit("nginx.service", wish);
    }
}
