//! Alerts on their whole way to a receiver: a real listener, a real ledger, a restart in between.

use super::*;
use crate::alarms::Alarms;
use crate::fixture::{self, TestDesk};
use haus_model::alert::{AlertLevel, Alerting};
use haus_watch::alert::TRAIL_BROKEN;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Instant;

const DEADLINE: Duration = Duration::from_secs(20);

/// A receiver that answers 204 and passes on what it got.
struct Hook {
    address: SocketAddr,
    got: mpsc::Receiver<serde_json::Value>,
}

fn hook() -> Hook {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, got) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() <= 2 {
                    break;
                }
                let lower = line.to_ascii_lowercase();
                if let Some(text) = lower.strip_prefix("content-length:") {
                    length = text.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            if tell.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    Hook { address, got }
}

impl Hook {
    /// Waits for the next message: its state and subject.
    async fn next(&self) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            match self.got.try_recv() {
                Ok(body) => {
                    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
                    return format!("{} {} {}", text("state"), text("subject"), text("kind"));
                }
                Err(_) => assert!(Instant::now() < until, "no message within {DEADLINE:?}"),
            }
            tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await.unwrap_err();
        }
    }
}

fn house(address: SocketAddr) -> House {
    let receiver = Receiver {
        name: "phone".to_owned(),
        road: Road::Webhook { url: format!("http://{address}/hook"), secret: None },
        from: AlertLevel::Warning,
        services: Vec::new(),
    };
    let alerts = Alerting { after: Duration::ZERO, repeat: None, receivers: vec![receiver] };
    House { alerts, ..fixture::house(vec![fixture::service("web", 1)]) }
}

fn raise(desk: &TestDesk) {
    let now = desk.desk.clock.wall();
    desk.desk.alarms.raise(now, "web", "service-offline", AlertLevel::Critical, "connection refused");
}

#[tokio::test]
async fn a_receiver_hears_the_beginning_and_the_end() {
    let hook = hook();
    let desk = TestDesk::of(house(hook.address));
    raise(&desk);
    let driver = tokio::spawn(Alarms::run(Arc::clone(&desk.desk)));
    assert_eq!(hook.next().await, "firing web service-offline");
    desk.desk.alarms.clear(desk.desk.clock.wall(), "web", "service-offline", "it answers again");
    assert_eq!(hook.next().await, "resolved web service-offline");
    let until = Instant::now() + DEADLINE;
    while !desk.desk.ledger.deliveries().unwrap().is_empty() {
        assert!(Instant::now() < until, "a delivered message stays in the ledger");
        tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await.unwrap_err();
    }
    driver.abort();
    let log = std::fs::read_to_string(desk.desk.places.logs().join("alerts.log")).unwrap();
    assert!(log.contains("firing critical web/service-offline#1: connection refused (told: phone)"), "{log}");
    assert!(log.contains("delivered web/service-offline#1 to phone: "), "{log}");
}

#[tokio::test]
async fn a_message_that_no_core_lived_to_send_is_sent_by_the_next_one() {
    let hook = hook();
    let desk = TestDesk::of(house(hook.address));
    raise(&desk);
    let now = desk.desk.clock.wall();
    let writes = {
        let house = desk.desk.house();
        let mut book = desk.desk.alarms.book();
        book.follow(now, &house);
        assert_eq!(book.look(now, &house).0.len(), 1);
        book.writes()
    };
    desk.desk.ledger.commit(Batch { writes, entries: Vec::new() }).unwrap();
    let desk = desk.restarted();
    let driver = tokio::spawn(Alarms::run(Arc::clone(&desk.desk)));
    assert_eq!(hook.next().await, "firing web service-offline");
    desk.desk.alarms.clear(desk.desk.clock.wall(), "web", "service-offline", "it answers again");
    // The next core knows whom the first one told.
    assert_eq!(hook.next().await, "resolved web service-offline");
    driver.abort();
}

#[tokio::test]
async fn a_ledger_that_refuses_keeps_nobody_from_being_told_of_it() {
    let hook = hook();
    let desk = TestDesk::without_ledger(house(hook.address));
    let now = desk.desk.clock.wall();
    desk.desk.alarms.raise(now, "@house", TRAIL_BROKEN, AlertLevel::Critical, "entry 7 was changed");
    // Restoring is tried for a while before anything else; here there is nothing to wait for.
    let mut courier = Courier {
        desk: Arc::clone(&desk.desk),
        log: LogWriter::new(LogSpec { path: "/dev/null".into(), max_bytes: LOG_BYTES, keep: 1 }),
        plan: desk.desk.plan.load_full(),
        under_way: JoinSet::new(),
        keys: Arc::default(),
        keep_at: Timestamp(i64::MIN),
    };
    let rules = rules(&desk.desk.house());
    desk.desk.alarms.book().machine.set_rules(now, rules);
    courier.round().await;
    assert_eq!(hook.next().await, "firing @house trail-broken");
    assert!(!desk.desk.alarms.book().post.writes().is_empty());
}

#[tokio::test]
async fn in_a_silence_nobody_is_told_until_its_end() {
    let hook = hook();
    let desk = TestDesk::of(house(hook.address));
    let now = desk.desk.clock.wall();
    let row = SilenceRow {
        id: "s".to_owned(),
        service: Some("web".parse().unwrap()),
        until: now.after(Duration::from_secs(600)),
        why: "the disk is being changed".to_owned(),
        made_by: "admin:uid=0".to_owned(),
        created_at: now,
    };
    desk.desk
        .ledger
        .commit(Batch { writes: vec![Write::SilencePut(Box::new(row))], entries: Vec::new() })
        .unwrap();
    raise(&desk);
    let driver = tokio::spawn(Alarms::run(Arc::clone(&desk.desk)));
    let until = Instant::now() + DEADLINE;
    while desk.desk.alarms.shown(now).alerts.iter().all(|alert| alert.state != "silenced") {
        assert!(Instant::now() < until, "{:?}", desk.desk.alarms.shown(now).alerts);
        tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>()).await.unwrap_err();
    }
    assert!(hook.got.try_recv().is_err());
    desk.desk.alarms.end_silence(desk.desk.clock.wall(), "s");
    assert_eq!(hook.next().await, "firing web service-offline");
    driver.abort();
}

#[test]
fn an_alert_that_is_over_is_past_also_after_a_restart() {
    let (alarms, house) = (Alarms::default(), fixture::house(vec![fixture::service("web", 1)]));
    let mut now = Timestamp(1_000_000);
    let mut pass = |alarms: &Alarms| {
        now = now.after(Duration::from_secs(3_600));
        alarms.book().look(now, &house);
        now
    };
    alarms.raise(Timestamp(1_000_000), "web", "service-offline", AlertLevel::Critical, "refused");
    let told = pass(&alarms);
    assert_eq!(alarms.past(), [], "it fires");
    alarms.clear(told, "web", "service-offline", "well again");
    pass(&alarms);
    let over = pass(&alarms);
    assert!(alarms.shown(over).alerts.is_empty());
    let past = alarms.past();
    assert_eq!((past.len(), past[0].state.as_str(), past[0].subject.as_str()), (1, "over", "web"));
    let writes = alarms.book().writes();
    let kept = writes.into_iter().find_map(|write| {
        let Write::AlertStatePut(text) = write else { return None };
        Some(text)
    });
    let again = Alarms::default();
    let lines = again.book().restore(over, rules(&house), kept, Vec::new(), Vec::new());
    assert_eq!((lines, again.past()), (Vec::new(), past));
}
