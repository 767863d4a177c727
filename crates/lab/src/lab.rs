//! The lab as a whole: up, down, and who may work with which host. What a single host can do is in `host`.

use crate::claim::Claim;
use crate::disk::{self, CLEAN};
use crate::error::LabError;
use crate::files;
use crate::host::{LabHost, Ready};
use crate::identity::{self, Identity};
use crate::image::Image;
use crate::incus::{self, ClaimedIncusHost, IncusHost, IncusMaking};
use crate::keys::{self, Known};
use crate::network::{self, HOSTS_MAX, Subnet};
use crate::places::Places;
use crate::power;
use crate::tool::is_there;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Program and the package of Debian that has it.
const TOOLS: [(&str, &str); 10] = [
    ("systemd-nspawn", "systemd-container"),
    ("mmdebstrap", "mmdebstrap"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("mkfs.ext4", "e2fsprogs"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("setpriv", "util-linux"),
];
/// Somebody else may be building the image.
const LOCK_DEADLINE: Duration = Duration::from_secs(20 * 60);
/// Boots that run beside each other; more of them only wait for the same cores.
const AT_ONCE: usize = 4;

/// What is wanted of a lab.
#[derive(Debug, Clone, Copy)]
pub struct LabPlan {
    /// `lab1` to `labN`. Others that are up already stay.
    pub hosts: usize,
    /// How large the disk of a new host is; on this machine it takes what is written on it.
    pub disk_mib: u32,
}

impl LabPlan {
    /// So many hosts of the usual kind.
    pub fn of(hosts: usize) -> LabPlan {
        LabPlan { hosts, disk_mib: 4096 }
    }
}

/// Whether `down` stops before hosts that somebody works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// It refuses, and nothing is touched.
    No,
    /// It takes them away.
    Yes,
}

/// A lab, up or not.
#[derive(Debug, Clone)]
pub struct Lab {
    places: Places,
}

struct Base {
    key: String,
    image: Image,
    subnet: Subnet,
}

/// What all hosts of one `up` have in common.
struct Making {
    plan: LabPlan,
    image: Image,
    gateway: Ipv4Addr,
    key: String,
}

/// A host that nobody else works with until this value goes.
#[derive(Debug)]
pub struct ClaimedHost {
    host: LabHost,
    _claim: Claim,
}

impl Deref for ClaimedHost {
    type Target = LabHost;

    fn deref(&self) -> &LabHost {
        &self.host
    }
}

impl Lab {
    /// The lab that keeps its things there.
    pub fn new(places: Places) -> Lab {
        Lab { places }
    }

    /// Where its things are.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Whether this machine can carry a lab at all; the error says what is missing.
    pub fn check_fitness(&self) -> Result<(), LabError> {
        if !rustix::process::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        let missing: Vec<_> = TOOLS.into_iter().filter(|(program, _)| !is_there(program)).collect();
        if !missing.is_empty() {
            let programs = missing.iter().map(|(program, _)| *program).collect();
            let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
            packages.dedup();
            return Err(LabError::Missing { programs, packages });
        }
        let path = self.places.root().as_os_str().as_encoded_bytes();
        if path.iter().any(|byte| b":,\\\"\n".contains(byte)) {
            let reason =
                format!("the path {} has a sign that mounts cannot take", self.places.root().display());
            return Err(LabError::Unfit { reason });
        }
        power::hierarchies().map(drop)
    }

    /// Brings so many hosts up, from nothing or from whatever is there; says what takes long.
    pub fn up(&self, plan: LabPlan, progress: &(dyn Fn(&str) + Sync)) -> Result<Vec<LabHost>, LabError> {
        self.check_fitness()?;
        if !(1..=HOSTS_MAX).contains(&plan.hosts) {
            let reason = format!("it has room for 1 to {HOSTS_MAX} hosts, not for {}", plan.hosts);
            return Err(LabError::Unfit { reason });
        }
        let _lock = self.lock(LOCK_DEADLINE)?;
        let Base { key, image, subnet } = self.base(progress)?;
        let hosts: Vec<LabHost> = (1..=plan.hosts)
            .map(|number| LabHost::new(&self.places, &format!("lab{number}"), subnet.host(number)))
            .collect();
        let begun = Instant::now();
        let made = Making { plan, image: image.clone(), gateway: subnet.machine(), key };
        in_parallel(&hosts, |host| self.make(host, &made))?;
        self.write_ssh_files()?;
        in_parallel(&hosts, |host| self.boot(host))?;
        Image::forget_others(&self.places, Some(&image))?;
        progress(&format!("{} hosts are up in {:.1} s", hosts.len(), begun.elapsed().as_secs_f64()));
        Ok(hosts)
    }

    /// Takes everything away that `up` has made, except for image and key. Finds it by what the kernel has,
    /// so it does not matter how the programs ended that made it.
    pub fn down(&self, force: Force) -> Result<(), LabError> {
        if !rustix::process::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        if !self.places.root().is_dir() {
            return Ok(());
        }
        let _lock = match force {
            Force::No => Some(self.lock(Duration::from_secs(5))?),
            Force::Yes => None,
        };
        let mut claims = Vec::new();
        for host in self.hosts()? {
            match (host.claim()?, force) {
                (Ok(claim), Force::No | Force::Yes) => claims.push(claim),
                (Err(by), Force::No) => return Err(LabError::InUse { what: host.name, by }),
                (Err(_), Force::Yes) => {}
            }
        }
        if let (Some(by), Force::No) = (self.incus_host()?.and_then(|host| host.claimed_by()), force) {
            return Err(LabError::InUse { what: "the host of Incus".to_owned(), by });
        }
        incus::down(&self.places)?;
        let mut names = power::powered(&self.places)?;
        names.extend(files::names_in(&self.places.hosts())?);
        names.sort();
        names.dedup();
        in_parallel(&names, |name| {
            power::Power::of(&self.places, name).cut()?;
            disk::unmount_below(self.places.host(name).folder())
        })?;
        power::remove_groups(&self.places)?;
        disk::unmount_below(&self.places.hosts())?;
        network::remove(&self.places)?;
        files::remove(&self.places.hosts())?;
        files::remove(&self.places.ssh_config())?;
        files::remove(&self.places.known_hosts())
    }

    /// Removes the images as well, so that the next `up` begins from nothing. The lab must be down.
    pub fn forget_images(&self) -> Result<(), LabError> {
        Image::forget_others(&self.places, None)
    }

    /// The hosts that there are, by number.
    pub fn hosts(&self) -> Result<Vec<LabHost>, LabError> {
        let mut hosts = Vec::new();
        for name in files::names_in(&self.places.hosts())? {
            let address = files::read_if_there(&self.places.host(&name).address())?;
            if let Some(address) = address.and_then(|text| text.trim().parse().ok()) {
                hosts.push(LabHost::new(&self.places, &name, address));
            }
        }
        hosts.sort_by_key(|host| host.address);
        Ok(hosts)
    }

    /// One of them.
    pub fn host(&self, name: &str) -> Result<LabHost, LabError> {
        let hosts = self.hosts()?;
        let known = hosts.iter().map(|host| host.name.clone()).collect();
        let found = hosts.into_iter().find(|host| host.name == name);
        found.ok_or_else(|| LabError::UnknownHost { name: name.to_owned(), known })
    }

    /// Waits until so many hosts are free, takes all of them at once and brings them back to [`CLEAN`]. The
    /// key, the address and the name of a host stay what they were.
    pub fn claim(&self, wanted: usize, deadline: Duration) -> Result<Vec<ClaimedHost>, LabError> {
        let claimed = self.claim_as_they_are(wanted, deadline)?;
        in_parallel(&claimed, |host| host.restore(CLEAN))?;
        Ok(claimed)
    }

    /// The same without restoring anything, for a test that goes back to a snapshot of its own.
    pub fn claim_as_they_are(&self, wanted: usize, deadline: Duration) -> Result<Vec<ClaimedHost>, LabError> {
        let begun = Instant::now();
        loop {
            // Two that want more than there is must not each hold a part of it for ever.
            let picking = Claim::wait(&self.places.claims_lock(), "the list of hosts", deadline)?;
            let (mut claimed, mut taken) = (Vec::new(), Vec::new());
            for host in self.hosts()? {
                if claimed.len() == wanted {
                    break;
                }
                match host.claim()? {
                    Ok(claim) => claimed.push(ClaimedHost { host, _claim: claim }),
                    Err(by) => taken.push(format!("{} by {by}", host.name)),
                }
            }
            drop(picking);
            if claimed.len() == wanted {
                return Ok(claimed);
            }
            if begun.elapsed() >= deadline {
                return Err(LabError::NoFreeHost { wanted, waited: deadline, taken });
            }
            drop(claimed);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Brings the host up that Incus runs, whether others are up or not.
    pub fn incus_up(&self, progress: &(dyn Fn(&str) + Sync)) -> Result<IncusHost, LabError> {
        self.check_fitness()?;
        let _lock = self.lock(LOCK_DEADLINE)?;
        let Base { key, image, subnet } = self.base(progress)?;
        let begun = Instant::now();
        let making = IncusMaking { image, address: subnet.incus_host(), gateway: subnet.machine(), key };
        let host = IncusHost::up(&self.places, &making)?;
        self.write_ssh_files()?;
        progress(&format!("{} is up in {:.1} s", host.name, begun.elapsed().as_secs_f64()));
        Ok(host)
    }

    /// The host that Incus runs, where there is one.
    pub fn incus_host(&self) -> Result<Option<IncusHost>, LabError> {
        IncusHost::find(&self.places)
    }

    /// Waits until nobody else has the host that Incus runs, takes it and restores it.
    pub fn claim_incus(&self, host: IncusHost, deadline: Duration) -> Result<ClaimedIncusHost, LabError> {
        let claimed = host.claim(deadline)?;
        claimed.restore()?;
        Ok(claimed)
    }

    /// What hosts of every kind stand on.
    fn base(&self, progress: &dyn Fn(&str)) -> Result<Base, LabError> {
        files::set_mode(self.places.root(), 0o700)?;
        let key = keys::ensure_pair(&self.places)?;
        let image = Image::prepare(&self.places, progress)?;
        Ok(Base { key, image, subnet: network::ensure(&self.places)? })
    }

    fn lock(&self, deadline: Duration) -> Result<Claim, LabError> {
        files::make_folder(self.places.root())?;
        Claim::wait(&self.places.lock(), "the lab", deadline)
    }

    /// The files of a host. One that stands on an older image, or has another address, is made anew, unless
    /// somebody works with it.
    fn make(&self, host: &LabHost, making: &Making) -> Result<(), LabError> {
        let Making { plan, image, gateway, key } = making;
        let place = self.places.host(&host.name);
        let address = host.address.to_string();
        let known = (files::read_if_there(&place.image())?, files::read_if_there(&place.address())?);
        if known == (Some(image.hash.clone()), Some(address.clone())) && place.disk_file().is_file() {
            return Ok(());
        }
        files::make_folder(place.folder())?;
        let Ok(_claim) = host.claim()? else { return Ok(()) };
        host.cut_power()?;
        disk::unmount_below(place.folder())?;
        files::remove(place.folder())?;
        let identity = Identity { name: &host.name, address: host.address, gateway: *gateway, key };
        identity::write(&place.identity(), image, &identity)?;
        disk::make(&place, plan.disk_mib)?;
        files::write(&place.image(), &image.hash)?;
        // Last: a host without an address is not one yet.
        files::write(&place.address(), &address)
    }

    fn boot(&self, host: &LabHost) -> Result<(), LabError> {
        // Whoever works with it may have switched it off on purpose.
        if host.claimed_by().is_some() {
            return Ok(());
        }
        host.restore_power(Ready::Ssh)
    }

    fn write_ssh_files(&self) -> Result<(), LabError> {
        let known = |host: LabHost| {
            let identity = self.places.host(&host.name).identity();
            Known { name: host.name, address: host.address, identity }
        };
        let mut hosts: Vec<Known> = self.hosts()?.into_iter().map(known).collect();
        hosts.extend(self.incus_host()?.map(|host| {
            let identity = self.places.incus().identity();
            Known { name: host.name, address: host.address, identity }
        }));
        keys::write_ssh_files(&self.places, &hosts)
    }
}

/// Does it for all, some at a time; the first error is the answer, after all have ended.
fn in_parallel<T: Sync>(
    items: &[T],
    work: impl Fn(&T) -> Result<(), LabError> + Sync,
) -> Result<(), LabError> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut outcome = Ok(());
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            outcome = outcome.and(work(item));
        }
        outcome
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE.min(items.len())).map(|_| scope.spawn(worker)).collect();
        let outcomes = workers.into_iter().map(|worker| worker.join().expect("a worker does not panic"));
        outcomes.fold(Ok(()), Result::and)
    })
}
