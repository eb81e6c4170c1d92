//! The TwiML that we answer with (twilio.com/docs/voice/twiml: `stream`, `connect`, `redirect`, `dial`, `hangup`).
//! HTTP 200, `application/xml`.
//!
//! `<Connect>` ends when our socket closes, and Twilio goes on with what stands behind it: a `<Redirect>`, so that it
//! asks what comes then.

use crate::WireError;
use crate::xml::{DECLARATION, push_attribute, push_text};
use model::E164;
use std::fmt::Write as _;

/// Longest name and value of a `<Parameter>` together, in bytes; Twilio says under 500 characters.
pub const PARAMETER_BYTES_MAX: usize = 499;

/// The answer to a call: talk to our socket, then ask again.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// `wss://host/path`, without a query: Twilio drops one.
    pub stream_url: &'a str,
    /// What the stream's start gives back as custom parameters. Of these, `from` and `to` fill the start's numbers,
    /// which Twilio does not say itself.
    pub parameters: &'a [(&'a str, &'a str)],
    /// Where Twilio asks, with a POST, when our socket has closed.
    pub after_url: &'a str,
}

impl Answer<'_> {
    /// The document.
    ///
    /// # Errors
    /// [`WireError::BadField`] when the socket's address has a query, or a parameter is too long.
    pub fn to_xml(&self) -> Result<String, WireError> {
        if self.stream_url.contains(['?', '#']) {
            return Err(WireError::BadField("stream_url"));
        }
        let mut out = String::with_capacity(256);
        out.push_str(DECLARATION);
        out.push_str("<Response><Connect><Stream");
        push_attribute("url", self.stream_url, &mut out);
        out.push('>');
        for (name, value) in self.parameters {
            if name.is_empty() || name.len() + value.len() > PARAMETER_BYTES_MAX {
                return Err(WireError::BadField("parameters"));
            }
            out.push_str("<Parameter");
            push_attribute("name", name, &mut out);
            push_attribute("value", value, &mut out);
            out.push_str("/>");
        }
        out.push_str("</Stream></Connect><Redirect method=\"POST\">");
        push_text(self.after_url, &mut out);
        out.push_str("</Redirect></Response>");
        Ok(out)
    }
}

/// What comes after our socket has closed. Nothing stands behind it: the call ends.
#[derive(Clone, Copy, Debug)]
pub enum After<'a> {
    /// Put the caller through.
    Dial {
        /// To whom.
        to: &'a E164,
        /// What they see; a number of the account, or the caller's own.
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
                push_attribute("callerId", caller_id.as_str(), &mut out);
                write!(out, " timeout=\"{ring_s}\" timeLimit=\"{time_limit_s}\"><Number>")
                    .expect("writing to a String does not fail");
                push_text(to.as_str(), &mut out);
                out.push_str("</Number></Dial></Response>");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_streams_and_then_asks_again() {
        let answer = Answer {
            stream_url: "wss://caly.example/media/twilio/tok",
            parameters: &[("from", "+14155551234"), ("a\"b", "<&>")],
            after_url: "https://caly.example/webhooks/twilio/after/tok?x=1&y=2",
        };
        assert_eq!(
            answer.to_xml().as_deref(),
            Ok(concat!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Connect>",
                "<Stream url=\"wss://caly.example/media/twilio/tok\">",
                "<Parameter name=\"from\" value=\"+14155551234\"/>",
                "<Parameter name=\"a&quot;b\" value=\"&lt;&amp;&gt;\"/></Stream></Connect>",
                "<Redirect method=\"POST\">https://caly.example/webhooks/twilio/after/tok?x=1&amp;y=2</Redirect></Response>"
            ))
        );
    }

    #[test]
    fn what_twilio_would_drop_is_refused() {
        let answer = Answer { stream_url: "wss://x/a?token=b", parameters: &[], after_url: "https://x" };
        assert_eq!(answer.to_xml(), Err(WireError::BadField("stream_url")));
        let long = "v".repeat(PARAMETER_BYTES_MAX);
        for (name, value) in [("n", long.as_str()), ("", "v")] {
            let answer = Answer { stream_url: "wss://x/a", parameters: &[(name, value)], after_url: "https://x" };
            assert_eq!(answer.to_xml(), Err(WireError::BadField("parameters")), "{name}");
        }
    }

    #[test]
    fn afterwards_somebody_is_dialled_or_the_call_ends() {
        let (to, caller_id) = (E164::parse("+919812345678").unwrap(), E164::parse("+14155551234").unwrap());
        assert_eq!(
            After::Dial { to: &to, caller_id: &caller_id, ring_s: 45, time_limit_s: 3600 }.to_xml(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Dial callerId=\"+14155551234\" timeout=\"45\" \
             timeLimit=\"3600\"><Number>+919812345678</Number></Dial></Response>"
        );
        assert_eq!(After::HangUp.to_xml(), "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Hangup/></Response>");
    }
}
