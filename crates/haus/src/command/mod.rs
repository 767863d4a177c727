//! One file per command; this one only hands over.

mod alerts;
mod check;
mod core;
mod credential;
mod discover;
mod down;
mod events;
mod explain;
mod hosts;
mod init;
mod logs;
mod parent;
mod progress;
mod reload;
mod restart;
mod running;
mod schema;
mod services;
mod status;
mod table;
mod token;
mod trail;
mod up;
mod vault;

use crate::arguments::{Arguments, Command};
use crate::exit::{Code, FAILED, FINDINGS, Failure, REFUSED, UNKNOWN, WRONG_USE};
use crate::locate;
use haus_api::{Problem, ProblemCode};
use haus_client::{Client, ClientError};
use haus_coordinator::Places;
use std::future::Future;

/// Carries out a command.
pub(crate) fn run(arguments: Arguments) -> Result<Code, Failure> {
    match arguments.command {
        Command::Check(arguments) => check::cmd_check(&arguments),
        Command::Plan(arguments) => hosts::cmd_plan(&arguments),
        Command::Apply(arguments) => hosts::cmd_apply(&arguments),
        Command::Drift(arguments) => hosts::cmd_drift(&arguments),
        Command::Rollback(arguments) => hosts::cmd_rollback(&arguments),
        Command::History(arguments) => hosts::cmd_history(&arguments),
        Command::Up(arguments) => up::cmd_up(&arguments, up::Mode::Foreground),
        Command::Serve(arguments) => up::cmd_up(&arguments, up::Mode::Service),
        Command::Status(arguments) => status::cmd_status(&arguments),
        Command::Logs(arguments) => logs::cmd_logs(&arguments),
        Command::Events(arguments) => events::cmd_events(&arguments),
        Command::Restart(arguments) => restart::cmd_restart(&arguments),
        Command::Reload(target) => reload::cmd_reload(&target),
        Command::Down(arguments) => down::cmd_down(&arguments),
        Command::Credential(arguments) => credential::cmd_credential(&arguments),
        Command::Token(arguments) => token::cmd_token(&arguments),
        Command::Services(arguments) => services::cmd_services(&arguments),
        Command::Discover(arguments) => discover::cmd_discover(&arguments),
        Command::Alerts(arguments) => alerts::cmd_alerts(&arguments),
        Command::Trail(arguments) => trail::cmd_trail(&arguments),
        Command::Vault(arguments) => vault::cmd_vault(&arguments),
        Command::Init(arguments) => init::cmd_init(&arguments),
        Command::Explain(arguments) => explain::cmd_explain(&arguments),
        Command::Schema => schema::cmd_schema(),
        Command::Parent(arguments) => parent::cmd_parent(&arguments),
        Command::Core(arguments) => core::cmd_core(&arguments),
    }
}

/// Runs a client call to its end.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(FAILED, format!("cannot prepare to ask the house: {error}"))
            .hint("see the limits of this account (`ulimit -a`)")
    })?;
    Ok(runtime.block_on(future))
}

fn client(places: &Places) -> Client {
    Client::new(places.control_socket())
}

/// What a failed order means to the person who typed the command: when the answer is missing, it may
/// have been carried out all the same.
fn order_failure(error: &ClientError, places: &Places) -> Failure {
    if error.may_have_acted() {
        return Failure::from_error(
            UNKNOWN,
            error,
            "it may have been carried out; `haus status` and `haus events` show what became of it",
        );
    }
    client_failure(error, places)
}

/// What a failed question means to the person who typed the command. Nothing was changed by it.
fn client_failure(error: &ClientError, places: &Places) -> Failure {
    if error.is_forbidden() {
        return Failure::from_error(
            REFUSED,
            error,
            "a house obeys its own account and root; use one of them",
        );
    }
    if error.is_unreachable() {
        return match haus_supervise::lock::Lock::holder(places.state()) {
            Some(holder) if !locate::is_parent(&holder) => Failure::new(
                REFUSED,
                format!(
                    "no house runs in {}; process {} has its vault open",
                    places.state().display(),
                    holder.process.pid
                ),
            )
            .hint("wait until that command has ended, or end it"),
            Some(holder) => Failure::new(
                FAILED,
                format!("the house runs (pid {}), but its core does not answer", holder.process.pid),
            )
            .hint("it is being restarted; try again in a moment"),
            None => Failure::new(REFUSED, format!("no house runs in {}", places.state().display()))
                .hint("start it with `haus up DIR`"),
        };
    }
    Failure::from_error(failure_code(error), error, failure_hint(error))
}

