//! A mail server that keeps what it gets (RFC 5321 over a real socket): for tests that wait for a code or a link, and
//! for those that need a server that refuses, hangs or breaks off. As strict as real ones: commands in order, lines
//! ended by CRLF, limits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::MessageParser;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Longest wait of [`MailSink::next`]: a mail that is a job goes out within a second or two.
pub const NEXT_PATIENCE: Duration = Duration::from_secs(10);
/// Longest line with its end (RFC 5321 4.5.3.1.6).
const LINE_BYTES_MAX: u64 = 1_000;
/// Largest mail, as announced by SIZE; ours have some 5 kB.
const MAIL_BYTES_MAX: usize = 1_000_000;
/// Recipients of one mail; servers must take 100 (RFC 5321 4.5.3.1.8).
const RECIPIENTS_MAX: usize = 100;
/// Mails kept; the oldest unread ones go first.
const MAILS_MAX: usize = 1_000;
/// Kinds of trouble waiting to happen at once.
const FAULTS_MAX: usize = 100;

/// A mail as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The sender of the envelope.
    pub from: String,
    /// The recipient of the envelope.
    pub to: String,
    /// The subject, decoded.
    pub subject: String,
    /// The plain text, decoded; empty when there is none.
    pub text: String,
    /// The HTML, decoded; empty when there is none.
    pub html: String,
    /// The whole message as it travelled, without the dots that SMTP adds.
    pub raw: String,
}

impl Received {
    /// A message as it lies in a file, addressed as its own head says; none when it is no mail to one address.
    #[must_use]
    pub fn parse(raw: &[u8]) -> Option<Self> {
        let message = MessageParser::default().parse(raw)?;
        let address = |list: Option<&mail_parser::Address<'_>>| Some(list?.first()?.address()?.to_owned());
        let (from, to) = (address(message.from()).unwrap_or_default(), address(message.to())?);
        Some(Self { from, to, ..read(raw)? })
    }

    /// The first group of exactly six digits in the text.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.text.split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() == 6)
    }

    /// The first web address in the text.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        let begin = ["https://", "http://"].iter().filter_map(|scheme| self.text.find(scheme)).min()?;
        let rest = &self.text[begin..];
        let end = rest.find(|c: char| c.is_whitespace() || "<>\"".contains(c)).unwrap_or(rest.len());
        Some(rest[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')']))
    }
}

/// Where in the conversation something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpStep {
    /// The greeting of a new connection.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// AUTH.
    Login,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// After the whole message.
    Content,
    /// QUIT.
    Goodbye,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpFault {
    /// It answers with this code; after 421 it closes, as servers do.
    Refuse(u16),
    /// It answers nothing, and waits until the client leaves.
    Hang,
    /// It closes the connection without a word.
    Close,
    /// It speaks something else.
    Babble,
}

struct Kept {
    mails: VecDeque<Received>,
    faults: Vec<(SmtpStep, SmtpFault, u32)>,
}

struct Shared {
    kept: Mutex<Kept>,
    /// Mails taken over since the start.
    taken: watch::Sender<u64>,
    /// `user`, `password`: who must sign in first.
    login: Option<(String, String)>,
    /// Where each mail is also written, as it came.
    folder: Option<PathBuf>,
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder panics")
    }

    /// What goes wrong now, if anything.
    fn fault(&self, step: SmtpStep) -> Option<SmtpFault> {
        let mut kept = self.kept();
        let index = kept.faults.iter().position(|(at, _, _)| *at == step)?;
        let (_, fault, times) = &mut kept.faults[index];
        let fault = *fault;
        *times -= 1;
        if *times == 0 {
            kept.faults.remove(index);
        }
        Some(fault)
    }

    fn keep(&self, mail: Received) {
        if let Some(folder) = &self.folder {
            let name = format!("{:06}.eml", *self.taken.borrow());
            std::fs::write(folder.join(name), mail.raw.as_bytes()).expect("the folder of mails can be written");
        }
        let mut kept = self.kept();
        if kept.mails.len() >= MAILS_MAX {
            kept.mails.pop_front();
        }
        kept.mails.push_back(mail);
        drop(kept);
        self.taken.send_modify(|taken| *taken += 1);
    }
}

