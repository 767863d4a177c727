//! Cases of credentials: what can be changed, by whom it is found, in which order it is listed.

use super::{Case, create, credential, done, name, refused, version};
use haus_model::{CredentialKind, Timestamp};
use haus_store::{
    Batch, Conflict, CredentialChange, CredentialOrigin, CredentialQuery, CredentialRow, Ledger, SortBy,
    StoreError, VersionState, Write,
};

pub(super) const CASES: &[Case] = &[
    ("an empty ledger has no credentials", empty),
    ("a credential comes back as it went in", round_trip),
    ("owner and name together are unique", unique),
    ("a credential is created with its current version only", created_whole),
    ("a change changes what it names and nothing else", changes),
    ("a change of another revision than the caller saw is refused", revisions),
    ("reading moves the time of use forward and leaves the revision", used),
    ("deleting takes versions and rotations along and frees the name", deleting),
    ("a service is given what it is in the scope of", by_service),
    ("a list is filtered, sorted, cut and counted", lists),
    ("metadata that is no JSON is refused, and the ledger works on", odd_metadata),
];

fn update(id: &str, if_revision: Option<u64>, at: i64, change: CredentialChange) -> Write {
    Write::CredentialUpdate { id: id.into(), if_revision, change: Box::new(change), at: Timestamp(at) }
}

fn missing(id: &str) -> Conflict {
    Conflict::Missing(format!("credential {id}"))
}

fn empty(ledger: &dyn Ledger) {
    assert_eq!(ledger.credential("c1").unwrap(), None);
    assert_eq!(ledger.credential_named(None, "db").unwrap(), None);
    let query = CredentialQuery { limit: 10, ..CredentialQuery::default() };
    assert_eq!(ledger.credentials(&query).unwrap(), (Vec::new(), 0));
    assert_eq!(ledger.versions("c1").unwrap(), []);
    assert_eq!(ledger.readable_by(&name("api")).unwrap(), []);
    assert_eq!(ledger.versions_not_under("k1", 10).unwrap(), []);
    assert_eq!(ledger.rotations(None).unwrap(), []);
}

fn round_trip(ledger: &dyn Ledger) {
    let full = CredentialRow {
        owner: Some(name("api")),
        origin: CredentialOrigin::Plan,
        rotation_required: true,
        last_used_at: Some(Timestamp(5)),
        ..credential("c1", "db")
    };
    let bare = CredentialRow {
        description: None,
        metadata: "{}".into(),
        scope: Vec::new(),
        rotate_days: None,
        expires_at: None,
        ..credential("c2", "db")
    };
    for row in [&full, &bare] {
        done(ledger, create(row));
        assert_eq!(ledger.credential(&row.id).unwrap().as_ref(), Some(row));
        assert_eq!(ledger.credential_named(row.owner.as_ref(), "db").unwrap().as_ref(), Some(row));
        assert_eq!(ledger.versions(&row.id).unwrap(), [version(&row.id, 1, VersionState::Current)]);
    }
    for (at, kind) in CredentialKind::ALL.into_iter().enumerate() {
        let row = CredentialRow { kind, ..credential(&format!("k{at}"), &format!("kind-{at}")) };
        done(ledger, create(&row));
        assert_eq!(ledger.credential(&row.id).unwrap(), Some(row));
    }
}

fn unique(ledger: &dyn Ledger) {
    let of_api = CredentialRow { owner: Some(name("api")), ..credential("c2", "db") };
    done(ledger, create(&credential("c1", "db")));
    done(ledger, create(&of_api));
    refused(ledger, create(&credential("c3", "db")), Conflict::Exists("credential `db`".into()));
    let again = CredentialRow { id: "c3".into(), ..of_api };
    refused(ledger, create(&again), Conflict::Exists("credential `db` of api".into()));
    refused(ledger, create(&credential("c1", "other")), Conflict::Exists("credential c1".into()));
    assert_eq!(ledger.credential_named(Some(&name("web")), "db").unwrap(), None);
}

fn created_whole(ledger: &dyn Ledger) {
    let row = credential("c1", "db");
    let expected = Conflict::Missing("the current version of credential c1".into());
    for first in [
        version("c1", 1, VersionState::Pending),
        version("c1", 2, VersionState::Current),
        version("c9", 1, VersionState::Current),
    ] {
        let write = Write::CredentialCreate(Box::new(row.clone()), Box::new(first));
        refused(ledger, write, expected.clone());
    }
}

