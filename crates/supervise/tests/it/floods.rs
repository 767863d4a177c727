//! Services that write without end, disks that are full: the parent stays small, quick and honest.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use haus_supervise::logfile::{Follower, LogLine, rotated_path};
use haus_supervise::{ExitKind, LogSpec, Order};

use crate::fixture::{House, eventually, say_skipped, skip_without_root, status_of};

fn resident_kib(pid: u32) -> u64 {
    status_of(pid, "VmRSS").trim_end_matches(" kB").parse().expect("number")
}

#[test]
fn a_flooding_service_is_bounded_on_disk_and_starves_nobody() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let mut flood = house.spec("flood/1", 1, "exec yes a line of a service that never stops to write");
    flood.log = LogSpec { path: house.log_path("flood/1"), max_bytes: 256 << 10, keep: 2 };
    core.spawn(flood);
    let oldest = rotated_path(&house.log_path("flood/1"), 2);
    eventually("the log has rotated twice", || oldest.exists());
    let begun = Instant::now();
    core.spawn(house.spec("quiet/1", 2, "echo heard; exec sleep 600"));
    house.wait_for_log("quiet/1", "heard");
    core.stop("quiet/1", 5_000);
    assert_eq!(core.exited().exit, ExitKind::Signal(libc::SIGTERM));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for number in 0..=2 {
        let size =
            fs::metadata(rotated_path(&house.log_path("flood/1"), number)).map_or(0, |file| file.len());
        // One batch may be longer than the limit by the heads of its lines, never by another batch.
        assert!(size <= 512 << 10, "file {number} has {size} bytes");
    }
    assert!(!rotated_path(&house.log_path("flood/1"), 3).exists());
    let resident_kib = resident_kib(house.parent_pid());
    assert!(resident_kib < 8 << 10, "parent takes {resident_kib} KiB");
    core.stop("flood/1", 5_000);
    assert_eq!(core.exited().run, 1);
}

#[test]
fn a_log_can_be_followed_while_it_rotates() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    let mut counting = house.spec(
        "count/1",
        1,
        "n=0; while [ $n -lt 2000 ]; do n=$((n+1)); echo line $n; done; exec sleep 600",
    );
    counting.log = LogSpec { path: house.log_path("count/1"), max_bytes: 16 << 10, keep: 20 };
    let mut follower = Follower::from_end(&counting.log.path).expect("opens");
    core.spawn(counting);
    let mut lines: Vec<String> = Vec::new();
    eventually("all lines have come", || {
        lines.extend(follower.poll().expect("polls"));
        lines.len() >= 2_000
    });
    let texts: Vec<String> = lines.iter().map(|line| line.parse::<LogLine>().expect("line").text).collect();
    let expected: Vec<String> = (1..=2_000).map(|number| format!("line {number}")).collect();
    assert_eq!(texts, expected);
}

struct Mount<'path>(&'path std::path::Path);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_costs_lines_and_says_how_many() {
    if skip_without_root("a small file system of our own") {
        return;
    }
    let house = House::start();
    let small = house.root().join("small");
    fs::create_dir(&small).expect("makes");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(&small).status();
    if !mounted.is_ok_and(|status| status.success()) {
        say_skipped("cannot mount a tmpfs: a full disk under a log");
        return;
    }
    let _mount = Mount(&small);
    fs::write(small.join("ballast"), vec![0; 60 << 10]).expect("writes");
    let mut core = house.core();
    core.hello();
    let progress = house.root().join("progress");
    let script = "n=0; while :; do n=$((n+1)); echo line $n; [ $((n % 100)) = 0 ] && echo $n >PROGRESS && sleep 0.01; done";
    let mut spec = house.spec("api/1", 1, &script.replace("PROGRESS", &progress.to_string_lossy()));
    spec.log = LogSpec { path: small.join("api.log"), max_bytes: 1 << 20, keep: 2 };
    core.spawn(spec);
    let log = || fs::read_to_string(small.join("api.log")).unwrap_or_default();
    let written =
        || fs::read_to_string(&progress).ok().and_then(|text| text.trim().parse::<usize>().ok()).unwrap_or(0);
    // Far more than the few blocks that were free, and more than the pipe holds.
    eventually("the service goes on with a full disk under its log", || written() > 10_000);
    assert!(log().lines().count() < 1_000);
    fs::remove_file(small.join("ballast")).expect("removes");
    eventually("the loss is said", || log().contains(" lost: "));
    let text = log();
    let said = text.lines().find(|line| line.contains(" lost: ")).expect("line");
    let said: LogLine = said.parse().expect("a line of its own");
    assert!(said.text.contains("No space left on device"), "{said}");
    // No line is torn by the accident.
    assert!(
        text.lines().take(text.lines().count() - 1).all(|line| line.parse::<LogLine>().is_ok()),
        "{text}"
    );
    core.stop("api/1", 5_000);
    assert_eq!(core.exited().exit, ExitKind::Signal(libc::SIGTERM));
}

#[test]
fn a_parent_of_many_services_stays_small() {
    let house = House::start();
    let mut core = house.core();
    core.hello();
    for number in 0..17 {
        core.spawn(house.spec(&format!("room/{number}"), number, "echo ready; exec sleep 600"));
    }
    for number in 0..17 {
        house.wait_for_log(&format!("room/{number}"), "ready");
    }
    let begun = Instant::now();
    core.send(&Order::Kill { key: String::from("room/3") });
    core.exited();
    let until_told = begun.elapsed();
    assert!(until_told < Duration::from_secs(10), "{until_told:?}");
    let resident_kib = resident_kib(house.parent_pid());
    let threads = status_of(house.parent_pid(), "Threads");
    eprintln!(
        "parent of 17 services: {resident_kib} KiB resident, {threads} thread, an exit is told after {until_told:?}"
    );
    assert_eq!(threads, "1");
    assert!(resident_kib < 6 << 10, "parent takes {resident_kib} KiB");
}
