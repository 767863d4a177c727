//! A place that is held until the last byte of an answer has left.

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Gives the place back when the answer's body has been sent, or given up.
pub(crate) fn until_sent<P: Send + Unpin + 'static>(response: Response, place: P) -> Response {
    response.map(|body| Body::new(Held { body, _place: place }))
}

struct Held<P> {
    body: Body,
    _place: P,
}

impl<P: Unpin> HttpBody for Held<P> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn a_place_is_free_again_when_the_answer_is_read_and_not_before() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        let response = until_sent(Response::new(Body::from("all of it")), place);
        assert_eq!((response.body().size_hint().exact(), places.available_permits()), (Some(9), 0));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "all of it");
        assert_eq!(places.available_permits(), 1);
    }
}
