//! What a carrier reports of a call: its end, and that a recording is there.

use super::{FakePeer, Ids, PeerKind, unix_ms};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

impl FakePeer {
    /// The end of an answered call: the status of the server's answer.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn report_end(&self, call_id: &str, duration_s: u64) -> Result<u16, String> {
        let ids = Ids { call_id: call_id.to_owned(), ..Ids::fresh(self.kind) };
        let now = now();
        let began = now - TimeDelta::seconds(i64::try_from(duration_s).unwrap_or_default());
        let plain = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S").to_string();
        let mut fields = self.call_fields(&ids, "completed");
        match self.kind {
            PeerKind::Twilio => fields.extend([
                ("CallDuration", duration_s.to_string()),
                ("Duration", duration_s.div_ceil(60).to_string()),
                ("Timestamp", now.to_rfc2822()),
                ("CallbackSource", "call-progress-events".to_owned()),
                ("SequenceNumber", "3".to_owned()),
            ]),
            PeerKind::Plivo | PeerKind::Vobiz => {
                fields.retain(|(name, _)| *name != "Event");
                fields.extend([
                    ("Event", "Hangup".to_owned()),
                    ("Duration", duration_s.to_string()),
                    ("BillDuration", (duration_s.div_ceil(60) * 60).to_string()),
                    ("HangupCause", "NORMAL_CLEARING".to_owned()),
                    ("HangupCauseName", "Normal Hangup".to_owned()),
                    ("HangupSource", "Caller".to_owned()),
                    ("StartTime", plain(began)),
                    ("AnswerTime", plain(began)),
                    ("EndTime", plain(now)),
                ]);
            }
            PeerKind::Smartflo => {
                let body = json!({
                    "uuid": "48e0d4fbe3ad9", "call_id": call_id, "direction": "inbound", "call_status": "answered",
                    "caller_id_number": self.options.caller_number, "call_to_number": self.options.called_number,
                    "billsec": duration_s.to_string(), "duration": (duration_s + 2).to_string(),
                    // Indian time.
                    "end_stamp": plain(now + TimeDelta::minutes(330)), "hangup_cause": "NORMAL_CLEARING",
                    "recording_url": "",
                });
                return self.send_json(&body).await;
            }
        }
        self.send_form(&fields).await
    }

    /// A recording is there: the status of the server's answer.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn report_recording(&self, call_id: &str, url: &str, duration_s: u64) -> Result<u16, String> {
        let (call_id, url, seconds) = (call_id.to_owned(), url.to_owned(), duration_s.to_string());
        let fields = match self.kind {
            PeerKind::Twilio => vec![
                ("CallSid", call_id),
                ("RecordingSid", "RE0123456789abcdef0123456789abcdef".to_owned()),
                ("RecordingUrl", url),
                ("RecordingStatus", "completed".to_owned()),
                ("RecordingDuration", seconds),
                ("RecordingChannels", "2".to_owned()),
                ("RecordingSource", "StartCallRecordingAPI".to_owned()),
            ],
            PeerKind::Plivo | PeerKind::Vobiz => vec![
                ("CallUUID", call_id),
                ("Event", "RecordStop".to_owned()),
                ("RecordUrl", url),
                ("RecordingDuration", seconds),
                ("RecordingID", "r1".to_owned()),
            ],
            PeerKind::Smartflo => {
                let body = json!({ "call_id": call_id, "recording_url": url, "duration": seconds });
                return self.send_json(&body).await;
            }
        };
        self.send_form(&fields).await
    }

    async fn send_form(&self, fields: &[(&str, String)]) -> Result<u16, String> {
        let url = self.options.status_url.as_deref().ok_or("no address for reports")?;
        let answer = self.form(url, fields).send().await.map_err(|error| error.without_url().to_string())?;
        Ok(answer.status().as_u16())
    }

    async fn send_json(&self, body: &serde_json::Value) -> Result<u16, String> {
        let url = self.options.status_url.as_deref().ok_or("no address for reports")?;
        let request = self.http.post(url).header(CONTENT_TYPE, "application/json").body(body.to_string());
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        Ok(answer.status().as_u16())
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(i64::try_from(unix_ms()).unwrap_or_default()).unwrap_or_default()
}
