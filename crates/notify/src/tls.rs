//! Whom we trust to say who a receiver is: the certificates of the system, read for each delivery, so that a
//! new one counts without a restart. Knows no receiver.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// What is spoken inside.
#[derive(Clone, Copy)]
pub(crate) enum Protocol {
    /// HTTP/1.1, and said so (RFC 7301).
    Http,
    /// SMTP, which has no name there.
    Mail,
}

/// Where the roots come from.
pub(crate) enum Trust {
    /// The system's store, or the files named by `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    System,
    /// Only this one.
    #[cfg(test)]
    Only(CertificateDer<'static>),
}

impl Trust {
    /// The roots.
    ///
    /// # Errors
    /// A sentence when there are none.
    pub(crate) async fn roots(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        match self {
            #[cfg(test)]
            Trust::Only(certificate) => Ok(vec![certificate.clone()]),
            Trust::System => {
                let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
                let certificates = loaded.map(|result| result.certs).unwrap_or_default();
                if certificates.is_empty() {
                    let why = "this machine trusts no certificate at all; install `ca-certificates` or set SSL_CERT_FILE";
                    return Err(String::from(why));
                }
                Ok(certificates)
            }
        }
    }

    /// A configuration without a certificate of our own.
    ///
    /// # Errors
    /// A sentence when there are no roots.
    pub(crate) async fn client_config(&self, protocol: Protocol) -> Result<Arc<ClientConfig>, String> {
        let mut store = RootCertStore::empty();
        // A system's store may hold some that cannot be read; the others count.
        store.add_parsable_certificates(self.roots().await?);
        // Named, since a process may have been linked with several providers.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs knows TLS 1.2 and 1.3");
        let mut config = config.with_root_certificates(store).with_no_client_auth();
        config.alpn_protocols = match protocol {
            Protocol::Http => vec![b"http/1.1".to_vec()],
            Protocol::Mail => Vec::new(),
        };
        Ok(Arc::new(config))
    }
}
