//! `/api/vault`.

use crate::path::Path;
use crate::{Client, ClientError};
use haus_api::identity::KeyRotated;
use haus_api::vault::VaultStatus;

impl Client {
    /// How the vault is, and under which keys what stands in it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn vault(&self) -> Result<VaultStatus, ClientError> {
        self.get(Path::new("/api/vault")).await
    }

    /// Makes a new key of the key ring; everything in the vault is wrapped anew with it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rotate_vault_key(&self) -> Result<KeyRotated, ClientError> {
        let path = Path::new("/api/vault/rotate-key").build();
        self.call("POST", path, bytes::Bytes::new(), None, self.patience).await
    }
}
