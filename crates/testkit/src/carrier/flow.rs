//! The rest of a flow: what Exotel asks and tells behind its Voicebot applet. First the Passthru, whose answer chooses
//! a branch; then, while the caller is still on the line, a Connect applet that asks whom to dial; then its Passthru.

use super::announce::{self, CallIds, LONG_TIME, SHORT_TIME, chain, indian, now};
use super::reports::flat;
use super::{Announce, CallObservation, Closed, Options, Passthru, StreamAs};
use chrono::TimeDelta;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What a Passthru says of a call beyond the account's streams.
pub(super) const THROTTLED: &str = "Streaming_call_throttled";
/// An end that is none yet, in Indian time: the epoch, as captured.
const NO_END: &str = "1970-01-01 05:30:00";
/// How long the Connect applet asks for a decision.
const DECISION_MAX: Duration = Duration::from_secs(10);
/// Between two such questions.
const DECISION_EVERY: Duration = Duration::from_secs(1);
/// People dialled for one call, at most: a server that always wants one more would never end.
const DIALS_MAX: usize = 10;
/// A recording is promised for this much later, as captured.
const RECORDING_AFTER: TimeDelta = TimeDelta::minutes(5);

/// Which answer of the Passthru leads to the Connect applet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Branch {
    /// Whatever it was.
    #[default]
    Always,
    /// 200.
    Ok,
    /// 302.
    Found,
}

/// What the person does who is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Human {
    /// Answers, and talks so long.
    Answers {
        /// Reported, and waited for as [`ConnectApplet::time_scale`] says.
        talk: Duration,
    },
    /// Is on the telephone.
    Busy,
    /// Lets it ring.
    NoAnswer,
    /// Has a number that does not exist.
    Fails,
}

/// A Connect applet with a dynamic URL.
#[derive(Clone, Debug)]
pub struct ConnectApplet {
    /// The URL that says whom to dial.
    pub url: String,
    /// The Passthru behind it.
    pub passthru_url: Option<String>,
    /// The branch that it stands on.
    pub branch: Branch,
    /// How long it asks again while there is no answer that can be used.
    pub decision_max: Duration,
    /// Between two questions.
    pub decision_every: Duration,
    /// An answer with nobody to dial is taken for "not decided yet", too.
    pub ask_while_nobody: bool,
    /// What those dialled do, one after the other; the last goes on doing it.
    pub humans: Vec<Human>,
    /// Conversations take this part of their time; 0: they are only told.
    pub time_scale: f64,
    /// Where the recording of the conversation is, when one was asked for.
    pub recording_url: Option<String>,
}

impl ConnectApplet {
    /// Somebody answers and talks for a minute, which is not waited for.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            passthru_url: None,
            branch: Branch::default(),
            decision_max: DECISION_MAX,
            decision_every: DECISION_EVERY,
            ask_while_nobody: false,
            humans: vec![Human::Answers { talk: Duration::from_secs(60) }],
            time_scale: 0.0,
            recording_url: None,
        }
    }
}

/// One person dialled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DialAttempt {
    /// As the server wrote it.
    pub number: String,
    /// `completed`, `busy`, `no-answer`, `failed`.
    pub status: String,
    /// Conversation.
    pub talk_s: u64,
}

/// What a Connect applet did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Transfer {
    /// Questions asked of its URL.
    pub asked: u32,
    /// The last answer's status; none when there was no answer.
    pub http_status: Option<u16>,
    /// The last answer.
    pub answer: Value,
    /// What is wrong with the answers.
    pub violations: Vec<String>,
    /// Who was dialled.
    pub dialled: Vec<DialAttempt>,
    /// The answer to the Passthru behind it.
    pub passthru: Option<Result<u16, String>>,
}

impl Transfer {
    /// How it ended: that of the last attempt. `None`: nobody was dialled.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        self.dialled.last().map(|attempt| attempt.status.as_str())
    }
}

/// What became of the stream, in the words of a Passthru.
fn outcome(closed: &Closed) -> (&'static str, &'static str) {
    match closed {
        Closed::NeverConnected { .. } | Closed::Failed { .. } | Closed::Dropped | Closed::ServerStalled => {
            ("failed", "NA")
        }
        Closed::ByCaller { .. } => ("cancelled", "user"),
        Closed::ByServer { .. } => ("completed", "bot"),
    }
}

