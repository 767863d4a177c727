//! From a service of the plan to the order that starts one instance of it.
//!
//! Pure: folders, ports and credential values are arguments. The parent carries the order
//! out and decides nothing.

use crate::addresses::Addresses;
use crate::engine::{ENROLMENT_FILE, is_enrolled};
use crate::places::Places;
use crate::plan;
use crate::snapshot::reachable;
use haus_model::InstanceId;
use haus_model::Secret;
use haus_model::house::House;
use haus_model::json::Json;
use haus_model::service::{RunsAs, Service};
use haus_model::template::{Template, Variable};
use haus_supervise::wire::{FileSpec, FolderSpec, Limits, LinkSpec, LogSpec, SpawnSpec, StopSpec};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where programs are searched; the same for every service, whoever starts the house.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const LOG_BYTES_DEFAULT: u64 = 10 << 20;
const LOG_FILES_KEPT: u32 = 3;

/// Why an instance cannot be started as the plan says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    /// A variable without a value: the check of the plan lets none through.
    #[error("cannot fill in ${{{variable}}} in {place} of {id}")]
    Variable {
        /// The instance.
        id: InstanceId,
        /// The key of the plan.
        place: String,
        /// The variable.
        variable: Variable,
    },
}

/// Everything that turns a service into processes.
pub(crate) struct Workshop<'a> {
    /// The house.
    pub house: &'a House,
    /// The folder of its plan, absolute.
    pub root: &'a Path,
    /// Its folders.
    pub places: &'a Places,
    /// Its ports.
    pub addresses: &'a Addresses,
    /// The account of a service; none when we are not root.
    pub account: &'a dyn Fn(&Service) -> Option<String>,
    /// The name of the account that we run as.
    pub own_user: &'a str,
}

