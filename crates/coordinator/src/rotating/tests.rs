//! Rotations over a real database and vault: begun, driven, interrupted, refused. Servers and processes are
//! those of a fake engine; real servers are the end-to-end tests' part.

use super::*;
use crate::fixture::{self, TestDesk};
use haus_model::credential::Rotator;
use haus_model::health::{HealthCheck, ProbeKind};
use haus_model::service::{NewCredential, ReloadSignal};
use haus_model::{CredentialKind, ServiceName};
use haus_store::VersionState;
use haus_vault::rotation::{Act, Failure};
use haus_watch::conductor::Phase;
use std::time::Instant;

const DEADLINE: Duration = Duration::from_secs(60);

fn credential(source: CredentialSource, overlap: Duration) -> Credential {
    Credential {
        name: "key".parse().unwrap(),
        kind: CredentialKind::Custom,
        source,
        scope: vec!["web".parse().unwrap()],
        rotate_days: None,
        overlap,
        ttl: None,
        rotator: None,
        reason: None,
    }
}

/// A house whose service `web` has the credential `key` in the file KEY.
fn house(way: NewCredential, credential: Credential) -> House {
    let mut web = fixture::service("web", 2);
    web.credentials = BTreeMap::from([("KEY".to_owned(), credential.name.clone())]);
    web.new_credential = way;
    web.health = Some(HealthCheck {
        probe: ProbeKind::Tcp { port: None },
        every: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        start: Duration::from_secs(1),
        healthy_after: 1,
        unhealthy_after: 3,
    });
    let mut house = fixture::house(vec![web]);
    house.credentials.insert(credential.name.clone(), credential);
    house
}

fn generated(way: NewCredential, overlap_s: u64) -> House {
    house(way, credential(CredentialSource::Generated { length: 32 }, Duration::from_secs(overlap_s)))
}

/// A desk with the plan's values and two healthy instances of `web`; gives the credential's id.
async fn desk(house: House) -> (TestDesk, String) {
    let desk = TestDesk::of(house);
    let plan = desk.desk.plan.load_full();
    desk.desk.vaulting.sync_plan(&desk.desk, &plan.house, &plan.root).await.unwrap();
    desk.engine.lock().unwrap().run("web", 2);
    let row = desk.desk.ledger.credential_named(None, "key").unwrap().unwrap();
    (desk, row.id)
}

async fn begin(desk: &TestDesk, id: &str, value: Option<&str>) -> Result<RotationView, Problem> {
    let value = value.map(|text| Secret::from(text.to_owned()));
    desk.desk.rotating.begin(&desk.desk, &desk.admin(), id, value, false).await
}

/// Lets the driver run until `done` holds.
async fn drive_until(desk: &TestDesk, what: &str, done: impl Fn(&TestDesk) -> bool) {
    let driver = tokio::spawn(Rotating::run(Arc::clone(&desk.desk)));
    let until = Instant::now() + DEADLINE;
    while !done(desk) {
        assert!(Instant::now() < until, "not {what} within {DEADLINE:?}: {:?}", state(desk));
        tokio::task::yield_now().await;
        tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await.unwrap_err();
    }
    driver.abort();
}

/// The newest rotation of `key`.
fn state(desk: &TestDesk) -> Option<Rotation> {
    let row = desk.desk.ledger.credential_named(None, "key").unwrap().unwrap();
    let newest = desk.desk.ledger.rotations(Some(&row.id)).unwrap().into_iter().next()?;
    Some(serde_json::from_str(&newest.state).unwrap())
}

fn stands_at(desk: &TestDesk, step: &str) -> bool {
    state(desk).is_some_and(|rotation| rotation.step.as_str() == step)
}

fn versions(desk: &TestDesk, id: &str) -> Vec<VersionState> {
    desk.desk.ledger.versions(id).unwrap().into_iter().map(|version| version.state).collect()
}

