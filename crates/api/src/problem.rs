//! Problem details (RFC 9457): the one shape of every error answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Stable codes; a client matches on these, never on the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemCode {
    /// The request cannot be understood.
    BadRequest,
    /// No token, or one that is not valid.
    Unauthorized,
    /// The token is valid, but does not allow this.
    Forbidden,
    /// The named thing does not exist.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The body of the request did not arrive in time.
    RequestTimeout,
    /// Name and owner are taken, or another act is under way on the same thing.
    Conflict,
    /// Another act is under way.
    Busy,
    /// The credential or one-time token was valid once.
    Expired,
    /// `If-Match` names another revision.
    PreconditionFailed,
    /// The body is larger than is accepted here.
    TooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// The request is understood, but a value in it is not allowed.
    Invalid,
    /// The plan on disk has errors, so nothing was changed.
    PlanRefused,
    /// `Idempotency-Key` was used with another request.
    IdempotencyMismatch,
    /// Too many failures or requests; `Retry-After` says when to come back.
    TooManyRequests,
    /// Something of ours went wrong.
    Internal,
    /// The service could not be reached or broke off.
    BadGateway,
    /// No instance of the service can be used.
    Unavailable,
    /// The audit trail cannot be written, so nothing secret is read and nothing is changed.
    TrailUnavailable,
    /// The key ring is missing or does not fit.
    VaultSealed,
    /// The service did not answer in time.
    GatewayTimeout,
}

impl ProblemCode {
    /// All of them, in the order of their statuses.
    pub const ALL: [ProblemCode; 22] = [
        ProblemCode::BadRequest,
        ProblemCode::Unauthorized,
        ProblemCode::Forbidden,
        ProblemCode::NotFound,
        ProblemCode::MethodNotAllowed,
        ProblemCode::RequestTimeout,
        ProblemCode::Conflict,
        ProblemCode::Busy,
        ProblemCode::Expired,
        ProblemCode::PreconditionFailed,
        ProblemCode::TooLarge,
        ProblemCode::UnsupportedMediaType,
        ProblemCode::Invalid,
        ProblemCode::PlanRefused,
        ProblemCode::IdempotencyMismatch,
        ProblemCode::TooManyRequests,
        ProblemCode::Internal,
        ProblemCode::BadGateway,
        ProblemCode::Unavailable,
        ProblemCode::TrailUnavailable,
        ProblemCode::VaultSealed,
        ProblemCode::GatewayTimeout,
    ];

    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            ProblemCode::BadRequest => 400,
            ProblemCode::Unauthorized => 401,
            ProblemCode::Forbidden => 403,
            ProblemCode::NotFound => 404,
            ProblemCode::MethodNotAllowed => 405,
            ProblemCode::RequestTimeout => 408,
            ProblemCode::Conflict => 409,
            ProblemCode::Busy => 409,
            ProblemCode::Expired => 410,
            ProblemCode::PreconditionFailed => 412,
            ProblemCode::TooLarge => 413,
            ProblemCode::UnsupportedMediaType => 415,
            ProblemCode::Invalid => 422,
            ProblemCode::PlanRefused => 422,
            ProblemCode::IdempotencyMismatch => 422,
            ProblemCode::TooManyRequests => 429,
            ProblemCode::Internal => 500,
            ProblemCode::BadGateway => 502,
            ProblemCode::Unavailable => 503,
            ProblemCode::TrailUnavailable => 503,
            ProblemCode::VaultSealed => 503,
            ProblemCode::GatewayTimeout => 504,
        }
    }

    /// The word in answers: `not-found`.
    pub fn as_str(self) -> &'static str {
        match self {
            ProblemCode::BadRequest => "bad-request",
            ProblemCode::Unauthorized => "unauthorized",
            ProblemCode::Forbidden => "forbidden",
            ProblemCode::NotFound => "not-found",
            ProblemCode::MethodNotAllowed => "method-not-allowed",
            ProblemCode::RequestTimeout => "request-timeout",
            ProblemCode::Conflict => "conflict",
            ProblemCode::Busy => "busy",
            ProblemCode::Expired => "expired",
            ProblemCode::PreconditionFailed => "precondition-failed",
            ProblemCode::TooLarge => "too-large",
            ProblemCode::UnsupportedMediaType => "unsupported-media-type",
            ProblemCode::Invalid => "invalid",
            ProblemCode::PlanRefused => "plan-refused",
            ProblemCode::IdempotencyMismatch => "idempotency-mismatch",
            ProblemCode::TooManyRequests => "too-many-requests",
            ProblemCode::Internal => "internal",
            ProblemCode::BadGateway => "bad-gateway",
            ProblemCode::Unavailable => "unavailable",
            ProblemCode::TrailUnavailable => "trail-unavailable",
            ProblemCode::VaultSealed => "vault-sealed",
            ProblemCode::GatewayTimeout => "gateway-timeout",
        }
    }

    /// One line for people.
    pub fn title(self) -> &'static str {
        match self {
            ProblemCode::BadRequest => "the request cannot be understood",
            ProblemCode::Unauthorized => "who asks is not known",
            ProblemCode::Forbidden => "this is not allowed",
            ProblemCode::NotFound => "there is no such thing",
            ProblemCode::MethodNotAllowed => "this method is not offered here",
            ProblemCode::RequestTimeout => "the request took too long to arrive",
            ProblemCode::Conflict => "it is there already, or was changed meanwhile",
            ProblemCode::Busy => "another act is under way",
            ProblemCode::Expired => "it has expired",
            ProblemCode::PreconditionFailed => "it was changed meanwhile",
            ProblemCode::TooLarge => "the request is too large",
            ProblemCode::UnsupportedMediaType => "this media type is not understood",
            ProblemCode::Invalid => "a value is not allowed",
            ProblemCode::PlanRefused => "the plan has errors",
            ProblemCode::IdempotencyMismatch => "the key belongs to another request",
            ProblemCode::TooManyRequests => "too many requests",
            ProblemCode::Internal => "something of ours went wrong",
            ProblemCode::BadGateway => "the service did not answer properly",
            ProblemCode::Unavailable => "nobody can answer at the moment",
            ProblemCode::TrailUnavailable => "the audit trail cannot be written",
            ProblemCode::VaultSealed => "the vault has no key",
            ProblemCode::GatewayTimeout => "the service did not answer in time",
        }
    }
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:hausmeister:problem:CODE`
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's own words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was attempted, on what, and why it failed.
    pub detail: String,
    /// The stable code.
    pub code: ProblemCode,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The request's id, also in the header `X-Request-ID` and in the trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Seconds to wait before asking again, also in the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem with its detail and no hint.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Problem {
        Problem {
            kind: format!("urn:hausmeister:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            hint: None,
            request_id: None,
            retry_after_s: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    /// The same with the time after which asking again makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Problem {
        self.retry_after_s = Some(seconds);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_written_as_it_is_read() {
        for code in ProblemCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn the_type_and_the_code_are_the_same_word() {
        let problem = Problem::new(ProblemCode::MethodNotAllowed, "POST on /health").with_hint("use GET");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "urn:hausmeister:problem:method-not-allowed");
        assert_eq!(json["code"], "method-not-allowed");
        assert_eq!(json["status"], 405);
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    }
}
