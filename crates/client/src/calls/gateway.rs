//! `/api/gateway`.

use crate::path::Path;
use crate::{Client, ClientError, encoded};
use haus_api::gateway::{GatewayStatus, ProxyRequest, ProxyResponse};
use std::time::Duration;

impl Client {
    /// Calls a service through the gateway.
    ///
    /// # Errors
    /// See [`ClientError`]; whatever the service answers is no error.
    pub async fn proxy(&self, request: &ProxyRequest) -> Result<ProxyResponse, ClientError> {
        let path = Path::new("/api/gateway/proxy").build();
        let body = encoded(&path, request)?;
        let within = self.patience + Duration::from_secs(request.timeout_seconds);
        self.call("POST", path, body, None, within).await
    }

    /// How the gateway does.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn gateway_status(&self) -> Result<GatewayStatus, ClientError> {
        self.get(Path::new("/api/gateway/status")).await
    }
}
