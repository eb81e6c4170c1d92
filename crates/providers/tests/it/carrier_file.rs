//! Carriers' recordings, from hosts that behave well and badly, over real sockets.

mod host;

use host::{Asked, Host, Say, Socket, Wrap, mp3};
use model::CarrierKind;
use providers::BoxFuture;
use providers::carrier_file::{
    AudioFormat, CarrierFiles, FetchedFile, FileError, FileKey, FileLimits, FileRequest, FileSettings, NotAudio,
    Refusal, Trouble,
};
use providers::egress::{Allowed, Lookup, Refused};
use providers::http::{Http, HttpSettings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

/// For recordings.exotel.com, s3-ap-southeast-1.amazonaws.com and files.example.net, signed by itself, until 2126;
/// trusted by nobody but these tests.
const CERTIFICATE: &[u8] = include_bytes!("carrier_file/hosts.crt.pem");
const KEY: &[u8] = include_bytes!("carrier_file/hosts.key.pem");
/// `key:token` in base64.
const BASIC: &str = "Basic a2V5OnRva2Vu";

/// Every name is this machine, save those that say otherwise.
struct Names;

impl Lookup for Names {
    fn lookup(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        let address = match name.as_str() {
            "private.exotel.com" => [10, 0, 0, 1],
            "metadata.exotel.com" => [169, 254, 169, 254],
            _ => [127, 0, 0, 1],
        };
        Box::pin(async move { Ok(vec![IpAddr::from(address)]) })
    }
}

struct World {
    folder: TempDir,
    files: CarrierFiles,
}

impl World {
    fn new() -> Self {
        Self::with(FileLimits::default())
    }

    fn with(limits: FileLimits) -> Self {
        let folder = TempDir::new().expect("a folder");
        let http = Http::new(&HttpSettings { extra_roots_pem: Some(CERTIFICATE.to_vec()), connect_timeout: None });
        let settings = FileSettings {
            folder: folder.path().join("fetched"),
            hosts: vec!["files.example.net".to_owned()],
            allowed: Allowed::LoopbackToo,
            limits,
        };
        let files = CarrierFiles::with_lookup(&http.expect("a client"), &settings, Arc::new(Names));
        Self { folder, files: files.expect("a client") }
    }

    async fn fetch(&self, url: &str) -> Result<FetchedFile, FileError> {
        let token = SecretString::from("token");
        let key = Some(FileKey { user: "key", password: &token });
        let fetched = self.files.fetch(&FileRequest { url, carrier: CarrierKind::Exotel, key }).await;
        if fetched.is_err() {
            assert_eq!(self.left(), 0, "a failed download leaves nothing behind");
        }
        fetched
    }

    async fn error(&self, url: &str) -> FileError {
        self.fetch(url).await.expect_err("no recording")
    }

    /// Files in the folder.
    fn left(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("fetched")).expect("a folder").count()
    }
}

fn tls() -> Wrap {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Arc::new(move |socket| {
        let acceptor = acceptor.clone();
        Box::pin(async move { Some(Box::new(acceptor.accept(socket).await.ok()?) as Box<dyn Socket>) })
    })
}

fn to(location: String) -> Say {
    Say::With(302, "location", location, Vec::new())
}

fn keys(asked: &[Asked]) -> Vec<Option<&str>> {
    asked.iter().map(|asked| asked.authorization.as_deref()).collect()
}

#[tokio::test]
async fn a_recording_comes_whole_and_goes_when_it_is_done_with() {
    let world = World::new();
    let body = mp3(5_000);
    let (says, sha256): (_, [u8; 32]) = (body.clone(), Sha256::digest(&body).into());
    let host = Host::start(move |_, _| Say::Answer(200, says.clone())).await;
    let fetched = world.fetch(&host.url("/a.mp3")).await.expect("a recording");
    assert_eq!((fetched.bytes, fetched.sha256, fetched.format), (body.len() as u64, sha256, AudioFormat::Mp3));
    assert_eq!((fetched.measured.channels, fetched.measured.sample_rate_hz), (1, 44_100));
    assert!((5_000..5_030).contains(&fetched.measured.duration_ms), "{:?}", fetched.measured);
    assert!(std::fs::read(fetched.path()).expect("read") == body);
    drop(fetched);
    assert_eq!(world.left(), 0);
}

