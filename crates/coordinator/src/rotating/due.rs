//! What the dates of credentials ask for: rotations that begin by themselves, warnings, ends.

use super::{alert_name, planned};
use crate::alarms::{self, ROTATION_DUE};
use crate::api::Caller;
use crate::desk::Desk;
use crate::vaulting::subject;
use haus_api::Problem;
use haus_model::Timestamp;
use haus_model::alert::AlertLevel;
use haus_model::credential::{Credential, CredentialSource};
use haus_model::unit::format_duration;
use haus_store::{
    Batch, CredentialChange, CredentialQuery, CredentialRow, EventKind, NewEvent, RotationRow, TrailQuery,
    Write,
};
use haus_trail::{Action, Outcome};
use haus_vault::rotation::{Rotation, Step};
use haus_watch::alert::{CREDENTIAL_EXPIRED, CREDENTIAL_EXPIRING, Condition, Subject};
use haus_watch::expiry::{Dates, Due};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// All credentials are looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// After a rotation that was taken back, or could not begin, it is tried again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(6 * 3_600);
const REFUSED_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// Rotations that the schedule has under way at the same time, those in their overlap not counted: each may
/// restart services.
const AT_ONCE_MAX: usize = 1;

/// The memory of the schedule.
#[derive(Default)]
pub(super) struct Schedule {
    next_look: Option<Timestamp>,
    /// Not to be tried before.
    not_before: BTreeMap<String, Timestamp>,
    /// Expiries whose entry is in the trail.
    noted: BTreeSet<(String, Timestamp)>,
}

impl Schedule {
    /// Looks at every credential when it is time.
    pub(super) async fn look(&mut self, desk: &Arc<Desk>) {
        let now = desk.clock.wall();
        if self.next_look.is_some_and(|at| now < at && at.since(now) <= LOOK_EVERY) {
            return;
        }
        self.next_look = Some(now.after(LOOK_EVERY));
        // The patrol tells that the database cannot be used; it is looked at again in a minute.
        let _ = self.look_at_all(desk, now).await;
    }

    async fn look_at_all(&mut self, desk: &Arc<Desk>, now: Timestamp) -> Result<(), Problem> {
        let read = desk.registrar.read(|ledger| {
            let query = CredentialQuery { limit: u64::MAX, ..CredentialQuery::default() };
            Ok((ledger.credentials(&query)?.0, ledger.rotations(None)?))
        });
        let (rows, open) = read.await?;
        let names: BTreeSet<_> = rows.iter().map(alert_name).collect();
        desk.alarms.keep_credentials(now, |name| names.contains(name));
        let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        self.not_before.retain(|id, _| ids.contains(id.as_str()));
        self.noted.retain(|(id, _)| ids.contains(id.as_str()));
        let mut busy = open.iter().filter(|row| is_busy(row)).count();
        let house = desk.house();
        for row in &rows {
            let is_open = open.iter().any(|one| one.credential == row.id);
            let planned = planned(&house, row);
            let dates =
                Dates { made_at: row.rotated_at, expires_at: row.expires_at, rotate_days: row.rotate_days };
            let due = dates.due(now);
            self.tell_end(desk, row, &due, now).await?;
            let rotate = due.iter().any(|due| matches!(due, Due::Rotate { .. }));
            let can_be_made = planned.is_none_or(can_be_made) && (planned.is_some() || row.owner.is_some());
            if rotate && !can_be_made {
                mark(desk, row, now).await?;
            }
            tell_wish(desk, row, can_be_made, now);
            let wanted = rotate || (row.rotation_required && planned.is_some());
            if wanted && can_be_made && !is_open && busy < AT_ONCE_MAX && self.begin(desk, row, now).await? {
                busy += 1;
            }
        }
        Ok(())
    }

    /// Begins a due rotation, unless it is not the time for it.
    async fn begin(
        &mut self,
        desk: &Arc<Desk>,
        row: &CredentialRow,
        now: Timestamp,
    ) -> Result<bool, Problem> {
        let waits = |at: &Timestamp| now < *at && at.since(now) <= AGAIN_AFTER;
        if self.not_before.get(&row.id).is_some_and(waits)
            || alarms::over(&desk.house(), now, &row.scope).is_some()
        {
            return Ok(false);
        }
        let id = row.id.clone();
        let former = desk.registrar.read(move |ledger| ledger.rotations(Some(&id))).await?;
        if let Some(at) = former.first().and_then(undone_at)
            && now.since(at) < AGAIN_AFTER
        {
            self.not_before.insert(row.id.clone(), at.after(AGAIN_AFTER));
            return Ok(false);
        }
        match desk.rotating.begin(desk, &Caller::house("schedule"), &row.id, None, false).await {
            Ok(_) => Ok(true),
            Err(problem) => {
                let text = format!("its due rotation does not begin: {}", problem.detail);
                desk.journal.record(NewEvent::new(now, EventKind::Credential, row.name.clone(), text));
                self.not_before.insert(row.id.clone(), now.after(REFUSED_AGAIN_AFTER));
                Ok(false)
            }
        }
    }

