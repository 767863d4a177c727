//! One description of a hundred things that must be true on a host, and the same for all three programs: as
//! it is (`work.json`) for the playbook and for pyinfra's deploy, and as a `house.yaml`. It knows no host.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// In every host's image, so that no network takes part in the figures.
const PACKAGES: [&str; 10] = [
    "ca-certificates",
    "curl",
    "git",
    "iproute2",
    "iputils-ping",
    "nftables",
    "procps",
    "python3",
    "rsync",
    "sudo",
];
const SYSCTL: [(&str, &str); 5] = [
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.all.log_martians", "1"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
];
const FOLDER: &str = "/opt/bench";
const FILES: usize = 40;
const DIRECTORIES: usize = 20;
/// Of accounts (each with a group of its own), links and units.
const EACH: usize = 5;

/// What must be true.
#[derive(Serialize)]
pub(super) struct Work {
    packages: Vec<&'static str>,
    /// Each with the group of its name.
    accounts: Vec<String>,
    directories: Vec<Directory>,
    files: Vec<File>,
    links: Vec<Link>,
    sysctl: BTreeMap<&'static str, &'static str>,
    units: Vec<Unit>,
}

#[derive(Serialize)]
struct Directory {
    path: String,
    mode: &'static str,
}

#[derive(Serialize)]
struct File {
    path: String,
    mode: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Link {
    path: String,
    to: String,
}

#[derive(Serialize)]
struct Unit {
    name: String,
    text: String,
}

impl Work {
    /// The hundred.
    pub(super) fn hundred() -> Work {
        let part = |number: usize| format!("{FOLDER}/part-{number:02}");
        let first = Directory { path: FOLDER.to_owned(), mode: "0755" };
        let parts = (1..DIRECTORIES).map(|number| Directory {
            path: part(number),
            mode: ["0755", "0750", "0700", "0711"][number % 4],
        });
        let file = |number: usize| File {
            path: format!("{}/setting-{number:02}.conf", part(1 + number % (DIRECTORIES - 1))),
            mode: ["0644", "0640", "0600"][number % 3],
            text: settings(number, 200 + number * 97),
        };
        let unit = |number: usize| Unit {
            name: format!("bench-{number}.service"),
            text: format!(
                "[Unit]\nDescription=Sleeps for the bench, {number}\n\n\
                 [Service]\nExecStart=/usr/bin/sleep infinity\n\n[Install]\nWantedBy=multi-user.target\n"
            ),
        };
        Work {
            packages: PACKAGES.to_vec(),
            accounts: (1..=EACH).map(|number| format!("bench-{number}")).collect(),
            directories: std::iter::once(first).chain(parts).collect(),
            files: (1..=FILES).map(file).collect(),
            links: (1..=EACH)
                .map(|number| Link { path: format!("{FOLDER}/link-{number}"), to: part(number) })
                .collect(),
            sysctl: SYSCTL.into_iter().collect(),
            units: (1..=EACH).map(unit).collect(),
        }
    }

    /// How many things that are: an account is itself and its group, a unit its file and its state.
    pub(super) fn count(&self) -> usize {
        let Work { packages, accounts, directories, files, links, sysctl, units } = self;
        let single = packages.len() + directories.len() + files.len() + links.len() + sysctl.len();
        single + 2 * (accounts.len() + units.len())
    }

    /// For the peers.
    pub(super) fn json(&self) -> String {
        json!({ "work": self }).to_string()
    }

    /// For `haus`, on these hosts. JSON is YAML, and a generated file needs no beauty.
    pub(super) fn house(&self, hosts: &[String]) -> String {
        let map = |entries: Vec<(String, Value)>| Value::Object(entries.into_iter().collect::<Map<_, _>>());
        let accounts = self.accounts.iter().map(|name| (name.clone(), json!({})));
        let directories =
            self.directories.iter().map(|each| (each.path.clone(), json!({ "mode": each.mode })));
        let file = |each: &File| (each.path.clone(), json!({ "text": each.text, "mode": each.mode }));
        let links = self.links.iter().map(|each| (each.path.clone(), json!(each.to)));
        let unit =
            |each: &Unit| (each.name.clone(), json!({ "text": each.text, "enabled": true, "running": true }));
        let settings = json!({
            "packages": self.packages,
            "accounts": map(accounts.collect()),
            "directories": map(directories.collect()),
            "files": map(self.files.iter().map(file).collect()),
            "links": map(links.collect()),
            "sysctl": self.sysctl,
            "units": map(self.units.iter().map(unit).collect()),
        });
        let host = |name: &String| {
            (name.clone(), json!({ "connect": format!("ssh://root@{name}"), "groups": ["all"] }))
        };
        let hosts = map(hosts.iter().map(host).collect());
        json!({ "haus": 1, "house": "bench", "groups": { "all": settings }, "hosts": hosts }).to_string()
    }

    /// Five things that somebody did by hand, one of each kind that drifts, and how many they are.
    pub(super) fn spoil(&self) -> (String, u64) {
        let (file, link) = (&self.files[0].path, &self.links[0].path);
        let (folder, unit) = (&self.directories[2].path, &self.units[0].name);
        let (parameter, _) = SYSCTL[0];
        let line = format!(
            "echo more >>{file} && chmod 0777 {folder} && ln -sfn /tmp {link} && \
             systemctl stop {unit} && sysctl -qw {parameter}=1"
        );
        (line, 5)
    }
}

/// Lines as a small configuration has them, about so many bytes of them.
fn settings(file: usize, bytes: usize) -> String {
    let mut text = String::new();
    for line in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&format!("setting-{line:03} = value of file {file}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_hundred_things() {
        assert_eq!(Work::hundred().count(), 100);
    }

    #[test]
    fn files_have_200_bytes_to_4_kib() {
        let work = Work::hundred();
        let sizes: Vec<usize> = work.files.iter().map(|file| file.text.len()).collect();
        assert!(sizes.iter().all(|bytes| (200..=4096).contains(bytes)), "{sizes:?}");
        assert!(sizes.iter().max() > Some(&4000), "{sizes:?}");
    }

    #[test]
    fn the_house_says_the_same_on_every_host() {
        let hosts = ["lab1".to_owned(), "lab2".to_owned()];
        let house: Value = serde_json::from_str(&Work::hundred().house(&hosts)).unwrap();
        assert_eq!(house["hosts"]["lab2"]["connect"], "ssh://root@lab2");
        assert_eq!(house["groups"]["all"]["files"].as_object().unwrap().len(), FILES);
        assert_eq!(house["groups"]["all"]["units"]["bench-5.service"]["running"], true);
    }
}
