//! The road over the system's `ssh`, with the user's own configuration, agent, jump hosts and keys. We add
//! only what makes it safe to run unattended. It does not know what runs on the other end.

use crate::channel::{Channel, Ended};
use crate::host_key::{self, HostKey, HostKeyError};
use crate::ssh_words::{Words, understand};
use crate::transport::{Obstacle, Purpose, RoadSettings, Transport, TransportError, spawn};
use haus_model::host_code::HostCode;
use std::collections::BTreeSet;
use std::process::Command;

/// Where to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The account; what ssh's configuration says when absent.
    pub user: Option<String>,
    /// A name or address, also an alias of ssh's configuration.
    pub host: String,
    /// The port; what ssh's configuration says when absent.
    pub port: Option<u16>,
}

/// A road over ssh.
#[derive(Clone, Debug)]
pub struct Ssh {
    login: Login,
    settings: RoadSettings,
}

impl Ssh {
    /// A road with this login.
    pub fn new(login: Login, settings: RoadSettings) -> Ssh {
        Ssh { login, settings }
    }

    /// The keys that the host shows, for somebody who compares fingerprints. Nothing is accepted by this.
    pub fn shown_keys(&self) -> Result<Vec<HostKey>, HostKeyError> {
        let mut command = self.program();
        command.args(self.options(Purpose::Proof));
        host_key::shown_keys(command, &self.login.host, self.settings.connect)
    }

    /// Writes the key of this host into the user's known hosts, when its fingerprint is one of these.
    ///
    /// The key is taken from the connection that was compared, not from a second one, so that nobody can
    /// step in between. Answers the key that was added; none when no fingerprint fits.
    pub fn accept_key(&self, fingerprints: &BTreeSet<String>) -> Result<Option<HostKey>, HostKeyError> {
        let keys = self.shown_keys()?;
        let Some(key) = keys.into_iter().find(|key| fingerprints.contains(&key.fingerprint)) else {
            return Ok(None);
        };
        let mut command = self.program();
        host_key::remember(command.args(["-G", "--", &self.login.host]), &key)?;
        Ok(Some(key))
    }

    fn program(&self) -> Command {
        let mut command = Command::new(&self.settings.ssh);
        // Its words are read, so they must be in one language.
        command.env("LC_ALL", "C");
        // Nobody is asked for anything. A jump host has an ssh of its own, which reads the same configuration
        // but does not see our options: it would ask on the terminal and wait there. Each question fails
        // instead.
        command.env("SSH_ASKPASS_REQUIRE", "force").env("SSH_ASKPASS", "false");
        if let Some(file) = &self.settings.ssh_config {
            command.arg("-F").arg(file);
        }
        if let Some(user) = &self.login.user {
            command.args(["-l", user]);
        }
        if let Some(port) = self.login.port {
            command.args(["-p", &port.to_string()]);
        }
        command
    }

    fn options(&self, purpose: Purpose) -> Vec<String> {
        let seconds = self.settings.connect.as_secs().max(1);
        // On the command line they stand before every file of configuration, and ssh takes the first word
        // that it finds.
        let mut options = vec![
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            format!("ConnectTimeout={seconds}"),
            "ConnectionAttempts=1".to_owned(),
            // A link that is gone is noticed after 15 s, also while nothing is said.
            "ServerAliveInterval=5".to_owned(),
            "ServerAliveCountMax=3".to_owned(),
            "ForwardAgent=no".to_owned(),
            "ForwardX11=no".to_owned(),
            "ClearAllForwardings=yes".to_owned(),
            "PermitLocalCommand=no".to_owned(),
            "RequestTTY=no".to_owned(),
            "EscapeChar=none".to_owned(),
            // A configuration that starts something by itself would leave no room for ours, and one that
            // silences ssh no reason for a failure.
            "RemoteCommand=none".to_owned(),
            "SessionType=default".to_owned(),
            "ForkAfterAuthentication=no".to_owned(),
            "StdinNull=no".to_owned(),
            "LogLevel=INFO".to_owned(),
        ];
        match purpose {
            Purpose::Work => {}
            Purpose::Proof => options.extend(["ControlMaster=no".to_owned(), "ControlPath=none".to_owned()]),
        }
        options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect()
    }

    /// `ssh` as a person would type it to get there.
    fn by_hand(&self) -> String {
        let file = self.settings.ssh_config.as_ref().map(|file| format!("-F {} ", file.display()));
        let port = self.login.port.map(|port| format!("-p {port} "));
        let user = self.login.user.as_ref().map(|user| format!("{user}@"));
        let or_nothing = Option::unwrap_or_default;
        format!("ssh {}{}{}{}", or_nothing(file), or_nothing(port), or_nothing(user), self.login.host)
    }

