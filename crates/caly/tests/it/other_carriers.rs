//! The carriers besides Exotel, each through the same checks against the running server: a whole call, an interruption,
//! a handing over, and who is let in. The carriers' fakes share no code with what they test, so that a wrong coding, a
//! wrong word or a wrong signature shows.

use crate::place::Place;
use crate::program::Server;
use crate::voice;
use crate::world::{World, channel_dbfs, colours, talker, transferring, vendors};
use audio::wav::Wav;
use model::{AuditKind, CallStatus, CarrierKind, E164, EndedReason, TranscriptTurn, TurnRole};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use store::carrier_accounts::{self, NewCarrierAccount};
use store::carrier_events::{self, CarrierEvent};
use store::phone_numbers::{self, NewPhoneNumber};
use testkit::caller::{Script, ScriptedCaller};
use testkit::carrier::{Closed, LOUD_DBFS, RecordedCaller, rms_dbfs};
use testkit::peers::{After, FakePeer, PeerError, PeerKind, PeerOptions, Signing};
use testkit::vendors::{Answers, Transcripts, VendorSettings};

const NUMBER: &str = "+918047490001";
const CALLER: &str = "+919876543210";
/// To whom [`transferring`] hands over.
const PERSON: &str = "+918045671234";
const PATH_TOKEN: &str = "path-token-of-another-carrier";
const AUTH_TOKEN: &str = "the auth token of an account";
/// What is heard, recorded and said must be as loud, but for the coding's own noise and what was cut at the edges.
const LEVEL_DB: f32 = 1.5;

const fn kind_of(peer: PeerKind) -> CarrierKind {
    match peer {
        PeerKind::Twilio => CarrierKind::Twilio,
        PeerKind::Plivo => CarrierKind::Plivo,
        PeerKind::Vobiz => CarrierKind::Vobiz,
        PeerKind::Smartflo => CarrierKind::Smartflo,
    }
}

/// A number of this carrier, answered by the world's agent, and the tenant's account there.
async fn connect(world: &World<'_>, peer: PeerKind) {
    let carrier = kind_of(peer);
    let token = SecretString::from(AUTH_TOKEN);
    let made = world.store.write(world.tenant, "test.number", async |tx| {
        let number = NewPhoneNumber {
            carrier,
            number: E164::parse(NUMBER).expect("a number"),
            agent: world.agent,
            path_token_hash: Some(Sha256::digest(PATH_TOKEN).into()),
        };
        phone_numbers::create(tx, &number, crate::place::now()).await?;
        let account = NewCarrierAccount {
            carrier,
            account_id: "account",
            region: None,
            api_key: None,
            flow_id: None,
            token: &token,
        };
        carrier_accounts::create(tx, &account, crate::place::now()).await.map(|_| ())
    });
    made.await.expect("a number and an account");
}

fn fake(peer: PeerKind, server: &Server) -> FakePeer {
    let at = |what: &str| format!("{}/webhooks/{}/{what}/{PATH_TOKEN}", server.url, peer.as_str());
    let mut options = PeerOptions::new(at("answer"), SecretString::from(AUTH_TOKEN));
    options.status_url = Some(at("status"));
    options.called_number = NUMBER.to_owned();
    options.caller_number = CALLER.to_owned();
    FakePeer::new(peer, options)
}

async fn events(world: &World<'_>, call: model::CallId) -> Vec<CarrierEvent> {
    let read = world.store.read(world.tenant, "test.reports", async |tx| carrier_events::of_call(tx, call).await);
    read.await.expect("read")
}

/// Answers the first question, then waits for the agent to hang up.
fn answering_caller() -> ScriptedCaller {
    let script =
        "name = 'answer'\nlinger_ms = 8000\n[[turn]]\ntext = 'red please'\npause_ms = 200\nsay = [{ clip = 'x' }]";
    let script = Script::parse(script).expect("a script");
    ScriptedCaller::with_speech(script, vec![voice::say(8_000, 800)], 8_000, 7)
}

fn said(turns: &[TranscriptTurn]) -> Vec<(TurnRole, &str)> {
    turns.iter().map(|turn| (turn.role, turn.text.as_str())).collect()
}

/// How loud a side of a recording is while it can be heard.
fn heard_dbfs(wav: &Wav, channel: usize) -> f32 {
    let samples: Vec<i16> = wav.samples.iter().skip(channel).step_by(usize::from(wav.channels)).copied().collect();
    let loud: Vec<i16> = samples.chunks(160).filter(|piece| rms_dbfs(piece) > LOUD_DBFS).flatten().copied().collect();
    rms_dbfs(&loud)
}

#[track_caller]
fn as_loud(what: &str, one: f32, other: f32) {
    assert!((one - other).abs() < LEVEL_DB, "{what}: {one} and {other} dBFS");
}

