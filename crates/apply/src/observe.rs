//! Looking at many hosts at once: one session and one question each.

use crate::crowd;
use crate::outcome::Fault;
use crate::sessions::{Sessions, Target};
use crate::transport::Purpose;
use haus_model::HostName;
use haus_model::inventory::Inventory;
use haus_model::resource::Spec;
use std::collections::BTreeMap;

/// A host, and what is asked about it.
#[derive(Clone, Debug)]
pub struct Question {
    /// The host.
    pub target: Target,
    /// What is asked for, besides what its manifest lists.
    pub specs: Vec<Spec>,
}

/// Looks at all of them, so many at once. A host that does not answer does not keep the others.
pub fn observe_all(
    sessions: &dyn Sessions,
    questions: &[Question],
    at_once: usize,
) -> BTreeMap<HostName, Result<Inventory, Box<Fault>>> {
    let answers = crowd::each(questions, at_once, |question| {
        let Question { target, specs } = question;
        let seen = sessions.open(target, Purpose::Work).and_then(|mut host| host.observe(specs));
        seen.map_err(|error| Fault::of(&target.host, &error))
    });
    questions.iter().map(|question| question.target.host.clone()).zip(answers).collect()
}
