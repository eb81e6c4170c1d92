//! Who gets which key, over which connection.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use switchboard::Clients;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Keys by organisation and name, which can be changed.
#[derive(Default)]
struct Safe(Mutex<BTreeMap<(TenantId, String), String>>);

impl Safe {
    fn put(&self, tenant: TenantId, name: &str, key: &str) {
        self.0.lock().expect("no holder panics").insert((tenant, name.to_owned()), key.to_owned());
    }

    fn take(&self, tenant: TenantId, name: &str) {
        self.0.lock().expect("no holder panics").remove(&(tenant, name.to_owned()));
    }
}

impl Keys for Safe {
    fn key<'a>(&'a self, tenant: TenantId, name: &'a str) -> BoxFuture<'a, Result<Option<SecretString>, Error>> {
        let found = self.0.lock().expect("no holder panics").get(&(tenant, name.to_owned())).cloned();
        Box::pin(async move { Ok(found.map(SecretString::from)) })
    }
}

fn tenant(n: u128) -> TenantId {
    TenantId::from(uuid::Uuid::from_u128(n))
}

fn clients(values: &[(&str, String)], safe: &Arc<Safe>) -> VendorClients {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let config = Config::from_values(&values, None, Vec::new()).expect("settings");
    let http = crate::services::http().expect("no network is needed");
    VendorClients::new(&config, &http, Arc::clone(safe) as Arc<dyn Keys>, None)
}

fn model(base_url: &str) -> ModelChoice {
    ModelChoice { protocol: ModelProtocol::Openai, base_url: base_url.to_owned(), model: "m".to_owned() }
}

fn speaker(name: &str, base_url: Option<&str>) -> SpeakerChoice {
    SpeakerChoice {
        name: name.to_owned(),
        model: String::new(),
        voice: "v".to_owned(),
        base_url: base_url.map(str::to_owned),
    }
}

/// A server that notes which connection brought which key, answers 404 and keeps the connection.
#[derive(Clone)]
struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<(usize, String)>>>,
}