/// A question, an answer, a goodbye: heard, understood, recorded, reported.
async fn a_whole_call(peer: PeerKind) {
    let place = Place::sqlite();
    let settings = VendorSettings { transcripts: Transcripts::Script(vec!["red please".to_owned()]), ..vendors() };
    let world = World::with_vendors(&place, colours(), settings).await;
    connect(&world, peer).await;
    let server = world.serve(&[]).await;
    let fake = fake(peer, &server);
    let seen = fake.place_call(&mut answering_caller()).await.expect("the call is taken");
    let call = world.ended(&seen.call_id).await;

    assert_eq!(seen.violations, Vec::<String>::new());
    assert!(matches!(seen.closed, Closed::ByServer { .. }), "{:?}", seen.closed);
    assert_eq!(seen.after, peer.asks_afterwards().then_some(After::HungUp));
    assert_eq!(seen.end_report, Some(Ok(200)));
    assert_eq!(seen.marks.iter().filter(|mark| mark.echoed_ms.is_some()).count(), 2, "{:?}", seen.marks);
    assert!(seen.first_agent_audio_ms.is_some_and(|ms| ms < 3_000), "{:?}", seen.first_agent_audio_ms);

    assert_eq!((call.carrier, call.phone_number.is_some()), (kind_of(peer), true));
    assert_eq!((call.status, call.ended_reason), (CallStatus::Completed, Some(EndedReason::AgentCompleted)));
    assert_eq!(call.from.as_ref().map(E164::as_str), Some(CALLER));
    assert_eq!(call.to.as_ref().map(E164::as_str), Some(NUMBER));
    assert_eq!(call.data["keep_colour"]["colour"], "red", "the caller was understood");
    let want = [
        (TurnRole::Agent, "Red or blue?"),
        (TurnRole::Caller, "red please"),
        (TurnRole::Agent, "Thank you and goodbye."),
    ];
    assert_eq!(said(&world.turns(call.id).await), want);

    // The same sound at the carrier's ear, in our recording, and as it was said.
    let (recording, wav) = world.stored_recording(call.id).await;
    assert_eq!((recording.channels, wav.channels, wav.rate), (2, 2, 8_000));
    for channel in [0, 1] {
        assert!(channel_dbfs(&wav, channel) > -45.0, "channel {channel}: {} dBFS", channel_dbfs(&wav, channel));
    }
    assert!((-30.0..-10.0).contains(&seen.agent_dbfs()), "{} dBFS", seen.agent_dbfs());
    as_loud("the agent, heard and recorded", seen.agent_dbfs(), heard_dbfs(&wav, 1));
    as_loud("the caller, said and recorded", seen.caller_dbfs(), heard_dbfs(&wav, 0));

    // The carrier's word is kept, once.
    assert_eq!(call.carrier_status, Some(CallStatus::Completed));
    assert!(call.carrier_duration_s.is_some_and(|s| s > 0), "{call:?}");
    let before = events(&world, call.id).await.len();
    let url = "https://recordings.example.com/a.mp3";
    for _ in 0..2 {
        assert_eq!(fake.report_recording(&seen.call_id, url, 9).await, Ok(200));
    }
    assert_eq!(events(&world, call.id).await.len(), before + 1, "repeated, taken once");
    let call = world.call(&seen.call_id).await.expect("the call");
    assert_eq!(call.carrier_recording_url.as_deref(), Some(url));
    assert_eq!(fake.report_recording("another-call", url, 9).await, Ok(404));
    // A call that is over cannot be started again.
    let again = fake.announce(&seen.call_id).await;
    assert!(matches!(again, Err(PeerError::Refused { status: 409, .. })), "{again:?}");
    let actor = format!("carrier:{}", peer.as_str());
    for kind in [AuditKind::CallAnnounced, AuditKind::CallReported] {
        assert!(world.audited(kind.as_str()).await.iter().all(|event| event.actor == actor), "{kind:?}");
    }
    server.stop().await;
}

/// The caller speaks, the agent falls silent at once and answers.
async fn an_interruption(peer: PeerKind) {
    let place = Place::sqlite();
    let parts = ["stop please", "I have a question"].map(str::to_owned).to_vec();
    let settings = VendorSettings {
        answers: Answers::Script(vec!["Of course.".to_owned()]),
        transcripts: Transcripts::Script(parts),
        ..vendors()
    };
    let world = World::with_vendors(&place, talker(60), settings).await;
    connect(&world, peer).await;
    let server = world.serve(&[]).await;
    let mut pcm = vec![0; 8_000 * 3];
    pcm.extend(voice::say(8_000, 1_200));
    let mut caller = RecordedCaller::new(pcm, 8_000);
    caller.keys.push((7_000, '5'));
    let seen = fake(peer, &server).place_call(&mut caller).await.expect("the call is taken");
    let call = world.ended(&seen.call_id).await;
    assert_eq!(seen.violations, Vec::<String>::new());
    assert_eq!(seen.closed, Closed::ByCaller { answered: true });
    assert_eq!(call.ended_reason, Some(EndedReason::CallerHungUp));
    assert_eq!(seen.after, None, "the caller is gone");
    assert_eq!(seen.clear_at_ms.len(), 1, "{:?}", seen.clear_at_ms);
    assert!((3_000..5_500).contains(&seen.clear_at_ms[0]), "{:?}", seen.clear_at_ms);
    let turns = world.turns(call.id).await;
    assert!(turns[0].interrupted, "{turns:?}");
    let (heard, intended) = (turns[0].text.len(), turns[0].intended.as_deref().map_or(0, str::len));
    assert!(heard > 0 && heard < intended, "only what was heard: {turns:?}");
    assert_eq!(
        said(&turns[1..]),
        [
            (TurnRole::Caller, "stop please I have a question"),
            (TurnRole::Agent, "Of course."),
            (TurnRole::Caller, "(pressed 5)"),
        ]
    );
    server.stop().await;
}

