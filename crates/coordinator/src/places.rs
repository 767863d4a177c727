//! Where a house keeps its things: state, logs, data, credentials, sockets.
//!
//! Two roots: the state folder survives a reboot, the run folder need not. Only names are
//! made here; nothing touches the disk.

use haus_model::{InstanceId, ServiceName};
use std::path::{Path, PathBuf};

/// The folders of one house.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    state: PathBuf,
    run: PathBuf,
}

impl Places {
    /// The places below these two roots.
    pub fn new(state: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Places {
        Places { state: state.into(), run: run.into() }
    }

    /// The state folder.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The run folder.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.state.join("house.db")
    }

    /// The plan as it was accepted last: what a core that comes back after a crash goes on with.
    pub fn accepted_plan(&self) -> PathBuf {
        self.state.join("accepted.json")
    }

    /// Socket of the command line, for the house's own account and root only.
    pub fn control_socket(&self) -> PathBuf {
        self.run.join("control.sock")
    }

    /// Socket of the read-only API, which the gateway passes requests on to.
    pub fn api_socket(&self) -> PathBuf {
        self.run.join("api.sock")
    }

    /// The key ring, unless it is kept elsewhere.
    pub fn key_ring(&self) -> PathBuf {
        self.state.join("keyring")
    }

    /// The signed head of the trail.
    pub fn trail_anchor(&self) -> PathBuf {
        self.state.join("trail-anchor.json")
    }

    /// Folder in which an earlier version kept credential values; they are imported from there.
    pub fn vault_folder(&self) -> PathBuf {
        self.state.join("credentials")
    }

    /// Folder with the credential files of one instance.
    pub fn credentials(&self, id: &InstanceId) -> PathBuf {
        self.run.join("credentials").join(id.service.as_str()).join(id.ordinal.to_string())
    }

    /// The JSON file with an instance's `config:`.
    pub fn config(&self, id: &InstanceId) -> PathBuf {
        self.run.join("config").join(id.service.as_str()).join(format!("{}.json", id.ordinal))
    }

    /// The data folder of an instance. Slot 1 keeps its folder when more instances come.
    pub fn data(&self, id: &InstanceId) -> PathBuf {
        self.data_of(&id.service).join(id.ordinal.to_string())
    }

    /// The folder with the data of all instances of a service.
    pub fn data_of(&self, service: &ServiceName) -> PathBuf {
        self.state.join("data").join(service.as_str())
    }

    /// Scratch folder of an instance (`TMPDIR`).
    pub fn scratch(&self, id: &InstanceId) -> PathBuf {
        self.state.join("tmp").join(id.service.as_str()).join(id.ordinal.to_string())
    }

    /// Folder of the logs.
    pub fn logs(&self) -> PathBuf {
        self.state.join("log")
    }

    /// The captured output of an instance.
    pub fn log(&self, id: &InstanceId) -> PathBuf {
        self.logs().join(format!("{}.{}.log", id.service, id.ordinal))
    }

    /// The log of requests to the API.
    pub fn api_log(&self) -> PathBuf {
        self.logs().join("api.log")
    }

    /// The gateway's access log.
    pub fn access_log(&self) -> PathBuf {
        self.logs().join("access.log")
    }
}
