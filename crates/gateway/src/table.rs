//! A snapshot prepared for lookups: sorted prefixes, parsed headers, living instance state attached.
//!
//! Instance state (breaker, connections) is taken over from the former table by service, id, run and
//! address, so a new snapshot disturbs only what really changed.

use crate::error::GatewayError;
use crate::files::FileRoot;
use crate::instance::{Instance, Service};
use crate::path::has_prefix;
use crate::snapshot::{Address, Defaults, Route, Snapshot, Target, Upstream};
use crate::stats::Counters;
use http::{HeaderName, HeaderValue, header};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// All routes of one snapshot.
#[derive(Debug, Default)]
pub(crate) struct Table {
    hosts: HashMap<String, Vec<Arc<RouteRule>>>,
    fallback: Option<Vec<Arc<RouteRule>>>,
    own_domain: String,
    /// Every service once, in the order of the snapshot.
    pub(crate) services: Vec<Arc<Service>>,
    /// Kept over snapshots, also for services that are gone: a counter never falls back.
    pub(crate) counters: BTreeMap<Arc<str>, Arc<Counters>>,
    /// Those that can be called.
    by_name: BTreeMap<Arc<str>, Arc<Service>>,
    pub(crate) defaults: Defaults,
}

/// One route, ready for use.
#[derive(Debug)]
pub(crate) struct RouteRule {
    prefix: String,
    pub(crate) name: Arc<str>,
    pub(crate) strip: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
    pub(crate) max_body_bytes: u64,
    pub(crate) deny_headers: Vec<HeaderName>,
    pub(crate) answer_headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) goal: Goal,
}

/// Where a route leads.
#[derive(Debug)]
pub(crate) enum Goal {
    Service(Arc<Service>),
    Files(FileRoot),
}

impl RouteRule {
    /// What holds for one call to a service: no prefix, and nothing of the caller's leave to call.
    pub(crate) fn of_call(service: &Arc<Service>, timeout: Duration, defaults: &Defaults) -> RouteRule {
        RouteRule {
            prefix: String::new(),
            name: format!("call:{}", service.name).into(),
            strip: None,
            timeout,
            retries: defaults.retries,
            max_body_bytes: defaults.max_body_bytes,
            deny_headers: vec![header::AUTHORIZATION],
            answer_headers: Vec::new(),
            goal: Goal::Service(Arc::clone(service)),
        }
    }
}

impl Table {
    /// The service of this name, when it can be called.
    pub(crate) fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.by_name.get(name)
    }

    /// The route for a host (lower case, without port; empty when none was named) and a safe path.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<&Arc<RouteRule>> {
        let routes = match self.hosts.get(host) {
            Some(routes) => routes,
            None if self.is_own(host) => self.fallback.as_ref()?,
            None => return None,
        };
        routes.iter().find(|route| has_prefix(path, &route.prefix))
    }

    fn is_own(&self, host: &str) -> bool {
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.is_empty()
            || host == "localhost"
            || host == self.own_domain
            || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Prepares `snapshot`, taking living state over from `self`.
    pub(crate) fn follow(&self, snapshot: &Snapshot) -> Result<Table, GatewayError> {
        let mut builder = Builder::after(self);
        let mut hosts = HashMap::with_capacity(snapshot.hosts.len());
        for (host, routes) in &snapshot.hosts {
            hosts.insert(host.to_ascii_lowercase(), builder.routes(routes, &snapshot.defaults)?);
        }
        let fallback = match &snapshot.fallback {
            Some(routes) => Some(builder.routes(routes, &snapshot.defaults)?),
            None => None,
        };
        let mut by_name = BTreeMap::new();
        for (name, upstream) in &snapshot.services {
            if is_callable(upstream) {
                by_name.insert(name.as_str().into(), builder.service(upstream));
            }
        }
        let own_domain = format!("{}.localhost", snapshot.house.to_ascii_lowercase());
        let Builder { services, counters, .. } = builder;
        Ok(Table { hosts, fallback, own_domain, services, counters, by_name, defaults: snapshot.defaults })
    }

    /// Closes what the next table does not have any more. Requests under way keep their connections.
    pub(crate) fn retire_against(&self, next: &Table) {
        let kept: Vec<*const Instance> = next.instances().map(Arc::as_ptr).collect();
        for instance in self.instances() {
            if !kept.contains(&Arc::as_ptr(instance)) {
                instance.retire();
            }
        }
    }

    pub(crate) fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.services.iter().flat_map(|service| &service.instances)
    }
}

