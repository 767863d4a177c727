//! The road of `observe → plan → apply` for all hosts of a house. It joins what knows nothing of each other:
//! the planner, which decides, and the executor, which acts. It decides nothing itself.

use crate::supplies::Supplies;
use haus_acts::wire::{Claim, Recovered};
use haus_apply::apply::{Options, Surroundings};
use haus_apply::observe::{Question, observe_all};
use haus_apply::outcome::{Fault, HostOutcome};
use haus_apply::sessions::{Sessions, Target};
use haus_apply::supply::BlobSource;
use haus_apply::transport::Purpose;
use haus_model::change::ChangeSet;
use haus_model::inventory::{Inventory, OpenApply};
use haus_model::{Finding, Fingerprint, HostName, House};
use haus_planner::{Cause, Desired, Inputs, PlanSettings};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read};

/// What was found on every host that was asked.
pub type Inventories = BTreeMap<HostName, Result<Inventory, Finding>>;

/// The hosts of a house, with what their plan is made from.
pub struct Fleet<'a> {
    house: &'a House,
    inputs: Inputs,
    sessions: &'a dyn Sessions,
    chosen: Option<BTreeSet<HostName>>,
    at_once: usize,
}

/// A plan, and why each change is in it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plan.
    pub change_set: ChangeSet,
    /// By host and number of the change.
    pub causes: BTreeMap<HostName, BTreeMap<u32, Cause>>,
    /// Whether more shows only when this was applied.
    pub is_partial: bool,
}

/// Which hosts, and how many of them at once.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Only these; all when absent.
    pub hosts: Option<BTreeSet<HostName>>,
    /// How many are worked on at the same time.
    pub at_once: usize,
}

impl<'a> Fleet<'a> {
    /// The hosts of this house; `inputs` as [`Supplies::gather`] made them, with the versions of credentials.
    pub fn new(house: &'a House, inputs: Inputs, sessions: &'a dyn Sessions, choice: Choice) -> Fleet<'a> {
        Fleet { house, inputs, sessions, chosen: choice.hosts, at_once: choice.at_once }
    }

    /// Looks at all of them, one round trip each.
    pub fn observe(&self) -> Inventories {
        let desired = haus_planner::expand(self.house, &self.inputs);
        let questions = self.questions(&desired);
        let answers = observe_all(self.sessions, &questions, self.at_once);
        answers.into_iter().map(|(host, answer)| (host, answer.map_err(finding))).collect()
    }

    /// Brings hosts into order on which an apply did not end and nobody works any more. Answers what was done
    /// there; such hosts must be looked at again.
    ///
    /// `is_deserted` knows whether an apply that still lives on its host has lost who began it. Its act under
    /// way is waited for.
    pub fn recover(
        &self,
        inventories: &Inventories,
        claim: &Claim,
        is_deserted: &dyn Fn(&HostName, &OpenApply) -> bool,
    ) -> BTreeMap<HostName, Result<Recovered, Finding>> {
        let left = inventories.iter().filter_map(|(host, inventory)| {
            let open = inventory.as_ref().ok()?.open.as_ref()?;
            (!open.alive || is_deserted(host, open)).then_some((host, self.target(host)?, open.id.as_str()))
        });
        left.map(|(host, target, apply)| {
            let session = self.sessions.open(&target, Purpose::Work);
            let recovered = session.and_then(|mut session| session.recover(claim, Some(apply)));
            (host.clone(), recovered.map_err(|error| finding(Fault::of(host, &error))))
        })
        .collect()
    }

    /// Compares what is wanted with what was found.
    pub fn plan(&mut self, inventories: &Inventories, settings: &PlanSettings) -> Planned {
        self.inputs.learn(&self.house.name, inventories);
        let desired = haus_planner::expand(self.house, &self.inputs);
        let settings = PlanSettings { hosts: self.chosen.clone(), ..settings.clone() };
        let change_set = haus_planner::plan(&desired, inventories, &settings);
        let causes = haus_planner::causes(&change_set, inventories);
        let is_partial = haus_planner::is_partial(&change_set);
        Planned { change_set, causes, is_partial }
    }

    fn questions(&self, desired: &Desired) -> Vec<Question> {
        let is_chosen = |host: &&HostName| self.chosen.as_ref().is_none_or(|chosen| chosen.contains(*host));
        let question = |host: &HostName| {
            let specs =
                desired.hosts.get(host)?.resources.iter().map(|resource| resource.spec.clone()).collect();
            Some(Question { target: self.target(host)?, specs })
        };
        self.house.hosts.keys().filter(is_chosen).filter_map(question).collect()
    }

    /// How a host of this house is reached.
    pub fn target(&self, host: &HostName) -> Option<Target> {
        let found = self.house.hosts.get(host)?;
        Some(Target { host: host.clone(), connect: found.connect.clone(), elevation: found.elevation })
    }
}

/// Carries a plan out.
pub fn carry_out(
    change_set: &ChangeSet,
    options: &Options,
    around: Surroundings<'_>,
) -> BTreeMap<HostName, HostOutcome> {
    haus_apply::apply::apply(change_set, options, around)
}

fn finding(fault: Box<Fault>) -> Finding {
    fault.finding
}

impl BlobSource for Supplies {
    fn open(&self, hash: &Fingerprint) -> io::Result<Box<dyn Read>> {
        let bytes = Supplies::open(self, *hash).map_err(io::Error::other)?;
        Ok(Box::new(Cursor::new(bytes)))
    }
}
