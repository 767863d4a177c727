//! `/api/services`, `/api/discover` and `/api/watch`.

use crate::path::Path;
use crate::{Client, ClientError, encoded};
use bytes::Bytes;
use haus_api::health::ServiceCheck;
use haus_api::instance::{Heartbeat, HeartbeatSeen, InstanceUpdate, Register, Registered, ServiceDetail};
use haus_api::registry::{Discovery, Instance, Service, Services};
use haus_api::watch::{Changes, WatchQuery};
use haus_model::ServiceName;
use std::time::Duration;

/// How long the house waits for a change when nothing is said.
const WAIT_S: u64 = 30;

fn one(service: &ServiceName) -> Path {
    Path::new("/api/services").segment(service.as_str())
}

impl Client {
    /// All services with their instances, page by page; metadata stands in [`Client::service`]. The
    /// revision is
    /// that of the first page.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn services(&self) -> Result<Services, ClientError> {
        let mut all: Services = self.get(Path::new("/api/services")).await?;
        while let Some(next) = all.next.take() {
            let page: Services = self.get(Path::new("/api/services").query("after", Some(&next))).await?;
            for service in page.services {
                match all.services.last_mut().filter(|last| last.name == service.name) {
                    Some(last) => last.instances.extend(service.instances),
                    None => all.services.push(service),
                }
            }
            all.next = page.next;
        }
        Ok(all)
    }

    /// A service with its instances.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn service(&self, service: &ServiceName) -> Result<Service, ClientError> {
        let mut all: ServiceDetail = self.get(one(service)).await?;
        while let Some(next) = all.next.take() {
            let page: ServiceDetail = self.get(one(service).query("after", Some(&next))).await?;
            all.service.instances.extend(page.service.instances);
            all.next = page.next;
        }
        Ok(all.service)
    }

    /// How a service is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn service_health(&self, service: &ServiceName) -> Result<ServiceCheck, ClientError> {
        self.get(one(service).segment("health")).await
    }

    /// One instance to use, and all others.
    ///
    /// # Errors
    /// See [`ClientError`]; [`haus_api::ProblemCode::Unavailable`] when none can be used.
    pub async fn discover(&self, service: &ServiceName) -> Result<Discovery, ClientError> {
        self.get(Path::new("/api/discover").query("service", Some(service))).await
    }

    /// Registers an instance; the answer holds the service's credentials.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn register(&self, what: &Register) -> Result<Registered, ClientError> {
        self.post(Path::new("/api/services/register"), what).await
    }

    /// A sign of life. [`haus_api::ProblemCode::NotFound`] means: register again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn heartbeat(
        &self,
        service: &ServiceName,
        sign: &Heartbeat,
    ) -> Result<HeartbeatSeen, ClientError> {
        self.post(one(service).segment("heartbeat"), sign).await
    }

    /// Changes what an instance said of itself.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn change_instance(
        &self,
        service: &ServiceName,
        change: &InstanceUpdate,
    ) -> Result<Instance, ClientError> {
        let path = one(service).build();
        let body = encoded(&path, change)?;
        self.call("PATCH", path, body, None, self.patience).await
    }

    /// Takes an instance out of the registry; a token that is bound to one needs no name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deregister(&self, service: &ServiceName, instance: Option<&str>) -> Result<(), ClientError> {
        self.delete(one(service).query("instance", instance)).await
    }

    /// Waits for changes of the registry after a revision.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn changes(&self, query: &WatchQuery) -> Result<Changes, ClientError> {
        let path = Path::new("/api/watch")
            .query("revision", query.revision)
            .query("service", query.service.as_ref())
            .query("wait_s", query.wait_s);
        let within = self.patience + Duration::from_secs(query.wait_s.unwrap_or(WAIT_S));
        self.call("GET", path.build(), Bytes::new(), None, within).await
    }
}
