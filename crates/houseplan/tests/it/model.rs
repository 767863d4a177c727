//! What a plan becomes: defaults, variables, paths, stages.

use haus_houseplan::{Loaded, MemoryFiles, Style, load, render};
use haus_model::alert::{AlertLevel, MailTls, Road, Weekday};
use haus_model::health::ProbeKind;
use haus_model::json::Json;
use haus_model::route::RouteTarget;
use haus_model::service::{NewCredential, PortNumber, ReloadSignal, Rollout, RunsAs, StopSignal};
use haus_model::template::{Piece, Variable};
use haus_model::{Credential, CredentialKind, CredentialSource, House, Rotator, ServiceName};
use std::path::Path;
use std::time::Duration;

const PLAN: &str = r#"
haus: 1
house: sample
title: 1.2
include: [rooms/api.yaml]
vars: { days: 14, level: info }
stages:
  staging: { domain: Staging.example, vars: { level: debug } }
  production: { domain: app.example, gateway: { listen: 127.0.0.1:8081, retries: 0 } }
gateway: { listen: "127.0.0.1:8080", timeout: 5s }
services:
  web:
    run: serve --port ${port} --days ${days} 'two words' $${kept}
    ports: { http: auto, admin: 9000 }
    health: { get: "/health?stage=${stage}" }
    env: { LEVEL: "${level}", COUNT: 3, MIX: "a${port.admin}b" }
    data: { server/db: db, ./server/files/: files }
    config: { name: "${house}", port: "${port}", list: [1, 1.5, true, null, "x"] }
    credentials: { KEY: key, CACHE: cache-key, ROW: row-key, AGAIN: key }
    on_new_credential: { signal: USR1 }
    rollout: hold
    limits: { memory: 16MiB, cpu: 0.5, tasks: 4, files: 64, log: 1kB }
    stop: { signal: INT, within: 2s }
  house-api:
    as: coordinator
    ports: { http: 8000 }
routes:
  "${domain}":
    /api/: { to: api:main, strip: /api, max_body: 1MiB, timeout: 1s, deny_headers: [X-Role], headers: { X-A: b } }
    /own: { to: haus }
    /: { files: dist, fallback: index.html, immutable: /assets/ }
  "api.${domain}": house-api
api: { keep_history: 36h, keep_trail: 2y }
alerts:
  repeat: never
  to:
    bus: { mqtt: "[::1]:1883", services: [web] }
    relay: { mail: [a@b.example], sender: c@b.example }
    far: { mail: [a@b.example], sender: c@b.example, server: "mail.example:587", level: critical }
maintenance:
  updates: { days: [sun, wed, sun], at: "02:30", for: 90m, reason: "updates" }
credentials:
  key: { length: 48, rotate: 90d }
  cache-key: { length: 32, type: database, ttl: 400d, rotator: { redis: web } }
  row-key: { given: true, rotator: { postgres: web, role: owner } }
  unused-file: { file: ../keys/x, scope: [web], reason: "an example" }
"#;

const API: &str = r#"
services:
  api:
    run: [serve, "${port.main}", "${web.address}:${web.port.admin}", 7]
    in: app
    prepare: ["make all", [make, more things]]
    instances: 2
    needs: [web]
    ports: { main: auto, other: auto }
    health: { tcp: main, every: 1m }
"#;

fn loaded() -> Loaded {
    load(
        Path::new("plan"),
        &MemoryFiles::new().with("plan/house.yaml", PLAN).with("plan/rooms/api.yaml", API),
    )
}

fn house(stage: &str) -> House {
    let loaded = loaded();
    let drawn = render(&loaded.findings, &loaded.sources, Style::default());
    let mut stages = loaded.plan.unwrap_or_else(|| panic!("{drawn}")).stages;
    stages.remove(&stage.parse::<haus_model::StageName>().unwrap()).unwrap()
}

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

