//! The road into an Incus instance of the machine in front of you, by `incus exec`. It does not know what
//! instances are made of.

use crate::channel::{Channel, Ended};
use crate::transport::{Obstacle, Purpose, RoadSettings, Transport, TransportError, spawn};
use haus_model::host_code::HostCode;
use std::process::Command;

/// Which instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// Its project; Incus' own default when absent.
    pub project: Option<String>,
}

/// A road into an instance.
#[derive(Clone, Debug)]
pub struct Incus {
    instance: Instance,
    settings: RoadSettings,
}

impl Incus {
    /// A road into this instance.
    pub fn new(instance: Instance, settings: RoadSettings) -> Incus {
        Incus { instance, settings }
    }

    fn arguments(&self, argv: &[String]) -> Vec<String> {
        let mut arguments = vec!["exec".to_owned()];
        if let Some(project) = &self.instance.project {
            arguments.extend(["--project".to_owned(), project.clone()]);
        }
        arguments.extend(["--mode=non-interactive".to_owned(), self.instance.name.clone(), "--".to_owned()]);
        arguments.extend(argv.iter().cloned());
        arguments
    }
}

impl Transport for Incus {
    fn road(&self) -> String {
        format!("incus:{}", self.instance.name)
    }

    fn start(&self, argv: &[String], _purpose: Purpose) -> Result<Channel, TransportError> {
        let mut command = Command::new(&self.settings.incus);
        spawn(command.args(self.arguments(argv)).env("LC_ALL", "C"), self.road())
    }

    fn explain(&self, ended: &Ended) -> Option<Obstacle> {
        let words = ended.last_words();
        let line = ended.errors.lines().find(|line| line.starts_with("Error: "))?;
        let denied = line.contains("permission denied") || line.contains("not authorized");
        let name = &self.instance.name;
        Some(Obstacle {
            code: if denied { HostCode::LoginRefused } else { HostCode::Unreachable },
            because: words,
            remedy: if denied {
                "be a member of the group incus-admin, or run haus as root".to_owned()
            } else {
                format!("see `incus list {name}`, and start it with `incus start {name}`")
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incus(project: Option<&str>) -> Incus {
        let instance = Instance { name: "web".to_owned(), project: project.map(str::to_owned) };
        Incus::new(instance, RoadSettings::default())
    }

    fn check(errors: &str, expected: Option<HostCode>) {
        let ended = Ended { code: Some(1), errors: errors.to_owned() };
        assert_eq!(incus(None).explain(&ended).map(|obstacle| obstacle.code), expected, "{errors}");
    }

    #[test]
    fn arguments_follow_behind_the_two_dashes() {
        let arguments = incus(Some("lab")).arguments(&["sh".to_owned(), "-c".to_owned()]);
        assert_eq!(arguments.join(" "), "exec --project lab --mode=non-interactive web -- sh -c");
    }

    #[test]
    fn words_of_incus_become_findings() {
        check(
            "Error: Failed to fetch instance \"web\" in project \"default\": Instance not found\n",
            Some(HostCode::Unreachable),
        );
        check("Error: Instance is not running\n", Some(HostCode::Unreachable));
        check(
            "Error: Get \"http://unix.socket/1.0\": dial unix: permission denied\n",
            Some(HostCode::LoginRefused),
        );
        check("sh: 1: nothing: not found\n", None);
    }
}
