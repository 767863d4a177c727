//! An apply that fails is taken back as a whole, one that was right can be taken back later, and what
//! somebody changes by hand is found and mended. Several hosts have one result each.

use super::desk::{Begin, Desk, assert_same, fingerprint, shell};
use super::shop::{plan_with, version};
use haus_testkit::{Signal, kill, wait_until};
use std::time::Duration;

const APPLY: [&str; 2] = ["apply", "--yes"];

#[test]
fn a_release_that_is_not_well_is_taken_back_with_everything_else() {
    let test = "a_release_that_is_not_well_is_taken_back_with_everything_else";
    let Some(desk) = Desk::new(test, 1, Begin::Shop) else { return };
    let before = fingerprint(desk.host());
    plan_with(
        &desk,
        &[
            ("ref: v1", "ref: bad"),
            ("name = first", "name = second"),
            ("8100, why: \"the shop\" }", "8100 }, 8200/tcp"),
        ],
    );
    let words = ["web: failed and taken back", "HH0214", "http://127.0.0.1:8100/health"];
    let text = desk.says(&APPLY, 4, &words);
    assert_eq!(text.matches("error[").count(), 1, "{text}");
    assert!(!text.contains("not as it was"), "{text}");
    assert_eq!(version(&desk), "v1");
    assert_same(desk.host(), &before);
    let history = desk.done(&["history"]);
    assert!(
        history.lines().any(|line| line.contains("rolled back") && line.contains("by anna@")),
        "{history}"
    );
    plan_with(&desk, &[]);
    desk.has_nothing_to_do();
}

#[test]
fn an_apply_is_taken_back_later() {
    let Some(desk) = Desk::new("an_apply_is_taken_back_later", 1, Begin::Shop) else { return };
    let before = fingerprint(desk.host());
    plan_with(
        &desk,
        &[
            ("ref: v1", "ref: v2"),
            ("name = first", "name = second"),
            ("directories:", "  /etc/new: { text: new }\n    directories:"),
        ],
    );
    desk.done(&["apply", "--yes", "--reason", "more room"]);
    assert_eq!(version(&desk), "v2");
    desk.shell("echo by hand >> /etc/shop.conf");
    desk.says(&["rollback", "--yes"], 3, &["HH0211", "file:/etc/shop.conf"]);
    assert_eq!(version(&desk), "v2");
    desk.shell("echo 'name = second' > /etc/shop.conf");
    desk.done(&["rollback", "--yes"]);
    assert_eq!(version(&desk), "v1");
    // The release that was built meanwhile is gone as well.
    assert_same(desk.host(), &before);
    let history = desk.done(&["history"]);
    assert!(history.contains("more room") && history.contains("rolled back"), "{history}");
    plan_with(&desk, &[]);
    desk.has_nothing_to_do();
}

#[test]
fn what_was_changed_by_hand_is_found_and_mended() {
    let Some(desk) = Desk::new("what_was_changed_by_hand_is_found_and_mended", 1, Begin::Shop) else {
        return;
    };
    let before = fingerprint(desk.host());
    desk.says(&["drift"], 0, &["no drift"]);
    desk.shell(
        "echo more >> /etc/shop.conf; chmod 666 /etc/systemd/system/haus-shop-web.service; rm -r /srv/files; \
         systemctl stop haus-shop-web; systemctl disable -q haus-firewall; nft delete table inet haus",
    );
    let words = [
        "file:/etc/shop.conf",
        "haus-shop-web.service",
        "directory:/srv/files",
        "unit:haus-firewall.service",
        "drifted",
    ];
    desk.says(&["drift"], 1, &words);
    // A new wish is no drift.
    plan_with(&desk, &[("directories:", "  /etc/new: { text: new }\n    directories:")]);
    let text = desk.says(&["drift"], 1, &["1 new thing besides"]);
    assert!(!text.contains("/etc/new"), "{text}");
    plan_with(&desk, &[]);
    desk.done(&APPLY);
    desk.says(&["drift"], 0, &["no drift"]);
    assert_same(desk.host(), &before);
    assert_eq!(version(&desk), "v1");
    // A rule more in the kernel is none of the plan's.
    desk.shell("nft insert rule inet haus input tcp dport 9999 accept");
    desk.says(&["drift"], 1, &["unit:haus-firewall.service", "not there any more"]);
    desk.done(&APPLY);
    assert!(!desk.shell("nft list table inet haus").contains("9999"));
    desk.has_nothing_to_do();
}

#[test]
fn only_what_is_chosen_is_changed() {
    let Some(desk) = Desk::new("only_what_is_chosen_is_changed", 1, Begin::Shop) else { return };
    plan_with(&desk, &[("ref: v1", "ref: v2"), ("name = first", "name = second")]);
    desk.done(&["apply", "--yes", "--only", "file:/etc/shop.conf"]);
    assert_eq!((desk.shell("cat /etc/shop.conf").as_str(), version(&desk).as_str()), ("name = second", "v1"));
    desk.done(&["apply", "--yes", "--only", "web"]);
    assert_eq!(version(&desk), "v2");
    desk.has_nothing_to_do();
}

