//! Any bytes: never a panic, every place inside its file, and no plan beside an error.

use haus_houseplan::{Loaded, MemoryFiles, Style, load, render, to_json};
use haus_model::{Place, Severity};
use proptest::prelude::*;
use std::path::Path;

/// What must hold for every input; the fuzz target and the corpus test ask the same.
pub(crate) fn check(content: &[u8]) -> Loaded {
    let files = MemoryFiles::new().with("house.yaml", content);
    let loaded = load(Path::new("house.yaml"), &files);
    let in_bounds = |place: &Place| {
        let source = loaded.sources.iter().find(|source| source.path == place.file).unwrap();
        assert!(place.line > 0 && place.column > 0, "{place:?}");
        assert!(source.text.get(place.start..place.end).is_some(), "{place:?}");
    };
    for finding in &loaded.findings {
        finding.place.iter().for_each(in_bounds);
        finding.related.iter().for_each(|(place, _)| in_bounds(place));
    }
    assert_eq!(loaded.plan.is_none(), loaded.count(Severity::Error) > 0, "{:?}", loaded.findings);
    let drawn = render(&loaded.findings, &loaded.sources, Style { color: false, width: 80 });
    assert_eq!(drawn.is_empty(), loaded.findings.is_empty());
    assert!(to_json(&loaded).is_object());
    loaded
}

