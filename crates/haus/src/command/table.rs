//! The table of `haus status`.

use crate::terminal::paint;
use haus_api::status::{HouseStatus, InstanceStatus, ServiceStatus};
use haus_model::Timestamp;
use std::fmt::Write;
use std::time::Duration;

/// A reason that would be cut below this many characters is not cut.
const WHY_LEAST: usize = 30;

/// Renders the state of a house.
pub(crate) fn render(status: &HouseStatus, colour: bool, width: Option<usize>) -> String {
    let ready = status.services.iter().filter(|service| service.health.as_str() == "healthy").count();
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(
        text,
        "{}{} · stage {} · {ready}/{} services healthy · up {}{}",
        status.house,
        status.title.as_ref().map(|title| format!(" · {title}")).unwrap_or_default(),
        status.stage,
        status.services.len(),
        span(status.at.since(status.core_since)),
        if status.draining { " · DRAINING" } else { "" },
    );
    let _ = writeln!(
        text,
        "gateway http://{} · parent pid {} · core pid {}",
        status.gateway, status.parent_pid, status.core_pid
    );
    if let Some(error) = &status.store.last_error
        && !status.store.writable
    {
        let _ = writeln!(text, "store: NOT WRITABLE: {error} ({} events lost)", status.store.events_lost);
    }
    text.push('\n');
    let rows = rows(status);
    let layout = Layout::new(&rows, width);
    let heading = ["SERVICE", "STATE", "SINCE", "PID", "ADDRESS", "HOST", "URL", "WHY"].map(str::to_owned);
    text.push_str(&layout.line(&heading, str::to_owned));
    for row in rows {
        let paint = |state: &str| paint(state, &row.state, colour);
        let cells =
            [&row.name, &row.state, &row.since, &row.pid, &row.address, &row.host, &row.url, &row.why];
        text.push_str(&layout.line(&cells.map(Clone::clone), paint));
    }
    if let Some(columns) = layout.url_needs {
        let _ = writeln!(text, "\nURLs are shown from {columns} columns on, and by `haus status | cat`");
    }
    text
}

struct Row {
    name: String,
    state: String,
    since: String,
    pid: String,
    address: String,
    /// The host, when something else keeps it running there.
    host: String,
    url: String,
    why: String,
}

/// How wide the columns are that are not fixed.
struct Layout {
    name: usize,
    address: usize,
    /// Width of the names of hosts; none when everything runs here.
    host: Option<usize>,
    /// Width of the addresses through the gateway; none when there are none or no room is left for them.
    url: Option<usize>,
    /// From which width on there would be room for them.
    url_needs: Option<usize>,
    /// Room for the reason; a narrow terminal wraps rather than losing it.
    why: usize,
}

impl Layout {
    /// State, since and pid, each with the gap behind it.
    const FIXED: usize = 11 + 2 + 6 + 2 + 7 + 2;

    fn new(rows: &[Row], width: Option<usize>) -> Layout {
        let widest = |cell: fn(&Row) -> &String| rows.iter().map(|row| cell(row).chars().count()).max();
        let name = widest(|row| &row.name).unwrap_or(0).max(7);
        let url = widest(|row| &row.url).filter(|url| *url > 1);
        let address = widest(|row| &row.address).unwrap_or(0).max(15);
        let host = widest(|row| &row.host).filter(|host| *host > 1).map(|host| host.max(4));
        let before_url = name + 2 + Layout::FIXED + address + 2 + host.map_or(0, |host| host + 2);
        let needed = url.map(|url| before_url + url + 2 + WHY_LEAST);
        let is_wide_enough = width.is_none_or(|width| needed.is_none_or(|needed| width >= needed));
        let url = url.filter(|_| is_wide_enough);
        let before_why = before_url + url.map_or(0, |url| url + 2);
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(before_why));
        Layout {
            name,
            address,
            host,
            url,
            url_needs: needed.filter(|_| !is_wide_enough),
            why: if room < WHY_LEAST { usize::MAX } else { room },
        }
    }

    fn line(&self, cells: &[String; 8], paint: impl Fn(&str) -> String) -> String {
        let [name, state, since, pid, address, host, url, why] = cells;
        let state = paint(&format!("{state:<11}"));
        let url = self.url.map(|width| format!("{url:<width$}  ")).unwrap_or_default();
        let host = self.host.map(|width| format!("{host:<width$}  ")).unwrap_or_default();
        let (name_width, address_width, why) = (self.name, self.address, shorten(why, self.why));
        format!(
            "{name:<name_width$}  {state}  {since:>6}  {pid:>7}  {address:<address_width$}  {host}{url}{why}\n"
        )
    }
}

fn rows(status: &HouseStatus) -> Vec<Row> {
    let mut rows = Vec::new();
    for service in &status.services {
        match service.instances.as_slice() {
            [] => rows.push(service_row(service, status.at)),
            // The only copy that the house runs needs no number; one that registered by itself has a name.
            [only] if only.name == only.id.to_string() => {
                rows.push(instance_row(service.name.to_string(), only, service, status.at));
            }
            named => {
                for instance in named {
                    rows.push(instance_row(instance.name.clone(), instance, service, status.at));
                }
            }
        }
    }
    rows
}

fn service_row(service: &ServiceStatus, now: Timestamp) -> Row {
    Row {
        name: service.name.to_string(),
        state: service.phase.clone(),
        since: span(now.since(service.since)),
        pid: "-".to_owned(),
        address: "-".to_owned(),
        host: "-".to_owned(),
        url: url(service),
        why: service.why.clone(),
    }
}

