//! A mistake of ours in one handler costs one answer, not the API.

use super::named::RequestId;
use crate::api::refusal::Refusal;
use crate::desk::Desk;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use haus_api::{Problem, ProblemCode};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// Answers for a handler that panicked. The text of the panic goes to standard error with its place, never
/// into an answer: nobody knows what stands in it.
pub(super) async fn caught(
    desk: &Desk,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let (id, method, uri) = (RequestId::of(&request), request.method().clone(), request.uri().clone());
    let answer = Caught(pin!(next(request))).await;
    answer.unwrap_or_else(|Panicked| {
        desk.note(&format!(
            "the handler of {} failed by a mistake of ours (request {id})",
            crate::api::input::shown(&format!("{method} {}", uri.path()))
        ));
        Refusal::from(mistake()).into_response()
    })
}

fn mistake() -> Problem {
    Problem::new(ProblemCode::Internal, "a mistake of ours ended the work on this request; others go on")
        .with_hint("report it with the request's id; the core's log has the place")
}

struct Panicked;

struct Caught<'a, F>(Pin<&'a mut F>);

impl<F: Future> Future for Caught<'_, F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // It is not polled again after a panic, so nothing half done is seen; locks of ours survive
        // poisoning.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_future_and_a_value_passes() {
        assert!(Caught(pin!(async { 7 })).await.is_ok_and(|value| value == 7));
        let panics = async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "a panic of this test");
        };
        assert!(Caught(pin!(panics)).await.is_err());
    }
}
