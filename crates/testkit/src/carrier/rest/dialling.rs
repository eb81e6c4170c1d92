//! Takes an order and carries it out: rings, connects, tells, records.

use super::order::{self, Order};
use super::{
    ApiCall, ApiFault, ApiRequest, CALLS_MAX, Callee, Inner, OrderMode, Outcome, RecordAs, Refusal, calls, form, ids,
    national,
};
use crate::carrier::announce::{CallIds, now};
use crate::carrier::{Announce, CallObservation, Closed, Content, FakeExotel, Options, RecordedFile, StatusCallback};
use axum::body::Bytes;
use axum::http::HeaderMap;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long two numbers talk that were connected with each other.
const CONVERSATION: Duration = Duration::from_millis(200);

/// `POST …/Calls/connect`.
pub(super) fn connect(
    inner: &Arc<Inner>,
    headers: &HeaderMap,
    body: &Bytes,
    request: &mut ApiRequest,
    as_json: bool,
) -> Outcome {
    let refuse = |refusal: &Refusal| Outcome::Answer(refusal.answer(as_json));
    let fault = inner.lock().order_faults.pop_front();
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    request.form = match form::read(content_type, body) {
        Ok(fields) => fields,
        Err(message) => return refuse(&Refusal::new(400, message)),
    };
    request.unknown_fields = order::unknown(&request.form);
    let dialled = match &fault {
        None => true,
        Some(ApiFault::Refused(refusal)) => return refuse(refusal),
        Some(
            ApiFault::Cut { dialled }
            | ApiFault::Hang { dialled }
            | ApiFault::ServerError { dialled }
            | ApiFault::Empty { dialled }
            | ApiFault::Html { dialled },
        ) => *dialled,
    };
    let mut call = None;
    if dialled {
        let order = match order::read(&request.form, &inner.options) {
            Ok(order) => order,
            Err(refusal) => return refuse(&refusal),
        };
        if inner.lock().calls.len() >= CALLS_MAX {
            return refuse(&Refusal::new(503, "Too many calls"));
        }
        call = Some(dial(inner, order));
    }
    match (fault, call) {
        (None, Some(call)) => {
            let body = json!({ "Call": calls::json_of(inner, &call) });
            Outcome::Answer(super::answers::answer(200, &body, as_json))
        }
        (Some(fault), _) => Inner::faulty(&fault, as_json),
        (None, None) => refuse(&Refusal::new(500, "Internal server error")),
    }
}

/// Notes the call and sends it on its way.
fn dial(inner: &Arc<Inner>, order: Order) -> ApiCall {
    let ids = ids(inner);
    let call = ApiCall {
        call_id: ids.call_id.clone(),
        mode: order.mode.clone(),
        from: order.from.clone(),
        caller_id: order.caller_id.clone(),
        custom_field: order.custom_field.clone(),
        record: order.record,
        status: inner.options.status_at_once.clone(),
        created_at: ids.created,
        answered_at: None,
        ended_at: None,
        duration_s: 0,
        recording_url: None,
        callbacks: Vec::new(),
        observation: None,
        error: None,
        over: false,
    };
    {
        let mut shared = inner.lock();
        if let Some(number) = national(&order.from) {
            *shared.dialled.entry(number).or_default() += 1;
        }
        shared.calls.push(call.clone());
    }
    let (stop, run) = (inner.stop.clone(), Running { inner: inner.clone(), ids, order, held: Mutex::default() });
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = run.finish() => {}
        }
    });
    call
}

/// A call on its way.
struct Running {
    inner: Arc<Inner>,
    ids: CallIds,
    order: Order,
    /// Callbacks that wait for the end.
    held: Mutex<Vec<StatusCallback>>,
}

impl Running {
    fn edit(&self, edit: impl FnOnce(&mut ApiCall)) {
        let mut shared = self.inner.lock();
        if let Some(call) = shared.calls.iter_mut().find(|call| call.call_id == self.ids.call_id) {
            edit(call);
        }
        drop(shared);
        self.inner.changed.notify_waiters();
    }

    fn call(&self) -> Option<ApiCall> {
        self.inner.lock().calls.iter().find(|call| call.call_id == self.ids.call_id).cloned()
    }

    async fn finish(self) {
        let status = Box::pin(self.rung()).await;
        self.edit(|call| {
            call.status = status.to_owned();
            call.ended_at = Some(now());
        });
        self.inner.lock().ended.insert(self.ids.call_id.clone(), std::time::Instant::now());
        // Without a word about events the end is told, in four fields.
        if self.order.events.is_empty() || self.order.events.iter().any(|event| event == "terminal") {
            self.tell("terminal", status).await;
        }
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        self.deliver(&held).await;
        self.edit(|call| call.over = true);
    }