    /// Warnings and the end itself.
    async fn tell_end(
        &mut self,
        desk: &Desk,
        row: &CredentialRow,
        due: &[Due],
        now: Timestamp,
    ) -> Result<(), Problem> {
        let name = alert_name(row);
        let subject = format!("credential:{name}");
        let condition = |kind: &str, level, why: String| Condition {
            subject: Subject::Credential(name.clone()),
            kind: kind.to_owned(),
            level,
            services: row.scope.clone(),
            why,
        };
        let mut expiring = false;
        let mut expired = None;
        for due in due {
            match *due {
                Due::Warn { within, ends_at } => {
                    expiring = true;
                    let level =
                        if within.as_secs() > 3 * 86_400 { AlertLevel::Info } else { AlertLevel::Warning };
                    let why =
                        format!("{} expires at {ends_at}, within {}", row.name, format_duration(within));
                    desk.alarms.raise_for(now, condition(CREDENTIAL_EXPIRING, level, why));
                }
                Due::Expired { since } => {
                    expired = Some(since);
                    let why = format!("{} expired at {since}", row.name);
                    desk.alarms.raise_for(now, condition(CREDENTIAL_EXPIRED, AlertLevel::Critical, why));
                }
                Due::Rotate { .. } => {}
            }
        }
        match expired {
            Some(since) => self.note_expiry(desk, row, since).await?,
            None => desk.alarms.clear(now, &subject, CREDENTIAL_EXPIRED, "it has a valid version again"),
        }
        if !expiring && expired.is_none() {
            desk.alarms.clear(now, &subject, CREDENTIAL_EXPIRING, "it has a version that lasts");
        }
        Ok(())
    }

    /// One entry in the trail for each end.
    async fn note_expiry(
        &mut self,
        desk: &Desk,
        row: &CredentialRow,
        since: Timestamp,
    ) -> Result<(), Problem> {
        let key = (row.id.clone(), since);
        if self.noted.contains(&key) {
            return Ok(());
        }
        let about = subject(row);
        let query = TrailQuery {
            subject: Some(about.clone()),
            action: Some(Action::CredentialExpire),
            limit: 1,
            newest_first: true,
            ..TrailQuery::default()
        };
        let last = desk.registrar.read(move |ledger| ledger.trail(&query)).await?;
        let at = since.to_string();
        let is_known = last.first().is_some_and(|entry| entry.entry.details.get("expired_at") == Some(&at));
        if !is_known {
            let caller = Caller::house("schedule");
            let entry = desk.registrar.entry(&caller, Action::CredentialExpire, about, Outcome::Allowed);
            let entry = entry.detail("id", row.id.clone()).detail("expired_at", at.clone());
            desk.registrar.commit(Batch::entry(entry)).await?;
            let event = NewEvent::new(
                desk.clock.wall(),
                EventKind::Credential,
                row.name.clone(),
                format!("expired at {at}"),
            );
            desk.journal.record(event);
        }
        self.noted.insert(key);
        Ok(())
    }
}

/// Whether a value can be had without a person.
fn can_be_made(credential: &Credential) -> bool {
    match credential.source {
        CredentialSource::Generated { .. } => true,
        CredentialSource::Given => credential.rotator.is_some(),
        CredentialSource::File { .. } => false,
    }
}

/// Somebody has to give it a new value.
fn tell_wish(desk: &Desk, row: &CredentialRow, can_be_made: bool, now: Timestamp) {
    let name = alert_name(row);
    if row.rotation_required && !can_be_made {
        let why = format!("{} is due for a new value, which only a person can give", row.name);
        desk.alarms.raise_for(
            now,
            Condition {
                subject: Subject::Credential(name),
                kind: ROTATION_DUE.to_owned(),
                level: AlertLevel::Warning,
                services: row.scope.clone(),
                why,
            },
        );
    } else {
        desk.alarms.clear(now, &format!("credential:{name}"), ROTATION_DUE, "it has a new value");
    }
}

/// Marks a credential that only a person can rotate.
async fn mark(desk: &Desk, row: &CredentialRow, now: Timestamp) -> Result<(), Problem> {
    if row.rotation_required {
        return Ok(());
    }
    let change = CredentialChange { rotation_required: Some(true), ..CredentialChange::default() };
    let write = Write::CredentialUpdate {
        id: row.id.clone(),
        if_revision: Some(row.revision),
        change: Box::new(change),
        at: now,
    };
    let caller = Caller::house("schedule");
    let entry = desk.registrar.entry(&caller, Action::CredentialUpdate, subject(row), Outcome::Allowed);
    let entry = entry.because("it is due for a rotation").detail("id", row.id.clone());
    // Who changed it meanwhile is seen at the next look.
    desk.registrar.try_commit(Batch::of(vec![write], entry)).await.map(drop)
}

/// Whether an open rotation may be restarting services at present.
fn is_busy(row: &RotationRow) -> bool {
    let rotation = serde_json::from_str::<Rotation>(&row.state);
    rotation.is_ok_and(|rotation| !matches!(rotation.step, Step::Overlap { .. } | Step::Stuck))
}

/// When a rotation was taken back, if it was.
fn undone_at(row: &RotationRow) -> Option<Timestamp> {
    let rotation = serde_json::from_str::<Rotation>(&row.state).ok()?;
    row.ended_at.filter(|_| rotation.step == Step::Undone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_model::CredentialKind;
    use haus_model::credential::Rotator;

    #[track_caller]
    fn check(source: CredentialSource, has_rotator: bool, expected: bool) {
        let server = Rotator::Redis { service: "cache".parse().unwrap(), user: "default".to_owned() };
        let credential = Credential {
            name: "key".parse().unwrap(),
            kind: CredentialKind::Custom,
            source,
            scope: Vec::new(),
            rotate_days: Some(90),
            overlap: Duration::ZERO,
            ttl: None,
            rotator: has_rotator.then_some(server),
            reason: None,
        };
        assert_eq!(can_be_made(&credential), expected);
    }

    #[test]
    fn only_what_needs_no_person_rotates_by_itself() {
        check(CredentialSource::Generated { length: 32 }, false, true);
        check(CredentialSource::Given, true, true);
        check(CredentialSource::Given, false, false);
        check(CredentialSource::File { path: "key".into() }, false, false);
    }
}
