//! What hosts, groups, networks and deployments of a plan become.

use crate::fixtures::load_fixture;
use haus_houseplan::{MemoryFiles, Style, load, render};
use haus_model::deployment::{BuildTool, CodeSource, Overlap, UnitType};
use haus_model::host::{
    Architecture, Connect, Elevation, FileSource, FirewallRule, Host, Protocol, Reaction, RootLogin,
};
use haus_model::route::RouteTarget;
use haus_model::service::{Restart, RunsAs, Service};
use haus_model::{House, StageName};
use std::path::{Path, PathBuf};

fn stages(name: &str) -> std::collections::BTreeMap<StageName, House> {
    let loaded = load_fixture(name);
    let drawn = render(&loaded.findings, &loaded.sources, Style::default());
    loaded.plan.unwrap_or_else(|| panic!("{drawn}")).stages
}

fn house(stage: &str) -> House {
    stages("hosts-clean").remove(&stage.parse::<StageName>().unwrap()).unwrap()
}

fn host<'a>(house: &'a House, name: &str) -> &'a Host {
    &house.hosts[&name.parse::<haus_model::HostName>().unwrap()]
}

fn service<'a>(house: &'a House, name: &str) -> &'a Service {
    &house.services[&name.parse::<haus_model::ServiceName>().unwrap()]
}

/// A plan with one host `web` in the groups `one` and `two`, and what became of that host.
fn merged(rest: &str) -> Host {
    let plan = format!("haus: 1\nhouse: sample\n{rest}");
    let loaded = load(Path::new("house.yaml"), &MemoryFiles::new().with("house.yaml", plan));
    let drawn = render(&loaded.findings, &loaded.sources, Style::default());
    let house = loaded.plan.unwrap_or_else(|| panic!("{drawn}")).stages.into_values().next().unwrap();
    host(&house, "web").clone()
}

#[test]
fn stages_say_where_a_host_is_and_nothing_else() {
    let (staging, production) = (house("staging"), house("production"));
    let (here, there) = (host(&staging, "web"), host(&production, "web"));
    let ssh = |host: &str, port| Connect::Ssh { user: Some("deploy".into()), host: host.into(), port };
    assert_eq!(here.connect, ssh("web.staging.example", Some(22)));
    assert_eq!(there.connect, ssh("web.example", None));
    assert_eq!((here.os.as_deref(), there.os.as_deref()), (Some("debian-13"), Some("debian-12")));
    assert_eq!((here.address.as_str(), there.address.as_str()), ("10.20.0.105", "10.20.0.5"));
    // Only one of the two networks is said again.
    assert_eq!(here.networks.len(), 2);
    assert_eq!(here.settings.packages, there.settings.packages);
    let db = host(&staging, "db");
    assert_eq!(db.connect, Connect::Incus { instance: "db".into(), project: Some("lab".into()) });
    assert_eq!((db.elevation, db.architecture), (Elevation::None, Some(Architecture::Amd64)));
    assert_eq!(host(&production, "db").architecture, Some(Architecture::Arm64));
    assert_eq!(host(&production, "db").address, "db.sample.example");
    assert_eq!(host(&production, "desk").address, "127.0.0.1");
}

#[test]
fn lists_are_united_and_the_nearest_value_counts() {
    let host = merged(
        r#"
packages: [curl]
firewall: { allow: [ 22/tcp ], ping: false }
groups:
  one: { packages: [vim], sshd: { passwords: false, ports: [22] }, journal: { max: 1GiB, keep: 36h }, elevation: sudo, hosts_file: true }
  two: { packages: [vim, git], sshd: { ports: [2200], allow_users: [a] }, journal: { keep: 3d }, upgrades: { reboot: "04:00" }, time: { servers: [a.example] } }
hosts:
  web:
    connect: ssh://a@web:2200
    groups: [one, two]
    packages: [nginx]
    elevation: none
    firewall: { allow: [ 22/tcp, 2200/tcp ] }
    sshd: { root: no, ports: [22] }
    upgrades: { enabled: false }
    time: { servers: [b.example, a.example], zone: UTC }
"#,
    );
    let settings = host.settings;
    assert_eq!(
        settings.packages.iter().map(String::as_str).collect::<Vec<_>>(),
        ["curl", "git", "nginx", "vim"]
    );
    assert_eq!(host.elevation, Elevation::None);
    assert!(settings.hosts_file);
    let firewall = settings.firewall.unwrap();
    assert_eq!(firewall.allow.iter().map(|rule| rule.port).collect::<Vec<_>>(), [22, 2200]);
    assert!(!firewall.ping);
    let sshd = settings.sshd.unwrap();
    assert_eq!((sshd.ports, sshd.passwords, sshd.root), (vec![22, 2200], Some(false), Some(RootLogin::No)));
    let journal = settings.journal.unwrap();
    assert_eq!((journal.bytes_max, journal.days_max), (Some(1 << 30), Some(3)));
    let upgrades = settings.upgrades.unwrap();
    assert_eq!((upgrades.enabled, upgrades.reboot_at.as_deref()), (false, Some("04:00")));
    let time = settings.time.unwrap();
    assert_eq!(
        (time.servers, time.zone.as_deref()),
        (vec!["a.example".to_owned(), "b.example".into()], Some("UTC"))
    );
}

