//! A host of the lab with the program on it.

use crate::talk::{Talk, changes};
use haus_model::change::Change;
use haus_model::inventory::{Inventory, State};
use haus_model::resource::Spec;
use haus_testkit::{ClaimedHost, Output, lab_hosts};
use std::path::PathBuf;
use std::process::Stdio;

const PROGRAM: &str = "/var/lib/haus-remote/bin/haus-remote-test";

/// A host that has the program.
pub(crate) struct Machine {
    /// The host.
    pub(crate) host: ClaimedHost,
}

/// The program as it is put on hosts when `./x remote` has built it; otherwise, and for tests that kill it,
/// as it was built for tests: hosts of the lab have the C library of this machine's release or a later one.
fn program(debug: bool) -> PathBuf {
    let shipped =
        std::env::var_os("HAUS_REMOTE_DIR").map(|folder| PathBuf::from(folder).join("haus-remote-x86_64"));
    let shipped = shipped.filter(|path| path.is_file() && !debug);
    shipped.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_haus-remote")))
}

impl Machine {
    /// A clean one, or none where this machine cannot carry a lab.
    pub(crate) fn claim(test: &str) -> Option<Machine> {
        Machine::with(test, false)
    }

    /// The same with a program that can be killed at a step.
    pub(crate) fn claim_mortal(test: &str) -> Option<Machine> {
        Machine::with(test, true)
    }

    fn with(test: &str, debug: bool) -> Option<Machine> {
        let host = lab_hosts(test, 1)?.pop().expect("one was asked for");
        let machine = Machine { host };
        machine.shell("mkdir -p -m 0700 /var/lib/haus-remote/bin");
        let file = std::fs::File::open(program(debug)).expect("is built");
        let mut cat = machine.host.exec_command().expect("is on");
        cat.args(["/bin/sh", "-c", &format!("cat >{PROGRAM} && chmod 0755 {PROGRAM}")])
            .stdin(Stdio::from(file));
        assert!(cat.status().expect("runs").success());
        Some(machine)
    }

    /// A line of shell that must end well; what it printed.
    pub(crate) fn shell(&self, line: &str) -> String {
        let output = self.try_shell(line);
        assert!(output.is_success(), "{line}: {output:?}");
        output.stdout.trim().to_owned()
    }

    /// A line of shell.
    pub(crate) fn try_shell(&self, line: &str) -> Output {
        self.host.exec_shell(line).expect("runs")
    }

    /// A session.
    pub(crate) fn talk(&self) -> Talk {
        let mut command = self.host.exec_command().expect("is on");
        Talk::start(command.args([PROGRAM, "serve"]))
    }

    /// A session that dies at a step.
    pub(crate) fn mortal_talk(&self, step: u32) -> Result<Talk, crate::talk::Fault> {
        let mut command = self.host.exec_command().expect("is on");
        command.arg(format!("HAUS_REMOTE_DIE_AT={step}")).args([PROGRAM, "serve"]);
        Talk::try_start(&mut command)
    }

    /// What is there of these.
    pub(crate) fn observe(&self, specs: &[Spec]) -> Inventory {
        self.talk().observe(specs).expect("observes")
    }

    /// Makes these true.
    pub(crate) fn make(&self, apply: &str, specs: &[Spec]) {
        let mut talk = self.talk();
        let is = talk.observe(specs).expect("observes");
        talk.apply(apply, changes(specs, &is, None)).unwrap_or_else(|fault| panic!("{fault:?}"));
    }
}

/// The state of one.
pub(crate) fn state_of(inventory: &Inventory, spec: &Spec) -> State {
    inventory.states.get(&spec.id()).cloned().expect("was asked for")
}

/// Guarded changes for these.
pub(crate) fn guarded(specs: &[Spec], is: &Inventory) -> Vec<Change> {
    changes(specs, is, None).into_iter().map(|change| Change { guarded: true, ..change }).collect()
}
