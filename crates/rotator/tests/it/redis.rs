//! Users of a real Redis.

use haus_model::Secret;
use haus_rotator::{Account, RotateErrorKind, prove, retire_old, tell_new, tell_old};

use crate::servers::{ask_redis, redis};
use crate::{kind, run, secret};

const DEFAULT: Account<'_> = Account::Redis { user: "default" };

#[test]
fn old_and_new_are_valid_together_until_the_old_one_retires() {
    let test = "old_and_new_are_valid_together_until_the_old_one_retires";
    let Some(running) = redis(test, "requirepass planted-old") else { return };
    let server = running.server();
    let (old, new) = (secret("planted-old"), Secret::new(b"planted-new \r\n\0\xFF\"'".to_vec()));
    // Twice: an interrupted rotation begins again.
    for _ in 0..2 {
        run(tell_new(&server, &DEFAULT, &old, &new)).unwrap();
        run(prove(&server, &DEFAULT, &old)).unwrap();
        run(prove(&server, &DEFAULT, &new)).unwrap();
    }
    for _ in 0..2 {
        run(retire_old(&server, &DEFAULT, &new, &old)).unwrap();
        assert_eq!(kind(run(prove(&server, &DEFAULT, &old))), RotateErrorKind::Refused);
        run(prove(&server, &DEFAULT, &new)).unwrap();
    }
    // Told once more after the end, with an old value that nobody knows any more.
    run(tell_new(&server, &DEFAULT, &old, &new)).unwrap();
    assert_eq!(kind(run(prove(&server, &DEFAULT, &old))), RotateErrorKind::Refused);
    assert!(!running.log().contains("planted"), "{}", running.log());
}

#[test]
fn the_way_back_works_from_every_point() {
    let Some(running) = redis("the_way_back_works_from_every_point", "requirepass planted-old") else {
        return;
    };
    let server = running.server();
    let (old, new) = (secret("planted-old"), secret("planted-new"));
    for point in ["nothing done", "told", "old retired"] {
        if point != "nothing done" {
            run(tell_new(&server, &DEFAULT, &old, &new)).unwrap();
        }
        if point == "old retired" {
            run(retire_old(&server, &DEFAULT, &new, &old)).unwrap();
        }
        run(tell_old(&server, &DEFAULT, &old, &new)).unwrap();
        run(prove(&server, &DEFAULT, &old)).unwrap();
        assert_eq!(kind(run(prove(&server, &DEFAULT, &new))), RotateErrorKind::Refused, "{point}");
    }
}

#[test]
fn a_value_that_is_old_and_new_is_never_removed() {
    let Some(running) = redis("a_value_that_is_old_and_new_is_never_removed", "requirepass planted-same")
    else {
        return;
    };
    let server = running.server();
    let same = secret("planted-same");
    run(tell_new(&server, &DEFAULT, &same, &same)).unwrap();
    run(retire_old(&server, &DEFAULT, &same, &same)).unwrap();
    run(tell_old(&server, &DEFAULT, &same, &same)).unwrap();
    run(prove(&server, &DEFAULT, &same)).unwrap();
}

#[test]
fn a_user_of_an_acl_file_keeps_the_new_password_in_it() {
    let Some(running) = redis("a_user_of_an_acl_file_keeps_the_new_password_in_it", "aclfile users") else {
        return;
    };
    let made = ask_redis(&running, &["ACL SETUSER worker on >planted-old ~* +@all"]);
    assert_eq!(made, "+OK");
    let server = running.server();
    let worker = Account::Redis { user: "worker" };
    let (old, new) = (secret("planted-old"), secret("planted-new"));
    run(tell_new(&server, &worker, &old, &new)).unwrap();
    run(retire_old(&server, &worker, &new, &old)).unwrap();
    let users = std::fs::read_to_string(running.folder.path().join("users")).unwrap();
    let line = users.lines().find(|line| line.starts_with("user worker")).unwrap();
    assert_eq!(line.matches('#').count(), 1, "{line}");
    assert_eq!(ask_redis(&running, &["ACL LOAD", "AUTH worker planted-new"]), "+OK");
}

#[test]
fn a_user_without_the_right_or_the_password_is_told_so() {
    let Some(running) = redis("a_user_without_the_right_or_the_password_is_told_so", "") else { return };
    ask_redis(&running, &["ACL SETUSER guest on >planted-old ~* +get +ping"]);
    ask_redis(&running, &["ACL SETUSER open on nopass ~* +@all"]);
    ask_redis(&running, &["ACL SETUSER asleep off >planted-old ~* +@all"]);
    let server = running.server();
    let (old, new) = (secret("planted-old"), secret("planted-new"));
    let tell = |user| kind(run(tell_new(&server, &Account::Redis { user }, &old, &new)));
    assert_eq!(tell("guest"), RotateErrorKind::NotAllowed);
    assert_eq!(tell("open"), RotateErrorKind::NoProof);
    assert_eq!(tell("asleep"), RotateErrorKind::Refused);
    assert_eq!(tell("nobody"), RotateErrorKind::Refused);
    assert_eq!(tell("two words"), RotateErrorKind::Unfit);
    // The guest may prove what it may not change.
    run(prove(&server, &Account::Redis { user: "guest" }, &old)).unwrap();
    let open = run(prove(&server, &Account::Redis { user: "open" }, &secret("planted-anything")));
    assert_eq!(kind(open), RotateErrorKind::NoProof);
    assert_eq!(kind(run(prove(&server, &DEFAULT, &Secret::default()))), RotateErrorKind::Unfit);
}

#[test]
fn a_command_that_was_taken_away_is_not_allowed_and_a_dead_server_is_worth_another_try() {
    let settings = "requirepass planted-old\nrename-command ACL \"\"";
    let Some(mut running) = redis("a_command_that_was_taken_away_is_not_allowed", settings) else { return };
    let server = running.server();
    let (old, new) = (secret("planted-old"), secret("planted-new"));
    assert_eq!(kind(run(tell_new(&server, &DEFAULT, &old, &new))), RotateErrorKind::NotAllowed);
    run(prove(&server, &DEFAULT, &old)).unwrap();
    running.stop();
    let error = run(tell_new(&server, &DEFAULT, &old, &new)).unwrap_err();
    assert!(error.kind == RotateErrorKind::Unreachable && error.is_worth_retrying(), "{error:?}");
}
