//! `haus trail verify`: whether a trail is whole, as far as it can tell, and what to hold it
//! against otherwise.

use super::Running;
use crate::arguments::TrailVerify;
use crate::exit::{Code, DONE, FINDINGS, Failure, WRONG_USE, chain};
use crate::listing::count;
use crate::terminal;
use haus_coordinator::Places;
use haus_coordinator::trail_verify::{
    AnchorFileError, CheckedAnchor, ExportVerifier, TrailForm, Verified, VerifyError, read_anchor,
    verify_copy,
};
use haus_supervise::lock::Lock;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

pub(super) fn cmd_verify(arguments: &TrailVerify) -> Result<Code, Failure> {
    let (what, anchor, verified) = match &arguments.copy {
        Some(copy) => {
            let anchor = arguments.anchor.as_deref().map(|path| anchor(path, arguments)).transpose();
            let Some(anchor) = believed(anchor, arguments)? else { return Ok(FINDINGS) };
            let verified = verify_copy(copy, anchor.as_ref()).map_err(|error| unreadable(&error))?;
            (copy.display().to_string(), anchor, verified)
        }
        None => {
            let running = Running::of(&arguments.asked.target)?;
            let anchor = own_anchor(&running.places, arguments);
            let Some(anchor) = believed(anchor, arguments)? else { return Ok(FINDINGS) };
            let (what, verified) = own_trail(&running, anchor.as_ref())?;
            (what, anchor, verified)
        }
    };
    if arguments.asked.json {
        terminal::json(&json(&what, anchor.as_ref(), &verified));
    } else {
        terminal::out(&text(&what, anchor.as_ref(), &verified));
    }
    Ok(if verified.is_sound() { DONE } else { FINDINGS })
}

fn anchor(path: &Path, arguments: &TrailVerify) -> Result<CheckedAnchor, AnchorFileError> {
    read_anchor(path, arguments.key)
}

/// The house's own anchor, unless another is named; none before the first.
fn own_anchor(places: &Places, arguments: &TrailVerify) -> Result<Option<CheckedAnchor>, AnchorFileError> {
    if let Some(path) = &arguments.anchor {
        return anchor(path, arguments).map(Some);
    }
    let path = anchor_path(places);
    if path.exists() { anchor(&path, arguments).map(Some) } else { Ok(None) }
}

/// Where a house keeps its anchor (docs/formats/trail.md).
fn anchor_path(places: &Places) -> PathBuf {
    places.state().join("trail-anchor.json")
}

/// An anchor that is not to be believed is told as what it is: a finding. Outer none: it was told.
fn believed(
    anchor: Result<Option<CheckedAnchor>, AnchorFileError>,
    arguments: &TrailVerify,
) -> Result<Option<Option<CheckedAnchor>>, Failure> {
    match anchor {
        Ok(None) if arguments.key.is_some() => {
            Err(Failure::new(WRONG_USE, "--key says whose anchor is believed, and there is no anchor")
                .hint("name one with --anchor FILE"))
        }
        Ok(anchor) => Ok(Some(anchor)),
        Err(error) if error.is_finding() => {
            if arguments.asked.json {
                terminal::json(&serde_json::json!({ "sound": false, "anchor_fault": chain(&error) }));
            } else {
                terminal::line(&format!("NOT SOUND: {}", chain(&error)));
            }
            Ok(None)
        }
        Err(error) => Err(Failure::from_error(
            WRONG_USE,
            &error,
            "name an anchor with --anchor FILE, such as a copy of the `trail-anchor.json` of a state folder",
        )),
    }
}

/// The trail of the house that is meant: asked for while it runs, else read where it lies.
fn own_trail(running: &Running, anchor: Option<&CheckedAnchor>) -> Result<(String, Verified), Failure> {
    if Lock::holder(running.places.state()).is_none() {
        let database = running.places.database();
        let verified = verify_copy(&database, anchor).map_err(|error| unreadable(&error))?;
        return Ok((database.display().to_string(), verified));
    }
    let mut verifier = ExportVerifier::new(anchor);
    let call = running.client.export_trail(|part| {
        verifier.take(part);
        ControlFlow::<()>::Continue(())
    });
    let _: ControlFlow<()> = running.ask(call)?;
    Ok((format!("the trail of the running house in {}", running.places.state().display()), verifier.finish()))
}

