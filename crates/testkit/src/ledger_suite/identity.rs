//! Cases of one-time tokens, sessions, revocations, keys, registered instances and repeated requests.

use super::{Case, all_done, done, name, refused};
use haus_model::{Scope, Timestamp};
use haus_store::{
    AnnouncedRow, Conflict, EnrolmentRow, IdempotentAnswer, Ledger, RevocationRow, SessionRow, SigningKeyRow,
    Write,
};

pub(super) const CASES: &[Case] = &[
    ("a one-time token opens once, in time", enrolment),
    ("a one-time token can be taken back until it is used", enrolment_deleted),
    ("many who show one token at once: one comes in", enrolment_raced),
    ("a refresh token is exchanged once, and a copy is noticed however late", refresh),
    ("a session that has ended stays ended", ended),
    ("sessions are kept and listed while they live", sessions),
    ("revoking again keeps the first reason and the later end", revocations),
    ("a signing key is kept, replaced and forgotten", signing_keys),
    ("an instance replaces what it said before", announced),
    ("a repeated request is told from another one", idempotent),
    ("sweeping forgets what has had its time and nothing else", sweep),
];

fn token(id: &str, first_byte: u8) -> EnrolmentRow {
    EnrolmentRow {
        id: id.into(),
        hash: [first_byte; 32],
        subject: "service:api/1".into(),
        service: Some(name("api")),
        instance: Some("api/1".into()),
        scopes: vec![Scope::CredentialRead(name("api")), Scope::GatewayCall(None), Scope::Admin],
        made_by: "admin:uid=0".into(),
        created_at: Timestamp(10),
        expires_at: Timestamp(100),
        used_at: None,
    }
}

fn take(first_byte: u8, at: i64) -> Write {
    Write::EnrolmentTake { hash: [first_byte; 32], at: Timestamp(at) }
}

fn token_label(id: &str) -> String {
    format!("enrolment token {id}")
}

fn enrolment(ledger: &dyn Ledger) {
    let put = |row: &EnrolmentRow| Write::EnrolmentPut(Box::new(row.clone()));
    refused(ledger, take(1, 20), Conflict::Missing("the enrolment token".into()));
    let bare = EnrolmentRow {
        service: None,
        instance: None,
        scopes: Vec::new(),
        created_at: Timestamp(5),
        ..token("e2", 2)
    };
    for row in [&token("e1", 1), &bare] {
        done(ledger, put(row));
        assert_eq!(ledger.enrolment(&row.hash).unwrap().as_ref(), Some(row));
    }
    refused(ledger, put(&token("e1", 9)), Conflict::Exists(token_label("e1")));
    refused(ledger, put(&token("e9", 1)), Conflict::Exists(token_label("e9")));
    assert_eq!(ledger.enrolments(Timestamp(99)).unwrap(), [bare, token("e1", 1)]);
    assert_eq!(ledger.enrolments(Timestamp(100)).unwrap(), []);
    refused(ledger, take(1, 100), Conflict::Expired(token_label("e1")));
    done(ledger, take(1, 99));
    // Used tells more than expired: somebody else may have been there.
    refused(ledger, take(1, 100), Conflict::Used(token_label("e1")));
    assert_eq!(ledger.enrolment(&[1; 32]).unwrap().unwrap().used_at, Some(Timestamp(99)));
    assert_eq!(ledger.enrolments(Timestamp(20)).unwrap().len(), 1);
    assert_eq!(ledger.enrolment(&[3; 32]).unwrap(), None);
}

fn enrolment_deleted(ledger: &dyn Ledger) {
    let delete = |id: &str| Write::EnrolmentDelete { id: id.into() };
    refused(ledger, delete("e1"), Conflict::Missing(token_label("e1")));
    done(ledger, Write::EnrolmentPut(Box::new(token("e1", 1))));
    done(ledger, delete("e1"));
    assert_eq!(ledger.enrolment(&[1; 32]).unwrap(), None);
    all_done(ledger, vec![Write::EnrolmentPut(Box::new(token("e2", 2))), take(2, 20)]);
    refused(ledger, delete("e2"), Conflict::Used(token_label("e2")));
}

fn enrolment_raced(ledger: &dyn Ledger) {
    done(ledger, Write::EnrolmentPut(Box::new(token("e1", 1))));
    let came_in = std::thread::scope(|scope| {
        let race = || ledger.commit(haus_store::Batch::of(vec![take(1, 20)], super::entry("race"))).is_ok();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap().then_some(())).count()
    });
    assert_eq!(came_in, 1);
}

fn session(sid: &str, first_byte: u8) -> SessionRow {
    SessionRow {
        sid: sid.into(),
        subject: "service:api/1".into(),
        service: Some(name("api")),
        instance: None,
        scopes: vec![Scope::RegistryWrite(name("api")), Scope::Read],
        refresh: [first_byte; 32],
        former: None,
        created_at: Timestamp(10),
        refreshed_at: Timestamp(10),
        expires_at: Timestamp(100),
        ended_at: None,
    }
}

fn put(row: &SessionRow) -> Write {
    Write::SessionPut(Box::new(row.clone()))
}

