//! Layers over workspaces that do not exist, so that each rule is seen to fail.

use super::*;
use crate::workspace::fake;

const RULES: &str = r#"
order = [["haus"], ["haus-store", "haus-gateway"], ["haus-model"]]
dev_only = ["haus-testkit"]
[crates]
haus = ["haus-store", "haus-gateway", "haus-model"]
haus-store = ["haus-model"]
haus-gateway = ["haus-model"]
haus-model = []
haus-testkit = ["haus-store"]
[[forbidden]]
everywhere = true
names = ["ring"]
reason = "one provider"
[[forbidden]]
in = ["haus-model"]
names = ["tokio"]
reason = "pure"
[[forbidden]]
in = ["haus"]
direct = true
names = ["rusqlite"]
reason = "no SQL here"
"#;

/// A workspace in order: each test adds dependencies to one of its packages.
fn check(changes: &[(&str, &[&str])], expected: &[&str]) {
    let mut packages: BTreeMap<&str, Vec<&str>> = BTreeMap::from([
        ("haus", vec!["haus-store", "haus-gateway", "haus-model"]),
        ("haus-store", vec!["haus-model", "rusqlite", "dev:haus-testkit"]),
        ("haus-gateway", vec!["haus-model", "tokio"]),
        ("haus-model", vec!["serde"]),
        ("haus-testkit", vec!["haus-store"]),
        ("serde", vec![]),
        ("tokio", vec![]),
        ("rusqlite", vec![]),
    ]);
    for (name, dependencies) in changes {
        packages.entry(name).or_default().extend(*dependencies);
    }
    let listed: Vec<(&str, &[&str])> =
        packages.iter().map(|(name, dependencies)| (*name, dependencies.as_slice())).collect();
    let faults = check_workspace(&parse(RULES).unwrap(), &fake::workspace(&listed));
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(texts, expected);
}

#[test]
fn a_workspace_in_order_has_no_fault() {
    check(&[], &[]);
}

#[test]
fn neighbours_in_one_group_stay_strangers() {
    check(
        &[("haus-gateway", &["haus-store"])],
        &["crates/haus-gateway/Cargo.toml: `haus-gateway` depends on `haus-store`; it may know: haus-model"],
    );
}

#[test]
fn nobody_looks_outwards_not_even_in_tests() {
    check(
        &[("haus-model", &["dev:haus-store"])],
        &["crates/haus-model/Cargo.toml: `haus-model` in its tests depends on `haus-store`; \
           it may know: none of ours"],
    );
}

#[test]
fn the_test_kit_is_for_tests_only() {
    check(
        &[("haus", &["haus-testkit"])],
        &["crates/haus/Cargo.toml: `haus` depends on `haus-testkit`; \
           it may know: haus-store, haus-gateway, haus-model"],
    );
}

#[test]
fn a_forbidden_package_is_found_behind_another_one() {
    check(&[("serde", &["tokio"])], &["crates/haus-model/Cargo.toml: haus-model → serde → tokio: pure"]);
}

#[test]
fn a_package_forbidden_everywhere_is_found_in_tests_too() {
    check(
        &[("haus-store", &["dev:ring"]), ("ring", &[])],
        &["Cargo.lock: `ring` (through tests only): one provider"],
    );
    check(
        &[("tokio", &["ring"]), ("ring", &[])],
        &["Cargo.lock: `ring` (haus → haus-gateway → tokio → ring): one provider"],
    );
}

#[test]
fn a_direct_rule_lets_a_lower_crate_bring_the_name() {
    check(&[("haus", &["rusqlite"])], &["crates/haus/Cargo.toml: haus → rusqlite: no SQL here"]);
}

#[test]
fn an_unlisted_crate_is_named() {
    check(&[("haus-new", &[])], &["layers.toml: crate `haus-new` is missing under [crates]"]);
}

#[test]
fn rules_that_point_outwards_are_faults_themselves() {
    let turned = RULES.replace("haus-model = []", "haus-model = [\"haus\"]\nhaus-gone = []");
    let faults = check_workspace(&parse(&turned).unwrap(), &fake::workspace(&[]));
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(
        texts.contains(
            &"layers.toml: `haus-model` may know `haus`, which does not stand further in".to_owned()
        ),
        "{texts:?}"
    );
    assert!(texts.contains(&"layers.toml: crate `haus-gone` is not in the workspace (any more)".to_owned()));
}

#[test]
fn a_misspelt_key_is_refused() {
    assert!(parse(&RULES.replace("direct = true", "directly = true")).is_err());
}
