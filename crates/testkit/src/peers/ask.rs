//! A carrier's questions: what to do with a call, and what comes when its socket has closed.

use super::document::{self, Instructions};
use super::{After, FakePeer, Ids, PeerError, PeerKind, sign};
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response};

/// Longest answer shown in an error, in characters.
const ANSWER_SHOWN_CHARS: usize = 300;

impl FakePeer {
    /// What to do with a call.
    pub(super) async fn ask(&self, ids: &Ids) -> Result<Instructions, PeerError> {
        let url = &self.options.answer_url;
        let request = match self.kind {
            PeerKind::Twilio | PeerKind::Plivo | PeerKind::Vobiz => self.form(url, &self.call_fields(ids, "ringing")),
            PeerKind::Smartflo if self.options.asks_by_post => {
                let pairs = self.smartflo_fields(ids).into_iter().map(|(name, value)| (name.to_owned(), value.into()));
                let body = serde_json::Value::Object(pairs.collect());
                self.http.post(url).header(CONTENT_TYPE, "application/json").body(body.to_string())
            }
            PeerKind::Smartflo => {
                let query = url::form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(self.smartflo_fields(ids))
                    .finish();
                self.http.get(format!("{url}?{query}"))
            }
        };
        let (content_type, text) = read(request).await?;
        document::answer(self.kind, &content_type, &text).map_err(PeerError::Unreadable)
    }

    /// What comes next.
    pub(super) async fn ask_after(&self, url: &str, ids: &Ids) -> After {
        let fields = self.call_fields(ids, "in-progress");
        let read = match read(self.form(url, &fields)).await {
            Ok((content_type, text)) => document::after(self.kind, &content_type, &text),
            Err(error) => Err(error.to_string()),
        };
        read.unwrap_or_else(|error| After::Failed { error })
    }

    /// A signed POST of a form.
    pub(super) fn form(&self, url: &str, fields: &[(&str, String)]) -> RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        for (name, value) in sign::headers(self.kind, self.options.signing, &self.options.auth_token, url, fields) {
            request = request.header(name, value);
        }
        request
    }

    /// What stands in every request about an incoming call.
    pub(super) fn call_fields(&self, ids: &Ids, status: &str) -> Vec<(&'static str, String)> {
        let (from, to) = (self.options.caller_number.clone(), self.options.called_number.clone());
        let bare = |number: &str| number.trim_start_matches('+').to_owned();
        let own = |text: &str| text.to_owned();
        match self.kind {
            PeerKind::Twilio => vec![
                ("CallSid", ids.call_id.clone()),
                ("AccountSid", ids.account_id.clone()),
                ("Called", to.clone()),
                ("Caller", from.clone()),
                ("From", from),
                ("To", to),
                ("CallStatus", own(status)),
                ("Direction", own("inbound")),
                ("ApiVersion", own("2010-04-01")),
                ("CallerName", String::new()),
                ("FromCity", own("PUNE & BEYOND=1+1")),
            ],
            PeerKind::Plivo | PeerKind::Vobiz => vec![
                ("CallUUID", ids.call_id.clone()),
                ("From", bare(&from)),
                ("To", bare(&to)),
                ("CallerName", format!("+{}", bare(&from))),
                ("CallStatus", own(status)),
                ("Direction", own("inbound")),
                ("Event", own(if status == "ringing" { "StartApp" } else { "Redirect" })),
                ("ParentAuthID", ids.account_id.clone()),
                ("BillRate", own("0.0085")),
            ],
            PeerKind::Smartflo => Vec::new(),
        }
    }

    fn smartflo_fields(&self, ids: &Ids) -> Vec<(&'static str, String)> {
        let bare = |number: &str| number.trim_start_matches('+').to_owned();
        vec![
            ("callId", ids.call_id.clone()),
            ("fromNumber", bare(&self.options.caller_number)),
            ("toNumber", bare(&self.options.called_number)),
            ("status", "ringing".to_owned()),
        ]
    }
}

/// Sends a request; the content type and the text of a good answer.
async fn read(request: RequestBuilder) -> Result<(String, String), PeerError> {
    let response = request.send().await.map_err(unreachable)?;
    let (status, content_type) = (response.status().as_u16(), content_type(&response));
    let text = response.text().await.map_err(unreachable)?;
    if status == 200 {
        return Ok((content_type, text));
    }
    Err(PeerError::Refused { status, answer: text.chars().take(ANSWER_SHOWN_CHARS).collect() })
}

fn content_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn unreachable(error: reqwest::Error) -> PeerError {
    PeerError::Unreachable(error.without_url().to_string())
}