/// Changes a credential, of which the commit must tell the row that is there afterwards.
#[track_caller]
fn told(ledger: &dyn Ledger, update: Write) {
    let changed = done(ledger, update).changed;
    assert_eq!(changed, [ledger.credential("c1").unwrap().unwrap()]);
}

fn changes(ledger: &dyn Ledger) {
    let mut row = credential("c1", "db");
    done(ledger, create(&row));
    told(ledger, update("c1", None, 20, CredentialChange::default()));
    (row.revision, row.updated_at) = (2, Timestamp(20));
    assert_eq!(ledger.credential("c1").unwrap().as_ref(), Some(&row));
    let all = CredentialChange {
        description: Some(None),
        metadata: Some("[]".into()),
        kind: Some(CredentialKind::Jwt),
        scope: Some(vec![name("api"), name("shop"), name("api")]),
        expires_at: Some(None),
        rotation_required: Some(true),
        rotate_days: Some(None),
    };
    told(ledger, update("c1", Some(2), 30, all));
    let row = CredentialRow {
        description: None,
        metadata: "[]".into(),
        kind: CredentialKind::Jwt,
        scope: vec![name("api"), name("shop")],
        expires_at: None,
        rotation_required: true,
        rotate_days: None,
        revision: 3,
        updated_at: Timestamp(30),
        ..row
    };
    assert_eq!(ledger.credential("c1").unwrap().as_ref(), Some(&row));
    let back = CredentialChange {
        description: Some(Some("new".into())),
        expires_at: Some(Some(Timestamp(99))),
        rotate_days: Some(Some(7)),
        scope: Some(Vec::new()),
        rotation_required: Some(false),
        ..CredentialChange::default()
    };
    told(ledger, update("c1", None, 40, back));
    let row = ledger.credential("c1").unwrap().unwrap();
    let found =
        (row.description.as_deref(), row.expires_at, row.rotate_days, row.rotation_required, row.scope);
    assert_eq!(found, (Some("new"), Some(Timestamp(99)), Some(7), false, Vec::new()));
    refused(ledger, update("c9", None, 1, CredentialChange::default()), missing("c9"));
}

fn revisions(ledger: &dyn Ledger) {
    done(ledger, create(&credential("c1", "db")));
    done(ledger, update("c1", Some(1), 20, CredentialChange::default()));
    refused(ledger, update("c1", Some(1), 30, CredentialChange::default()), Conflict::Revision(2));
    refused(ledger, update("c9", Some(1), 30, CredentialChange::default()), missing("c9"));
    let delete = |if_revision| Write::CredentialDelete { id: "c1".into(), if_revision };
    refused(ledger, delete(Some(1)), Conflict::Revision(2));
    done(ledger, delete(Some(2)));
    refused(ledger, delete(None), missing("c1"));
}

fn used(ledger: &dyn Ledger) {
    done(ledger, create(&credential("c1", "db")));
    done(ledger, create(&credential("c2", "mail")));
    let use_at =
        |at| Write::CredentialUsed { ids: vec!["c1".into(), "gone".into(), "c2".into()], at: Timestamp(at) };
    for (at, expected) in [(20, 20), (10, 20), (21, 21)] {
        done(ledger, use_at(at));
        let row = ledger.credential("c1").unwrap().unwrap();
        assert_eq!((row.last_used_at, row.revision), (Some(Timestamp(expected)), 1));
        assert_eq!(row.updated_at, Timestamp(10));
    }
    assert_eq!(ledger.credential("c2").unwrap().unwrap().last_used_at, Some(Timestamp(21)));
}

fn deleting(ledger: &dyn Ledger) {
    let row = credential("c1", "db");
    done(ledger, create(&row));
    done(ledger, Write::VersionAdd(Box::new(version("c1", 2, VersionState::Pending))));
    done(ledger, Write::RotationPut(Box::new(super::versions::rotation("r1", "c1", 5, None))));
    done(ledger, Write::CredentialDelete { id: "c1".into(), if_revision: None });
    assert_eq!(ledger.credential("c1").unwrap(), None);
    assert_eq!(ledger.versions("c1").unwrap(), []);
    assert_eq!(ledger.rotations(None).unwrap(), []);
    assert_eq!(ledger.readable_by(&name("api")).unwrap(), []);
    done(ledger, create(&CredentialRow { id: "c2".into(), ..row }));
}

