//! Services that are not started since the vault cannot give what they need: no exit of theirs, so no try is
//! used up. A task per service looks whether it has come: at once after every change of a credential, and
//! slowly by itself, for a file that appears or a disk that works again.

use super::{Engine, Input};
use crate::desk::Desk;
use haus_api::Problem;
use haus_model::service::Service;
use haus_model::{InstanceId, ServiceName};
use haus_store::{EventKind, NewEvent};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep};

/// How often it is asked whether any credential has changed: one number in memory.
const TICK: Duration = Duration::from_millis(200);

/// Without a change it is looked again after this time.
const AGAIN: Duration = Duration::from_secs(30);

/// What is missing for a start.
pub(crate) struct Missing {
    /// In words: `waits for credential key: it has no value yet`.
    why: String,
    /// The generation of the credentials before it was looked for.
    seen: u64,
}

impl Missing {
    /// A number that grows with every change of a credential.
    pub(super) fn generation(desk: &Desk) -> u64 {
        desk.registrar.generation().load(Ordering::SeqCst)
    }

    /// What this refusal of the vault means.
    pub(super) async fn of(desk: &Desk, service: &Service, refusal: Problem, seen: u64) -> Missing {
        let why = desk.vaulting.lack(desk, service).await;
        let why = why.unwrap_or_else(|| match refusal.hint {
            Some(hint) => format!("waits for its credentials: {}; {hint}", refusal.detail),
            None => format!("waits for its credentials: {}", refusal.detail),
        });
        Missing { why, seen }
    }
}

impl Engine {
    /// An instance is not started since something is missing.
    pub(super) fn lacks(&mut self, id: &InstanceId, run: u64, missing: Missing) {
        let now = self.clock.now();
        self.conductor.handle_lacking(now, id, run, &missing.why);
        self.look_for(&id.service, missing);
    }

    /// Prepare commands are not run since something is missing.
    pub(super) fn prepare_lacks(&mut self, name: &ServiceName, missing: Missing) {
        let why = format!("its prepare commands did not run: {}", missing.why);
        self.event(NewEvent::new(self.clock.wall(), EventKind::Spawn, name.to_string(), why));
        let now = self.clock.now();
        self.conductor.handle_prepare_lacking(now, name, &missing.why);
        self.look_for(name, missing);
    }

    /// What was missing is there, or something else is missing.
    pub(super) fn supplied(&mut self, name: &ServiceName, lack: Option<String>) {
        let now = self.clock.now();
        match lack {
            Some(why) => self.conductor.handle_still_lacking(now, name, &why),
            None => {
                self.lacking.remove(name);
                self.conductor.handle_supplied(now, name);
            }
        }
        self.stale = true;
    }

    fn look_for(&mut self, name: &ServiceName, missing: Missing) {
        let looking = look(Arc::clone(&self.desk), self.inputs.clone(), name.clone(), missing);
        let task = tokio::spawn(looking).abort_handle();
        // The later one knows better what it has seen.
        if let Some(former) = self.lacking.insert(name.clone(), task) {
            former.abort();
        }
    }
}

