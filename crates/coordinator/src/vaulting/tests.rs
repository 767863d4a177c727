//! The vault over a real database: what the plan makes, what is handed out, what a restart and a rotation of
//! the keys leave.

use super::{Keys, KeysError};
use crate::api::Caller;
use crate::desk::PlanInForce;
use crate::fixture::{self, TestDesk};
use haus_api::{Problem, ProblemCode};
use haus_model::house::House;
use haus_model::{Credential, CredentialKind, CredentialSource, InstanceId, Secret};
use haus_store::{Batch, CredentialRow, VersionRow, Write};
use haus_vault::custody::Custody;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

fn credential(name: &str, source: CredentialSource) -> Credential {
    Credential {
        name: name.parse().unwrap(),
        kind: CredentialKind::Database,
        source,
        scope: vec!["api".parse().unwrap()],
        rotate_days: None,
        overlap: Duration::ZERO,
        ttl: None,
        rotator: None,
        reason: None,
    }
}

fn generated(name: &str) -> Credential {
    credential(name, CredentialSource::Generated { length: 40 })
}

/// A house whose service `api` has each of these as a file of the same name in capitals.
fn house(credentials: Vec<Credential>) -> House {
    let mut api = fixture::service("api", 1);
    api.credentials =
        credentials.iter().map(|one| (one.name.as_str().to_uppercase(), one.name.clone())).collect();
    let mut house = fixture::house(vec![api, fixture::service("web", 1)]);
    house.credentials = credentials.into_iter().map(|one| (one.name.clone(), one)).collect();
    house
}

async fn sync(desk: &TestDesk) -> Vec<String> {
    let plan = desk.desk.plan.load_full();
    desk.desk.vaulting.sync_plan(&desk.desk, &plan.house, &plan.root).await.unwrap()
}

/// Another plan in force, and the vault in step with it.
async fn reload(desk: &TestDesk, house: House) -> Vec<String> {
    let root = desk.desk.plan.load().root.clone();
    desk.desk.plan.store(Arc::new(PlanInForce { house: Arc::new(house), root }));
    sync(desk).await
}

async fn files(desk: &TestDesk) -> Result<BTreeMap<String, String>, Problem> {
    let house = desk.desk.house();
    let service = &house.services["api"];
    let id = InstanceId { service: service.name.clone(), ordinal: 1 };
    let files = desk.desk.vaulting.files_for(&desk.desk, service, &id).await?;
    let text = |secret: Secret| String::from_utf8(secret.expose_bytes().to_vec()).unwrap();
    Ok(files.into_iter().map(|(name, value)| (name, text(value))).collect())
}

fn row(desk: &TestDesk, name: &str) -> (CredentialRow, VersionRow) {
    let row = desk.desk.ledger.credential_named(None, name).unwrap().unwrap();
    let versions = desk.desk.ledger.versions(&row.id).unwrap();
    let current = versions.into_iter().find(|version| version.version == row.version).unwrap();
    (row, current)
}

#[tokio::test]
async fn a_generated_value_is_made_once_and_survives_a_restart() {
    let desk = TestDesk::of(house(vec![generated("key")]));
    assert_eq!(sync(&desk).await, ["key"]);
    let first = files(&desk).await.unwrap();
    assert_eq!(first["KEY"].len(), 40);
    assert!(sync(&desk).await.is_empty());
    let desk = desk.restarted();
    assert!(sync(&desk).await.is_empty());
    assert_eq!(files(&desk).await.unwrap(), first);
}

#[tokio::test]
async fn every_file_that_is_handed_out_has_its_entry() {
    let desk = TestDesk::of(house(vec![generated("a"), generated("b")]));
    sync(&desk).await;
    files(&desk).await.unwrap();
    let expected = [
        "house credential-create credential:a allowed",
        "house credential-create credential:b allowed",
        "house credential-read credential:a allowed",
        "house credential-read credential:b allowed",
    ];
    assert_eq!(desk.acts(), expected);
    let read = desk.trail().pop().unwrap().entry;
    assert_eq!(read.details["instance"], "api/1");
    assert_eq!(read.details["version"], "1");
    assert!(row(&desk, "a").0.last_used_at.is_some());
}