#[test]
fn stages_differ_only_in_what_they_say() {
    let (staging, production) = (house("staging"), house("production"));
    assert_eq!((staging.domain.as_str(), production.domain.as_str()), ("staging.example", "app.example"));
    assert_eq!((staging.gateway.listen.port(), production.gateway.listen.port()), (8080, 8081));
    assert_eq!((staging.gateway.retries, production.gateway.retries), (2, 0));
    assert_eq!(staging.gateway.timeout, production.gateway.timeout);
    let level = |house: &House| house.services[&name("web")].env["LEVEL"].to_string();
    assert_eq!((level(&staging), level(&production)), ("debug".to_owned(), "info".to_owned()));
    assert_eq!(staging.title.as_deref(), Some("1.2"));
}

#[test]
fn commands_are_split_and_known_variables_filled_in() {
    let house = house("production");
    let web = &house.services[&name("web")];
    let words: Vec<String> = web.run.iter().map(ToString::to_string).collect();
    assert_eq!(words, ["serve", "--port", "${port}", "--days", "14", "two words", "$${kept}"]);
    assert_eq!(web.run[2].pieces, [Piece::Variable(Variable::Port(None))]);
    assert_eq!(web.env["COUNT"].to_string(), "3");
    assert_eq!(web.env["MIX"].to_string(), "a${port.admin}b");
    let api = &house.services[&name("api")];
    assert_eq!(api.run[2].to_string(), "${web.address}:${web.port.admin}");
    assert_eq!(api.run[3].to_string(), "7");
    assert_eq!(api.prepare.len(), 2);
    assert_eq!(api.prepare[1][1].to_string(), "more things");
}

#[test]
fn defaults_are_filled_in() {
    let house = house("production");
    let (web, api) = (&house.services[&name("web")], &house.services[&name("api")]);
    assert_eq!((web.rollout, api.rollout), (Rollout::Hold, Rollout::Rolling));
    assert_eq!((web.address.as_str(), web.instances, api.instances), ("127.0.0.1", 1, 2));
    assert_eq!(web.ports["admin"], PortNumber::Fixed(9000));
    assert_eq!((web.stop.signal, web.stop.within), (StopSignal::Int, Duration::from_secs(2)));
    assert_eq!((web.limits.cpu_milli, web.limits.log_bytes), (Some(500), Some(1_000)));
    let health = api.health.as_ref().unwrap();
    assert_eq!((health.every, health.timeout), (Duration::from_secs(60), Duration::from_secs(5)));
    assert_eq!(health.probe, ProbeKind::Tcp { port: Some("main".parse().unwrap()) });
    assert_eq!(house.services[&name("house-api")].runs_as, RunsAs::Coordinator);
}

#[test]
fn paths_are_relative_to_the_plan_whichever_file_says_them() {
    let house = house("production");
    assert_eq!(house.services[&name("web")].folder, Path::new("."));
    assert_eq!(house.services[&name("api")].folder, Path::new("rooms/app"));
    let web = &house.services[&name("web")];
    assert_eq!(web.data, ["db", "files"]);
    assert_eq!(web.links["server/files"], "files");
    let file = &house.credentials[&"unused-file".parse::<haus_model::CredentialName>().unwrap()].source;
    assert_eq!(*file, CredentialSource::File { path: "../keys/x".into() });
}

#[test]
fn routes_lead_where_they_say() {
    let house = house("production");
    let paths = &house.routes["app.example"];
    let api = &paths["/api/"];
    let service = RouteTarget::Service { service: name("api"), port: Some("main".parse().unwrap()) };
    assert_eq!(api.target, service);
    assert_eq!((api.strip.as_deref(), api.max_body_bytes), (Some("/api"), Some(1 << 20)));
    assert_eq!(paths["/own"].target, RouteTarget::Coordinator);
    assert_eq!(house.routes["api.app.example"]["/"].target, RouteTarget::Coordinator);
    let RouteTarget::Files { root, fallback, immutable } = &paths["/"].target else { panic!("files") };
    assert_eq!((root.as_path(), fallback.as_deref()), (Path::new("dist"), Some("index.html")));
    assert_eq!(immutable.as_deref(), Some("/assets/"));
}

