//! An alert as a retained MQTT 5 message with QoS 1 at `PREFIX/SUBJECT/KIND`; its end is one as well, in the
//! same place. MQTT 5, since an older broker confirms what it throws away. Knows no retries; it only says
//! what is worth one.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::Context;
use crate::packet::{self, Hello, PACKET_BYTES_MAX, Packet, Welcome};
use crate::{DeliverError, Job, Receipt, body};

/// Number of our only message.
const MESSAGE_ID: u16 = 1;
/// So many packets that we did not ask for are passed over.
const STRANGE_PACKETS_MAX: usize = 8;

/// The road.
pub(crate) struct Broker<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) prefix: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) has_password: bool,
}

pub(crate) async fn deliver(
    context: &Context,
    job: &Job<'_>,
    broker: &Broker<'_>,
) -> Result<Receipt, DeliverError> {
    let topic = topic(broker.prefix, job).map_err(|why| context.permanent(why))?;
    let password = match (&job.keys.secret, broker.has_password) {
        (Some(secret), true) => Some(secret.expose_bytes()),
        (None, true) => {
            return Err(context.passing("the password of its account is not there; look at the credential"));
        }
        (_, false) => None,
    };
    let client_id = client_id(&job.delivery.id);
    // Longer than the delivery may take: a connection that is over before needs no pings.
    let keep_alive_s = u16::try_from(job.within.as_secs().saturating_mul(2).max(60)).unwrap_or(u16::MAX);
    let hello = Hello { client_id: &client_id, keep_alive_s, user: broker.user, password };
    let too_long =
        || context.permanent("user, password, topic or text are longer than MQTT allows; shorten them");
    let connect = packet::connect(&hello).ok_or_else(too_long)?;
    let publish = packet::publish(&topic, MESSAGE_ID, &body::text(job, &body::now())).ok_or_else(too_long)?;
    let exchanged = tokio::time::timeout(job.within, async {
        let mut stream = TcpStream::connect((broker.host, broker.port)).await.map_err(|error| {
            let said = context.said(&error.to_string());
            context.passing(format!("no connection: {said}; check address, network and broker"))
        })?;
        stream.write_all(&connect).await.map_err(|error| broken(context, &error))?;
        let welcome = await_welcome(context, &mut stream).await?;
        accept(context, &welcome, publish.len())?;
        stream.write_all(&publish).await.map_err(|error| broken(context, &error))?;
        let reason = await_taken(context, &mut stream).await?;
        // The message is taken; whether the goodbye arrives changes nothing.
        let _ = stream.write_all(&packet::GOODBYE).await;
        Ok(reason)
    });
    let reason = exchanged.await.unwrap_or_else(|_| Err(context.timeout()))?;
    let heard = if reason == 0x10 { ", nobody listens now" } else { "" };
    Ok(Receipt { evidence: format!("PUBACK for {topic}, retained{heard}") })
}

/// Levels that come from names cannot add levels or wildcards (MQTT 5, 4.7).
fn topic(prefix: &str, job: &Job<'_>) -> Result<String, String> {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() || prefix.contains(|c: char| matches!(c, '+' | '#') || c.is_control()) {
        return Err(String::from(
            "the topic is empty or holds `+`, `#` or control characters; correct it in the plan",
        ));
    }
    if prefix.starts_with('$') {
        return Err(String::from(
            "topics that begin with `$` belong to the broker; choose another in the plan",
        ));
    }
    let level = |text: &str| -> String {
        let kept = |c: char| if matches!(c, '+' | '#' | '/') || c.is_control() { '_' } else { c };
        let level: String = text.chars().map(kept).collect();
        if level.is_empty() { String::from("_") } else { level }
    };
    Ok(format!("{prefix}/{}/{}", level(&job.message.subject), level(&job.message.kind)))
}

/// 23 letters and digits are sure to be taken (3.1.3.1); the same delivery has the same, so a half-open
/// connection of its last attempt ends.
fn client_id(delivery_id: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, delivery_id.as_bytes());
    let digits: String = digest.as_ref()[..9].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("haus{digits}")
}

async fn await_welcome(context: &Context, stream: &mut TcpStream) -> Result<Welcome, DeliverError> {
    match read_packet(context, stream).await? {
        Packet::Welcome(welcome) => Ok(welcome),
        Packet::Goodbye { reason, words } => Err(refused(context, reason, words)),
        Packet::Taken { .. } | Packet::Other(_) => {
            Err(context.permanent("it began with another packet than CONNACK; look what listens there"))
        }
    }
}

