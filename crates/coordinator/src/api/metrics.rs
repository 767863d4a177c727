//! `/metrics`: numbers for Prometheus, in the text format of OpenMetrics 1.0.
//!
//! Labels are names of the plan and words of ours, so that the number of series is bounded by the plan.

use super::{Caller, DeskState, Refusal, house};
use crate::desk::Desk;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use haus_api::status::HouseStatus;
use haus_api::{Problem, ProblemCode};
use haus_gateway::{BreakerView, Stats};
use haus_model::Timestamp;
use haus_model::health::HealthState;
use haus_store::{CredentialQuery, Ledger, SortBy, StoreError, TrailQuery};
use haus_trail::{Head, Verifier};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The media type of the format.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Entries at the end of the trail whose chain is looked at: enough to see damage where it is likely, quick
/// enough for each scrape. `haus trail verify` looks at all.
const ENTRIES_LOOKED_AT: usize = 256;

/// Credentials about to expire that are counted at most.
const EXPIRING_MAX: u64 = 1_000;

/// The spans that expiring credentials are counted for.
const WITHIN: [(&str, u64); 3] = [("1d", 1), ("7d", 7), ("30d", 30)];

/// The operations.
pub(super) fn operations() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Numbers about services, the gateway, credentials, the trail and this API.
#[utoipa::path(get, path = "/metrics", tag = "gateway-status", operation_id = "metrics",
    responses((status = 200, description = "OpenMetrics 1.0", body = String,
        content_type = "application/openmetrics-text")))]
