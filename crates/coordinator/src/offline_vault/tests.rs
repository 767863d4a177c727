//! A vault that is opened beside no house: once for the plan, once more for what it keeps.

use super::*;
use crate::fixture;
use haus_model::deployment::{Deployment, Overlap, UnitSettings};
use haus_model::{Credential, CredentialKind, CredentialSource};
use haus_store::TrailQuery;
use haus_trail::{Action, Outcome};
use std::collections::BTreeSet;
use std::time::Duration;
use tempfile::TempDir;

fn credential(name: &str, source: CredentialSource) -> Credential {
    Credential {
        name: name.parse().unwrap(),
        kind: CredentialKind::default(),
        source,
        scope: vec!["api".parse().unwrap()],
        rotate_days: None,
        overlap: Duration::ZERO,
        ttl: None,
        rotator: None,
        reason: None,
    }
}

/// A house whose `api` is on a host with three credentials; a fourth goes nowhere.
fn house() -> House {
    let mut api = fixture::service("api", 1);
    api.deployment = Some(Deployment {
        on: vec!["web".parse().unwrap()],
        source: None,
        build: Vec::new(),
        keep: 3,
        overlap: Overlap::Safe,
        unit: UnitSettings::default(),
        asks: BTreeSet::new(),
    });
    api.credentials = ["made", "filed", "given"]
        .map(|name| (name.to_uppercase(), name.parse().unwrap()))
        .into_iter()
        .collect();
    let mut house = fixture::house(vec![api]);
    let all = [
        credential("made", CredentialSource::Generated { length: 32 }),
        credential("filed", CredentialSource::File { path: "key.txt".into() }),
        credential("given", CredentialSource::Given),
        credential("local", CredentialSource::Generated { length: 32 }),
    ];
    house.credentials = all.into_iter().map(|one| (one.name.clone(), one)).collect();
    house
}

struct Ground {
    folder: TempDir,
}