fn exchange(from: u8, to: u8, at: i64) -> Write {
    let (at, expires_at) = (Timestamp(at), Timestamp(at + 90));
    Write::SessionRefresh { from: [from; 32], to: [to; 32], at, expires_at }
}

fn unknown() -> Conflict {
    Conflict::Missing("the session of the refresh token".into())
}

fn copied() -> Conflict {
    Conflict::Used("the refresh token of session s1".into())
}

fn refresh(ledger: &dyn Ledger) {
    refused(ledger, exchange(1, 2, 20), unknown());
    done(ledger, put(&session("s1", 1)));
    refused(ledger, exchange(1, 2, 100), Conflict::Expired("session s1".into()));
    refused(ledger, exchange(1, 1, 20), Conflict::Exists("the new refresh token".into()));
    done(ledger, exchange(1, 2, 20));
    let expected = SessionRow {
        refresh: [2; 32],
        former: Some([1; 32]),
        refreshed_at: Timestamp(20),
        expires_at: Timestamp(110),
        ..session("s1", 1)
    };
    for hash in [[1; 32], [2; 32]] {
        assert_eq!(ledger.session_of(&hash).unwrap().as_ref(), Some(&expected));
    }
    refused(ledger, exchange(1, 3, 30), copied());
    refused(ledger, exchange(2, 1, 30), Conflict::Exists("the new refresh token".into()));
    done(ledger, exchange(2, 3, 30));
    done(ledger, exchange(3, 4, 40));
    for old in [1, 2, 3] {
        refused(ledger, exchange(old, 9, 50), copied());
        assert_eq!(ledger.session_of(&[old; 32]).unwrap().unwrap().sid, "s1");
    }
    assert_eq!(ledger.session_of(&[9; 32]).unwrap(), None);
    done(ledger, exchange(4, 5, 50));
}

fn ended(ledger: &dyn Ledger) {
    let end = |at| Write::SessionEnd { sid: "s1".into(), at: Timestamp(at) };
    refused(ledger, end(20), Conflict::Missing("session s1".into()));
    done(ledger, put(&session("s1", 1)));
    done(ledger, exchange(1, 2, 15));
    done(ledger, end(20));
    done(ledger, end(30));
    assert_eq!(ledger.session_of(&[2; 32]).unwrap().unwrap().ended_at, Some(Timestamp(20)));
    refused(ledger, exchange(2, 3, 40), unknown());
    refused(ledger, exchange(1, 3, 40), unknown());
}

fn sessions(ledger: &dyn Ledger) {
    let full = SessionRow {
        instance: Some("api/2".into()),
        former: Some([7; 32]),
        created_at: Timestamp(5),
        ..session("s2", 2)
    };
    done(ledger, put(&session("s1", 1)));
    done(ledger, put(&full));
    assert_eq!(ledger.session_of(&[7; 32]).unwrap().as_ref(), Some(&full));
    refused(ledger, put(&session("s1", 8)), Conflict::Exists("session s1".into()));
    for taken in [1, 7] {
        refused(ledger, put(&session("s9", taken)), Conflict::Exists("session s9".into()));
    }
    let over = SessionRow { ended_at: Some(Timestamp(11)), ..session("s3", 3) };
    done(ledger, put(&over));
    assert_eq!(ledger.sessions(Timestamp(99)).unwrap(), [full, session("s1", 1)]);
    assert_eq!(ledger.sessions(Timestamp(100)).unwrap(), []);
}

fn revocation(what: &str, at: i64, until: i64, why: &str) -> RevocationRow {
    RevocationRow { what: what.into(), at: Timestamp(at), until: Timestamp(until), why: why.into() }
}

fn revocations(ledger: &dyn Ledger) {
    assert_eq!(ledger.revocations().unwrap(), []);
    for row in [
        revocation("sid:1", 10, 50, "first"),
        revocation("jti:2", 5, 60, "other"),
        revocation("sid:1", 20, 90, "second"),
        revocation("sid:1", 30, 40, "third"),
    ] {
        done(ledger, Write::Revoke(Box::new(row)));
    }
    let kept = [revocation("jti:2", 5, 60, "other"), revocation("sid:1", 10, 90, "first")];
    assert_eq!(ledger.revocations().unwrap(), kept);
}

fn signing_keys(ledger: &dyn Ledger) {
    let key = |kid: &str, made: i64, retires: Option<i64>| SigningKeyRow {
        kid: kid.into(),
        sealed: vec![1, 0, 2],
        public: [9; 32],
        made_at: Timestamp(made),
        retires_at: retires.map(Timestamp),
    };
    let put = |row: SigningKeyRow| Write::SigningKeyPut(Box::new(row));
    all_done(ledger, vec![put(key("k2", 20, None)), put(key("k1", 10, None)), put(key("k1", 10, Some(40)))]);
    assert_eq!(ledger.signing_keys().unwrap(), [key("k1", 10, Some(40)), key("k2", 20, None)]);
    for _ in 0..2 {
        done(ledger, Write::SigningKeyDelete { kid: "k1".into() });
        assert_eq!(ledger.signing_keys().unwrap(), [key("k2", 20, None)]);
    }
}

