//! `kill -9` of `haus`, of the program on the host, and links that are cut, at random moments of an apply:
//! what is visible on the host is old or new, the next apply finishes, and the one after it has nothing to
//! do.
//!
//! The moments come from a seed that is printed: 30 of them, or ten times as many with `HAUS_SOAK=1`.

use super::desk::{Begin, Desk, Running};
use super::shop::{plan_with, version};
use crate::dice::Dice;
use haus_testkit::{CliOutput, Signal, kill, wait_until};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(60);
/// One interrupted apply in so many is followed by another that is interrupted, which begins with what the
/// first has left. After all others the next apply comes to its end.
const FOLLOWED: u64 = 4;

fn points(usual: u64) -> u64 {
    if std::env::var_os("HAUS_SOAK").is_some() { usual * 10 } else { usual }
}

/// How an apply is torn.
type Tear = fn(&Desk, Running) -> CliOutput;

/// What is wanted in a round: everything that can be half done differs from the round before.
fn want(desk: &Desk, round: u64) {
    let version = format!("ref: v{}", 1 + round % 4);
    let port = format!("8100, why: \"the shop\" }}, {}/tcp", 8200 + round % 100);
    let text = format!("name = number-{round}");
    let about = format!("The shop, round {round}\"\n");
    let packages = format!("python3, {}]", packages(round));
    let changes = [
        ("ref: v1", version.as_str()),
        ("8100, why: \"the shop\" }", &port),
        ("name = first", &text),
        ("The shop\"\n", &about),
        ("python3]", &packages),
    ];
    plan_with(desk, &changes);
}

/// One more while the first row is torn, and all later ones have it.
fn packages(round: u64) -> &'static str {
    if round == 0 { "tree" } else { "tree, hello" }
}

/// Tears an apply at so many random moments.
fn check(test: &str, points: u64, tear: Tear) {
    let Some(desk) = Desk::new(test, 1, Begin::Shop) else { return };
    let mut dice = Dice::new();
    want(&desk, 0);
    // What an apply tells of itself measures how far it is, on a fast machine and on a slow one. Later ones
    // have less to do.
    let whole = told(&desk.done(&["apply", "--yes"])) * 2 / 3;
    let (mut torn, mut round) = (0, 0);
    // One that was through before its moment came does not count.
    while torn < points {
        round += 1;
        assert!(round <= points * 3, "only {torn} of {round} were torn in the middle");
        want(&desk, round);
        let (line, more) = (dice.below(whole), Duration::from_millis(dice.below(200)));
        let mut running = desk.start(&["apply", "--yes"]);
        wait_until("the line to come", SOON, || told(&running.out()) >= line || running.has_ended());
        let begun = Instant::now();
        wait_until("the moment to come", SOON, || begun.elapsed() >= more || running.has_ended());
        torn += u64::from(!running.has_ended());
        let ended = tear(&desk, running);
        assert_nothing_is_half(&desk, &format!("round {round}, {more:?} after line {line}: {ended:?}"));
        if torn == points || dice.below(FOLLOWED) > 0 {
            let text = desk.done(&["apply", "--yes"]);
            assert_finished(&desk, round, &text);
            desk.has_nothing_to_do();
        }
    }
}

/// Lines about what goes on on the host.
fn told(out: &str) -> u64 {
    u64::try_from(out.lines().filter(|line| line.starts_with("web: ")).count()).expect("few")
}

/// Whoever looks at this moment sees the old or the new.
#[track_caller]
fn assert_nothing_is_half(desk: &Desk, when: &str) {
    let look = "set -e; cd /srv/shop/web/current/; test -s server.py; test -s version; test -d data; \
        tail -n 1 /etc/systemd/system/haus-shop-web.service; tail -n 1 /etc/shop.conf; nft -c -f /etc/haus/firewall.nft";
    let output = desk.host().exec_shell(look).expect("runs");
    assert!(output.is_success(), "{when}: {output:?}");
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{when}: {output:?}");
    assert_eq!(lines[0], "WantedBy=multi-user.target", "{when}");
    assert!(lines[1].starts_with("name = ") && output.stdout.ends_with('\n'), "{when}: {output:?}");
}