/// A running mail server; dropping ends it.
pub struct MailSink {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl MailSink {
    /// Starts one that takes mail from everybody, on a free port of this machine.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start() -> std::io::Result<Self> {
        Self::listen(None, None).await
    }

    /// Starts one that takes mail only from who signed in (AUTH PLAIN).
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start_with_login(user: &str, password: &str) -> std::io::Result<Self> {
        Self::listen(Some((user.to_owned(), password.to_owned())), None).await
    }

    /// Starts one that takes mail from everybody and also writes each into this folder, for programs that read files.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start_keeping(folder: &Path) -> std::io::Result<Self> {
        Self::listen(None, Some(folder.to_owned())).await
    }

    async fn listen(login: Option<(String, String)>, folder: Option<PathBuf>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let kept = Mutex::new(Kept { mails: VecDeque::new(), faults: Vec::new() });
        let shared = Arc::new(Shared { kept, taken: watch::Sender::new(0), login, folder });
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(listener, Arc::clone(&shared), stop.clone())));
        Ok(Self { address, shared, stop })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The oldest unread mail to an address, which is read then; waits for one, at most [`NEXT_PATIENCE`].
    ///
    /// # Panics
    /// When none comes; says to whom there are others.
    pub async fn next(&self, to: &str) -> Received {
        let mut taken = self.shared.taken.subscribe();
        let waiting = async {
            loop {
                taken.mark_unchanged();
                if let Some(mail) = self.take(to) {
                    return mail;
                }
                // The sender lives as long as this sink.
                let _ = taken.changed().await;
            }
        };
        match tokio::time::timeout(NEXT_PATIENCE, waiting).await {
            Ok(mail) => mail,
            Err(_) => {
                let others: Vec<String> = self.shared.kept().mails.iter().map(|mail| mail.to.clone()).collect();
                panic!("no mail to {to} within {NEXT_PATIENCE:?}; unread ones are to {others:?}")
            }
        }
    }

    fn take(&self, to: &str) -> Option<Received> {
        let mut kept = self.shared.kept();
        let index = kept.mails.iter().position(|mail| mail.to.eq_ignore_ascii_case(to))?;
        kept.mails.remove(index)
    }

    /// How many mails to an address are unread.
    #[must_use]
    pub fn unread(&self, to: &str) -> usize {
        self.shared.kept().mails.iter().filter(|mail| mail.to.eq_ignore_ascii_case(to)).count()
    }

    /// Mails taken over since the start, one for each recipient.
    #[must_use]
    pub fn taken(&self) -> u64 {
        *self.shared.taken.borrow()
    }

    /// The next so many recipients are refused with a code, such as 451 (later) or 550 (never). After 421 the
    /// connection is closed.
    pub fn refuse_with(&self, code: u16, times: u32) {
        self.fault(SmtpStep::Recipient, SmtpFault::Refuse(code), times);
    }

    /// From now on new connections hear nothing, until [`MailSink::heal`].
    pub fn hang(&self) {
        self.fault(SmtpStep::Greeting, SmtpFault::Hang, u32::MAX);
    }

    /// Something goes wrong at a step, the next so many times that it is reached.
    pub fn fault(&self, step: SmtpStep, fault: SmtpFault, times: u32) {
        let mut kept = self.shared.kept();
        assert!(kept.faults.len() < FAULTS_MAX, "too many faults at once");
        if times > 0 {
            kept.faults.push((step, fault, times));
        }
    }

    /// Nothing goes wrong from now on.
    pub fn heal(&self) {
        self.shared.kept().faults.clear();
    }
}

impl Drop for MailSink {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    // Each client has its task; all end with the sink.
    while let Ok((socket, _)) = listener.accept().await {
        let mut session =
            Session { stream: BufStream::new(socket), shared: Arc::clone(&shared), progress: Progress::New };
        let stop = stop.clone();
        tokio::spawn(async move {
            // A client that leaves is no failure of ours.
            let _ = stop.run_until_cancelled(session.run()).await;
        });
    }
}

/// How far a conversation has come.
enum Progress {
    New,
    Ready { signed_in: bool },
    Mail { from: String, to: Vec<String> },
}

/// The connection ends, by whomever.
struct Ended;

