//! The commands that reach hosts: `plan`, `apply`, `drift`, `rollback`, `history`. This file owns what they
//! share: which house and hosts are meant, the roads, the programs, what a plan is made from.

mod apply;
mod apply_id;
mod applying;
mod drift;
mod history;
mod outcomes;
mod page;
mod plan;
mod programs;
mod rollback;
mod secrets;

pub(super) use apply::cmd_apply;
pub(super) use drift::cmd_drift;
pub(super) use history::cmd_history;
pub(super) use plan::cmd_plan;
pub(super) use rollback::cmd_rollback;

use super::up;
use crate::arguments::Reach;
use crate::exit::{FAILED, FINDINGS, Failure, WRONG_USE};
use crate::terminal;
use haus_apply::patience::Patience;
use haus_apply::sessions::{Roads, Target};
use haus_apply::transport::RoadSettings;
use haus_fleet::{Choice, Fleet, Inventories, Planned, Supplies};
use haus_houseplan::DiskFiles;
use haus_model::{HostName, House, Severity, Timestamp};
use haus_planner::{Inputs, Only, PlanSettings};
use secrets::Secrets;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A house whose hosts are meant.
struct Meant {
    /// The house at its stage.
    house: House,
    /// The folder of its plan file, absolute.
    root: PathBuf,
    /// The chosen hosts; none means all.
    hosts: Option<BTreeSet<HostName>>,
}

impl Meant {
    /// Loads the plan and finds the chosen stage and hosts.
    fn load(path: &Path, reach: &Reach) -> Result<Meant, Failure> {
        let loaded = haus_houseplan::load(path, &DiskFiles);
        let Some(plan) = &loaded.plan else {
            up::show(&loaded, Severity::Error);
            let errors = super::check::plural(loaded.count(Severity::Error), "error");
            let code = if loaded.sources.is_empty() { WRONG_USE } else { FINDINGS };
            return Err(Failure::new(code, format!("the plan has {errors}, so no host was reached"))
                .hint(format!("mend them and see `haus check {}`", path.display())));
        };
        let house = up::stage(plan, reach.stage.as_deref())?.clone();
        if house.hosts.is_empty() {
            return Err(Failure::new(
                WRONG_USE,
                format!("house {} has no hosts at stage {}", house.name, house.stage),
            )
            .hint("name machines under `hosts:`; `haus up` runs a house on the machine in front of you"));
        }
        let hosts = chosen(&house, &reach.hosts)?;
        Ok(Meant { house, root: plan_folder(path)?, hosts })
    }

    fn choice(&self, reach: &Reach) -> Choice {
        Choice { hosts: self.hosts.clone(), at_once: reach.parallel.max(1) }
    }

    fn targets(&self) -> Vec<Target> {
        let is_chosen = |name: &&HostName| self.hosts.as_ref().is_none_or(|hosts| hosts.contains(*name));
        let target = |name: &HostName| {
            let host = self.house.hosts.get(name)?;
            Some(Target { host: name.clone(), connect: host.connect.clone(), elevation: host.elevation })
        };
        self.house.hosts.keys().filter(is_chosen).filter_map(target).collect()
    }
}

/// The hosts that were named, each of which must be in the plan.
fn chosen(house: &House, named: &[String]) -> Result<Option<BTreeSet<HostName>>, Failure> {
    if named.is_empty() {
        return Ok(None);
    }
    let known = || house.hosts.keys().map(HostName::as_str).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        house.hosts.keys().find(|host| host.as_str() == name).cloned().ok_or_else(|| {
            Failure::new(WRONG_USE, format!("house {} has no host `{name}`", house.name))
                .hint(format!("its hosts are: {}", known()))
        })
    };
    named.iter().map(find).collect::<Result<BTreeSet<_>, _>>().map(Some)
}

fn plan_folder(path: &Path) -> Result<PathBuf, Failure> {
    let folder = if path.is_file() { path.parent().unwrap_or(Path::new(".")) } else { path };
    std::path::absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }).map_err(
        |error| {
            Failure::new(WRONG_USE, format!("cannot tell where {} is: {error}", path.display()))
                .hint("name the folder by its whole path")
        },
    )
}

/// The roads to the hosts of a house.
fn roads(house: &House, reach: &Reach) -> Result<Roads, Failure> {
    if let Some(file) = &reach.ssh_config
        && !file.is_file()
    {
        return Err(Failure::new(WRONG_USE, format!("there is no file {}", file.display()))
            .hint("name the configuration that ssh shall read, or leave --ssh-config out"));
    }
    Ok(Roads {
        house: house.name.clone(),
        programs: programs::remote()?,
        settings: RoadSettings { ssh_config: reach.ssh_config.clone(), ..RoadSettings::default() },
        patience: Patience::default(),
        accepted_keys: reach.accept_host_key.iter().cloned().collect(),
    })
}

/// What a plan is made from: files of the house, our programs, versions of credentials.
fn supplies(meant: &Meant, secrets: &Secrets) -> Result<(Supplies, Inputs), Failure> {
    let programs = programs::own()?;
    let gathered = Supplies::gather(&meant.house, &meant.root, &programs);
    let (supplies, mut inputs) = gathered.map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(|fault| haus_model::error::chain(fault)).collect();
        let hint = faults.first().map(haus_fleet::SupplyError::remedy).unwrap_or_default();
        Failure::new(WRONG_USE, lines.join("\n       ")).hint(hint)
    })?;
    inputs.credentials = secrets.versions()?;
    Ok((supplies, inputs))
}

/// Looks at the hosts and plans. An apply that did not end is left alone: whoever wants to change something
/// settles it.
fn planned(
    meant: &Meant,
    reach: &Reach,
    roads: &Roads,
    inputs: Inputs,
    only: &[String],
) -> (Inventories, Planned) {
    let mut fleet = Fleet::new(&meant.house, inputs, roads, meant.choice(reach));
    let inventories = fleet.observe();
    let planned = fleet.plan(&inventories, &settings(only));
    (inventories, planned)
}

fn settings(only: &[String]) -> PlanSettings {
    PlanSettings { now: now(), hosts: None, only: only.iter().map(Only::new).collect() }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().after(since_epoch)
}

/// What a person is asked before hosts are changed.
struct Question<'a> {
    /// It, with its question mark.
    words: &'a str,
    /// What holds when the answer is no, such as "nothing was changed".
    otherwise: &'a str,
}

/// Asks a person; without one it is a refusal that says how to go on.
fn confirm(question: &Question<'_>, yes: bool) -> Result<(), Failure> {
    use std::io::{BufRead as _, IsTerminal as _};
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            crate::exit::REFUSED,
            format!("nobody is there to confirm it, so {}", question.otherwise),
        )
        .hint("give --yes, after you have read the plan"));
    }
    terminal::error(&format!("{} [y/N] ", question.words));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| {
        Failure::new(FAILED, format!("cannot read the answer: {error}")).hint("give --yes instead")
    })?;
    if matches!(answer.trim(), "y" | "Y" | "yes" | "j" | "ja") {
        Ok(())
    } else {
        let message = format!("not confirmed, so {}", question.otherwise);
        Err(Failure::new(crate::exit::REFUSED, message)
            .hint("run it again and answer `y`, or give --yes, when it is what you want"))
    }
}

/// Who acts, such as `anna@desk`: what others find in the lock of a host.
fn owner() -> String {
    let uid = rustix::process::getuid();
    let named =
        std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok().filter(|name| !name.is_empty());
    let numbered = || if uid.is_root() { "root".to_owned() } else { format!("uid {}", uid.as_raw()) };
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{}@{machine}", named.unwrap_or_else(numbered))
}