#[tokio::test]
async fn a_plain_value_of_an_earlier_version_is_sealed_and_removed() {
    let desk = TestDesk::of(house(vec![generated("key")]));
    let folder = desk.desk.places.vault_folder();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("key"), "value of old").unwrap();
    fs::write(folder.join("gone"), "another").unwrap();
    sync(&desk).await;
    assert!(!folder.exists(), "nothing plain stays");
    assert_eq!(files(&desk).await.unwrap()["KEY"], "value of old");
    assert!(desk.acts().contains(&"house credential-import credential:key allowed".to_owned()));
    // What the plan does not name has no readers, and comes back when it does.
    assert!(row(&desk, "gone").0.scope.is_empty());
    reload(&desk, house(vec![generated("key"), generated("gone")])).await;
    assert_eq!(files(&desk).await.unwrap()["GONE"], "another");
}

#[tokio::test]
async fn a_plain_value_that_a_crash_left_beside_its_seal_is_removed() {
    let desk = TestDesk::of(house(vec![generated("key")]));
    sync(&desk).await;
    let value = files(&desk).await.unwrap();
    let folder = desk.desk.places.vault_folder();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("key"), "stale").unwrap();
    sync(&desk).await;
    assert!(!folder.exists());
    assert_eq!(files(&desk).await.unwrap(), value);
}

#[tokio::test]
async fn the_value_of_a_file_follows_the_file() {
    let desk =
        TestDesk::of(house(vec![credential("key", CredentialSource::File { path: "key.txt".into() })]));
    assert!(sync(&desk).await.is_empty());
    let problem = files(&desk).await.unwrap_err();
    assert!(problem.detail.contains("`key`") && problem.detail.contains("key.txt"), "{}", problem.detail);
    let path = desk.folder.path().join("key.txt");
    for (number, value) in ["one\n", "two\n", "two\n"].into_iter().enumerate() {
        fs::write(&path, value).unwrap();
        assert_eq!(files(&desk).await.unwrap()["KEY"], value.trim_end(), "{number}");
    }
    assert_eq!(row(&desk, "key").0.version, 2);
    let versions = desk.desk.ledger.versions(&row(&desk, "key").0.id).unwrap();
    assert!(versions[0].sealed.is_empty(), "the replaced value is wiped");
    // The vault has it when the file is gone.
    fs::remove_file(&path).unwrap();
    assert_eq!(files(&desk).await.unwrap()["KEY"], "two");
}

#[tokio::test]
async fn a_given_value_is_asked_for_by_name() {
    let desk = TestDesk::of(house(vec![credential("key", CredentialSource::Given)]));
    assert!(sync(&desk).await.is_empty());
    let problem = files(&desk).await.unwrap_err();
    assert!(problem.detail.contains("haus credential create key"), "{}", problem.detail);
}

#[tokio::test]
async fn what_leaves_the_plan_loses_its_readers_and_keeps_its_value() {
    let desk = TestDesk::of(house(vec![generated("key")]));
    sync(&desk).await;
    let value = files(&desk).await.unwrap();
    reload(&desk, house(Vec::new())).await;
    assert!(desk.desk.ledger.readable_by(&"api".parse().unwrap()).unwrap().is_empty());
    reload(&desk, house(vec![generated("key")])).await;
    assert_eq!(files(&desk).await.unwrap(), value);
}

#[tokio::test]
async fn nobody_outside_the_scope_gets_a_file() {
    let narrow = Credential { scope: vec!["web".parse().unwrap()], ..generated("key") };
    let desk = TestDesk::of(house(vec![narrow]));
    sync(&desk).await;
    let problem = files(&desk).await.unwrap_err();
    assert!(problem.detail.contains("scope"), "{}", problem.detail);
    assert!(!desk.acts().iter().any(|act| act.contains("credential-read")), "{:?}", desk.acts());
}

#[tokio::test]
async fn an_expired_value_is_not_handed_out_and_the_try_is_recorded() {
    let short = Credential { ttl: Some(Duration::ZERO), ..generated("key") };
    let desk = TestDesk::of(house(vec![short]));
    sync(&desk).await;
    assert_eq!(files(&desk).await.unwrap_err().code, ProblemCode::Expired);
    assert_eq!(desk.acts().last().unwrap(), "house credential-read credential:key failed");
    // The plan gives it more time.
    reload(&desk, house(vec![generated("key")])).await;
    assert_eq!(files(&desk).await.unwrap()["KEY"].len(), 40);
}

#[tokio::test]
async fn a_seal_that_was_moved_to_another_credential_stays_closed() {
    let desk = TestDesk::of(house(vec![generated("a"), generated("b")]));
    sync(&desk).await;
    let ((a, from), (_, to)) = (row(&desk, "a"), row(&desk, "b"));
    let moved = Write::VersionReseal {
        credential: a.id,
        version: 1,
        from: from.sealed,
        to: to.sealed,
        key_id: to.key_id,
    };
    desk.desk.ledger.commit(Batch { writes: vec![moved], entries: Vec::new() }).unwrap();
    let problem = files(&desk).await.unwrap_err();
    assert!(problem.detail.contains("version 1 of credential `a` stays closed"), "{}", problem.detail);
    assert_eq!(desk.acts().last().unwrap(), "house credential-read credential:a failed");
}