#[test]
fn config_keeps_its_types_and_credentials_their_users() {
    let house = house("production");
    let Some(Json::Object(config)) = &house.services[&name("web")].config else { panic!("config") };
    assert_eq!(config["name"], Json::Text("sample".into()));
    assert_eq!(config["port"], Json::Text("${port}".into()));
    let list = [Json::Integer(1), Json::Float(1.5), Json::Bool(true), Json::Null, Json::Text("x".into())];
    assert_eq!(config["list"], Json::List(list.into()));
    let key = &house.credentials[&"key".parse::<haus_model::CredentialName>().unwrap()];
    assert_eq!((key.scope.as_slice(), key.rotate_days), (&[name("web")][..], Some(90)));
}

fn credential(house: &House, name: &str) -> Credential {
    house.credentials[&name.parse::<haus_model::CredentialName>().unwrap()].clone()
}

#[test]
fn credentials_have_the_rotation_that_their_server_can_bear() {
    let house = house("production");
    let cache = credential(&house, "cache-key");
    assert_eq!(cache.kind, CredentialKind::Database);
    assert_eq!(cache.rotator, Some(Rotator::Redis { service: name("web"), user: "default".into() }));
    assert_eq!(cache.overlap, Duration::from_secs(600));
    assert_eq!(cache.ttl, Some(Duration::from_secs(400 * 86_400)));
    let row = credential(&house, "row-key");
    assert_eq!((row.source, row.overlap), (CredentialSource::Given, Duration::ZERO));
    let rotator = Rotator::Postgres { service: name("web"), role: "owner".into(), database: "owner".into() };
    assert_eq!(row.rotator, Some(rotator));
    let key = credential(&house, "key");
    assert_eq!((key.kind, key.rotator, key.ttl), (CredentialKind::Custom, None, None));
    // Two file names are still one service.
    assert_eq!(key.scope, [name("web")]);
    assert_eq!(house.services[&name("web")].new_credential, NewCredential::Signal(ReloadSignal::Usr1));
    assert_eq!(house.services[&name("api")].new_credential, NewCredential::Restart);
}

#[test]
fn alerts_and_the_api_have_their_defaults() {
    let house = house("production");
    assert_eq!((house.api.trail_days, house.api.history_days), (Some(730), 2));
    assert_eq!(house.api.heartbeat, Duration::from_secs(30));
    assert_eq!((house.alerts.after, house.alerts.repeat), (Duration::from_secs(60), None));
    let [bus, relay, far] = house.alerts.receivers.as_slice() else { panic!("three receivers") };
    assert_eq!((bus.from, bus.services.as_slice()), (AlertLevel::Warning, &[name("web")][..]));
    let Road::Mqtt { host, port, topic, .. } = &bus.road else { panic!("mqtt") };
    assert_eq!((host.as_str(), *port, topic.as_str()), ("::1", 1883, "haus/sample/alerts"));
    let mail = |road: &Road| match road {
        Road::Mail { host, port, tls, .. } => (host.clone(), *port, *tls),
        Road::Webhook { .. } | Road::Mqtt { .. } => panic!("mail"),
    };
    assert_eq!(mail(&relay.road), ("127.0.0.1".to_owned(), 25, MailTls::None));
    assert_eq!(mail(&far.road), ("mail.example".to_owned(), 587, MailTls::Starttls));
    assert_eq!(far.from, AlertLevel::Critical);
}

#[test]
fn maintenance_is_in_the_order_of_the_week() {
    let house = house("staging");
    let [updates] = house.maintenance.as_slice() else { panic!("one maintenance") };
    assert_eq!(updates.days, [Weekday::Wed, Weekday::Sun]);
    assert_eq!((updates.at_minute, updates.lasts), (150, Duration::from_secs(5_400)));
    assert_eq!((updates.name.as_str(), updates.why.as_str()), ("updates", "updates"));
    assert_eq!(updates.services, []);
}