impl From<std::io::Error> for Ended {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

struct Session<S> {
    stream: BufStream<S>,
    shared: Arc<Shared>,
    progress: Progress,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn run(&mut self) -> Result<(), Ended> {
        if !self.trouble(SmtpStep::Greeting, "").await? {
            self.say("220 sink.example ESMTP").await?;
        }
        loop {
            let line = self.line().await?;
            let Ok(line) = String::from_utf8(line) else {
                self.say("500 5.5.2 not text").await?;
                continue;
            };
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => self.hello(rest).await?,
                "AUTH" => self.login(rest).await?,
                "MAIL" => self.sender(rest).await?,
                "RCPT" => self.recipient(rest).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.forget();
                    self.say("250 2.0.0 forgotten").await?;
                }
                "NOOP" => self.say("250 2.0.0 here").await?,
                "QUIT" => {
                    if !self.trouble(SmtpStep::Goodbye, "").await? {
                        self.say("221 2.0.0 bye").await?;
                    }
                    return Ok(());
                }
                _ => self.say("502 5.5.1 unknown command").await?,
            }
        }
    }

    /// Goes wrong if it shall. `true` = it has answered.
    async fn trouble(&mut self, step: SmtpStep, about: &str) -> Result<bool, Ended> {
        match self.shared.fault(step) {
            None => return Ok(false),
            // The address in the answer is what real servers do.
            Some(SmtpFault::Refuse(code)) => {
                self.say(&format!("{code} {}.7.1 refused {about} for a test", code / 100)).await?;
                if code == 421 {
                    return Err(Ended);
                }
            }
            Some(SmtpFault::Hang) => {
                tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await?;
                return Err(Ended);
            }
            Some(SmtpFault::Close) => return Err(Ended),
            Some(SmtpFault::Babble) => self.say("HTTP/1.1 400 Bad Request").await?,
        }
        Ok(true)
    }

    async fn hello(&mut self, name: &str) -> Result<(), Ended> {
        if self.trouble(SmtpStep::Hello, "").await? {
            return Ok(());
        }
        if name.trim().is_empty() {
            return self.say("501 5.5.4 who are you").await;
        }
        self.progress = Progress::Ready { signed_in: self.shared.login.is_none() };
        let login = if self.shared.login.is_some() { "250-AUTH PLAIN\r\n" } else { "" };
        let lines = format!(
            "250-sink.example\r\n{login}250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE {MAIL_BYTES_MAX}"
        );
        self.say(&lines).await
    }

    async fn login(&mut self, rest: &str) -> Result<(), Ended> {
        if self.trouble(SmtpStep::Login, "").await? {
            return Ok(());
        }
        let Some((user, password)) = &self.shared.login else {
            return self.say("502 5.5.1 nobody needs to sign in").await;
        };
        let given = rest.strip_prefix("PLAIN ").and_then(|initial| STANDARD.decode(initial.trim()).ok());
        let signed_in = given.is_some_and(|given| given == format!("\0{user}\0{password}").into_bytes());
        if signed_in && matches!(self.progress, Progress::Ready { .. }) {
            self.progress = Progress::Ready { signed_in };
            return self.say("235 2.7.0 welcome").await;
        }
        self.say("535 5.7.8 wrong user or password").await
    }

    async fn sender(&mut self, rest: &str) -> Result<(), Ended> {
        match self.progress {
            Progress::Ready { signed_in: true } => {}
            Progress::Ready { signed_in: false } => return self.say("530 5.7.0 sign in first").await,
            Progress::New | Progress::Mail { .. } => return self.say("503 5.5.1 not now").await,
        }
        let Some(from) = path(rest, "FROM:") else { return self.say("501 5.1.7 no such sender").await };
        if self.trouble(SmtpStep::Sender, &from).await? {
            return Ok(());
        }
        self.progress = Progress::Mail { from, to: Vec::new() };
        self.say("250 2.1.0 go on").await
    }

    async fn recipient(&mut self, rest: &str) -> Result<(), Ended> {
        let Some(recipient) = path(rest, "TO:").filter(|to| to.contains('@')) else {
            return self.say("501 5.1.3 no such recipient").await;
        };
        if !matches!(self.progress, Progress::Mail { .. }) {
            return self.say("503 5.5.1 not now").await;
        }
        if self.trouble(SmtpStep::Recipient, &recipient).await? {
            return Ok(());
        }
        if let Progress::Mail { to, .. } = &mut self.progress {
            if to.len() >= RECIPIENTS_MAX {
                return self.say("452 4.5.3 too many recipients").await;
            }
            to.push(recipient);
        }
        self.say("250 2.1.5 go on").await
    }

    async fn data(&mut self) -> Result<(), Ended> {
        let (from, to) = match &self.progress {
            Progress::Mail { from, to } if !to.is_empty() => (from.clone(), to.clone()),
            Progress::Mail { .. } | Progress::New | Progress::Ready { .. } => {
                return self.say("503 5.5.1 not now").await;
            }
        };
        self.say("354 end with a dot").await?;
        let mut raw = Vec::new();
        loop {
            let line = self.line().await?;
            if line == b"." {
                break;
            }
            // What is too much is read on, and refused in the end.
            if raw.len() <= MAIL_BYTES_MAX {
                raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                raw.extend_from_slice(b"\r\n");
            }
        }
        self.forget();
        if self.trouble(SmtpStep::Content, &to.join(" ")).await? {
            return Ok(());
        }
        if raw.len() > MAIL_BYTES_MAX {
            return self.say("552 5.3.4 too large").await;
        }
        let Some(mail) = read(&raw) else { return self.say("554 5.6.0 not a mail").await };
        for to in to {
            self.shared.keep(Received { from: from.clone(), to, ..mail.clone() });
        }
        self.say("250 2.0.0 taken").await
    }

    /// No mail is under way any more.
    fn forget(&mut self) {
        if matches!(self.progress, Progress::Mail { .. }) {
            self.progress = Progress::Ready { signed_in: true };
        }
    }

    /// A line without its end. A client that sends others is not worth an answer.
    async fn line(&mut self) -> Result<Vec<u8>, Ended> {
        let mut line = Vec::new();
        (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
        line.strip_suffix(b"\r\n").map(<[u8]>::to_vec).ok_or(Ended)
    }

    async fn say(&mut self, words: &str) -> Result<(), Ended> {
        self.stream.write_all(format!("{words}\r\n").as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }
}

/// `FROM:<a@b.c> SIZE=1` → `a@b.c`.
fn path(rest: &str, keyword: &str) -> Option<String> {
    let given = rest.get(..keyword.len()).filter(|given| given.eq_ignore_ascii_case(keyword))?;
    let (address, _) = rest[given.len()..].trim_start().strip_prefix('<')?.split_once('>')?;
    Some(address.to_owned())
}

/// Takes a message apart; the envelope is added by who knows it.
fn read(raw: &[u8]) -> Option<Received> {
    let message = MessageParser::default().parse(raw)?;
    Some(Received {
        from: String::new(),
        to: String::new(),
        subject: message.subject()?.to_owned(),
        text: message.text_bodies().next().and_then(|part| part.text_contents()).unwrap_or_default().to_owned(),
        html: message.html_bodies().next().and_then(|part| part.text_contents()).unwrap_or_default().to_owned(),
        raw: String::from_utf8_lossy(raw).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;
    use tokio::net::TcpStream;

    /// Says each line and checks how the answer begins.
    async fn converse(sink: &MailSink, lines: &[(&str, &str)]) {
        let mut stream = BufReader::new(TcpStream::connect(sink.address()).await.unwrap());
        let mut answer = String::new();
        stream.read_line(&mut answer).await.unwrap();
        assert!(answer.starts_with("220 "), "{answer}");
        for (say, want) in lines {
            stream.write_all(format!("{say}\r\n").as_bytes()).await.unwrap();
            loop {
                answer.clear();
                stream.read_line(&mut answer).await.unwrap();
                if answer.get(3..4) != Some("-") {
                    break;
                }
            }
            assert!(answer.starts_with(want), "{say:?}: {answer}");
        }
    }

    const MAIL: &str = "Subject: =?utf-8?B?4KS54KS/?= there\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/alternative; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        ..a dot, 1234567, =\r\n042137. See <https://a.example/b?c=3Dd>.\r\n\
        --b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        PGI+4KS54KS/PC9iPg==\r\n--b--\r\n.";

    #[tokio::test]
    async fn a_mail_is_taken_apart_for_each_recipient() {
        let sink = MailSink::start().await.unwrap();
        converse(
            &sink,
            &[
                ("ehlo test.example", "250 "),
                ("MAIL FROM:<a@x.example> SIZE=100", "250 "),
                ("rcpt to:<b@x.example>", "250 "),
                ("RCPT TO:<C@x.example>", "250 "),
                ("DATA", "354 "),
                (MAIL, "250 "),
                ("NOOP", "250 "),
                ("QUIT", "221 "),
            ],
        )
        .await;
        let mail = sink.next("b@x.example").await;
        assert_eq!(
            (mail.from.as_str(), mail.to.as_str(), mail.subject.as_str()),
            ("a@x.example", "b@x.example", "हि there")
        );
        assert_eq!(mail.text.trim_end(), ".a dot, 1234567, 042137. See <https://a.example/b?c=d>.");
        assert_eq!(mail.html, "<b>हि</b>");
        assert_eq!((mail.code(), mail.link()), (Some("042137"), Some("https://a.example/b?c=d")));
        assert_eq!((sink.unread("b@x.example"), sink.unread("c@x.example"), sink.taken()), (0, 1, 2));
        assert_eq!(sink.next("c@X.example").await.raw, mail.raw);
    }

    #[tokio::test]
    async fn what_is_out_of_order_is_refused() {
        let sink = MailSink::start().await.unwrap();
        let long = format!("NOOP {}", "x".repeat(900));
        converse(
            &sink,
            &[
                ("MAIL FROM:<a@x.example>", "503 "),
                ("EHLO", "501 "),
                ("HELO test.example", "250 "),
                ("RCPT TO:<b@x.example>", "503 "),
                ("MAIL TO:<a@x.example>", "501 "),
                ("MAIL FROM:<a@x.example>", "250 "),
                ("MAIL FROM:<a@x.example>", "503 "),
                ("DATA", "503 "),
                ("RCPT TO:<nobody>", "501 "),
                ("RSET", "250 "),
                ("DATA", "503 "),
                ("VRFY b", "502 "),
                ("AUTH PLAIN AGEAYg==", "502 "),
                (&long, "250 "),
            ],
        )
        .await;
        assert_eq!(sink.taken(), 0);
    }

    #[tokio::test]
    async fn who_must_sign_in_must() {
        let sink = MailSink::start_with_login("a", "b").await.unwrap();
        converse(
            &sink,
            &[
                ("EHLO test.example", "250 "),
                ("MAIL FROM:<a@x.example>", "530 "),
                ("AUTH PLAIN AGEAYw==", "535 "),
                ("AUTH LOGIN", "535 "),
                ("AUTH PLAIN AGEAYg==", "235 "),
                ("MAIL FROM:<a@x.example>", "250 "),
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn faults_happen_as_often_as_they_were_asked_for() {
        let sink = MailSink::start().await.unwrap();
        sink.refuse_with(451, 2);
        sink.fault(SmtpStep::Sender, SmtpFault::Refuse(550), 1);
        let to = "RCPT TO:<b@x.example>";
        converse(
            &sink,
            &[
                ("EHLO test.example", "250 "),
                ("MAIL FROM:<a@x.example>", "550 5.7.1 refused a@x.example"),
                ("MAIL FROM:<a@x.example>", "250 "),
                (to, "451 4.7.1 refused b@x.example"),
                (to, "451 "),
                (to, "250 "),
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn a_line_without_end_ends_the_conversation() {
        let sink = MailSink::start().await.unwrap();
        for given in ["x".repeat(2_000), "NOOP\n".to_owned()] {
            let mut stream = TcpStream::connect(sink.address()).await.unwrap();
            stream.write_all(given.as_bytes()).await.unwrap();
            let mut heard = Vec::new();
            // A reset is an end, too.
            let _ = stream.read_to_end(&mut heard).await;
            assert!(heard.is_empty() || heard.starts_with(b"220 "), "{heard:?}");
            assert!(!heard.windows(4).any(|four| four == b"250 "), "{heard:?}");
        }
    }
}
