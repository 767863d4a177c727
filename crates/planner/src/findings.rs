//! Findings about a host, made in one way: the subject is always `host NAME`.
//! Which of them block is said by their severity; codes and titles are the model's.

use haus_model::host_code::HostCode;
use haus_model::{Finding, HostName};

/// Makes findings about one host.
#[derive(Clone, Copy)]
pub(crate) struct About<'a>(pub &'a HostName);

impl About<'_> {
    pub(crate) fn finding(
        self,
        code: HostCode,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        code.finding(format!("host {}", self.0), message, remedy)
    }
}