#[test]
fn the_nearest_entry_with_a_path_replaces_the_others_whole() {
    let host = merged(
        r#"
groups:
  one: { files: { /a: { text: one, mode: "0600" }, /b: { text: one } }, sysctl: { net.a.b: 1 } }
  two: { files: { /a: { text: two } }, sysctl: { net.a.b: 2, net.a.c: 3 } }
hosts:
  web: { connect: ssh://web, groups: [one, two], files: { /b: { text: own, owner: app } } }
"#,
    );
    let file = |path: &str| &host.settings.files[Path::new(path)];
    assert_eq!((&file("/a").source, file("/a").access.mode), (&FileSource::Text("two".into()), 0o644));
    let b = file("/b");
    assert_eq!(
        (&b.source, b.access.owner.as_str(), b.access.group.as_str()),
        (&FileSource::Text("own".into()), "app", "app")
    );
    assert_eq!(host.settings.sysctl["net.a.b"], "2");
    assert_eq!(host.settings.sysctl.len(), 2);
}

#[test]
fn accounts_grow_from_layer_to_layer() {
    let key = |name: &str| format!("ssh-ed25519 AAAAC3Nza {name}");
    let host = merged(&format!(
        r#"
groups:
  one: {{ accounts: {{ deploy: {{ keys: ["{}"], groups: [sudo], shell: /bin/sh }} }} }}
  two: {{ accounts: {{ deploy: {{ keys: ["{}", "{}"] }} }} }}
hosts:
  web: {{ connect: ssh://deploy@web, groups: [one, two], accounts: {{ deploy: {{ groups: [adm], shell: /bin/zsh }}, app: {{ system: true }} }} }}
"#,
        key("a"),
        key("a"),
        key("b")
    ));
    let deploy = &host.settings.accounts["deploy"];
    assert_eq!(deploy.keys.as_deref(), Some(&[key("a"), key("b")][..]));
    assert_eq!(deploy.groups.iter().map(String::as_str).collect::<Vec<_>>(), ["adm", "sudo"]);
    assert_eq!(deploy.shell.as_deref(), Some(Path::new("/bin/zsh")));
    let app = &host.settings.accounts["app"];
    assert!(app.system && app.keys.is_none());
}

#[test]
fn rules_name_ranges_and_addresses_in_the_end() {
    let house = house("production");
    let rules = &host(&house, "web").settings.firewall.as_ref().unwrap().allow;
    let rule = |port, from: &[&str], why: &str| FirewallRule {
        protocol: Protocol::Tcp,
        port,
        from: from.iter().map(|&from| from.to_owned()).collect(),
        why: why.to_owned(),
    };
    let expected = [
        rule(22, &[], "22/tcp"),
        rule(80, &[], "80/tcp"),
        rule(443, &[], "the world"),
        rule(8000, &["10.20.0.0/24", "10.0.0.0/8"], "8000/tcp"),
    ];
    assert_eq!(rules, &expected);
    let db = host(&house, "db").settings.firewall.as_ref().unwrap();
    assert_eq!(db.allow[1], rule(5432, &["10.20.0.5", "fd00:20::5"], "the API"));
    assert!(db.ping);
}

#[test]
fn texts_and_templates_are_filled_in_for_each_host() {
    let house = house("production");
    let settings = &host(&house, "web").settings;
    let text = |path: &str| match &settings.files[Path::new(path)].source {
        FileSource::Text(text) => text.clone(),
        FileSource::From(_) | FileSource::Template(_) | FileSource::Credential(_) => {
            panic!("{path} is a text")
        }
    };
    assert_eq!(text("/etc/motd"), "sample production on web at info\n");
    let conf = "domain = app.example\ndb = 10.20.0.6:5432\nme = web 10.20.0.5\nplain = $${kept}\n";
    assert_eq!(text("/etc/app.conf"), conf);
    let conf = &settings.files[Path::new("/etc/app.conf")];
    assert_eq!(conf.check.as_deref().unwrap(), ["app", "--check", "{}"]);
    let reactions = [Reaction::Reload("nginx.service".into()), Reaction::Restart("app.service".into())];
    assert_eq!((conf.then.as_slice(), conf.access.mode), (&reactions[..], 0o640));
    assert_eq!(settings.files[Path::new("/etc/logo.png")].source, FileSource::From("logo.png".into()));
    let FileSource::Text(site) = &settings.nginx["site"].source else { panic!("a text") };
    assert!(site.contains("proxy_pass http://127.0.0.1:8000;"), "{site}");
    let keys = settings.accounts["deploy"].keys.as_ref().unwrap();
    assert_eq!(keys.len(), 1, "comments and empty lines are no keys");
}

#[test]
fn a_service_says_where_it_lives_and_how_it_gets_there() {
    let house = house("production");
    let api = service(&house, "api");
    let deployment = api.deployment.as_ref().unwrap();
    assert_eq!((api.runs_as, api.folder.as_path()), (RunsAs::Systemd, Path::new("server")));
    let source =
        CodeSource::Git { url: "https://git.example/app.git".into(), reference: "rc-2026-03-01".into() };
    assert_eq!(deployment.source, Some(source));
    let steps: Vec<_> =
        deployment.build.iter().map(|step| (step.folder.clone(), step.tool.clone())).collect();
    let make = ["make", "DOMAIN=app.example", "api"].map(str::to_owned).to_vec();
    let expected = [
        (PathBuf::from("server"), BuildTool::Python { lock: "poetry.lock".into() }),
        (PathBuf::from("packages/web"), BuildTool::Npm { run: Some("build".into()) }),
        (PathBuf::new(), BuildTool::Run(make)),
    ];
    assert_eq!(steps, expected);
    assert_eq!((deployment.keep, deployment.overlap), (2, Overlap::Unsafe));
    assert!(deployment.unit.socket && deployment.unit.capabilities.contains("CAP_NET_BIND_SERVICE"));
    let words: Vec<String> = api.run.iter().map(ToString::to_string).collect();
    assert_eq!(
        words[6..],
        ["--db", "${store.address}:${store.port}", "--peer", "10.20.0.6", "--name", "web"]
    );
    assert_eq!(service(&house, "store").address, "10.20.0.6");
    let report = service(&house, "report").deployment.as_ref().unwrap();
    assert_eq!((report.on.len(), report.unit.kind, report.keep), (2, UnitType::Oneshot, 3));
    let api = service(&house, "house-api");
    assert_eq!((api.runs_as, api.deployment.as_ref().unwrap().on[0].as_str()), (RunsAs::Coordinator, "web"));
    assert_eq!(service(&house, "here").deployment, None);
    let RouteTarget::Files { root, .. } = &house.routes["app.example"]["/"].target else { panic!("files") };
    assert_eq!(root, Path::new("/srv/sample/api/current/packages/web/dist"));
}

#[test]
fn a_stage_without_hosts_runs_everything_in_front_of_you() {
    let plan = r#"
haus: 1
house: sample
networks: { lan: 10.20.0.0/24 }
stages: { local: { hosts: none }, production: {} }
hosts: { web: { connect: ssh://web, networks: { lan: 10.20.0.5 } } }
services:
  api:
    as: systemd
    on: web
    source: { folder: app }
    in: server
    run: serve ${host} ${host.web.address} ${host.web.lan}
    address: lan
    health: { process: true }
    limits: {}
  night: { as: systemd, on: web, source: { folder: app }, run: bin/night, limits: {}, unit: { calendar: daily } }
routes: { "${domain}": { /: { files: dist, of: api } } }
accept: { HP0628: "the gateway is nginx" }
"#;
    let files = MemoryFiles::new().with("house.yaml", plan).with("app/x", "x");
    let loaded = load(Path::new("house.yaml"), &files);
    let drawn = render(&loaded.findings, &loaded.sources, Style::default());
    let stages = loaded.plan.unwrap_or_else(|| panic!("{drawn}")).stages;
    let house = &stages[&"local".parse::<StageName>().unwrap()];
    assert!(house.hosts.is_empty() && house.networks.is_empty());
    let api = service(house, "api");
    assert_eq!((api.runs_as, &api.deployment, api.address.as_str()), (RunsAs::Process, &None, "127.0.0.1"));
    assert_eq!(api.folder, Path::new("app/server"));
    let words: Vec<String> = api.run.iter().map(ToString::to_string).collect();
    assert_eq!(words, ["serve", "web", "127.0.0.1", "127.0.0.1"]);
    assert_eq!(service(house, "night").recover.restart, Restart::Never);
    let root = |house: &House| match &house.routes["sample.localhost"]["/"].target {
        RouteTarget::Files { root, .. } => root.clone(),
        RouteTarget::Service { .. } | RouteTarget::Coordinator => panic!("files"),
    };
    assert_eq!(root(house), Path::new("app/dist"));
    let house = &stages[&"production".parse::<StageName>().unwrap()];
    assert_eq!(service(house, "api").folder, Path::new("server"));
    assert_eq!(service(house, "api").address, "10.20.0.5");
    assert_eq!(root(house), Path::new("/srv/sample/api/current/dist"));
}