    fn unknown_key(&self) -> Obstacle {
        let by_hand = self.by_hand();
        let (because, accept) = match self.shown_keys() {
            Ok(keys) => {
                let shown: Vec<String> =
                    keys.iter().map(|key| format!("{} {}", key.kind, key.fingerprint)).collect();
                let first = keys.first().map(|key| key.fingerprint.clone()).unwrap_or_default();
                (format!("nobody has vouched for its key; it shows {}", shown.join(", ")), first)
            }
            Err(_) => ("nobody has vouched for its key".to_owned(), "FINGERPRINT".to_owned()),
        };
        Obstacle {
            code: HostCode::HostKeyUnknown,
            because,
            remedy: format!(
                "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host itself, then \
                 add it with `--accept-host-key {accept}`, or by `{by_hand}`, which shows it and asks"
            ),
        }
    }
}

impl Transport for Ssh {
    fn road(&self) -> String {
        let user = self.login.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = self.login.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("ssh://{user}{}{port}", self.login.host)
    }

    fn start(&self, argv: &[String], purpose: Purpose) -> Result<Channel, TransportError> {
        let line: Vec<String> = argv.iter().map(|word| quoted(word)).collect();
        let mut command = self.program();
        command.args(self.options(purpose)).args(["--", &self.login.host, &line.join(" ")]);
        spawn(&mut command, self.road())
    }

    fn explain(&self, ended: &Ended) -> Option<Obstacle> {
        let words = understand(&ended.errors)?;
        let by_hand = self.by_hand();
        let because = ended.last_words();
        let (code, because, remedy) = match words {
            Words::KeyUnknown => return Some(self.unknown_key()),
            Words::KeyUnknownOnTheWay => (
                HostCode::HostKeyUnknown,
                "nobody has vouched for the key of a jump host on the way there".to_owned(),
                format!(
                    "`{by_hand}` shows the key and asks: compare it with \
                     `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the jump host itself before you say yes"
                ),
            ),
            Words::KeyChanged { fingerprint, offending } => (
                HostCode::HostKeyChanged,
                format!("it shows {fingerprint}, and another key stands in {offending}"),
                format!(
                    "find out why: a new machine, or somebody in between. When the new key is right, remove \
                     the old line ({offending}) and add the new one by `{by_hand}`"
                ),
            ),
            Words::Refused => (
                HostCode::LoginRefused,
                because,
                format!(
                    "see that `{by_hand}` works without a question: the account, its authorized_keys, your agent"
                ),
            ),
            Words::Silent => (
                HostCode::Hangs,
                because,
                format!("see whether the host is under load or its network drops packets: `{by_hand} -v`"),
            ),
            Words::Unreachable => (
                HostCode::Unreachable,
                because,
                format!("see that the host runs and that its address and port are right: `{by_hand}`"),
            ),
            Words::Configuration => {
                (HostCode::Unreachable, because, "mend the configuration of ssh on this machine".to_owned())
            }
        };
        Some(Obstacle { code, because, remedy })
    }
}

/// The word for the shell of an account, whichever it is: sh, bash, zsh, fish and csh read this alike as long
/// as the word has no line end and no pair of backslashes.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./=:,+@".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh(user: Option<&str>, port: Option<u16>) -> Ssh {
        let login = Login { user: user.map(str::to_owned), host: "web".to_owned(), port };
        Ssh::new(login, RoadSettings::default())
    }

    fn check(word: &str, expected: &str) {
        assert_eq!(quoted(word), expected);
    }

    #[test]
    fn words_are_quoted_for_any_shell() {
        check("sh", "sh");
        check("", "''");
        check("a b", "'a b'");
        check("$HOME; it's", "'$HOME; it'\\''s'");
    }

    #[test]
    fn the_road_is_written_as_in_a_plan() {
        assert_eq!(ssh(Some("deploy"), Some(2222)).road(), "ssh://deploy@web:2222");
        assert_eq!(ssh(None, None).road(), "ssh://web");
        assert_eq!(ssh(Some("deploy"), Some(2222)).by_hand(), "ssh -p 2222 deploy@web");
    }

    #[test]
    fn only_a_proof_refuses_a_shared_connection() {
        let has = |purpose| ssh(None, None).options(purpose).contains(&"ControlMaster=no".to_owned());
        assert_eq!((has(Purpose::Work), has(Purpose::Proof)), (false, true));
    }

    #[test]
    fn nobody_is_asked_also_on_the_way() {
        let program = ssh(None, None).program();
        let has = |name: &str, value: &str| {
            program.get_envs().any(|env| env == (name.as_ref(), Some(value.as_ref())))
        };
        assert!(has("SSH_ASKPASS_REQUIRE", "force") && has("SSH_ASKPASS", "false"), "{program:?}");
    }

    #[test]
    fn nothing_is_ever_accepted_or_forwarded() {
        for purpose in [Purpose::Work, Purpose::Proof] {
            let options = ssh(None, None).options(purpose);
            for option in
                ["StrictHostKeyChecking=yes", "BatchMode=yes", "ForwardAgent=no", "ClearAllForwardings=yes"]
            {
                assert!(options.contains(&option.to_owned()), "{option}");
            }
        }
    }
}
