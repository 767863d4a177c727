//! `./x fuzz-api`, and a short round of it in `./x test`: schemathesis against a house that really runs, with
//! an administrator's token and without any.
//!
//! Owns the rounds and what counts as broken. How schemathesis comes here is in `tool`, the house in `house`.
//! It knows nothing of what the API does: the document that the house serves says it.

mod house;
mod tool;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::error::TaskError;
use house::FuzzHouse;
use tool::Tool;

/// The seed gives the same requests in every run of one version; another number finds other things. Two
/// workers are hardly faster and now and then meet in a cache of hypothesis, which looks like our fault.
const OPTIONS: &str = "--no-color --seed 13 --phases examples,coverage,fuzzing,stateful --request-timeout 20 \
    --workers 1 --warnings off --continue-on-failure --suppress-health-check all --output-sanitize true";

/// How thorough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Budget {
    /// For `./x test`: one and a half minutes together.
    Short,
    /// For `./x fuzz-api`: many times as much.
    Long,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every answer was as documented.
    Held,
    /// Some was not; schemathesis has printed what and how to repeat it.
    Broken,
    /// It did not run.
    Skipped(String),
}

/// Runs every round; the first that breaks does not keep the others from running.
pub(crate) fn run(root: &Path, haus: &Path, target: &Path, budget: Budget) -> Result<Outcome, TaskError> {
    let tool = match Tool::ready(root, target)? {
        Ok(tool) => tool,
        Err(why) => return Ok(Outcome::Skipped(why)),
    };
    let mut house = FuzzHouse::start(haus)?;
    let mut held = true;
    for round in &ROUNDS {
        let token = if round.as_admin { Some(house.admin_token(haus)?) } else { None };
        crate::bench::write(&house.folder().join(round.config_file()), &round.config(token.is_some()))?;
        crate::bench::write(&house.folder().join("hooks.py"), HOOKS)?;
        eprintln!("fuzz-api: {}", round.name);
        let mut command = round.command(&tool, house.folder(), &house.url(), budget);
        if let Some(token) = token {
            // In the environment of one process, not in its arguments, which everybody can read.
            command.env("FUZZ_TOKEN", token);
        }
        let failed = |source| TaskError::Run { program: tool.program.display().to_string(), source };
        held &= command.status().map_err(failed)?.success();
        if let Some(last_words) = house.last_words() {
            eprintln!("fuzz-api: the house ended during {}:\n{last_words}", round.name);
            return Ok(Outcome::Broken);
        }
    }
    Ok(if held { Outcome::Held } else { Outcome::Broken })
}

/// One run of schemathesis.
struct Round {
    name: &'static str,
    as_admin: bool,
    only: &'static [&'static str],
    without: &'static [&'static str],
}

/// Acts that take the token itself away are a round of their own: afterwards everything would be 401.
const ENDS_THE_SESSION: &[&str] = &["revoke", "deleteToken", "rotateSigningKey"];

const ROUNDS: [Round; 3] = [
    Round { name: "administrator", as_admin: true, only: &[], without: ENDS_THE_SESSION },
    Round { name: "stranger", as_admin: false, only: &[], without: &[] },
    Round { name: "farewell", as_admin: true, only: ENDS_THE_SESSION, without: &[] },
];

const RULES: &str = include_str!("fuzz_api/rules.toml");
const HOOKS: &str = include_str!("fuzz_api/hooks.py");

impl Round {
    fn config_file(&self) -> String {
        format!("{}.toml", self.name)
    }

    fn config(&self, with_token: bool) -> String {
        let headers = "headers = { Authorization = \"Bearer ${FUZZ_TOKEN}\" }\n";
        format!("{}{RULES}", if with_token { headers } else { "" })
    }

    fn command(&self, tool: &Tool, folder: &Path, url: &str, budget: Budget) -> Command {
        let examples = match budget {
            Budget::Short => "8",
            Budget::Long => "150",
        };
        let mut command = Command::new(&tool.program);
        command.arg("--config-file").arg(self.config_file()).arg("run").args(OPTIONS.split_whitespace());
        command.args(["--max-examples", examples]);
        for (option, ids) in [("--include-operation-id", self.only), ("--exclude-operation-id", self.without)]
        {
            command.args(ids.iter().flat_map(|id| [option, id]));
        }
        // It looks for the hooks where it is started, and leaves its notes there.
        command.arg(format!("{url}/openapi.json")).current_dir(folder).stdin(Stdio::null());
        command
    }
}

/// How long the house may take to come up and to go.
const PATIENCE: Duration = Duration::from_secs(60);

/// The `haus` that cargo built beside this program.
pub(crate) fn haus_beside_us() -> Result<(PathBuf, PathBuf), TaskError> {
    let here = std::env::current_exe();
    let folder = here.ok().and_then(|here| here.parent().map(Path::to_path_buf)).unwrap_or_default();
    let haus = folder.join("haus");
    if haus.exists() {
        let target = folder.parent().unwrap_or(&folder).to_path_buf();
        return Ok((haus, target));
    }
    let problem = format!("there is no {}: cargo build -p haus", haus.display());
    Err(TaskError::Bench { name: "fuzz-api", problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_5xx_is_allowed_to_the_proxy_only_and_the_token_is_no_argument() {
        let config: toml::Table = ROUNDS[0].config(true).parse().unwrap();
        assert!(config["headers"]["Authorization"].as_str().unwrap().ends_with("${FUZZ_TOKEN}"));
        assert!(config["checks"]["not_a_server_error"].get("expected-statuses").is_none());
        assert_eq!(
            config["operations"][0]["include-path-regex"].as_str(),
            Some("^/api/(gateway/proxy|discover)")
        );
        assert!(!ROUNDS[1].config(false).contains("Authorization"));
    }

    #[test]
    fn a_round_says_what_it_tries_and_what_not() {
        let tool = Tool { program: "st".into() };
        let command = ROUNDS[0].command(&tool, Path::new("."), "http://127.0.0.1:1", Budget::Short);
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let words = words.join(" ");
        assert!(words.starts_with("--config-file administrator.toml run "), "{words}");
        assert!(
            words.contains("--exclude-operation-id revoke ") && words.contains("--max-examples 8 "),
            "{words}"
        );
        assert!(words.ends_with("http://127.0.0.1:1/openapi.json"), "{words}");
    }
}
