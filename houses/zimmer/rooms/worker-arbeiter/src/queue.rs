//! The queue of jobs in Redis: which keys there are and when a job moves between them. It computes nothing
//! itself and knows no HTTP.
//!
//! A job waits in one list, moves into the running list of an instance in one step, and leaves it only when
//! its result is stored. So an instance that dies loses no job: it finds it there when it starts again.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::jobs::Job;
use crate::redis::{Redis, Reply};
use crate::say;

const WAITING: &str = "arbeiter:waiting";
const LAST_ID: &str = "arbeiter:last-id";
const WAITING_MAX: i64 = 1000;
const RESULT_KEPT_S: &str = "3600";
/// How long taking a job may block; also how soon the worker notices that the room ends.
const TAKE_WITHIN_S: &str = "1";
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The queue as one instance sees it.
pub(crate) struct Queue {
    redis: Mutex<Redis>,
    instance: String,
}

impl Queue {
    pub(crate) fn new(redis: Redis, instance: String) -> Queue {
        Queue { redis: Mutex::new(redis), instance }
    }

    /// Puts a job into the queue and gives its id, or `None` when too many wait.
    pub(crate) fn put(&self, job: &Job) -> io::Result<Option<i64>> {
        if self.send(&["LLEN", WAITING])?.number() >= WAITING_MAX {
            return Ok(None);
        }
        let id = self.send(&["INCR", LAST_ID])?.number();
        let mut waiting = job.to_json();
        waiting["id"] = json!(id);
        let state = json!({ "id": id, "state": "waiting", "job": job.to_json() });
        self.send(&["SET", &result_key(id), &state.to_string(), "EX", RESULT_KEPT_S])?;
        self.send(&["LPUSH", WAITING, &waiting.to_string()])?;
        Ok(Some(id))
    }

    /// What is known about a job.
    pub(crate) fn look_up(&self, id: i64) -> io::Result<Option<Value>> {
        let found = self.send(&["GET", &result_key(id)])?.text();
        Ok(found.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// How many jobs wait, and the last id given.
    pub(crate) fn figures(&self) -> io::Result<Value> {
        let waiting = self.send(&["LLEN", WAITING])?.number();
        let last =
            self.send(&["GET", LAST_ID])?.text().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
        Ok(json!({ "waiting": waiting, "accepted": last }))
    }

    /// Proves that Redis answers.
    pub(crate) fn ping(&self) -> io::Result<String> {
        Ok(self.send(&["PING"])?.text().unwrap_or_default())
    }

    /// Computes jobs until the room ends.
    pub(crate) fn work_until(&self, ending: &AtomicBool) {
        let mut taken_back = false;
        while !ending.load(Ordering::SeqCst) {
            let step =
                if taken_back { self.work_once() } else { self.take_back().map(|()| taken_back = true) };
            if let Err(error) = step {
                say(&format!("the queue cannot be reached: {error}"));
                std::thread::sleep(PAUSE_AFTER_FAILURE);
            }
        }
    }

    /// Jobs that this instance held when it ended go to the front of the queue.
    fn take_back(&self) -> io::Result<()> {
        while self.send(&["LMOVE", &self.running(), WAITING, "LEFT", "RIGHT"])? != Reply::Nothing {
            say("a job of the last run is taken up again");
        }
        Ok(())
    }

    fn work_once(&self) -> io::Result<()> {
        let taken = self.send(&["BLMOVE", WAITING, &self.running(), "RIGHT", "LEFT", TAKE_WITHIN_S])?;
        let Some(text) = taken.text() else { return Ok(()) };
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        match (value["id"].as_i64(), Job::from_json(&value)) {
            (Some(id), Ok(job)) => {
                let result = json!({
                    "id": id, "state": "done", "job": job.to_json(), "result": job.compute(), "by": self.instance,
                });
                self.send(&["SET", &result_key(id), &result.to_string(), "EX", RESULT_KEPT_S])?;
            }
            // Only a foreign hand can have put it there; keeping it would make every start stumble over it.
            (_, Err(reason)) => say(&format!("a job was dropped: {reason}")),
            (None, Ok(_)) => say("a job without id was dropped"),
        }
        self.send(&["LREM", &self.running(), "1", &text])?;
        Ok(())
    }

    fn running(&self) -> String {
        format!("arbeiter:running:{}", self.instance)
    }

    fn send(&self, words: &[&str]) -> io::Result<Reply> {
        // A panic under the lock leaves at worst a closed connection, which the next command opens again.
        self.redis.lock().unwrap_or_else(PoisonError::into_inner).send(words)
    }
}

fn result_key(id: i64) -> String {
    format!("arbeiter:job:{id}")
}
