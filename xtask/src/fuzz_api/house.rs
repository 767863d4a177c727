//! The house that is asked: one service behind the gateway, one from outside, one credential. Knows how it is
//! started, and how an administrator comes in.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::PATIENCE;
use crate::bench::measure::{Running, free_port, wait_for};
use crate::bench::{accepts, open_folder, write};
use crate::error::TaskError;

const NAME: &str = "fuzz-api";

/// A house that ends with this value.
pub(super) struct FuzzHouse {
    // Before the folder, so that it has ended when its folder goes.
    running: Running,
    folder: tempfile::TempDir,
    port: u16,
}

impl FuzzHouse {
    pub(super) fn start(haus: &Path) -> Result<Self, TaskError> {
        let folder = open_folder()?;
        let port = || free_port().map_err(|source| TaskError::Read { path: "127.0.0.1:0".into(), source });
        let (gateway, port) = (port()?, port()?);
        write(&folder.path().join("house.yaml"), &plan(gateway, port))?;
        let web = folder.path().join("web");
        std::fs::create_dir(&web).map_err(|source| TaskError::Write { path: web.clone(), source })?;
        write(&web.join("web.py"), WEB)?;
        let mut command = Command::new(haus);
        command.arg("up").arg(folder.path()).arg("--state").arg(state(folder.path()));
        let running = Running::start(command, &folder.path().join("output"))?;
        let mut house = Self { running, folder, port };
        wait_for(NAME, "an accepting coordinator", PATIENCE, || {
            (accepts(port) || house.running.has_ended()).then_some(())
        })?;
        match house.last_words() {
            None => Ok(house),
            Some(words) => Err(problem(format!("haus up ended: {words}"))),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it printed, when it has ended.
    pub(super) fn last_words(&mut self) -> Option<String> {
        let output = self.folder.path().join("output");
        self.running
            .has_ended()
            .then(|| std::fs::read_to_string(output).unwrap_or_default().trim().to_owned())
    }

    /// An access token with every scope, got as a person gets one.
    pub(super) fn admin_token(&self, haus: &Path) -> Result<String, TaskError> {
        let mut create = Command::new(haus);
        create.args(["token", "create", "--name", NAME, "--scope", "admin", "--json", "--state"]);
        create.arg(state(self.folder.path()));
        let one_time = text_at(&printed(create, "")?, "/token")?;
        let mut enrol = Command::new("curl");
        enrol.args(["-sSf", "--json", "@-"]).arg(format!("{}/api/identity/enrol", self.url()));
        let tokens = printed(enrol, &serde_json::json!({ "token": one_time }).to_string())?;
        text_at(&tokens, "/access_token")
    }
}

/// Answers every method with what was asked; a strict reader of requests closes the connection on odd ones.
const WEB: &str = include_str!("web.py");

fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// The standard output of a command that must succeed; `input` is its standard input.
fn printed(mut command: Command, input: &str) -> Result<String, TaskError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| TaskError::Run { program: program.clone(), source };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(TaskError::Ended { program, status: output.status, output: said })
}

fn text_at(json: &str, pointer: &str) -> Result<String, TaskError> {
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let text = value.pointer(pointer).and_then(serde_json::Value::as_str);
    text.map(str::to_owned).ok_or_else(|| problem(format!("an answer without {pointer}")))
}

fn problem(problem: String) -> TaskError {
    TaskError::Bench { name: NAME, problem }
}

fn plan(gateway: u16, port: u16) -> String {
    format!(
        r#"haus: 1
house: fuzz-api
gateway: {{ listen: "127.0.0.1:{gateway}" }}
services:
  api: {{ as: coordinator, ports: {{ http: {port} }} }}
  # An account that every machine has, so that no account is left behind.
  web:
    run: "python3 -I web.py ${{port}}"
    in: web
    user: nobody
    ports: {{ http: auto }}
    health: {{ get: /, every: 5s }}
    credentials: {{ KEY: web-key }}
  scanner: {{ as: external, credentials: {{ KEY: web-key }} }}
routes:
  "${{domain}}": {{ /: {{ to: web }} }}
credentials:
  web-key: {{ length: 32, scope: [web, scanner] }}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_reaches_the_command_and_a_failure_says_why() {
        assert_eq!(printed(Command::new("cat"), "words").unwrap(), "words");
        let mut bad = Command::new("sh");
        bad.args(["-c", "cat >/dev/null; echo why >&2; exit 3"]);
        assert!(printed(bad, "").unwrap_err().to_string().ends_with(": why"));
    }

    #[test]
    fn a_text_is_found_or_missed_by_its_place() {
        assert_eq!(text_at(r#"{"token": "t"}"#, "/token").unwrap(), "t");
        assert!(text_at("not json", "/token").is_err());
    }
}
