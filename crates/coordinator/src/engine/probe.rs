//! Starting probes: each on its own task, so that none delays another.

use super::{Engine, Input};
use crate::spawn::SEARCH_PATH;
use haus_model::health::{ProbeKind, ProbeOutcome};
use haus_model::service::Service;
use haus_model::{InstanceId, PortName};
use haus_probe::{HttpMethod, ProbeTarget};
use haus_supervise::account;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Engine {
    pub(super) fn probe(&mut self, id: &InstanceId, run: u64) {
        let Some(service) = self.house.services.get(&id.service) else { return };
        let Some(check) = &service.health else { return };
        let timeout = check.timeout;
        let target = self.target(service, id, &check.probe);
        let is_command = matches!(check.probe, ProbeKind::Command { .. } | ProbeKind::Process);
        let probes = Arc::clone(if is_command { &self.command_probes } else { &self.probes });
        let (inputs, id) = (self.inputs.clone(), id.clone());
        tokio::spawn(async move {
            let outcome = match target {
                Ok(target) => {
                    // The semaphore is never closed.
                    let _turn = probes.acquire().await;
                    haus_probe::probe(&target, timeout).await
                }
                Err(evidence) => ProbeOutcome { ok: false, evidence, took_ms: 0 },
            };
            // Nobody listens any more when the house has ended.
            let _ = inputs.send(Input::Probed { id, run, outcome });
        });
    }

    /// Probes once and tells only who asked; none for an instance without a probe.
    pub(super) fn probe_once(&self, id: &InstanceId, reply: oneshot::Sender<Option<ProbeOutcome>>) {
        let service = self.house.services.get(&id.service);
        let check = service.and_then(|service| service.health.as_ref());
        let (Some(service), Some(check)) = (service, check) else {
            // Who asked may have gone.
            let _ = reply.send(None);
            return;
        };
        if matches!(check.probe, ProbeKind::Process) && self.unit(id).is_none() {
            let _ = reply.send(None);
            return;
        }
        let (target, timeout) = (self.target(service, id, &check.probe), check.timeout);
        tokio::spawn(async move {
            let outcome = match target {
                Ok(target) => haus_probe::probe(&target, timeout).await,
                Err(evidence) => ProbeOutcome { ok: false, evidence, took_ms: 0 },
            };
            let _ = reply.send(Some(outcome));
        });
    }

    fn target(&self, service: &Service, id: &InstanceId, probe: &ProbeKind) -> Result<ProbeTarget, String> {
        let account = |service: &Service| self.account(service);
        let workshop = self.workshop(&account);
        let fill = |place: &str, template| {
            workshop.fill(service, id, place, template).map_err(|error| crate::chain(&error))
        };
        match probe {
            ProbeKind::Http { get, port, expect } => {
                let address = self.address(service, id, port.as_ref())?;
                Ok(ProbeTarget::Http {
                    method: HttpMethod::Get,
                    address,
                    host: address.to_string(),
                    path: fill("health.get", get)?,
                    expect: expect.clone(),
                })
            }
            ProbeKind::Tcp { port } => {
                Ok(ProbeTarget::Tcp { address: self.address(service, id, port.as_ref())? })
            }
            ProbeKind::Command { argv } => {
                let words: Result<Vec<String>, String> =
                    argv.iter().map(|word| fill("health.command", word)).collect();
                Ok(ProbeTarget::Command {
                    argv: words?,
                    env: workshop.environment(service, id).map_err(|error| crate::chain(&error))?,
                    folder: workshop.folder(service),
                    account: self.ids(service)?,
                })
            }
            ProbeKind::Process => self.unit(id).ok_or_else(|| "a process check needs no probe".to_owned()),
        }
    }

    /// The question to systemd about a unit on this machine that nothing else can be asked about.
    fn unit(&self, id: &InstanceId) -> Option<ProbeTarget> {
        let whereabouts = self.addresses.whereabouts();
        let unit = whereabouts.placed(id).filter(|placed| whereabouts.is_here(placed))?.unit.clone()?;
        Some(ProbeTarget::Command {
            argv: ["systemctl", "is-active", "--", &unit].map(str::to_owned).to_vec(),
            env: BTreeMap::from([("PATH".to_owned(), SEARCH_PATH.to_owned())]),
            folder: PathBuf::from("/"),
            account: None,
        })
    }

    fn address(
        &self,
        service: &Service,
        id: &InstanceId,
        port: Option<&PortName>,
    ) -> Result<SocketAddr, String> {
        let address = self.addresses.address_of(id).unwrap_or(&service.address);
        let address: IpAddr = address.parse().map_err(|_| format!("{address} is no address"))?;
        let port = self.addresses.port(id, port).ok_or_else(|| format!("{id} has no port to probe"))?;
        Ok(SocketAddr::new(address, port))
    }

    fn ids(&self, service: &Service) -> Result<Option<(u32, u32)>, String> {
        let Some(name) = self.account(service) else { return Ok(None) };
        match account::lookup(&name) {
            Ok(Some(account)) => Ok(Some((account.uid, account.gid))),
            Ok(None) => Err(format!("there is no account {name}")),
            Err(error) => Err(crate::chain(&error)),
        }
    }
}
