//! A house whose API listens on a port of its own, and questions to it: by a stranger, by the holder of a
//! token, by the administrator on the control socket.
//!
//! It speaks plain HTTP and JSON, not through our own client: what is tested is what anybody sees.

use crate::home::{Home, SOON, free_port, server};
use crate::line::Line;
use haus_testkit::{HttpAnswer, HttpAsk, Signal, kill, wait_for, wait_for_end, wait_until};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

const ECHO: &str = include_str!("fixtures/echo.py");

/// The house.
pub(crate) struct OpenHouse {
    pub(crate) home: Home,
    pub(crate) port: SocketAddr,
}

/// What an enrolment gives.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl OpenHouse {
    /// A house with these services beside its API, and whatever follows them; not started.
    pub(crate) fn new(services: &str, rest: &str) -> OpenHouse {
        let port = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let home = Home::new(&OpenHouse::body(port, services, rest));
        home.house.write("echo.py", ECHO);
        OpenHouse { home, port }
    }

    /// The same, up, with every service healthy.
    pub(crate) fn up(services: &str, rest: &str) -> OpenHouse {
        let mut house = OpenHouse::new(services, rest);
        house.start();
        house
    }

    /// `haus up`, until every service is healthy and the API answers. Who registers by itself comes later.
    pub(crate) fn start(&mut self) {
        self.home.begin();
        wait_until("every service to be healthy", SOON, || {
            let status = self.home.status();
            let services = status["services"].as_array().expect("services are a list");
            services.iter().all(|service| service["name"] == "far" || service["phase"] == "healthy")
        });
        self.wait_for_api();
    }

    fn body(port: SocketAddr, services: &str, rest: &str) -> String {
        let port = port.port();
        format!("services:\n  brain: {{ as: coordinator, ports: {{ http: {port} }} }}\n{services}{rest}")
    }

    /// Waits until the API answers on its port.
    pub(crate) fn wait_for_api(&self) {
        wait_until("the API to answer", SOON, || {
            HttpAsk::get(&self.port.to_string(), "/health").send(self.port).is_ok_and(|got| got.status == 200)
        });
    }

    /// A question as it goes over the wire.
    pub(crate) fn question(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> HttpAsk {
        let mut ask = HttpAsk::get(&self.port.to_string(), path);
        ask.method = method.to_owned();
        if let Some(token) = token {
            ask.headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        if let Some(body) = body {
            ask.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
            ask.body = body.to_string().into_bytes();
        }
        ask
    }

    /// Asks on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> HttpAnswer {
        let ask = self.question(token, method, path, body.as_ref());
        let answer = Line::tcp(self.port).and_then(|mut line| line.ask(&ask));
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// GET by somebody with this token.
    #[track_caller]
    pub(crate) fn get(&self, token: &str, path: &str) -> HttpAnswer {
        self.ask(Some(token), "GET", path, None)
    }

    /// POST by somebody with this token.
    #[track_caller]
    pub(crate) fn post(&self, token: &str, path: &str, body: Value) -> HttpAnswer {
        self.ask(Some(token), "POST", path, Some(body))
    }

    /// Asks as the account that runs the house.
    #[track_caller]
    pub(crate) fn admin(&self, method: &str, path: &str, body: Option<Value>) -> HttpAnswer {
        let ask = self.question(None, method, path, body.as_ref());
        let answer = Line::unix(&self.control()).and_then(|mut line| line.ask(&ask));
        answer.unwrap_or_else(|error| panic!("{method} {path} on the control socket: {error}"))
    }

    /// The control socket.
    pub(crate) fn control(&self) -> PathBuf {
        self.home.house.state().join("run/control.sock")
    }

    /// A one-time token: `{"service": "web"}`, `{"name": "who", "scopes": ["read"]}`.
    #[track_caller]
    pub(crate) fn enrolment(&self, request: Value) -> String {
        let made = good(&self.admin("POST", "/api/tokens", Some(request)));
        made["token"].as_str().expect("a token is a text").to_owned()
    }

    /// The session that such a token gives.
    #[track_caller]
    pub(crate) fn session(&self, request: Value) -> Session {
        let token = self.enrolment(request);
        self.enrol(&token)
    }

    /// The session of a one-time token.
    #[track_caller]
    pub(crate) fn enrol(&self, token: &str) -> Session {
        Session::of(&good(&self.ask(None, "POST", "/api/identity/enrol", Some(json!({ "token": token })))))
    }

    /// An access token of a service that is bound to no instance.
    #[track_caller]
    pub(crate) fn token_of(&self, service: &str) -> String {
        self.session(json!({ "service": service })).access
    }

    /// An access token that allows everything.
    #[track_caller]
    pub(crate) fn admin_token(&self) -> String {
        self.session(json!({ "name": "tester", "scopes": ["admin"] })).access
    }

    /// Creates a credential over the API; gives its id.
    #[track_caller]
    pub(crate) fn credential(&self, request: Value) -> String {
        let made = good(&self.admin("POST", "/api/credentials", Some(request)));
        made["id"].as_str().expect("an id is a text").to_owned()
    }

    /// What `GET /api/credentials/service/NAME` gives the holder of this token: name and value.
    #[track_caller]
    pub(crate) fn values(&self, token: &str, service: &str) -> Vec<(String, String)> {
        let answer = good(&self.get(token, &format!("/api/credentials/service/{service}")));
        let list = answer["credentials"].as_array().expect("credentials are a list");
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        list.iter().map(|row| (text(row, "name"), text(row, "value"))).collect()
    }

    /// Entries of the trail with this action about this subject, the newest first.
    #[track_caller]
    pub(crate) fn entries(&self, action: &str, subject: &str) -> Vec<Value> {
        let answer = good(&self.admin("GET", &format!("/api/trail?action={action}&limit=1000"), None));
        let entries = answer["entries"].as_array().cloned().expect("entries are a list");
        entries.into_iter().filter(|entry| subject_of(entry) == subject).collect()
    }

    /// Kills the core and waits until another one answers on the port.
    pub(crate) fn kill_core(&self) {
        let core = wait_for("a core", SOON, || self.home.house.core_pid());
        kill(core, Signal::KILL);
        wait_for_end(core, SOON);
        wait_until("another core to answer", SOON, || {
            self.home.try_status().is_some_and(|status| status["core_pid"] != core)
        });
        self.wait_for_api();
    }
}

impl Session {
    pub(crate) fn of(answer: &Value) -> Session {
        let text = |name: &str| answer[name].as_str().expect("a token is a text").to_owned();
        Session { access: text("access_token"), refresh: text("refresh_token") }
    }
}

/// `credential:NAME` of an entry, whatever the answer splits it into.
fn subject_of(entry: &Value) -> String {
    let (kind, id) = (entry["entity_type"].as_str(), entry["entity_id"].as_str());
    let (kind, id) = (kind.unwrap_or_default(), id.unwrap_or_default());
    if id.starts_with(&format!("{kind}:")) { id.to_owned() } else { format!("{kind}:{id}") }
}

/// The JSON of an answer that must be a good one.
#[track_caller]
pub(crate) fn good(answer: &HttpAnswer) -> Value {
    assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
    if answer.body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

/// The problem of an answer that must be refused with this status and code, in the one shape that all have.
#[track_caller]
pub(crate) fn refused(answer: &HttpAnswer, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text());
    let problem: Value = serde_json::from_slice(&answer.body).expect("a problem is JSON");
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["type"], format!("urn:hausmeister:problem:{code}"), "{problem}");
    let told = |name: &str| problem[name].as_str().is_some_and(|text| !text.is_empty());
    assert!(told("title") && told("detail") && told("request_id"), "{problem}");
    assert_eq!(problem["request_id"].as_str(), answer.header("x-request-id"), "{problem}");
    problem
}

/// A service that tells what reached it.
pub(crate) fn echo(name: &str, more: &str) -> String {
    server(name, "", &format!("run: python3 -I echo.py ${{port}}\n{more}"))
}

/// Stands in for a service on another machine: answers every request with its name. Gives its port.
pub(crate) fn stand(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback interface has a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    if line == "\r\n" {
                        let answer =
                            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
                        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                    line.clear();
                }
            });
        }
    });
    port
}
