//! Measures `load` on a plan of many services: `cargo run --release --example measure [SERVICES]`.

use haus_houseplan::{MemoryFiles, Style, load, render};
use haus_model::Severity;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

const RUNS: usize = 9;

fn main() {
    let services: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(10_000);
    let text = plan(services);
    let bytes = text.len();
    let files = MemoryFiles::new().with("house/house.yaml", text);
    let mut times: Vec<u128> = Vec::new();
    let mut loaded = load(Path::new("house"), &files);
    for _ in 0..RUNS {
        let begin = Instant::now();
        let next = load(Path::new("house"), &files);
        times.push(begin.elapsed().as_micros());
        loaded = next;
    }
    times.sort_unstable();
    let begin = Instant::now();
    let drawn = render(&loaded.findings, &loaded.sources, Style::default());
    let drawing_us = begin.elapsed().as_micros();
    let (errors, warnings) = (loaded.count(Severity::Error), loaded.count(Severity::Warning));
    assert!(loaded.plan.is_some(), "the measured plan is sound");
    #[expect(clippy::print_stdout, reason = "printing is what this program is for")]
    {
        println!(
            "{services} services, {bytes} bytes, {errors} errors, {warnings} warnings: median {} us, least {} us; drawing {} bytes {drawing_us} us",
            times[RUNS / 2],
            times[0],
            drawn.len(),
        );
    }
}

/// A plan of services of about 200 bytes, each of which needs the one before.
fn plan(services: usize) -> String {
    let mut text = String::from("haus: 1\nhouse: large\nservices:\n");
    for at in 0..services {
        let needs = if at == 0 { String::new() } else { format!("service-{:05}", at - 1) };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "  service-{at:05}:\n    run: python3 -m http.server ${{port}}\n    ports: {{ http: auto }}\n    \
             health: {{ get: /health, every: 30s }}\n    limits: {{ memory: 64MiB }}\n    \
             env: {{ LEVEL: info }}\n    needs: [{needs}]\n"
        );
    }
    text
}
