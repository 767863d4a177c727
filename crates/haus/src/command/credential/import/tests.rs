//! Files of every kind, and what is found before anything is made.

use super::super::resolve::tests::credential;
use super::*;

/// What a file holds, as `place name=value` and `place: why`.
fn read(text: &str) -> (Vec<String>, Vec<String>) {
    let parsed = parse(&Secret::from(text.to_owned()), "x").unwrap_or_default();
    let value = |item: &Item| String::from_utf8(item.value.expose_bytes().to_vec()).expect("text");
    let items = parsed.items.iter().map(|item| format!("{} {}={}", item.place, item.name, value(item)));
    let faults = parsed.faults.iter().map(|fault| format!("{}: {}", fault.place, fault.why));
    (items.collect(), faults.collect())
}

#[track_caller]
fn check(text: &str, items: &[&str]) {
    let (found, faults) = read(text);
    assert_eq!(found, items, "{faults:?}");
    assert_eq!(faults, [""; 0]);
}

/// A file with one fault that says this, and does not repeat the word that stands for a value.
#[track_caller]
fn check_fault(text: &str, part: &str) {
    let (items, faults) = read(text);
    assert!(faults.len() == 1 && faults[0].contains(part), "{items:?} {faults:?}");
    assert!(!faults[0].contains("hunter2"), "{faults:?}");
}

#[test]
fn lines_are_read_as_all_programs_read_them() {
    check("A=1\nB_KEY=two\n", &["line 1 a=1", "line 2 b-key=two"]);
    check("# note\n\n  export A=1\r\nB=  2", &["line 3 a=1", "line 4 b=2"]);
    check("EXPORT=1", &["line 1 export=1"]);
}

#[test]
fn quotes_hold_everything_and_may_span_lines() {
    check("A='p$ #\"x\\n'", &["line 1 a=p$ #\"x\\n"]);
    check("A=\"a\\nb\\t\\\"\\\\\\$\" # note", &["line 1 a=a\nb\t\"\\$"]);
    check("PEM=\"-----\nabc\n-----\"\nB=2", &["line 1 pem=-----\nabc\n-----", "line 4 b=2"]);
    check("A=' '", &["line 1 a= "]);
}

#[test]
fn what_programs_read_differently_is_refused() {
    for text in ["A=hunter2$x", "A=hunter2\\n", "A=hunter2`x`", "A=hun\"ter2", "A=hunter2#x", "A=hunter2 x"] {
        check_fault(text, "single quotes");
    }
    check_fault("A=\"hunter2$x\"", "single quotes");
    check_fault("A=\"hunter2\\x\"", "backslash");
    check_fault("A='hunter2'x", "behind the closing quote");
    check("A=hunter3 # note", &["line 1 a=hunter3"]);
}

#[test]
fn a_line_that_is_none_is_named_without_repeating_it() {
    check_fault("hunter2", "no NAME=VALUE");
    check_fault("hunter2 x=y", "no name");
    check_fault("A = 1", "no name");
    check_fault("A=", "no value");
    check_fault("A=   # hunter2", "no value");
}

#[test]
fn every_fault_is_found_in_one_run() {
    let (items, faults) = read("A=1\nB\nC='x\nD=2\nE=$\n");
    assert_eq!(items, ["line 1 a=1", "line 4 d=2"]);
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[1].starts_with("line 3: the closing quote is missing"), "{faults:?}");
}

#[test]
fn json_holds_texts_and_objects() {
    check(
        r#"{"Payment-Key": "a\nb", "x": {"value": "v", "scope": ["web"]}}"#,
        &["entry 1 payment-key=a\nb", "entry 2 x=v"],
    );
    check("\u{feff}{\"a\":\"1\"}", &["entry 1 a=1"]);
}