#[tokio::test]
async fn leftovers_of_earlier_runs_are_removed_and_nothing_else() {
    let world = World::new();
    let folder = world.folder.path().join("fetched");
    for name in ["0123456789abcdef.part", "ffff.part", "keep.mp3"] {
        std::fs::write(folder.join(name), b"x").expect("written");
    }
    assert_eq!(world.files.clear().expect("cleared"), 2);
    assert_eq!(world.left(), 1);
}

#[tokio::test]
async fn the_key_goes_to_the_carriers_own_host_and_never_across_a_redirect() {
    let world = World::new();
    let s3 = Host::wrapped(tls(), |_, _| Say::Answer(200, mp3(100))).await;
    let (s3_port, body) = (s3.port(), mp3(100));
    let carrier = Host::wrapped(tls(), move |asked, _| match asked.path.as_str() {
        "/own.mp3" => Say::Answer(200, body.clone()),
        "/moved.mp3" => Say::With(301, "location", "/own.mp3".to_owned(), Vec::new()),
        _ => to(format!("https://s3-ap-southeast-1.amazonaws.com:{s3_port}/b/a.mp3?X-Amz-Signature=c")),
    })
    .await;
    let exotel = |path: &str| format!("https://recordings.exotel.com:{}{path}", carrier.port());
    world.fetch(&exotel("/own.mp3")).await.expect("a recording");
    assert_eq!(keys(&carrier.asked()), [Some(BASIC)]);
    world.fetch(&exotel("/at-s3.mp3")).await.expect("a recording");
    assert_eq!(keys(&s3.asked()), [None]);
    // Not even back to itself: the redirect may be somebody else's doing.
    world.fetch(&exotel("/moved.mp3")).await.expect("a recording");
    assert_eq!(keys(&carrier.asked())[2..], [Some(BASIC), None]);
    for host in ["s3-ap-southeast-1.amazonaws.com", "files.example.net"] {
        world.fetch(&format!("https://{host}:{s3_port}/a.mp3")).await.expect("a recording");
    }
    assert_eq!(keys(&s3.asked()), [None, None, None]);
}

#[tokio::test]
async fn redirects_are_checked_like_first_addresses() {
    let world = World::new();
    for (location, want) in [
        ("https://evil.example/a.mp3", "Host"),
        ("https://s3.amazonaws.com.evil.example/a.mp3", "Host"),
        ("http://recordings.exotel.com/a.mp3", "Scheme"),
        ("http://169.254.169.254/latest/meta-data/", "NotPublic"),
        ("https://10.0.0.1/a.mp3", "NotPublic"),
        ("https://metadata.exotel.com/a.mp3", "NotPublic"),
        ("https://key:token@recordings.exotel.com/a.mp3", "Credentials"),
        ("file:///etc/passwd", "Scheme"),
    ] {
        let host = Host::start(move |_, _| to(location.to_owned())).await;
        let error = world.error(&host.url("/a.mp3")).await;
        assert!(matches!(error, FileError::Refused(_)) && format!("{error:?}").contains(want), "{location}: {error:?}");
    }
    for location in ["/again", "http://[", ""] {
        let host = Host::start(move |_, _| to(location.to_owned())).await;
        let error = world.error(&host.url("/a.mp3")).await;
        assert!(matches!(error, FileError::Transient(Trouble::Redirects)), "{location}: {error:?}");
        assert!(host.asked().len() <= 4, "at most three redirects");
    }
    let nowhere = Host::start(|_, _| Say::Answer(302, Vec::new())).await;
    assert!(matches!(world.error(&nowhere.url("/")).await, FileError::Transient(Trouble::Redirects)));
}

#[tokio::test]
async fn addresses_that_may_not_be_reached_are_not_reached() {
    let world = World::new();
    for url in [
        "https://private.exotel.com/a.mp3",
        "https://metadata.exotel.com/a.mp3",
        "https://10.0.0.1/a.mp3",
        "http://169.254.169.254/latest",
    ] {
        let error = world.error(url).await;
        assert!(matches!(error, FileError::Refused(Refusal::Address(Refused::NotPublic))), "{url}: {error:?}");
    }
    let error = world.error("https://evil.example/a.mp3").await;
    assert!(matches!(&error, FileError::Refused(Refusal::Host(host)) if host == "evil.example"), "{error:?}");
    assert!(error.to_string().contains("CALY_RECORDING_HOSTS"), "{error}");
}

