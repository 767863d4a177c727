//! Reads captured logs: the last lines, and what comes after them, across rotations.
//! It never waits and knows no clock; the caller polls as often as it likes.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// At most this much is read by one poll, so that a flooded log cannot hold its reader up.
const POLL_BYTES_MAX: usize = 256 << 10;
const TAIL_BLOCK_BYTES: u64 = 64 << 10;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read log {path}", path = path.display())]
pub struct LogError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// `FILE` for 0, `FILE.1` for 1, and so on; higher is older.
pub fn rotated_path(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// The last `lines` lines, oldest first, reaching into rotated files where needed. No file means no lines.
pub fn tail(path: &Path, lines: usize) -> Result<Vec<String>, LogError> {
    Follower::after_tail(path, lines).map(|(lines, _)| lines)
}

/// Delivers what is appended to a log, across rotations.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    file: Option<File>,
    /// The newest file that has been read or is being read; everything newer is still to come.
    last: Option<FileId>,
    unfinished: Vec<u8>,
}

type FileId = (u64, u64);

impl Follower {
    /// Follows from the present end.
    pub fn from_end(path: &Path) -> Result<Follower, LogError> {
        Follower::after_tail(path, 0).map(|(_, follower)| follower)
    }

    /// The last `lines` lines and a follower that continues exactly behind them.
    pub fn after_tail(path: &Path, lines: usize) -> Result<(Vec<String>, Follower), LogError> {
        let failed = |source| LogError { path: path.to_owned(), source };
        let mut newest_first: Vec<Vec<u8>> = Vec::new();
        let mut follower = Follower { path: path.to_owned(), file: None, last: None, unfinished: Vec::new() };
        let mut previous = None;
        for file in newest_to_oldest(path) {
            let mut file = file.map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            // A rotation meanwhile shows the same file again under its next number.
            if previous.replace(id_of(&metadata)) == Some(id_of(&metadata)) {
                continue;
            }
            let wanted = lines - newest_first.len();
            let (found, read_to) = last_lines(&mut file, metadata.len(), wanted).map_err(failed)?;
            newest_first.extend(found);
            if follower.last.is_none() {
                file.seek(SeekFrom::Start(read_to)).map_err(failed)?;
                follower.last = Some(id_of(&metadata));
                follower.file = Some(file);
            }
            if newest_first.len() >= lines {
                break;
            }
        }
        Ok((newest_first.iter().rev().map(|line| text_of(line)).collect(), follower))
    }

    /// Whole lines that have come since the last poll; empty when there are none for the moment.
    pub fn poll(&mut self) -> Result<Vec<String>, LogError> {
        let path = self.path.clone();
        let failed = |source| LogError { path: path.clone(), source };
        let mut lines = Vec::new();
        let mut budget = POLL_BYTES_MAX;
        while budget > 0 {
            let mut bytes = Vec::new();
            if let Some(file) = self.file.as_mut() {
                file.by_ref().take(budget as u64).read_to_end(&mut bytes).map_err(failed)?;
            }
            budget -= bytes.len();
            self.take_in(&bytes, &mut lines);
            if bytes.is_empty() && !self.move_on().map_err(failed)? {
                break;
            }
        }
        Ok(lines)
    }

    fn take_in(&mut self, mut bytes: &[u8], lines: &mut Vec<String>) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.unfinished.extend_from_slice(&bytes[..end]);
            lines.push(text_of(&self.unfinished));
            self.unfinished.clear();
            bytes = &bytes[end + 1..];
        }
        self.unfinished.extend_from_slice(bytes);
    }

    /// At the end of our file: continues with the next newer one, if there is one. True when there may be
    /// more to read.
    fn move_on(&mut self) -> io::Result<bool> {
        let next = self.next_newer()?;
        if let Some(file) = self.file.as_mut() {
            let (length, place) = (file.metadata()?.len(), file.stream_position()?);
            // The writer lets go of a file before it opens the next, so when there is a newer one, ours is
            // complete.
            if length > place {
                return Ok(true);
            }
            if next.is_none() && length < place {
                // Somebody emptied the file in place.
                file.rewind()?;
                self.unfinished.clear();
                return Ok(true);
            }
        }
        let Some(next) = next else { return Ok(false) };
        self.last = Some(id_of(&next.metadata()?));
        self.file = Some(next);
        self.unfinished.clear();
        Ok(true)
    }

    /// The oldest file that is newer than ours. When ours is gone, everything that is kept is newer.
    fn next_newer(&self) -> io::Result<Option<File>> {
        let mut newer = None;
        for file in newest_to_oldest(&self.path) {
            let file = file?;
            if self.last == Some(id_of(&file.metadata()?)) {
                break;
            }
            newer = Some(file);
        }
        Ok(newer)
    }
}