impl Workshop<'_> {
    /// The order that starts the instance itself.
    ///
    /// # Errors
    /// A variable that has no value.
    pub(crate) fn instance(
        &self,
        service: &Service,
        id: &InstanceId,
        run: u64,
        credentials: &BTreeMap<String, Secret>,
    ) -> Result<SpawnSpec, SpawnError> {
        self.order(service, id, id.to_string(), run, &service.run, credentials)
    }

    /// The order of the `step`-th command of `prepare`, with the folders and files of slot 1.
    ///
    /// # Errors
    /// A variable that has no value.
    pub(crate) fn prepare(
        &self,
        service: &Service,
        step: usize,
        run: u64,
        credentials: &BTreeMap<String, Secret>,
    ) -> Result<SpawnSpec, SpawnError> {
        let id = InstanceId { service: service.name.clone(), ordinal: 1 };
        self.order(service, &id, prepare_key(service, step), run, &service.prepare[step], credentials)
    }

    /// Fills a template in for one instance.
    ///
    /// # Errors
    /// A variable that has no value; `place` names where it stands.
    pub(crate) fn fill(
        &self,
        service: &Service,
        id: &InstanceId,
        place: &str,
        template: &Template,
    ) -> Result<String, SpawnError> {
        template
            .fill(&|variable| self.lookup(service, id, variable))
            .map_err(|variable| SpawnError::Variable { id: id.clone(), place: place.to_owned(), variable })
    }

    /// The working folder of a service, absolute.
    pub(crate) fn folder(&self, service: &Service) -> PathBuf {
        self.root.join(&service.folder)
    }

    fn order(
        &self,
        service: &Service,
        id: &InstanceId,
        key: String,
        run: u64,
        argv: &[Template],
        credentials: &BTreeMap<String, Secret>,
    ) -> Result<SpawnSpec, SpawnError> {
        let words: Result<Vec<String>, SpawnError> =
            argv.iter().map(|word| self.fill(service, id, "run", word)).collect();
        Ok(SpawnSpec {
            key,
            run,
            argv: words?,
            env: self.environment(service, id)?,
            folder: self.folder(service),
            account: (self.account)(service),
            folders: self.folders(service, id),
            files: self.files(service, id, credentials)?,
            links: self.links(service, id),
            limits: limits(service),
            tag: plan::spec(service, self.addresses),
            log: LogSpec {
                path: self.places.log(id),
                max_bytes: service.limits.log_bytes.unwrap_or(LOG_BYTES_DEFAULT),
                keep: LOG_FILES_KEPT,
            },
            stop: StopSpec {
                signal: service.stop.signal.number(),
                within_ms: u64::try_from(service.stop.within.as_millis()).unwrap_or(u64::MAX),
            },
        })
    }

    /// The clean environment: a few standard names, ours, and what the plan says.
    ///
    /// # Errors
    /// A variable that has no value.
    pub(crate) fn environment(
        &self,
        service: &Service,
        id: &InstanceId,
    ) -> Result<BTreeMap<String, String>, SpawnError> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut env = BTreeMap::from([
            ("PATH".to_owned(), SEARCH_PATH.to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("HOME".to_owned(), text(self.places.data(id))),
            ("TMPDIR".to_owned(), text(self.places.scratch(id))),
            ("HAUS_HOUSE".to_owned(), self.house.name.to_string()),
            ("HAUS_SERVICE".to_owned(), service.name.to_string()),
        ]);
        let user = (self.account)(service).unwrap_or_else(|| self.own_user.to_owned());
        env.insert("USER".to_owned(), user);
        if let Some(port) = self.addresses.port(id, None) {
            env.insert("PORT".to_owned(), port.to_string());
        }
        if service.config.is_some() {
            env.insert("HAUS_CONFIG".to_owned(), text(self.places.config(id)));
        }
        let enrols = is_enrolled(&self.house.services, service);
        if enrols || !service.credentials.is_empty() {
            let folder = self.places.credentials(id);
            let files = service.credentials.keys().map(String::as_str);
            for file in files.chain(enrols.then_some(ENROLMENT_FILE)) {
                env.insert(format!("{file}_FILE"), text(folder.join(file)));
            }
            env.insert("CREDENTIALS_DIRECTORY".to_owned(), text(folder));
        }
        if enrols && let Some(url) = self.api_url() {
            env.insert("HAUS_API".to_owned(), url);
        }
        for (name, value) in &service.env {
            env.insert(name.clone(), self.fill(service, id, &format!("env.{name}"), value)?);
        }
        Ok(env)
    }

    /// Where the API of the house is reached from this machine.
    fn api_url(&self) -> Option<String> {
        let coordinator =
            self.house.services.values().find(|service| service.runs_as == RunsAs::Coordinator)?;
        let first = InstanceId { service: coordinator.name.clone(), ordinal: 1 };
        let address = reachable(coordinator.address.parse().ok()?);
        Some(format!("http://{}", SocketAddr::new(address, self.addresses.port(&first, None)?)))
    }

    fn folders(&self, service: &Service, id: &InstanceId) -> Vec<FolderSpec> {
        let open = |path: &Path| FolderSpec { path: path.to_owned(), mode: 0o711, owned: false };
        let own = |path: PathBuf| FolderSpec { path, mode: 0o750, owned: true };
        let data = self.places.data(id);
        let scratch = self.places.scratch(id);
        let credentials = self.places.credentials(id);
        let config = self.places.config(id);
        // Every folder on the way is passable for other accounts, but only its owner lists it.
        let mut folders = vec![open(self.places.state()), open(self.places.run())];
        for leaf in [data.as_path(), &scratch, &credentials, &config] {
            for root in [self.places.state(), self.places.run()] {
                let Ok(below) = leaf.strip_prefix(root) else { continue };
                let parents: Vec<&Path> = below.ancestors().skip(1).collect();
                for parent in parents.into_iter().rev().filter(|parent| *parent != Path::new("")) {
                    let folder = open(&root.join(parent));
                    if !folders.contains(&folder) {
                        folders.push(folder);
                    }
                }
            }
        }
        folders.push(FolderSpec { path: self.places.logs(), mode: 0o750, owned: false });
        folders.push(own(data.clone()));
        folders.push(own(scratch));
        folders.push(own(credentials));
        folders.extend(service.data.iter().map(|name| own(data.join(name))));
        folders
    }

    fn files(
        &self,
        service: &Service,
        id: &InstanceId,
        credentials: &BTreeMap<String, Secret>,
    ) -> Result<Vec<FileSpec>, SpawnError> {
        let folder = self.places.credentials(id);
        let mut files: Vec<FileSpec> = credentials
            .iter()
            .map(|(name, value)| FileSpec {
                path: folder.join(name),
                content: value.clone(),
                mode: 0o400,
                owned: true,
            })
            .collect();
        if let Some(config) = &service.config {
            let filled = self.fill_json(service, id, config)?;
            let bytes = serde_json::to_vec_pretty(&filled).expect("plan values are plain JSON");
            files.push(FileSpec {
                path: self.places.config(id),
                content: Secret::from(bytes),
                mode: 0o440,
                owned: true,
            });
        }
        Ok(files)
    }

    fn links(&self, service: &Service, id: &InstanceId) -> Vec<LinkSpec> {
        let (folder, data) = (self.folder(service), self.places.data(id));
        let links = service.links.iter();
        links.map(|(link, name)| LinkSpec { path: folder.join(link), target: data.join(name) }).collect()
    }

    /// The same for every text in a tree.
    ///
    /// # Errors
    /// A variable that has no value.
    pub(crate) fn fill_json(
        &self,
        service: &Service,
        id: &InstanceId,
        value: &Json,
    ) -> Result<Json, SpawnError> {
        Ok(match value {
            Json::Text(text) => {
                let template = Template::from_display(text);
                Json::Text(self.fill(service, id, "config", &template)?)
            }
            Json::List(items) => Json::List(
                items.iter().map(|item| self.fill_json(service, id, item)).collect::<Result<_, _>>()?,
            ),
            Json::Object(members) => {
                let filled = members
                    .iter()
                    .map(|(name, item)| Ok((name.clone(), self.fill_json(service, id, item)?)))
                    .collect::<Result<_, SpawnError>>()?;
                Json::Object(filled)
            }
            Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Float(_) => value.clone(),
        })
    }

    fn lookup(&self, service: &Service, id: &InstanceId, variable: &Variable) -> Option<String> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        match variable {
            Variable::Port(name) => Some(self.addresses.port(id, name.as_ref())?.to_string()),
            Variable::Data(None) => Some(text(self.places.data(id))),
            Variable::Data(Some(name)) => Some(text(self.places.data(id).join(name))),
            Variable::Config => Some(text(self.places.config(id))),
            Variable::Credentials => Some(text(self.places.credentials(id))),
            Variable::Address => Some(service.address.clone()),
            Variable::Instance => Some(id.ordinal.to_string()),
            Variable::In => Some(text(self.folder(service))),
            Variable::AddressOf(other) => self.addresses.address(other).map(str::to_owned),
            Variable::PortOf(other, name) => {
                let first = InstanceId { service: other.clone(), ordinal: 1 };
                Some(self.addresses.port(&first, name.as_ref())?.to_string())
            }
        }
    }
}

