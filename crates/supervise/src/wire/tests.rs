//! Tests of the messages and their frames.

use proptest::prelude::*;

use super::*;

fn orders() -> impl Strategy<Value = Order> {
    let text = ".{0,20}";
    prop_oneof![
        (text, any::<u64>(), prop::collection::vec(any::<u8>(), 0..200), text).prop_map(
            |(key, run, content, word)| {
                let file =
                    FileSpec { path: "/x".into(), content: Secret::new(content), mode: 0o400, owned: true };
                Order::Spawn(Box::new(SpawnSpec {
                    key,
                    run,
                    argv: vec![word],
                    files: vec![file],
                    ..SpawnSpec::default()
                }))
            }
        ),
        (text, any::<i32>(), any::<u64>()).prop_map(|(key, signal, within_ms)| Order::Stop {
            key,
            signal,
            within_ms
        }),
        (text, any::<u64>(), prop::collection::vec(any::<u8>(), 0..200), any::<Option<i32>>()).prop_map(
            |(key, run, content, signal)| {
                let content = Secret::new(content);
                let file = FileSpec { path: "/x".into(), content, mode: 0o400, owned: true };
                Order::Deliver { key, run, files: vec![file], remove: vec!["/y".into()], signal }
            }
        ),
        text.prop_map(|key| Order::Kill { key }),
        text.prop_map(|key| Order::StopAsSpecified { key }),
        any::<u64>().prop_map(|within_ms| Order::DrainBudget { within_ms }),
        (text, any::<u64>()).prop_map(|(reason, within_ms)| Order::Draining { reason, within_ms }),
        Just(Order::Ready),
        text.prop_map(|text| Order::Status { text }),
        any::<u8>().prop_map(|exit_code| Order::Drained { exit_code }),
    ]
}

proptest! {
    #[test]
    fn orders_survive_any_cut_of_the_stream(
        sent in prop::collection::vec(orders(), 0..6),
        piece in 1usize..64,
    ) {
        let mut stream = Vec::new();
        for order in &sent {
            stream.extend_from_slice(&encode(order).expect("encodes"));
        }
        let mut decoder = FrameDecoder::new();
        let mut received = Vec::new();
        for bytes in stream.chunks(piece) {
            decoder.feed(bytes);
            while let Some(order) = decoder.next_value::<Order>().expect("decodes") {
                received.push(order);
            }
        }
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn garbage_never_panics_and_never_becomes_an_order(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = FrameDecoder::new();
        decoder.feed(&bytes);
        prop_assert!(!matches!(decoder.next_value::<Order>(), Ok(Some(_))));
    }
}

fn check_refused(stream: &[u8], expected: &str) {
    let mut decoder = FrameDecoder::new();
    decoder.feed(stream);
    let refusal = decoder.next_value::<Order>().expect_err("refused").to_string();
    assert!(refusal.contains(expected), "{refusal}");
}

#[test]
fn an_oversized_frame_is_refused_before_its_body_arrives() {
    check_refused(&(FRAME_BYTES_MAX as u32 + 1).to_be_bytes(), "longer than");
    check_refused(&[0xff; 4], "longer than");
    let huge = Order::Status { text: "x".repeat(FRAME_BYTES_MAX) };
    assert!(matches!(encode(&huge), Err(FrameError::TooLong { .. })));
}

#[test]
fn an_empty_or_unknown_frame_is_refused_without_quoting_it() {
    check_refused(&[0, 0, 0, 0], "no known message");
    let body = br#"{"spawn":{"key":"hunter2"}}"#;
    let mut stream = (body.len() as u32).to_be_bytes().to_vec();
    stream.extend_from_slice(body);
    let mut decoder = FrameDecoder::new();
    decoder.feed(&stream);
    let refusal = format!("{:?}", decoder.next_value::<Order>().expect_err("refused"));
    assert!(!refusal.contains("hunter2"), "{refusal}");
}

#[test]
fn a_spec_shown_for_debugging_hides_the_content_of_its_files() {
    let file =
        FileSpec { path: "/c".into(), content: Secret::new(b"hunter2".to_vec()), mode: 0o400, owned: true };
    let order = Order::Spawn(Box::new(SpawnSpec { files: vec![file], ..SpawnSpec::default() }));
    let shown = format!("{order:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("104, 117") && !shown.contains("68756e"),
        "{shown}"
    );
}

#[test]
fn the_documented_bytes_are_the_bytes() {
    let frame = encode(&Order::Kill { key: String::from("api/1") }).expect("encodes");
    assert_eq!(frame.as_slice(), b"\x00\x00\x00\x18{\"kill\":{\"key\":\"api/1\"}}");
    let content = Secret::new(b"key".to_vec());
    let file = FileSpec { path: "/c/key".into(), content, mode: 0o400, owned: true };
    let order = Order::Deliver {
        key: String::from("api/1"),
        run: 7,
        files: vec![file],
        remove: vec!["/c/old".into()],
        signal: Some(1),
    };
    let expected = r#"{"deliver":{"key":"api/1","run":7,"files":[{"path":"/c/key","content":"6b6579","mode":256,"owned":true}],"remove":["/c/old"],"signal":1}}"#;
    assert_eq!(serde_json::to_string(&order).expect("writes"), expected);
    assert_eq!(serde_json::from_str::<Order>(expected).expect("reads"), order);
}

#[test]
fn an_order_that_a_parent_does_not_know_ends_the_conversation_so_its_release_is_asked_first() {
    let body = br#"{"deliver_all":{"key":"api/1"}}"#;
    let mut stream = (body.len() as u32).to_be_bytes().to_vec();
    stream.extend_from_slice(body);
    check_refused(&stream, "no known message");
    assert!(parent_takes_deliver(env!("CARGO_PKG_VERSION")));
    assert!(!parent_takes_deliver("0.0.1") && !parent_takes_deliver(""));
}

#[test]
fn an_exit_told_by_an_older_parent_has_no_notes() {
    let told =
        r#"{"exited":{"key":"a/1","run":1,"pid":2,"exit":{"signal":9},"at_ms":3,"lingering_killed":0}}"#;
    let report: Report = serde_json::from_str(told).expect("understood");
    assert!(matches!(report, Report::Exited { notes, .. } if notes.is_empty()));
}
