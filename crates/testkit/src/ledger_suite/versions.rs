//! Cases of versions and rotations: the life of a sealed value.

use super::{Case, all_done, create, credential, done, name, refused, version};
use haus_model::Timestamp;
use haus_store::{Conflict, Ledger, RotationRow, VersionRow, VersionState, Write};

pub(super) const CASES: &[Case] = &[
    ("versions are added in the state they have", added),
    ("promoting makes one current and keeps the former for a while", promoted),
    ("promoting again changes nothing, and undoing goes the same way", promoted_again),
    ("retiring wipes the bytes and keeps the row", retired),
    ("a value is sealed anew only where nobody else did", resealed),
    ("versions under other keys are found in pages", other_keys),
    ("one rotation of a credential is open at a time", rotations),
];

pub(super) fn rotation(id: &str, credential: &str, began: i64, ended: Option<i64>) -> RotationRow {
    RotationRow {
        id: id.into(),
        credential: credential.into(),
        began_at: Timestamp(began),
        ended_at: ended.map(Timestamp),
        state: r#"{"step":"deliver"}"#.into(),
    }
}

fn add(row: VersionRow) -> Write {
    Write::VersionAdd(Box::new(row))
}

fn promote(version: u64, at: i64, previous_until: Option<i64>) -> Write {
    Write::VersionPromote {
        credential: "c1".into(),
        version,
        at: Timestamp(at),
        previous_until: previous_until.map(Timestamp),
        expires_at: Some(Timestamp(500)),
    }
}

fn retire(version: u64) -> Write {
    Write::VersionRetire { credential: "c1".into(), version }
}

fn label(version: u64) -> String {
    format!("version {version} of credential c1")
}

fn states(ledger: &dyn Ledger) -> Vec<(u64, VersionState)> {
    ledger.versions("c1").unwrap().into_iter().map(|row| (row.version, row.state)).collect()
}

fn added(ledger: &dyn Ledger) {
    let second = VersionRow { valid_until: Some(Timestamp(9)), ..version("c1", 2, VersionState::Pending) };
    refused(ledger, add(second.clone()), Conflict::Missing("credential c1".into()));
    done(ledger, create(&credential("c1", "db")));
    done(ledger, add(second.clone()));
    refused(ledger, add(second.clone()), Conflict::Exists(label(2)));
    refused(ledger, add(version("c1", 3, VersionState::Current)), Conflict::Exists(label(1)));
    assert_eq!(ledger.versions("c1").unwrap(), [version("c1", 1, VersionState::Current), second]);
    let readable = ledger.readable_by(&name("api")).unwrap();
    assert_eq!(readable[0].1.len(), 1, "what is pending is not handed out");
    assert_eq!(ledger.credential("c1").unwrap().unwrap().revision, 1);
}

fn promoted(ledger: &dyn Ledger) {
    let mut row = credential("c1", "db");
    row.rotation_required = true;
    done(ledger, create(&row));
    refused(ledger, promote(2, 20, None), Conflict::Missing(label(2)));
    all_done(ledger, vec![add(version("c1", 2, VersionState::Pending)), promote(2, 20, Some(60))]);
    assert_eq!(states(ledger), [(1, VersionState::Previous), (2, VersionState::Current)]);
    let now = ledger.credential("c1").unwrap().unwrap();
    assert_eq!((now.version, now.rotation_count, now.revision, now.rotation_required), (2, 1, 2, false));
    assert_eq!(
        (now.rotated_at, now.updated_at, now.expires_at),
        (Timestamp(20), Timestamp(20), Some(Timestamp(500)))
    );
    let (_, readable) = ledger.readable_by(&name("api")).unwrap().remove(0);
    let readable: Vec<_> = readable.into_iter().map(|row| (row.version, row.valid_until)).collect();
    assert_eq!(readable, [(2, None), (1, Some(Timestamp(60)))]);
}

fn promoted_again(ledger: &dyn Ledger) {
    done(ledger, create(&credential("c1", "db")));
    all_done(ledger, vec![add(version("c1", 2, VersionState::Pending)), promote(2, 20, Some(60))]);
    let once = (ledger.credential("c1").unwrap(), ledger.versions("c1").unwrap());
    done(ledger, promote(2, 30, Some(90)));
    assert_eq!((ledger.credential("c1").unwrap(), ledger.versions("c1").unwrap()), once);
    done(ledger, promote(1, 40, None));
    assert_eq!(states(ledger), [(1, VersionState::Current), (2, VersionState::Previous)]);
    assert_eq!(ledger.versions("c1").unwrap()[0].valid_until, None);
    let row = ledger.credential("c1").unwrap().unwrap();
    assert_eq!((row.version, row.rotation_count, row.revision), (1, 2, 3));
    done(ledger, retire(2));
    refused(ledger, promote(2, 50, None), Conflict::Used(label(2)));
}