impl Recorder {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let seen: Arc<Mutex<Vec<(usize, String)>>> = Arc::default();
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut number = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                number += 1;
                let (noted, number) = (Arc::clone(&noted), number);
                tokio::spawn(async move {
                    let mut all = Vec::new();
                    let mut piece = [0; 4_096];
                    loop {
                        match stream.read(&mut piece).await {
                            Ok(0) | Err(_) => return,
                            Ok(count) => all.extend_from_slice(&piece[..count]),
                        }
                        let text = String::from_utf8_lossy(&all).into_owned();
                        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                        let header = |name: &str| {
                            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
                            line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned())
                        };
                        let length: usize = header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
                        if body.len() < length {
                            continue;
                        }
                        let key = header("authorization").unwrap_or_default();
                        noted.lock().expect("no holder panics").push((number, key));
                        all.clear();
                        let answer =
                            b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Keys by connection.
    fn keys(&self) -> BTreeMap<usize, BTreeSet<String>> {
        let mut keys: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for (connection, key) in self.seen.lock().expect("no holder panics").iter() {
            keys.entry(*connection).or_default().insert(key.clone());
        }
        keys
    }
}

async fn think(clients: &VendorClients, n: u128, choice: &ModelChoice) {
    let link = clients.language_model(tenant(n), choice).await.expect("a client");
    let prompt = providers::language_model::Prompt {
        system: String::new(),
        messages: Vec::new(),
        temperature: 0.0,
        tools: Vec::new(),
    };
    let mut thoughts = link.provider.think(prompt);
    while thoughts.recv().await.is_some() {}
}

async fn speak(clients: &VendorClients, n: u128, choice: &SpeakerChoice) {
    let link = clients.speaker(tenant(n), choice).await.expect("a client");
    let mut chunks = link.provider.speak(providers::speaker::SpeakRequest {
        text: "Hello.".to_owned(),
        language: "en-IN".to_owned(),
        voice: String::new(),
        sample_rate_hz: 8_000,
    });
    while chunks.recv().await.is_some() {}
}

#[tokio::test]
async fn organisations_with_keys_of_their_own_share_no_connection() {
    let (recorder, safe) = (Recorder::start().await, Arc::new(Safe::default()));
    safe.put(tenant(1), "openai", "key-of-one");
    safe.put(tenant(2), "openai", "key-of-two");
    let settings = [("CALY_SPEECH_URL", recorder.url()), ("OPENAI_API_KEY", "key-of-the-house".to_owned())];
    let clients = clients(&settings, &safe);
    for n in [1, 2, 3, 4, 1, 2, 3, 4, 2, 1] {
        think(&clients, n, &model(&recorder.url())).await;
        speak(&clients, n, &speaker("openai", None)).await;
    }
    let keys = recorder.keys();
    assert!(keys.values().all(|keys| keys.len() == 1), "{keys:?}");
    let connections = |key: &str| keys.values().filter(|keys| keys.contains(&format!("Bearer {key}"))).count();
    for key in ["key-of-one", "key-of-two", "key-of-the-house"] {
        assert_eq!(connections(key), 1, "one connection, whatever the service: {keys:?}");
    }
    assert_eq!(keys.len(), 3);
}

#[tokio::test]
async fn a_changed_key_is_another_client_and_a_deleted_one_the_installations() {
    let (recorder, safe) = (Recorder::start().await, Arc::new(Safe::default()));
    let settings = [("CALY_MODEL_URLS", recorder.url()), ("OPENAI_API_KEY", "key-of-the-house".to_owned())];
    let clients = clients(&settings, &safe);
    let choice = model(&recorder.url());
    let target = async || clients.language_model(tenant(1), &choice).await.expect("a client").target;
    let mut targets = BTreeSet::new();
    for key in ["first", "second"] {
        safe.put(tenant(1), "openai", key);
        think(&clients, 1, &choice).await;
        targets.insert(target().await.expect("it has a breaker").place);
    }
    safe.take(tenant(1), "openai");
    think(&clients, 1, &choice).await;
    targets.insert(target().await.expect("it has a breaker").place);
    assert_eq!(targets.len(), 3, "what was refused with one key says nothing about the next");
    let seen: Vec<String> =
        recorder.seen.lock().expect("no holder panics").iter().map(|(_, key)| key.clone()).collect();
    assert_eq!(seen, ["Bearer first", "Bearer second", "Bearer key-of-the-house"]);
}

#[tokio::test]
async fn a_client_is_made_once() {
    let (recorder, safe) = (Recorder::start().await, Arc::new(Safe::default()));
    safe.put(tenant(1), "openai", "key-of-one");
    let clients = clients(&[("CALY_SPEECH_URL", recorder.url())], &safe);
    let choice = speaker("openai", None);
    let one = clients.speaker(tenant(1), &choice).await.expect("a client");
    let other_voice = SpeakerChoice { voice: "w".to_owned(), ..choice.clone() };
    let again = clients.speaker(tenant(1), &other_voice).await.expect("a client");
    assert!(Arc::ptr_eq(&one.provider, &again.provider));
    assert_eq!((one.voice.as_str(), again.voice.as_str(), one.model.as_str()), ("v", "w", "tts-1"));
    let other_model = SpeakerChoice { model: "tts-2".to_owned(), ..choice };
    let other = clients.speaker(tenant(1), &other_model).await.expect("a client");
    assert!(!Arc::ptr_eq(&one.provider, &other.provider));
    assert_ne!(one.target, other.target);
}

#[tokio::test]
async fn a_key_goes_to_no_address_but_its_own() {
    let (recorder, safe) = (Recorder::start().await, Arc::new(Safe::default()));
    safe.put(tenant(1), "openai", "key-of-one");
    safe.put(tenant(1), "deepgram", "key-of-one");
    let settings = [("OPENAI_API_KEY", "house".to_owned()), ("DEEPGRAM_API_KEY", "house".to_owned())];
    let clients = clients(&settings, &safe);
    think(&clients, 1, &model(&recorder.url())).await;
    assert_eq!(recorder.keys(), BTreeMap::from([(1, BTreeSet::from([String::new()]))]), "no key at all");
    // Its owner's key of that host's name does.
    safe.put(tenant(1), &recorder.address.to_string(), "key-of-that-host");
    think(&clients, 1, &model(&recorder.url())).await;
    let seen = recorder.seen.lock().expect("no holder panics").last().cloned();
    assert_eq!(seen.map(|(_, key)| key).as_deref(), Some("Bearer key-of-that-host"));
    // A vendor that must have a key is not asked without.
    let choice = speaker("deepgram", Some("wss://speech.example.org"));
    assert_eq!(clients.speaker(tenant(1), &choice).await.err().map(|e| e.kind), Some(ErrorKind::NotInstalled));
}

#[tokio::test]
async fn who_is_there_with_which_keys() {
    let safe = Arc::new(Safe::default());
    safe.put(tenant(1), "cartesia", "key-of-one");
    let clients = clients(&[("ELEVENLABS_API_KEY", "house".to_owned())], &safe);
    for (n, name, there) in [
        (1, "cartesia", true),
        (2, "cartesia", false),
        (1, "elevenlabs", true),
        (2, "elevenlabs", true),
        (1, "openai", false),
        (1, "deepgram", false),
        (1, "builtin", false),
        (1, "nobody", false),
    ] {
        let made = clients.speaker(tenant(n), &speaker(name, None)).await;
        assert_eq!(made.is_ok(), there, "{n} {name}");
        if let Err(error) = made {
            assert_eq!(error.kind, ErrorKind::NotInstalled);
        }
    }
    let ears = TranscriberChoice { name: "deepgram".to_owned(), model: String::new(), base_url: None };
    assert!(clients.transcriber(tenant(1), &ears).await.is_err());
    safe.put(tenant(1), "deepgram", "key-of-one");
    assert!(clients.transcriber(tenant(1), &ears).await.is_ok());
}

#[tokio::test]
async fn an_address_that_was_fine_and_leads_inside_is_not_connected_to() {
    let (recorder, safe) = (Recorder::start().await, Arc::new(Safe::default()));
    let mut clients = clients(&[], &safe);
    clients.addresses.restrict();
    // Written out it is refused at once; by a name, when it is resolved.
    let refused = clients.language_model(tenant(1), &model(&recorder.url())).await.err().map(|error| error.kind);
    assert_eq!(refused, Some(ErrorKind::Rejected));
    let fenced = clients.connections(Owner::Tenant(tenant(1)), clients.addresses.allowed).expect("a client");
    let error = fenced.client().get(format!("http://localhost:{}/", recorder.address.port())).send().await;
    assert!(error.is_err() && recorder.keys().is_empty());
}

#[tokio::test]
async fn what_can_be_checked_is_listed() {
    let values = [
        ("SARVAM_API_KEY", "s"),
        ("DEEPGRAM_API_KEY", "d"),
        ("OPENAI_API_KEY", "o"),
        ("CALY_TRANSCRIPTION_URL", "http://127.0.0.1:9/v1"),
    ];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = Config::from_values(&values, None, Vec::new()).expect("settings");
    let checks = VendorClients::checks(&config, &crate::services::http().expect("no network is needed"));
    let names: Vec<String> = checks.into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["sarvam, speech to text", "openai, speech to text", "deepgram, text to speech", "sarvam, text to speech"]
    );
}
