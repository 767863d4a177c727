//! An alert to a mail server (SMTP, RFC 5321): one transaction for all recipients, a login only where nobody
//! can listen. Knows no retries; it only says what is worth one.

use std::net::SocketAddr;
use std::time::Duration;

use haus_model::alert::MailTls;
use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};

use crate::error::Context;
use crate::letter::{self, Addresses};
use crate::stream::{MailStream, Way};
use crate::{DeliverError, Job, Receipt};

/// So long the goodbye may take after the mail has been accepted.
const QUIT_WAIT: Duration = Duration::from_secs(1);

/// The road.
pub(crate) struct Post<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) tls: MailTls,
    pub(crate) from: &'a str,
    pub(crate) to: &'a [String],
    pub(crate) login: Option<Login<'a>>,
}

/// Who logs in.
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) has_password: bool,
}

pub(crate) async fn deliver(
    context: &Context,
    job: &Job<'_>,
    post: &Post<'_>,
) -> Result<Receipt, DeliverError> {
    let addresses = Addresses::parse(post.from, post.to).map_err(|why| context.permanent(why))?;
    let letter = letter::write(job, &addresses).map_err(|why| context.permanent(why))?;
    let credentials = post.login.as_ref().map(|login| credentials(context, job, login)).transpose()?;
    let sent = tokio::time::timeout(job.within, async {
        let mut connection = connect(context, job, post).await?;
        if let Some(credentials) = credentials {
            log_in(context, &mut connection, &credentials).await?;
        }
        let receipt =
            hand_over(context, &mut connection, Handover { addresses: &addresses, letter: &letter }).await?;
        Ok((connection, receipt))
    });
    let (mut connection, receipt) = sent.await.unwrap_or_else(|_| Err(context.timeout()))?;
    // The mail is accepted; a server that does not say goodbye changes nothing.
    let _ = tokio::time::timeout(QUIT_WAIT, connection.quit()).await;
    Ok(receipt)
}

fn credentials(context: &Context, job: &Job<'_>, login: &Login<'_>) -> Result<Credentials, DeliverError> {
    let Some(secret) = job.keys.secret.as_ref().filter(|_| login.has_password) else {
        return Err(context.passing("the password of its account is not there; look at the credential"));
    };
    let password = std::str::from_utf8(secret.expose_bytes()).map_err(|_| {
        context.permanent("the password is no UTF-8 text, which SMTP cannot carry; import another")
    })?;
    Ok(Credentials::new(login.user.to_owned(), password.to_owned()))
}

async fn connect(
    context: &Context,
    job: &Job<'_>,
    post: &Post<'_>,
) -> Result<AsyncSmtpConnection, DeliverError> {
    let found = tokio::net::lookup_host((post.host, post.port)).await;
    let addresses: Vec<SocketAddr> = found
        .map_err(|error| {
            context.passing(format!("its name is not found: {error}; check the name and the DNS server"))
        })?
        .collect();
    let is_local = addresses.iter().all(|address| address.ip().is_loopback());
    if post.tls == MailTls::None && post.login.is_some() && !is_local {
        let why =
            "its password would travel in clear text beyond this machine; set `tls: starttls` or `tls: tls`";
        return Err(context.permanent(why));
    }
    let way = Way { addresses: &addresses, trust: job.trust };
    let stream = MailStream::open(context, post, way).await?;
    let opened = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &ClientId::default()).await;
    opened.map_err(|error| explain(context, "no session", &error))
}

/// A refusal here shows only its code: a server that repeats the login would repeat the password, in base64.
async fn log_in(
    context: &Context,
    connection: &mut AsyncSmtpConnection,
    credentials: &Credentials,
) -> Result<(), DeliverError> {
    let answer = connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await;
    answer.map(drop).map_err(|error| match error.status() {
        Some(code) => {
            let what = format!("it refused the login (code {code}); check user and password");
            context.error(what, !error.is_permanent())
        }
        None if error.is_client() => {
            context.permanent("it offers no login by PLAIN or LOGIN; check port and `tls`")
        }
        None => context.passing("the connection broke during the login"),
    })
}

struct Handover<'a> {
    addresses: &'a Addresses,
    letter: &'a [u8],
}

/// One transaction. A recipient that is refused does not keep the alert from the others.
async fn hand_over(
    context: &Context,
    connection: &mut AsyncSmtpConnection,
    handover: Handover<'_>,
) -> Result<Receipt, DeliverError> {
    let Addresses { from, to } = handover.addresses;
    let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    let mut parameters = Vec::new();
    if !is_ascii(&from.email) || !to.iter().all(|to| is_ascii(&to.email)) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(
                context.permanent("an address has letters beyond ASCII, which this server does not know")
            );
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let begun = connection.command(Mail::new(Some(from.email.clone()), parameters)).await;
    begun.map_err(|error| explain(context, "it refused the sender", &error))?;

    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    let mut may_pass = false;
    for to in to {
        match connection.command(Rcpt::new(to.email.clone(), Vec::new())).await {
            Ok(_) => accepted.push(to.email.to_string()),
            Err(error) if error.status().is_some() => {
                may_pass |= error.is_transient();
                refused.push(context.said(&format!("{}: {error}", to.email)));
            }
            Err(error) => return Err(explain(context, "the connection broke", &error)),
        }
    }
    if accepted.is_empty() {
        let what = format!("it refused every recipient: {}", refused.join("; "));
        return Err(context.error(what, may_pass));
    }
    connection.command(Data).await.map_err(|error| explain(context, "it refused the mail", &error))?;
    let answer = connection.message(handover.letter).await;
    let answer = answer.map_err(|error| explain(context, "it refused the mail", &error))?;
    let words = context.said(answer.first_line().unwrap_or_default());
    let mut evidence = format!("SMTP {} for {} ({words})", answer.code(), accepted.join(", "));
    if !refused.is_empty() {
        evidence.push_str(&format!("; refused for {}", refused.join("; ")));
    }
    Ok(Receipt { evidence })
}

/// Codes 5xx stay, everything else may pass; so does a certificate, which somebody will renew.
fn explain(context: &Context, what: &str, error: &Error) -> DeliverError {
    let retry = !(error.is_permanent() || error.is_client());
    let advice =
        if retry { "it is tried again" } else { "it is not tried again; change the receiver or its server" };
    context.error(format!("{what}: {}; {advice}", context.said(&error.to_string())), retry)
}
