//! Commands of the plan. Credentials are files in a folder in memory that is gone afterwards.

use super::{Job, Made};
use crate::account::Owned;
use crate::disk;
use crate::journal::note::{Also, Note};
use crate::machine::Machine;
use crate::refusal::Result;
use crate::run::{Order, run};
use haus_model::inventory::State;
use haus_model::resource::CommandSpec;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60 * 60);

/// Folders of credentials of commands that run; systemd's systems have it in memory.
pub(crate) fn credentials_root(machine: &Machine) -> PathBuf {
    machine.at(Path::new("/run/haus-remote"))
}

pub(super) fn note(job: &Job<'_>) -> Note {
    let nothing_to_do = matches!(job.before, State::Command { satisfied: Some(true), .. });
    let never = || Also::Never("what a command did is known only to whoever wrote it".to_owned());
    let also = if nothing_to_do { Also::Nothing } else { never() };
    Note { paths: Vec::new(), also }
}

pub(super) fn run_it(job: &mut Job<'_>, spec: &CommandSpec) -> Result<Made> {
    let inputs = Some(spec.inputs);
    if matches!(job.before, State::Command { satisfied: Some(true), .. }) {
        return Ok(Made { inputs, notes: vec!["nothing was to be done".to_owned()], ..Made::default() });
    }
    let account = job.accounts.expect_user(&spec.user)?;
    let folder = job.machine.at(&spec.folder);
    let mut env = BTreeMap::new();
    let credentials =
        Credentials::make(job, spec, Owned { uid: account.uid, gid: account.gid, mode: 0o700 })?;
    if let Some(credentials) = &credentials {
        env.insert("CREDENTIALS_DIRECTORY".to_owned(), credentials.folder.display().to_string());
    }
    let order = Order {
        account: Some(&account),
        folder: &folder,
        env,
        mark: job.layout.mark(),
        ends_with_us: true,
        ..Order::new(&spec.run, WITHIN)
    };
    let outcome = run(&order, job.sink).and_then(|ran| ran.expect_good(&order, "see the output"));
    drop(credentials);
    outcome?;
    Ok(Made { inputs, ..Made::default() })
}

/// Credentials of a command that runs. After a crash the next session removes them.
struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    fn make(job: &Job<'_>, spec: &CommandSpec, owned: Owned) -> Result<Option<Credentials>> {
        if spec.credentials.is_empty() {
            return Ok(None);
        }
        let root = credentials_root(job.machine);
        if !root.exists() {
            disk::make_folder(&root, disk::own(0o711))?;
        }
        let folder = root.join(format!("{}-{}", job.house, job.number));
        disk::remove_tree(&folder)?;
        disk::make_folder(&folder, owned)?;
        let made = Credentials { folder };
        for (name, version) in &spec.credentials {
            let path = made.folder.join(name);
            disk::write(&path, job.secret(version)?.expose_bytes(), Owned { mode: 0o400, ..owned })?;
        }
        Ok(Some(made))
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        let _ = disk::remove_tree(&self.folder);
    }
}