fn failure_code(error: &ClientError) -> Code {
    match error {
        ClientError::Refused { problem } => match problem.code {
            ProblemCode::BadRequest
            | ProblemCode::NotFound
            | ProblemCode::MethodNotAllowed
            | ProblemCode::TooLarge
            | ProblemCode::UnsupportedMediaType
            | ProblemCode::Invalid
            | ProblemCode::IdempotencyMismatch => WRONG_USE,
            ProblemCode::Unauthorized
            | ProblemCode::Forbidden
            | ProblemCode::Conflict
            | ProblemCode::Busy
            | ProblemCode::Expired
            | ProblemCode::PreconditionFailed
            | ProblemCode::TooManyRequests => REFUSED,
            ProblemCode::PlanRefused => FINDINGS,
            ProblemCode::RequestTimeout
            | ProblemCode::Internal
            | ProblemCode::BadGateway
            | ProblemCode::Unavailable
            | ProblemCode::TrailUnavailable
            | ProblemCode::VaultSealed
            | ProblemCode::GatewayTimeout => FAILED,
        },
        ClientError::Request { .. } | ClientError::Address { .. } | ClientError::Unsendable { .. } => {
            WRONG_USE
        }
        ClientError::Connect { .. }
        | ClientError::Exchange { .. }
        | ClientError::Timeout { .. }
        | ClientError::Shape { .. } => FAILED,
    }
}

fn failure_hint(error: &ClientError) -> String {
    let own = match error {
        ClientError::Refused { problem } => return refusal_hint(problem),
        ClientError::Connect { .. } | ClientError::Exchange { .. } => "try again in a moment",
        ClientError::Request { .. } | ClientError::Address { .. } | ClientError::Unsendable { .. } => {
            "see the command's --help for what can be named"
        }
        ClientError::Timeout { .. } => {
            "the core is busy or held; when this stays so, `haus down` ends the house through its parent"
        }
        ClientError::Shape { .. } => {
            "the running house is of another version: use its program, or `haus down` and `haus up`"
        }
    };
    own.to_owned()
}

fn refusal_hint(problem: &Problem) -> String {
    let own = match problem.code {
        ProblemCode::BadRequest | ProblemCode::NotFound => "`haus status` lists what there is",
        ProblemCode::Invalid | ProblemCode::TooLarge | ProblemCode::IdempotencyMismatch => {
            "see the command's --help for what can be given"
        }
        ProblemCode::MethodNotAllowed | ProblemCode::UnsupportedMediaType => {
            "the running house may be of another version than this program"
        }
        ProblemCode::Unauthorized | ProblemCode::Forbidden => {
            "a house obeys its own account and root; use one of them"
        }
        ProblemCode::PlanRefused => "mend the plan, see `haus check`",
        ProblemCode::Conflict | ProblemCode::PreconditionFailed | ProblemCode::Expired => {
            "look at it as it is, and decide again"
        }
        ProblemCode::Busy | ProblemCode::RequestTimeout | ProblemCode::TooManyRequests => {
            "try again in a moment"
        }
        ProblemCode::BadGateway | ProblemCode::Unavailable | ProblemCode::GatewayTimeout => {
            "`haus status` says how the services are and why"
        }
        ProblemCode::TrailUnavailable => {
            "see that the disk below the state folder has space and can be written"
        }
        ProblemCode::VaultSealed => "`haus events` says what is wrong with the key ring",
        ProblemCode::Internal => "see `haus events` and `haus status`",
    };
    problem.hint.clone().unwrap_or_else(|| own.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// The exit codes of a question and of an order that fail in this way, and that both say what to do.
    #[track_caller]
    fn check(error: &ClientError, question: Code, order: Code) {
        let places = Places::new("/nowhere/state", "/nowhere/run");
        for (failure, code) in
            [(client_failure(error, &places), question), (order_failure(error, &places), order)]
        {
            assert_eq!(failure.code, code, "{failure:?}");
            assert!(failure.hint.is_some(), "{failure:?}");
        }
    }

    fn connect(kind: std::io::ErrorKind) -> ClientError {
        ClientError::Connect { door: "/nowhere/run/control.sock".into(), source: kind.into() }
    }

    fn path() -> String {
        "/control/restart".to_owned()
    }

    #[test]
    fn a_house_that_does_not_run_refuses() {
        check(&connect(std::io::ErrorKind::NotFound), REFUSED, REFUSED);
        check(&connect(std::io::ErrorKind::PermissionDenied), REFUSED, REFUSED);
    }

    #[test]
    fn an_order_without_answer_leaves_the_state_unknown() {
        check(&ClientError::Timeout { path: path(), within: Duration::from_secs(30) }, FAILED, UNKNOWN);
        let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into();
        check(&ClientError::Exchange { path: path(), source }, REFUSED, UNKNOWN);
        let source = serde_json::from_str::<u8>("x").expect_err("no number");
        check(&ClientError::Shape { path: path(), source }, FAILED, UNKNOWN);
    }

    #[test]
    fn a_refusal_has_the_exit_code_of_its_problem() {
        for (code, expected) in [
            (ProblemCode::BadRequest, WRONG_USE),
            (ProblemCode::NotFound, WRONG_USE),
            (ProblemCode::MethodNotAllowed, WRONG_USE),
            (ProblemCode::Invalid, WRONG_USE),
            (ProblemCode::Busy, REFUSED),
            (ProblemCode::Conflict, REFUSED),
            (ProblemCode::Forbidden, REFUSED),
            (ProblemCode::TrailUnavailable, FAILED),
            (ProblemCode::PlanRefused, FINDINGS),
            (ProblemCode::Internal, FAILED),
        ] {
            let problem = Box::new(Problem::new(code, "no"));
            check(&ClientError::Refused { problem }, expected, expected);
        }
    }
}