fn accept(context: &Context, welcome: &Welcome, publish_bytes: usize) -> Result<(), DeliverError> {
    match welcome.reason {
        0 => {}
        // Return code 1 of MQTT 3.1.1: "unacceptable protocol version".
        1 | 0x84 => return Err(context.permanent("it does not speak MQTT 5; take a broker that does")),
        reason => return Err(refused(context, reason, welcome.words.clone())),
    }
    if welcome.qos_max < 1 || !welcome.retains {
        return Err(context.permanent("it takes no retained messages with QoS 1; allow them on the broker"));
    }
    let is_too_long = |limit: u32| u64::try_from(publish_bytes).is_ok_and(|bytes| bytes > u64::from(limit));
    if welcome.packet_bytes_max.is_some_and(is_too_long) {
        let why = format!(
            "it takes no packet of {publish_bytes} bytes; raise its limit (mosquitto: max_packet_size)"
        );
        return Err(context.permanent(why));
    }
    Ok(())
}

async fn await_taken(context: &Context, stream: &mut TcpStream) -> Result<u8, DeliverError> {
    for _ in 0..STRANGE_PACKETS_MAX {
        match read_packet(context, stream).await? {
            Packet::Taken { id: MESSAGE_ID, reason, .. } if reason < 0x80 => return Ok(reason),
            Packet::Taken { id: MESSAGE_ID, reason, words } | Packet::Goodbye { reason, words } => {
                return Err(refused(context, reason, words));
            }
            Packet::Taken { .. } | Packet::Welcome(_) | Packet::Other(_) => {}
        }
    }
    Err(context.permanent("it answers with packets that nobody asked for; look what listens there"))
}

async fn read_packet(context: &Context, stream: &mut TcpStream) -> Result<Packet, DeliverError> {
    let read = async {
        let first = stream.read_u8().await?;
        // Looked at before the rest is waited for: text of another protocol would promise more than ever
        // comes.
        if !packet::may_begin(first) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "something that is not MQTT 5"));
        }
        let length = read_length(stream).await?;
        let mut body = vec![0; usize::try_from(length).expect("at most 16 KiB")];
        stream.read_exact(&mut body).await?;
        packet::read(first, &body)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "something that is not MQTT 5"))
    };
    read.await.map_err(|error| broken(context, &error))
}

/// A variable byte integer (1.5.5), as far as we take packets.
async fn read_length(stream: &mut TcpStream) -> io::Result<u32> {
    let mut length = 0_u32;
    for shift in [0, 7, 14, 21] {
        let byte = stream.read_u8().await?;
        length |= u32::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 && length <= PACKET_BYTES_MAX {
            return Ok(length);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "a packet larger than we said we take"))
}

fn broken(context: &Context, error: &io::Error) -> DeliverError {
    if error.kind() == io::ErrorKind::InvalidData {
        return context.permanent(format!("it sent {error}; look what listens there"));
    }
    let said = context.said(&error.to_string());
    context.passing(format!("the connection broke before the message was taken: {said}; it is tried again"))
}

fn refused(context: &Context, reason: u8, words: Option<String>) -> DeliverError {
    let said = words.map(|words| format!(" ({})", context.said(&words))).unwrap_or_default();
    let (name, retry) = reason_in_words(reason);
    let advice =
        if retry { "it is tried again" } else { "it is not tried again; change the broker or the plan" };
    context.error(format!("it refused: {name} (reason {reason:#04x}){said}; {advice}"), retry)
}

/// Name of a reason code (2.4), and whether it may pass by itself.
fn reason_in_words(reason: u8) -> (&'static str, bool) {
    match reason {
        0x85 => ("client id not valid", false),
        0x86 => ("bad user name or password", false),
        0x87 => ("not authorized; let its account write to the topic", false),
        0x88 => ("server unavailable", true),
        0x89 => ("server busy", true),
        0x8A => ("banned", false),
        0x8B => ("server shutting down", true),
        0x8C => ("bad authentication method", false),
        0x8E => ("another connection took over", true),
        0x90 => ("topic name invalid", false),
        0x95 => ("packet too large", false),
        0x96 => ("message rate too high", true),
        0x97 => ("quota exceeded", true),
        0x99 => ("payload format invalid", false),
        0x9A => ("retain not supported", false),
        0x9B => ("QoS not supported", false),
        0x9F => ("connection rate exceeded", true),
        // Return codes 3 to 5 of MQTT 3.1.1, from a broker that took the version all the same.
        0x04 => ("bad user name or password", false),
        0x05 => ("not authorized", false),
        _ => ("an error without more words", true),
    }
}
