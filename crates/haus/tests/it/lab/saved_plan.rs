//! `haus plan -o FILE` and `haus apply FILE`: carried out exactly, or not at all.

use super::desk::{Begin, Desk, assert_same, fingerprint, shell};
use super::shop::{plan_with, version};

const CHANGED: &[(&str, &str)] = &[("name = first", "name = second"), ("ref: v1", "ref: v2")];

fn kept(desk: &Desk) -> String {
    let file = desk.path("kept.plan").display().to_string();
    desk.says(&["plan", "-o", &file], 1, &["kept in"]);
    file
}

#[test]
fn a_host_that_moved_since_is_refused_and_stays_as_it_is() {
    let Some(desk) = Desk::new("a_host_that_moved_since_is_refused_and_stays_as_it_is", 1, Begin::Shop)
    else {
        return;
    };
    plan_with(&desk, CHANGED);
    let file = kept(&desk);
    desk.shell("echo 'name = by hand' > /etc/shop.conf");
    let before = fingerprint(desk.host());
    let words = ["HH0211", "file:/etc/shop.conf changed since", "nothing was changed"];
    desk.says(&["apply", "--yes", &file], 3, &words);
    assert_same(desk.host(), &before);
}

#[test]
fn an_edited_plan_and_edited_sources_are_refused() {
    let Some(desk) = Desk::new("an_edited_plan_and_edited_sources_are_refused", 1, Begin::ShopToLookAt)
    else {
        return;
    };
    let before = fingerprint(desk.host());
    let large = "x".repeat(70_000);
    desk.write("house/large.txt", &large);
    plan_with(&desk, &[("directories:", "  /etc/large: { from: large.txt }\n    directories:")]);
    let file = kept(&desk);
    let text = std::fs::read_to_string(&file).expect("reads");
    desk.write("edited.plan", &text.replace("/etc/large", "/etc/largo"));
    let edited = desk.path("edited.plan").display().to_string();
    desk.says(&["apply", "--yes", &edited], 2, &["was changed after it was made", "plan again"]);
    desk.says(&["apply", "--yes", &file, "--only", "web"], 2, &["--only chooses what is planned"]);
    desk.says(&["apply", &file], 3, &["nobody is there to confirm it"]);
    desk.write("house/large.txt", &large.replace('x', "y"));
    let text = desk.says(&["apply", "--yes", &file], 3, &["nothing was changed", "large.txt"]);
    assert_eq!(text.matches("error[").count(), 1, "{text}");
    assert_same(desk.host(), &before);
}

#[test]
fn a_plan_is_carried_out_exactly_and_holds_no_value_of_a_secret() {
    let Some(desk) =
        Desk::new("a_plan_is_carried_out_exactly_and_holds_no_value_of_a_secret", 1, Begin::Shop)
    else {
        return;
    };
    let planted = "kohlrabi-Wx7-planted";
    desk.write("key", &format!("{planted}\n"));
    let credential = format!("credentials:\n  shop-key: {{ file: {} }}\n", desk.path("key").display());
    let secret_file = "  /etc/shop.key: { credential: shop-key }\n    directories:";
    plan_with(
        &desk,
        &[
            CHANGED[0],
            CHANGED[1],
            ("directories:", secret_file),
            ("services:", &format!("{credential}services:")),
        ],
    );
    let file = kept(&desk);
    let text = std::fs::read_to_string(&file).expect("reads");
    assert!(text.contains("shop-key") && !text.contains(planted), "the value stands in the plan");
    // What the plan file says by now does not matter, only that it still brings that credential to the host.
    plan_with(
        &desk,
        &[
            ("name = first", "name = third"),
            ("directories:", secret_file),
            ("services:", &format!("{credential}services:")),
        ],
    );
    let told = desk.done(&["apply", "--yes", &file]);
    assert!(!told.contains(planted));
    assert_eq!(
        desk.shell("cat /etc/shop.conf; stat -c %a /etc/shop.key; cat /etc/shop.key"),
        format!("name = second\n600\n{planted}")
    );
    assert_eq!(version(&desk), "v2");
    let traces =
        format!("grep -rlF '{planted}' /etc /var/lib /var/log /run /srv /home /root 2>/dev/null || true");
    assert_eq!(desk.shell(&traces), "/etc/shop.key");
    desk.says(&["apply", "--yes", &file], 3, &["HH0211"]);
}

/// Two hosts that have nothing to do with each other.
const TWO: &str = "haus: 1
house: pair
hosts:
  first: { connect: ssh://root@@0@, files: { /etc/a: { text: a } } }
  second: { connect: ssh://root@@1@, files: { /etc/a: { text: a } } }
";

#[test]
fn only_the_chosen_hosts_of_a_kept_plan_are_changed() {
    let test = "only_the_chosen_hosts_of_a_kept_plan_are_changed";
    let Some(desk) = Desk::new(test, 2, Begin::Clean) else { return };
    desk.host().restore(haus_testkit::CLEAN).expect("restores");
    desk.plan(TWO);
    let before = fingerprint(desk.host());
    let file = kept(&desk);
    let refused = |more: &[&str], words: &[&str]| {
        let arguments = [&["apply", "--yes", &file], more].concat();
        desk.says(&arguments, 2, words);
    };
    refused(&["--stage", "other"], &["made for stage default, and not for other", "leave --stage out"]);
    refused(&["--host", "third"], &["no host `third`"]);
    let chosen = ["apply", "--yes", &file, "--host", "second", "--stage", "default"];
    let told = desk.done(&chosen);
    assert!(told.contains("second: done, 1 change") && !told.contains("first"), "{told}");
    assert_same(desk.host(), &before);
    assert_eq!(shell(&desk.hosts()[1], "cat /etc/a"), "a");
    // The rest of it can still be carried out; programs are told of no other host, too.
    let told = desk.done(&["apply", "--yes", "--json", &file, "--host", "first"]);
    assert!(told.contains("\"first\"") && !told.contains("\"second\""), "{told}");
    assert_eq!(desk.shell("cat /etc/a"), "a");
    desk.plan(&TWO.replace("text: a", "text: b"));
    let narrow = desk.path("narrow.plan").display().to_string();
    desk.says(&["plan", "-o", &narrow, "--host", "first"], 1, &["kept in"]);
    let words = ["made without host second; its hosts are first", "plan again with that one"];
    desk.says(&["apply", "--yes", &narrow, "--host", "second"], 2, &words);
    desk.done(&["apply", "--yes", &narrow]);
    assert_eq!((desk.shell("cat /etc/a"), shell(&desk.hosts()[1], "cat /etc/a")), ("b".into(), "a".into()));
}