/// All that follows on the media socket. Without a caller on the line the flow ends with the Passthru.
pub(super) async fn behind_the_voicebot(
    http: &reqwest::Client,
    options: &Options,
    ids: &CallIds,
    seen: &mut CallObservation,
) {
    seen.end_report = report_end(http, options, ids, seen).await;
    let Some(applet) = &options.connect else { return };
    if matches!(seen.closed, Closed::ByCaller { .. }) {
        return;
    }
    let branch = match applet.branch {
        Branch::Always => true,
        Branch::Ok => seen.end_report == Some(Ok(200)),
        Branch::Found => seen.end_report == Some(Ok(302)),
    };
    if branch {
        seen.transfer = Some(connect(http, options, ids, applet).await);
    }
}

/// Tells the server that the stream is over. `None` when this announcement has no such report.
async fn report_end(
    http: &reqwest::Client,
    options: &Options,
    ids: &CallIds,
    seen: &CallObservation,
) -> Option<Result<u16, String>> {
    let request = match &options.announce {
        Announce::Direct { .. } => return None,
        Announce::DynamicUrl { passthru_url: None, .. } => return None,
        Announce::DynamicUrl { passthru_url: Some(url), .. } => {
            http.get(passthru(options, ids, seen).url(url, options.stream_as))
        }
        Announce::Signed { .. } | Announce::Forged { .. } => {
            announce::signed_post(http, options, "/webhooks/exotel/call-end", call_end(options, ids, seen))
        }
    };
    Some(status_of(request).await)
}

async fn status_of(request: reqwest::RequestBuilder) -> Result<u16, String> {
    request.send().await.map(|response| response.status().as_u16()).map_err(|error| chain(&error))
}

