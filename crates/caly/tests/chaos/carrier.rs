//! The carrier: lines on which calls come in all the time, and everything that it reports of them.
//!
//! A webhook that is not answered is sent again, as a carrier does, and one that was answered sometimes, too.

use crate::dice::Dice;
use crate::ledger::{Promised, Report};
use crate::place::now;
use crate::post::{self, hex};
use crate::program::SECRET;
use crate::scene::{NUMBERS, Number, Scene};
use chrono::TimeDelta;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use testkit::carrier::{
    Announce, AnnounceError, Coding, FakeExotel, Options, Passthru, RecordedCaller, RecordedFile, StatusCallback,
    StreamAs,
};
use tokio::time::Instant;

/// Calls at once.
pub(crate) const LINES: u64 = 6;
/// Before a webhook that was not answered is sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(60);
/// A server that is killed again and again answers within this many tries.
const TRIES_MAX: u32 = 2_000;
/// Of a hundred callers so many give up before they are answered.
const MISSED_PERCENT: u64 = 15;
/// The carrier says that its recording is there so long after the call, in seconds, and keeps its word.
const RECORDED_AFTER_S: (u64, u64) = (1, 6);
/// Between two pieces of a recording, so that a kill can come in between.
const RECORDING_PAUSE: Duration = Duration::from_millis(20);
const CODINGS: [Coding; 3] = [Coding::Multipart, Coding::Urlencoded, Coding::Json];
const STREAMS: [StreamAs; 3] = [StreamAs::EscapedKeys, StreamAs::Keys, StreamAs::Text];

/// What is reported of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    CallEnd,
    Status,
    Passthru,
    Recording,
}

impl Kind {
    /// As it is kept.
    const fn word(self) -> &'static str {
        match self {
            Self::CallEnd => "call-end",
            Self::Status => "status",
            Self::Passthru => "passthru",
            Self::Recording => "recording",
        }
    }
}

/// A call that is over.
struct Ended {
    call_id: String,
    /// By the carrier's count.
    duration_s: u32,
    /// Where the carrier's recording of it is.
    recording_url: Option<String>,
}

/// One line: call after call until the scene closes. Outgoing calls and their callbacks join as lines of their own.
pub(crate) async fn line(scene: &Scene<'_>, mut dice: Dice) {
    while !scene.is_closing() {
        let number = dice.one_of(&NUMBERS);
        let ended = if dice.chance(MISSED_PERCENT) {
            missed(scene, number, &mut dice).await
        } else {
            call(scene, number, &mut dice).await
        };
        match ended {
            Some(ended) => report(scene, number, &ended, &mut dice).await,
            None => tokio::time::sleep(AGAIN_AFTER).await,
        }
    }
}