fn by_service(ledger: &dyn Ledger) {
    let for_shop = CredentialRow { scope: vec![name("shop")], ..credential("c2", "mail") };
    let of_api = CredentialRow { owner: Some(name("api")), ..credential("c3", "db") };
    for row in [&for_shop, &of_api, &credential("c1", "db")] {
        done(ledger, create(row));
    }
    let ids = |service: &str| -> Vec<String> {
        ledger.readable_by(&name(service)).unwrap().into_iter().map(|(row, _)| row.id).collect()
    };
    assert_eq!(ids("api"), ["c1", "c3"]);
    assert_eq!(ids("shop"), ["c2"]);
    assert_eq!(ids("shop-2"), Vec::<String>::new());
    let (row, versions) = ledger.readable_by(&name("shop")).unwrap().remove(0);
    assert_eq!((row, versions), (for_shop, vec![version("c2", 1, VersionState::Current)]));
}

fn lists(ledger: &dyn Ledger) {
    let row =
        |id: &str, name_: &str, owner: Option<&str>, times: (i64, i64), expires: Option<i64>| CredentialRow {
            owner: owner.map(name),
            created_at: Timestamp(times.0),
            updated_at: Timestamp(times.1),
            expires_at: expires.map(Timestamp),
            ..credential(id, name_)
        };
    let jwt = CredentialRow { kind: CredentialKind::Jwt, ..row("d", "sign", None, (1, 9), None) };
    let narrow = CredentialRow { scope: vec![name("shop")], ..row("c", "mail", None, (2, 8), Some(50)) };
    for row in
        [&row("b", "db", Some("api"), (4, 2), Some(70)), &row("a", "db", None, (3, 3), None), &narrow, &jwt]
    {
        done(ledger, create(row));
    }
    let check = |query: CredentialQuery, expected: &str, total: u64| {
        let (rows, found) = ledger.credentials(&query).unwrap();
        let ids: String = rows.into_iter().map(|row| row.id).collect();
        assert_eq!((ids.as_str(), found), (expected, total), "{query:?}");
    };
    let all = CredentialQuery { limit: 100, ..CredentialQuery::default() };
    check(all.clone(), "abcd", 4);
    check(CredentialQuery { descending: true, ..all.clone() }, "dcba", 4);
    check(CredentialQuery { sort_by: SortBy::CreatedAt, ..all.clone() }, "dcab", 4);
    check(CredentialQuery { sort_by: SortBy::UpdatedAt, ..all.clone() }, "bacd", 4);
    let by_expiry = CredentialQuery { sort_by: SortBy::ExpiresAt, ..all.clone() };
    check(by_expiry.clone(), "cbad", 4);
    check(CredentialQuery { descending: true, ..by_expiry }, "dabc", 4);
    check(CredentialQuery { skip: 1, limit: 2, ..all.clone() }, "bc", 4);
    check(CredentialQuery { skip: 9, ..all.clone() }, "", 4);
    check(CredentialQuery { limit: 0, ..all.clone() }, "", 4);
    check(CredentialQuery { skip: u64::MAX, limit: u64::MAX, ..all.clone() }, "", 4);
    check(CredentialQuery { service: Some(name("shop")), ..all.clone() }, "c", 1);
    check(CredentialQuery { kind: Some(CredentialKind::Jwt), ..all.clone() }, "d", 1);
    check(CredentialQuery { name: Some("db".into()), limit: 1, ..all.clone() }, "a", 2);
    check(CredentialQuery { expires_before: Some(Timestamp(70)), ..all.clone() }, "c", 1);
    check(CredentialQuery { expires_before: Some(Timestamp(71)), service: Some(name("api")), ..all }, "b", 1);
}

fn odd_metadata(ledger: &dyn Ledger) {
    let odd = CredentialRow { metadata: "{".into(), ..credential("c1", "db") };
    let error = ledger.commit(Batch::of(vec![create(&odd)], super::entry("x"))).unwrap_err();
    assert!(error.is_refusal() && !matches!(error, StoreError::Conflict { .. }), "{error:?}");
    done(ledger, create(&credential("c1", "db")));
}
