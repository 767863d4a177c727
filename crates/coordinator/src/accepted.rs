//! The plan that was accepted last, on disk: a core that comes back after a crash goes on
//! with exactly that, whatever has happened to the plan file meanwhile.

use crate::addresses::Addresses;
use crate::durable;
use crate::ports::Numbers;
use crate::whereabouts::Whereabouts;
use haus_model::house::House;
use haus_model::{InstanceId, PortName};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is kept. A plan holds no secrets, so neither does this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    /// The folder of the plan, absolute.
    pub root: PathBuf,
    /// The house.
    pub house: House,
    /// Where things run that this coordinator does not run.
    #[serde(default)]
    pub whereabouts: Whereabouts,
    /// The numbers of its `auto` ports, so that a core can go on while the store cannot be used.
    pub ports: Vec<AutoPort>,
}

/// The number of one `auto` port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AutoPort {
    /// The instance.
    pub id: InstanceId,
    /// The port's name.
    pub port: PortName,
    /// The number.
    pub number: u16,
}

impl Accepted {
    /// A plan with its chosen ports.
    pub(crate) fn new(root: PathBuf, house: House, whereabouts: Whereabouts, auto: &Numbers) -> Accepted {
        let ports = auto.iter();
        let ports = ports.map(|((id, port), number)| AutoPort {
            id: id.clone(),
            port: port.clone(),
            number: *number,
        });
        Accepted { root, house, whereabouts, ports: ports.collect() }
    }

    /// Who listens where.
    pub(crate) fn addresses(&self) -> Addresses {
        Addresses::new(&self.house, &self.numbers(), &self.whereabouts)
    }

    /// The numbers of its `auto` ports.
    pub(crate) fn numbers(&self) -> Numbers {
        self.ports.iter().map(|one| ((one.id.clone(), one.port.clone()), one.number)).collect()
    }
}

/// Keeps the plan; a crash leaves the old one or the new one.
///
/// # Errors
/// When it could not be written.
pub(crate) fn keep(path: &Path, accepted: &Accepted) -> io::Result<()> {
    durable::replace(path, &serde_json::to_vec(accepted)?, 0o600)
}

/// Forgets the plan: a core that dies before the next one is accepted must not go back to it.
///
/// # Errors
/// When it is there and cannot be removed.
pub(crate) fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads it back; none when there is none or when it is of another version.
pub(crate) fn read(path: &Path) -> Option<Accepted> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn an_accepted_plan_comes_back_whole_and_another_shape_is_none() {
        let folder = std::env::temp_dir().join(format!("haus-accepted-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("accepted.json");
        let house = fixture::house(vec![fixture::service("api", 2)]);
        let accepted =
            Accepted::new("/plan".into(), house.clone(), Whereabouts::default(), &fixture::ports(&house));
        keep(&path, &accepted).unwrap();
        let back = read(&path).unwrap();
        assert_eq!((&back, back.numbers()), (&accepted, fixture::ports(&house)));
        fs::write(&path, "{\"house\": 1}").unwrap();
        assert_eq!(read(&path), None);
        forget(&path).unwrap();
        forget(&path).unwrap();
        assert_eq!(read(&path), None);
        fs::remove_dir_all(folder).unwrap();
    }
}
