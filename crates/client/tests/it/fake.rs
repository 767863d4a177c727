//! A server for one test: it keeps what it is asked and answers from a function. It knows HTTP just enough
//! for that.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `GET /path`.
    pub line: String,
    /// The text behind `Bearer `.
    pub bearer: Option<String>,
    /// The body.
    pub body: String,
}

/// A server that runs until the test ends.
pub(crate) struct Fake {
    /// `http://127.0.0.1:PORT`
    pub base: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// What is sent back: a whole HTTP answer.
pub(crate) type Handler = fn(&Asked) -> String;

impl Fake {
    /// A server with these answers.
    pub(crate) fn new(answer: Handler) -> Fake {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || {
                    let Ok(mut stream) = stream else { return };
                    let Some(request) = read(BufReader::new(&stream)) else { return };
                    kept.lock().expect("no test panics in here").push(request.clone());
                    let _ = stream.write_all(answer(&request).as_bytes());
                });
            }
        });
        Fake { base, asked }
    }

    /// Everything that was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics in here").clone()
    }

    /// Only the request lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

fn read(mut stream: impl std::io::BufRead) -> Option<Asked> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let line = line.trim_end().strip_suffix(" HTTP/1.1")?.to_owned();
    let (mut bearer, mut length) = (None, 0);
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => bearer = value.strip_prefix("Bearer ").map(str::to_owned),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = String::new();
    stream.take(length).read_to_string(&mut body).ok()?;
    Some(Asked { line, bearer, body })
}

/// An answer with a body.
pub(crate) fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// A refusal.
pub(crate) fn problem(code: haus_api::ProblemCode) -> String {
    let problem = haus_api::Problem::new(code, "no").with_hint("ask otherwise");
    answer(code.status(), &serde_json::to_string(&problem).expect("plain data"))
}

/// Runs a call to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}