type InstanceKey = (Arc<str>, Arc<str>, u64, Address);

struct Builder {
    former: BTreeMap<InstanceKey, Arc<Instance>>,
    counters: BTreeMap<Arc<str>, Arc<Counters>>,
    services: Vec<Arc<Service>>,
    /// One service per `Arc` of the snapshot, so that routes that share it share its round robin.
    known: Vec<(*const Upstream, Arc<Service>)>,
}

impl Builder {
    fn after(table: &Table) -> Builder {
        let former = table.instances().map(|instance| (instance.key(), Arc::clone(instance))).collect();
        Builder { former, counters: table.counters.clone(), services: Vec::new(), known: Vec::new() }
    }

    fn routes(&mut self, routes: &[Route], defaults: &Defaults) -> Result<Vec<Arc<RouteRule>>, GatewayError> {
        let mut rules = Vec::with_capacity(routes.len());
        for route in routes {
            rules.push(Arc::new(self.rule(route, defaults)?));
        }
        // The first match is then the longest one.
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
        Ok(rules)
    }

    fn rule(&mut self, route: &Route, defaults: &Defaults) -> Result<RouteRule, GatewayError> {
        let goal = match &route.target {
            Target::Service(upstream) => Goal::Service(self.service(upstream)),
            Target::Files(files) => Goal::Files(FileRoot::new(files)),
        };
        let mut deny_headers = Vec::with_capacity(route.deny_headers.len());
        for header in &route.deny_headers {
            deny_headers.push(header_name(route, header)?);
        }
        let mut answer_headers = Vec::with_capacity(route.headers.len());
        for (header, value) in &route.headers {
            let value = HeaderValue::from_str(value).map_err(|_| GatewayError::HeaderValue {
                route: route.name.clone(),
                header: header.clone(),
            })?;
            answer_headers.push((header_name(route, header)?, value));
        }
        Ok(RouteRule {
            prefix: route.prefix.clone(),
            name: route.name.as_str().into(),
            strip: route.strip.clone(),
            timeout: route.timeout.unwrap_or(defaults.timeout),
            retries: defaults.retries,
            max_body_bytes: route.max_body_bytes.unwrap_or(defaults.max_body_bytes),
            deny_headers,
            answer_headers,
            goal,
        })
    }

    fn service(&mut self, upstream: &Arc<Upstream>) -> Arc<Service> {
        let address = Arc::as_ptr(upstream);
        if let Some((_, service)) = self.known.iter().find(|(known, _)| *known == address) {
            return Arc::clone(service);
        }
        let name: Arc<str> = upstream.service.as_str().into();
        let counters = Arc::clone(self.counters.entry(Arc::clone(&name)).or_default());
        let mut instances = Vec::with_capacity(upstream.endpoints.len());
        for endpoint in &upstream.endpoints {
            let key =
                (Arc::clone(&name), endpoint.id.as_str().into(), endpoint.run, endpoint.address.clone());
            let instance = self
                .former
                .entry(key)
                .or_insert_with_key(|(_, id, run, address)| {
                    Arc::new(Instance::new(Arc::clone(&name), Arc::clone(id), *run, address.clone()))
                })
                .clone();
            instances.push(instance);
        }
        let service = Arc::new(Service::new(upstream, name, counters, instances));
        self.services.push(Arc::clone(&service));
        self.known.push((address, Arc::clone(&service)));
        service
    }
}

/// A socket file may tell its peer by credentials, and every caller would be us.
fn is_callable(upstream: &Upstream) -> bool {
    upstream.endpoints.iter().all(|endpoint| match &endpoint.address {
        Address::Tcp(_) => true,
        Address::Unix(_) => false,
    })
}

fn header_name(route: &Route, header: &str) -> Result<HeaderName, GatewayError> {
    HeaderName::from_bytes(header.as_bytes())
        .map_err(|_| GatewayError::HeaderName { route: route.name.clone(), header: header.to_owned() })
}
