//! From nothing to applied resources on a real host, and back.

use super::world::{BLOB, VALUE, Wanted, World, file, folder, options, text, unit};
use crate::host_suite::{HostWorld, host_conformance};
use haus_apply::host::Host;
use haus_apply::outcome::{Event, HostOutcome};
use haus_apply::sessions::Sessions as _;
use haus_apply::transport::Purpose;
use haus_model::Fingerprint;
use haus_model::host::Access;
use haus_model::resource::{
    Content, GroupSpec, HealthQuestion, HealthSpec, LinkSpec, SecretVersion, Spec, UserSpec,
};
use haus_testkit::{Login, lab_hosts};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

fn health(unit: &str, inputs: &str) -> Spec {
    Spec::Health(HealthSpec {
        name: "web".to_owned(),
        question: HealthQuestion::Unit { name: unit.to_owned() },
        timeout_ms: 2000,
        within_ms: 5000,
        inputs: Fingerprint::of(inputs.as_bytes()),
    })
}

/// A small service with everything around it.
fn service(version: &str, exec: &str) -> Vec<Wanted> {
    let of = SecretVersion { credential: "door".parse().expect("a name"), version: 1 };
    let blob = Content::Blob { hash: Fingerprint::of(BLOB), bytes: BLOB.len() as u64 };
    let link = LinkSpec { path: "/srv/web/current".into(), target: "/srv/web/one".into() };
    let user = UserSpec {
        name: "web".to_owned(),
        uid: None,
        system: true,
        group: "web".to_owned(),
        groups: BTreeSet::new(),
        leaves: BTreeSet::new(),
        home: "/nonexistent".into(),
        make_home: false,
        shell: "/usr/sbin/nologin".into(),
    };
    let unit_file = format!(
        "# {version}\n[Service]\nUser=web\nExecStart={exec}\n[Install]\nWantedBy=multi-user.target\n"
    );
    let specs = [
        Spec::Group(GroupSpec { name: "web".to_owned(), system: true }),
        Spec::User(user),
        folder("/srv/web"),
        folder("/srv/web/one"),
        text("/srv/web/one/motd", &format!("hello from {version}\n")),
        file("/srv/web/one/picture", blob, 0o644),
        file("/srv/web/key", Content::Secret(of), 0o600),
        Spec::Link(link),
        text("/etc/systemd/system/web.service", &unit_file),
        unit("web.service", true, version),
        health("web.service", version),
    ];
    specs.into_iter().map(|spec| Wanted { spec, guarded: false }).collect()
}

#[test]
fn from_nothing_to_a_service_and_the_second_time_nothing() {
    let Some(hosts) = lab_hosts("from_nothing_to_a_service_and_the_second_time_nothing", 1) else { return };
    let world = World::new(&hosts[0], Login::Deploy);
    let wanted = service("1", "/bin/sleep infinity");
    let told = Mutex::new(Vec::new());
    let tell = |event: &Event| told.lock().expect("no panic").push(format!("{event:?}"));
    let outcome = world.apply(&world.plan(&wanted), &options("a-001"), &tell);
    assert_eq!(outcome, HostOutcome::Done { changes: 11 }, "{:#?}", told.lock());
    assert_eq!(world.shell("systemctl is-active web; stat -c '%U %a' /srv/web/key"), "active\nroot 600");
    assert_eq!(world.shell("cat /srv/web/key"), VALUE);
    let traces =
        world.shell("grep -rlF 'correct horse' /var/lib/haus-remote /run /var/log /etc 2>/dev/null || true");
    assert_eq!(traces, "", "a value lies where none may be");
    assert!(!told.lock().expect("no panic").join(" ").contains(VALUE));

    let again = world.apply(&world.plan(&wanted), &options("a-002"), &|_| {});
    assert_eq!(again, HostOutcome::Unchanged);

    world.shell("echo by hand > /srv/web/one/motd");
    let mended = world.apply(&world.plan(&wanted), &options("a-003"), &|_| {});
    assert_eq!(mended, HostOutcome::Done { changes: 1 });
}

#[test]
fn a_release_that_does_not_work_is_taken_back_as_a_whole() {
    let Some(hosts) = lab_hosts("a_release_that_does_not_work_is_taken_back_as_a_whole", 1) else { return };
    let world = World::new(&hosts[0], Login::Root);
    let good = service("1", "/bin/sleep infinity");
    assert!(world.apply(&world.plan(&good), &options("b-001"), &|_| {}).is_good());
    let look = "cat /srv/web/one/motd /etc/systemd/system/web.service; systemctl is-active web";
    let before = world.shell(look);
    let bad = service("2", "/bin/false");
    let outcome = world.apply(&world.plan(&bad), &options("b-002"), &|_| {});
    let HostOutcome::RolledBack { fault, left } = outcome else { panic!("{outcome:?}") };
    assert!(["HH0213", "HH0214"].contains(&fault.finding.code.as_str()), "{fault:?}");
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(world.shell(look), before);
    assert_eq!(world.apply(&world.plan(&good), &options("b-003"), &|_| {}), HostOutcome::Unchanged);
}

#[test]
fn what_somebody_changed_meanwhile_is_refused() {
    let Some(hosts) = lab_hosts("what_somebody_changed_meanwhile_is_refused", 1) else { return };
    let world = World::new(&hosts[0], Login::Root);
    let wanted = [Wanted { spec: text("/etc/motd", "ours\n"), guarded: false }];
    let plan = world.plan(&wanted);
    world.shell("echo theirs > /etc/motd");
    let outcome = world.apply(&plan, &options("c-001"), &|_| {});
    let HostOutcome::Refused(fault) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fault.finding.code, "HH0211");
    assert!(fault.finding.message.contains("file:/etc/motd changed"), "{fault:?}");
    assert_eq!(world.shell("cat /etc/motd"), "theirs");
}

impl HostWorld for World<'_> {
    fn open(&self) -> Box<dyn Host> {
        self.roads.open(&self.target(), Purpose::Proof).expect("opens")
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from("/srv/suite")
    }

    fn access(&self) -> Access {
        Access::root(0o600)
    }

    fn has_dead_man(&self) -> bool {
        true
    }

    fn files_with(&self, text: &str, except: &Path) -> Vec<String> {
        let line =
            format!("grep -rlF '{text}' /srv /var/lib/haus-remote /etc /run/systemd 2>/dev/null || true");
        let all = self.shell(&line);
        all.lines().filter(|path| Path::new(path) != except).map(str::to_owned).collect()
    }
}

#[test]
fn a_real_host_is_a_host() {
    let Some(hosts) = lab_hosts("a_real_host_is_a_host", 1) else { return };
    let world = World::new(&hosts[0], Login::Deploy);
    world.shell("mkdir -p /srv/suite");
    host_conformance(&world);
}