#[tokio::test]
async fn without_a_ledger_nothing_is_handed_out() {
    let desk = TestDesk::without_ledger(house(vec![generated("key")]));
    let problem = files(&desk).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::TrailUnavailable);
    assert!(problem.detail.contains("the disk is gone"), "{}", problem.detail);
}

#[tokio::test]
async fn a_new_key_wraps_everything_and_the_old_one_is_forgotten() {
    let desk = TestDesk::of(house(vec![generated("a"), generated("b")]));
    sync(&desk).await;
    let (before, values) = (desk.desk.vaulting.keys().ring().unwrap(), files(&desk).await.unwrap());
    let caller = Caller::house("test");
    let (row_a, _) = row(&desk, "a");
    let sealed_before =
        desk.desk.vaulting.seal_version(&row_a, 2, &Secret::from("x".to_owned()), row_a.created_at);
    desk.desk.vaulting.rotate_ring(&desk.desk, &caller).await.unwrap();
    desk.desk.vaulting.rewrap(&desk.desk, &caller).await.unwrap();
    let after = desk.desk.vaulting.keys().ring().unwrap();
    assert_eq!(after.ids().len(), 1);
    assert_ne!(after.active(), before.active());
    assert_eq!(row(&desk, "a").1.key_id, after.active().to_string());
    assert_eq!(desk.desk.vaulting.under_old_keys(&desk.desk).await.unwrap(), 0);
    // What was sealed before and comes late would be lost with the old key.
    let late =
        Batch { writes: vec![Write::VersionAdd(Box::new(sealed_before.unwrap()))], entries: Vec::new() };
    assert_eq!(desk.desk.registrar.commit(late).await.unwrap_err().code, ProblemCode::Busy);
    assert_eq!(files(&desk).await.unwrap(), values);
    let desk = desk.restarted();
    assert_eq!(files(&desk).await.unwrap(), values);
}

#[tokio::test]
async fn a_rotation_of_the_keys_that_was_cut_off_goes_on_at_the_next_start() {
    let desk = TestDesk::of(house(vec![generated("key")]));
    sync(&desk).await;
    let values = files(&desk).await.unwrap();
    desk.desk.vaulting.rotate_ring(&desk.desk, &Caller::house("test")).await.unwrap();
    let desk = desk.restarted();
    assert_eq!(desk.desk.vaulting.keys().ring().unwrap().ids().len(), 2);
    assert_eq!(files(&desk).await.unwrap(), values);
    desk.desk.vaulting.rewrap(&desk.desk, &Caller::house("start")).await.unwrap();
    assert_eq!(desk.desk.vaulting.keys().ring().unwrap().ids().len(), 1);
    assert_eq!(files(&desk).await.unwrap(), values);
}

#[tokio::test]
async fn a_database_without_its_key_ring_is_refused_and_no_other_is_made() {
    let desk = TestDesk::of(house(vec![generated("key")]));
    sync(&desk).await;
    let ring = desk.folder.path().join("elsewhere");
    let database = desk.desk.places.database();
    let open = || Keys::open(Custody::File(ring.clone()), &*desk.desk.ledger, &database);
    let Err(error) = open() else { panic!("a new ring was made") };
    assert!(matches!(error, KeysError::Lost { .. }), "{error}");
    assert!(!ring.exists());
    assert!(error.remedy().contains("saved copy"), "{}", error.remedy());
    // A ring of another house is as good as none.
    let stranger = haus_vault::KeyRing::generate(&mut haus_vault::SystemEntropy).unwrap();
    haus_vault::custody::create(&Custody::File(ring.clone()), &stranger).unwrap();
    let Err(error) = open() else { panic!("a stranger's ring was taken") };
    assert!(matches!(error, KeysError::Stranger { .. }), "{error}");
}

#[tokio::test]
async fn a_signing_key_opens_only_under_its_own_id() {
    let desk = TestDesk::of(house(Vec::new()));
    let vault = &desk.desk.vaulting;
    let sealed = vault.seal_signing_key("e1", &Secret::from("private".to_owned())).unwrap();
    assert_eq!(vault.unseal_signing_key("e1", &sealed).unwrap().expose_bytes(), b"private");
    assert!(vault.unseal_signing_key("e2", &sealed).is_err());
}