fn retired(ledger: &dyn Ledger) {
    done(ledger, create(&credential("c1", "db")));
    refused(ledger, retire(1), Conflict::Used(label(1)));
    refused(ledger, retire(2), Conflict::Missing(label(2)));
    done(ledger, add(version("c1", 2, VersionState::Pending)));
    for _ in 0..2 {
        done(ledger, retire(2));
        let kept = ledger.versions("c1").unwrap().remove(1);
        assert_eq!(kept, VersionRow { sealed: Vec::new(), ..version("c1", 2, VersionState::Retired) });
    }
    refused(ledger, add(version("c1", 2, VersionState::Pending)), Conflict::Exists(label(2)));
}

fn resealed(ledger: &dyn Ledger) {
    let reseal = |version, from: &[u8], to: &[u8]| Write::VersionReseal {
        credential: "c1".into(),
        version,
        from: from.to_vec(),
        to: to.to_vec(),
        key_id: "k2".into(),
    };
    refused(ledger, reseal(1, &[1], &[2]), Conflict::Missing(label(1)));
    done(ledger, create(&credential("c1", "db")));
    refused(ledger, reseal(1, &[1], &[2]), Conflict::Revision(1));
    done(ledger, reseal(1, &[0, 255, 1], &[0, 0]));
    let expected =
        VersionRow { sealed: vec![0, 0], key_id: "k2".into(), ..version("c1", 1, VersionState::Current) };
    assert_eq!(ledger.versions("c1").unwrap(), [expected]);
    refused(ledger, reseal(1, &[0, 255, 1], &[3]), Conflict::Revision(1));
    all_done(ledger, vec![add(version("c1", 2, VersionState::Pending)), retire(2)]);
    refused(ledger, reseal(2, &[], &[3]), Conflict::Missing(label(2)));
}

fn other_keys(ledger: &dyn Ledger) {
    done(ledger, create(&credential("c1", "db")));
    let under_k2 = VersionRow { key_id: "k2".into(), ..version("c1", 2, VersionState::Pending) };
    done(ledger, add(under_k2));
    all_done(ledger, vec![add(version("c1", 3, VersionState::Pending)), retire(3)]);
    done(ledger, create(&credential("c0", "mail")));
    let found = |key: &str, limit| -> Vec<(String, u64)> {
        let rows = ledger.versions_not_under(key, limit).unwrap();
        rows.into_iter().map(|row| (row.credential, row.version)).collect()
    };
    assert_eq!(found("k2", 10), [("c0".to_owned(), 1), ("c1".to_owned(), 1)]);
    assert_eq!(found("k2", 1), [("c0".to_owned(), 1)]);
    assert_eq!(found("k1", 10), [("c1".to_owned(), 2)]);
    assert_eq!(found("k3", 10).len(), 3, "what is retired has no bytes that could be sealed");
}

fn rotations(ledger: &dyn Ledger) {
    let put = |row: &RotationRow| Write::RotationPut(Box::new(row.clone()));
    let mut first = rotation("r1", "c1", 5, None);
    refused(ledger, put(&first), Conflict::Missing("credential c1".into()));
    done(ledger, create(&credential("c1", "db")));
    done(ledger, create(&credential("c2", "mail")));
    done(ledger, put(&first));
    let second = rotation("r2", "c1", 9, None);
    refused(ledger, put(&second), Conflict::Exists("rotation r1 of credential c1".into()));
    let other = rotation("r3", "c2", 1, None);
    done(ledger, put(&other));
    assert_eq!(ledger.rotations(None).unwrap(), [other.clone(), first.clone()]);
    first.state = r#"{"step":"done"}"#.into();
    done(ledger, put(&first));
    first.ended_at = Some(Timestamp(8));
    all_done(ledger, vec![put(&first), put(&second)]);
    assert_eq!(ledger.rotations(None).unwrap(), [other, second.clone()]);
    assert_eq!(ledger.rotations(Some("c1")).unwrap(), [second, first]);
    assert_eq!(ledger.rotations(Some("c9")).unwrap(), []);
}
