//! `haus credential show` and `versions`: everything about one but its value.

use super::Running;
use super::list::rotation;
use super::resolve::{called, meant};
use crate::arguments::CredentialOne;
use crate::exit::{Code, DONE, Failure};
use crate::listing::{self, NOTHING, count};
use crate::terminal;
use haus_api::credential::{Credential, Version};

pub(super) fn cmd_show(arguments: &CredentialOne) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    let found = meant(&running, &arguments.name)?;
    if arguments.asked.json {
        terminal::json(&found);
    } else {
        terminal::out(&page(&found));
    }
    Ok(DONE)
}

pub(super) fn cmd_versions(arguments: &CredentialOne) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    let found = meant(&running, &arguments.name)?;
    let versions = running.ask(running.client.credential_versions(&found.id))?;
    if arguments.asked.json {
        terminal::json(&versions);
    } else {
        terminal::out(&table(&versions));
    }
    Ok(DONE)
}

fn page(one: &Credential) -> String {
    let made_by = if one.origin == "plan" { "the plan" } else { "the API" };
    let rotations = count(one.rotation_count, "rotation so far", "rotations so far");
    let metadata =
        (!one.metadata.is_empty()).then(|| serde_json::Value::Object(one.metadata.clone()).to_string());
    listing::page(
        &called(one),
        &[
            ("id", Some(one.id.clone())),
            ("kind", Some(one.credential_type.to_string())),
            ("made by", Some(made_by.to_owned())),
            ("for", Some(listing::names(&one.scope))),
            ("version", Some(format!("{}, {rotations}", one.version))),
            ("rotation", Some(rotation(one))),
            ("expires", one.expires_at.clone()),
            ("made", Some(one.created_at.clone())),
            ("changed", Some(one.updated_at.clone())),
            ("last read", Some(one.last_used.clone().unwrap_or_else(|| "never".to_owned()))),
            ("description", one.description.clone()),
            ("metadata", metadata),
        ],
    )
}

fn table(versions: &[Version]) -> String {
    let row = |version: &Version| {
        [
            version.version.to_string(),
            version.state.clone(),
            version.created_at.clone(),
            version.valid_until.clone().unwrap_or_else(|| NOTHING.to_owned()),
            version.key_id.clone(),
        ]
    };
    let rows: Vec<_> = versions.iter().map(row).collect();
    listing::table(["VERSION", "STATE", "MADE", "VALID UNTIL", "SEALED WITH"], &rows)
}

#[cfg(test)]
mod tests {
    use super::super::resolve::tests::credential;
    use super::*;

    #[test]
    fn a_page_says_what_is_known_and_leaves_out_the_rest() {
        let mut one = credential("id-1", None, "smtp-password");
        one.scope = vec!["web".parse().expect("a name")];
        let text = page(&one);
        assert!(text.starts_with("/smtp-password\n  id         id-1\n"), "{text}");
        assert!(text.contains("made by    the plan\n") && text.contains("last read  never\n"), "{text}");
        assert!(!text.contains("expires") && !text.contains("metadata"), "{text}");
    }
}