#[track_caller]
fn assert_finished(desk: &Desk, round: u64, text: &str) {
    let left = desk.shell(
        "find / -xdev \\( -name '.haus-new*' -o -name '.haus-old*' \\) ! -path '/proc/*'; \
         for release in /srv/shop/web/releases/*; do test -f ${release%/*}/.${release##*/}.json || echo $release; done; \
         ls /run/systemd/system /etc/systemd/system | grep haus-revert || true; \
         find /var/lib/haus-remote/shop/blobs -type f; systemctl list-units --failed --no-legend --plain",
    );
    assert_eq!(left, "", "round {round}: {text}");
    assert_eq!(version(desk), format!("v{}", 1 + round % 4), "round {round}: {text}");
    let rules = desk.shell("nft list table inet haus");
    assert!(rules.contains(&(8200 + round % 100).to_string()), "round {round}: {rules}");
    let kept: u32 = desk.shell("ls /srv/shop/web/releases | wc -l").parse().expect("a number");
    assert!(kept <= 3, "round {round}: {kept} releases: {text}");
    let broken = desk.shell("dpkg --audit");
    assert_eq!(broken, "", "round {round}: {text}");
    desk.shell(&format!("dpkg-query -W {}", packages(round).replace(',', "")));
}

/// The processes that a process has started.
fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    children
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Its end, which it must find by itself: done because it was through already, refused, or taken back.
#[track_caller]
fn by_itself(running: Running) -> CliOutput {
    let ended = running.end(Duration::from_secs(120));
    assert!(ended.code.is_some_and(|code| [0, 1, 3, 4].contains(&code)), "{ended:?}");
    ended
}

#[test]
fn haus_is_killed() {
    check("haus_is_killed", points(12), |_, running| running.kill());
}

/// What is under way goes on behind a `haus` that is gone; the next one neither plans what that changes nor
/// is refused.
#[test]
fn the_next_apply_waits_for_what_a_killed_one_left_under_way() {
    let test = "the_next_apply_waits_for_what_a_killed_one_left_under_way";
    let Some(desk) = Desk::new(test, 1, Begin::Shop) else { return };
    want(&desk, 0);
    desk.done(&["apply", "--yes"]);
    want(&desk, 1);
    let hold = "DPkg::Pre-Invoke {\"while test -e /run/hold; do sleep 0.1; done\";};";
    desk.shell(&format!("touch /run/hold; printf '%s\\n' '{hold}' > /etc/apt/apt.conf.d/99hold"));
    let running = desk.start(&["apply", "--yes"]);
    wait_until("apt to begin", SOON, || running.out().contains("web:   $ apt-get"));
    running.kill();
    let next = desk.start(&["apply", "--yes"]);
    let waits = "waiting for what is under way there: packages:apt";
    wait_until("the next one to wait", SOON, || next.err().contains(waits));
    desk.shell("rm /run/hold /etc/apt/apt.conf.d/99hold");
    let next = next.end(SOON * 2);
    assert_eq!(next.code, Some(0), "{next:?}");
    assert!(!next.stdout.contains("~ install packages:apt"), "{next:?}");
    assert_finished(&desk, 1, &next.stdout);
    desk.has_nothing_to_do();
}

#[test]
fn the_program_on_the_host_is_killed() {
    check("the_program_on_the_host_is_killed", points(9), |desk, running| {
        desk.shell(
            "for process in /proc/[0-9]*; do case \"$(readlink $process/exe)\" in \
             */bin/haus-remote-*) kill -9 ${process#/proc/} ;; esac; done; true",
        );
        by_itself(running)
    });
}

#[test]
fn the_connection_breaks() {
    check("the_connection_breaks", points(5), |_, running| {
        children(running.pid()).into_iter().for_each(|ssh| kill(ssh, Signal::KILL));
        by_itself(running)
    });
}

#[test]
fn the_link_is_cut_without_a_word() {
    check("the_link_is_cut_without_a_word", points(4), |desk, running| {
        desk.host().cut_link().expect("cuts");
        let mut running = running;
        wait_until("haus to notice", SOON, || {
            running.has_ended() || running.out().contains("the connection is lost")
        });
        desk.host().mend_link().expect("mends");
        by_itself(running)
    });
}