/// The key of a prepare step: never an instance id, since names hold no `#`.
pub(crate) fn prepare_key(service: &Service, step: usize) -> String {
    format!("{}#prepare/{}", service.name, step + 1)
}

fn limits(service: &Service) -> Limits {
    Limits {
        memory_bytes: service.limits.memory_bytes,
        cpu_milli: service.limits.cpu_milli.map(u64::from),
        tasks: service.limits.tasks.map(u64::from),
        files: service.limits.files,
        core: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::whereabouts::Whereabouts;
    use haus_model::template::Piece;

    fn order(service: Service, credentials: &BTreeMap<String, Secret>) -> SpawnSpec {
        let house = fixture::house(vec![service]);
        let addresses = Addresses::new(&house, &fixture::ports(&house), &Whereabouts::default());
        let places = Places::new("/state", "/run/test");
        let workshop = Workshop {
            house: &house,
            root: Path::new("/plan"),
            places: &places,
            addresses: &addresses,
            account: &|_| Some("haus-test".to_owned()),
            own_user: "tester",
        };
        let service = house.services.values().next().unwrap();
        let id = InstanceId { service: service.name.clone(), ordinal: 2 };
        workshop.instance(service, &id, 7, credentials).unwrap()
    }

    #[test]
    fn an_instance_gets_its_own_port_folders_and_nothing_of_our_environment() {
        let order = order(fixture::service("api", 2), &BTreeMap::new());
        assert_eq!(order.argv, ["serve", "--port=20002"]);
        assert_eq!((order.key.as_str(), order.run), ("api/2", 7));
        assert_eq!(order.folder, Path::new("/plan/rooms"));
        let names: Vec<&str> = order.env.keys().map(String::as_str).collect();
        assert_eq!(names, ["HAUS_HOUSE", "HAUS_SERVICE", "HOME", "LANG", "PATH", "PORT", "TMPDIR", "USER"]);
        let owned: Vec<_> =
            order.folders.iter().filter(|folder| folder.owned).map(|folder| &folder.path).collect();
        assert!(owned.contains(&&PathBuf::from("/state/data/api/2/db")));
        assert!(owned.iter().all(|path| path.ends_with("2") || path.ends_with("db")), "{owned:?}");
    }

    #[test]
    fn a_credential_travels_as_a_file_of_its_own_and_shows_nowhere() {
        let mut service = fixture::service("api", 2);
        service.credentials = BTreeMap::from([("KEY".to_owned(), "key".parse().unwrap())]);
        let value = Secret::from("very secret".to_owned());
        let order = order(service, &BTreeMap::from([("KEY".to_owned(), value)]));
        assert_eq!(order.env["KEY_FILE"], "/run/test/credentials/api/2/KEY");
        assert_eq!(order.env["CREDENTIALS_DIRECTORY"], "/run/test/credentials/api/2");
        assert_eq!((order.files[0].mode, order.files[0].owned), (0o400, true));
        assert!(!format!("{order:?}").contains("very secret"));
    }

    #[test]
    fn a_variable_without_a_value_names_its_place() {
        let mut service = fixture::service("api", 2);
        let missing = Variable::PortOf("db".parse().unwrap(), None);
        service.env.insert("DB".into(), Template { pieces: vec![Piece::Variable(missing)] });
        let house = fixture::house(vec![service.clone()]);
        let addresses = Addresses::new(&house, &fixture::ports(&house), &Whereabouts::default());
        let places = Places::new("/state", "/run/test");
        let account = |_: &Service| None;
        let root = Path::new("/plan");
        let workshop = Workshop {
            house: &house,
            root,
            places: &places,
            addresses: &addresses,
            account: &account,
            own_user: "tester",
        };
        let id = InstanceId { service: service.name.clone(), ordinal: 1 };
        let error = workshop.instance(&service, &id, 1, &BTreeMap::new()).unwrap_err();
        assert_eq!(error.to_string(), "cannot fill in ${db.port} in env.DB of api/1");
    }
}