/// Looks until nothing is missing any more, or nobody in the plan misses it.
async fn look(desk: Arc<Desk>, inputs: UnboundedSender<Input>, name: ServiceName, missing: Missing) {
    let Missing { mut why, mut seen } = missing;
    let mut looked = Instant::now();
    loop {
        sleep(TICK).await;
        let generation = Missing::generation(&desk);
        if generation == seen && looked.elapsed() < AGAIN {
            continue;
        }
        (seen, looked) = (generation, Instant::now());
        let service = desk.house().services.get(&name).cloned();
        let lack = match &service {
            Some(service) => desk.vaulting.lack(&desk, service).await,
            None => None,
        };
        match lack {
            Some(lack) if lack == why => {}
            Some(lack) => {
                why.clone_from(&lack);
                // Nobody listens when the engine has ended first.
                let _ = inputs.send(Input::Supplied(name.clone(), Some(lack)));
            }
            None => {
                let _ = inputs.send(Input::Supplied(name, None));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, TestDesk};
    use haus_model::{Credential, CredentialKind, CredentialSource};
    use std::collections::BTreeMap;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use tokio::time::timeout;

    const DEADLINE: Duration = Duration::from_secs(60);

    /// A house whose service `web` needs credentials that only a person can give.
    async fn desk(names: &[&str]) -> (TestDesk, Service) {
        let mut web = fixture::service("web", 1);
        web.credentials =
            names.iter().map(|name| (name.to_uppercase(), name.parse().unwrap())).collect::<BTreeMap<_, _>>();
        let mut house = fixture::house(vec![web.clone()]);
        for name in names {
            let credential = Credential {
                name: name.parse().unwrap(),
                kind: CredentialKind::Custom,
                source: CredentialSource::Given,
                scope: vec![web.name.clone()],
                rotate_days: None,
                overlap: Duration::ZERO,
                ttl: None,
                rotator: None,
                reason: None,
            };
            house.credentials.insert(credential.name.clone(), credential);
        }
        let desk = TestDesk::of(house);
        let plan = desk.desk.plan.load_full();
        desk.desk.vaulting.sync_plan(&desk.desk, &plan.house, &plan.root).await.unwrap();
        (desk, web)
    }

    async fn give(desk: &TestDesk, name: &str) {
        let body = serde_json::json!({ "name": name, "value": "a value" });
        let made = desk.ask_as_admin("POST", "/api/credentials", Some(body)).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.text);
    }

    /// What the engine is told next, long before a slow look would tell it.
    async fn next(inputs: &mut UnboundedReceiver<Input>) -> Option<String> {
        let input = timeout(DEADLINE, inputs.recv()).await.expect("it is told").expect("somebody looks");
        let Input::Supplied(name, lack) = input else { panic!("something else is told") };
        assert_eq!(name.as_str(), "web");
        lack
    }

    #[tokio::test]
    async fn the_engine_hears_at_once_of_each_value_that_comes() {
        let (desk, web) = desk(&["first", "second"]).await;
        let id = InstanceId { service: web.name.clone(), ordinal: 1 };
        let seen = Missing::generation(&desk.desk);
        let refusal = desk.desk.vaulting.files_for(&desk.desk, &web, &id).await.unwrap_err();
        let missing = Missing::of(&desk.desk, &web, refusal, seen).await;
        let told = "waits for credential `first`: it has no value yet; give it one with `haus credential create first`";
        assert_eq!(missing.why, told);
        let (inputs, mut received) = unbounded_channel();
        let task = tokio::spawn(look(Arc::clone(&desk.desk), inputs, web.name.clone(), missing));
        give(&desk, "first").await;
        let lack = next(&mut received).await.unwrap();
        assert!(lack.starts_with("waits for credential `second`: it has no value yet"), "{lack}");
        give(&desk, "second").await;
        assert_eq!(next(&mut received).await, None);
        task.await.unwrap();
        assert_eq!(desk.desk.vaulting.lack(&desk.desk, &web).await, None);
        assert_eq!(desk.desk.vaulting.files_for(&desk.desk, &web, &id).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn looking_again_makes_no_entry() {
        let (desk, web) = desk(&["first"]).await;
        let before = desk.acts();
        for _ in 0..3 {
            assert!(desk.desk.vaulting.lack(&desk.desk, &web).await.is_some());
        }
        assert_eq!(desk.acts(), before);
    }

    #[tokio::test]
    async fn nobody_looks_for_a_service_that_left_the_plan() {
        let (desk, _) = desk(&["first"]).await;
        let (inputs, mut received) = unbounded_channel();
        let missing = Missing { why: "waits".to_owned(), seen: 0 };
        // Another generation than the one that was seen: it is looked at once.
        give(&desk, "first").await;
        let gone = "web".parse().unwrap();
        let plan = desk.desk.plan.load_full();
        let mut house = (*plan.house).clone();
        house.services.clear();
        desk.desk
            .plan
            .store(Arc::new(crate::desk::PlanInForce { house: Arc::new(house), root: plan.root.clone() }));
        look(Arc::clone(&desk.desk), inputs, gone, missing).await;
        assert_eq!(next(&mut received).await, None);
    }
}