/// Pieces that plans are made of, and some that they are not.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "haus: 1\n",
            "house: a\n",
            "services:\n",
            "  web:\n",
            "    run: a ${port} b\n",
            "    ports: { http: auto }\n",
            "    health: { get: / }\n",
            "    needs: [web]\n",
            "    env: { PASSWORD: x, A: \"${web.port}\" }\n",
            "    data: [a, b]\n",
            "    config: { a: [1, 2.5, true, null] }\n",
            "    instances: 3\n",
            "routes:\n",
            "  \"${domain}\": web\n",
            "credentials:\n",
            "  key: { length: 32 }\n",
            "  key: { given: true, rotate: 9d, overlap: 9d, ttl: 1d, rotator: { redis: web } }\n",
            "api: { heartbeat: 1s, keep_trail: 2y }\n",
            "alerts:\n",
            "  to: { a: { webhook: \"http://x\", secret: key } }\n",
            "  to: { a: { mail: [a@b], sender: a@b, password: key, user: u } }\n",
            "maintenance: { a: { at: 02:00, for: 1d, reason: x } }\n",
            "    as: external\n",
            "    on_new_credential: { signal: HUP }\n",
            "stages: { a: {}, b: { domain: x.y } }\n",
            "include: [house.yaml]\n",
            "vars: { x: 1 }\n",
            "accept: { HP0105: why }\n",
            "gateway: { listen: \"*:80\" }\n",
            "networks: { lan: 10.0.0.0/24, b: { range: \"fd00::/8\" } }\n",
            "firewall: { allow: [ 22/tcp, { port: 80, from: [lan, one, 10.0.0.1] } ], ping: true }\n",
            "packages: [curl]\n",
            "groups:\n",
            "  group: { hold: [linux-*], sshd: { root: no, ports: [22] }, accept: { HP0616: x } }\n",
            "hosts:\n",
            "  one: { connect: ssh://a@b:22, networks: { lan: 10.0.0.5 }, groups: [group] }\n",
            "  two: { connect: local, files: { /a: { text: \"${host} ${web.port}\" }, /b: { template: t } } }\n",
            "    connect: incus:x\n",
            "    files: { /a: { credential: key, mode: \"0644\", then: [reload a.service] } }\n",
            "    steps: { a: { run: a, unless: b } }\n",
            "    units: { a.timer: { enabled: true } }\n",
            "    as: systemd\n",
            "    on: one\n",
            "    on: [one, two]\n",
            "    address: lan\n",
            "    source: { folder: . }\n",
            "    source: { git: a@b:c, ref: d }\n",
            "    build: [ { python: x }, { npm: ci, script: y }, { run: z } ]\n",
            "    unit: { calendar: daily, socket: true }\n",
            "stages: { a: { hosts: none }, b: { hosts: { one: { connect: ssh://c } } } }\n",
        ])
        .prop_map(str::to_owned),
        prop::sample::select(vec![
            "\t",
            "- ",
            "? ",
            ": ",
            "{",
            "}",
            "[",
            "]",
            "&a ",
            "*a",
            "!!str ",
            "|\n",
            ">\n",
            "\"",
            "'",
            "#",
            "\n",
            "  ",
            "---\n",
            "...\n",
            "%YAML 1.2\n",
            "<<: *a\n",
            "${",
            "$${",
            "}",
            "~",
            "0.0.0.0",
            "localhost",
            "é",
            "\u{feff}",
            "\r\n",
            "\0",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_bytes_are_borne(content in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&content);
    }

    #[test]
    fn any_mixture_of_plan_pieces_is_borne(pieces in prop::collection::vec(piece(), 0..30)) {
        check(pieces.concat().as_bytes());
    }

    #[test]
    fn a_sound_plan_survives(
        names in prop::collection::btree_set("[a-z][a-z0-9]{0,8}", 1..8),
        port in 1024_u16..,
        every in 5_u32..600,
    ) {
        prop_assume!(["haus", "port", "data"].iter().all(|taken| !names.contains(*taken)) && port != 8080);
        let mut plan = String::from("haus: 1\nhouse: sample\nservices:\n");
        let mut before: Option<&String> = None;
        for (at, name) in names.iter().enumerate() {
            let number = if at == 0 { port.to_string() } else { "auto".to_owned() };
            let (needs, env) = match before {
                Some(other) => (other.clone(), format!("{{ OTHER: \"http://${{{other}.address}}:${{{other}.port}}\" }}")),
                None => (String::new(), "{}".to_owned()),
            };
            plan.push_str(&format!(
                "  {name}:\n    run: serve ${{port}}\n    ports: {{ http: {number} }}\n    health: {{ get: /, every: {every}s }}\n    limits: {{}}\n    needs: [{needs}]\n    env: {env}\n"
            ));
            before = Some(name);
        }
        let loaded = check(plan.as_bytes());
        prop_assert!(loaded.findings.is_empty(), "{plan}\n{:?}", loaded.findings);
        let house = loaded.plan.unwrap().stages.into_values().next().unwrap();
        let found: Vec<&str> = house.services.keys().map(haus_model::ServiceName::as_str).collect();
        prop_assert!(found.into_iter().eq(names.iter().map(String::as_str)));
    }

    /// The order in a file never matters, however layers are spread over it.
    #[test]
    fn the_order_of_hosts_and_groups_changes_nothing(order in Just(PARTS.to_vec()).prop_shuffle()) {
        let plan = |parts: &[&str]| format!("haus: 1\nhouse: sample\n{}", parts.concat());
        let house = |text: String| {
            let loaded = check(text.as_bytes());
            prop_assert!(loaded.plan.is_some(), "{text}\n{:?}", loaded.findings);
            Ok(loaded.plan.unwrap().stages)
        };
        prop_assert_eq!(house(plan(&order))?, house(plan(PARTS))?);
    }
}

/// Parts of one plan that may stand in any order.
const PARTS: &[&str] = &[
    "packages: [curl]\n",
    "firewall: { allow: [ 22/tcp ] }\n",
    "networks: { lan: 10.0.0.0/24, far: 10.1.0.0/24 }\n",
    "groups:\n  a: { packages: [vim], sysctl: { net.a.b: 1 } }\n  b: { sysctl: { net.a.b: 2 } }\n",
    "hosts:\n  web: { connect: ssh://a@web, networks: { lan: 10.0.0.5 }, groups: [a, b] }\n  db: { connect: ssh://a@db, networks: { far: 10.1.0.5 }, groups: [b, a] }\n",
    "services:\n  api: { as: systemd, on: [db, web], run: a, health: { process: true }, limits: {} }\n",
    "vars: { x: 1 }\n",
];
