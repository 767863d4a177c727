//! A service that systemd runs: account, folders, configuration, credentials, release, what runs before the
//! first start. Its units and proofs are made in `service_units`.

use super::View;
use super::collect::{Collector, Wish, file_id, nothing_read};
use super::service_units::{self, Ready};
use super::source;
use super::variables::InstanceVariables;
use crate::names::{self, Names};
use haus_model::Fingerprint;
use haus_model::deployment::Deployment;
use haus_model::host::Access;
use haus_model::resource::{
    CommandSpec, Content, DirectorySpec, FileSpec, GroupSpec, LinkSpec, ReleaseSpec, ResourceId, Spec,
    SwitchSpec, UserSpec,
};
use haus_model::service::{NewCredential, Service};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One service on one host.
pub(crate) struct Place<'a> {
    pub view: View<'a>,
    pub service: &'a Service,
    pub deployment: &'a Deployment,
    pub names: Names<'a>,
    pub account: String,
    /// The word of the plan.
    pub why: String,
}

impl<'a> Place<'a> {
    pub(crate) fn new(view: View<'a>, service: &'a Service, deployment: &'a Deployment) -> Place<'a> {
        let names = Names::new(view.house, service);
        let why = format!("services.{}", service.name);
        Place { view, service, deployment, names, account: names.account(), why }
    }

    pub(crate) fn variables(&self, ordinal: u32) -> InstanceVariables<'a> {
        let own_credentials = match self.service.new_credential {
            NewCredential::Restart => false,
            // systemd's copies are made at the start; who reads a new value while it runs needs the file
            // itself.
            NewCredential::Signal(_) | NewCredential::Reread => true,
        };
        InstanceVariables { view: self.view, service: self.service, ordinal, own_credentials }
    }

    pub(crate) fn instances(&self) -> std::ops::RangeInclusive<u32> {
        1..=self.service.instances.max(1)
    }

    pub(crate) fn wish(&self, spec: Spec, word: &str) -> Wish {
        let why = if word.is_empty() { self.why.clone() } else { format!("{}.{word}", self.why) };
        Wish::new(spec, why).service(&self.service.name)
    }

    fn owned(&self, mode: u32) -> Access {
        Access { owner: self.account.clone(), group: self.account.clone(), mode }
    }

    fn readable(&self, mode: u32) -> Access {
        Access { owner: "root".to_owned(), group: self.account.clone(), mode }
    }
}

pub(crate) fn expand(collector: &mut Collector<'_>, service: &Service, steps: &BTreeSet<ResourceId>) {
    let Some(deployment) = &service.deployment else { return };
    let place = Place::new(collector.view, service, deployment);
    account(collector, &place);
    let mut ready = Ready { needs: steps.clone(), ..Ready::default() };
    folders(collector, &place, &mut ready);
    configuration(collector, &place, &mut ready);
    credentials(collector, &place, &mut ready);
    release(collector, &place, &mut ready);
    prepare(collector, &place, &mut ready);
    service_units::expand(collector, &place, &ready);
}

fn account(collector: &mut Collector<'_>, place: &Place<'_>) {
    // A named account is the host's or a package's.
    if place.service.user.is_some() {
        return;
    }
    let group = GroupSpec { name: place.account.clone(), system: true };
    collector.add(place.wish(Spec::Group(group), ""));
    let user = UserSpec {
        name: place.account.clone(),
        uid: None,
        system: true,
        group: place.account.clone(),
        groups: BTreeSet::new(),
        leaves: BTreeSet::new(),
        home: place.names.data(1),
        make_home: false,
        shell: "/usr/sbin/nologin".into(),
    };
    collector.add(place.wish(Spec::User(user), ""));
}

fn folders(collector: &mut Collector<'_>, place: &Place<'_>, ready: &mut Ready) {
    collector.own_folders(&place.names.root(), &place.why);
    for ordinal in place.instances() {
        let data = place.names.data(ordinal);
        let below = place.service.data.iter().map(|name| data.join(name));
        for path in std::iter::once(data.clone()).chain(below) {
            let spec = DirectorySpec { path, access: place.owned(0o750) };
            ready.needs.insert(collector.add(place.wish(Spec::Directory(spec), "data")));
        }
    }
}

fn configuration(collector: &mut Collector<'_>, place: &Place<'_>, ready: &mut Ready) {
    let Some(config) = &place.service.config else { return };
    collector.own_folders(&place.names.config_folder(), &place.why);
    for ordinal in place.instances() {
        let filled = match place.variables(ordinal).fill_json(config) {
            Ok(filled) => filled,
            Err(variable) => {
                collector.no_value(&variable.to_string(), &format!("{}.config", place.why));
                continue;
            }
        };
        let mut text = serde_json::to_string_pretty(&filled).expect("plan values are plain JSON");
        text.push('\n');
        let spec = FileSpec {
            path: place.names.config(ordinal),
            content: Content::Text(text),
            access: place.readable(0o640),
            check: None,
        };
        let id = collector.add(place.wish(Spec::File(spec), "config"));
        ready.read_by(ordinal).insert(id);
    }
}

