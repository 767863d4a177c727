//! Virtual environments below the target folder, made once per list of pinned versions. Knows pip, and how to
//! tell a missing network from a broken list; it does not know what is installed.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::TaskError;

/// Debian's own first: what it was tried with. Elsewhere any will do.
const PYTHONS: [&str; 2] = ["/usr/bin/python3", "python3"];

/// What pip says of a place that cannot be reached.
const NO_NETWORK: [&str; 6] = [
    "connection broken by",
    "NewConnectionError",
    "Temporary failure in name resolution",
    "ConnectTimeoutError",
    "ProxyError",
    "Network is unreachable",
];

/// An environment that is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Of its folder below the target folder.
    pub(crate) name: &'static str,
    /// The list of packages, relative to the repository.
    pub(crate) list: &'static str,
    /// A program that it brings.
    pub(crate) program: &'static str,
    /// Which command of `./x` asks for it.
    pub(crate) by: &'static str,
}

impl Wanted {
    /// Makes it ready and gives the folder of its programs; the inner error says why it cannot be had here.
    ///
    /// # Errors
    /// The list is broken or the disk refuses: that is no reason to go on without.
    pub(crate) fn ready(&self, root: &Path, target: &Path) -> Result<Result<PathBuf, String>, TaskError> {
        let path = root.join(self.list);
        let list = std::fs::read_to_string(&path)
            .map_err(|source| TaskError::Read { path: path.clone(), source })?;
        let folder = target.join(self.name).join(fingerprint(&list));
        let programs = folder.join("bin");
        let done = folder.join("complete");
        if done.exists() && programs.join(self.program).exists() {
            return Ok(Ok(programs));
        }
        // An interrupted installation is not continued.
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .map_err(|source| TaskError::Write { path: folder.clone(), source })?;
        }
        let made = PYTHONS.iter().any(|python| {
            let mut command = Command::new(python);
            command.args(["-m", "venv"]).arg(&folder).stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        });
        if !made {
            return Ok(Err(
                "no python3 here can make a virtual environment (Debian: python3-venv)".to_owned()
            ));
        }
        eprintln!("{}: installing the packages of {} from PyPI", self.by, self.list);
        let mut pip = Command::new(programs.join("pip"));
        pip.args(["install", "--quiet", "--no-input", "--retries", "2", "--timeout", "20", "-r"]).arg(&path);
        let output = pip.stdin(Stdio::null()).output();
        let output = output.map_err(|source| TaskError::Run { program: "pip".to_owned(), source })?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            crate::bench::write(&done, "")?;
            return Ok(Ok(programs));
        }
        if NO_NETWORK.iter().any(|mark| said.contains(mark)) {
            let why = format!("PyPI cannot be reached, and {} is not installed yet", self.program);
            return Ok(Err(why));
        }
        Err(TaskError::Ended {
            program: "pip".to_owned(),
            status: output.status,
            output: said.trim().to_owned(),
        })
    }
}

/// Another list gets another folder.
fn fingerprint(list: &str) -> String {
    let mut hasher = DefaultHasher::new();
    list.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_list_gets_another_folder() {
        assert_eq!(fingerprint("a==1\n"), fingerprint("a==1\n"));
        assert_ne!(fingerprint("a==1\n"), fingerprint("a==2\n"));
    }

    #[test]
    fn an_installed_tool_is_used_as_it_is() {
        let (root, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let wanted = Wanted { name: "tool", list: "list.txt", program: "tool", by: "test" };
        let folder = target.path().join("tool").join(fingerprint("a==1\n"));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        std::fs::write(root.path().join("list.txt"), "a==1\n").unwrap();
        std::fs::write(folder.join("bin/tool"), "").unwrap();
        std::fs::write(folder.join("complete"), "").unwrap();
        let programs = wanted.ready(root.path(), target.path()).unwrap().unwrap();
        assert_eq!(programs, folder.join("bin"));
    }

    #[test]
    fn every_package_of_the_lists_is_pinned() {
        for list in [include_str!("../schemathesis.txt"), include_str!("../apply-peers.txt")] {
            let packages = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            assert!(packages.clone().count() > 20);
            for package in packages {
                assert!(
                    package.split_once("==").is_some_and(|(_, version)| !version.is_empty()),
                    "{package}"
                );
            }
        }
    }
}
