//! `/control`: what only the house's own account and root may ask, over the control socket.

use crate::path::Path;
use crate::{Client, ClientError};
use bytes::Bytes;
use haus_api::control::{self, DeployValue, Deployable, Done, Events, Reloaded, RestartRequest};
use haus_api::status::HouseStatus;
use haus_model::Secret;
use haus_model::resource::SecretVersion;
use std::time::Duration;

/// What to read of the journal.
#[derive(Clone, Debug, Default)]
pub struct EventsQuery {
    /// Only of this service or instance.
    pub subject: Option<String>,
    /// Only what came after this event.
    pub after_seq: Option<u64>,
    /// At most so many; the newest when `after_seq` is absent.
    pub limit: Option<usize>,
    /// How long to wait for a first event.
    pub wait: Option<Duration>,
}

impl EventsQuery {
    fn path(&self) -> Path {
        let wait = self.wait.filter(|wait| !wait.is_zero());
        Path::new(control::EVENTS)
            .query("limit", Some(self.limit.unwrap_or(50)))
            .query("subject", self.subject.as_ref())
            .query("after", self.after_seq)
            .query("wait_ms", wait.map(|wait| wait.as_millis()))
    }
}

impl Client {
    /// The state of the whole house.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&self) -> Result<HouseStatus, ClientError> {
        self.get(Path::new(control::STATUS)).await
    }

    /// Events of the journal, oldest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, query: &EventsQuery) -> Result<Events, ClientError> {
        let within = self.patience + query.wait.unwrap_or_default();
        self.call("GET", query.path().build(), Bytes::new(), None, within).await
    }

    /// Restarts a service or an instance.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn restart(&self, request: &RestartRequest) -> Result<Done, ClientError> {
        self.post(Path::new(control::RESTART), request).await
    }

    /// The versions of the plan's credentials, for whoever plans what hosts get.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deployable(&self) -> Result<Deployable, ClientError> {
        self.get(Path::new(control::DEPLOYABLE)).await
    }

    /// One value that the plan brings to a host. Only over the control socket; it stands in the trail.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deploy_value(&self, wanted: &SecretVersion) -> Result<Secret, ClientError> {
        let answer: DeployValue = self.post(Path::new(control::DEPLOY_VALUE), wanted).await?;
        Ok(answer.value)
    }

    /// Reads the plan again and applies the difference.
    ///
    /// # Errors
    /// See [`ClientError`]; a plan with errors is [`haus_api::ProblemCode::PlanRefused`].
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        self.post(Path::new(control::RELOAD), &()).await
    }

    /// Asks the house to drain and end.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn down(&self) -> Result<Done, ClientError> {
        self.post(Path::new(control::DOWN), &()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &EventsQuery, expected: &str) {
        assert_eq!(query.path().build(), expected);
    }

    #[test]
    fn a_query_without_wishes_asks_for_the_newest_fifty() {
        check(&EventsQuery::default(), "/control/events?limit=50");
    }

    #[test]
    fn a_follower_asks_for_what_comes_after() {
        let query = EventsQuery {
            subject: Some("web/2".to_owned()),
            after_seq: Some(7),
            limit: Some(1_000),
            wait: Some(Duration::from_secs(2)),
        };
        check(&query, "/control/events?limit=1000&subject=web/2&after=7&wait_ms=2000");
    }
}
