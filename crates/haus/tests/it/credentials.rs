//! Credentials reach the service that may have them as files, and nobody else in any way.

use crate::home::{Home, SOON, server};
use haus_testkit::is_root;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const BODY: &str =
    "credentials:\n  web-key: { length: 40, scope: [web] }\n  from-file: { file: key.txt, scope: [web] }\n";

fn body() -> String {
    let web = server("web", "", "credentials: { WEB_KEY: web-key, FILE_KEY: from-file }");
    format!("services:\n{web}{}{BODY}routes:\n  \"web.${{domain}}\": web\n", server("other", "", ""))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o777
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("the kind of an entry is known");
        if kind.is_dir() {
            files_below(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

/// Files below a folder that hold a text.
fn holders(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    files_below(folder, &mut files);
    files.retain(|file| {
        let bytes = fs::read(file).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    });
    files.sort();
    files
}

#[test]
fn a_credential_is_made_once_and_delivered_to_its_service_alone() {
    let mut home = Home::new(&body());
    home.house.write("key.txt", "value-from-a-file\n");
    home.start();
    let folder = home.house.state().join("run/credentials/web/1");
    let (delivered, from_file) = (folder.join("WEB_KEY"), folder.join("FILE_KEY"));
    let value = fs::read_to_string(&delivered).unwrap();
    assert_eq!((value.len(), mode(&home.house.state().join("keyring"))), (40, 0o600));
    assert_eq!(fs::read_to_string(&from_file).unwrap(), "value-from-a-file");
    assert_eq!((mode(&delivered), mode(&from_file)), (0o400, 0o400));
    let service = fs::metadata(format!("/proc/{}", home.pid("web/1"))).unwrap().uid();
    assert_eq!(fs::metadata(&delivered).unwrap().uid(), service);
    let env = home.get("web", "/env").text();
    assert!(env.contains(&format!("CREDENTIALS_DIRECTORY={}\n", folder.display())), "{env}");
    assert!(env.contains(&format!("WEB_KEY_FILE={}\n", delivered.display())), "{env}");
    home.down();
    home.start();
    assert_eq!(fs::read_to_string(&delivered).unwrap(), value, "made once");
    home.down();
    assert!(service != 0 || !is_root(), "the service runs as root");
}

#[test]
fn a_plain_value_of_an_earlier_version_is_taken_over_and_removed() {
    let mut home = Home::new(&body());
    home.house.write("key.txt", "value-from-a-file\n");
    let folder = home.house.state().join("credentials");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("web-key"), "value-of-an-earlier-version").unwrap();
    home.start();
    let delivered = home.house.state().join("run/credentials/web/1/WEB_KEY");
    assert_eq!(fs::read_to_string(&delivered).unwrap(), "value-of-an-earlier-version");
    assert_eq!(holders(&home.house.state(), "value-of-an-earlier-version"), [delivered]);
    assert!(!folder.exists());
    home.down();
}

#[test]
fn a_house_without_the_key_ring_of_its_credentials_does_not_start() {
    let mut home = Home::new(&body());
    home.house.write("key.txt", "value-from-a-file\n");
    home.start();
    let delivered = home.house.state().join("run/credentials/web/1/WEB_KEY");
    let value = fs::read_to_string(&delivered).unwrap();
    home.down();
    let (ring, saved) = (home.house.state().join("keyring"), home.house.state().join("keyring.saved"));
    fs::rename(&ring, &saved).unwrap();
    home.house.forget_lines();
    home.house.up(&[]);
    assert_eq!(home.house.wait_for_exit(SOON), Some(4), "{:?}", home.house.lines());
    let told = home.house.lines().join("\n");
    assert!(told.contains(&ring.display().to_string()) && told.contains("saved copy"), "{told}");
    assert!(!ring.exists(), "no other ring is made");
    fs::rename(&saved, &ring).unwrap();
    home.start();
    assert_eq!(fs::read_to_string(&delivered).unwrap(), value);
    home.down();
}

#[test]
fn the_value_of_a_credential_stands_nowhere_else() {
    let mut home = Home::new(&body());
    home.house.write("key.txt", "value-from-a-file\n");
    home.start();
    home.ask(&["restart", "web"]);
    home.wait_for_phase("web/1", "healthy");
    let state = home.house.state();
    let delivered = state.join("run/credentials/web/1");
    let value = fs::read_to_string(delivered.join("WEB_KEY")).unwrap();
    assert_eq!(holders(&state, &value), [delivered.join("WEB_KEY")]);
    assert_eq!(holders(&state, "value-from-a-file"), [delivered.join("FILE_KEY")]);
    let mut told = vec![home.ask(&["status", "--json"]), home.ask(&["events", "--json", "-n", "10000"])];
    told.push(home.ask(&["logs", "web"]));
    told.push(home.house.lines().join("\n"));
    told.push(home.get_own("/api/services").text());
    for (pid, command) in home.house.processes() {
        told.push(command);
        told.push(
            String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/environ")).unwrap_or_default())
                .into_owned(),
        );
    }
    for text in told {
        assert!(!text.contains(&value) && !text.contains("value-from-a-file"), "{text}");
    }
    assert!(!home.events_of("web-key", "generated").is_empty(), "that it was made is told");
    home.down();
}

#[test]
fn a_missing_credential_file_keeps_its_service_from_starting() {
    let more = "credentials: { KEY: from-file }\nrecover: { tries: 2, first: 50ms, most: 100ms }";
    let web = server("web", "", more);
    let key = "credentials:\n  from-file: { file: key.txt, scope: [web] }\n";
    let mut home = Home::new(&format!("services:\n{web}{}{key}", server("other", "", "")));
    home.begin();
    home.wait_for_phase("other/1", "healthy");
    let why = home.wait_for_phase("web/1", "waiting");
    assert!(why.contains("from-file") && why.contains("key.txt"), "{why}");
    home.house.write("key.txt", "late\n");
    home.ask(&["restart", "web"]);
    home.wait_for_phase("web/1", "healthy");
    home.down();
}
