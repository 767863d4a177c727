//! `/health`, `/ready` and `/api/health`.

use crate::path::Path;
use crate::{Client, ClientError};
use haus_api::health::{HealthHistory, HealthHistoryQuery, Ready, SystemHealth};
use haus_api::registry::{Health, ServicesHealth};

impl Client {
    /// The coordinator itself.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get(Path::new("/health")).await
    }

    /// Whether the house decides and what it does can be kept; it refuses when not.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ready(&self) -> Result<Ready, ClientError> {
        self.get(Path::new("/ready")).await
    }

    /// The whole house with its database.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn system_health(&self) -> Result<SystemHealth, ClientError> {
        self.get(Path::new("/api/health/system")).await
    }

    /// All services.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn services_health(&self) -> Result<ServicesHealth, ClientError> {
        self.get(Path::new("/api/health/services")).await
    }

    /// Changes of health, the newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn health_history(&self, query: &HealthHistoryQuery) -> Result<HealthHistory, ClientError> {
        let path = Path::new("/api/health/history")
            .query("service", query.service.as_ref())
            .query("since", query.since.as_ref())
            .query("until", query.until.as_ref())
            .query("before", query.before)
            .query("limit", query.limit);
        self.get(path).await
    }
}
