//! Instances that announce themselves: entering, reporting, ageing and leaving, carried into the registry.
//!
//! Knows no request and no disk: whoever calls has kept what it enters, in the order in which it enters it.

use super::book::{Book, Probed, Standing};
use super::{COUNTED_FOR, Directory, LANES, Member, Row, with_said};
use crate::announcing::Said;
use crate::engine::Input;
use haus_model::health::{HealthState, ProbeOutcome};
use haus_model::{InstanceId, ServiceName, Timestamp};
use haus_watch::announced::{AnnouncedChange, NewInstance};
use haus_watch::registry::{ANNOUNCED_ORDINAL_FIRST, Entry};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// What a heartbeat says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Beat {
    /// How busy, 0 to 1.
    pub load: Option<f64>,
    /// How long its requests take.
    pub response_ms: Option<f64>,
}

/// How full the registry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    /// Instances that registered, of all services.
    pub all: usize,
    /// Those of one service.
    pub of_service: usize,
    /// Bytes of what those said of themselves.
    pub bytes: usize,
}

fn note_beat(book: &mut Book, id: &InstanceId, now: Timestamp, said: &Beat) {
    let Some(note) = book.note_mut(id) else { return };
    note.beat_at = Some(now);
    note.beats = note.beats.saturating_add(1);
    note.load = said.load;
    note.response_ms = said.response_ms.or(note.response_ms);
}

