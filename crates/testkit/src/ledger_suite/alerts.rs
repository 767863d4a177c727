//! Cases of the history of health, of alerts on their way and of silences.

use super::{Case, all_done, done, name, refused};
use haus_model::Timestamp;
use haus_store::{Conflict, DeliveryRow, HealthQuery, HealthRow, Ledger, SilenceRow, Write};

pub(super) const CASES: &[Case] = &[
    ("the history of health is read newest first, in pages", history),
    ("the history of health is swept by its age, and numbers are not given again", history_swept),
    ("the state of the alerts is one text", state),
    ("alerts on their way are replaced, ordered and taken out", deliveries),
    ("a silence ends by time or by hand", silences),
];

fn change(service: &str, at: i64) -> HealthRow {
    HealthRow {
        seq: 0,
        at: Timestamp(at),
        service: name(service),
        instance: (at % 2 == 0).then(|| format!("{service}/1")),
        from: "healthy".into(),
        to: "offline".into(),
        why: "no answer".into(),
    }
}

fn append(row: HealthRow) -> Write {
    Write::HealthAppend(Box::new(row))
}

fn history(ledger: &dyn Ledger) {
    for (service, at) in [("api", 10), ("web", 21), ("api", 30), ("api", 25)] {
        done(ledger, append(change(service, at)));
    }
    let all = HealthQuery { limit: 100, ..HealthQuery::default() };
    let rows = ledger.health_history(&all).unwrap();
    assert!(rows.windows(2).all(|pair| pair[0].seq > pair[1].seq), "{rows:?}");
    let expected = [change("api", 25), change("api", 30), change("web", 21), change("api", 10)];
    assert_eq!(rows.iter().cloned().map(|row| HealthRow { seq: 0, ..row }).collect::<Vec<_>>(), expected);
    let times = |query: HealthQuery| -> Vec<i64> {
        ledger.health_history(&query).unwrap().into_iter().map(|row| row.at.0).collect()
    };
    let of_api = HealthQuery { service: Some(name("api")), ..all.clone() };
    assert_eq!(times(of_api.clone()), [25, 30, 10]);
    assert_eq!(times(HealthQuery { limit: 1, ..of_api.clone() }), [25]);
    assert_eq!(times(HealthQuery { before_seq: Some(rows[1].seq), ..of_api.clone() }), [10]);
    let window = HealthQuery { since: Some(Timestamp(21)), until: Some(Timestamp(30)), ..all.clone() };
    assert_eq!(times(window.clone()), [25, 21]);
    assert_eq!(times(HealthQuery { service: Some(name("api")), ..window }), [25]);
    assert_eq!(times(HealthQuery { limit: 0, ..all }), [0_i64; 0]);
}

fn history_swept(ledger: &dyn Ledger) {
    all_done(ledger, (0..5_000).map(|at| append(change("api", at))).collect());
    assert_eq!(ledger.sweep(Timestamp(0), Timestamp(4_999)).unwrap(), 4_999);
    let all = HealthQuery { limit: 100, ..HealthQuery::default() };
    let last = ledger.health_history(&all).unwrap();
    assert_eq!((last.len(), last[0].at), (1, Timestamp(4_999)));
    assert_eq!(ledger.sweep(Timestamp(0), Timestamp(i64::MAX)).unwrap(), 1);
    done(ledger, append(change("api", 1)));
    assert!(ledger.health_history(&all).unwrap()[0].seq > last[0].seq);
}

fn state(ledger: &dyn Ledger) {
    assert_eq!(ledger.alert_state().unwrap(), None);
    for text in ["{}", "", "ü\u{0}"] {
        done(ledger, Write::AlertStatePut(text.into()));
        assert_eq!(ledger.alert_state().unwrap().as_deref(), Some(text));
    }
}

fn deliveries(ledger: &dyn Ledger) {
    let row = |id: &str, state: &str, due: i64| DeliveryRow {
        id: id.into(),
        receiver: "mail".into(),
        state: state.into(),
        due_at: Timestamp(due),
    };
    let put = |row: DeliveryRow| Write::DeliveryPut(Box::new(row));
    all_done(ledger, vec![put(row("a", "1", 10)), put(row("b", "1", 20)), put(row("a", "2", 30))]);
    assert_eq!(ledger.deliveries().unwrap(), [row("b", "1", 20), row("a", "2", 30)]);
    for _ in 0..2 {
        done(ledger, Write::DeliveryDelete { id: "b".into() });
        assert_eq!(ledger.deliveries().unwrap(), [row("a", "2", 30)]);
    }
}

fn silences(ledger: &dyn Ledger) {
    let row = |id: &str, service: Option<&str>, until: i64| SilenceRow {
        id: id.into(),
        service: service.map(name),
        until: Timestamp(until),
        why: "work on the roof".into(),
        made_by: "admin:uid=0".into(),
        created_at: Timestamp(1),
    };
    let put = |row: SilenceRow| Write::SilencePut(Box::new(row));
    let delete = |id: &str| Write::SilenceDelete { id: id.into() };
    refused(ledger, delete("a"), Conflict::Missing("silence a".into()));
    all_done(ledger, vec![put(row("a", None, 10)), put(row("b", Some("api"), 20)), put(row("a", None, 30))]);
    assert_eq!(ledger.silences(Timestamp(19)).unwrap(), [row("b", Some("api"), 20), row("a", None, 30)]);
    assert_eq!(ledger.silences(Timestamp(20)).unwrap(), [row("a", None, 30)]);
    assert_eq!(ledger.sweep(Timestamp(20), Timestamp(0)).unwrap(), 1);
    done(ledger, delete("a"));
    assert_eq!(ledger.silences(Timestamp(0)).unwrap(), []);
}
