//! Problem details (RFC 9457): the one shape of every error answer.

use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Stable codes; a client matches on these, never on the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemCode {
    /// The request cannot be understood.
    BadRequest,
    /// The named thing does not exist.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The plan on disk has errors, so nothing was changed.
    PlanRefused,
    /// Another act is under way.
    Busy,
    /// Something of ours went wrong.
    Internal,
}

impl ProblemCode {
    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            ProblemCode::BadRequest => 400,
            ProblemCode::NotFound => 404,
            ProblemCode::MethodNotAllowed => 405,
            ProblemCode::Busy => 409,
            ProblemCode::PlanRefused => 422,
            ProblemCode::Internal => 500,
        }
    }

    fn title(self) -> &'static str {
        match self {
            ProblemCode::BadRequest => "the request cannot be understood",
            ProblemCode::NotFound => "there is no such thing",
            ProblemCode::MethodNotAllowed => "this method is not offered here",
            ProblemCode::PlanRefused => "the plan has errors",
            ProblemCode::Busy => "another act is under way",
            ProblemCode::Internal => "something of ours went wrong",
        }
    }
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Problem {
    /// A problem with its detail and no hint.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Problem {
        Problem {
            kind: format!("urn:hausmeister:problem:{}", code_text(code)),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            hint: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }
}

fn code_text(code: ProblemCode) -> &'static str {
    match code {
        ProblemCode::BadRequest => "bad-request",
        ProblemCode::NotFound => "not-found",
        ProblemCode::MethodNotAllowed => "method-not-allowed",
        ProblemCode::PlanRefused => "plan-refused",
        ProblemCode::Busy => "busy",
        ProblemCode::Internal => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