fn announced(ledger: &dyn Ledger) {
    let row = |service: &str, instance: &str, ordinal: u32, body: &str| AnnouncedRow {
        service: name(service),
        instance: instance.into(),
        ordinal,
        body: body.into(),
        registered_at: Timestamp(10),
        updated_at: Timestamp(20),
    };
    let put = |row: &AnnouncedRow| Write::AnnouncedPut(Box::new(row.clone()));
    let (a, b) = (row("web", "x", u32::MAX, "{}"), row("api", "y", 2, "{}"));
    all_done(ledger, vec![put(&a), put(&b), put(&row("api", "z", 1, "old"))]);
    let c = row("api", "z", 1, "new");
    done(ledger, put(&c));
    assert_eq!(ledger.announced().unwrap(), [c, b, a.clone()]);
    let delete = |instance: &str| Write::AnnouncedDelete { service: name("api"), instance: instance.into() };
    all_done(ledger, vec![delete("y"), delete("z")]);
    refused(ledger, delete("y"), Conflict::Missing("instance y of api".into()));
    refused(ledger, delete("x"), Conflict::Missing("instance x of api".into()));
    assert_eq!(ledger.announced().unwrap(), [a]);
}

fn answer(caller: &str, key: &str, until: i64) -> IdempotentAnswer {
    IdempotentAnswer {
        caller: caller.into(),
        key: key.into(),
        request: [4; 32],
        status: 201,
        body: vec![0, 255],
        until: Timestamp(until),
    }
}

fn idempotent(ledger: &dyn Ledger) {
    let put = |row: IdempotentAnswer| Write::IdempotentPut(Box::new(row));
    done(ledger, put(answer("a", "k", 50)));
    done(ledger, put(answer("b", "k", 50)));
    let exists = Conflict::Exists("the answer to request `k` of a".into());
    refused(ledger, put(answer("a", "k", 90)), exists);
    assert_eq!(ledger.idempotent("a", "k").unwrap(), Some(answer("a", "k", 50)));
    assert_eq!(ledger.idempotent("a", "K").unwrap(), None);
    // That something was done makes room for its answer, once, and for no other request.
    let done_only = IdempotentAnswer { status: 0, body: Vec::new(), ..answer("a", "d", 50) };
    done(ledger, put(done_only.clone()));
    let exists = || Conflict::Exists("the answer to request `d` of a".into());
    refused(ledger, put(IdempotentAnswer { request: [5; 32], ..answer("a", "d", 90) }), exists());
    assert_eq!(ledger.idempotent("a", "d").unwrap(), Some(done_only));
    done(ledger, put(answer("a", "d", 90)));
    assert_eq!(ledger.idempotent("a", "d").unwrap(), Some(answer("a", "d", 90)));
    refused(ledger, put(answer("a", "d", 90)), exists());
}

fn sweep(ledger: &dyn Ledger) {
    assert_eq!(ledger.sweep(Timestamp(1_000), Timestamp(1_000)).unwrap(), 0);
    all_done(
        ledger,
        vec![
            Write::EnrolmentPut(Box::new(token("used", 1))),
            take(1, 20),
            Write::EnrolmentPut(Box::new(EnrolmentRow { expires_at: Timestamp(50), ..token("over", 2) })),
            Write::EnrolmentPut(Box::new(token("kept", 3))),
            put(&SessionRow { expires_at: Timestamp(50), ..session("over", 1) }),
            put(&session("ended", 2)),
            Write::SessionEnd { sid: "ended".into(), at: Timestamp(20) },
            put(&SessionRow { expires_at: Timestamp(40), ..session("kept", 3) }),
            exchange(3, 4, 30),
            Write::Revoke(Box::new(revocation("jti:over", 5, 50, "x"))),
            Write::Revoke(Box::new(revocation("jti:kept", 5, 51, "x"))),
            Write::IdempotentPut(Box::new(answer("a", "over", 50))),
            Write::IdempotentPut(Box::new(answer("a", "kept", 51))),
        ],
    );
    // Two tokens, two sessions, a former refresh token, a revocation and an answer.
    assert_eq!(ledger.sweep(Timestamp(50), Timestamp(0)).unwrap(), 7);
    assert_eq!(ledger.sweep(Timestamp(50), Timestamp(0)).unwrap(), 0);
    assert_eq!(ledger.enrolments(Timestamp(0)).unwrap().len(), 1);
    assert_eq!(ledger.enrolment(&[1; 32]).unwrap(), None);
    assert_eq!(ledger.session_of(&[3; 32]).unwrap(), None, "its time was over anyway");
    assert_eq!(ledger.session_of(&[4; 32]).unwrap().unwrap().sid, "kept");
    assert_eq!(ledger.revocations().unwrap(), [revocation("jti:kept", 5, 51, "x")]);
    assert_eq!(ledger.idempotent("a", "over").unwrap(), None);
    done(ledger, Write::IdempotentPut(Box::new(answer("a", "over", 90))));
    assert!(ledger.idempotent("a", "kept").unwrap().is_some());
}
