//! A folder of files: reads below its root and nowhere else.
//!
//! The kernel resolves the path (`openat2`, beneath the root), so neither `..` nor a link that somebody
//! puts there between a check and its use leads out. Dot files are never served. The way to the root itself
//! is [`root`]'s.

mod root;

use crate::body::AnswerBody;
use crate::path::has_prefix;
use crate::problem::Fault;
use crate::snapshot::FilesTarget;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use root::{RootFault, open_root};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Files up to this size are read at once instead of being streamed.
const AT_ONCE_BYTES_MAX: u64 = 64 * 1024;
/// For names that carry a fingerprint of their content.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Kept, but asked about each time: costs a 304 and never shows an old page.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// A folder that is served.
#[derive(Debug)]
pub(crate) struct FileRoot {
    root: Arc<PathBuf>,
    fallback: Option<String>,
    immutable: Option<String>,
}

/// What the path named.
enum Found {
    Whole(Metadata, Vec<u8>),
    Open(Metadata, File),
    Folder,
    Nothing,
    /// The way to the root is not to be trusted.
    Refused {
        why: String,
    },
}

impl FileRoot {
    pub(crate) fn new(target: &FilesTarget) -> FileRoot {
        FileRoot {
            root: Arc::new(target.root.clone()),
            fallback: target.fallback.clone(),
            immutable: target.immutable.clone(),
        }
    }

    /// Answers a request for the decoded path `path`.
    ///
    /// # Errors
    /// Another method than GET and HEAD, no such file, or one that cannot be read.
    pub(crate) async fn answer(
        &self,
        method: &Method,
        headers: &HeaderMap,
        path: &str,
    ) -> Result<Response<AnswerBody>, Fault> {
        if method != Method::GET && method != Method::HEAD {
            return Err(Fault::MethodNotAllowed);
        }
        let Some(name) = file_name(path) else { return Err(Fault::NoFile) };
        let is_forever = self.immutable.as_ref().is_some_and(|prefix| has_prefix(path, prefix));
        match self.open(name.clone()).await? {
            Found::Folder => Ok(redirect_into(path)),
            Found::Refused { why } => Err(Fault::FolderRefused { why }),
            Found::Nothing => match &self.fallback {
                Some(fallback) if !is_forever && wants_page(headers, path) => {
                    let found = self.open(fallback.clone()).await?;
                    found_answer(found, headers, fallback, ASK_AGAIN).ok_or(Fault::NoFile)
                }
                Some(_) | None => Err(Fault::NoFile),
            },
            found @ (Found::Whole(..) | Found::Open(..)) => {
                let cache = if is_forever { FOREVER } else { ASK_AGAIN };
                found_answer(found, headers, &name, cache).ok_or(Fault::NoFile)
            }
        }
    }

    async fn open(&self, name: String) -> Result<Found, Fault> {
        let root = Arc::clone(&self.root);
        let opened = spawn_blocking(move || open_below(&root, &name)).await;
        let unreadable = |error: io::Error| Fault::FileUnreadable { what: error.to_string() };
        opened.map_err(|error| unreadable(io::Error::other(error)))?.map_err(unreadable)
    }
}

fn open_below(root: &Path, name: &str) -> io::Result<Found> {
    let folder = match open_root(root) {
        Ok(folder) => folder,
        Err(RootFault::Link { why }) => return Ok(Found::Refused { why }),
        Err(RootFault::System(Errno::NOENT | Errno::NOTDIR)) => return Ok(Found::Nothing),
        Err(RootFault::System(errno)) => return Err(errno.into()),
    };
    // Not blocking, so that a pipe under the root does not hold a thread for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut file = match openat2(&folder, name, flags, Mode::empty(), beneath) {
        Ok(file) => File::from(file),
        // EXDEV and ELOOP: a link that leads out, or in circles.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG) => {
            return Ok(Found::Nothing);
        }
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(Found::Folder);
    }
    if !metadata.is_file() {
        return Ok(Found::Nothing);
    }
    if metadata.len() > AT_ONCE_BYTES_MAX {
        return Ok(Found::Open(metadata, file));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    (&mut file).take(AT_ONCE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Found::Whole(metadata, bytes))
}

/// The file below the root; `None` when the path has a dot file in it.
fn file_name(path: &str) -> Option<String> {
    let relative = path.trim_start_matches('/');
    if relative.split('/').any(|segment| segment.starts_with('.')) {
        return None;
    }
    Some(if relative.is_empty() || relative.ends_with('/') {
        format!("{relative}index.html")
    } else {
        relative.to_owned()
    })
}

/// A page of a single-page application has no ending, and only browsers ask for pages.
fn wants_page(headers: &HeaderMap, path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or("");
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    !last.contains('.') && accept.contains("text/html")
}

fn found_answer(
    found: Found,
    asked: &HeaderMap,
    name: &str,
    cache: HeaderValue,
) -> Option<Response<AnswerBody>> {
    let (metadata, body) = match found {
        Found::Whole(metadata, bytes) => (metadata, AnswerBody::full(Bytes::from(bytes))),
        Found::Open(metadata, file) => {
            let left = metadata.len();
            (metadata, AnswerBody::file(tokio::fs::File::from_std(file), left))
        }
        Found::Folder | Found::Nothing | Found::Refused { .. } => return None,
    };
    let validators = Validators::of(&metadata);
    let mut answer = if validators.are_current(asked) {
        let mut answer = Response::new(AnswerBody::empty());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        let mut answer = Response::new(body);
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
        answer
    };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in [(header::ETAG, validators.tag), (header::LAST_MODIFIED, validators.date)] {
        insert_text(headers, name, value);
    }
    Some(answer)
}

/// What tells one state of a file from another.
struct Validators {
    tag: Option<String>,
    date: Option<String>,
}

impl Validators {
    fn of(metadata: &Metadata) -> Validators {
        let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        let date = modified.and_then(|time| DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok());
        let tag = modified.map(|time| format!("\"{:x}-{:x}\"", time.as_nanosecond(), metadata.len()));
        Validators { tag, date }
    }

    /// `If-Modified-Since` is compared as text: clients send back what they got.
    fn are_current(&self, asked: &HeaderMap) -> bool {
        if let Some(tags) = asked.get(header::IF_NONE_MATCH) {
            let mut tags = tags.to_str().unwrap_or("").split(',').map(str::trim);
            return tags.any(|tag| tag == "*" || self.tag.as_deref() == Some(tag.trim_start_matches("W/")));
        }
        let since = asked.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
        since.is_some() && since == self.date.as_deref()
    }
}

fn insert_text(headers: &mut HeaderMap, name: HeaderName, value: Option<String>) {
    if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
        headers.insert(name, value);
    }
}

/// Sends the browser from `/docs` to `/docs/`, so that relative links of its page hold. The target is
/// relative, since the gateway may have stripped a prefix that the browser knows.
fn redirect_into(path: &str) -> Response<AnswerBody> {
    let last = path.rsplit('/').next().unwrap_or("");
    let mut target = String::with_capacity(last.len() + 3);
    target.push_str("./");
    for byte in last.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            target.push(char::from(byte));
        } else {
            target.push_str(&format!("%{byte:02X}"));
        }
    }
    target.push('/');
    let mut answer = Response::new(AnswerBody::empty());
    *answer.status_mut() = StatusCode::PERMANENT_REDIRECT;
    insert_text(answer.headers_mut(), header::LOCATION, Some(target));
    answer
}

fn content_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" | "md" => "text/plain; charset=utf-8",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "csv" => "text/csv; charset=utf-8",
        _ => "application/octet-stream",
    }
}
