//! schemathesis in a virtual environment below the target folder, made once per list of versions. Knows pip,
//! and how to tell a missing network from a broken list.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::TaskError;

const LIST: &str = "xtask/schemathesis.txt";
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

/// A schemathesis that can be started.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) program: PathBuf,
}

impl Tool {
    /// Makes it ready; the inner error says why it cannot be had here.
    ///
    /// # Errors
    /// The list is broken or the disk refuses: that is no reason to go on without.
    pub(super) fn ready(root: &Path, target: &Path) -> Result<Result<Tool, String>, TaskError> {
        let path = root.join(LIST);
        let list = std::fs::read_to_string(&path)
            .map_err(|source| TaskError::Read { path: path.clone(), source })?;
        let folder = target.join("schemathesis").join(fingerprint(&list));
        let tool = Tool { program: folder.join("bin/schemathesis") };
        let done = folder.join("complete");
        if done.exists() && tool.program.exists() {
            return Ok(Ok(tool));
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
        eprintln!("fuzz-api: installing the packages of {LIST} from PyPI");
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--no-input", "--retries", "2", "--timeout", "20", "-r"]).arg(&path);
        let output = pip.stdin(Stdio::null()).output();
        let output = output.map_err(|source| TaskError::Run { program: "pip".to_owned(), source })?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            crate::bench::write(&done, "")?;
            return Ok(Ok(tool));
        }
        if NO_NETWORK.iter().any(|mark| said.contains(mark)) {
            return Ok(Err("PyPI cannot be reached, and schemathesis is not installed yet".to_owned()));
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
        let folder = target.path().join("schemathesis").join(fingerprint("a==1\n"));
        std::fs::create_dir_all(root.path().join("xtask")).unwrap();
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        std::fs::write(root.path().join(LIST), "a==1\n").unwrap();
        std::fs::write(folder.join("bin/schemathesis"), "").unwrap();
        std::fs::write(folder.join("complete"), "").unwrap();
        let tool = Tool::ready(root.path(), target.path()).unwrap().unwrap();
        assert_eq!(tool.program, folder.join("bin/schemathesis"));
    }

    #[test]
    fn every_package_of_the_list_is_pinned() {
        let list = include_str!("../../schemathesis.txt");
        let packages = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        assert!(packages.clone().count() > 20);
        for package in packages {
            assert!(package.split_once("==").is_some_and(|(_, version)| !version.is_empty()), "{package}");
        }
    }
}