#[tokio::test]
async fn a_rotation_replaces_files_tells_by_signal_and_ends_the_old_version() {
    let (desk, id) = desk(generated(NewCredential::Signal(ReloadSignal::Hup), 0)).await;
    let view = begin(&desk, &id, Some("the new value")).await.unwrap();
    assert_eq!((view.step.as_str(), view.to_version), ("deliver", 2));
    assert_eq!(versions(&desk, &id), [VersionState::Current, VersionState::Pending]);
    drive_until(&desk, "done", |desk| stands_at(desk, "done")).await;
    assert_eq!(versions(&desk, &id), [VersionState::Retired, VersionState::Current]);
    let engine = desk.engine.lock().unwrap();
    let told: Vec<_> = engine.delivered.iter().map(|one| (one.id.to_string(), one.signal)).collect();
    let expected = [("web/1", Some(1)), ("web/2", Some(1)), ("web/1", None), ("web/2", None)];
    assert_eq!(told, expected.map(|(id, signal)| (id.to_owned(), signal)));
    let first = &engine.delivered[0];
    assert_eq!(first.files["KEY"].expose_bytes(), b"the new value");
    assert_eq!(first.remove, ["KEY.previous"]);
}

#[tokio::test]
async fn during_the_overlap_both_values_are_in_files_and_the_old_one_goes_with_its_end() {
    let (desk, id) = desk(generated(NewCredential::Reread, 600)).await;
    begin(&desk, &id, None).await.unwrap();
    drive_until(&desk, "in its overlap", |desk| stands_at(desk, "overlap")).await;
    assert_eq!(versions(&desk, &id), [VersionState::Previous, VersionState::Current]);
    {
        let engine = desk.engine.lock().unwrap();
        let files: Vec<&str> = engine.delivered[0].files.keys().map(String::as_str).collect();
        assert_eq!((files, engine.delivered.len()), (vec!["KEY", "KEY.previous"], 2));
    }
    // Somebody has an emergency: the overlap ends, and the next rotation begins after it, in one call.
    let driver = tokio::spawn(Rotating::run(Arc::clone(&desk.desk)));
    let again = desk.desk.rotating.begin(&desk.desk, &desk.admin(), &id, None, true).await.unwrap();
    assert_eq!(again.to_version, 3);
    assert_eq!(versions(&desk, &id)[0], VersionState::Retired);
    driver.abort();
    let engine = desk.engine.lock().unwrap();
    let removed: Vec<&Vec<String>> = engine.delivered[2..4].iter().map(|one| &one.remove).collect();
    assert_eq!(removed, [&["KEY.previous"], &["KEY.previous"]]);
}

#[tokio::test]
async fn a_service_that_reads_at_its_start_is_restarted() {
    let (desk, id) = desk(generated(NewCredential::Restart, 0)).await;
    begin(&desk, &id, None).await.unwrap();
    drive_until(&desk, "done", |desk| stands_at(desk, "done")).await;
    let engine = desk.engine.lock().unwrap();
    assert_eq!(engine.restarted, ["web"]);
    assert!(engine.delivered.iter().all(|one| one.files.is_empty()), "{:?}", engine.delivered);
}

#[tokio::test]
async fn a_consumer_that_is_not_well_with_it_has_the_old_value_back() {
    let (desk, id) = desk(generated(NewCredential::Reread, 600)).await;
    let before = desk.desk.vaulting.value(&desk.desk, &desk.admin(), &"key".parse().unwrap()).await.unwrap();
    begin(&desk, &id, Some("bad")).await.unwrap();
    desk.engine.lock().unwrap().instances.get_mut(&"web".parse::<ServiceName>().unwrap()).unwrap()[1].phase =
        Phase::GivenUp;
    // It is told when everything is as before.
    let alerts = |desk: &TestDesk| desk.desk.alarms.shown(desk.desk.clock.wall()).alerts;
    drive_until(&desk, "undone", |desk| stands_at(desk, "undone") && !alerts(desk).is_empty()).await;
    assert_eq!(versions(&desk, &id), [VersionState::Current, VersionState::Retired]);
    assert_eq!(desk.engine.lock().unwrap().restarted, ["web"]);
    let now = desk.desk.vaulting.value(&desk.desk, &desk.admin(), &"key".parse().unwrap()).await.unwrap();
    assert!(now == before);
    let why = state(&desk).unwrap().why.unwrap();
    assert!(why.starts_with("web/2 was given up with the new value"), "{why}");
    let told = alerts(&desk);
    assert_eq!(told.iter().map(|alert| alert.kind.as_str()).collect::<Vec<_>>(), ["rotation-failed"]);
}

