//! From the house and the registry to the picture that the gateway follows.

use crate::addresses::Addresses;
use crate::places::Places;
use haus_gateway::{Address, Defaults, Endpoint, FilesTarget, Route, Snapshot, Target, Upstream};
use haus_model::health::HealthState;
use haus_model::house::House;
use haus_model::id::PortName;
use haus_model::route::{PathRoute, RouteTarget};
use haus_model::service::{Rollout, RunsAs};
use haus_model::{InstanceId, ServiceName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// Largest request body where a route says nothing.
const BODY_BYTES_MAX_DEFAULT: u64 = 10 << 20;

/// What the gateway needs to know of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The instance.
    pub id: InstanceId,
    /// How people call it: `api/1`, or `scanner/desk-1` for one that gave itself a name.
    pub name: String,
    /// Number of its start.
    pub run: u64,
    /// Where it listens, when it registered by itself; otherwise the plan says where.
    pub address: Option<SocketAddr>,
    /// Its share of the requests.
    pub weight: u32,
    /// Its health.
    pub state: HealthState,
    /// What to tell a visitor when it cannot be used.
    pub why: String,
}

/// Builds the snapshot of a house.
pub(crate) fn build(
    house: &House,
    root: &Path,
    places: &Places,
    addresses: &Addresses,
    seen: &BTreeMap<ServiceName, Vec<Seen>>,
) -> Snapshot {
    let mut builder = Builder { house, root, places, addresses, seen, upstreams: BTreeMap::new() };
    let mut hosts: BTreeMap<String, Vec<Route>> = BTreeMap::new();
    for (host, paths) in &house.routes {
        let routes = paths.iter().map(|(prefix, route)| builder.route(host, prefix, route)).collect();
        hosts.insert(host.to_ascii_lowercase(), routes);
    }
    // The house's own name and bare loopback names lead to the read-only API.
    let own = builder.own_routes();
    let domain = hosts.entry(house.domain.to_ascii_lowercase()).or_default();
    for route in &own {
        if !domain.iter().any(|taken| taken.prefix == route.prefix) {
            domain.push(route.clone());
        }
    }
    Snapshot {
        house: house.name.to_string(),
        hosts,
        fallback: Some(own),
        services: builder.services(),
        defaults: Defaults {
            timeout: house.gateway.timeout,
            retries: house.gateway.retries,
            max_body_bytes: BODY_BYTES_MAX_DEFAULT,
        },
    }
}

struct Builder<'a> {
    house: &'a House,
    root: &'a Path,
    places: &'a Places,
    addresses: &'a Addresses,
    seen: &'a BTreeMap<ServiceName, Vec<Seen>>,
    /// Routes to one port share one upstream, so that they share one round robin.
    upstreams: BTreeMap<(ServiceName, Option<PortName>), Arc<Upstream>>,
}

