//! A host of the lab, as the executor knows it.

use haus_acts::wire::Claim;
use haus_apply::apply::{Options, Surroundings, WhenFailed, WhenStopped, apply};
use haus_apply::clock::{Cancel, SystemClock};
use haus_apply::observe::{Question, observe_all};
use haus_apply::outcome::{Event, HostOutcome};
use haus_apply::patience::Patience;
use haus_apply::programs::Programs;
use haus_apply::remote::Session;
use haus_apply::sessions::{Roads, Target};
use haus_apply::ssh::{Login, Ssh};
use haus_apply::supply::{BlobSource, SecretError, SecretSource};
use haus_apply::transport::{Purpose, RoadSettings};
use haus_model::change::{ActKind, Change, ChangeSet, HostPlan, Outcome as Foreseen, Undo};
use haus_model::host::{Access, Architecture, Connect, Elevation};
use haus_model::inventory::{Inventory, State};
use haus_model::resource::{Content, DirectorySpec, FileSpec, OnChange, SecretVersion, Spec, UnitSpec};
use haus_model::{Fingerprint, HostName, Secret};
use haus_testkit::{LabHost, Login as Account, remote_program};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::time::Duration;

/// How ssh gets there.
pub(crate) fn settings(host: &LabHost) -> RoadSettings {
    RoadSettings {
        ssh_config: Some(host.ssh_config()),
        connect: Duration::from_secs(5),
        ..RoadSettings::default()
    }
}

pub(crate) fn road(host: &LabHost, account: Account) -> Ssh {
    let login = Login { user: Some(account.account().to_owned()), host: host.name.clone(), port: None };
    Ssh::new(login, settings(host))
}

/// A program that greets and then takes what comes.
pub(crate) fn pretender() -> Session {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("program");
    let welcome = r#"{"welcome":{"version":1,"program":"script","machine":"x86_64","is_root":true}}"#;
    let length = u32::try_from(welcome.len() + 1).expect("short");
    let script = format!(
        "#!/bin/sh\nprintf '\\000haus-remote\\n\\000\\000\\000\\{length:03o}J%s' '{welcome}'\ncat > /dev/null\n"
    );
    std::fs::write(&path, script).expect("writes");
    let both = [Architecture::Amd64, Architecture::Arm64].map(|one| (one, path.as_path()));
    Session {
        programs: Programs::read(both).expect("reads"),
        elevation: Elevation::Auto,
        house: "sample".parse().expect("a name"),
        purpose: Purpose::Work,
        patience: Patience { ready: Duration::from_secs(15), ..Patience::default() },
    }
}

/// One host of the lab, the program of this tree, and what is wanted there.
pub(crate) struct World<'a> {
    pub(crate) host: &'a LabHost,
    pub(crate) name: HostName,
    pub(crate) roads: Roads,
    account: Account,
}

pub(crate) const BLOB: &[u8] = b"the bytes of a picture";
pub(crate) const VALUE: &str = "correct horse battery staple";

impl World<'_> {
    pub(crate) fn new(host: &LabHost, account: Account) -> World<'_> {
        let program = remote_program();
        let one = Architecture::from_machine(std::env::consts::ARCH).expect("there is a program");
        let roads = Roads {
            house: "sample".parse().expect("a name"),
            programs: Programs::read([(one, program.as_path())]).expect("reads"),
            settings: settings(host),
            patience: Patience { pause: Duration::from_millis(500), ..Patience::default() },
            accepted_keys: BTreeSet::new(),
        };
        World { host, name: host.name.parse().expect("a name"), roads, account }
    }

    pub(crate) fn target(&self) -> Target {
        let connect = Connect::Ssh {
            user: Some(self.account.account().to_owned()),
            host: self.host.name.clone(),
            port: None,
        };
        Target { host: self.name.clone(), connect, elevation: Elevation::Auto }
    }

    pub(crate) fn observe(&self, wanted: &[Wanted]) -> Inventory {
        let specs = wanted.iter().map(|wanted| wanted.spec.clone()).collect();
        let seen = observe_all(&self.roads, &[Question { target: self.target(), specs }], 1);
        seen.into_values().next().expect("one host").unwrap_or_else(|fault| panic!("{fault:?}"))
    }

    /// What is not there yet, in order. A planner without any wisdom.
    pub(crate) fn plan(&self, wanted: &[Wanted]) -> ChangeSet {
        let seen = self.observe(wanted);
        let Target { connect, elevation, .. } = self.target();
        let open = wanted.iter().filter(|wanted| !is_so(&wanted.spec, &seen.states[&wanted.spec.id()]));
        let changes = open.zip(1..).map(|(wanted, number)| wanted.change(number, &seen)).collect();
        let mut plan = HostPlan {
            connect,
            elevation,
            observed: Fingerprint::of(b""),
            changes,
            unchanged: 0,
            blocked: Vec::new(),
            notes: Vec::new(),
            ports: BTreeMap::new(),
            needs: BTreeSet::new(),
        };
        plan.observed = plan.fingerprint_in(&seen.states);
        ChangeSet {
            format: 1,
            house: self.roads.house.clone(),
            stage: "production".parse().expect("a name"),
            hosts: BTreeMap::from([(self.name.clone(), plan)]),
            waves: vec![vec![self.name.clone()]],
            hash: Fingerprint::of(b"plan"),
        }
    }

    pub(crate) fn apply(
        &self,
        changes: &ChangeSet,
        options: &Options,
        events: &(dyn Fn(&Event) + Sync),
    ) -> HostOutcome {
        let around = Surroundings {
            sessions: &self.roads,
            secrets: &Supply,
            blobs: &Supply,
            clock: &SystemClock::default(),
            cancel: &Cancel::default(),
            events: &|_, event| events(&event),
        };
        apply(changes, options, around).remove(&self.name).expect("one host, one outcome")
    }

    pub(crate) fn shell(&self, line: &str) -> String {
        let output = self.host.exec_shell(line).expect("runs");
        assert!(output.is_success(), "{line}: {output:?}");
        output.stdout.trim().to_owned()
    }

    /// Whether a line of shell on the host ends with 0.
    pub(crate) fn holds(&self, line: &str) -> bool {
        self.host.exec_shell(line).expect("runs").is_success()
    }
}