fn owned(pairs: Vec<(&str, String)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn passthru(options: &Options, ids: &CallIds, seen: &CallObservation) -> Passthru {
    let (status, by) = outcome(&seen.closed);
    let mut stream = vec![
        ("StreamSID", ids.stream_id.clone()),
        ("Status", status.to_owned()),
        ("Duration", seen.duration_ms.div_ceil(1000).to_string()),
        ("StreamUrl", seen.stream_url.clone()),
        ("DisconnectedBy", by.to_owned()),
    ];
    match &seen.closed {
        Closed::NeverConnected { .. } if options.throttled => stream.push(("DetailedStatus", THROTTLED.to_owned())),
        Closed::NeverConnected { error } => {
            stream.push(("Error", format!("3009 failed to establish ws conn {error}")));
        }
        Closed::ByCaller { .. }
        | Closed::ByServer { .. }
        | Closed::Dropped
        | Closed::ServerStalled
        | Closed::Failed { .. } => {}
    }
    let passthru = Passthru { call: owned(announce::start_fields(options, ids)), stream: owned(stream) };
    match &options.stream_recording_url {
        Some(url) => passthru.recorded(url),
        None => passthru,
    }
}

/// The signed message of our own at the end of a call.
fn call_end(options: &Options, ids: &CallIds, seen: &CallObservation) -> String {
    let status = if outcome(&seen.closed).0 == "failed" { "failed" } else { "completed" };
    let recording =
        format!("https://recordings.exotel.com/exotelrecordings/{}/{}.mp3", options.account_id, ids.call_id);
    let body = json!({
        "CallSid": ids.call_id,
        "CallFrom": options.caller_number,
        "CallTo": options.called_number,
        "Direction": "incoming",
        "CallStatus": status,
        "Status": status,
        "Duration": seen.duration_ms.div_ceil(1000).to_string(),
        "StartTime": indian(ids.created, SHORT_TIME),
        "EndTime": indian(now(), SHORT_TIME),
        "RecordingUrl": options.stream_recording_url.as_ref().unwrap_or(&recording),
    });
    body.to_string()
}

/// The Connect applet from its first question to its Passthru.
async fn connect(http: &reqwest::Client, options: &Options, ids: &CallIds, applet: &ConnectApplet) -> Transfer {
    let mut transfer = Transfer::default();
    let mut next = decide(http, options, ids, applet, &mut transfer).await;
    while let Some(answer) = next.take() {
        let mut answered = false;
        for number in &answer.numbers {
            if answered || transfer.dialled.len() >= DIALS_MAX {
                break;
            }
            answered = dial(applet, number, &mut transfer).await;
        }
        // "Fetch after attempt": after each one that came to nothing the server is asked for the next.
        let again = answer.fetch_after_attempt && !answer.numbers.is_empty();
        if again && !answered && transfer.dialled.len() < DIALS_MAX {
            next = decide(http, options, ids, applet, &mut transfer).await;
        }
    }
    if let Some(url) = &applet.passthru_url {
        let passthru = behind_the_connect(options, ids, applet, &transfer);
        transfer.passthru = Some(status_of(http.get(passthru.url(url, options.stream_as))).await);
    }
    transfer
}

/// Whom to dial, as far as this applet understands it.
struct Decision {
    numbers: Vec<String>,
    fetch_after_attempt: bool,
}

/// Asks until there is a decision, or it takes too long.
async fn decide(
    http: &reqwest::Client,
    options: &Options,
    ids: &CallIds,
    applet: &ConnectApplet,
    transfer: &mut Transfer,
) -> Option<Decision> {
    let until = tokio::time::Instant::now() + applet.decision_max;
    loop {
        let url = announce::with_query(&applet.url, &announce::start_fields(options, ids));
        transfer.asked += 1;
        let response = http.get(url).header("Exotel-Version", "1.0").send().await;
        transfer.http_status = response.as_ref().ok().map(|response| response.status().as_u16());
        let body = match response {
            Ok(response) if response.status() == 200 => response.text().await.ok(),
            Ok(_) | Err(_) => None,
        };
        if let Some(answer) = body.and_then(|body| serde_json::from_str::<Value>(&body).ok()) {
            let decision = read(&answer, &mut transfer.violations);
            transfer.answer = answer;
            if let Some(decision) = decision
                && !(decision.numbers.is_empty() && applet.ask_while_nobody)
            {
                return Some(decision);
            }
        }
        if tokio::time::Instant::now() + applet.decision_every > until {
            return None;
        }
        tokio::time::sleep(applet.decision_every).await;
    }
}

/// Reads the answer, and says what is wrong with it. `None`: there is no decision in it.
fn read(answer: &Value, violations: &mut Vec<String>) -> Option<Decision> {
    let mut wrong = |what: &str| {
        if violations.len() < super::observation::VIOLATIONS_MAX {
            violations.push(what.to_owned());
        }
    };
    let numbers = answer.pointer("/destination/numbers").and_then(Value::as_array);
    if numbers.is_none() {
        wrong("no destination.numbers");
    }
    let numbers: Vec<String> = numbers?.iter().filter_map(|number| number.as_str().map(str::to_owned)).collect();
    if numbers.iter().any(|number| number.trim_start_matches('+').chars().any(|letter| !letter.is_ascii_digit())) {
        wrong("a number that is none");
    }
    for name in ["fetch_after_attempt", "record"] {
        if answer.get(name).is_some_and(|value| !value.is_boolean()) {
            wrong(&format!("{name} is neither true nor false"));
        }
    }
    for name in ["max_ringing_duration", "max_conversation_duration"] {
        if answer.get(name).is_some_and(|value| !value.is_u64()) {
            wrong(&format!("{name} is no number of seconds"));
        }
    }
    if answer.get("recording_channels").is_some_and(|value| !matches!(value.as_str(), Some("single" | "dual"))) {
        wrong("recording_channels is neither single nor dual");
    }
    let fetch_after_attempt = answer.get("fetch_after_attempt").and_then(Value::as_bool).unwrap_or(false);
    Some(Decision { numbers, fetch_after_attempt })
}

/// Dials one person; whether there was a conversation.
async fn dial(applet: &ConnectApplet, number: &str, transfer: &mut Transfer) -> bool {
    let which = transfer.dialled.len().min(applet.humans.len().saturating_sub(1));
    let (status, talk) = match applet.humans.get(which) {
        Some(Human::Answers { talk }) => ("completed", *talk),
        Some(Human::Busy) => ("busy", Duration::ZERO),
        Some(Human::NoAnswer) => ("no-answer", Duration::ZERO),
        Some(Human::Fails) | None => ("failed", Duration::ZERO),
    };
    let max_s = transfer.answer.get("max_conversation_duration").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let talk = talk.min(Duration::from_secs(max_s));
    tokio::time::sleep(talk.mul_f64(applet.time_scale.max(0.0))).await;
    let attempt = DialAttempt { number: number.to_owned(), status: status.to_owned(), talk_s: talk.as_secs() };
    transfer.dialled.push(attempt);
    status == "completed"
}

/// What the Passthru behind a Connect applet says.
fn behind_the_connect(options: &Options, ids: &CallIds, applet: &ConnectApplet, transfer: &Transfer) -> Passthru {
    let last = transfer.dialled.last();
    let talked = last.is_some_and(|attempt| attempt.status == "completed");
    let mut call = announce::start_fields(options, ids);
    for (name, value) in &mut call {
        if *name == "DialWhomNumber" {
            *value = last.map(|attempt| attempt.number.clone()).unwrap_or_default();
        }
    }
    call.extend([
        ("flow_id", "123".to_owned()),
        ("tenant_id", "1".to_owned()),
        ("StartTime", indian(ids.created, SHORT_TIME)),
        ("EndTime", NO_END.to_owned()),
        ("CallType", if talked { "completed" } else { "incomplete" }.to_owned()),
        ("DialCallDuration", last.map_or(0, |attempt| attempt.talk_s).to_string()),
        ("DialCallStatus", last.map_or("failed", |attempt| attempt.status.as_str()).to_owned()),
        ("ForwardedFrom", "null".to_owned()),
        ("ProcessStatus", "null".to_owned()),
    ]);
    let recorded = transfer.answer.get("record").and_then(Value::as_bool).unwrap_or(false);
    if let Some(url) = applet.recording_url.as_ref().filter(|_| talked && recorded) {
        call.push(("RecordingUrl", url.clone()));
        call.push(("RecordingAvailableBy", indian(now() + RECORDING_AFTER, LONG_TIME)));
    }
    let mut call = owned(call);
    let legs: Vec<Value> = transfer.dialled.iter().map(|attempt| leg(options, attempt)).collect();
    match options.stream_as {
        StreamAs::EscapedKeys | StreamAs::Keys => {
            call.extend(flat(&Map::from_iter([("Legs".to_owned(), Value::Array(legs))])));
        }
        StreamAs::Text => call.push(("Legs".to_owned(), Value::Array(legs).to_string())),
    }
    Passthru { call, stream: Vec::new() }
}

fn leg(options: &Options, attempt: &DialAttempt) -> Value {
    let (cause_code, cause) = match attempt.status.as_str() {
        "completed" => ("NORMAL_CLEARING", "16"),
        "busy" => ("USER_BUSY", "17"),
        "no-answer" => ("RING_TIMEOUT", "1003"),
        _ => ("UNALLOCATED_NUMBER", "1"),
    };
    json!({"Number": attempt.number, "Type": "single", "OnCallDuration": attempt.talk_s.to_string(),
        "CallerId": options.called_number, "CauseCode": cause_code, "Cause": cause})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_judged() {
        for (answer, numbers, wrong) in [
            (
                json!({"fetch_after_attempt": false, "destination": {"numbers": ["+919812345678"]}, "record": true,
                "recording_channels": "dual", "max_ringing_duration": 45}),
                Some(1),
                0,
            ),
            (json!({"destination": {"numbers": []}}), Some(0), 0),
            (json!({"destination": {}}), None, 1),
            (
                json!({"destination": {"numbers": ["sip:x"]}, "record": "yes", "recording_channels": "stereo",
                "max_ringing_duration": "45", "fetch_after_attempt": 1}),
                Some(1),
                5,
            ),
        ] {
            let mut violations = Vec::new();
            let decision = read(&answer, &mut violations);
            assert_eq!(decision.map(|decision| decision.numbers.len()), numbers, "{answer}");
            assert_eq!(violations.len(), wrong, "{answer}: {violations:?}");
        }
    }
}
