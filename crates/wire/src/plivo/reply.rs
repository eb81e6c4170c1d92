//! The XML that we answer Plivo and Vobiz with (docs.plivo.com/docs/voice/xml: `audiostream`, `redirect`, `dial`,
//! `hangup`). HTTP 200, `application/xml`.
//!
//! With `keepCallAlive` the `<Stream>` runs alone until our socket closes; then what stands behind it is carried out: a
//! `<Redirect>`, so that we are asked what comes then.

use crate::WireError;
use crate::xml::{DECLARATION, push_attribute, push_text};
use model::E164;
use std::fmt::Write as _;

/// Longest `extraHeaders`, in bytes.
pub const EXTRA_HEADERS_BYTES_MAX: usize = 512;

/// The answer to a call: talk to our socket, then ask again.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// `wss://host/path`.
    pub stream_url: &'a str,
    /// What the stream's start gives back as custom parameters: letters and digits only.
    pub parameters: &'a [(&'a str, &'a str)],
    /// Where Plivo asks, with a POST, when our socket has closed.
    pub after_url: &'a str,
}

impl Answer<'_> {
    /// The document.
    ///
    /// # Errors
    /// [`WireError::BadField`] when the parameters are not what `extraHeaders` can hold.
    pub fn to_xml(&self) -> Result<String, WireError> {
        let mut out = String::with_capacity(320);
        out.push_str(DECLARATION);
        out.push_str("<Response><Stream bidirectional=\"true\" keepCallAlive=\"true\"");
        push_attribute("contentType", "audio/x-mulaw;rate=8000", &mut out);
        if !self.parameters.is_empty() {
            push_attribute("extraHeaders", &extra_headers(self.parameters)?, &mut out);
        }
        out.push('>');
        push_text(self.stream_url, &mut out);
        out.push_str("</Stream><Redirect method=\"POST\">");
        push_text(self.after_url, &mut out);
        out.push_str("</Redirect></Response>");
        Ok(out)
    }
}

/// `a=1,b=2`.
fn extra_headers(parameters: &[(&str, &str)]) -> Result<String, WireError> {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !parameters.iter().all(|(name, value)| plain(name) && plain(value)) {
        return Err(WireError::BadField("parameters"));
    }
    let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let text = pairs.join(",");
    if text.len() > EXTRA_HEADERS_BYTES_MAX { Err(WireError::BadField("parameters")) } else { Ok(text) }
}

/// What comes after our socket has closed. Nothing stands behind it: the call ends.
#[derive(Clone, Copy, Debug)]
pub enum After<'a> {
    /// Put the caller through.
    Dial {
        /// To whom.
        to: &'a E164,
        /// What they see; a number of the account.
        caller_id: &'a E164,
        /// How long it may ring.
        ring_s: u32,
        /// How long they may talk.
        time_limit_s: u32,
    },
    /// End the call.
    HangUp,
}

impl After<'_> {
    /// The document.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut out = String::with_capacity(192);
        out.push_str(DECLARATION);
        match self {
            Self::HangUp => out.push_str("<Response><Hangup/></Response>"),
            Self::Dial { to, caller_id, ring_s, time_limit_s } => {
                out.push_str("<Response><Dial");
                push_attribute("callerId", bare(caller_id), &mut out);
                write!(out, " timeout=\"{ring_s}\" timeLimit=\"{time_limit_s}\"><Number>")
                    .expect("writing to a String does not fail");
                push_text(bare(to), &mut out);
                out.push_str("</Number></Dial></Response>");
            }
        }
        out
    }
}

/// A number as Plivo writes it: country and no plus.
pub(crate) fn bare(number: &E164) -> &str {
    number.as_str().trim_start_matches('+')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_streams_and_then_asks_again() {
        let answer = Answer {
            stream_url: "wss://caly.example/media/plivo/tok?a=1&b=2",
            parameters: &[("from", "14155551234"), ("k", "v")],
            after_url: "https://caly.example/webhooks/plivo/after/tok",
        };
        assert_eq!(
            answer.to_xml().as_deref(),
            Ok(concat!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>",
                "<Stream bidirectional=\"true\" keepCallAlive=\"true\" contentType=\"audio/x-mulaw;rate=8000\" ",
                "extraHeaders=\"from=14155551234,k=v\">wss://caly.example/media/plivo/tok?a=1&amp;b=2</Stream>",
                "<Redirect method=\"POST\">https://caly.example/webhooks/plivo/after/tok</Redirect></Response>"
            ))
        );
        let without = Answer { parameters: &[], ..answer };
        assert!(!without.to_xml().unwrap().contains("extraHeaders"));
    }

    #[test]
    fn what_extra_headers_cannot_hold_is_refused() {
        let long = "v".repeat(EXTRA_HEADERS_BYTES_MAX);
        for (name, value) in [("n", "a,b"), ("n=", "a"), ("", "a"), ("n", ""), ("n", "+1"), ("n", long.as_str())] {
            let answer = Answer { stream_url: "wss://x/a", parameters: &[(name, value)], after_url: "https://x" };
            assert_eq!(answer.to_xml(), Err(WireError::BadField("parameters")), "{name} {value:.10}");
        }
    }

    #[test]
    fn afterwards_somebody_is_dialled_or_the_call_ends() {
        let (to, caller_id) = (E164::parse("+919812345678").unwrap(), E164::parse("+14155551234").unwrap());
        assert_eq!(
            After::Dial { to: &to, caller_id: &caller_id, ring_s: 45, time_limit_s: 3600 }.to_xml(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Dial callerId=\"14155551234\" timeout=\"45\" \
             timeLimit=\"3600\"><Number>919812345678</Number></Dial></Response>"
        );
        assert_eq!(After::HangUp.to_xml(), "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Hangup/></Response>");
    }
}
