//! Processes: alive, ended, not yet reaped, another one under the same number.

use crate::{PATIENT, ask, assert_bad, assert_good};
use haus_probe::ProbeTarget;
use haus_testkit::{is_running, wait_until};
use std::process::Command;

fn start_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_process_is_good_until_it_ends() {
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = child.id();
    let target = ProbeTarget::Process { pid, start_ticks: start_ticks(pid) };
    assert_good(&ask(&target, PATIENT).await, &format!("process {pid}: runs"));
    let other = ProbeTarget::Process { pid, start_ticks: start_ticks(pid) + 1 };
    assert_bad(&ask(&other, PATIENT).await, "its number belongs to another process");
    child.kill().unwrap();
    wait_until("the end of the child", PATIENT, || !is_running(pid));
    assert_bad(&ask(&target, PATIENT).await, "has ended and waits for its parent");
    child.wait().unwrap();
    assert_bad(&ask(&target, PATIENT).await, "has ended");
}