/// Where a service is reached through the gateway: a name of its own before a path below a shared one.
fn url(service: &ServiceStatus) -> String {
    let rank = |url: &&String| (url.matches('/').count(), !url.contains(service.name.as_str()), url.len());
    service.urls.iter().min_by_key(rank).map_or_else(|| "-".to_owned(), Clone::clone)
}

fn instance_row(name: String, instance: &InstanceStatus, service: &ServiceStatus, now: Timestamp) -> Row {
    let restarts = match instance.restarts {
        0 => String::new(),
        1 => " · restarted once".to_owned(),
        more => format!(" · restarted {more} times"),
    };
    Row {
        name,
        state: instance.phase.clone(),
        since: span(now.since(instance.since)),
        pid: instance.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        address: instance
            .main_port
            .map_or_else(|| "-".to_owned(), |port| format!("{}:{port}", instance.address)),
        host: instance.host.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        url: url(service),
        why: format!("{}{restarts}", instance.why),
    }
}

/// `7s`, `3m`, `2h`, `5d`: the largest unit that fits.
pub(crate) fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_api::status::StoreStatus;
    use haus_model::health::HealthState;
    use std::collections::BTreeMap;

    fn service(name: &str, port: Option<u16>, urls: &[&str]) -> ServiceStatus {
        let instance = InstanceStatus {
            id: format!("{name}/1").parse().unwrap(),
            name: format!("{name}/1"),
            run: 1,
            pid: Some(4_711),
            phase: "healthy".into(),
            health: HealthState::Healthy,
            since: Timestamp(0),
            why: "GET /health answered 200".into(),
            restarts: 0,
            address: "127.0.0.1".into(),
            ports: BTreeMap::from([("a".into(), 1), ("http".into(), 29_001)]),
            evidence: None,
            next_try: None,
            main_port: port,
            lease_until: None,
            revision: 1,
            host: None,
        };
        ServiceStatus {
            name: name.parse().unwrap(),
            about: None,
            phase: "healthy".into(),
            health: HealthState::Healthy,
            since: Timestamp(0),
            why: String::new(),
            needs: Vec::new(),
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            instances: vec![instance],
        }
    }

    fn house(services: Vec<ServiceStatus>) -> HouseStatus {
        HouseStatus {
            house: "small".into(),
            title: None,
            stage: "main".into(),
            domain: "localhost".into(),
            version: "0".into(),
            at: Timestamp(0),
            core_since: Timestamp(0),
            parent_pid: 1,
            core_pid: 2,
            folder: "/srv".into(),
            gateway: "127.0.0.1:8080".into(),
            draining: false,
            ready: true,
            revision: 1,
            store: StoreStatus { writable: true, last_error: None, events_lost: 0 },
            services,
        }
    }

    /// The table below the head.
    #[track_caller]
    fn check(services: Vec<ServiceStatus>, width: Option<usize>, expected: &str) {
        let text = render(&house(services), false, width);
        let (_, table) = text.split_once("\n\n").expect("a head and a table");
        assert_eq!(table, expected);
    }

    fn web() -> ServiceStatus {
        service("web", Some(29_001), &["http://localhost/web/", "http://web.localhost/"])
    }

    #[test]
    fn the_name_of_its_own_stands_beside_a_service() {
        check(
            vec![web(), service("db", None, &[])],
            None,
            "SERVICE  STATE         SINCE      PID  ADDRESS          URL                    WHY\n\
             web      healthy          0s     4711  127.0.0.1:29001  http://web.localhost/  GET /health answered 200\n\
             db       healthy          0s     4711  -                -                      GET /health answered 200\n",
        );
    }

    #[test]
    fn the_host_is_shown_where_something_runs_elsewhere() {
        let mut far = service("db", Some(5_432), &[]);
        far.instances[0] = InstanceStatus {
            pid: None,
            address: "192.168.200.100".into(),
            host: Some("database".parse().unwrap()),
            ..far.instances[0].clone()
        };
        check(
            vec![service("web", None, &[]), far],
            None,
            "SERVICE  STATE         SINCE      PID  ADDRESS               HOST      WHY\n\
             web      healthy          0s     4711  -                     -         GET /health answered 200\n\
             db       healthy          0s        -  192.168.200.100:5432  database  GET /health answered 200\n",
        );
    }

    #[test]
    fn who_registered_by_itself_is_called_as_it_calls_itself() {
        let mut scanner = service("scanner", Some(29_001), &[]);
        scanner.instances[0].id = "scanner/1000001".parse().unwrap();
        scanner.instances[0].name = "scanner/desk-1".into();
        check(
            vec![scanner],
            Some(70),
            "SERVICE         STATE         SINCE      PID  ADDRESS          WHY\n\
             scanner/desk-1  healthy          0s     4711  127.0.0.1:29001  GET /health answered 200\n",
        );
    }

    #[test]
    fn a_narrow_terminal_keeps_the_reason_and_says_where_urls_are() {
        check(
            vec![web()],
            Some(108),
            "SERVICE  STATE         SINCE      PID  ADDRESS          WHY\n\
             web      healthy          0s     4711  127.0.0.1:29001  GET /health answered 200\n\
             \nURLs are shown from 109 columns on, and by `haus status | cat`\n",
        );
    }

    #[test]
    fn a_house_without_routes_has_no_column_for_them() {
        check(
            vec![service("db", None, &[])],
            Some(60),
            "SERVICE  STATE         SINCE      PID  ADDRESS          WHY\n\
             db       healthy          0s     4711  -                GET /health answered 200\n",
        );
    }

    #[test]
    fn spans_use_the_largest_unit() {
        for (seconds, expected) in [(0, "0s"), (59, "59s"), (60, "1m"), (7_199, "1h"), (172_800, "2d")] {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn long_reasons_are_cut_with_a_mark() {
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("äöü", 3), "äöü");
    }
}