fn id_of(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// `FILE`, `FILE.1` and so on. While the writer renames, one number in between may be missing; files only
/// move to higher numbers, so going upwards none is overlooked.
fn newest_to_oldest(path: &Path) -> impl Iterator<Item = io::Result<File>> {
    let mut number = 0;
    std::iter::from_fn(move || {
        for _ in 0..2 {
            let file = open(&rotated_path(path, number));
            number += 1;
            if let Some(found) = file.transpose() {
                return Some(found);
            }
        }
        None
    })
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// The last whole lines before `end`, newest first, and where the last whole line ends.
fn last_lines(file: &mut File, end: u64, wanted: usize) -> io::Result<(Vec<Vec<u8>>, u64)> {
    let mut start = end;
    let mut bytes: Vec<u8> = Vec::new();
    let breaks = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    while start > 0 && breaks(&bytes) <= wanted {
        let block = TAIL_BLOCK_BYTES.min(start);
        start -= block;
        let mut front = vec![0; block as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut front)?;
        front.extend_from_slice(&bytes);
        bytes = front;
    }
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let read_to = start + whole as u64;
    let Some(text) = bytes[..whole].strip_suffix(b"\n") else { return Ok((Vec::new(), read_to)) };
    let lines = text.rsplit(|byte| *byte == b'\n').take(wanted).map(<[u8]>::to_vec).collect();
    Ok((lines, read_to))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;

    struct Fixture {
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    /// Contents newest first, as the files are numbered.
    fn files(contents: &[&str]) -> Fixture {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("api.log");
        for (number, content) in contents.iter().enumerate() {
            fs::write(rotated_path(&path, number as u32), content).expect("writes");
        }
        Fixture { _folder: folder, path }
    }

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("opens");
        file.write_all(text.as_bytes()).expect("writes");
    }

    fn rotate(path: &Path) {
        for number in (0..3).rev() {
            let _ = fs::rename(rotated_path(path, number), rotated_path(path, number + 1));
        }
    }

    fn check_tail(contents: &[&str], lines: usize, expected: &[&str]) {
        let fixture = files(contents);
        assert_eq!(tail(&fixture.path, lines).expect("reads"), expected);
    }

    #[test]
    fn the_tail_reaches_into_rotated_files() {
        check_tail(&[], 5, &[]);
        check_tail(&["a\nb\nc\n"], 2, &["b", "c"]);
        check_tail(&["c\n", "a\nb\n"], 2, &["b", "c"]);
        check_tail(&["c\n", "b\n", "a\n"], 9, &["a", "b", "c"]);
        check_tail(&["a\n\nb\n"], 2, &["", "b"]);
        check_tail(&["a\nunfinished"], 5, &["a"]);
        check_tail(&["a\n"], 0, &[]);
    }

    #[test]
    fn a_tail_longer_than_a_block_is_whole() {
        let text: String = (0..30_000).map(|number| format!("line {number}\n")).collect();
        let fixture = files(&[&text]);
        let lines = tail(&fixture.path, 25_000).expect("reads");
        assert_eq!(
            (lines.len(), lines[0].as_str(), lines[24_999].as_str()),
            (25_000, "line 5000", "line 29999")
        );
    }

    #[test]
    fn following_continues_exactly_behind_the_tail() {
        let fixture = files(&["a\nb\nhal"]);
        let (lines, mut follower) = Follower::after_tail(&fixture.path, 1).expect("opens");
        assert_eq!(lines, ["b"]);
        assert!(follower.poll().expect("polls").is_empty());
        append(&fixture.path, "f\nc\n");
        assert_eq!(follower.poll().expect("polls"), ["half", "c"]);
        assert!(follower.poll().expect("polls").is_empty());
    }

    #[test]
    fn following_survives_several_rotations_between_two_polls() {
        let fixture = files(&["a\n"]);
        let mut follower = Follower::from_end(&fixture.path).expect("opens");
        append(&fixture.path, "b\n");
        rotate(&fixture.path);
        append(&fixture.path, "c\n");
        rotate(&fixture.path);
        append(&fixture.path, "d\n");
        assert_eq!(follower.poll().expect("polls"), ["b", "c", "d"]);
    }

    #[test]
    fn following_continues_with_the_oldest_when_its_file_was_removed() {
        let fixture = files(&["a\n"]);
        let mut follower = Follower::from_end(&fixture.path).expect("opens");
        fs::remove_file(&fixture.path).expect("removes");
        assert!(follower.poll().expect("polls").is_empty());
        append(&fixture.path, "z\n");
        rotate(&fixture.path);
        append(&fixture.path, "y\n");
        assert_eq!(follower.poll().expect("polls"), ["z", "y"]);
    }

    #[test]
    fn a_rotation_under_way_hides_no_file() {
        let fixture = files(&["d\n", "c\n", "b\n", "a\n"]);
        let (_, mut follower) = Follower::after_tail(&rotated_path(&fixture.path, 3), 1).expect("opens");
        follower.path = fixture.path.clone();
        fs::rename(rotated_path(&fixture.path, 3), rotated_path(&fixture.path, 4)).expect("renames");
        fs::rename(rotated_path(&fixture.path, 2), rotated_path(&fixture.path, 3)).expect("renames");
        assert_eq!(follower.poll().expect("polls"), ["b", "c", "d"]);
        assert_eq!(tail(&fixture.path, 9).expect("reads"), ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_log_that_began_and_rotated_before_the_first_poll_is_followed_from_its_begin() {
        let fixture = files(&[]);
        let mut follower = Follower::from_end(&fixture.path).expect("opens");
        append(&fixture.path, "a\n");
        rotate(&fixture.path);
        append(&fixture.path, "b\n");
        assert_eq!(follower.poll().expect("polls"), ["a", "b"]);
    }

    #[test]
    fn a_log_that_does_not_exist_yet_can_be_followed() {
        let fixture = files(&[]);
        let mut follower = Follower::from_end(&fixture.path).expect("opens");
        assert!(follower.poll().expect("polls").is_empty());
        append(&fixture.path, "first\n");
        assert_eq!(follower.poll().expect("polls"), ["first"]);
    }
}
