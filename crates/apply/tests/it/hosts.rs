//! Every kind of host through the one suite.

use crate::fake::FakeHouse;
use crate::host_suite::{HostWorld, host_conformance};
use haus_apply::host::Host;
use haus_apply::sessions::{Sessions as _, Target};
use haus_apply::transport::Purpose;
use haus_model::host::{Access, Connect, Elevation};
use std::path::{Path, PathBuf};

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
