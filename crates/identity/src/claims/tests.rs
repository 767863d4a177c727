//! The rules that claims obey before they are signed and after they were verified.

use super::*;

fn claims() -> Claims {
    let id: InstanceId = "api/1".parse().unwrap();
    let scope = vec!["cred:read:api".parse().unwrap(), "gateway:call:*".parse().unwrap()];
    let grant = Grant { subject: id.into(), scope, sid: "s1".into(), jti: "j1".into() };
    Claims::issue(&"home".parse().unwrap(), grant, Timestamp(1_000_999))
}

#[track_caller]
fn check(change: impl Fn(&mut Claims), expected: Option<&str>) {
    let mut changed = claims();
    change(&mut changed);
    match (changed.check_rules(), expected) {
        (Ok(()), None) => {}
        (Err(TokenError::Claims { what }), Some(part)) => assert!(what.contains(part), "{what}"),
        (result, _) => panic!("{result:?}, expected {expected:?}"),
    }
}

#[test]
fn claims_are_issued_for_a_quarter_of_an_hour() {
    let claims = claims();
    assert_eq!((claims.iat, claims.nbf, claims.exp), (1000, 1000, 1900));
    assert_eq!((&*claims.iss, &*claims.aud, &*claims.sub), ("haus:home", "haus:home:api", "service:api/1"));
    assert_eq!(claims.instance.as_deref(), Some("1"));
    check(|_| (), None);
}

#[test]
fn the_subject_and_the_service_agree() {
    check(|claims| claims.sub = "service:api/2".into(), Some("names another"));
    check(|claims| claims.sub = "token:api".into(), Some("names another"));
    check(|claims| claims.instance = None, Some("names another"));
    check(|claims| (claims.instance, claims.sub) = (None, "service:api".into()), None);
    check(|claims| claims.service = None, Some("neither"));
    check(|claims| (claims.service, claims.instance, claims.sub) = (None, None, "token:ci".into()), None);
    check(
        |claims| (claims.service, claims.instance, claims.sub) = (None, None, "token:".into()),
        Some("name"),
    );
    check(
        |claims| (claims.service, claims.instance, claims.sub) = (None, None, "root".into()),
        Some("neither"),
    );
    check(|claims| (claims.service, claims.sub) = (None, "token:ci".into()), Some("neither"));
}

#[test]
fn no_life_is_longer_than_it_may_be_or_backwards() {
    check(|claims| claims.exp += 1, Some("longer"));
    check(|claims| claims.exp = i64::MAX, Some("longer"));
    check(|claims| (claims.iat, claims.exp) = (i64::MIN, i64::MAX), Some("longer"));
    check(|claims| claims.exp = claims.iat, Some("before it was made"));
    check(|claims| claims.nbf = claims.exp, Some("before it may be used"));
}

#[test]
fn nothing_that_could_break_a_line_of_the_trail_is_signed() {
    check(|claims| claims.jti = String::new(), Some("visible"));
    check(|claims| claims.sid = "a\nb".into(), Some("visible"));
    check(|claims| claims.sid = "a b".into(), Some("visible"));
    check(|claims| claims.jti = "ä".into(), Some("visible"));
    check(|claims| claims.jti = "j".repeat(255), None);
    check(|claims| claims.jti = "j".repeat(256), Some("visible"));
}

#[test]
fn expiry_is_exact_and_only_the_beginning_has_leeway() {
    let claims = claims();
    assert_eq!(claims.check_time(Timestamp(1_899_999)), Ok(()));
    assert_eq!(
        claims.check_time(Timestamp(1_900_000)),
        Err(TokenError::Expired { at: Timestamp(1_900_000) })
    );
    assert_eq!(claims.check_time(Timestamp(970_000)), Ok(()));
    assert_eq!(claims.check_time(Timestamp(969_999)), Err(TokenError::NotYet { at: Timestamp(1_000_000) }));
    let later = Claims { nbf: 1500, ..claims };
    assert_eq!(later.check_time(Timestamp(1_469_999)), Err(TokenError::NotYet { at: Timestamp(1_500_000) }));
}

#[test]
fn times_at_the_end_of_the_numbers_do_not_overflow() {
    let endless = Claims { iat: i64::MAX, nbf: i64::MAX, exp: i64::MAX, ..claims() };
    assert!(endless.check_time(Timestamp(i64::MAX)).is_err());
    assert!(endless.check_rules().is_err());
    let ancient = Claims { iat: i64::MIN, nbf: i64::MIN, exp: i64::MIN, ..claims() };
    assert!(ancient.check_time(Timestamp(i64::MIN)).is_err());
    let late = Claims::issue(
        &"home".parse().unwrap(),
        Grant {
            subject: Subject::Token { name: "x".into() },
            scope: vec![],
            sid: "s".into(),
            jti: "j".into(),
        },
        Timestamp(i64::MAX),
    );
    assert_eq!(late.check_rules(), Ok(()));
}

#[test]
fn scopes_are_one_text_and_a_foreign_one_is_refused() {
    let json = serde_json::to_value(claims()).unwrap();
    assert_eq!(json["scope"], "cred:read:api gateway:call:*");
    let read = |scope: &str| {
        let mut json = json.clone();
        json["scope"] = scope.into();
        serde_json::from_value::<Claims>(json).map(|claims| claims.scope.len()).ok()
    };
    assert_eq!((read(""), read("admin"), read("admin root")), (Some(0), Some(1), None));
    assert_eq!(serde_json::from_value::<Claims>(json).unwrap(), claims());
}

#[test]
fn a_holder_may_do_what_one_of_the_scopes_allows() {
    let allows = |wanted: &str| claims().allow(&wanted.parse().unwrap());
    assert!(allows("cred:read:api") && allows("gateway:call:web"));
    assert!(!allows("cred:read:web") && !allows("admin") && !allows("read"));
}
