//! `/api/alerts`.

use crate::path::Path;
use crate::{Client, ClientError};
use haus_api::alert::{Alerts, Silence, SilenceRequest};

impl Client {
    /// Alerts, silences, maintenance and what is on its way.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn alerts(&self) -> Result<Alerts, ClientError> {
        self.get(Path::new("/api/alerts")).await
    }

    /// The same with alerts that are over in the place of those that last.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn past_alerts(&self) -> Result<Alerts, ClientError> {
        self.get(Path::new("/api/alerts").query("state", Some("past"))).await
    }

    /// Asks for quiet.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn silence(&self, request: &SilenceRequest) -> Result<Silence, ClientError> {
        self.post(Path::new("/api/alerts/silences"), request).await
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn unsilence(&self, id: &str) -> Result<(), ClientError> {
        self.delete(Path::new("/api/alerts/silences").segment(id)).await
    }
}
