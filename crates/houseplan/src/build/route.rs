//! Routes of one host, with the host's variables filled in.

use super::deployment::code;
use crate::checks::{host_name, route_path};
use crate::draft::{HostDraft, RouteDraft, TargetDraft};
use crate::path::{within, within_or_absolute};
use crate::variable::Scope;
use haus_model::route::{HostRoutes, PathRoute, RouteTarget};
use std::path::Path;

/// The host's name in this stage, and its paths.
pub(super) fn build(scope: Scope<'_, '_>, host: &HostDraft<'_>) -> Option<(String, HostRoutes)> {
    let name = host_name(scope, host)?;
    let routes = host
        .routes
        .iter()
        .map(|route| Some((route_path(host, route).to_owned(), path_route(scope, route)?)))
        .collect::<Option<HostRoutes>>()?;
    Some((name, routes))
}

/// One path. Defaults that depend on the gateway stay open, the gateway knows them.
fn path_route(scope: Scope<'_, '_>, route: &RouteDraft<'_>) -> Option<PathRoute> {
    let target = match &route.target {
        TargetDraft::To(to) => {
            let (name, port) =
                to.text.split_once(':').map_or((to.text, None), |(name, port)| (name, Some(port)));
            if name == "haus" || scope.draft.service(name)?.is_coordinator() {
                RouteTarget::Coordinator
            } else {
                let port = port.map(str::parse).transpose().ok()?;
                RouteTarget::Service { service: name.parse().ok()?, port }
            }
        }
        TargetDraft::Files { root, of, fallback, immutable } => RouteTarget::Files {
            root: match of {
                Some(service) => {
                    let code = code(scope.draft, scope.stage, scope.draft.service(service.text)?)?;
                    let inside = within(Path::new(""), root.text)?;
                    if code == Path::new(".") { inside } else { code.join(inside) }
                }
                None => within_or_absolute(&scope.draft.folders[root.span.file as usize], root.text)?,
            },
            fallback: fallback.map(|file| file.text.to_owned()),
            immutable: immutable.map(|prefix| prefix.text.to_owned()),
        },
    };
    Some(PathRoute {
        target,
        strip: route.strip.map(|prefix| prefix.text.to_owned()),
        timeout: route.timeout,
        max_body_bytes: route.max_body_bytes,
        deny_headers: route.deny_headers.iter().map(|header| header.text.to_owned()).collect(),
        headers: route
            .headers
            .iter()
            .map(|(name, value)| (name.text.to_owned(), value.text.to_owned()))
            .collect(),
    })
}