impl Directory {
    /// Requests that the gateway has under way, by the name of the instance; counted once in a while.
    pub(crate) fn in_flight(&self, gateway: &haus_gateway::Handle) -> Arc<HashMap<String, u64>> {
        let now = self.clock.now();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, counts)) = &*counted
            && now.since(*at) < COUNTED_FOR
        {
            return Arc::clone(counts);
        }
        let views = gateway.breakers().into_iter().filter(|view| view.in_flight > 0);
        let counts = Arc::new(views.map(|view| (view.instance, view.in_flight)).collect());
        *counted = Some((now, Arc::clone(&counts)));
        counts
    }

    /// Waits until nobody else changes this instance: what is on disk and what is here change in one order.
    pub(crate) async fn alone(
        &self,
        service: &ServiceName,
        instance: &str,
    ) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        (service.as_str(), instance).hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
        self.lanes[lane].lock().await
    }

    /// Instances that registered since this was asked last: whether and how they are probed may have changed.
    pub(crate) fn take_fresh(&self) -> Vec<(ServiceName, String)> {
        std::mem::take(&mut self.book().fresh)
    }

    /// The supervised instances that have this port, with the address that they listen on.
    pub(crate) fn supervised_at(&self, port: u16) -> Vec<(String, InstanceId)> {
        let book = self.book();
        let entries = book.supervised_at(port).map(Row::entry);
        entries.map(|entry| (entry.address.clone(), entry.id.clone())).collect()
    }

    /// The registration of one instance.
    pub(crate) fn member(&self, service: &ServiceName, instance: &str) -> Option<Member> {
        self.book().members.get(service)?.get(instance).cloned()
    }

    /// The names of the first two that have registered: enough to know whether there is only one.
    pub(crate) fn first_two(&self, service: &ServiceName) -> Vec<String> {
        self.book().members.get(service).into_iter().flat_map(BTreeMap::keys).take(2).cloned().collect()
    }

    /// How many have registered, and how much they said.
    pub(crate) fn filled(&self, service: &ServiceName) -> Filled {
        let book = self.book();
        Filled {
            all: book.members.values().map(BTreeMap::len).sum(),
            of_service: book.members.get(service).map_or(0, BTreeMap::len),
            bytes: book.bytes.get(service).copied().unwrap_or(0),
        }
    }

    /// Whoever has registered this very address.
    pub(crate) fn holder_of(
        &self,
        address: std::net::SocketAddr,
    ) -> Option<(ServiceName, String, HealthState)> {
        let book = self.book();
        let (service, instance) = book.held.get(&address)?;
        Some((service.clone(), instance.clone(), book.announced.state(service, instance)?))
    }

    /// A number for a new instance that no other of its service has.
    pub(crate) fn next_ordinal(&self, service: &ServiceName) -> u32 {
        let mut book = self.book();
        let next = book.ordinals.entry(service.clone()).or_insert(ANNOUNCED_ORDINAL_FIRST);
        let ordinal = *next;
        *next = next.saturating_add(1);
        ordinal
    }

    /// Enters an instance, or what it says anew: a sign of life, but for a new one that is to be probed.
    pub(crate) fn announce(
        &self,
        (service, instance): (&ServiceName, &str),
        member: Member,
        heartbeat: Duration,
    ) -> Vec<AnnouncedChange> {
        self.enter(
            (service, instance),
            member,
            |book, now, new| {
                if new.probed { book.announced.expect(now, new) } else { book.announced.put(now, new) }
            },
            heartbeat,
        )
    }

    /// Enters an instance that an earlier core knew: unknown until its next sign of life.
    pub(crate) fn restore(
        &self,
        (service, instance): (&ServiceName, &str),
        member: Member,
        heartbeat: Duration,
    ) -> Vec<AnnouncedChange> {
        self.enter((service, instance), member, |book, now, new| book.announced.restored(now, new), heartbeat)
    }

    fn enter(
        &self,
        (service, instance): (&ServiceName, &str),
        member: Member,
        how: impl FnOnce(&mut Book, Timestamp, NewInstance),
        heartbeat: Duration,
    ) -> Vec<AnnouncedChange> {
        let now = self.clock.now();
        let mut book = self.book();
        let next = book.ordinals.entry(service.clone()).or_insert(ANNOUNCED_ORDINAL_FIRST);
        *next = (*next).max(member.ordinal.saturating_add(1));
        let new = member.aging(service, instance, heartbeat);
        let (id, is_alive) = (member.id(service), member.run > 0);
        book.keep_member(service, instance, member);
        book.fresh.push((service.clone(), instance.to_owned()));
        how(&mut book, now, new);
        let changes = self.settle(&mut book, now, Some((service, instance)));
        if is_alive && let Some(note) = book.note_mut(&id) {
            note.beat_at = Some(now);
        }
        self.publish(book);
        self.rearm.notify_one();
        changes
    }

    /// Takes a heartbeat; none when nobody of this name has registered.
    pub(crate) fn beat(
        &self,
        service: &ServiceName,
        instance: &str,
        said: &Beat,
    ) -> Option<Vec<AnnouncedChange>> {
        let now = self.clock.now();
        let mut book = self.book();
        let id = book.members.get(service)?.get(instance)?.id(service);
        if !book.announced.heartbeat(now, service, instance, said.load) {
            return None;
        }
        let changes = self.settle(&mut book, now, None);
        note_beat(&mut book, &id, now, said);
        self.publish(book);
        Some(changes)
    }

    /// Takes what a probe found of an announced instance.
    pub(crate) fn probed(
        &self,
        service: &ServiceName,
        instance: &str,
        outcome: &ProbeOutcome,
    ) -> Vec<AnnouncedChange> {
        let now = self.clock.now();
        let mut book = self.book();
        let Some(member) = book.members.get(service).and_then(|of| of.get(instance)) else {
            return Vec::new();
        };
        let id = member.id(service);
        book.announced.probe(now, service, instance, outcome);
        let changes = self.settle(&mut book, now, None);
        let probed = Probed { at: now, evidence: outcome.evidence.clone(), took_ms: outcome.took_ms };
        if let Some(note) = book.note_mut(&id) {
            note.probed = Some(Arc::new(probed));
        }
        self.publish(book);
        changes
    }

    /// Takes an instance out because somebody asked for it.
    pub(crate) fn retract(&self, service: &ServiceName, instance: &str, why: &str) -> Vec<AnnouncedChange> {
        let now = self.clock.now();
        let mut book = self.book();
        book.announced.remove(now, service, instance, why);
        let changes = self.settle(&mut book, now, None);
        self.publish(book);
        changes
    }

    /// Lets everybody age.
    pub(crate) fn age(&self, now: Timestamp) -> Vec<AnnouncedChange> {
        let mut book = self.book();
        book.announced.handle_timeout(now);
        let changes = self.settle(&mut book, now, None);
        self.publish(book);
        changes
    }

    /// When somebody ages next.
    pub(crate) fn age_timeout(&self) -> Option<Timestamp> {
        self.book().announced.poll_timeout()
    }

    /// Notes what a supervised instance says of itself in this run.
    pub(crate) fn describe(&self, id: &InstanceId, said: Said) {
        let now = self.clock.now();
        let mut book = self.book();
        book.said.insert(id.clone(), said);
        if let Some(entry) = book.row(id).map(|row| row.entry().clone()) {
            let entry = with_said(&mut book, entry);
            book.put(now, entry);
        }
        self.publish(book);
    }

    /// What a supervised instance said of itself.
    pub(crate) fn described(&self, id: &InstanceId) -> Option<Said> {
        self.book().said.get(id).cloned()
    }

    /// Forgets what a supervised instance said of itself.
    pub(crate) fn forget_described(&self, id: &InstanceId) {
        let now = self.clock.now();
        let mut book = self.book();
        if book.said.remove(id).is_some()
            && let Some(row) = book.row(id)
        {
            let plain = Entry { version: None, metadata: BTreeMap::new(), weight: 1, ..row.entry().clone() };
            book.put(now, plain);
        }
        self.publish(book);
    }

    /// A heartbeat of a supervised instance; false when it is not in the registry.
    pub(crate) fn supervised_beat(&self, id: &InstanceId, said: &Beat) -> bool {
        let now = self.clock.now();
        let mut book = self.book();
        let is_there = book.row(id).is_some();
        note_beat(&mut book, id, now, said);
        is_there
    }

    /// Carries changes of announced instances into the registry. `also` is entered even when its state is the
    /// same.
    fn settle(
        &self,
        book: &mut Book,
        now: Timestamp,
        also: Option<(&ServiceName, &str)>,
    ) -> Vec<AnnouncedChange> {
        let mut changes = Vec::new();
        let mut touched: BTreeSet<(ServiceName, String)> =
            also.map(|(service, instance)| (service.clone(), instance.to_owned())).into_iter().collect();
        while let Some(change) = book.announced.poll_change() {
            touched.insert((change.service.clone(), change.instance.clone()));
            changes.push(change);
        }
        let mut is_news = false;
        for (service, instance) in &touched {
            is_news |= match book.announced.get(service, instance) {
                Some(view) => {
                    let member = book.members.get(service).and_then(|of| of.get(instance));
                    member.map(|member| member.entry(&view)).is_some_and(|entry| book.put(now, entry))
                }
                None => take_out(book, now, (service, instance), &changes),
            };
        }
        let services: BTreeSet<&ServiceName> = touched.iter().map(|(service, _)| service).collect();
        services.into_iter().for_each(|service| summarise(book, now, service));
        if is_news && !self.told.swap(true, Ordering::SeqCst) {
            // Nobody listens when the engine has ended.
            let _ = self.inputs.send(Input::Announced);
        }
        changes
    }
}