#[tokio::test]
async fn a_failure_that_an_earlier_core_kept_and_did_not_tell_is_told() {
    let (desk, id) = desk(generated(NewCredential::Reread, 600)).await;
    begin(&desk, &id, Some("bad")).await.unwrap();
    let now = desk.desk.clock.wall();
    let mut rotation = state(&desk).unwrap();
    while rotation.step != Step::Undone {
        let failure = Failure { why: "401 from the database".into(), retry: false };
        let is_back = rotation.step.as_str().starts_with("undo");
        rotation.record(now, if is_back { Ok(()) } else { Err(failure) });
    }
    let kept = vec![Write::RotationPut(Box::new(kept::row(&rotation, now)))];
    desk.desk.registrar.commit(Batch { writes: kept, entries: Vec::new() }).await.unwrap();
    let alerts = |desk: &TestDesk| desk.desk.alarms.shown(desk.desk.clock.wall()).alerts;
    drive_until(&desk, "told", |desk| !alerts(desk).is_empty()).await;
    let told = alerts(&desk);
    assert_eq!((told[0].kind.as_str(), told[0].why.as_str()), ("rotation-failed", "401 from the database"));
}

#[tokio::test]
async fn a_probe_that_is_bad_with_the_new_value_undoes_it() {
    let (desk, id) = desk(generated(NewCredential::Reread, 600)).await;
    begin(&desk, &id, Some("bad")).await.unwrap();
    desk.engine.lock().unwrap().ill = Some("401 from the database".to_owned());
    drive_until(&desk, "undone", |desk| stands_at(desk, "undone")).await;
    let why = state(&desk).unwrap().why.unwrap();
    assert!(why.ends_with("401 from the database"), "{why}");
    let engine = desk.engine.lock().unwrap();
    let (back, first) = (&engine.delivered[2], &engine.delivered[0]);
    assert!(back.files["KEY"] == first.files["KEY.previous"]);
    assert!(engine.delivered[2..].iter().all(|one| one.remove == ["KEY.previous"]), "{:?}", engine.delivered);
}

#[tokio::test]
async fn a_service_without_a_probe_must_run_on_for_a_while() {
    let mut house = generated(NewCredential::Reread, 0);
    house.services.values_mut().for_each(|service| service.health = None);
    let (desk, id) = desk(house).await;
    begin(&desk, &id, Some("bad")).await.unwrap();
    let engine = Arc::clone(&desk.engine);
    // Healthy whenever it is looked at, and another process each time.
    let begun = Instant::now();
    drive_until(&desk, "proven or not", |desk| {
        engine.lock().unwrap().instances.values_mut().flatten().for_each(|one| one.run += 1);
        stands_at(desk, "done") || begun.elapsed() > Duration::from_secs(7)
    })
    .await;
    assert!(stands_at(&desk, "prove"), "{:?}", state(&desk));
    drive_until(&desk, "done", |desk| stands_at(desk, "done")).await;
}

#[tokio::test]
async fn what_a_core_left_unfinished_is_finished_by_the_next_one() {
    let (desk, id) = desk(generated(NewCredential::Reread, 0)).await;
    begin(&desk, &id, Some("the new value")).await.unwrap();
    let desk = desk.restarted();
    desk.engine.lock().unwrap().run("web", 2);
    drive_until(&desk, "done", |desk| stands_at(desk, "done")).await;
    assert_eq!(versions(&desk, &id), [VersionState::Retired, VersionState::Current]);
    let value = desk.desk.vaulting.value(&desk.desk, &desk.admin(), &"key".parse().unwrap()).await.unwrap();
    assert_eq!(value.expose_bytes(), b"the new value");
}

