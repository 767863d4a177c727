//! One change of the registry in the form in which watchers get it: written as JSON once, by whoever needs it
//! first, and shared by everybody else.

use crate::answer;
use crate::clock::Clock;
use bytes::Bytes;
use haus_model::ServiceName;
use haus_watch::registry::{Entry, RegistryChange, What};
use std::sync::{Arc, OnceLock};

/// The line feeds that end a server-sent event.
const END: &str = "\n\n";

/// A change and its text.
#[derive(Debug)]
pub(crate) struct Frame {
    change: Arc<RegistryChange>,
    /// How people and watchers call the instance: `api/1`, `scanner/desk-1`.
    name: String,
    written: OnceLock<Written>,
}

#[derive(Debug)]
struct Written {
    /// The whole server-sent event.
    event: Bytes,
    /// The change alone, a part of the same memory.
    json: Bytes,
}

impl Frame {
    /// A change that nobody has written yet. `name` is the instance's id in answers.
    pub(super) fn new(change: Arc<RegistryChange>, name: String) -> Frame {
        Frame { change, name, written: OnceLock::new() }
    }

    /// Its revision.
    pub(crate) fn revision(&self) -> u64 {
        self.change.revision
    }

    /// The service that it is about.
    pub(crate) fn service(&self) -> &ServiceName {
        &self.change.id.service
    }

    /// How the instance is called in answers.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The instance as it is from this change on; none when it was removed.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        match &self.change.what {
            What::Put(entry) => Some(entry),
            What::Removed { .. } => None,
        }
    }

    /// The change in JSON.
    pub(crate) fn json(&self, clock: Clock) -> Bytes {
        self.written(clock).json.clone()
    }

    /// The change as a server-sent event.
    pub(crate) fn event(&self, clock: Clock) -> Bytes {
        self.written(clock).event.clone()
    }

    fn written(&self, clock: Clock) -> &Written {
        self.written.get_or_init(|| {
            let told = answer::change(&self.change, &self.name, clock);
            let json = serde_json::to_string(&told).expect("texts and numbers are plain JSON");
            let head = format!("event: change\nid: {}\ndata: ", self.change.revision);
            let event = Bytes::from(format!("{head}{json}{END}"));
            let json = event.slice(head.len()..event.len() - END.len());
            Written { event, json }
        })
    }
}
