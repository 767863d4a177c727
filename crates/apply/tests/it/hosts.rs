//! Every kind of host through the one suite.

use crate::fake::FakeHouse;
use crate::host_suite::{HostWorld, host_conformance};
use crate::private::Private;
use crate::sshd::Sshd;
use haus_apply::host::Host;
use haus_apply::patience::Patience;
use haus_apply::programs::Programs;
use haus_apply::remote::{RemoteHost, Session};
use haus_apply::sessions::{Sessions as _, Target};
use haus_apply::ssh::{Login, Ssh};
use haus_apply::transport::{Purpose, Transport};
use haus_model::host::{Access, Architecture, Connect, Elevation};
use haus_testkit::{is_root, loud_skip, remote_program};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct InMemory(FakeHouse);

impl HostWorld for InMemory {
    fn open(&self) -> Box<dyn Host> {
        let host = "web".parse().expect("a name");
        let target = Target { host, connect: Connect::Local, elevation: Elevation::Auto };
        self.0.open(&target, Purpose::Work).expect("opens")
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from("/srv/test")
    }

    fn access(&self) -> Access {
        Access::root(0o600)
    }

    fn has_dead_man(&self) -> bool {
        true
    }

    fn files_with(&self, text: &str, _except: &Path) -> Vec<String> {
        let machine = self.0.machine(&"web".parse().expect("a name"));
        let machine = machine.lock().expect("no panic");
        let kept = format!("{:?} {:?}", machine.states, machine.applies);
        if kept.contains(text) { vec!["the memory of the fake".to_owned()] } else { Vec::new() }
    }
}

#[test]
fn a_host_in_memory_is_a_host() {
    host_conformance(&InMemory(FakeHouse::default()));
}

/// The program of this tree, over a road that ends on this machine.
struct ThisMachine<'a> {
    transport: &'a dyn Transport,
    session: Session,
    folder: TempDir,
    /// What lies on the host besides the folder.
    kept: PathBuf,
}

impl ThisMachine<'_> {
    fn over<'a>(transport: &'a dyn Transport, house: &str, kept: PathBuf) -> ThisMachine<'a> {
        let (program, one) = (remote_program(), Architecture::from_machine(std::env::consts::ARCH));
        let one = one.expect("tests run where there is a program");
        let session = Session {
            programs: Programs::read([(one, program.as_path())]).expect("reads"),
            elevation: Elevation::None,
            house: house.parse().expect("a name"),
            purpose: Purpose::Work,
            patience: Patience::default(),
        };
        ThisMachine { transport, session, folder: tempfile::tempdir().expect("a folder"), kept }
    }
}

impl HostWorld for ThisMachine<'_> {
    fn open(&self) -> Box<dyn Host> {
        Box::new(RemoteHost::open(self.transport, &self.session).expect("opens"))
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn access(&self) -> Access {
        Access::root(0o600)
    }

    // There is no systemd of its own here; the lab has one.
    fn has_dead_man(&self) -> bool {
        false
    }

    fn files_with(&self, text: &str, except: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder(), self.kept.clone()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder).map(Iterator::flatten).into_iter().flatten();
            for entry in entries {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path != except {
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    let holds = bytes.windows(text.len()).any(|window| window == text.as_bytes());
                    found.extend(holds.then(|| path.display().to_string()));
                }
            }
        }
        found
    }
}

#[test]
fn the_program_of_this_tree_is_a_host() {
    if !is_root() {
        return loud_skip("the_program_of_this_tree_is_a_host", "files of root are made");
    }
    let private = Private::new();
    host_conformance(&ThisMachine::over(&private, "sample", private.path().join("haus-remote")));
}

#[test]
fn the_program_of_this_tree_over_ssh_is_a_host() {
    let test = "the_program_of_this_tree_over_ssh_is_a_host";
    if !is_root() {
        return loud_skip(test, "files of root are made");
    }
    let kept = tempfile::tempdir().expect("a folder");
    let Some(sshd) = Sshd::start_with(test, Some(kept.path())) else { return };
    let login = Login { user: None, host: "web".to_owned(), port: None };
    let road = Ssh::new(login, sshd.settings());
    host_conformance(&ThisMachine::over(&road, "sample", kept.path().join("haus-remote")));
}
