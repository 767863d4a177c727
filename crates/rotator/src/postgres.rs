//! PostgreSQL: a role logs in and changes its own password. Only the SCRAM verifier travels; the value
//! itself never does. Knows no retries and no order of steps.

use std::error::Error as _;
use std::io;

use haus_model::Secret;
use tokio::net::TcpStream;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, Connection, NoTls};

use crate::error::RotateErrorKind;
use crate::watched::{Objection, Watched};
use crate::{RotateError, Step};

/// Who logs in, and for which step.
pub(crate) struct Login<'a> {
    pub(crate) step: &'a Step<'a>,
    pub(crate) role: &'a str,
    pub(crate) database: &'a str,
}

/// From which password to which.
pub(crate) struct Change<'a> {
    pub(crate) from: &'a Secret,
    pub(crate) to: &'a Secret,
}

/// Logs in with `from` and sets `to`. When only `to` is accepted, that has happened before.
///
/// `from` is tried first, although one login would often tell more: a role that anybody may become would
/// otherwise seem to know `to` already.
pub(crate) async fn change(login: &Login<'_>, change: Change<'_>) -> Result<(), RotateError> {
    let to = password_text(login, change.to)?;
    let refused = match open(login, change.from).await {
        Ok((client, connection)) => {
            let verifier = postgres_protocol::password::scram_sha_256(to.as_bytes());
            let statement = format!("ALTER ROLE {} PASSWORD '{verifier}'", identifier(login.role));
            return converse(login, connection, set_password(client, statement)).await;
        }
        Err(error) if error.kind == RotateErrorKind::Refused => error,
        Err(error) => return Err(error),
    };
    match prove(login, change.to).await {
        Err(error) if error.kind == RotateErrorKind::Refused => Err(refused),
        other => other,
    }
}

/// Logs in with `value` and asks `SELECT 1`.
pub(crate) async fn prove(login: &Login<'_>, value: &Secret) -> Result<(), RotateError> {
    let (client, connection) = open(login, value).await?;
    converse(login, connection, async move { client.batch_execute("SELECT 1").await }).await
}

type Wire = Connection<Watched<TcpStream>, NoTlsStream>;

async fn open(login: &Login<'_>, value: &Secret) -> Result<(Client, Wire), RotateError> {
    for name in [login.role, login.database] {
        if name.is_empty() || name.contains('\0') {
            let why = "a role and a database have a name without zero bytes";
            return Err(login.step.error_saying(RotateErrorKind::Unfit, why));
        }
    }
    let password = password_text(login, value)?;
    let unreachable =
        |error: io::Error| login.step.error_saying(RotateErrorKind::Unreachable, &error.to_string());
    let stream = TcpStream::connect(login.step.server.address).await.map_err(unreachable)?;
    let mut config = Config::new();
    config.user(login.role).dbname(login.database).password(password).application_name("haus-rotator");
    config.connect_raw(Watched::new(stream), NoTls).await.map_err(|error| explain(login, &error))
}

/// Drives the connection while the client works; the client ends it by being dropped.
async fn converse(
    login: &Login<'_>,
    connection: Wire,
    work: impl Future<Output = Result<(), tokio_postgres::Error>>,
) -> Result<(), RotateError> {
    let (answer, ended) = tokio::join!(work, connection);
    // What the work says counts: when it succeeded, the server may end the connection as it likes.
    match (answer, ended) {
        (Ok(()), _) => Ok(()),
        (Err(error), Err(cause)) if error.is_closed() => Err(explain(login, &cause)),
        (Err(error), _) => Err(explain(login, &error)),
    }
}

async fn set_password(client: Client, statement: String) -> Result<(), tokio_postgres::Error> {
    // A role may have been given another one to act as, which could not change this one's password.
    client.batch_execute("SET ROLE NONE").await?;
    // A reader's transactions are read-only by its own setting; one that says otherwise is still allowed to
    // it.
    client.batch_execute("BEGIN READ WRITE").await?;
    // Acknowledged must mean durable, also for a role whose setting prefers speed.
    client.batch_execute("SET LOCAL synchronous_commit = on").await?;
    client.batch_execute(&statement).await?;
    client.batch_execute("COMMIT").await
}