/// The agent decides on a person; the carrier dials them, where it asks.
async fn a_handing_over(peer: PeerKind) {
    let place = Place::sqlite();
    let world = World::new(&place, transferring()).await;
    connect(&world, peer).await;
    let server = world.serve(&[]).await;
    let mut caller = RecordedCaller::new(Vec::new(), 20_000);
    let seen = fake(peer, &server).place_call(&mut caller).await.expect("the call is taken");
    assert_eq!(seen.violations, Vec::<String>::new());
    assert!(matches!(seen.closed, Closed::ByServer { .. }), "{:?}", seen.closed);
    let dialled =
        After::Dialled { to: PERSON.to_owned(), caller_id: NUMBER.to_owned(), ring_s: 45, time_limit_s: 3_600 };
    assert_eq!(seen.after, peer.asks_afterwards().then_some(dialled));
    let call = world.ended(&seen.call_id).await;
    // Who is asked by nobody hands nobody over, and says so.
    let (to, reason) = if peer.asks_afterwards() { (Some(PERSON), "agent/transferred") } else { (None, "caly/error") };
    assert_eq!(call.transfer_to.as_ref().map(E164::as_str), to);
    assert_eq!(call.ended_reason.map(|reason| reason.as_str()), Some(reason));
    server.stop().await;
}

fn status(answer: &Result<String, PeerError>) -> Option<u16> {
    match answer {
        Err(PeerError::Refused { status, .. }) => Some(*status),
        Ok(_) | Err(_) => None,
    }
}

/// Whoever is not the carrier hears nothing, and it is on record.
async fn who_is_let_in(peer: PeerKind) {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    connect(&world, peer).await;
    let server = world.serve(&[]).await;
    let rejected = "select count(*) from audit_logs where kind = 'webhook.rejected'";
    let mut fake = fake(peer, &server);
    let mut refusals = 0;
    if peer.signs() {
        for (signing, code) in [(Signing::Wrong, "signature_wrong"), (Signing::Missing, "signature_missing")] {
            fake.options.signing = signing;
            let answer = fake.announce("call-1").await;
            assert_eq!(status(&answer), Some(401), "{answer:?}");
            assert!(answer.expect_err("refused").to_string().contains(code), "{signing:?}");
            assert_eq!(fake.report_end("call-1", 1).await, Ok(401));
            refusals += 2;
        }
    }
    assert_eq!(world.calls().await.len(), 0);
    for signing in [Signing::Right, Signing::Older] {
        fake.options.signing = signing;
        // The same call asked again is the same call, with another address.
        let first = fake.announce("call-1").await.expect("taken");
        assert_ne!(first, fake.announce("call-1").await.expect("taken"));
    }
    assert_eq!(world.calls().await.len(), 1);
    fake.options.asks_by_post = true;
    fake.announce("call-1").await.expect("taken");
    let right = fake.options.answer_url.clone();
    for wrong in [format!("{right}x"), right.replace(peer.as_str(), other(peer).as_str())] {
        fake.options.answer_url = wrong;
        let answer = fake.announce("call-2").await;
        assert_eq!(status(&answer), Some(404), "{answer:?}");
        refusals += 1;
    }
    assert_eq!(world.calls().await.len(), 1);
    assert_eq!(place.number(rejected).await, refusals);
    server.stop().await;
}

/// Another carrier: the address of one is nothing at another's.
const fn other(peer: PeerKind) -> PeerKind {
    match peer {
        PeerKind::Plivo => PeerKind::Vobiz,
        PeerKind::Twilio | PeerKind::Vobiz => PeerKind::Plivo,
        // Asked with a POST like all others.
        PeerKind::Smartflo => PeerKind::Twilio,
    }
}

macro_rules! each_carrier {
    ($($name:ident = $peer:expr),* $(,)?) => {$(
        mod $name {
            use testkit::peers::PeerKind;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_whole_call() {
                Box::pin(super::a_whole_call($peer)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn an_interruption() {
                Box::pin(super::an_interruption($peer)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_handing_over() {
                Box::pin(super::a_handing_over($peer)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn who_is_let_in() {
                Box::pin(super::who_is_let_in($peer)).await;
            }
        }
    )*};
}

each_carrier! {
    twilio = PeerKind::Twilio,
    plivo = PeerKind::Plivo,
    vobiz = PeerKind::Vobiz,
    smartflo = PeerKind::Smartflo,
}
