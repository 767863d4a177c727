//! `haus vault`: which keys the credentials are sealed with, and changing them. Never a key.

use super::running::Running;
use crate::arguments::{Asked, Vault, VaultAct};
use crate::exit::{Code, DONE, FINDINGS, Failure};
use crate::{listing, terminal};
use haus_api::identity::KeyRotated;
use haus_api::vault::VaultStatus;
use haus_coordinator::trail_verify::Fingerprint;
use std::time::Duration;

/// Everything in the vault is wrapped anew before the answer comes.
const ROTATION_PATIENCE: Duration = Duration::from_secs(10 * 60);

pub(crate) fn cmd_vault(arguments: &Vault) -> Result<Code, Failure> {
    match &arguments.act {
        None => status(&arguments.asked),
        Some(VaultAct::Status(asked)) => status(asked),
        Some(VaultAct::RotateKey(asked)) => rotate_key(asked),
    }
}

fn status(asked: &Asked) -> Result<Code, Failure> {
    let running = Running::of(&asked.target)?;
    let status = running.ask(running.client.vault())?;
    if asked.json {
        terminal::json(&status);
    } else {
        terminal::out(&page(&status));
    }
    let is_well = status.warnings.is_empty() && status.old_keys.is_empty();
    Ok(if is_well { DONE } else { FINDINGS })
}

fn page(status: &VaultStatus) -> String {
    let old = (!status.old_keys.is_empty()).then(|| {
        let versions = listing::count(status.under_old_keys, "sealed value needs", "sealed values need");
        format!("{} ({versions} them)", listing::names(&status.old_keys))
    });
    let anchor = status.anchor_key.as_deref().and_then(fingerprint);
    let mut text = listing::page(
        "the key ring of the credentials",
        &[
            ("kept in", Some(status.place.clone())),
            ("active key", Some(status.active_key.clone())),
            ("old keys", old),
            ("fingerprint", Some(status.fingerprint.clone())),
            ("anchor key", anchor),
        ],
    );
    for warning in &status.warnings {
        text.push_str(&format!("warning: {}\n", terminal::harmless(warning)));
    }
    text
}

/// The fingerprint of a public key in hexadecimal digits, as `haus trail verify` prints it.
fn fingerprint(hexadecimal: &str) -> Option<String> {
    let pairs = hexadecimal.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let key: Vec<u8> = pairs.map(byte).collect::<Option<_>>()?;
    Some(Fingerprint::of(&key).to_string())
}

fn rotate_key(asked: &Asked) -> Result<Code, Failure> {
    let mut running = Running::of(&asked.target)?;
    running.client = running.client.with_patience(ROTATION_PATIENCE);
    let rotated = running.order(running.client.rotate_vault_key())?;
    if asked.json {
        terminal::json(&rotated);
    } else {
        let wrapped = listing::count(rotated.resealed.unwrap_or(0), "sealed value was", "sealed values were");
        let former = match rotated.former.as_slice() {
            [] => "the former key is gone".to_owned(),
            former => format!("still needed: {}", former.join(", ")),
        };
        terminal::line(&format!("key {} is in force; {wrapped} wrapped anew; {former}", rotated.key_id));
        terminal::line("copies of the key ring made before no longer open this house: keep a new one");
        if let Some(told) = anchor_line(&rotated) {
            terminal::line(&told);
        }
    }
    Ok(DONE)
}

/// Who noted the key of the trail's anchors must note the one that took its place.
fn anchor_line(rotated: &KeyRotated) -> Option<String> {
    let now = rotated.anchor_key.as_deref().and_then(fingerprint)?;
    let instead = match rotated.former_anchor_key.as_deref().and_then(fingerprint) {
        Some(former) => format!(" instead of {former}"),
        None => String::new(),
    };
    Some(format!(
        "the trail's anchor is signed by the key {now} from here on{instead}: demand it with \
        `haus trail verify --key`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hexadecimal: &str, expected: Option<&str>) {
        assert_eq!(fingerprint(hexadecimal).as_deref(), expected);
    }

    #[test]
    fn the_fingerprint_of_a_key_is_its_sha_256() {
        // SHA-256 of nothing (FIPS 180-4 examples) and of the bytes 00.
        check("", Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        check("00", Some("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"));
        check("zz", None);
    }

    #[test]
    fn a_new_anchor_key_is_told_beside_the_one_that_was_noted() {
        let key = |text: &str| Some(text.to_owned());
        let mut rotated = KeyRotated {
            key_id: "k2".into(),
            former: Vec::new(),
            resealed: Some(1),
            anchor_key: key("00"),
            former_anchor_key: key(""),
        };
        let told = anchor_line(&rotated).unwrap();
        assert!(told.contains("by the key 6e340b9c") && told.contains("instead of e3b0c442"), "{told}");
        rotated.anchor_key = None;
        assert_eq!(anchor_line(&rotated), None);
    }

    #[test]
    fn a_rotation_that_is_not_done_and_a_bad_place_are_said() {
        let status = VaultStatus {
            place: "file /s/keyring".into(),
            active_key: "k2".into(),
            old_keys: vec!["k1".into()],
            fingerprint: "f".into(),
            under_old_keys: 1,
            anchor_key: None,
            warnings: vec!["it can be read by others".into()],
        };
        let text = page(&status);
        assert!(text.contains("old keys     k1 (1 sealed value needs them)"), "{text}");
        assert!(text.ends_with("warning: it can be read by others\n"), "{text}");
    }
}
