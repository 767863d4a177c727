//! The gateway's access log on its way to disk: one line per request.

use crate::gather::Gather;
use haus_gateway::{AccessRecord, AccessSink};
use haus_model::Timestamp;
use haus_supervise::logfile::LogWriter;
use std::fmt::Write;
use std::io;

/// Records that wait at most; further ones are counted as lost.
const WAITING_MAX: usize = 32_768;

/// The sending end; the gateway holds it.
pub(crate) struct AccessLog {
    records: Gather<AccessRecord>,
}

impl AccessLog {
    /// Starts the writing thread; dropping the sink writes what waits and ends it.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(mut writer: LogWriter) -> io::Result<AccessLog> {
        let mut lines = String::new();
        let write =
            move |batch: &mut Vec<AccessRecord>, lost| write_batch(batch, lost, &mut lines, &mut writer);
        Ok(AccessLog { records: Gather::start("access-log", WAITING_MAX, write)? })
    }
}

impl AccessSink for AccessLog {
    fn record(&self, record: AccessRecord) {
        self.records.push(record);
    }
}

fn write_batch(batch: &mut Vec<AccessRecord>, lost: u64, lines: &mut String, writer: &mut LogWriter) {
    let Some(last) = batch.last().map(|record| Timestamp(record.at_ms)) else { return };
    lines.clear();
    let mut count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
    let mut day = Stamp::default();
    for record in batch.drain(..) {
        append(lines, day.of(record.at_ms), &record);
    }
    if lost > 0 {
        // Writing into a String cannot fail.
        let _ = writeln!(lines, "{last} log {lost} requests were not logged: the log could not keep up");
        count += 1;
    }
    let now = jiff::Timestamp::from_millisecond(last.0).unwrap_or_default();
    writer.write_lines(now, lines.as_bytes(), count);
}

/// Time stamps of neighbouring records mostly fall into one second, whose text is made once.
#[derive(Default)]
struct Stamp {
    second: i64,
    text: String,
}

impl Stamp {
    fn of(&mut self, at_ms: i64) -> &str {
        let second = at_ms.div_euclid(1_000);
        if self.text.is_empty() || second != self.second {
            self.second = second;
            self.text = Timestamp(at_ms).to_string();
        }
        let ms = at_ms.rem_euclid(1_000);
        let start = self.text.len().saturating_sub("000Z".len());
        self.text.truncate(start);
        // Writing into a String cannot fail.
        let _ = write!(self.text, "{ms:03}Z");
        &self.text
    }
}

/// One line; `docs/formats/access-log.md` tells the fields.
fn append(lines: &mut String, stamp: &str, record: &AccessRecord) {
    let host = record.host.as_str();
    // Writing into a String cannot fail.
    let _ = write!(
        lines,
        "{stamp} {} {} {} {}{} {} {} {}us in={} out={} tries={} id={}",
        record.client,
        record.method,
        record.status,
        if host.is_empty() { "-" } else { host },
        record.path,
        record.route.as_deref().unwrap_or("-"),
        record.instance.as_deref().unwrap_or("-"),
        record.took_us,
        record.bytes_in,
        record.bytes_out,
        record.attempts,
        record.request_id,
    );
    if let Some(why) = &record.why {
        let _ = write!(lines, " why={}", quoted(why));
    }
    lines.push('\n');
}

/// A text in quotes without line breaks or other control characters.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_those_of_every_other_time() {
        let mut stamp = Stamp::default();
        for at_ms in [0, 1, 999, 1_000, 1_795_230_000_123, 1_795_230_000_007, 5] {
            assert_eq!(stamp.of(at_ms), Timestamp(at_ms).to_string());
        }
    }

    #[test]
    fn a_reason_stays_on_its_line() {
        assert_eq!(quoted("a \"b\"\nc"), "\"a \\\"b\\\" c\"");
    }
}
