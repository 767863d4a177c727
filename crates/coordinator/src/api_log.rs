//! The API's log on its way to disk: JSON lines (`docs/formats/api-log.md`), a bounded queue and a thread of
//! its own.
//!
//! Threat: tokens and values in a log. A line has no query, no header and no body, unless the caller of a
//! service asks for the bodies of its call, which are cleaned and cut before they come here.

use haus_supervise::logfile::LogWriter;
use serde::Serialize;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Lines that wait at most; further ones are counted as lost.
const WAITING_MAX: usize = 8_192;

/// Lines that are written in one go.
const BATCH_MAX: usize = 1_024;

/// Longest path that is written.
const PATH_CHARS_MAX: usize = 512;

/// One request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// RFC 3339.
    pub at: String,
    /// The request.
    pub request_id: String,
    /// Who asked, as in the trail.
    pub caller: String,
    /// Where from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
    /// Until the head of the answer was known.
    pub took_ms: f64,
    /// Bytes of the request's body, when it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_in: Option<u64>,
    /// What the problem says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What became of it at the gateway.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub passed: Option<Passed>,
}

/// A request that was passed on to a service.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Passed {
    /// The service.
    pub service: String,
    /// The instance that answered or was asked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The status of the service's own answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// Instances asked.
    pub attempts: u32,
    /// What the breaker of that instance does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<&'static str>,
    /// Bytes of the answer's body, when the service said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    /// Why there were several attempts, or none that helped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The bodies of a call, when its caller asked for them: cleaned and cut. It follows the line of its request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bodies {
    /// RFC 3339: when the answer's body had ended or was given up.
    pub at: String,
    /// The request.
    pub request_id: String,
    /// The service.
    pub service: String,
    /// The body of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_body: Option<String>,
    /// The body of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_body: Option<String>,
}

/// What becomes a line.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Written {
    Request(Box<Line>),
    Bodies(Box<Bodies>),
}

/// The sending end.
pub(crate) struct ApiLog {
    lines: SyncSender<Written>,
    lost: AtomicU64,
}

impl ApiLog {
    /// Starts the writing thread; it ends when this is dropped and all is written.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(writer: LogWriter) -> io::Result<ApiLog> {
        let (lines, waiting) = sync_channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("api-log".to_owned())
            .spawn(move || write_lines(&waiting, writer))?;
        Ok(ApiLog { lines, lost: AtomicU64::new(0) })
    }

    /// The same for the bodies of a call.
    pub(crate) fn record_bodies(&self, bodies: Bodies) {
        if self.lines.try_send(Written::Bodies(Box::new(bodies))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands a line over and never waits.
    pub(crate) fn record(&self, mut line: Line) {
        if let Some((end, _)) = line.path.char_indices().nth(PATH_CHARS_MAX) {
            line.path.truncate(end);
            line.path.push('…');
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let told = format!("{lost} lines before this one were lost: the log could not keep up");
            line.error = Some(line.error.map_or_else(|| told.clone(), |error| format!("{error}; {told}")));
        }
        if self.lines.try_send(Written::Request(Box::new(line))).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

fn write_lines(waiting: &Receiver<Written>, mut writer: LogWriter) {
    let mut text = Vec::new();
    while let Ok(first) = waiting.recv() {
        let mut count = 0;
        for line in std::iter::once(first).chain(waiting.try_iter()).take(BATCH_MAX) {
            // A line of plain text and numbers can always be written.
            if serde_json::to_writer(&mut text, &line).is_ok() {
                text.push(b'\n');
                count += 1;
            }
        }
        writer.write_lines(jiff::Timestamp::now(), &text, count);
        text.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_supervise::LogSpec;

    fn line(path: String, passed: Option<Passed>) -> Line {
        Line {
            at: "2026-01-01T00:00:00Z".to_owned(),
            request_id: "r-1".to_owned(),
            caller: "admin:uid=0".to_owned(),
            address: None,
            method: "POST".to_owned(),
            path,
            status: 200,
            took_ms: 1.5,
            bytes_in: Some(2),
            error: None,
            passed,
        }
    }

    #[test]
    fn a_line_is_one_json_object_and_a_long_path_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.log");
        let (lines, waiting) = sync_channel(8);
        let log = ApiLog { lines, lost: AtomicU64::new(3) };
        let passed = Passed {
            service: "api".to_owned(),
            instance: Some("api/1".to_owned()),
            upstream_status: Some(204),
            attempts: 1,
            breaker: Some("closed"),
            bytes_out: None,
            why: None,
        };
        log.record(line("/a".to_owned(), Some(passed)));
        log.record(line(format!("/{}\n", "ü".repeat(600)), None));
        drop(log);
        write_lines(&waiting, LogWriter::new(LogSpec { path: path.clone(), max_bytes: 1 << 20, keep: 1 }));
        let text = std::fs::read_to_string(&path).unwrap();
        let read: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((&read[0]["service"], &read[0]["upstream_status"]), (&"api".into(), &204.into()));
        assert!(read[0]["error"].as_str().unwrap().starts_with("3 lines before"));
        assert_eq!(read[1]["path"].as_str().unwrap().chars().count(), PATH_CHARS_MAX + 1);
    }
}