    /// Rings; how the call ended.
    async fn rung(&self) -> &'static str {
        self.told("ringing", "ringing").await;
        let ring = self.order.ring_s.map_or(Duration::MAX, |seconds| Duration::from_secs(u64::from(seconds)));
        tokio::time::sleep(self.inner.options.ring.min(ring)).await;
        let callee = {
            let shared = self.inner.lock();
            national(&self.order.from).and_then(|number| shared.callees.get(&number).copied()).unwrap_or_default()
        };
        match callee {
            Callee::Busy => "busy",
            Callee::NoAnswer => "no-answer",
            Callee::Fails => "failed",
            Callee::Answers => {
                let answered_at = now();
                self.edit(|call| call.answered_at = Some(answered_at));
                let ((), ()) = tokio::join!(self.told("answered", "in-progress"), self.connected());
                let seconds = (now() - answered_at).num_milliseconds().max(0).unsigned_abs().div_ceil(1000);
                self.edit(|call| call.duration_s = seconds.try_into().unwrap_or(u32::MAX));
                self.record();
                "completed"
            }
        }
    }

    /// The one who answered is connected with what was ordered, until that is over.
    async fn connected(&self) {
        let mut connect = None;
        let announce = match &self.order.mode {
            OrderMode::Numbers { .. } => return tokio::time::sleep(CONVERSATION).await,
            OrderMode::Stream { url, .. } => Announce::Direct { url: url.clone() },
            OrderMode::Flow { .. } => match self.inner.lock().flow.clone() {
                Some(flow) => {
                    connect = flow.connect;
                    Announce::DynamicUrl { url: flow.dynamic_url, passthru_url: flow.passthru_url }
                }
                None => return self.edit(|call| call.error = Some("this flow does nothing".to_owned())),
            },
        };
        let Some(call) = self.call() else { return };
        let throttled = {
            let mut shared = self.inner.lock();
            let throttled = shared.streams >= self.inner.options.streams_max;
            shared.streams += usize::from(!throttled);
            throttled
        };
        let options = Options { connect, ..self.carrier(announce, throttled) };
        let mut caller = (self.inner.callers)(&call);
        let carrier = FakeExotel::new(options);
        let seen = Box::pin(carrier.place_call_as(&self.ids, caller.as_mut())).await;
        self.inner.lock().streams -= usize::from(!throttled);
        self.edit(|call| match seen {
            Ok(seen) => {
                if let Closed::NeverConnected { error } = &seen.closed {
                    call.error = Some(error.clone());
                }
                call.observation = Some(Arc::new(seen));
            }
            Err(error) => call.error = Some(error.to_string()),
        });
    }

    fn carrier(&self, announce: Announce, throttled: bool) -> Options {
        let template = self.inner.options.carrier.clone();
        // A call without a flow ends with its stream: there is nothing behind it.
        let in_flow = matches!(announce, Announce::DynamicUrl { .. });
        let limit = Duration::from_secs(u64::from(self.order.time_limit_s));
        Options {
            announce,
            account_id: self.inner.options.account_id.clone(),
            caller_number: calls::zero_prefixed(&self.order.from),
            called_number: calls::zero_prefixed(&self.order.caller_id),
            custom_field: self.order.custom_field.clone(),
            outgoing: true,
            report_end: in_flow,
            throttled: throttled || template.throttled,
            call_max: template.call_max.min(limit),
            ..template
        }
    }

    /// Puts the recording where it can be fetched.
    fn record(&self) {
        let (Some(host), true, Some(call)) = (&self.inner.options.recordings, self.order.record, self.call()) else {
            return;
        };
        let channels = if self.order.dual { 2 } else { 1 };
        let duration_ms = u64::from(call.duration_s) * 1000;
        let silent = Content::Mp3 { duration_ms, channels, tagged: false };
        let (content, extension) = match (self.inner.options.record_as, &call.observation) {
            (RecordAs::Wav, Some(seen)) => (wav(seen, channels), "wav"),
            (RecordAs::SilentMp3 | RecordAs::Wav, _) => (silent, "mp3"),
        };
        let file = RecordedFile { content, ..self.inner.options.recorded_file.clone() };
        let url = host.put(&self.inner.options.account_id, &format!("{}.{extension}", self.ids.call_id), file);
        self.edit(|call| call.recording_url = Some(url));
    }

    /// Tells of an event that was asked for.
    async fn told(&self, event: &str, status: &str) {
        if self.order.events.iter().any(|wanted| wanted == event) {
            self.tell(event, status).await;
        }
    }

    async fn tell(&self, event: &str, status: &str) {
        let Some(call) = self.call() else { return };
        let single = !matches!(self.order.mode, OrderMode::Numbers { .. });
        let thin = self.order.events.is_empty() || (single && self.inner.options.thin_single_leg);
        let mut callback = if thin {
            StatusCallback::thin(&self.ids.call_id, status)
        } else {
            StatusCallback::full(&self.ids.call_id, event, status)
        };
        let to = match &self.order.mode {
            OrderMode::Numbers { to } => to,
            OrderMode::Flow { .. } | OrderMode::Stream { .. } => &self.order.from,
        };
        callback.numbers = (calls::zero_prefixed(to), calls::zero_prefixed(&self.order.caller_id));
        callback.started_at = call.answered_at.unwrap_or(call.created_at);
        callback.duration_s = call.duration_s;
        callback.custom_field = self.order.custom_field.clone();
        let over = event == "terminal";
        callback.recording_url = call.recording_url.filter(|_| over && self.inner.options.recording_in_callback);
        if self.inner.options.callbacks_at_end {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).push(callback);
        } else {
            self.deliver(&[callback]).await;
        }
    }

    async fn deliver(&self, callbacks: &[StatusCallback]) {
        let Some(url) = self.order.status_callback.as_ref().filter(|_| !callbacks.is_empty()) else { return };
        let delivery = &self.inner.options.delivery;
        let delivered = self.inner.carrier.deliver(url, callbacks, self.order.coding, delivery).await;
        self.edit(|call| call.callbacks.extend(delivered));
    }
}

fn wav(seen: &CallObservation, channels: u16) -> Content {
    let stereo = seen.stereo();
    let pcm = if channels == 2 {
        stereo
    } else {
        stereo.as_chunks::<2>().0.iter().map(|pair| pair[0].saturating_add(pair[1])).collect()
    };
    Content::Wav { pcm, channels, sample_rate_hz: seen.sample_rate_hz }
}