#[test]
fn what_earlier_rounds_did_stays_and_is_taken_back_one_by_one() {
    let test = "what_earlier_rounds_did_stays_and_is_taken_back_one_by_one";
    let Some(desk) = Desk::new(test, 1, Begin::Shop) else { return };
    // The repository is somewhere else, and git knows where once the first round has told it.
    desk.shell("mv /opt/git/shop.git /opt/git/moved.git; rm /etc/gitconfig");
    let before = fingerprint(desk.host());
    let moved = "[safe]\n\tdirectory = *\n[url \"file:///opt/git/moved.git\"]\n\tinsteadOf = file:///opt/git/shop.git\n";
    desk.write("house/gitconfig", moved);
    let road = "  /etc/gitconfig: { from: gitconfig }\n    directories:";
    plan_with(&desk, &[("ref: v1", "ref: bad"), ("directories:", road)]);
    desk.says(&["plan"], 1, &["more shows only when this was applied"]);
    let text = desk.says(
        &APPLY,
        4,
        &[
            "web: done, ",
            "web: failed and taken back",
            "HH0214",
            "what the rounds before it did stays (apply ",
        ],
    );
    let (_, rest) = text.split_once("stays (apply ").expect("was looked for");
    let (first, told) = rest.split_once(')').expect("is closed");
    assert!(first.contains("-1-") && told.contains("`haus rollback` takes back one apply"), "{text}");
    assert_eq!((version(&desk).as_str(), desk.shell("cat /etc/gitconfig").as_str()), ("v1", moved.trim()));
    // A second of the clock may lie between them.
    let second = format!("-2-{}", first.rsplit_once('-').expect("names a process").1);
    let history = desk.done(&["history"]);
    let has = |words: [&str; 2]| history.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has([first, "done"]) && has([second.as_str(), "rolled back"]), "{history}");
    desk.done(&["rollback", "--yes", "--apply", first]);
    assert_same(desk.host(), &before);
}

#[test]
fn who_stops_an_apply_may_keep_what_was_done() {
    let Some(desk) = Desk::new("who_stops_an_apply_may_keep_what_was_done", 1, Begin::Shop) else { return };
    // The first one stops at the gate until the test opens it.
    let steps = "steps: { a-wait: { run: \"sh -c 'mkfifo /run/gate; read line < /run/gate'\" }, \
                 b-more: { run: touch /run/more } }";
    plan_with(&desk, &[("directories:", &format!("{steps}\n    directories:")), ("first", "second")]);
    let mut running = desk.start(&["apply", "--yes", "--keep-done"]);
    wait_until("the apply to wait", Duration::from_secs(30), || {
        assert!(!running.has_ended(), "{} {}", running.out(), running.err());
        desk.host().exec(&["test", "-p", "/run/gate"]).is_ok_and(|output| output.is_success())
    });
    kill(running.pid(), Signal::INT);
    let stays = "what was done stays, and the next apply goes on from there";
    wait_until("the wish to be heard", Duration::from_secs(30), || running.err().contains(stays));
    desk.shell("echo > /run/gate");
    let ended = running.end(Duration::from_secs(60));
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stdout.contains("web: stopped after"), "{ended:?}");
    desk.shell("test ! -e /run/more");
    let told = desk.done(&APPLY);
    assert!(!told.contains("command:a-wait"), "{told}");
    assert_eq!(desk.shell("cat /etc/shop.conf; ls /run/more"), "name = second\n/run/more");
    desk.has_nothing_to_do();
}

/// Two hosts, one of which refuses a file.
const TWO: &str = "haus: 1
house: pair
hosts:
  first:
    connect: ssh://root@@0@
    files: { /etc/a: { text: a }, /etc/b: { text: b, check: \"grep c {}\" } }
  second:
    connect: ssh://root@@1@
    files: { /etc/a: { text: a } }
";

#[test]
fn each_host_has_its_own_result_and_serial_stops_at_the_first_that_fails() {
    let test = "each_host_has_its_own_result_and_serial_stops_at_the_first_that_fails";
    let Some(desk) = Desk::new(test, 2, Begin::Clean) else { return };
    desk.host().restore(haus_testkit::CLEAN).expect("restores");
    desk.plan(TWO);
    let before: Vec<String> = desk.hosts().iter().map(|host| fingerprint(host)).collect();
    desk.says(
        &["apply", "--yes", "--serial"],
        4,
        &["first: failed and taken back", "second: not begun: another host failed before"],
    );
    assert_eq!(before, desk.hosts().iter().map(|host| fingerprint(host)).collect::<Vec<_>>());
    let text = desk.says(&APPLY, 4, &["first: failed and taken back", "second: done, 1 change"]);
    assert!(text.contains("HH0213"), "{text}");
    assert_same(desk.host(), &before[0]);
    assert_eq!(shell(&desk.hosts()[1], "cat /etc/a"), "a");
    desk.says(&["apply", "--yes", "--host", "second"], 0, &["nothing to change"]);
    desk.says(&["apply", "--yes", "--host", "third"], 2, &["no host `third`", "first, second"]);
    // One that cannot be reached keeps nobody up.
    desk.plan(&TWO.replace("text: b,", "text: c,").replace("@1@", "nowhere.invalid"));
    desk.says(&APPLY, 1, &["second · blocked, nothing is changed", "HH0203", "first: done, 2 changes"]);
    assert_eq!(desk.shell("cat /etc/a /etc/b"), "ac");
    // Programs are told, too.
    let told = desk.says(&["apply", "--yes", "--json"], 1, &["HH0203", "\"outcome\": \"refused\""]);
    assert!(told.contains("\"outcome\": \"unchanged\""), "{told}");
    let silent = ["\"fault\"", "\"code\": \"HH0203\"", "\"remedy\"", "\"first\": ["];
    desk.says(&["history", "--json"], 1, &silent);
    let refused = ["\"outcome\": \"refused\"", "\"code\": \"HH0203\"", "\"remedy\""];
    desk.says(&["rollback", "--yes", "--json", "--host", "second"], 3, &refused);
}