impl Builder<'_> {
    fn route(&mut self, host: &str, prefix: &str, route: &PathRoute) -> Route {
        let target = match &route.target {
            RouteTarget::Service { service, port } => Target::Service(self.upstream(service, port.as_ref())),
            RouteTarget::Coordinator => Target::Service(self.own_upstream()),
            RouteTarget::Files { root, fallback, immutable } => Target::Files(FilesTarget {
                root: self.root.join(root),
                fallback: fallback.clone(),
                immutable: immutable.clone(),
            }),
        };
        // A folder holds what lies below the route: `/docs/: { files: pages }` serves pages/a for /docs/a.
        let folder_prefix = matches!(route.target, RouteTarget::Files { .. }).then(|| prefix.to_owned());
        Route {
            prefix: prefix.to_owned(),
            target,
            strip: route.strip.clone().or(folder_prefix.filter(|prefix| prefix != "/")),
            timeout: route.timeout,
            max_body_bytes: route.max_body_bytes,
            deny_headers: route.deny_headers.clone(),
            headers: route.headers.clone(),
            name: format!("{host}{prefix}"),
        }
    }

    /// Every service by name, with or without routes: for calls of one service by another.
    fn services(&mut self) -> BTreeMap<ServiceName, Arc<Upstream>> {
        // Also services that registered without being in the plan.
        let names: BTreeSet<ServiceName> =
            self.house.services.keys().chain(self.seen.keys()).cloned().collect();
        names.into_iter().map(|name| (name.clone(), self.upstream(&name, None))).collect()
    }

    fn own_routes(&self) -> Vec<Route> {
        let upstream = self.own_upstream();
        let prefixes = ["/health", "/api"];
        prefixes
            .iter()
            .map(|prefix| {
                let mut route = Route::to(prefix, Target::Service(Arc::clone(&upstream)));
                route.name = format!("{}{prefix}", self.house.domain);
                route
            })
            .collect()
    }

    /// The coordinator's own read-only API behind its socket.
    fn own_upstream(&self) -> Arc<Upstream> {
        Arc::new(Upstream {
            service: "haus".to_owned(),
            endpoints: vec![Endpoint {
                id: "haus/1".to_owned(),
                run: 1,
                address: Address::Unix(self.places.api_socket()),
                state: HealthState::Healthy,
                weight: 1,
            }],
            hold: None,
            why_empty: "the coordinator is starting".to_owned(),
        })
    }

    fn upstream(&mut self, name: &ServiceName, port: Option<&PortName>) -> Arc<Upstream> {
        let key = (name.clone(), port.cloned());
        if let Some(upstream) = self.upstreams.get(&key) {
            return Arc::clone(upstream);
        }
        let service = self.house.services.get(name);
        if service.is_some_and(|service| service.runs_as == RunsAs::Coordinator) {
            return self.own_upstream();
        }
        let instances = self.seen.get(name).map(Vec::as_slice).unwrap_or_default();
        let main = service.and_then(|service| service.main_port());
        let endpoints = instances.iter().filter_map(|seen| {
            let address = match seen.address {
                // It has one port, whose name nobody knows.
                Some(address) => (port.is_none_or(|port| Some(port) == main)).then_some(address)?,
                None => {
                    let address: IpAddr = self.addresses.address_of(&seen.id)?.parse().ok()?;
                    SocketAddr::new(reachable(address), self.addresses.port(&seen.id, port)?)
                }
            };
            Some(Endpoint {
                id: seen.name.clone(),
                run: seen.run,
                address: Address::Tcp(address),
                state: seen.state,
                weight: seen.weight,
            })
        });
        let whys: Vec<String> = instances.iter().map(|seen| format!("{}: {}", seen.name, seen.why)).collect();
        let upstream = Arc::new(Upstream {
            service: name.to_string(),
            endpoints: endpoints.collect(),
            hold: service.filter(|service| service.rollout == Rollout::Hold).map(|_| self.house.gateway.hold),
            why_empty: if whys.is_empty() { format!("{name} has no instance") } else { whys.join("; ") },
        });
        self.upstreams.insert(key, Arc::clone(&upstream));
        upstream
    }
}