#[tokio::test]
async fn a_house_that_ends_is_no_failed_try() {
    let (desk, id) = desk(generated(NewCredential::Reread, 0)).await;
    begin(&desk, &id, None).await.unwrap();
    desk.engine.lock().unwrap().ends = true;
    let driver = tokio::spawn(Rotating::run(Arc::clone(&desk.desk)));
    let until = Instant::now() + DEADLINE;
    while desk.engine.lock().unwrap().asked_in_vain == 0 {
        assert!(Instant::now() < until, "{:?}", state(&desk));
        tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await.unwrap_err();
    }
    // However often the driver looks, it is not taken up again at once.
    for _ in 0..3 {
        desk.desk.rotating.begun.notify_one();
        tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await.unwrap_err();
    }
    assert_eq!(desk.engine.lock().unwrap().asked_in_vain, 1);
    driver.abort();
    let rotation = state(&desk).unwrap();
    // One try is that of the start, which cannot know whether an act was under way.
    assert_eq!((rotation.step, rotation.tries), (Step::Deliver, 1));
}

#[tokio::test]
async fn every_step_is_in_the_trail_and_no_value_is() {
    let (desk, id) = desk(generated(NewCredential::Reread, 0)).await;
    begin(&desk, &id, Some("very secret new value")).await.unwrap();
    drive_until(&desk, "done", |desk| stands_at(desk, "done")).await;
    let rotations: Vec<String> = desk
        .trail()
        .into_iter()
        .filter(|entry| entry.entry.action == Action::CredentialRotate)
        .map(|entry| format!("{} {}", entry.entry.actor, entry.entry.details["step"]))
        .collect();
    assert_eq!(rotations, ["admin:uid=0 deliver", "house prove", "house retire", "house done"]);
    assert!(desk.trail().iter().all(|entry| !entry.to_line().contains("very secret")));
}

#[track_caller]
fn check_refused(outcome: Result<RotationView, Problem>, code: ProblemCode, part: &str) {
    let problem = outcome.unwrap_err();
    assert_eq!(problem.code, code, "{}", problem.detail);
    assert!(problem.detail.contains(part), "{}", problem.detail);
    assert!(problem.hint.is_some() || code == ProblemCode::Invalid, "{}", problem.detail);
}

#[tokio::test]
async fn what_cannot_be_rotated_says_why() {
    let (desk, id) = desk(generated(NewCredential::Reread, 0)).await;
    check_refused(begin(&desk, "nobody", None).await, ProblemCode::NotFound, "nobody");
    check_refused(begin(&desk, &id, Some("")).await, ProblemCode::Invalid, "1 to 65536 bytes");
    let value = desk.desk.vaulting.value(&desk.desk, &desk.admin(), &"key".parse().unwrap()).await.unwrap();
    let same = desk.desk.rotating.begin(&desk.desk, &desk.admin(), &id, Some(value), false).await;
    check_refused(same, ProblemCode::Conflict, "has this value already");
    begin(&desk, &id, None).await.unwrap();
    check_refused(begin(&desk, &id, None).await, ProblemCode::Conflict, "stands at `deliver`");
}

#[tokio::test]
async fn a_consumer_that_is_ill_holds_a_rotation_up_except_in_an_emergency() {
    let (desk, id) = desk(generated(NewCredential::Reread, 600)).await;
    desk.engine.lock().unwrap().instances.get_mut(&"web".parse::<ServiceName>().unwrap()).unwrap()[0].phase =
        Phase::Offline;
    check_refused(begin(&desk, &id, None).await, ProblemCode::Conflict, "web/1 is offline");
    desk.desk.rotating.begin(&desk.desk, &desk.admin(), &id, None, true).await.unwrap();
    let rotation = state(&desk).unwrap();
    assert_eq!((rotation.overlap, rotation.consumers), (Duration::ZERO, Vec::new()));
}