fn unreadable(error: &VerifyError) -> Failure {
    Failure::from_error(
        WRONG_USE,
        error,
        "name a copy of a house.db, or an export made with `haus trail export`",
    )
}

fn text(what: &str, anchor: Option<&CheckedAnchor>, verified: &Verified) -> String {
    let mut text = String::new();
    let report = &verified.report;
    // Writing into a String cannot fail.
    for fault in &report.faults {
        let _ = writeln!(text, "fault: {}", terminal::harmless(&fault.to_string()));
    }
    for (seq, columns) in &verified.mislabelled {
        let columns = columns.join(", ");
        let _ = writeln!(text, "fault: entry {seq} is filed under something else than it says: {columns}");
    }
    let faults = faults(verified);
    let unlisted = report.faults_unlisted + verified.mislabelled_unlisted;
    if unlisted > 0 {
        let _ = writeln!(text, "and {} more", count(unlisted, "fault", "faults"));
    }
    let verdict = if faults == 0 {
        "sound".to_owned()
    } else {
        format!("NOT SOUND: {}", count(faults, "fault", "faults"))
    };
    let _ = writeln!(text, "{what}: {verdict} · {}", count(report.entries, "entry", "entries"));
    let _ = writeln!(text, "head: entry {} {}", report.head.seq, report.head.hash);
    if verified.start.seq > 0 {
        let _ = writeln!(
            text,
            "start: after entry {} {}; only an anchor of that entry says that no more was cut off",
            verified.start.seq, verified.start.hash
        );
    }
    match anchor {
        Some(CheckedAnchor { anchor, fingerprint }) => {
            let (seq, house, at) = (anchor.head.seq, &anchor.house, anchor.at);
            let _ = writeln!(text, "anchor: entry {seq} of house {house}, signed {at}");
            let _ = writeln!(text, "key: {fingerprint} (demand it the next time with --key)");
        }
        None => text.push_str("no anchor: a cut end, or a trail written anew as a whole, cannot be seen\n"),
    }
    text
}

/// All of them, also those that are not listed.
fn faults(verified: &Verified) -> u64 {
    let listed = verified.report.faults.len() + verified.mislabelled.len();
    u64::try_from(listed).unwrap_or(u64::MAX)
        + verified.report.faults_unlisted
        + verified.mislabelled_unlisted
}

fn json(what: &str, anchor: Option<&CheckedAnchor>, verified: &Verified) -> serde_json::Value {
    let report = &verified.report;
    let form = match verified.form {
        TrailForm::Database(format) => format!("database format {format}"),
        TrailForm::Export => "export".to_owned(),
    };
    let fault = |fault: &_| serde_json::json!({ "fault": fault, "text": format!("{fault}") });
    let mislabelled =
        |(seq, columns): &(u64, Vec<&str>)| serde_json::json!({ "seq": seq, "columns": columns });
    let anchor = anchor.map(|CheckedAnchor { anchor, fingerprint }| {
        serde_json::json!({
            "house": anchor.house, "seq": anchor.head.seq, "at": anchor.at.to_string(),
            "key_id": anchor.key_id, "fingerprint": fingerprint.to_string(),
        })
    });
    serde_json::json!({
        "what": what,
        "form": form,
        "sound": verified.is_sound(),
        "entries": report.entries,
        "start": { "seq": verified.start.seq, "hash": verified.start.hash.to_string() },
        "head": { "seq": report.head.seq, "hash": report.head.hash.to_string() },
        "faults": report.faults.iter().map(fault).collect::<Vec<_>>(),
        "mislabelled": verified.mislabelled.iter().map(mislabelled).collect::<Vec<_>>(),
        "faults_unlisted": report.faults_unlisted + verified.mislabelled_unlisted,
        "anchor": anchor,
    })
}
