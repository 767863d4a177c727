//! Disks that are full, read-only or flooded do not stop a house, and it says what is wrong.

use crate::home::{Home, SOON, server};
use haus_testkit::{Signal, SmallDisk, is_running, kill, wait_until};
use std::fs;
use std::time::{Duration, Instant};

const ROUTE: &str = "routes:\n  \"web.${domain}\": web\n";

fn log_bytes(home: &Home, name: &str) -> u64 {
    let files = fs::read_dir(home.house.state().join("log")).expect("the folder of the logs is there");
    let files = files.flatten().filter(|file| file.file_name().to_string_lossy().starts_with(name));
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[test]
fn a_service_that_floods_its_log_fills_no_disk_and_delays_nobody() {
    let flood = server("flood", "flood=yes", "limits: { log: 64KiB }");
    let body = format!("services:\n{flood}{}{ROUTE}  \"flood.${{domain}}\": flood\n", server("web", "", ""));
    let mut home = Home::up(&body);
    let mut slowest = Duration::ZERO;
    wait_until("eight megabytes of flood", SOON, || {
        // Four files at most, and the line that was too much for one.
        let bytes = log_bytes(&home, "flood.1.log");
        assert!(bytes <= 4 * (64 << 10) + (32 << 10), "{bytes} bytes of log");
        let begun = Instant::now();
        assert_eq!(home.get("web", "/who").status, 200);
        home.ask(&["status"]);
        slowest = slowest.max(begun.elapsed());
        home.get("flood", "/flooded").text().parse::<u64>().is_ok_and(|flooded| flooded > 8 << 20)
    });
    assert!(slowest < Duration::from_secs(10), "an answer took {slowest:?}");
    assert!(home.ask(&["logs", "flood", "-n", "3"]).lines().count() == 3);
    home.down();
}

/// A house whose state folder is a disk of its own. Keep them in this order: the disk has to go
/// before the folder does.
fn on_small_disk(test: &str, body: &str) -> Option<(Home, SmallDisk)> {
    let home = Home::new(body);
    fs::create_dir(home.house.state()).expect("the test's own folder is writable");
    let disk = SmallDisk::mount_at(test, &home.house.state(), 4_096)?;
    Some((home, disk))
}

#[test]
fn a_full_disk_stops_no_service_and_its_events_are_kept_for_later() {
    let body = format!("services:\n{}{}{ROUTE}", server("web", "", ""), server("other", "", ""));
    let test = "a_full_disk_stops_no_service_and_its_events_are_kept_for_later";
    let Some((mut home, disk)) = on_small_disk(test, &body) else { return };
    home.start();
    let (web, other) = (home.pid("web/1"), home.pid("other/1"));
    let ballast = disk.fill();
    kill(web, Signal::KILL);
    let successor = home.wait_for_successor("web/1", web);
    assert_eq!(home.get("web", "/who").text(), format!("web/1 {successor}"));
    wait_until("the status to tell", SOON, || home.status()["store"]["writable"] == false);
    assert!(home.house.ask(&["status"]).stdout.contains("NOT WRITABLE"));
    let health = String::from_utf8(home.get_own("/health").body).unwrap();
    assert!(health.contains("degraded"), "{health}");
    assert_eq!(home.pid("other/1"), other);
    fs::remove_file(ballast).unwrap();
    wait_until("the store to recover", SOON, || home.status()["store"]["writable"] == true);
    home.wait_for_events(1, "web/1", &format!("process {web} ended"));
    assert_eq!(home.status()["store"]["events_lost"], 0);
    home.down();
}

#[test]
fn a_house_on_a_full_disk_goes_down_in_order() {
    let test = "a_house_on_a_full_disk_goes_down_in_order";
    let Some((mut home, disk)) = on_small_disk(test, &format!("services:\n{}", server("web", "", ""))) else {
        return;
    };
    home.start();
    disk.fill();
    home.down();
}

#[test]
fn a_core_that_dies_while_the_disk_is_full_takes_no_service_with_it() {
    let body = format!("services:\n{}{ROUTE}", server("web", "", ""));
    let test = "a_core_that_dies_while_the_disk_is_full_takes_no_service_with_it";
    let Some((mut home, disk)) = on_small_disk(test, &body) else { return };
    home.start();
    let (web, core) = (home.pid("web/1"), home.house.core_pid().unwrap());
    disk.fill();
    kill(core, Signal::KILL);
    wait_until("another core to answer", SOON, || {
        let goes_on = is_running(home.house.up_pid());
        assert!(goes_on, "the house went down:\n{}", home.house.lines().join("\n"));
        home.try_status().is_some_and(|status| status["ready"] == true && status["core_pid"] != core)
    });
    assert_eq!(home.get("web", "/who").text(), format!("web/1 {web}"));
    assert_eq!(home.pid("web/1"), web);
    home.down();
}

#[test]
fn a_house_cannot_start_on_a_full_disk_and_says_so() {
    let test = "a_house_cannot_start_on_a_full_disk_and_says_so";
    let Some((mut home, disk)) = on_small_disk(test, &format!("services:\n{}", server("web", "", ""))) else {
        return;
    };
    disk.fill();
    home.house.up(&[]);
    let code = home.house.wait_for_exit(SOON);
    let said = home.house.lines().join("\n");
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("error: ") && said.contains("No space left"), "{said}");
    assert_eq!(home.house.processes(), []);
}

#[test]
fn a_read_only_data_folder_fails_its_service_with_a_reason_and_no_other() {
    let more = "data: [db]\nrecover: { tries: 2, first: 50ms, most: 100ms }";
    let body = format!("services:\n{}{}", server("ledger", "", more), server("other", "", ""));
    let mut home = Home::new(&body);
    let data = home.house.state().join("data/ledger");
    fs::create_dir_all(&data).unwrap();
    let test = "a_read_only_data_folder_fails_its_service_with_a_reason_and_no_other";
    let Some(disk) = SmallDisk::mount_at(test, &data, 256) else { return };
    disk.make_read_only();
    home.begin();
    let why = home.wait_for_phase("ledger/1", "given up");
    assert!(why.contains("data/ledger") && why.to_lowercase().contains("read-only"), "{why}");
    home.wait_for_phase("other/1", "healthy");
    home.down();
}