pub(crate) fn options(apply: &str) -> Options {
    Options {
        apply: apply.to_owned(),
        claim: Claim { owner: "anna@desk".to_owned(), reason: Some("a test".to_owned()) },
        at_once: 20,
        hosts: None,
        guard_s: 30,
        when_stopped: WhenStopped::TakeBack,
        when_failed: WhenFailed::GoOn,
        patience: Patience { pause: Duration::from_millis(500), ..Patience::default() },
    }
}

/// What must be true, and whether a mistake in it locks us out.
pub(crate) struct Wanted {
    pub(crate) spec: Spec,
    pub(crate) guarded: bool,
}

impl Wanted {
    fn change(&self, number: u32, seen: &Inventory) -> Change {
        let before = seen.states[&self.spec.id()].clone();
        Change {
            number,
            resource: self.spec.id(),
            act: if before == State::Absent { ActKind::Create } else { ActKind::Update },
            spec: self.spec.clone(),
            before,
            service: None,
            why: "the test wants it".to_owned(),
            diff: Vec::new(),
            operations: Vec::new(),
            outcome: Foreseen::Known,
            undo: Undo::Exact,
            guarded: self.guarded,
        }
    }
}

pub(crate) fn folder(path: &str) -> Spec {
    Spec::Directory(DirectorySpec { path: path.into(), access: Access::root(0o755) })
}

pub(crate) fn file(path: &str, content: Content, mode: u32) -> Spec {
    Spec::File(FileSpec { path: path.into(), content, access: Access::root(mode), check: None })
}

pub(crate) fn text(path: &str, text: &str) -> Spec {
    file(path, Content::Text(text.to_owned()), 0o644)
}

pub(crate) fn unit(name: &str, enabled: bool, inputs: &str) -> Spec {
    Spec::Unit(UnitSpec {
        name: name.to_owned(),
        enabled: Some(enabled),
        running: Some(true),
        on_change: OnChange::Restart,
        in_effect: None,
        inputs: Fingerprint::of(inputs.as_bytes()),
    })
}

/// Whether it is as it should be, for the kinds that these tests use.
fn is_so(spec: &Spec, state: &State) -> bool {
    match (spec, state) {
        (Spec::Directory(spec), State::Directory { access, .. }) => spec.access == *access,
        (Spec::File(spec), State::File { hash, access, secret, .. }) => {
            let same = match &spec.content {
                Content::Secret(version) => secret.as_ref() == Some(version),
                Content::Text(_) | Content::Blob { .. } => *hash == Some(spec.content.fingerprint()),
            };
            same && spec.access == *access
        }
        (Spec::Link(spec), State::Link(target)) => spec.target == *target,
        (Spec::Group(_), State::Group { .. }) | (Spec::User(_), State::User { .. }) => true,
        (Spec::Unit(spec), State::Unit { active, inputs, .. }) => {
            active == "active" && *inputs == Some(spec.inputs)
        }
        (Spec::Health(spec), State::Health { proven }) => *proven == Some(spec.inputs),
        _ => false,
    }
}

struct Supply;

impl SecretSource for Supply {
    fn value(&self, _of: &SecretVersion) -> Result<Secret, SecretError> {
        Ok(Secret::from(VALUE.to_owned()))
    }
}

impl BlobSource for Supply {
    fn open(&self, _hash: &Fingerprint) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(BLOB))
    }
}
