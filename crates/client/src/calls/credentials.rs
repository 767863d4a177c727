//! `/api/credentials`.

use crate::path::Path;
use crate::{Client, ClientError, encoded};
use haus_api::credential::{
    Credential, CredentialCreate, CredentialsQuery, RotateRequest, RotationView, ServiceCredentials, Version,
};
use haus_api::page::{LIMIT_MAX, Page, PageQuery, SortOrder};
use haus_api::trail::TrailEntry;
use haus_model::{Secret, ServiceName};
use serde::{Serialize, Serializer};

/// What `PATCH /api/credentials/{id}` changes. A field that is none stays; an inner none clears it.
#[derive(Debug, Default, Serialize)]
pub struct CredentialChange {
    /// A new value: begins a rotation with it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub value: Option<Secret>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Option<String>>,
    /// An object of the owner's own; replaces the former.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
    /// Services that may have it, beside the owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<ServiceName>>,
    /// RFC 3339: when the value may no longer be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Option<String>>,
    /// Whether a rotation is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_required: Option<bool>,
    /// Days between rotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_days: Option<Option<u32>>,
}

fn exposed<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(secret) = secret else { return serializer.serialize_none() };
    let text = std::str::from_utf8(secret.expose_bytes());
    serializer.serialize_str(text.map_err(|_| serde::ser::Error::custom("a secret is no text"))?)
}

/// Which credentials to list; all pages are read.
#[derive(Clone, Debug, Default)]
pub struct CredentialFilter {
    /// Only those that this service may have.
    pub service: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of this name.
    pub name: Option<String>,
}

impl CredentialFilter {
    fn query(&self, skip: u64) -> CredentialsQuery {
        CredentialsQuery {
            service: self.service.clone(),
            credential_type: self.kind.clone(),
            name: self.name.clone(),
            sort_by: Some("name".to_owned()),
            sort_order: None,
            skip: (skip > 0).then_some(skip),
            limit: Some(LIMIT_MAX),
        }
    }
}

fn listed(query: &CredentialsQuery) -> Path {
    let order = query.sort_order.map(|order| match order {
        SortOrder::Asc => "asc",
        SortOrder::Desc => "desc",
    });
    Path::new("/api/credentials")
        .query("service", query.service.as_ref())
        .query("credential_type", query.credential_type.as_ref())
        .query("name", query.name.as_ref())
        .query("sort_by", query.sort_by.as_ref())
        .query("sort_order", order)
        .query("skip", query.skip)
        .query("limit", query.limit)
}

fn one(id: &str) -> Path {
    Path::new("/api/credentials").segment(id)
}

impl Client {
    /// One page of the credentials, without values.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn credentials(&self, query: &CredentialsQuery) -> Result<Page<Credential>, ClientError> {
        self.get(listed(query)).await
    }

    /// All credentials that are meant, by name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn all_credentials(&self, wanted: &CredentialFilter) -> Result<Vec<Credential>, ClientError> {
        let mut found: Vec<Credential> = Vec::new();
        loop {
            let skip = u64::try_from(found.len()).unwrap_or(u64::MAX);
            let page = self.credentials(&wanted.query(skip)).await?;
            let is_last = page.items.is_empty();
            found.extend(page.items);
            if is_last || u64::try_from(found.len()).unwrap_or(u64::MAX) >= page.total {
                return Ok(found);
            }
        }
    }

    /// A credential by its id, without its value.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn credential(&self, id: &str) -> Result<Credential, ClientError> {
        self.get(one(id)).await
    }

    /// Makes a credential.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_credential(&self, wanted: &CredentialCreate) -> Result<Credential, ClientError> {
        self.post(Path::new("/api/credentials"), wanted).await
    }

    /// Changes a credential; with `revision` only when it still has that one.
    ///
    /// # Errors
    /// See [`ClientError`]; another revision is [`haus_api::ProblemCode::PreconditionFailed`].
    pub async fn change_credential(
        &self,
        id: &str,
        revision: Option<u64>,
        change: &CredentialChange,
    ) -> Result<Credential, ClientError> {
        let path = one(id).build();
        let body = encoded(&path, change)?;
        self.call("PATCH", path, body, revision, self.patience).await
    }

    /// Removes a credential with all its versions.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_credential(&self, id: &str) -> Result<(), ClientError> {
        self.delete(one(id)).await
    }

    /// Its versions, without values.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn credential_versions(&self, id: &str) -> Result<Vec<Version>, ClientError> {
        self.get(one(id).segment("versions")).await
    }

    /// The entries of the trail about it, the newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn credential_audit(&self, id: &str, page: PageQuery) -> Result<Vec<TrailEntry>, ClientError> {
        self.get(one(id).segment("audit").query("skip", page.skip).query("limit", page.limit)).await
    }

    /// Begins a rotation.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rotate_credential(
        &self,
        id: &str,
        how: &RotateRequest,
    ) -> Result<RotationView, ClientError> {
        self.post(one(id).segment("rotate"), how).await
    }

    /// The credentials of a service with their values; only its own token gets them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn service_credentials(
        &self,
        service: &ServiceName,
    ) -> Result<ServiceCredentials, ClientError> {
        self.get(Path::new("/api/credentials/service").segment(service.as_str())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: &CredentialChange, expected: &str) {
        assert_eq!(serde_json::to_string(change).unwrap(), expected);
    }

    #[test]
    fn what_is_not_named_stays_and_what_is_emptied_is_null() {
        check(&CredentialChange::default(), "{}");
        let change = CredentialChange {
            value: Some(Secret::from("v".to_owned())),
            description: Some(None),
            rotate_days: Some(Some(30)),
            ..CredentialChange::default()
        };
        check(&change, r#"{"value":"v","description":null,"rotate_days":30}"#);
        let read: haus_api::credential::CredentialUpdate =
            serde_json::from_str(r#"{"value":"v","description":null,"rotate_days":30}"#).unwrap();
        assert_eq!((read.description, read.rotate_days, read.expires_at), (Some(None), Some(Some(30)), None));
    }

    #[test]
    fn a_list_asks_for_whole_pages() {
        let wanted = CredentialFilter { service: Some("web".to_owned()), ..CredentialFilter::default() };
        assert_eq!(
            listed(&wanted.query(1_000)).build(),
            "/api/credentials?service=web&sort_by=name&skip=1000&limit=1000"
        );
    }
}