fn credentials(collector: &mut Collector<'_>, place: &Place<'_>, ready: &mut Ready) {
    if place.service.credentials.is_empty() {
        return;
    }
    let why = format!("{}.credentials", place.why);
    let folder = place.names.credentials();
    let own = place.variables(1).own_credentials;
    let (of_folder, of_file) = if own {
        (place.readable(0o750), place.readable(0o640))
    } else {
        (Access::root(0o700), Access::root(0o600))
    };
    let all = names::house_config(place.names.house).join("credentials");
    collector.own_folders(all.parent().unwrap_or(Path::new("/")), &why);
    // Passable, so that a service reaches its own; what is in there is told to nobody.
    let spec = DirectorySpec { path: all, access: Access::root(0o711) };
    collector.add(Wish::new(Spec::Directory(spec), &why));
    let spec = DirectorySpec { path: folder.clone(), access: of_folder };
    collector.add(place.wish(Spec::Directory(spec), "credentials"));
    for (name, credential) in &place.service.credentials {
        let Some(secret) = collector.secret(credential, &format!("{why}.{name}")) else { continue };
        ready.versions.insert(name.clone(), secret.clone());
        let spec = FileSpec {
            path: folder.join(name),
            content: Content::Secret(secret),
            access: of_file.clone(),
            check: None,
        };
        let id = collector.add(place.wish(Spec::File(spec), &format!("credentials.{name}")));
        if own {
            ready.needs.insert(id)
        } else {
            ready.reads.insert(id)
        };
    }
}

fn release(collector: &mut Collector<'_>, place: &Place<'_>, ready: &mut Ready) {
    let root = place.names.root();
    let Some(source) = &place.deployment.source else {
        let folder = place.names.folder();
        for (link, name) in &place.service.links {
            let spec = LinkSpec { path: folder.join(link), target: place.names.data(1).join(name) };
            ready.needs.insert(collector.add(place.wish(Spec::Link(spec), "data")));
        }
        return;
    };
    let why = format!("{}.source", place.why);
    let Some(source) = collector.code(&place.service.name, source, &why) else { return };
    let is_git = matches!(source, haus_model::resource::ReleaseSource::Git { .. });
    let build = collector.build(place.deployment, &format!("{}.build", place.why));
    let spec = ReleaseSpec {
        root: root.clone(),
        source,
        links: source::release_links(&place.names),
        user: place.account.clone(),
        build,
    };
    let needs_packages = is_git || !spec.build.is_empty();
    let mut wish = place.wish(Spec::Release(spec), "source");
    if needs_packages {
        // Compilers and the like stand in the host's own list, so a build waits for all of it.
        wish.needs.insert(super::collect::packages_id());
    }
    collector.add(wish);
    let spec = SwitchSpec { root, release: None, keep: place.deployment.keep };
    let switch = collector.add(place.wish(Spec::Switch(spec), "source"));
    ready.reads.insert(switch);
}

/// Commands before the first start. They run once for what stands in the plan, not again with every release.
fn prepare(collector: &mut Collector<'_>, place: &Place<'_>, ready: &mut Ready) {
    let variables = place.variables(1);
    let mut last: Option<ResourceId> = None;
    for (step, words) in place.service.prepare.iter().enumerate() {
        let why = format!("{}.prepare", place.why);
        let filled: Result<Vec<String>, _> = words.iter().map(|word| variables.fill(word)).collect();
        let run = match filled {
            Ok(run) => run,
            Err(variable) => {
                collector.no_value(&variable.to_string(), &why);
                continue;
            }
        };
        let environment = match service_units::environment(&variables) {
            Ok(environment) => environment,
            Err(variable) => {
                collector.no_value(&variable.to_string(), &why);
                continue;
            }
        };
        let run = with_environment(place, run, &environment);
        let inputs = Fingerprint::of_parts(run.iter().map(String::as_bytes));
        let spec = CommandSpec {
            name: format!("{}-prepare-{}", place.service.name, step + 1),
            run,
            unless: None,
            user: place.account.clone(),
            folder: place.names.folder(),
            credentials: ready.versions.clone(),
            inputs,
        };
        let needs = ready.needs.iter().chain(&ready.reads).cloned();
        let mut wish = place.wish(Spec::Command(spec), "prepare").needs(needs).needs(last.take());
        wish.needs.insert(file_id(&place.names.config(1)));
        last = Some(collector.add(wish));
    }
    ready.needs.extend(last);
}

/// A command gets the same environment as the service. Its credentials lie where whoever runs it says, so
/// their paths are put together there, by a shell that replaces itself.
fn with_environment(
    place: &Place<'_>,
    run: Vec<String>,
    environment: &BTreeMap<String, String>,
) -> Vec<String> {
    let path = service_units::search_path(place);
    let mut words: Vec<String> = vec!["env".to_owned(), format!("PATH={path}")];
    words.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
    if !place.service.credentials.is_empty() {
        let files = place.service.credentials.keys();
        let exports = files.map(|name| format!("export {name}_FILE=\"$CREDENTIALS_DIRECTORY/{name}\"; "));
        let script = format!("{}exec \"$@\"", exports.collect::<String>());
        words.extend(["sh".to_owned(), "-c".to_owned(), script, "prepare".to_owned()]);
    }
    words.extend(run);
    words
}

/// The inputs of something that depends on nothing but these words.
pub(crate) fn of_words(words: &[String]) -> Fingerprint {
    if words.is_empty() { nothing_read() } else { Fingerprint::of_parts(words.iter().map(String::as_bytes)) }
}
