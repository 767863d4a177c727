//! What a service finds when it starts: nothing of the one who started the house.

use crate::home::{Home, SOON, server};
use haus_testkit::{is_root, loud_skip};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// A line of `/proc/PID/status`.
fn status_of(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().to_owned()
}

#[test]
fn a_service_finds_a_clean_environment() {
    let more = "env: { GREETING: \"good morning from ${service}, not $${service}\" }\nconfig: { answer: 42, port: \"${port}\" }";
    let body = format!("services:\n{}routes:\n  \"web.${{domain}}\": web\n", server("web", "", more));
    let mut home = Home::up(&body);
    let text = home.get("web", "/env").text();
    let mut env: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let state = home.house.state();
    let path = |below: &str| state.join(below).display().to_string();
    let (home_folder, scratch, config) =
        (path("data/web/1"), path("tmp/web/1"), path("run/config/web/1.json"));
    let port = home.port("web/1").to_string();
    assert!(env.remove("HAUS_RUN_ID").is_some());
    let user = env.remove("USER");
    assert!(if is_root() { user == Some("nobody") } else { user.is_some() }, "{text}");
    // The C library of python adds this one itself.
    env.remove("LC_CTYPE");
    let expected = BTreeMap::from([
        ("GREETING", "good morning from web, not ${service}"),
        ("HAUS_CONFIG", &config),
        ("HAUS_HOUSE", &home.name),
        ("HAUS_INSTANCE", "web/1"),
        ("HAUS_SERVICE", "web"),
        ("HOME", &home_folder),
        ("LANG", "C.UTF-8"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("PORT", &port),
        ("TMPDIR", &scratch),
    ]);
    assert_eq!(env, expected);
    let told: serde_json::Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    assert_eq!(told, serde_json::json!({ "answer": 42, "port": port }));
    home.down();
}

#[test]
fn a_service_has_a_group_and_a_session_of_its_own_and_gains_no_rights() {
    let mut home = Home::up(&format!("services:\n{}{}", server("web", "", ""), server("other", "", "")));
    for id in ["web/1", "other/1"] {
        let pid = home.pid(id);
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let own = pid.to_string();
        assert_eq!((fields[2], fields[3]), (own.as_str(), own.as_str()), "leads its group and its session");
        assert_eq!(status_of(pid, "NoNewPrivs"), "1");
        assert_eq!(fs::read_link(format!("/proc/{pid}/fd/0")).unwrap().to_str(), Some("/dev/null"));
        let ids: Vec<String> = status_of(pid, "Uid").split_whitespace().map(str::to_owned).collect();
        assert!(ids.iter().all(|id| *id == ids[0] && id != "0") || !is_root(), "{ids:?}");
    }
    home.down();
}

#[test]
fn limits_reach_the_process() {
    let more = "limits: { files: 77, memory: 200MiB, tasks: 32 }";
    let mut home = Home::up(&format!("services:\n{}", server("web", "", more)));
    let limits = fs::read_to_string(format!("/proc/{}/limits", home.pid("web/1"))).unwrap();
    let line = |name: &str| limits.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let values =
        |name: &str| line(name)[name.len()..].split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(values("Max open files")[..2], ["77", "77"]);
    assert_eq!(values("Max core file size")[0], "0");
    // Control groups are not writable everywhere; where one is missing, the event of the start says so.
    let membership = fs::read_to_string(format!("/proc/{}/cgroup", home.pid("web/1"))).unwrap();
    let noted = !home.events_of("web/1", "limit not enforced").is_empty();
    assert!(noted || membership.contains(&home.name) || membership.contains("web"), "{membership}");
    home.down();
}

/// Accounts of one house; they go with the test that made them.
struct Accounts {
    prefix: String,
}

impl Accounts {
    /// Name and number of each.
    fn read(&self) -> Vec<(String, String)> {
        let passwd = fs::read_to_string("/etc/passwd").expect("there are accounts");
        let fields = passwd.lines().map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
        let own = fields.filter(|fields| fields[0].starts_with(&self.prefix));
        own.map(|fields| (fields[0].clone(), fields[2].clone())).collect()
    }
}

impl Drop for Accounts {
    fn drop(&mut self) {
        for (name, _) in self.read() {
            let _ = Command::new("userdel").arg(name).output();
        }
    }
}

#[test]
fn every_service_has_an_account_of_its_own_when_root_starts_the_house() {
    if !is_root() {
        return loud_skip(
            "every_service_has_an_account_of_its_own_when_root_starts_the_house",
            "only root can make accounts",
        );
    }
    let own = |name: &str| {
        server(name, "", "")
            .lines()
            .filter(|line| !line.contains("user:"))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let mut home = Home::new(&format!("services:\n{}{}", own("web"), own("other")));
    let accounts = Accounts { prefix: format!("haus-{}-", home.name) };
    home.house.up(&[]);
    home.house.wait_for_line("up: ", SOON);
    let uids = ["web/1", "other/1"]
        .map(|id| status_of(home.pid(id), "Uid").split_whitespace().next().unwrap().to_owned());
    let made = accounts.read();
    for (service, uid) in ["web", "other"].iter().zip(&uids) {
        let is_it = |account: &&(String, String)| account.0.contains(service);
        assert_eq!(made.iter().find(is_it).map(|account| &account.1), Some(uid), "{made:?}");
    }
    assert!(uids[0] != uids[1] && !uids.contains(&"0".to_owned()), "{uids:?}");
    let folder = home.house.state().join("data/web/1");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(folder).unwrap());
    assert_eq!(owner.to_string(), uids[0], "the data folder belongs to its service");
    home.down();
}
