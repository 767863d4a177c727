//! What the room answers: paths to use cases. It knows no sockets.

use std::io;

use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::jobs::{Job, KINDS};
use crate::queue::Queue;

const GERMAN: &str = "Rechnet Aufträge, die in Redis warten; zwei Arbeiter teilen sich eine Warteschlange.";
const ENGLISH: &str = "Computes jobs that wait in Redis; two workers share one queue.";

/// The room as its callers see it.
pub(crate) struct Front {
    queue: Queue,
    name: String,
    instance: String,
}

impl Front {
    pub(crate) fn new(queue: Queue, instance: String) -> Front {
        let name = std::env::var("HAUS_SERVICE").unwrap_or_else(|_| "worker-arbeiter".to_owned());
        Front { queue, name, instance }
    }

    /// Answers one request.
    pub(crate) fn answer(&self, request: &Request) -> Response {
        let result = match (request.method.as_str(), request.path.as_str()) {
            ("GET" | "HEAD", "/") => Ok(self.about(request)),
            ("GET" | "HEAD", "/health") => Ok(self.health()),
            ("GET" | "HEAD", "/kinds") => Ok(Response::json(200, &kinds())),
            ("GET" | "HEAD", "/queue") => self.queue.figures().map(|figures| Response::json(200, &figures)),
            ("POST", "/jobs") => self.put(request),
            ("GET" | "HEAD", path) => match path.strip_prefix("/jobs/").and_then(|id| id.parse().ok()) {
                Some(id) => self.look_up(id),
                None => Ok(problem(404, "no such path")),
            },
            _ => Ok(problem(405, "this path has other methods")),
        };
        result.unwrap_or_else(|error| problem(503, &format!("Redis: {error}")))
    }

    fn about(&self, request: &Request) -> Response {
        let examples = ["/kinds", "/queue", "/health"];
        if request.accepts_html {
            return Response::html(&self.page(&examples));
        }
        let about = json!({ "de": GERMAN, "en": ENGLISH });
        let body =
            json!({ "service": self.name, "instance": self.instance, "about": about, "try": examples });
        Response::json(200, &body)
    }

    fn page(&self, examples: &[&str]) -> String {
        // The name comes from the plan, whose names hold only letters, digits and dashes: nothing to escape.
        let name = &self.name;
        let items: String =
            examples.iter().map(|path| format!("<li><a href=\"{path}\">{path}</a></li>")).collect();
        format!(
            "<!doctype html><html lang=\"de\"><head><meta charset=\"utf-8\"><title>{name}</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><style>body{{font:1rem/1.5 system-ui;\
             max-width:40rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}}</style></head>\
             <body><h1>{name}</h1><p>{GERMAN}</p><p lang=\"en\">{ENGLISH}</p><ul>{items}</ul></body></html>"
        )
    }

    fn health(&self) -> Response {
        let (status, code, seen) = match self.queue.ping() {
            Ok(answer) => ("healthy", 200, answer),
            Err(error) => ("unhealthy", 503, format!("failed: {error}")),
        };
        let checks = json!({ "redis": seen });
        let body =
            json!({ "status": status, "service": self.name, "instance": self.instance, "checks": checks });
        Response::json(code, &body)
    }

    fn put(&self, request: &Request) -> io::Result<Response> {
        let Ok(value) = serde_json::from_slice::<Value>(&request.body) else {
            return Ok(problem(400, "the body is not JSON"));
        };
        let job = match Job::from_json(&value) {
            Ok(job) => job,
            Err(reason) => return Ok(problem(422, &reason)),
        };
        Ok(match self.queue.put(&job)? {
            Some(id) => Response::json(202, &json!({ "id": id, "see": format!("/jobs/{id}") })),
            None => problem(503, "too many jobs wait"),
        })
    }

    fn look_up(&self, id: i64) -> io::Result<Response> {
        let found = self.queue.look_up(id)?;
        Ok(found.map_or_else(|| problem(404, "no such job"), |job| Response::json(200, &job)))
    }
}

fn kinds() -> Value {
    KINDS.iter().map(|(name, german, english)| json!({ "kind": name, "de": german, "en": english })).collect()
}

fn problem(status: u16, detail: &str) -> Response {
    Response::json(status, &json!({ "detail": detail }))
}