/// The value as PostgreSQL can take it.
fn password_text<'v>(login: &Login<'_>, value: &'v Secret) -> Result<&'v str, RotateError> {
    let unfit = |why| login.step.error_saying(RotateErrorKind::Unfit, why);
    let text = std::str::from_utf8(value.expose_bytes()).map_err(|_| {
        unfit("a PostgreSQL password is UTF-8 text, and this value is not; generate or import another")
    })?;
    if text.is_empty() || text.contains('\0') {
        return Err(unfit(
            "a PostgreSQL password is neither empty nor has it zero bytes; generate or import another",
        ));
    }
    Ok(text)
}

/// An identifier in double quotes (PostgreSQL, "Identifiers and Key Words"); zero bytes were refused before.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn explain(login: &Login<'_>, error: &tokio_postgres::Error) -> RotateError {
    if let Some(answer) = error.as_db_error() {
        let text = format!("{} (SQLSTATE {})", answer.message(), answer.code().code());
        return login.step.error_saying(kind_of(answer.code()), &text);
    }
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let objection =
        cause.and_then(|cause| cause.get_ref()).and_then(|inner| inner.downcast_ref::<Objection>());
    if let Some(objection) = objection {
        let kind = match objection {
            Objection::NoPasswordAsked | Objection::ClearTextAsked => RotateErrorKind::NoProof,
            Objection::NotPostgres | Objection::TooMuch => RotateErrorKind::Protocol,
        };
        return login.step.error_saying(kind, &objection.to_string());
    }
    let broken = |cause: &io::Error| {
        matches!(
            cause.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        )
    };
    let kind = if error.is_closed() || cause.is_some_and(broken) {
        RotateErrorKind::Unreachable
    } else {
        RotateErrorKind::Protocol
    };
    let text = cause.map_or_else(|| error.to_string(), io::Error::to_string);
    login.step.error_saying(kind, &text)
}

/// Classes and codes of PostgreSQL's appendix "Error Codes".
fn kind_of(code: &SqlState) -> RotateErrorKind {
    match code.code() {
        // Wrong password or no line in pg_hba.conf.
        "28P01" | "28000" => RotateErrorKind::Refused,
        // Somebody else changes the same role ("tuple concurrently updated").
        "XX000" => RotateErrorKind::Unreachable,
        // Not in recovery, not without the right, not in a database that is not there.
        "25006" | "42501" | "3D000" | "55000" => RotateErrorKind::NotAllowed,
        other => match &other[..other.len().min(2)] {
            // Connection, rollback, resources, operator intervention (starting up, shutting down).
            "08" | "40" | "53" | "57" | "58" => RotateErrorKind::Unreachable,
            "42" | "0L" | "0P" => RotateErrorKind::NotAllowed,
            _ => RotateErrorKind::Protocol,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, expected: RotateErrorKind) {
        assert_eq!(kind_of(&SqlState::from_code(code)), expected, "{code}");
    }

    #[test]
    fn codes_tell_what_may_pass_from_what_will_not() {
        check("28P01", RotateErrorKind::Refused);
        check("57P03", RotateErrorKind::Unreachable);
        check("53300", RotateErrorKind::Unreachable);
        check("25006", RotateErrorKind::NotAllowed);
        check("42501", RotateErrorKind::NotAllowed);
        check("22000", RotateErrorKind::Protocol);
        check("é", RotateErrorKind::Protocol);
        check("", RotateErrorKind::Protocol);
    }

    #[test]
    fn names_cannot_end_their_quotes() {
        assert_eq!(identifier("Leser\"; DROP TABLE x; --"), "\"Leser\"\"; DROP TABLE x; --\"");
    }
}
