//! `/api/trail`.

use crate::door::Ask;
use crate::path::Path;
use crate::{Client, ClientError, refused};
use bytes::Bytes;
use haus_api::trail::{Trail, TrailHead, TrailQuery};
use std::future::Future;
use std::ops::ControlFlow;

impl Client {
    /// Entries of the audit trail.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn trail(&self, query: &TrailQuery) -> Result<Trail, ClientError> {
        let path = Path::new("/api/trail")
            .query("after", query.after)
            .query("before", query.before)
            .query("subject", query.subject.as_ref())
            .query("actor", query.actor.as_ref())
            .query("action", query.action.as_ref())
            .query("limit", query.limit);
        self.get(path).await
    }

    /// The end of the trail.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn trail_head(&self) -> Result<TrailHead, ClientError> {
        self.get(Path::new("/api/trail/head")).await
    }

    /// The whole trail as JSON lines, oldest first, part by part as it arrives; `take` may say that it has
    /// enough. Only a call that returns without an error has given everything.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn export_trail<B>(
        &self,
        mut take: impl FnMut(&[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, ClientError> {
        let path = Path::new("/api/trail/export").build();
        let ask = Ask { method: "GET", path: path.clone(), body: Bytes::new(), bearer: None, revision: None };
        let mut answer = self.patiently(&path, self.ask(ask)).await?;
        if !(200..300).contains(&answer.status) {
            let bytes = self.patiently(&path, answer.whole()).await?;
            return Err(refused(&path, &bytes));
        }
        while let Some(part) = self.patiently(&path, answer.part()).await? {
            if let ControlFlow::Break(enough) = take(&part) {
                return Ok(ControlFlow::Break(enough));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A step of a long answer.
    async fn patiently<T>(
        &self,
        path: &str,
        step: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let within = self.patience;
        let late = |_| ClientError::Timeout { path: path.to_owned(), within };
        tokio::time::timeout(within, step).await.map_err(late)?
    }
}