#[tokio::test]
async fn each_answer_means_something() {
    let world = World::new();
    for (status, want) in [
        (202, "NotReady(202)"),
        (204, "NotReady(204)"),
        (404, "NotReady(404)"),
        (401, "NeedsAuth"),
        (400, "Expired(400)"),
        (403, "Expired(403)"),
        (410, "Expired(410)"),
        (200, "Empty"),
        (206, "Transient(Status(206))"),
        (304, "Transient(Status(304))"),
        (429, "Transient(Status(429))"),
        (500, "Transient(Status(500))"),
        (503, "Transient(Status(503))"),
    ] {
        let host = Host::start(move |_, _| Say::Answer(status, Vec::new())).await;
        assert_eq!(format!("{:?}", world.error(&host.url("/a.mp3")).await), want);
        assert_eq!(host.asked().len(), 1);
    }
    let hangs_up = Host::wrapped(Arc::new(|_| Box::pin(async { None })), |_, _| Say::Silence).await;
    for scheme in ["http", "https"] {
        let error = world.error(&format!("{scheme}://127.0.0.1:{}/", hangs_up.port())).await;
        assert!(matches!(error, FileError::Transient(Trouble::Unreachable)), "{error:?}");
    }
}

#[tokio::test]
async fn pages_and_errors_with_200_are_no_recordings() {
    let world = World::new();
    for (body, want) in [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>".to_vec(), NotAudio::Html),
        (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>".to_vec(), NotAudio::Xml),
        (b"{\"RestException\":{\"Status\":404}}".to_vec(), NotAudio::Json),
        (b"x".to_vec(), NotAudio::Unknown),
        (vec![0; 100_000], NotAudio::Unknown),
        ([&mp3(30)[..4], &[0x55; 60_000][..]].concat(), NotAudio::Undecodable),
    ] {
        let host = Host::start(move |_, _| Say::With(200, "content-type", "audio/mpeg".to_owned(), body.clone())).await;
        let error = world.error(&host.url("/a.mp3")).await;
        assert!(matches!(error, FileError::NotAudio(why) if why == want), "{error:?} is not {want:?}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_read_to_its_end() {
    let world = World::with(FileLimits { bytes: 100_000, ..FileLimits::default() });
    let says = mp3(60_000);
    let declared = Host::start(move |_, _| Say::Answer(200, says.clone())).await;
    assert!(matches!(world.error(&declared.url("/")).await, FileError::TooLarge(100_000)));
    let endless = Host::start(|_, _| Say::Endless(mp3(1_000))).await;
    assert!(matches!(world.error(&endless.url("/")).await, FileError::TooLarge(100_000)));
}

#[tokio::test]
async fn who_is_slow_or_breaks_off_is_left() {
    let short = Duration::from_millis(300);
    let first_byte = World::with(FileLimits { first_byte: short, ..FileLimits::default() });
    let silent = Host::start(|_, _| Say::Silence).await;
    assert!(matches!(first_byte.error(&silent.url("/")).await, FileError::Transient(Trouble::TimedOut)));

    let stall = World::with(FileLimits { stall: short, ..FileLimits::default() });
    let stops = Host::start(|_, _| Say::Stop(mp3(5_000))).await;
    assert!(matches!(stall.error(&stops.url("/")).await, FileError::Transient(Trouble::TimedOut)));

    let whole = World::with(FileLimits { download: short, ..FileLimits::default() });
    let drips = Host::start(|_, _| Say::Drip(mp3(5_000), Duration::from_millis(20))).await;
    assert!(matches!(whole.error(&drips.url("/")).await, FileError::Transient(Trouble::TimedOut)));

    let world = World::new();
    let cut = Host::start(|_, _| Say::Cut(mp3(5_000), 7_000)).await;
    assert!(matches!(world.error(&cut.url("/")).await, FileError::Transient(Trouble::Unreachable)));
    let error = world.error(&format!("http://{}/", testkit::nobody::nobody())).await;
    assert!(matches!(error, FileError::Transient(Trouble::Unreachable)) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_download_that_is_given_up_leaves_nothing() {
    let world = World::new();
    let drips = Host::start(|_, _| Say::Drip(mp3(5_000), Duration::from_millis(5))).await;
    let url = drips.url("/");
    let given_up = tokio::time::timeout(Duration::from_millis(500), world.fetch(&url)).await;
    assert!(given_up.is_err());
    assert_eq!(world.left(), 0);
}