#[tokio::test]
async fn a_stuck_rotation_is_resumed_and_given_up_for_a_new_value() {
    let (desk, id) = desk(generated(NewCredential::Reread, 0)).await;
    begin(&desk, &id, Some("bad")).await.unwrap();
    let mut stuck = state(&desk).unwrap();
    let now = desk.desk.clock.wall();
    let failure = || Failure { why: "refused".into(), retry: false };
    stuck.record(now, Err(failure()));
    stuck.record(now, Err(failure()));
    assert_eq!(stuck.step, Step::Stuck);
    let put = Write::RotationPut(Box::new(kept::row(&stuck, now)));
    desk.desk.ledger.commit(Batch { writes: vec![put], entries: Vec::new() }).unwrap();
    assert_eq!(begin(&desk, &id, None).await.unwrap().step, "undo-deliver");
    let put = Write::RotationPut(Box::new(kept::row(&stuck, now)));
    desk.desk.ledger.commit(Batch { writes: vec![put], entries: Vec::new() }).unwrap();
    assert_eq!(begin(&desk, &id, Some("better")).await.unwrap().to_version, 3);
    assert_eq!(versions(&desk, &id), [VersionState::Current, VersionState::Retired, VersionState::Pending]);
}

#[tokio::test]
async fn a_due_credential_rotates_by_itself_and_one_that_needs_a_person_is_marked() {
    let mut due = credential(CredentialSource::Generated { length: 32 }, Duration::ZERO);
    due.rotate_days = Some(1);
    let (desk, id) = desk(house(NewCredential::Reread, due)).await;
    let age = |desk: &TestDesk| {
        // As if it had been made two days ago.
        let row = desk.desk.ledger.credential(&id).unwrap().unwrap();
        let version = desk.desk.ledger.versions(&id).unwrap().pop().unwrap();
        let old = Timestamp(row.rotated_at.0 - 2 * 86_400_000);
        let remove = Write::CredentialDelete { id: id.clone(), if_revision: None };
        let row = CredentialRow { rotated_at: old, created_at: old, ..row };
        let create = Write::CredentialCreate(Box::new(row), Box::new(version));
        desk.desk.ledger.commit(Batch { writes: vec![remove, create], entries: Vec::new() }).unwrap();
        desk.desk.registrar.generation().fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    };
    age(&desk);
    drive_until(&desk, "rotated", |desk| stands_at(desk, "done")).await;
    assert!(
        desk.acts().contains(&"house credential-rotate credential:key allowed".to_owned()),
        "{:?}",
        desk.acts()
    );
    let mut plan = House::clone(&desk.desk.house());
    plan.credentials.values_mut().for_each(|credential| credential.source = CredentialSource::Given);
    let root = desk.folder.path().to_owned();
    desk.desk.plan.store(Arc::new(crate::desk::PlanInForce { house: Arc::new(plan), root }));
    age(&desk);
    drive_until(&desk, "marked", |desk| {
        desk.desk.ledger.credential_named(None, "key").unwrap().unwrap().rotation_required
    })
    .await;
}

#[tokio::test]
async fn whoever_sits_on_the_port_of_a_server_that_does_not_run_is_shown_no_value() {
    let mut plan = generated(NewCredential::Reread, 600);
    let server = fixture::service("db", 1);
    plan.services.insert(server.name.clone(), server);
    let rotator = Rotator::Redis { service: "db".parse().unwrap(), user: "default".to_owned() };
    plan.credentials.get_mut("key").unwrap().rotator = Some(rotator);
    let (desk, id) = desk(plan).await;
    let squatter = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    {
        let mut engine = desk.engine.lock().unwrap();
        engine.run("db", 1);
        let first = &mut engine.instances.get_mut("db").unwrap()[0];
        first.address = Some(squatter.local_addr().unwrap());
        (first.phase, first.runs, first.why) = (Phase::Stopped, false, "a person stopped it".to_owned());
    }
    desk.desk.rotating.begin(&desk.desk, &desk.admin(), &id, None, true).await.unwrap();
    let rotation = state(&desk).unwrap();
    for act in [Act::TellServer, Act::TellServerOld, Act::RetireNew] {
        let refused = act::perform(&desk.desk, &rotation, act).await;
        let Err(Stop::Failed(failure)) = refused else { panic!("{refused:?}") };
        assert!(failure.retry && failure.why.contains("nobody logs in at db/1"), "{}", failure.why);
    }
    squatter.set_nonblocking(true).unwrap();
    let seen = squatter.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(seen, Err(std::io::ErrorKind::WouldBlock));
}

