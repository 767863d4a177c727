//! Webhook and mail over TLS, with a certificate that only these tests trust, made by `openssl`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use haus_model::Timestamp;
use haus_model::alert::{AlertLevel, MailTls, Road};
use haus_testkit::loud_skip_mandatory;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::tls::Trust;
use crate::{DeliverError, Delivery, Job, Keys, Message, Receipt, State, deliver_with};

/// A certificate for 127.0.0.1 that signs itself.
struct Identity {
    certificate: CertificateDer<'static>,
    acceptor: TlsAcceptor,
}

/// None, loudly, where `openssl` is not installed.
fn identity(test: &str) -> Option<Identity> {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(folder.path())
        .output();
    let Ok(output) = made else {
        loud_skip_mandatory(test, "openssl is not installed (Debian: openssl)");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = |name: &str| Path::new(folder.path()).join(name);
    let certificate = CertificateDer::from_pem_file(path("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(path("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    Some(Identity { certificate, acceptor: TlsAcceptor::from(Arc::new(config)) })
}

fn message() -> Message {
    Message {
        id: String::from("a-1"),
        house: String::from("zimmer"),
        level: AlertLevel::Warning,
        kind: String::from("service-degraded"),
        subject: String::from("zimmer-05"),
        state: State::Firing,
        since: Timestamp(0),
        at: Timestamp(1),
        title_en: String::from("slow"),
        title_de: String::from("langsam"),
        text_en: String::from("It is slow."),
        text_de: String::from("Es ist langsam."),
        url: None,
    }
}

async fn send(road: &Road, trust: &Trust, keys: &Keys) -> Result<Receipt, DeliverError> {
    let delivery = Delivery { id: String::from("d-1"), attempt: 1 };
    let message = message();
    let job = Job { keys, message: &message, delivery: &delivery, within: Duration::from_secs(30), trust };
    deliver_with(road, &job).await
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn a_webhook_over_tls_goes_to_whom_we_trust_and_to_nobody_else() {
    let test = "a_webhook_over_tls_goes_to_whom_we_trust_and_to_nobody_else";
    let (Some(good), Some(other)) = (identity(test), identity(test)) else { return };
    block_on(async {
        let (listener, address) = listen().await;
        let road = Road::Webhook { url: format!("https://{address}/"), secret: None };
        let server = async {
            let mut requests = Vec::new();
            for _ in 0..2 {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = good.acceptor.accept(stream).await else { continue };
                let mut request = [0; 4096];
                let Ok(count @ 1..) = stream.read(&mut request).await else { continue };
                requests.push(String::from_utf8_lossy(&request[..count]).into_owned());
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                let _ = stream.read(&mut request).await;
            }
            requests
        };
        let client = async {
            let keys = Keys::default();
            let distrusted = send(&road, &Trust::Only(other.certificate), &keys).await.unwrap_err();
            assert!(distrusted.retry && distrusted.what.contains("TLS fails"), "{distrusted}");
            let receipt = send(&road, &Trust::Only(good.certificate.clone()), &keys).await.unwrap();
            assert_eq!(receipt.evidence, format!("HTTP 200 from https://{address}"));
        };
        let (requests, ()) = tokio::join!(server, client);
        assert!(requests.len() == 1 && requests[0].starts_with("POST / HTTP/1.1\r\n"), "{requests:?}");
    });
}

/// Plays a mail server that takes everything, from the greeting or from the EHLO after STARTTLS on.
async fn play(stream: impl AsyncRead + AsyncWrite + Unpin, greeting: Option<&str>) -> Vec<String> {
    let mut stream = BufReader::new(stream);
    let mut heard = Vec::new();
    if let Some(greeting) = greeting {
        stream.write_all(greeting.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
    let mut in_text = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return heard;
        }
        let line = line.trim_end().to_owned();
        let answer = match line.split(' ').next().unwrap() {
            "." if in_text => {
                in_text = false;
                "250 kept\r\n"
            }
            _ if in_text => continue,
            "EHLO" => "250-test\r\n250 AUTH PLAIN LOGIN\r\n",
            "AUTH" => "235 welcome\r\n",
            "DATA" => {
                in_text = true;
                "354 go on\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "250 ok\r\n",
        };
        heard.push(line);
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
}

fn mail_road(address: SocketAddr, tls: MailTls) -> Road {
    Road::Mail {
        host: address.ip().to_string(),
        port: address.port(),
        tls,
        from: String::from("haus@zimmer.example"),
        to: vec![String::from("anna@zimmer.example")],
        user: Some(String::from("haus")),
        password: Some("mail-password".parse().unwrap()),
    }
}

fn check_mail(test: &str, tls: MailTls) {
    let (Some(good), Some(other)) = (identity(test), identity(test)) else { return };
    block_on(async {
        let (listener, address) = listen().await;
        let server = async {
            let mut heard = Vec::new();
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                if tls == MailTls::Starttls {
                    stream.write_all(b"220 test ESMTP\r\n").await.unwrap();
                    let mut begun = BufReader::new(&mut stream);
                    for answer in ["250-test\r\n250 STARTTLS\r\n", "220 go on\r\n"] {
                        let mut line = String::new();
                        begun.read_line(&mut line).await.unwrap();
                        assert!(line.starts_with("EHLO") || line.starts_with("STARTTLS"), "{line}");
                        begun.get_mut().write_all(answer.as_bytes()).await.unwrap();
                    }
                }
                let Ok(stream) = good.acceptor.accept(stream).await else { continue };
                let greeting = (tls == MailTls::Tls).then_some("220 test ESMTP\r\n");
                heard.extend(play(stream, greeting).await);
            }
            heard
        };
        let client = async {
            let road = mail_road(address, tls);
            let keys = Keys { secret: Some(String::from("planted").into()) };
            let distrusted = send(&road, &Trust::Only(other.certificate), &keys).await.unwrap_err();
            assert!(distrusted.retry, "{distrusted}");
            let receipt = send(&road, &Trust::Only(good.certificate.clone()), &keys).await.unwrap();
            assert_eq!(receipt.evidence, "SMTP 250 for anna@zimmer.example (kept)");
        };
        let (heard, ()) = tokio::join!(server, client);
        assert_eq!(heard.iter().filter(|line| line.starts_with("AUTH PLAIN ")).count(), 1, "{heard:?}");
        assert_eq!(heard.iter().filter(|line| *line == ".").count(), 1, "{heard:?}");
    });
}

#[test]
fn a_mail_over_tls_logs_in_only_at_whom_we_trust() {
    check_mail("a_mail_over_tls_logs_in_only_at_whom_we_trust", MailTls::Tls);
}

#[test]
fn a_mail_over_starttls_logs_in_only_at_whom_we_trust() {
    check_mail("a_mail_over_starttls_logs_in_only_at_whom_we_trust", MailTls::Starttls);
}

#[test]
fn words_said_ahead_of_tls_end_the_session() {
    block_on(async {
        let (listener, address) = listen().await;
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 test ESMTP\r\n").await.unwrap();
            for answer in ["250-test\r\n250 STARTTLS\r\n", "220 go on\r\n250 AUTH PLAIN\r\n"] {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            rest
        };
        let client = async {
            let keys = Keys { secret: Some(String::from("planted").into()) };
            let road = mail_road(address, MailTls::Starttls);
            send(&road, &Trust::System, &keys).await.unwrap_err()
        };
        let (rest, error) = tokio::join!(server, client);
        assert!(error.what.contains("more before TLS") && rest.is_empty(), "{error} {rest:?}");
    });
}

#[test]
fn a_server_that_never_stops_talking_is_left() {
    block_on(async {
        let (listener, address) = listen().await;
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Until the other side has gone.
            while stream.write_all(&[b'2'; 4096]).await.is_ok() {}
        };
        let client = async {
            let road = mail_road(address, MailTls::None);
            let keys = Keys { secret: Some(String::from("planted").into()) };
            send(&road, &Trust::System, &keys).await.unwrap_err()
        };
        let ((), error) = tokio::join!(server, client);
        assert!(error.retry && error.what.contains("more than was asked"), "{error}");
    });
}

#[test]
fn this_machine_trusts_somebody_or_says_that_it_does_not() {
    match block_on(Trust::System.roots()) {
        Ok(roots) => assert!(!roots.is_empty()),
        Err(why) => assert!(why.contains("ca-certificates"), "{why}"),
    }
}