/// A service that listens everywhere is reached over loopback.
pub(crate) fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::whereabouts::Whereabouts;
    use haus_model::route::HostRoutes;

    fn route(target: RouteTarget) -> PathRoute {
        PathRoute {
            target,
            strip: None,
            timeout: None,
            max_body_bytes: None,
            deny_headers: Vec::new(),
            headers: BTreeMap::new(),
        }
    }

    fn to_api() -> PathRoute {
        route(RouteTarget::Service { service: "api".parse().unwrap(), port: None })
    }

    #[test]
    fn routes_to_one_port_share_one_round_robin_and_the_house_answers_for_itself() {
        let mut house = fixture::house(vec![fixture::service("api", 2)]);
        house.routes = BTreeMap::from([
            ("A.test.localhost".to_owned(), HostRoutes::from([("/".to_owned(), to_api())])),
            ("test.localhost".to_owned(), HostRoutes::from([("/api".to_owned(), to_api())])),
        ]);
        let addresses = Addresses::new(&house, &fixture::ports(&house), &Whereabouts::default());
        let id = InstanceId { service: "api".parse().unwrap(), ordinal: 2 };
        let one = Seen {
            id: id.clone(),
            name: id.to_string(),
            run: 4,
            address: None,
            weight: 1,
            state: HealthState::Healthy,
            why: "healthy".into(),
        };
        let seen = BTreeMap::from([(id.service, vec![one])]);
        let places = Places::new("/state", "/run/test");
        let snapshot = build(&house, Path::new("/plan"), &places, &addresses, &seen);

        let upstream = |host: &str, index: usize| match &snapshot.hosts[host][index].target {
            Target::Service(upstream) => Arc::clone(upstream),
            Target::Files(_) => panic!("{host} leads to files"),
        };
        assert!(Arc::ptr_eq(&upstream("a.test.localhost", 0), &upstream("test.localhost", 0)));
        let endpoint = &upstream("a.test.localhost", 0).endpoints[0];
        assert_eq!((endpoint.id.as_str(), endpoint.run), ("api/2", 4));
        assert_eq!(endpoint.address, Address::Tcp("127.0.0.1:20002".parse().unwrap()));
        // The plan's own /api stays; /health is added and leads to the coordinator.
        let prefixes: Vec<_> =
            snapshot.hosts["test.localhost"].iter().map(|route| route.prefix.as_str()).collect();
        assert_eq!(prefixes, ["/api", "/health"]);
        assert_eq!(upstream("test.localhost", 1).service, "haus");
    }

    #[test]
    fn an_announced_instance_is_reached_where_it_says_with_routes_or_without() {
        let mut scanner = fixture::service("scanner", 1);
        scanner.runs_as = RunsAs::External;
        scanner.ports.clear();
        let mut house = fixture::house(vec![scanner]);
        let leads = route(RouteTarget::Service { service: "scanner".parse().unwrap(), port: None });
        house.routes =
            BTreeMap::from([("s.example".to_owned(), HostRoutes::from([("/".to_owned(), leads)]))]);
        let one = |service: &str| Seen {
            id: InstanceId { service: service.parse().unwrap(), ordinal: 1_000_001 },
            name: format!("{service}/desk"),
            run: 2,
            address: Some("192.0.2.7:9000".parse().unwrap()),
            weight: 5,
            state: HealthState::Healthy,
            why: "healthy".into(),
        };
        let seen = ["scanner", "not-in-plan"].map(|name| (name.parse().unwrap(), vec![one(name)]));
        let places = Places::new("/state", "/run/test");
        let addresses = Addresses::new(&house, &fixture::ports(&house), &Whereabouts::default());
        let snapshot = build(&house, Path::new("/plan"), &places, &addresses, &BTreeMap::from(seen));
        let Target::Service(routed) = &snapshot.hosts["s.example"][0].target else { panic!("no service") };
        assert!(Arc::ptr_eq(routed, &snapshot.services["scanner"]));
        for name in ["scanner", "not-in-plan"] {
            let endpoint = &snapshot.services[name].endpoints[0];
            assert_eq!(
                (endpoint.id.as_str(), endpoint.run, endpoint.weight),
                (format!("{name}/desk").as_str(), 2, 5)
            );
            assert_eq!(endpoint.address, Address::Tcp("192.0.2.7:9000".parse().unwrap()));
        }
    }

    #[test]
    fn a_folder_serves_what_lies_below_its_route() {
        let mut house = fixture::house(Vec::new());
        let files = || route(RouteTarget::Files { root: "pages".into(), fallback: None, immutable: None });
        let paths = HostRoutes::from([("/".to_owned(), files()), ("/docs/".to_owned(), files())]);
        house.routes = BTreeMap::from([("test.example".to_owned(), paths)]);
        let places = Places::new("/state", "/run/test");
        let snapshot = build(&house, Path::new("/plan"), &places, &Addresses::default(), &BTreeMap::new());
        let strips: Vec<_> = snapshot.hosts["test.example"]
            .iter()
            .map(|route| (route.prefix.as_str(), route.strip.as_deref()))
            .collect();
        assert_eq!(strips, [("/", None), ("/docs/", Some("/docs/"))]);
    }
}
