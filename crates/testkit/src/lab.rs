//! Hosts of the lab for a test: brought up where they are missing, claimed for as long as the test has them,
//! and skipped out loud where this machine cannot carry a lab.

use crate::skip::{loud_skip, loud_skip_mandatory};
use haus_lab::{ClaimedHost, ClaimedIncusHost, Lab, LabPlan, Places};
use std::time::Duration;

/// Other tests may have the hosts for as long as a slow test may take.
const CLAIM_DEADLINE: Duration = Duration::from_secs(600);

/// So many clean hosts that nobody else works with. They stay up afterwards, for the next test and for
/// `./x lab ssh`; `./x lab down` takes them away.
///
/// # Panics
/// When the lab could be there and does not come up, and with `CI=true` also when it could not.
#[track_caller]
pub fn lab_hosts(test: &str, wanted: usize) -> Option<Vec<ClaimedHost>> {
    let lab = lab_with(test, wanted)?;
    Some(lab.claim(wanted, CLAIM_DEADLINE).unwrap_or_else(|error| panic!("hosts for {test}: {error}")))
}

/// The same without going back to the clean snapshot: for a test that restores one of its own.
///
/// # Panics
/// As [`lab_hosts`].
#[track_caller]
pub fn lab_hosts_as_they_are(test: &str, wanted: usize) -> Option<Vec<ClaimedHost>> {
    let lab = lab_with(test, wanted)?;
    let claimed = lab.claim_as_they_are(wanted, CLAIM_DEADLINE);
    Some(claimed.unwrap_or_else(|error| panic!("hosts for {test}: {error}")))
}

/// The host that Incus runs, clean and nobody else's. Incus is no part of every test machine: where it is
/// missing, the test skips out loud, also in CI.
///
/// # Panics
/// As [`lab_hosts`], for everything but Incus itself.
#[track_caller]
pub fn lab_incus_host(test: &str) -> Option<ClaimedIncusHost> {
    let lab = fit_lab(test)?;
    match lab.incus_up(&|_| {}) {
        Err(missing) if missing.is_missing_tool() => {
            loud_skip(test, &missing.to_string());
            None
        }
        outcome => {
            let claimed = outcome.and_then(|host| lab.claim_incus(host, CLAIM_DEADLINE));
            Some(claimed.unwrap_or_else(|error| panic!("the host of Incus for {test}: {error}")))
        }
    }
}

#[track_caller]
fn lab_with(test: &str, wanted: usize) -> Option<Lab> {
    let lab = fit_lab(test)?;
    let is_there = |host: &haus_lab::LabHost| host.is_on().is_ok_and(|on| on);
    let there = lab.hosts().unwrap_or_default();
    if there.iter().filter(|host| is_there(host)).count() < wanted {
        let brought = lab.up(LabPlan::of(wanted.max(there.len())), &|_| {});
        brought.unwrap_or_else(|error| panic!("the lab for {test}: {error}"));
    }
    Some(lab)
}

fn fit_lab(test: &str) -> Option<Lab> {
    let lab = Lab::new(Places::of_this_account());
    if let Err(missing) = lab.check_fitness() {
        loud_skip_mandatory(test, &missing.to_string());
        return None;
    }
    Some(lab)
}