impl Ground {
    fn new() -> Ground {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key.txt"), "from a file\n").unwrap();
        Ground { folder }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn open(&self) -> Result<OfflineVault, OfflineError> {
        let options = OfflineOptions { why: "apply".to_owned(), ..OfflineOptions::default() };
        OfflineVault::open(&house(), self.folder.path(), &self.state(), &options)
    }

    /// Action, subject and outcome of every entry about a read or a try of it.
    fn reads(&self) -> Vec<(String, Outcome, String)> {
        let store = SqliteStore::open(&self.state().join("house.db")).unwrap();
        let entries = store.trail(&TrailQuery { limit: 100, ..TrailQuery::default() }).unwrap();
        let reads = entries
            .into_iter()
            .map(|entry| entry.entry)
            .filter(|entry| entry.action == Action::CredentialRead);
        reads.map(|entry| (entry.subject, entry.outcome, entry.actor)).collect()
    }
}

fn wanted(name: &str, version: u64) -> SecretVersion {
    SecretVersion { credential: name.parse().unwrap(), version }
}

#[track_caller]
fn refused<T>(outcome: Result<T, OfflineError>, part: &str) -> OfflineError {
    let error = outcome.err().expect("a refusal");
    let told = crate::chain(&error);
    assert!(told.contains(part), "{told}");
    assert!(!error.remedy().is_empty());
    error
}

#[test]
fn a_plan_gets_its_values_and_each_read_its_entry() {
    let ground = Ground::new();
    let vault = ground.open().unwrap();
    let numbers = |vault: &OfflineVault| -> Vec<String> {
        vault.versions().unwrap().iter().map(|(name, version)| format!("{name} {version}")).collect()
    };
    assert_eq!(numbers(&vault), ["filed 1", "local 1", "made 1"]);
    let lacking = vault.lacking().unwrap();
    assert!(lacking["given"].contains("haus credential create given"), "{lacking:?}");
    assert_eq!(vault.value(&wanted("filed", 1)).unwrap().expose_bytes(), b"from a file");
    let made = vault.value(&wanted("made", 1)).unwrap();
    assert_eq!(made.expose_bytes().len(), 32);
    refused(vault.value(&wanted("given", 1)), "it has no value yet");
    refused(vault.value(&wanted("local", 1)), "to no host");
    refused(
        vault.value(&wanted("made", 2)),
        "version 2 of credential `made` was planned, version 1 is served",
    );
    let value = Secret::from("by hand".to_owned());
    assert_eq!(vault.give(&"given".parse().unwrap(), &value).unwrap(), 1);
    refused(vault.give(&"given".parse().unwrap(), &value), "given");
    refused(vault.give(&"made".parse().unwrap(), &value), "the plan generates it");
    refused(vault.give(&"unknown".parse().unwrap(), &value), "no credential `unknown`");
    assert_eq!(vault.value(&wanted("given", 1)).unwrap(), value);
    drop(vault);
    // What it kept is what a second one finds; a file that was changed is a further version.
    std::fs::write(ground.folder.path().join("key.txt"), "another").unwrap();
    let vault = ground.open().unwrap();
    assert_eq!(numbers(&vault), ["filed 2", "given 1", "local 1", "made 1"]);
    assert_eq!(vault.value(&wanted("made", 1)).unwrap(), made);
    assert_eq!(vault.value(&wanted("filed", 2)).unwrap().expose_bytes(), b"another");
    drop(vault);
    let actor = format!("admin:uid={}", rustix::process::geteuid().as_raw());
    let read = |name: &str, outcome| (format!("credential:{name}"), outcome, actor.clone());
    let reads = ground.reads();
    let allowed = ["filed", "made", "given", "made", "filed"].map(|name| read(name, Outcome::Allowed));
    let (denied, rest): (Vec<_>, Vec<_>) = reads.into_iter().partition(|entry| entry.1 != Outcome::Allowed);
    assert_eq!((denied, rest), (vec![read("local", Outcome::Denied)], allowed.to_vec()));
}

#[test]
fn only_one_is_in_the_vault_and_the_next_comes_when_it_has_ended() {
    let ground = Ground::new();
    let first = ground.open().unwrap();
    let error = refused(ground.open(), "held by process");
    assert!(matches!(error, OfflineError::Held { .. }) && error.remedy().contains("haus down"));
    drop(first);
    ground.open().unwrap();
}

#[test]
fn a_trail_that_was_cut_is_noticed_before_anything_is_read() {
    let ground = Ground::new();
    drop(ground.open().unwrap().versions().unwrap());
    let database = ground.state().join("house.db");
    let copy = std::fs::read(&database).unwrap();
    let vault = ground.open().unwrap();
    vault.value(&wanted("made", 1)).unwrap();
    drop(vault);
    // Somebody puts the database of before back, so that the read was never there.
    std::fs::write(&database, copy).unwrap();
    for side in ["house.db-wal", "house.db-shm"] {
        let _ = std::fs::remove_file(ground.state().join(side));
    }
    let anchor = std::fs::read(ground.state().join("trail-anchor.json")).unwrap();
    refused(ground.open(), "which was anchored");
    assert_eq!(
        std::fs::read(ground.state().join("trail-anchor.json")).unwrap(),
        anchor,
        "it is the evidence"
    );
}

#[tokio::test]
async fn it_is_opened_and_asked_inside_a_runtime_too() {
    let ground = Ground::new();
    let vault = ground.open().unwrap();
    assert_eq!(vault.versions().unwrap().len(), 3);
}

#[test]
fn what_it_makes_is_for_its_own_account_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let ground = Ground::new();
    ground.open().unwrap().versions().unwrap();
    for name in ["house.db", "keyring", "trail-anchor.json", "lock"] {
        let mode = std::fs::metadata(ground.state().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
    let mode = std::fs::metadata(ground.state()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755, "services pass through it");
}
