//! Writes captured lines and rotates by size; a full disk costs lines, never the service.
//! It does not read pipes: whoever does hands over the bytes and the time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use super::line::{LineSplitter, LogStream, stamp};
use super::read::rotated_path;
use crate::wire::LogSpec;

/// The log of one instance.
#[derive(Debug)]
pub struct LogWriter {
    spec: LogSpec,
    file: Option<File>,
    /// Devices such as `/dev/null` are written to but never renamed.
    rotates: bool,
    size_bytes: u64,
    lost: Option<Lost>,
    batch: Vec<u8>,
}

#[derive(Debug)]
struct Lost {
    lines: u64,
    bytes: u64,
    reason: String,
}

impl LogWriter {
    /// Never fails: what cannot be opened is tried again with every batch, and the reason is said once it
    /// works.
    pub fn new(spec: LogSpec) -> LogWriter {
        LogWriter { spec, file: None, rotates: false, size_bytes: 0, lost: None, batch: Vec::new() }
    }

    /// Tries to open the file, so that a wrong path is noticed at the start of the service.
    pub fn open(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&self.spec.path)?;
        let metadata = file.metadata()?;
        self.size_bytes = metadata.len();
        self.rotates = metadata.is_file();
        self.file = Some(file);
        Ok(())
    }

    /// Writes one line of the supervisor's own.
    pub fn note(&mut self, now: jiff::Timestamp, text: &str) {
        let mut splitter = LineSplitter::default();
        self.take_in(now, LogStream::Log, &mut splitter, text.as_bytes(), true);
    }

    /// Takes in what a stream delivered; `ended` writes the line without a break as well.
    pub(crate) fn take_in(
        &mut self,
        now: jiff::Timestamp,
        stream: LogStream,
        splitter: &mut LineSplitter,
        bytes: &[u8],
        ended: bool,
    ) {
        let head = format!("{} {stream} ", stamp(now));
        let mut lines = 0;
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        let mut emit = |line: &[u8]| {
            batch.extend_from_slice(head.as_bytes());
            batch.extend_from_slice(line);
            batch.push(b'\n');
            lines += 1;
        };
        splitter.feed(bytes, &mut emit);
        if ended {
            splitter.finish(&mut emit);
        }
        if lines > 0 {
            self.write_batch(now, &batch, lines);
        }
        self.batch = batch;
    }

    /// Writes whole lines that have their own format; rotates and counts losses like captured output.
    pub fn write_lines(&mut self, now: jiff::Timestamp, lines: &[u8], count: u64) {
        self.write_batch(now, lines, count);
    }

    fn write_batch(&mut self, now: jiff::Timestamp, batch: &[u8], lines: u64) {
        if let Err(error) = self.try_write(now, batch) {
            let lost = self.lost.get_or_insert_with(|| Lost { lines: 0, bytes: 0, reason: String::new() });
            lost.lines += lines;
            lost.bytes += batch.len() as u64;
            lost.reason = error.to_string();
        }
    }

    fn try_write(&mut self, now: jiff::Timestamp, batch: &[u8]) -> io::Result<()> {
        self.open()?;
        if self.rotates && self.size_bytes > 0 && self.size_bytes + batch.len() as u64 > self.spec.max_bytes {
            self.rotate()?;
        }
        if let Some(Lost { lines, bytes, reason }) = &self.lost {
            let line = format!("{} log {lines} lines ({bytes} bytes) lost: {reason}\n", stamp(now));
            self.append(line.as_bytes())?;
            self.lost = None;
        }
        self.append(batch)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else { return Err(io::Error::other("log is not open")) };
        match file.write_all(bytes) {
            Ok(()) => {
                self.size_bytes += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half a line would swallow the beginning of the next one.
                let _ = file.set_len(self.size_bytes);
                Err(error)
            }
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        let path = &self.spec.path;
        if self.spec.keep == 0 {
            ignore_absent(fs::remove_file(path))?;
        }
        for number in (0..self.spec.keep).rev() {
            ignore_absent(fs::rename(rotated_path(path, number), rotated_path(path, number + 1)))?;
        }
        self.open()
    }
}

fn ignore_absent(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn writer(path: &Path, max_bytes: u64, keep: u32) -> LogWriter {
        LogWriter::new(LogSpec { path: path.to_owned(), max_bytes, keep })
    }

    fn at(second: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn both_streams_land_in_one_file_with_time_and_stream() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("api.log");
        let mut log = writer(&path, 1 << 20, 2);
        let (mut out, mut err) = (LineSplitter::default(), LineSplitter::default());
        log.take_in(at(1), LogStream::Out, &mut out, b"one\nunfin", false);
        log.take_in(at(2), LogStream::Err, &mut err, b"oops\n", false);
        log.take_in(at(3), LogStream::Out, &mut out, b"ished", true);
        let expected = "1970-01-01T00:00:01.000Z out one\n1970-01-01T00:00:02.000Z err oops\n1970-01-01T00:00:03.000Z out unfinished\n";
        assert_eq!(fs::read_to_string(&path).expect("reads"), expected);
    }

    /// Writes `count` lines and expects these files, newest first.
    fn check_rotation(keep: u32, count: u32, expected: &[&[u32]]) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("api.log");
        let mut log = writer(&path, 80, keep);
        for number in 0..count {
            log.note(at(1), &format!("{number}"));
        }
        let numbers = |index: usize| -> Vec<u32> {
            let text = fs::read_to_string(rotated_path(&path, index as u32)).expect("reads");
            text.lines().map(|line| line.rsplit(' ').next().expect("word").parse().expect("number")).collect()
        };
        let found: Vec<Vec<u32>> = (0..expected.len()).map(numbers).collect();
        assert_eq!(found, expected.iter().map(|file| file.to_vec()).collect::<Vec<_>>());
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), expected.len());
    }

    #[test]
    fn rotation_bounds_the_number_and_the_size_of_files() {
        check_rotation(2, 2, &[&[0, 1]]);
        check_rotation(2, 3, &[&[2], &[0, 1]]);
        check_rotation(2, 7, &[&[6], &[4, 5], &[2, 3]]);
        check_rotation(0, 5, &[&[4]]);
    }

    #[test]
    fn lost_lines_are_counted_and_said_when_writing_works_again() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("later").join("api.log");
        let mut log = writer(&path, 1 << 20, 2);
        assert!(log.open().is_err());
        log.note(at(1), "one");
        log.note(at(2), "two");
        fs::create_dir(folder.path().join("later")).expect("makes");
        log.note(at(3), "three");
        let text = fs::read_to_string(&path).expect("reads");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("1970-01-01T00:00:03.000Z log 2 lines (66 bytes) lost: "), "{text}");
        assert_eq!(lines[1..], ["1970-01-01T00:00:03.000Z log three"]);
    }

    #[test]
    fn a_link_in_the_place_of_the_log_is_not_followed() {
        let folder = tempfile::tempdir().expect("folder");
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").expect("writes");
        let path = folder.path().join("api.log");
        std::os::unix::fs::symlink(&victim, &path).expect("links");
        let mut log = writer(&path, 1 << 20, 2);
        log.note(at(1), "x");
        assert!(log.open().is_err());
        assert_eq!(fs::read_to_string(&victim).expect("reads"), "precious");
    }
}
