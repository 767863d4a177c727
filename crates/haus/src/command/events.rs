//! `haus events`: what happened, to whom and why.

use super::{block_on, client, client_failure};
use crate::arguments::Events;
use crate::exit::{Code, DONE, Failure, WRONG_USE};
use crate::terminal::Reader;
use crate::{locate, terminal};
use haus_api::control::Event;
use haus_client::{Client, ClientError, EventsQuery};
use haus_coordinator::Places;
use haus_model::{InstanceId, ServiceName};
use std::pin::pin;
use std::time::Duration;

/// How long one request of a following reader waits for something new.
const WAIT: Duration = Duration::from_secs(20);
/// How often a following reader looks whether somebody still reads, and for a core that is away.
const TICK: Duration = Duration::from_millis(500);

pub(crate) fn cmd_events(arguments: &Events) -> Result<Code, Failure> {
    let subject = arguments.subject.as_deref().map(subject).transpose()?;
    let places = locate::running(arguments.target.path.as_deref(), arguments.target.state.as_deref())?;
    let client = client(&places);
    let query = EventsQuery { subject, limit: Some(arguments.lines), ..EventsQuery::default() };
    block_on(show(&client, &places, query, arguments))?
}

/// A name as it can stand in the journal.
fn subject(text: &str) -> Result<String, Failure> {
    let parsed = match text.parse::<InstanceId>() {
        Ok(id) => Ok(id.to_string()),
        Err(error) if text.contains('/') => Err(error),
        Err(_) => text.parse::<ServiceName>().map(|name| name.to_string()),
    };
    parsed.map_err(|error| {
        Failure::new(WRONG_USE, format!("`{}` names nothing: {error}", text.escape_debug()))
            .hint("name a service or one instance (`SERVICE/2`); `haus status` lists them")
    })
}

async fn show(
    client: &Client,
    places: &Places,
    mut query: EventsQuery,
    arguments: &Events,
) -> Result<Code, Failure> {
    loop {
        let Some(answer) = while_read(client, &query).await else { return Ok(DONE) };
        let events = match answer {
            Ok(events) => events,
            // The core may be away for a moment; a follower outlives that.
            Err(error) if arguments.follow && query.after_seq.is_some() && error.is_transient() => {
                tokio::time::sleep(TICK).await;
                continue;
            }
            Err(error) => return Err(client_failure(&error, places)),
        };
        let line = |event| if arguments.json { json(event) } else { text(event) };
        let lines: String = events.events.iter().map(|event| format!("{}\n", line(event))).collect();
        if terminal::follow(&lines)? == Reader::Gone || !arguments.follow {
            return Ok(DONE);
        }
        query = EventsQuery {
            after_seq: Some(events.last_seq),
            limit: Some(1_000),
            wait: Some(WAIT),
            subject: query.subject,
        };
    }
}

/// The answer, or nothing when the reader of our output has left meanwhile.
async fn while_read(
    client: &Client,
    query: &EventsQuery,
) -> Option<Result<haus_api::control::Events, ClientError>> {
    let mut answer = pin!(client.events(query));
    loop {
        match tokio::time::timeout(TICK, answer.as_mut()).await {
            Ok(answer) => return Some(answer),
            Err(_) if terminal::reader() == Reader::Gone => return None,
            Err(_) => {}
        }
    }
}

fn json(event: &Event) -> String {
    serde_json::to_string(event).expect("an event is plain data")
}

fn text(event: &Event) -> String {
    let change = match (&event.from, &event.to) {
        (Some(from), Some(to)) => format!("{from} → {to}"),
        (None, Some(to)) => to.clone(),
        (Some(_) | None, None) => event.kind.clone(),
    };
    format!("{}  {:<28}  {:<24}  {}", event.at, event.subject, change, event.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        match (subject(text), expected) {
            (Ok(told), Some(expected)) => assert_eq!(told, expected),
            (Err(failure), None) => assert_eq!((failure.code, failure.hint.is_some()), (WRONG_USE, true)),
            (told, expected) => panic!("{text:?}: {told:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn services_and_instances_are_subjects() {
        check("web", Some("web"));
        check("web/2", Some("web/2"));
        check("house", Some("house"));
    }

    #[test]
    fn what_can_be_no_name_is_wrong_use() {
        for text in ["a b", "", "web/", "web/x", "/1", "../status", "a&limit=1", "web?x"] {
            check(text, None);
        }
    }
}