/// Takes an instance out of the registry that the machine has forgotten.
fn take_out(
    book: &mut Book,
    now: Timestamp,
    (service, instance): (&ServiceName, &str),
    changes: &[AnnouncedChange],
) -> bool {
    let Some(member) = book.drop_member(service, instance) else { return false };
    let is_it = |change: &&AnnouncedChange| change.service == *service && change.instance == instance;
    let why = changes.iter().rev().find(is_it).map_or("it was taken out", |change| change.why.as_str());
    book.remove(now, &member.id(service), why)
}

/// How a service stands whose instances all announced themselves.
fn summarise(book: &mut Book, now: Timestamp, service: &ServiceName) {
    let (tally, former) = (book.tally(service), book.outside.get(service).cloned());
    let (health, (healthy, all)) = (tally.health(), tally.healthy_of_all());
    if all == 0 {
        if let Some(former) = former {
            let left = "its last instance has left";
            book.note_turn(now, service, None, (former.health, HealthState::Unknown), left);
            book.outside.remove(service);
        }
        return;
    }
    let is_told_of_one = healthy < all || all == 1;
    let worst = is_told_of_one.then(|| book.worst_of(service)).flatten();
    let why = match worst {
        Some(row) if all == 1 => row.entry().why.clone(),
        Some(row) => format!("{healthy} of {all} are healthy; {}: {}", row.frame.name(), row.entry().why),
        None => format!("all {all} instances are healthy"),
    };
    let from = former.as_ref().map_or(HealthState::Unknown, |former| former.health);
    let since = former.filter(|former| former.health == health).map_or(now, |former| former.since);
    if !book.standings.contains_key(service) {
        book.note_turn(now, service, None, (from, health), &why);
    }
    let standing = Standing { phase: health.to_string(), health, since, why };
    book.outside.insert(service.clone(), Arc::new(standing));
}
