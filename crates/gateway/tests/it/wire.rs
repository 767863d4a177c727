//! HTTP/1.1 in its plainest form: a client that sends what it is told, an instance that does as well.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A parsed message: request or answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) first_line: String,
    pub(crate) headers: BTreeMap<String, Vec<String>>,
    pub(crate) body: Vec<u8>,
    /// False when the connection ended before the body did.
    pub(crate) is_complete: bool,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|values| values[0].as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that remembers what it read too much.
pub(crate) struct Wire {
    pub(crate) socket: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(socket: TcpStream) -> Wire {
        Wire { socket, buffer: Vec::new() }
    }

    pub(crate) async fn to(address: SocketAddr) -> Wire {
        Wire::new(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads some more; false at the end.
    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.socket.read(&mut chunk).await {
            Ok(read) if read > 0 => {
                self.buffer.extend_from_slice(&chunk[..read]);
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// The next message head; `None` when the connection ends first.
    pub(crate) async fn head(&mut self) -> Option<Message> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let mut message = Message { first_line: lines.next().unwrap().to_owned(), ..Message::default() };
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            message.headers.entry(name.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
        }
        Some(message)
    }

    /// The next message with its body. `is_answer` says that a body may end with the connection.
    pub(crate) async fn message(&mut self, is_answer: bool) -> Option<Message> {
        let mut message = self.head().await?;
        let status = message.status();
        if let Some(length) = message.header("content-length").map(|text| text.parse::<usize>().unwrap()) {
            message.is_complete = self.exactly(length, &mut message.body).await;
        } else if message.header("transfer-encoding").is_some() {
            message.is_complete = self.chunks(&mut message.body).await;
        } else if is_answer && status >= 200 && status != 204 && status != 304 {
            while self.fill().await {}
            message.body.append(&mut self.buffer);
            message.is_complete = true;
        } else {
            message.is_complete = true;
        }
        Some(message)
    }

    /// The next bytes of a body, without waiting for more.
    pub(crate) async fn take(&mut self, length: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        assert!(self.exactly(length, &mut taken).await, "the connection ended early");
        taken
    }

    async fn exactly(&mut self, length: usize, into: &mut Vec<u8>) -> bool {
        while self.buffer.len() < length {
            if !self.fill().await {
                into.append(&mut self.buffer);
                return false;
            }
        }
        into.extend(self.buffer.drain(..length));
        true
    }

    async fn chunks(&mut self, into: &mut Vec<u8>) -> bool {
        loop {
            let end = loop {
                if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                    break at;
                }
                if !self.fill().await {
                    return false;
                }
            };
            let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let size = usize::from_str_radix(std::str::from_utf8(&line[..end]).unwrap(), 16).unwrap();
            let mut rest = Vec::new();
            if !self.exactly(size, into).await || !self.exactly(2, &mut rest).await {
                return false;
            }
            if size == 0 {
                return true;
            }
        }
    }

    /// Whether the other side has closed; what it still sends is dropped.
    pub(crate) async fn is_closed(&mut self) -> bool {
        while self.fill().await {
            self.buffer.clear();
        }
        true
    }
}

/// What an instance does with a request.
pub(crate) enum Reply {
    /// Sends these bytes and keeps the connection.
    Bytes(Vec<u8>),
    /// Sends these bytes, perhaps none, and closes.
    Close(Vec<u8>),
    /// Sends nothing until the peer goes away.
    Silence,
    /// Sends the first bytes, and the second when the gate opens.
    Gated(Vec<u8>, watch::Receiver<bool>, Vec<u8>),
}

/// An answer with status 200 and a body.
pub(crate) fn ok(body: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// An answer with a status and no body.
pub(crate) fn status(code: u16) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 {code} X\r\ncontent-length: 0\r\n\r\n").into_bytes())
}

/// An instance: every request is noted and answered by a function.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Message>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Connections that ended, from whichever side.
    pub(crate) ended: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Instance {
    pub(crate) async fn start(answer: impl Fn(&Message) -> Reply + Send + Sync + 'static) -> Instance {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Instance::on(listener, answer)
    }

    pub(crate) fn on(
        listener: TcpListener,
        answer: impl Fn(&Message) -> Reply + Send + Sync + 'static,
    ) -> Instance {
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Message>>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let ended: Arc<AtomicUsize> = Arc::default();
        let shared = (Arc::clone(&seen), Arc::clone(&connections), Arc::clone(&ended), Arc::new(answer));
        let task = tokio::spawn(async move {
            // Aborting this task aborts the conversations, as a killed process would.
            let mut conversations = tokio::task::JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (seen, connections, ended, answer) = shared.clone();
                connections.fetch_add(1, Ordering::SeqCst);
                conversations.spawn(async move {
                    converse(Wire::new(socket), &seen, &*answer).await;
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Instance { address, seen, connections, ended, task }
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) fn last(&self) -> Message {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Ends it at once, with all its connections.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn converse(mut wire: Wire, seen: &Mutex<Vec<Message>>, answer: &(dyn Fn(&Message) -> Reply + Sync)) {
    while let Some(request) = wire.message(false).await {
        let reply = answer(&request);
        seen.lock().unwrap().push(request);
        match reply {
            Reply::Bytes(bytes) => wire.send(bytes).await,
            Reply::Close(bytes) => return wire.send(bytes).await,
            Reply::Silence => {
                wire.is_closed().await;
            }
            Reply::Gated(first, mut gate, second) => {
                wire.send(first).await;
                let _ = gate.wait_for(|open| *open).await;
                wire.send(second).await;
            }
        }
    }
}
