//! What a request brings along, read within limits: bodies, queries, parts of the path.
//!
//! Threat: a body that never ends, one that ends never in time, and an error text that quotes a secret value.
//! Faults become problems that name the place and the rule, never the value.

use super::refusal::{Refusal, bad};
use super::{BODY_BYTES_MAX, BODY_PATIENCE};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use haus_api::{Problem, ProblemCode};
use haus_model::Secret;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Characters of a caller's own text that are repeated to it.
const SHOWN_CHARS_MAX: usize = 200;

/// A JSON body of `application/json`.
pub(crate) struct JsonBody<T>(pub T);

/// The parameters of the query.
pub(crate) struct Query<T>(pub T);

/// The parts of the path.
pub(crate) struct Path<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<JsonBody<T>, Refusal> {
        if !is_json(request.headers()) {
            let detail = "the body is read as application/json only, and Content-Type says something else";
            return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail)
                .with_hint("send `Content-Type: application/json`")
                .into());
        }
        let bytes = whole(request.into_body(), BODY_BYTES_MAX, BODY_PATIENCE).await?;
        Ok(JsonBody(parse(bytes.expose_bytes())?))
    }
}

impl<T: DeserializeOwned, S: Sync> OptionalFromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Option<JsonBody<T>>, Refusal> {
        let empty = axum::body::HttpBody::is_end_stream(request.body());
        if empty && !request.headers().contains_key(header::CONTENT_TYPE) {
            return Ok(None);
        }
        <JsonBody<T> as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<T>, Refusal> {
        let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        let axum::extract::Query(value) = read.map_err(|error| {
            let told = shown(&crate::chain(&error));
            Problem::new(ProblemCode::Invalid, format!("the query is not as this path takes it: {told}"))
                .with_hint("GET /openapi.json names the parameters of every path")
        })?;
        Ok(Query(value))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Refusal> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Path(value)),
            Err(error) if error.status().is_server_error() => {
                Err(Problem::new(ProblemCode::Internal, error.body_text()).into())
            }
            // What has no possible name cannot be there.
            Err(error) => Err(Problem::new(ProblemCode::NotFound, shown(&error.body_text())).into()),
        }
    }
}

/// Reads a body to its end.
///
/// # Errors
/// 413 when it is larger, 408 when it takes longer, 400 when it breaks off.
pub(super) async fn whole(mut body: Body, bytes_max: usize, patience: Duration) -> Result<Secret, Problem> {
    let too_large = || {
        Problem::new(
            ProblemCode::TooLarge,
            format!("the body is larger than the {bytes_max} bytes that are read here"),
        )
        .with_hint("send less at once")
    };
    let announced = axum::body::HttpBody::size_hint(&body);
    if announced.lower() > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let expected = announced.exact().and_then(|exact| usize::try_from(exact).ok()).unwrap_or(0);
    let read = async {
        // Of the announced size at once: a growing buffer would leave copies of a secret behind.
        let mut bytes = Vec::with_capacity(expected);
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| bad(format!("the body broke off: {}", crate::chain(&error))))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > bytes_max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Secret::new(bytes))
    };
    tokio::time::timeout(patience, read).await.unwrap_or_else(|_| {
        let detail = format!("the body did not arrive within {} s", patience.as_secs());
        Err(Problem::new(ProblemCode::RequestTimeout, detail).with_hint("send it again, in one go"))
    })
}

/// The same for those who pass it on.
pub(super) async fn whole_bytes(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let bytes = whole(body, bytes_max, BODY_PATIENCE).await?;
    Ok(Bytes::copy_from_slice(bytes.expose_bytes()))
}

/// Reads JSON; what is wrong is told without the values.
///
/// # Errors
/// 400 when it is no JSON, 422 when it has another form.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let told = quiet(&error.to_string());
        match error.classify() {
            serde_json::error::Category::Data => {
                Problem::new(ProblemCode::Invalid, format!("the body has another form: {told}"))
                    .with_hint("GET /openapi.json describes the body of every path")
            }
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => bad(format!("the body is no JSON: {told}")),
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else {
        return false;
    };
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// serde's own words quote what it found (``invalid type: integer `12`, expected a string``), which may be a
/// secret.
fn quiet(text: &str) -> String {
    for start in ["invalid type: ", "invalid value: "] {
        let Some(rest) = text.strip_prefix(start) else { continue };
        let kind: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == ' ').collect();
        // The value may hold the very words that follow it, so the last ones count.
        let expected = rest.rsplit_once(", expected ").map(|(_, expected)| expected).unwrap_or_default();
        return shown(&format!("{start}{}, expected {expected}", kind.trim_end()));
    }
    if let Some((_, expected)) =
        text.strip_prefix("unknown variant `").and_then(|rest| rest.split_once("`, expected "))
    {
        return shown(&format!("unknown word, expected {expected}"));
    }
    shown(text)
}

/// Part of a text without line breaks.
pub(super) fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = plain.take(SHOWN_CHARS_MAX + 1).collect();
    if shown.chars().count() > SHOWN_CHARS_MAX {
        shown.pop();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the reading is looked at")]
    struct Form {
        name: String,
        size: u8,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Round,
    }

    #[track_caller]
    fn check(json: &str, code: ProblemCode, detail: &str) {
        let problem = parse::<Form>(json.as_bytes()).unwrap_err();
        assert_eq!((problem.code, problem.detail.as_str()), (code, detail), "{json}");
    }

    #[test]
    fn faults_of_a_body_are_told_without_its_values() {
        let form = "the body has another form: ";
        check(
            r#"{"name": 12345, "size": 1}"#,
            ProblemCode::Invalid,
            &format!("{form}invalid type: integer, expected a string at line 1 column 14"),
        );
        check(
            r#"{"name": "x", "size": "hunter2, expected me"}"#,
            ProblemCode::Invalid,
            &format!("{form}invalid type: string, expected u8 at line 1 column 44"),
        );
        check(
            r#"{"name": "x", "size": 300}"#,
            ProblemCode::Invalid,
            &format!("{form}invalid value: integer, expected u8 at line 1 column 25"),
        );
        check(
            r#"{"name": "x", "size": 3, "kind": "hunter2"}"#,
            ProblemCode::Invalid,
            &format!("{form}unknown word, expected `round` at line 1 column 42"),
        );
        check(
            r#"{"size": 1}"#,
            ProblemCode::Invalid,
            &format!("{form}missing field `name` at line 1 column 11"),
        );
        check(
            "",
            ProblemCode::BadRequest,
            "the body is no JSON: EOF while parsing a value at line 1 column 0",
        );
    }

    #[tokio::test]
    async fn a_body_is_read_to_its_limit_and_not_beyond() {
        let read = async |bytes: usize| whole(Body::from(vec![7; bytes]), 10, Duration::from_secs(9)).await;
        assert_eq!(read(10).await.unwrap().expose_bytes(), [7; 10]);
        assert_eq!(read(11).await.unwrap_err().code, ProblemCode::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let body = Body::new(Never);
        let problem = whole(body, 10, Duration::from_secs(9)).await.unwrap_err();
        assert_eq!(problem.code, ProblemCode::RequestTimeout);
    }

    /// A body that has nothing and does not end.
    struct Never;

    impl axum::body::HttpBody for Never {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Pending
        }
    }
}
