//! The limit holds in every window, ends when it said, and cannot be talked away.

use super::*;
use proptest::prelude::*;

const KEY: LimitKey = LimitKey::Account(1000);

fn at(seconds: u64) -> Timestamp {
    Timestamp(0).after(Duration::from_secs(seconds))
}

/// Fails at these seconds as far as allowed; returns how often it was, and the block that runs at the last
/// one.
fn check(seconds: impl IntoIterator<Item = u64>, expected: (usize, Option<u64>)) {
    let (mut limiter, mut passed, mut last) = (Limiter::default(), 0, 0);
    for second in seconds {
        if limiter.allowed(at(second), KEY).is_ok() {
            limiter.fail(at(second), KEY);
            passed += 1;
        }
        last = second;
    }
    let block = limiter.allowed(at(last), KEY).err().map(RetryAfter::seconds);
    assert_eq!((passed, block), expected);
}

#[test]
fn the_eleventh_failure_of_a_minute_does_not_pass() {
    check([0; 9], (9, None));
    check([0; 10], (10, Some(60)));
    check([0; 61], (10, Some(60)));
    check(0..61, (10, Some(9)));
    // A failure counts for sixty seconds, not a millisecond more.
    check([0; 9].into_iter().chain([60]), (10, None));
    check([0; 9].into_iter().chain([59]), (10, Some(60)));
}

#[test]
fn a_steady_drip_below_the_limit_is_never_blocked() {
    check((0..1000).map(|turn| turn * 7), (1000, None));
    // Ten within a minute, spread evenly, are at the limit.
    check((0..10).map(|turn| turn * 6), (10, Some(60)));
}

#[test]
fn asking_during_a_block_does_not_prolong_it() {
    let mut limiter = Limiter::default();
    for _ in 0..10 {
        limiter.fail(at(0), KEY);
    }
    for second in 0..60 {
        assert_eq!(limiter.allowed(at(second), KEY), Err(RetryAfter(Duration::from_secs(60 - second))));
        // Requests that were on their way when the block began.
        assert_eq!(limiter.fail(at(second), KEY), None);
    }
    assert_eq!(limiter.allowed(at(60), KEY), Ok(()));
}

#[test]
fn blocks_grow_to_five_minutes_and_shrink_after_quiet() {
    let mut limiter = Limiter::default();
    let mut now = 0;
    let mut blocks = Vec::new();
    for _ in 0..5 {
        let block = (0..10).find_map(|_| limiter.fail(at(now), KEY)).unwrap().as_secs();
        blocks.push(block);
        now += block;
    }
    assert_eq!(blocks, [60, 120, 240, 300, 300]);
    now += 300;
    assert_eq!((0..10).find_map(|_| limiter.fail(at(now), KEY)), Some(Duration::from_secs(60)));
}

#[test]
fn a_success_forgets_the_failures_but_ends_no_block() {
    let mut limiter = Limiter::default();
    for _ in 0..9 {
        limiter.fail(at(0), KEY);
    }
    limiter.succeed(at(0), KEY);
    assert!(limiter.is_empty() && limiter.order.is_empty());
    for _ in 0..10 {
        limiter.fail(at(1), KEY);
    }
    limiter.succeed(at(2), KEY);
    assert!(limiter.allowed(at(2), KEY).is_err());
    limiter.succeed(at(61), KEY);
    assert!(limiter.is_empty());
}

#[test]
fn keys_do_not_share_a_block_and_their_number_is_bounded() {
    let mut limiter = Limiter::new(Settings { keys_max: 3, ..Settings::default() });
    for account in 0..100 {
        limiter.fail(at(0), LimitKey::Account(account));
    }
    assert_eq!((limiter.len(), limiter.order.len()), (3, 3));
    for _ in 0..10 {
        limiter.fail(at(1), LimitKey::Account(97));
    }
    limiter.fail(at(2), LimitKey::Account(500));
    assert!(limiter.allowed(at(2), LimitKey::Account(97)).is_err(), "the one that failed longest ago went");
    assert!(limiter.allowed(at(2), LimitKey::Account(98)).is_ok());
}

#[test]
fn a_clock_that_goes_backwards_does_not_make_a_block_longer() {
    let mut limiter = Limiter::default();
    for _ in 0..10 {
        limiter.fail(at(1_000_000), KEY);
    }
    assert_eq!(limiter.allowed(at(0), KEY), Err(RetryAfter(Duration::from_secs(60))));
}

#[test]
fn settings_that_make_no_sense_are_raised() {
    let nothing = Duration::ZERO;
    let window = Duration::from_secs(60);
    let mut limiter = Limiter::new(Settings {
        failures_max: 0,
        window,
        block_first: nothing,
        block_max: nothing,
        keys_max: 0,
    });
    assert_eq!(limiter.fail(at(0), KEY), Some(window));
    assert!(limiter.allowed(at(59), KEY).is_err());
}

#[test]
fn an_address_is_one_key_in_each_of_its_spellings_and_loopback_is_none() {
    let key = |peer: &str, presented: &str| LimitKey::of_peer(peer.parse().unwrap(), presented);
    assert_eq!(key("192.0.2.1", "a"), key("192.0.2.1", "b"));
    assert_eq!(key("192.0.2.1", "a"), key("::ffff:192.0.2.1", "a"));
    assert_eq!(key("2001:db8:1:2::1", "a"), key("2001:db8:1:2:ffff::9", "b"));
    assert_ne!(key("2001:db8:1:2::1", "a"), key("2001:db8:1:3::1", "a"));
    for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        assert_ne!(key(loopback, "a"), key(loopback, "b"), "{loopback}");
        assert_eq!(key(loopback, "a"), key("127.0.0.1", "a"), "{loopback}");
    }
}

#[test]
fn seconds_are_rounded_up() {
    assert_eq!(RetryAfter(Duration::from_millis(1)).seconds(), 1);
    assert_eq!(RetryAfter(Duration::from_secs(60)).seconds(), 60);
    assert!(RetryAfter(Duration::from_millis(59_001)).to_string().ends_with("in 60 s"));
}

proptest! {
    #[test]
    fn no_window_of_a_minute_ever_holds_more_than_ten_failures(
        gaps in prop::collection::vec(0_i64..20_000, 1..200)
    ) {
        let mut limiter = Limiter::default();
        let mut passed: Vec<i64> = Vec::new();
        let mut now = 0;
        for gap in gaps {
            now += gap;
            if limiter.allowed(Timestamp(now), KEY).is_ok() {
                limiter.fail(Timestamp(now), KEY);
                passed.push(now);
            }
        }
        for start in &passed {
            prop_assert!(passed.iter().filter(|at| (*start..start + 60_000).contains(*at)).count() <= 10);
        }
    }
}