async fn metrics(State(desk): DeskState, caller: Caller) -> Result<Response, Refusal> {
    desk.guard.oversee(&desk, &caller, "metrics").await?;
    let now = desk.clock.wall();
    let scrape = Scrape {
        house: house(&desk).await?,
        stats: desk.gateway.stats(),
        breakers: desk.gateway.breakers(),
        // Without a ledger its numbers are absent, and the first line of them says so.
        kept: desk.registrar.read(move |ledger| read(ledger, now)).await.ok(),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode_registry(&mut text, desk.meters.registry())
        .and_then(|()| encode_registry(&mut text, &registry))
        .and_then(|()| encode_eof(&mut text))
        .map_err(|_| Problem::new(ProblemCode::Internal, "the numbers cannot be written down"))?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

/// What the ledger tells.
#[derive(Debug)]
struct Kept {
    expiring: [(&'static str, u64); 3],
    chain_ok: bool,
}

fn read(ledger: &dyn Ledger, now: Timestamp) -> Result<Kept, StoreError> {
    let day = Duration::from_secs(24 * 60 * 60);
    let longest = now.after(day * 30);
    let query = CredentialQuery {
        expires_before: Some(longest),
        limit: EXPIRING_MAX,
        sort_by: SortBy::ExpiresAt,
        ..CredentialQuery::default()
    };
    let (rows, _) = ledger.credentials(&query)?;
    let within = |days: u64| {
        let end = now.after(Duration::from_secs(days * 24 * 60 * 60));
        rows.iter().filter(|row| row.expires_at.is_some_and(|at| at < end)).count() as u64
    };
    let expiring = WITHIN.map(|(name, days)| (name, within(days)));
    Ok(Kept { expiring, chain_ok: is_chained(ledger)? })
}

/// Whether the end of the trail is whole.
fn is_chained(ledger: &dyn Ledger) -> Result<bool, StoreError> {
    let query = TrailQuery { limit: ENTRIES_LOOKED_AT, newest_first: true, ..TrailQuery::default() };
    // Entries that cannot even be read are the very thing that is looked for.
    let mut entries = match ledger.trail(&query) {
        Ok(entries) => entries,
        Err(StoreError::Corrupt { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    entries.reverse();
    let Some(first) = entries.first() else { return Ok(true) };
    let mut verifier = Verifier::new(Head { seq: first.seq - 1, hash: first.prev });
    for entry in &entries {
        verifier.check(entry);
    }
    Ok(verifier.finish(None).is_sound())
}

/// Everything that is asked for at the moment of a scrape.
#[derive(Debug)]
struct Scrape {
    house: Arc<HouseStatus>,
    stats: Stats,
    breakers: Vec<BreakerView>,
    kept: Option<Kept>,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.services(&mut encoder)?;
        self.gateway(&mut encoder)?;
        self.ledger(&mut encoder)
    }
}

impl Scrape {
    fn services(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let states =
            [HealthState::Healthy, HealthState::Degraded, HealthState::Offline, HealthState::Unknown];
        let count = |state| self.house.services.iter().filter(|service| service.health == state).count();
        let counts = states.map(|state| ([("status", state.to_string())], count(state) as u64));
        gauges(encoder, "z13_services", "Services of the house by health", counts)
    }

    fn gateway(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let services = || self.stats.services.iter();
        let classes = services().flat_map(|(name, stats)| {
            stats
                .statuses
                .named()
                .map(|(class, count)| ([("service", name.clone()), ("code", class.to_owned())], count))
        });
        counters(
            encoder,
            "z13_gateway_requests",
            "Requests through the gateway by class of status",
            classes,
        )?;
        let retries = services().map(|(name, stats)| ([("service", name.clone())], stats.retries));
        counters(encoder, "z13_gateway_retries", "Further attempts of the gateway", retries)?;
        let help = "Time from a complete request to the end of its answer";
        let mut metric =
            encoder.encode_descriptor("z13_gateway_seconds", help, None, MetricType::Histogram)?;
        for (name, stats) in services() {
            let labels = [("service", name.clone())];
            let latency = stats.latency;
            let mut buckets: Vec<(f64, u64)> = Vec::new();
            let mut below = 0;
            for (bound, count) in latency.cumulative() {
                // The encoder adds up by itself.
                buckets.push((bound.as_secs_f64(), count - below));
                below = count;
            }
            buckets.push((f64::MAX, latency.count() - below));
            let (sum, count) = (latency.sum().as_secs_f64(), latency.count());
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        let names: BTreeSet<&String> = self.breakers.iter().map(|breaker| &breaker.service).collect();
        let mut counts: BTreeMap<(&String, &str), u64> = BTreeMap::new();
        for (name, state) in
            names.iter().flat_map(|name| ["closed", "half-open", "open"].map(|state| (*name, state)))
        {
            counts.insert((name, state), 0);
        }
        for breaker in &self.breakers {
            *counts.entry((&breaker.service, breaker.state)).or_default() += 1;
        }
        let counts = counts
            .into_iter()
            .map(|((name, state), count)| ([("service", name.clone()), ("state", state.to_owned())], count));
        gauges(encoder, "z13_breaker_state", "Instances by what their breaker does", counts)
    }

    fn ledger(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let none: [(&str, String); 0] = [];
        let readable = [(none.clone(), u64::from(self.kept.is_some()))];
        gauges(encoder, "z13_ledger_readable", "1 while credentials and trail can be read", readable)?;
        let writable = [(none.clone(), u64::from(self.house.store.writable))];
        gauges(encoder, "z13_store_writable", "1 while the database can be written", writable)?;
        let Some(kept) = &self.kept else { return Ok(()) };
        let expiring = kept.expiring.map(|(within, count)| ([("within", within.to_owned())], count));
        gauges(encoder, "z13_credential_expiring", "Credentials that expire within this span", expiring)?;
        let help = "1 while the last 256 entries of the audit trail are chained as they were written";
        gauges(encoder, "z13_audit_chain_ok", help, [(none, u64::from(kept.chain_ok))])
    }
}

type Labels<const COUNT: usize> = [(&'static str, String); COUNT];

fn gauges<const COUNT: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels<COUNT>, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        if COUNT == 0 {
            gauge.encode(metric)?;
            return Ok(());
        }
        gauge.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn counters<const COUNT: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels<COUNT>, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::fixture::{self, TestDesk};
    use axum::http::StatusCode;

    async fn scrape(desk: &TestDesk) -> String {
        let answer = desk.ask("GET", "/metrics", None, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
        answer.text
    }

    #[track_caller]
    fn check(text: &str, line: &str) {
        assert!(text.lines().any(|found| found == line), "`{line}` is not in\n{text}");
    }

    #[tokio::test]
    async fn numbers_have_the_names_and_labels_of_the_document() {
        let desk = TestDesk::of(fixture::house(vec![fixture::service("api", 1)]));
        desk.ask("GET", "/health", None, None).await;
        desk.ask("GET", "/nowhere/at/all", None, None).await;
        desk.ask("GET", "/api/tokens", None, None).await;
        desk.desk.meters.probed(false, std::time::Duration::from_millis(7));
        desk.desk.meters.credential_read("api", "allowed");
        let text = scrape(&desk).await;
        check(&text, "z13_services{status=\"healthy\"} 0");
        check(&text, "z13_audit_chain_ok 1");
        check(&text, "z13_ledger_readable 1");
        check(&text, "z13_credential_expiring{within=\"7d\"} 0");
        check(&text, "z13_probe_failures_total 1");
        check(&text, "z13_probe_seconds_bucket{le=\"0.01\"} 1");
        check(&text, "z13_credential_reads_total{service=\"api\",outcome=\"allowed\"} 1");
        check(&text, "http_active_requests 1");
        check(&text, "http_requests_total{method=\"GET\",endpoint=\"/health\",status_code=\"2xx\"} 1");
        check(&text, "http_requests_total{method=\"GET\",endpoint=\"/api/tokens\",status_code=\"4xx\"} 1");
        check(&text, "http_requests_total{method=\"GET\",endpoint=\"none\",status_code=\"4xx\"} 1");
        assert!(!text.contains("nowhere"), "a path of a caller is no label");
        assert!(text.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn without_a_ledger_its_numbers_are_absent_and_the_rest_is_there() {
        let desk = TestDesk::without_ledger(fixture::house(Vec::new()));
        let text = scrape(&desk).await;
        check(&text, "z13_ledger_readable 0");
        assert!(!text.contains("z13_audit_chain_ok"));
    }
}
