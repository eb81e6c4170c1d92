//! Against servers on this machine, with names that resolve as each test says.

use super::*;
use crate::http::HttpSettings;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Answers each lookup with the next of these, the last for ever.
struct Scripted {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Lookup for Scripted {
    fn lookup(&self, _: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().expect("no holder panics");
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { Ok(answer.unwrap_or_default()) })
    }
}

fn names(answers: &[&[&str]]) -> Arc<Scripted> {
    let answers = answers.iter().map(|one| one.iter().map(|text| text.parse().expect("an address")).collect());
    Arc::new(Scripted { answers: Mutex::new(answers.collect()), asked: AtomicUsize::new(0) })
}

fn egress(allowed: Allowed, lookup: &Arc<Scripted>) -> Egress {
    let http = Http::new(&HttpSettings::default()).expect("a client");
    Egress::with_lookup(&http, allowed, lookup.clone()).expect("a client")
}

/// A server that says this to everybody; how many came, and its port.
async fn server(says: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let came = Arc::new(AtomicUsize::new(0));
    let counted = came.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                read_head(&mut socket).await;
                let _ = socket.write_all(says.as_bytes()).await;
            });
        }
    });
    (port, came)
}

/// So many came, and no more: whoever is connected is not accepted yet.
async fn all_came(came: &AtomicUsize, want: usize) {
    let waiting = async {
        while came.load(Ordering::SeqCst) < want {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("all of them");
    assert_eq!(came.load(Ordering::SeqCst), want);
}

async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut piece = [0; 1_024];
    while let Ok(read) = socket.read(&mut piece).await {
        head.extend_from_slice(&piece[..read]);
        if read == 0 || head.windows(4).any(|end| end == b"\r\n\r\n") {
            break;
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn send(egress: &Egress, url: &str) -> Result<Answer, EgressError> {
    egress.post(&Post { url, headers: &[("webhook-id", "msg_1".to_owned())], body: "{}" }).await.0
}

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const REFUSED: Result<Answer, EgressError> = Err(EgressError::Refused(Refused::NotPublic));

#[tokio::test]
async fn a_name_that_becomes_private_is_refused_at_its_next_connection() {
    let (port, came) = server(OK).await;
    let lookup = names(&[&["127.0.0.1"], &["10.0.0.1"], &["127.0.0.1", "169.254.169.254"], &["::ffff:192.168.0.1"]]);
    let egress = egress(Allowed::LoopbackToo, &lookup);
    let url = format!("http://hooks.example.org:{port}/");
    assert_eq!(send(&egress, &url).await.expect("sent").status, 204);
    // Looked up once, and connected to what was looked up.
    assert_eq!(lookup.asked.load(Ordering::SeqCst), 1);
    for _ in 0..3 {
        assert_eq!(send(&egress, &url).await, REFUSED);
    }
    assert_eq!((lookup.asked.load(Ordering::SeqCst), came.load(Ordering::SeqCst)), (4, 1));
}

#[tokio::test]
async fn any_private_address_of_a_name_refuses_it() {
    for addresses in [
        &["127.0.0.1"][..],
        &["8.8.8.8", "127.0.0.1"],
        &["127.0.0.1", "8.8.8.8"],
        &["2606:4700::1111", "fd00::1"],
        &["8.8.8.8", "::1"],
        &["100.64.0.1"],
        &["64:ff9b::a00:1"],
    ] {
        let lookup = names(&[addresses]);
        let egress = egress(Allowed::PublicOnly, &lookup);
        assert_eq!(send(&egress, "https://hooks.example.org/").await, REFUSED, "{addresses:?}");
    }
    let lookup = names(&[&[]]);
    let nothing = send(&egress(Allowed::PublicOnly, &lookup), "https://hooks.example.org/").await;
    assert_eq!(nothing, Err(EgressError::Unreachable));
}

#[tokio::test]
async fn addresses_that_are_written_out_ask_no_resolver_and_are_checked() {
    let (port, came) = server(OK).await;
    let lookup = names(&[&["8.8.8.8"]]);
    let strict = egress(Allowed::PublicOnly, &lookup);
    for host in ["127.0.0.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "localhost"] {
        assert_eq!(send(&strict, &format!("https://{host}/")).await, REFUSED, "{host}");
    }
    let plain = send(&strict, &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(plain, Err(EgressError::Refused(Refused::Scheme)));
    let odd = send(&strict, &format!("https://hooks.example.org:{port}/")).await;
    assert_eq!(odd, Err(EgressError::Refused(Refused::Port)));
    assert_eq!((lookup.asked.load(Ordering::SeqCst), came.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (inner, reached) = server(OK).await;
    let location = format!("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{inner}/\r\ncontent-length: 0\r\n\r\n");
    let (port, _) = server(location.leak()).await;
    let egress = egress(Allowed::LoopbackToo, &names(&[&["127.0.0.1"]]));
    let answer = send(&egress, &format!("http://127.0.0.1:{port}/")).await.expect("an answer");
    assert_eq!((answer.status, reached.load(Ordering::SeqCst)), (302, 0));
}

#[tokio::test]
async fn an_endless_body_is_cut_and_an_unfinished_one_not_waited_for() {
    let egress = egress(Allowed::LoopbackToo, &names(&[&["127.0.0.1"]]));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let endless = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("accepted");
        read_head(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\nretry-after: 7\r\n\r\n").await.expect("written");
        let mut written = 0_usize;
        while socket.write_all(&[b'x'; 4_096]).await.is_ok() {
            written += 4_096;
        }
        written
    });
    let answer = send(&egress, &format!("http://127.0.0.1:{port}/")).await.expect("an answer");
    assert_eq!((answer.status, answer.body.len(), answer.retry_after.as_deref()), (200, BODY_BYTES_MAX, Some("7")));
    let written = tokio::time::timeout(Duration::from_secs(10), endless).await.expect("cut").expect("ended");
    assert!(written < 16 * 1_024 * 1_024, "{written}");
    let (port, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    let answer = send(&egress, &format!("http://127.0.0.1:{port}/")).await.expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (200, "half"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_fifteen_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let egress = egress(Allowed::LoopbackToo, &names(&[&["127.0.0.1"]]));
    let url = format!("http://127.0.0.1:{port}/");
    let (answer, took) = egress.post(&Post { url: &url, headers: &[], body: "{}" }).await;
    assert_eq!(answer, Err(EgressError::TimedOut));
    assert!(took <= DEADLINE + Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn nobody_there_is_told_without_particulars() {
    let port = testkit::nobody::nobody().port();
    let egress = egress(Allowed::LoopbackToo, &names(&[&["127.0.0.1"]]));
    let answer = send(&egress, &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(answer, Err(EgressError::Unreachable));
    assert!(!answer.expect_err("refused").to_string().contains("127.0.0.1"));
}

#[tokio::test]
async fn a_fenced_client_reaches_what_is_allowed_by_request_and_by_socket() {
    let (port, came) = server(OK).await;
    for (allowed, addresses, reaches) in [
        (Allowed::LoopbackToo, &["127.0.0.1"][..], true),
        (Allowed::PublicOnly, &["127.0.0.1"], false),
        (Allowed::PublicOnly, &["203.0.113.7", "127.0.0.1"], false),
        (Allowed::PublicOnly, &["10.0.0.1"], false),
        (Allowed::LoopbackToo, &["10.0.0.1"], false),
        (Allowed::LoopbackToo, &[], false),
    ] {
        let lookup = names(&[addresses]);
        let http = Http::new(&HttpSettings::default()).expect("a client");
        let http = http.fenced(allowed, lookup.clone()).expect("a client");
        let request = http.client().get(format!("http://vendor.example:{port}/")).send().await;
        assert_eq!(request.is_ok(), reaches, "{allowed:?} {addresses:?}");
        if let Err(error) = request
            && !addresses.is_empty()
        {
            let error = crate::http::transport_error("vendor", error);
            assert_eq!(error.kind, ErrorKind::Rejected, "{allowed:?} {addresses:?}: {error}");
        }
        assert_eq!(http.dial("vendor.example", port).await.is_ok(), reaches, "{allowed:?} {addresses:?}");
        assert_eq!(lookup.asked.load(Ordering::SeqCst), 2, "once for each connection");
    }
    all_came(&came, 2).await;
}

#[tokio::test]
async fn an_address_that_is_written_out_is_checked_for_sockets_too() {
    let (port, came) = server(OK).await;
    let http = Http::new(&HttpSettings::default()).expect("a client");
    let outside = http.fenced(Allowed::PublicOnly, names(&[&["203.0.113.7"]])).expect("a client");
    for host in ["127.0.0.1", "[::1]", "::1", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"] {
        let error = outside.dial(host, port).await.expect_err(host);
        assert_eq!(refusal(&error), Some(Refused::NotPublic), "{host}");
    }
    assert!(http.dial("127.0.0.1", port).await.is_ok(), "without a fence");
    all_came(&came, 1).await;
}
