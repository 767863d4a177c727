//! The API's log on its way to disk: JSON lines (`docs/formats/api-log.md`).
//!
//! Threat: tokens and values in a log. A line has no query, no header and no body, unless the caller of a
//! service asks for the bodies of its call, which are cleaned and cut before they come here.

use crate::gather::Gather;
use haus_model::Timestamp;
use haus_supervise::logfile::LogWriter;
use serde::{Serialize, Serializer};
use std::io;

/// Lines that wait at most; further ones are counted as lost.
const WAITING_MAX: usize = 8_192;

/// Longest path that is written.
const PATH_CHARS_MAX: usize = 512;

/// One request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// RFC 3339.
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
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

/// The text of a time is made by the thread that writes, not by the one that answers.
fn as_text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// The sending end.
pub(crate) struct ApiLog {
    lines: Gather<Written>,
}

impl ApiLog {
    /// Starts the writing thread; it ends when this is dropped and all is written.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(mut writer: LogWriter) -> io::Result<ApiLog> {
        let write = move |lines: &mut Vec<Written>, lost| write_lines(lines, lost, &mut writer);
        Ok(ApiLog { lines: Gather::start("api-log", WAITING_MAX, write)? })
    }

    /// Hands a line over and never waits.
    pub(crate) fn record(&self, mut line: Line) {
        if let Some((end, _)) = line.path.char_indices().nth(PATH_CHARS_MAX) {
            line.path.truncate(end);
            line.path.push('…');
        }
        self.lines.push(Written::Request(Box::new(line)));
    }

    /// The same for the bodies of a call.
    pub(crate) fn record_bodies(&self, bodies: Bodies) {
        self.lines.push(Written::Bodies(Box::new(bodies)));
    }

    /// Waits until everything is written.
    pub(crate) fn close(&self) {
        self.lines.close();
    }
}

/// Writes what has gathered. The last request of it tells how many lines were lost.
fn write_lines(lines: &mut [Written], lost: u64, writer: &mut LogWriter) {
    let last = lines.iter_mut().rev().find_map(|line| match line {
        Written::Request(line) => Some(line),
        Written::Bodies(_) => None,
    });
    if let (Some(line), true) = (last, lost > 0) {
        let told = format!("{lost} lines about here were lost: the log could not keep up");
        line.error = Some(line.error.take().map_or_else(|| told.clone(), |error| format!("{error}; {told}")));
    }
    let (mut text, mut count) = (Vec::new(), 0);
    for line in lines {
        // A line of plain text and numbers can always be written.
        if serde_json::to_writer(&mut text, line).is_ok() {
            text.push(b'\n');
            count += 1;
        }
    }
    writer.write_lines(jiff::Timestamp::now(), &text, count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use haus_supervise::LogSpec;

    fn line(path: String, passed: Option<Passed>) -> Line {
        Line {
            at: Timestamp(0),
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
        let log = LogWriter::new(LogSpec { path: path.clone(), max_bytes: 1 << 20, keep: 1 });
        let log = ApiLog::start(log).unwrap();
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
        log.close();
        let text = std::fs::read_to_string(&path).unwrap();
        let read: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((&read[0]["service"], &read[0]["upstream_status"]), (&"api".into(), &204.into()));
        assert_eq!(read[0]["at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(read[1]["path"].as_str().unwrap().chars().count(), PATH_CHARS_MAX + 1);
    }

    #[test]
    fn what_was_lost_is_told_in_the_last_line_of_a_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.log");
        let mut writer = LogWriter::new(LogSpec { path: path.clone(), max_bytes: 1 << 20, keep: 1 });
        let mut lines = ["/a", "/b"].map(|path| Written::Request(Box::new(line(path.to_owned(), None))));
        write_lines(&mut lines, 3, &mut writer);
        let text = std::fs::read_to_string(&path).unwrap();
        let (first, second) = text.split_once('\n').unwrap();
        assert!(!first.contains("lost") && second.contains("3 lines about here were lost"), "{text}");
    }
}