/// A call with media, of one to three seconds.
async fn call(scene: &Scene<'_>, number: Number, dice: &mut Dice) -> Option<Ended> {
    let announce = if dice.chance(50) {
        Announce::Signed { secret: SecretString::from(SECRET) }
    } else {
        let url = format!("{}/webhooks/exotel/voicebot/{}", scene.url(), number.token);
        Announce::DynamicUrl { url, passthru_url: None }
    };
    let mut options = Options::new(scene.url(), announce);
    number.as_sent.clone_into(&mut options.called_number);
    options.report_end = false;
    options.call_max = Duration::from_secs(20);
    let mut caller = RecordedCaller::new(Vec::new(), dice.between(1_000, 3_000));
    let before = scene.kills();
    scene.signals.webhook_sent.notify_waiters();
    let seen = match Box::pin(FakeExotel::new(options).place_call(&mut caller)).await {
        Ok(seen) => seen,
        Err(AnnounceError::Unreachable(_)) => {
            scene.ledger.unanswered();
            return None;
        }
        Err(error @ (AnnounceError::Refused { .. } | AnnounceError::NoUrl(_))) => {
            scene.ledger.refused(format!("a call: {error}"));
            return None;
        }
    };
    scene.signals.call_ended.notify_waiters();
    scene.ledger.answered(seen.announce_ms);
    let promised = Promised { kills: (before, scene.kills()), duration_ms: seen.duration_ms };
    scene.ledger.promised(&seen.call_id, promised);
    let file = RecordedFile { pause: Some(RECORDING_PAUSE), ..RecordedFile::mp3(seen.duration_ms.max(1_000)) };
    let url = scene.recordings.put("exotelaccount", &format!("{}.mp3", seen.call_id), file);
    let duration_s = u32::try_from(seen.duration_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
    Some(Ended { call_id: seen.call_id, duration_s, recording_url: Some(url) })
}

/// A caller who gives up before the media begins.
async fn missed(scene: &Scene<'_>, number: Number, dice: &mut Dice) -> Option<Ended> {
    let call_id = format!("{:016x}{:015x}p", dice.between(0, u64::MAX - 1), dice.between(0, u64::MAX - 1) >> 4);
    let mut body = post::start(&call_id);
    body["CallTo"] = json!(number.as_sent);
    let before = scene.kills();
    let answered = until_answered(scene, "call-start", || signed(scene, post::CALL_START, &body)).await;
    answered.then(|| {
        let promised = Promised { kills: (before, scene.kills()), duration_ms: 0 };
        scene.ledger.promised(&call_id, promised);
        Ended { call_id, duration_s: 0, recording_url: None }
    })
}

/// Reports that a call is over, in several ways and any order.
async fn report(scene: &Scene<'_>, number: Number, ended: &Ended, dice: &mut Dice) {
    let mut kinds = vec![Kind::CallEnd, Kind::Status, Kind::Passthru];
    kinds.extend(ended.recording_url.as_ref().map(|_| Kind::Recording));
    while !kinds.is_empty() {
        let last = kinds.len() as u64 - 1;
        let kind = kinds.swap_remove(usize::try_from(dice.between(0, last)).expect("small"));
        // The end is always reported; the rest mostly.
        if kind == Kind::CallEnd || dice.chance(60) {
            report_as(scene, number, ended, kind, dice).await;
        }
    }
}

async fn report_as(scene: &Scene<'_>, number: Number, ended: &Ended, kind: Kind, dice: &mut Dice) {
    let call_id = ended.call_id.as_str();
    let duration_s = ended.duration_s;
    let exotel = FakeExotel::new(Options::new(scene.url(), Announce::Forged { signature: None }));
    let (least, most) = RECORDED_AFTER_S;
    let available_by = now() + TimeDelta::seconds(i64::try_from(dice.between(least, most)).expect("small"));
    // As it writes times: in India's, without saying so.
    let available_by = (available_by + TimeDelta::minutes(330)).format("%a, %d %b %Y %H:%M:%S").to_string();
    let (coding, stream_as) = (dice.one_of(&CODINGS), dice.one_of(&STREAMS));
    let at = |what: &str| format!("{}/webhooks/exotel/{what}/{}", scene.url(), number.token);
    let send = async || match kind {
        Kind::CallEnd => {
            let body = json!({
                "CallSid": call_id, "CallTo": number.as_sent, "Status": "completed", "Duration": duration_s.to_string(),
            });
            signed(scene, post::CALL_END, &body).await
        }
        Kind::Status => {
            let mut callback = StatusCallback::full(call_id, "terminal", "completed");
            callback.duration_s = duration_s;
            exotel.call_back(&at("status"), &callback, coding).await
        }
        Kind::Passthru => {
            let passthru = Passthru::after(call_id, "completed", "user", u64::from(duration_s));
            exotel.pass_through(&at("passthru"), &passthru, stream_as).await
        }
        Kind::Recording => {
            let body = json!({
                "CallSid": call_id, "CallTo": number.as_sent, "RecordingUrl": ended.recording_url,
                "RecordingAvailableBy": available_by,
            });
            signed(scene, "/webhooks/exotel/recording", &body).await
        }
    };
    let times = if dice.chance(20) { 2 } else { 1 };
    for _ in 0..times {
        if until_answered(scene, kind.word(), &send).await {
            let kills = scene.kills();
            scene.ledger.reported(Report { call_id: call_id.to_owned(), kind: kind.word(), kills });
        }
    }
}

/// Sends it until it is answered; true when with 2xx.
async fn until_answered(scene: &Scene<'_>, what: &str, send: impl AsyncFn() -> Result<u16, String>) -> bool {
    for _ in 0..TRIES_MAX {
        scene.signals.webhook_sent.notify_waiters();
        let sent = Instant::now();
        match send().await {
            Ok(200..=299) => {
                scene.ledger.answered(u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX));
                return true;
            }
            Ok(status) => {
                scene.ledger.refused(format!("{what}: {status}"));
                return false;
            }
            Err(_) => {
                scene.ledger.unanswered();
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
    scene.ledger.refused(format!("{what}: never answered"));
    false
}

/// A rightly signed POST with a time of its own; the status of its answer.
async fn signed(scene: &Scene<'_>, path: &str, body: &Value) -> Result<u16, String> {
    static SENT: AtomicI64 = AtomicI64::new(0);
    let sent = SENT.fetch_add(1, Ordering::Relaxed);
    let mut body = body.clone();
    // The same at the same time would be a replay; a question says its time in what is signed.
    if let Some(time) = body.get_mut("CurrentTime") {
        *time = json!((now() + TimeDelta::seconds(sent)).format("%Y-%m-%d %H:%M:%S").to_string());
    }
    let body = body.to_string();
    let time = now().timestamp_millis() + sent % 1_000;
    let request = scene
        .http
        .post(format!("{}{path}", scene.url()))
        .header("content-type", "application/json")
        .header("x-exotel-signature", hex(SECRET, &body))
        .header("x-exotel-timestamp", time.to_string())
        .body(body);
    request.send().await.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
}

/// The carrier knows its own calls, also those whose announcement was never answered: it reports their end.
pub(crate) async fn report_unanswered(scene: &Scene<'_>, call_ids: &[String]) {
    for call_id in call_ids {
        let body = json!({ "CallSid": call_id, "Status": "failed", "Duration": "0" });
        until_answered(scene, "call-end", || signed(scene, post::CALL_END, &body)).await;
    }
}
