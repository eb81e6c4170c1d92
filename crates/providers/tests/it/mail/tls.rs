//! Encrypted: from the first byte, and after STARTTLS. A small server in front of the mail server does the encrypting.

use super::{ASHA, code, discreet, now, settings};
use providers::ErrorKind;
use providers::mail::{Mailer, SmtpSettings, SmtpTls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use testkit::mail_sink::MailSink;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// For `localhost`, signed by itself, until 2126; trusted by nobody but these tests.
const CERTIFICATE: &[u8] = include_bytes!("localhost.crt.pem");
const KEY: &[u8] = include_bytes!("localhost.key.pem");

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}

/// Listens in front of a mail server and takes encrypted connections to it.
async fn front(sink: &MailSink, tls: SmtpTls) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (address, behind, acceptor) = (listener.local_addr().expect("it has one"), sink.address(), acceptor());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // A client that does not like the certificate leaves.
            let _ = pass_on(socket, behind, &acceptor, tls).await;
        }
    });
    address
}

async fn pass_on(socket: TcpStream, behind: SocketAddr, acceptor: &TlsAcceptor, tls: SmtpTls) -> std::io::Result<()> {
    let mut behind = BufStream::new(TcpStream::connect(behind).await?);
    let socket = match tls {
        SmtpTls::Wrapper => socket,
        SmtpTls::Required => {
            let mut socket = BufStream::new(socket);
            let mut greeting = String::new();
            behind.read_line(&mut greeting).await?;
            for (say, expect) in
                [(greeting.as_str(), "EHLO "), ("250-front\r\n250 STARTTLS\r\n", "STARTTLS"), ("220 go\r\n", "")]
            {
                socket.write_all(say.as_bytes()).await?;
                socket.flush().await?;
                if !expect.is_empty() {
                    let mut line = String::new();
                    socket.read_line(&mut line).await?;
                    assert!(line.starts_with(expect), "{line}");
                }
            }
            socket.into_inner()
        }
        SmtpTls::None => panic!("no TLS, no front"),
    };
    let mut encrypted = acceptor.accept(socket).await?;
    tokio::io::copy_bidirectional(&mut encrypted, &mut behind).await?;
    Ok(())
}

fn encrypted(address: SocketAddr, tls: SmtpTls) -> SmtpSettings {
    let (host, roots) = ("localhost".to_owned(), Some(CERTIFICATE.to_vec()));
    SmtpSettings { host, tls, extra_roots_pem: roots, ..settings(address) }
}

#[tokio::test]
async fn mail_goes_through_both_kinds_of_encryption() {
    for tls in [SmtpTls::Wrapper, SmtpTls::Required] {
        let sink = MailSink::start().await.unwrap();
        let mailer = Mailer::smtp(encrypted(front(&sink, tls).await, tls)).unwrap();
        mailer.check().await.unwrap();
        mailer.send(&code(), now()).await.unwrap();
        assert_eq!(sink.next(ASHA).await.code(), Some("042137"), "{tls:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_or_not_for_this_host_stops_the_mail() {
    for tls in [SmtpTls::Wrapper, SmtpTls::Required] {
        let sink = MailSink::start().await.unwrap();
        let address = front(&sink, tls).await;
        let unknown = SmtpSettings { extra_roots_pem: None, ..encrypted(address, tls) };
        let other_host = SmtpSettings { host: "127.0.0.1".to_owned(), ..encrypted(address, tls) };
        for settings in [unknown, other_host] {
            let (kind, said) = discreet(Mailer::smtp(settings).unwrap().send(&code(), now()).await);
            assert_eq!(kind, ErrorKind::Unavailable, "{said}");
            assert!(said.contains("certificate"), "it says why: {said}");
        }
        assert_eq!(sink.taken(), 0);
    }
}