#[test]
fn json_of_another_form_is_named_without_repeating_it() {
    check_fault(r#"{"a": "hunter2"#, "no JSON");
    check_fault(r#"{"a": "x"} hunter2"#, "no JSON");
    check_fault(r#"{"a": 12}"#, "numbers in quotes");
    check_fault(r#"{"a": ["hunter2"]}"#, "neither a text nor an object");
    check_fault(r#"{"a": {"value": 12}}"#, "numbers in quotes");
    check_fault(r#"{"a": {"value": {"b": "hunter2"}}}"#, "of another form");
    check_fault(r#"{"a": {"hunter2": "x", "value": "y"}}"#, "a member that is none of");
    check_fault(r#"{"a": {"value": "x", "type": "hunter2"}}"#, "no kind");
    check_fault(r#"{"a": {"value": "x", "service": "HUNTER2 hunter2"}}"#, "no name of a service");
    check_fault(r#"{"a": {"service": "web"}}"#, "no `value`");
}

#[test]
fn a_file_without_values_is_wrong_use() {
    for text in ["", "# only a note\n", "{}"] {
        assert_eq!(parse(&Secret::from(text.to_owned()), "x").unwrap_err().code, WRONG_USE, "{text}");
    }
    assert!(parse(&Secret::new(b"A=\xff".to_vec()), "x").is_err());
}

/// The outcome of each item of a file of service `web` in a house that has `web/old` and waits for `/smtp`.
#[track_caller]
fn check_steps(text: &str, service: Option<&str>, replaces: bool, expected: &[Result<Step, &str>]) {
    let mut parsed = parse(&Secret::from(text.to_owned()), "x").expect("readable");
    for item in &mut parsed.items {
        item.service = item.service.take().or_else(|| service.map(|name| name.parse().expect("a name")));
    }
    let old = credential("id-old", Some("web"), "old");
    let known = Known {
        credentials: BTreeMap::from([(called(&old), old)]),
        services: BTreeSet::from(["web".parse().expect("a name")]),
        given: Some(BTreeSet::from(["smtp".to_owned()])),
    };
    let steps = super::check(&mut parsed, &known, replaces);
    let good: Vec<&Step> = expected.iter().filter_map(|one| one.as_ref().ok()).collect();
    assert_eq!(steps.iter().collect::<Vec<_>>(), good);
    let bad: Vec<&str> = expected.iter().filter_map(|one| one.as_ref().err().copied()).collect();
    assert_eq!(parsed.faults.len(), bad.len(), "{:?}", parsed.faults);
    for (fault, part) in parsed.faults.iter().zip(bad) {
        assert!(fault.why.contains(part), "{fault:?} lacks {part}");
    }
}

#[test]
fn what_is_there_is_refused_or_rotated() {
    check_steps("NEW=1\nOLD=2", Some("web"), false, &[Ok(Step::Make), Err("--replace")]);
    check_steps("NEW=1\nOLD=2", Some("web"), true, &[Ok(Step::Make), Ok(Step::Change("id-old".into()))]);
    let more = r#"{"old": {"value": "x", "description": "y"}}"#;
    check_steps(more, Some("web"), true, &[Err("changes nothing else")]);
}

#[test]
fn strangers_and_doubles_are_refused() {
    check_steps("A=1", Some("api"), false, &[Err("no service `api`")]);
    check_steps("A_B=1\nA-B=2", Some("web"), false, &[Ok(Step::Make), Err("line 1 has it already")]);
    check_steps(r#"{"a": "1", "A": "2"}"#, Some("web"), false, &[Ok(Step::Make), Err("entry 1")]);
    check_steps(r#"{"a": ""}"#, Some("web"), false, &[Err("no value")]);
    check_steps(r#"{"": "1", "a\nb": "2"}"#, Some("web"), false, &[Err("1 to 255"), Err("control")]);
}

#[test]
fn without_a_service_only_the_plans_own_are_meant() {
    check_steps("SMTP=1\nOTHER=2", None, false, &[Ok(Step::Make), Err("given: true")]);
}
