//! `haus check` on generated houses of 1,000, 5,000 and 10,000 services beside PyYAML's C loader and `docker
//! compose config` on the same amount of text, and on each house of this repository. The peers do less: they
//! only parse, or only validate.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::measure::{median, wall_ms};
use super::{ROUNDS, Report};
use crate::error::TaskError;

const NAME: &str = "check";
const SIZES: [usize; 3] = [1_000, 5_000, 10_000];
const PYTHON: &str = "/usr/bin/python3";
/// With libyaml, not the slow pure Python loader: the peer as somebody who knows it would use it.
const PARSE: &str = "import sys, yaml; yaml.load(open(sys.argv[1], 'rb'), Loader=yaml.CSafeLoader)";

pub(super) fn run(root: &Path, haus: &Path) -> Result<Report, TaskError> {
    let mut report = Report {
        title: "haus check",
        method: "Wall time from exec to exit, files cached, `haus check --format json` of a generated house \
            (about 200 bytes per service). Peers: `yaml.CSafeLoader` of Debian's python3-yaml on the same file, \
            which only parses; `docker compose config --quiet` on a compose file with as many services. \
            Medians of five."
            .to_owned(),
        columns: vec!["house", "services", "KiB", "haus check, ms", "µs per service", "PyYAML (C), ms", "compose config, ms"],
        rows: Vec::new(),
        notes: Vec::new(),
    };
    let python =
        wall_ms(NAME, Command::new(PYTHON).args(["-c", "import yaml; yaml.CSafeLoader"]), &[0]).is_ok();
    let compose = wall_ms(NAME, Command::new("docker").args(["compose", "version"]), &[0]).is_ok();
    for (there, peer) in [(python, "PyYAML with its C loader"), (compose, "docker compose")] {
        if !there {
            report.notes.push(format!("{peer} is not installed here, so its column is empty"));
        }
    }
    for services in SIZES {
        let folder =
            tempfile::tempdir().map_err(|source| TaskError::Write { path: "/tmp".into(), source })?;
        report.rows.push(generated(haus, folder.path(), services, python, compose)?);
    }
    for house in houses(root)? {
        report.rows.push(ours(haus, &house)?);
    }
    Ok(report)
}

/// One row: a generated house of this size, and the peers on the same amount of text.
fn generated(
    haus: &Path,
    folder: &Path,
    services: usize,
    python: bool,
    compose: bool,
) -> Result<Vec<String>, TaskError> {
    let (plan, compose_file) = (folder.join("house.yaml"), folder.join("compose.yaml"));
    let text = house(services);
    for (path, text) in [(&plan, &text), (&compose_file, &compose_house(services))] {
        std::fs::write(path, text).map_err(|source| TaskError::Write { path: path.clone(), source })?;
    }
    let (mut own, mut parsed, mut composed) = (Vec::new(), Vec::new(), Vec::new());
    // One round more, the first one only warms the caches; peers take turns, so that a busy moment hits all
    // alike.
    for round in 0..=ROUNDS {
        let mut check = Command::new(haus);
        let ms = wall_ms(NAME, check.arg("check").arg(&plan).args(["--format", "json"]), &[0, 1])?;
        let python_ms = if python {
            wall_ms(NAME, Command::new(PYTHON).args(["-c", PARSE]).arg(&plan), &[0])?
        } else {
            0.0
        };
        let mut config = Command::new("docker");
        config.args(["compose", "-f"]).arg(&compose_file).args(["config", "--quiet"]);
        let compose_ms = if compose { wall_ms(NAME, &mut config, &[0])? } else { 0.0 };
        if round > 0 {
            own.push(ms);
            parsed.push(python_ms);
            composed.push(compose_ms);
        }
    }
    let peer =
        |there: bool, values: &[f64]| if there { format!("{:.1}", median(values)) } else { "–".to_owned() };
    Ok(vec![
        "generated".to_owned(),
        services.to_string(),
        (text.len() / 1024).to_string(),
        format!("{:.1}", median(&own)),
        format!("{:.1}", median(&own) * 1000.0 / services as f64),
        peer(python, &parsed),
        peer(compose, &composed),
    ])
}

/// One row: a house of this repository. Findings are no failure here, only time is measured.
fn ours(haus: &Path, house: &Path) -> Result<Vec<String>, TaskError> {
    let mut times = Vec::new();
    for round in 0..=ROUNDS {
        let ms =
            wall_ms(NAME, Command::new(haus).arg("check").arg(house).args(["--format", "json"]), &[0, 1])?;
        if round > 0 {
            times.push(ms);
        }
    }
    let name =
        house.file_name().map_or_else(String::new, |name| format!("houses/{}", name.to_string_lossy()));
    let empty = || "–".to_owned();
    Ok(vec![name, empty(), empty(), format!("{:.1}", median(&times)), empty(), empty(), empty()])
}

fn houses(root: &Path) -> Result<Vec<std::path::PathBuf>, TaskError> {
    let folder = root.join("houses");
    let entries = std::fs::read_dir(&folder).map_err(|source| TaskError::Read { path: folder, source })?;
    let mut houses: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join("house.yaml").exists()).collect();
    houses.sort();
    Ok(houses)
}

/// A house whose services need each other like a tree, with variables, limits and health.
fn house(services: usize) -> String {
    let mut text = String::from(
        "haus: 1\nhouse: generated\ntitle: \"A generated house\"\nvars: { pause: infinity }\nservices:\n",
    );
    for number in 0..services {
        let _ = write!(
            text,
            "  svc-{number:05}:\n    about: \"service {number:05} of a generated house\"\n    run: /usr/bin/sleep ${{pause}}\n    \
             env: {{ STEP: \"{number:05}\" }}\n    health: {{ process: true }}\n    limits: {{ memory: 64MiB, tasks: 16 }}\n"
        );
        if number > 0 {
            let _ = writeln!(text, "    needs: [ svc-{:05} ]", number / 2);
        }
    }
    text
}

/// As many services of the same size in the language of the peer.
fn compose_house(services: usize) -> String {
    let mut text = String::from("name: generated\nservices:\n");
    for number in 0..services {
        let _ = write!(
            text,
            "  svc-{number:05}:\n    image: example/service:1\n    command: /usr/bin/sleep infinity\n    \
             environment: {{ STEP: \"{number:05}\" }}\n    healthcheck: {{ test: [CMD, /bin/true] }}\n    mem_limit: 64m\n"
        );
        if number > 0 {
            let _ = writeln!(text, "    depends_on: [ svc-{:05} ]", number / 2);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_service_has_about_200_bytes() {
        for generated in [house(1_000), compose_house(1_000)] {
            let each = generated.len() / 1_000;
            assert!((180..=230).contains(&each), "{each} bytes per service");
        }
    }

    #[test]
    fn no_generated_service_needs_itself_or_a_later_one() {
        let text = house(4);
        let needs: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("needs: ")).collect();
        assert_eq!(needs, ["[ svc-00000 ]", "[ svc-00001 ]", "[ svc-00001 ]"]);
    }
}
