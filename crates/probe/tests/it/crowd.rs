//! Many probes at once: one that hangs holds up none of the others.

use crate::{PATIENT, assert_bad, assert_good};
use haus_probe::{Expectation, HttpMethod, ProbeTarget, probe};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

async fn good_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            });
        }
    });
    address
}

fn get(address: SocketAddr) -> ProbeTarget {
    let expect = Expectation { text: Some("ok".into()), ..Expectation::default() };
    ProbeTarget::Http { method: HttpMethod::Get, address, host: "x".into(), path: "/health".into(), expect }
}

// One thread, so that whoever blocks it blocks everybody.
#[tokio::test(flavor = "current_thread")]
async fn a_hundred_probes_do_not_wait_for_the_black_hole_among_them() {
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hole_address = hole.local_addr().unwrap();
    let good = good_server().await;
    let timeout = Duration::from_secs(4);
    let begun = Instant::now();
    let mut probes = JoinSet::new();
    for number in 0..100 {
        let target = get(if number == 50 { hole_address } else { good });
        probes.spawn(async move { (number, probe(&target, timeout).await) });
    }
    for _ in 0..99 {
        let (number, outcome) = probes.join_next().await.unwrap().unwrap();
        assert_ne!(number, 50);
        assert_good(&outcome, "200");
    }
    assert!(begun.elapsed() < timeout, "99 good answers took {:?}", begun.elapsed());
    let (number, outcome) = probes.join_next().await.unwrap().unwrap();
    assert_eq!(number, 50);
    assert_bad(&outcome, "no answer within 4s");
}

#[tokio::test(flavor = "current_thread")]
async fn thousands_of_probes_cost_little() {
    const PROBES: u32 = 2_000;
    const AT_ONCE: usize = 64;
    let good = good_server().await;
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..PROBES {
        while running.len() >= AT_ONCE {
            assert_good(&running.join_next().await.unwrap().unwrap(), "200");
        }
        running.spawn(async move { probe(&get(good), PATIENT).await });
    }
    while let Some(outcome) = running.join_next().await {
        assert_good(&outcome.unwrap(), "200");
    }
    let each = begun.elapsed() / PROBES;
    println!("{each:?} for one probe together with the server that answers it");
    // 10,000 probes every 30 s may take a quarter of a core: 750 µs each, optimised. This is for any build.
    assert!(each < Duration::from_millis(10), "{each:?}");
}