/// A credential of `web` that was made over the API; gives the path to it.
async fn own() -> (TestDesk, String, String) {
    let desk = TestDesk::of(fixture::house(vec![fixture::service("web", 1)]));
    let body = serde_json::json!({ "name": "leak", "service_name": "web", "value": "first" });
    let made = desk.ask_as_admin("POST", "/api/credentials", Some(body)).await;
    let id = made.json["id"].as_str().unwrap().to_owned();
    (desk, format!("/api/credentials/{id}"), id)
}

fn step_of(desk: &TestDesk, id: &str) -> String {
    let newest = desk.desk.ledger.rotations(Some(id)).unwrap().remove(0);
    serde_json::from_str::<Rotation>(&newest.state).unwrap().step.to_string()
}

#[tokio::test]
async fn what_leaked_can_be_deleted_while_an_old_value_overlaps() {
    let (desk, path, id) = own().await;
    begin(&desk, &id, Some("second")).await.unwrap();
    let early = desk.ask_as_admin("DELETE", &path, None).await;
    assert_eq!((early.status.as_u16(), early.code()), (409, "busy"), "{}", early.text);
    drive_until(&desk, "in its overlap", |desk| step_of(desk, &id) == "overlap").await;
    assert_eq!(versions(&desk, &id), [VersionState::Previous, VersionState::Current]);
    let gone = desk.ask_as_admin("DELETE", &path, None).await;
    assert_eq!(gone.status.as_u16(), 204, "{}", gone.text);
    assert_eq!(versions(&desk, &id), []);
    assert!(desk.desk.ledger.rotations(None).unwrap().is_empty());
    assert!(desk.acts().pop().unwrap().ends_with("credential-delete credential:web/leak allowed"));
}

#[tokio::test]
async fn what_is_stuck_can_be_deleted_and_its_alert_ends() {
    let (desk, path, id) = own().await;
    begin(&desk, &id, Some("second")).await.unwrap();
    let newest = desk.desk.ledger.rotations(Some(&id)).unwrap().remove(0);
    let mut rotation: Rotation = serde_json::from_str(&newest.state).unwrap();
    (rotation.step, rotation.stuck_at) = (Step::Stuck, Some(haus_vault::rotation::StuckAt::Retire));
    let now = desk.desk.clock.wall();
    let entry = desk.desk.registrar.entry(&desk.admin(), Action::Admin, "house", Outcome::Allowed);
    let put = Write::RotationPut(Box::new(kept::row(&rotation, now)));
    desk.desk.registrar.commit(Batch::of(vec![put], entry)).await.unwrap();
    let row = desk.desk.ledger.credential(&id).unwrap().unwrap();
    drive::alert(&desk.desk, &row, &rotation, now);
    let alerts = || desk.desk.alarms.shown(desk.desk.clock.wall()).alerts.len();
    assert_eq!(alerts(), 1);
    assert_eq!(desk.ask_as_admin("DELETE", &path, None).await.status.as_u16(), 204);
    assert_eq!(versions(&desk, &id), []);
    let clearing = desk.desk.alarms.shown(desk.desk.clock.wall()).alerts;
    assert!(clearing.iter().all(|alert| alert.state != "firing"), "{clearing:?}");
}

#[tokio::test]
async fn a_credential_shows_its_last_rotation_with_its_end_and_reason() {
    let (desk, id) = desk(generated(NewCredential::Reread, 0)).await;
    let path = format!("/api/credentials/{id}");
    assert!(desk.ask_as_admin("GET", &path, None).await.json["rotation"].is_null());
    begin(&desk, &id, Some("bad")).await.unwrap();
    let open = desk.ask_as_admin("GET", &path, None).await.json["rotation"].clone();
    assert!(open["ended_at"].is_null() && open["step"] == "deliver", "{open}");
    desk.engine.lock().unwrap().ill = Some("401 from the database".to_owned());
    drive_until(&desk, "undone", |desk| stands_at(desk, "undone")).await;
    let ended = desk.ask_as_admin("GET", &path, None).await.json["rotation"].clone();
    assert!(ended["ended_at"].is_string() && ended["step"] == "undone", "{ended}");
    assert!(ended["why"].as_str().unwrap().ends_with("401 from the database"), "{ended}");
}
