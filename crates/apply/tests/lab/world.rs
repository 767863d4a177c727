//! A host of the lab, as the executor knows it.

use haus_apply::patience::Patience;
use haus_apply::programs::Programs;
use haus_apply::remote::Session;
use haus_apply::ssh::{Login, Ssh};
use haus_apply::transport::{Purpose, RoadSettings};
use haus_model::host::{Architecture, Elevation};
use haus_testkit::{LabHost, Login as Account};
use std::time::Duration;

/// How ssh gets there.
pub(crate) fn settings(host: &LabHost) -> RoadSettings {
    RoadSettings {
        ssh_config: Some(host.ssh_config()),
        connect: Duration::from_secs(5),
        ..RoadSettings::default()
    }
}

pub(crate) fn road(host: &LabHost, account: Account) -> Ssh {
    let login = Login { user: Some(account.account().to_owned()), host: host.name.clone(), port: None };
    Ssh::new(login, settings(host))
}

/// A program that greets and then takes what comes.
pub(crate) fn pretender() -> Session {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("program");
    let welcome = r#"{"welcome":{"version":1,"program":"script","machine":"x86_64","is_root":true}}"#;
    let length = u32::try_from(welcome.len() + 1).expect("short");
    let script = format!(
        "#!/bin/sh\nprintf '\\000haus-remote\\n\\000\\000\\000\\{length:03o}J%s' '{welcome}'\ncat > /dev/null\n"
    );
    std::fs::write(&path, script).expect("writes");
    let both = [Architecture::Amd64, Architecture::Arm64].map(|one| (one, path.as_path()));
    Session {
        programs: Programs::read(both).expect("reads"),
        elevation: Elevation::Auto,
        house: "sample".parse().expect("a name"),
        purpose: Purpose::Work,
        patience: Patience { ready: Duration::from_secs(15), ..Patience::default() },
    }
}
