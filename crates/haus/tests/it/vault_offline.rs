//! The vault of a house that does not run, for `haus apply`: one at a time, also after a kill, and the same
//! vault that the house has when it comes up.

use crate::home::{Home, SOON, server};
use haus_client::Client;
use haus_coordinator::{OfflineError, OfflineOptions, OfflineVault};
use haus_houseplan::DiskFiles;
use haus_model::resource::SecretVersion;
use haus_model::{House, Secret};
use haus_testkit::wait_until;
use std::process::{Child, Command, Stdio};

const KEYS: &str = "credentials:\n  key: { given: true, scope: [web, far] }\n  made: { length: 32, scope: [far] }\n\
                    \x20 own: { length: 32, scope: [web] }\n";

fn plan() -> String {
    let web = server("web", "", "credentials: { KEY: key, OWN: own }");
    let far = "  far:\n    as: systemd\n    on: web\n    run: /usr/bin/true\n    user: nobody\n    \
               credentials: { KEY: key, MADE: made }\n";
    format!("hosts: {{ web: {{ connect: \"ssh://web.example\" }} }}\nservices:\n{web}{far}{KEYS}")
}

fn read(home: &Home) -> House {
    let loaded = haus_houseplan::load(&home.house.folder(), &DiskFiles);
    loaded.plan.and_then(|mut plan| plan.stages.pop_first()).expect("the plan has no errors").1
}

fn open(home: &Home) -> Result<OfflineVault, OfflineError> {
    let options = OfflineOptions { why: "apply".into(), ..OfflineOptions::default() };
    OfflineVault::open(&read(home), &home.house.folder(), &home.house.state(), &options)
}

fn wanted(name: &str) -> SecretVersion {
    SecretVersion { credential: name.parse().expect("a name"), version: 1 }
}

/// A command that has opened the vault and waits for the value.
fn waiting(home: &Home) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haus"));
    command.args(["credential", "create", "key", "--from", "-", "--house"]).arg(home.house.folder());
    command.arg("--state").arg(home.house.state());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().expect("haus starts");
    let lock = home.house.state().join("lock");
    let mark = format!("\"pid\":{}", child.id());
    wait_until("the vault to be open", SOON, || {
        std::fs::read_to_string(&lock).is_ok_and(|text| text.contains(&mark))
            && home.house.state().join("keyring").exists()
    });
    child
}

#[test]
fn a_killed_holder_leaves_a_vault_that_the_next_one_opens_and_the_house_has() {
    let mut home = Home::new(&plan());
    home.house.write("key.txt", "by hand\n");
    let create = ["credential", "create", "key", "--from", "key.txt", "--house", "."];
    let mut holder = waiting(&home);
    let second = home.house.ask(&create);
    assert_eq!(second.code, Some(3), "{second:?}");
    assert!(
        second.stderr.contains("no house runs") || second.stderr.contains("does not answer"),
        "{second:?}"
    );
    assert!(matches!(open(&home), Err(OfflineError::Held { .. })));
    holder.kill().expect("it is our own child");
    holder.wait().expect("it is our own child");
    let created = home.ask(&create);
    assert!(created.contains("version 1") && created.contains("no house runs there"), "{created}");
    let again = home.house.ask(&create);
    assert_eq!(again.code, Some(3), "{again:?}");
    let vault = open(&home).expect("the vault");
    assert_eq!(vault.versions().expect("versions").len(), 3);
    assert_eq!(vault.value(&wanted("key")).expect("a value"), Secret::from("by hand".to_owned()));
    let made = vault.value(&wanted("made")).expect("a value");
    assert!(vault.value(&wanted("own")).is_err(), "it goes to no host");
    drop(vault);
    // The house has the same vault, and everything that was read stands in its trail.
    home.begin();
    home.wait_for_phase("web/1", "healthy");
    let error = open(&home).err().map(|error| haus_model::error::chain(&error)).unwrap_or_default();
    assert!(error.contains("held by process"), "{error}");
    let client = Client::new(home.house.state().join("run/control.sock"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let deployable = runtime.block_on(client.deployable()).expect("the house answers");
    assert_eq!((deployable.versions.len(), deployable.lacking.len()), (3, 0), "{deployable:?}");
    let value = |name: &str| runtime.block_on(client.deploy_value(&wanted(name)));
    assert_eq!(value("made").expect("a value"), made);
    let refused = value("own").expect_err("it goes to no host");
    assert!(refused.to_string().contains("to no host"), "{refused}");
    let trail = home.ask(&["trail", "--json", "--action", "credential-read", "-n", "100"]);
    let shown: serde_json::Value = serde_json::from_str(&trail).expect("the trail is JSON");
    let entries = shown["entries"].as_array().cloned().unwrap_or_default();
    let told = |name: &str, outcome: &str| {
        let about = |entry: &&serde_json::Value| entry["entity_id"] == name && entry["outcome"] == outcome;
        entries.iter().filter(about).count()
    };
    assert_eq!((told("made", "allowed"), told("own", "denied")), (2, 2), "{trail}");
    assert!(trail.contains("deploy"), "{trail}");
    assert!(!trail.contains("by hand"), "{trail}");
    home.ask(&["trail", "verify"]);
    home.down();
}

#[test]
fn what_a_person_has_to_give_is_told_and_a_house_without_plan_is_not_guessed() {
    let home = Home::new(&plan());
    let vault = open(&home).expect("the vault");
    let lacking = vault.lacking().expect("what is lacking");
    assert!(lacking["key"].contains("haus credential create key"), "{lacking:?}");
    drop(vault);
    home.house.write("other.txt", "value\n");
    let create =
        |name: &str| home.house.ask(&["credential", "create", name, "--from", "other.txt", "--house", "."]);
    let unknown = create("unknown");
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    let made = create("made");
    assert_eq!(made.code, Some(3), "{made:?}");
    assert!(made.stderr.contains("generates it"), "{made:?}");
}
