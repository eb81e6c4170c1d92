//! What a carrier reads out of our answers: exactly what its documentation says, and nothing else.
//!
//! Twilio: twilio.com/docs/voice/twiml/{connect,stream,redirect,dial,number,hangup}. Plivo and Vobiz:
//! docs.plivo.com/docs/voice/xml/{audiostream,redirect,dial,number,hangup}; docs.vobiz.ai. Smartflo: the Dynamic endpoint's
//! `{"url": …}`.

use super::xml::{self, Element};
use super::{After, PeerKind};
use serde_json::Value;

/// Twilio: name and value of a `<Parameter>` together have fewer characters.
const TWILIO_PARAMETER_CHARS: usize = 500;
/// What Plivo is asked for here.
const PLIVO_CONTENT_TYPE: &str = "audio/x-mulaw;rate=8000";
/// Twilio's longest ringing and longest call, seconds.
const TWILIO_RING_S_MAX: u32 = 600;
const TWILIO_CALL_S_MAX: u32 = 14_400;

/// What to do with a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Instructions {
    pub(super) stream_url: String,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) after_url: Option<String>,
}

/// Reads the answer to a call.
pub(super) fn answer(kind: PeerKind, content_type: &str, text: &str) -> Result<Instructions, String> {
    match kind {
        PeerKind::Twilio => twilio(&response(content_type, text)?),
        PeerKind::Plivo | PeerKind::Vobiz => plivo(&response(content_type, text)?),
        PeerKind::Smartflo => smartflo(content_type, text),
    }
}

/// Reads the answer to what comes next.
pub(super) fn after(kind: PeerKind, content_type: &str, text: &str) -> Result<After, String> {
    let root = response(content_type, text)?;
    let [verb] = root.children.as_slice() else { return Err("one verb was expected".to_owned()) };
    match verb.name.as_str() {
        "Hangup" => {
            verb.only(&[])?;
            Ok(After::HungUp)
        }
        "Dial" => dial(kind, verb),
        other => Err(format!("<{other}> was not expected")),
    }
}

fn response(content_type: &str, text: &str) -> Result<Element, String> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if !matches!(kind, "text/xml" | "application/xml") {
        return Err(format!("the answer is {kind:?} and not XML"));
    }
    let root = xml::parse(text)?;
    if root.name != "Response" || !root.text.is_empty() {
        return Err("the document is no <Response>".to_owned());
    }
    root.only(&[])?;
    Ok(root)
}

fn twilio(root: &Element) -> Result<Instructions, String> {
    let [connect, redirect] = root.children.as_slice() else { return Err("two verbs were expected".to_owned()) };
    let ("Connect", [stream]) = (connect.name.as_str(), connect.children.as_slice()) else {
        return Err("<Connect> with one <Stream> was expected".to_owned());
    };
    connect.only(&["action", "method"])?;
    if stream.name != "Stream" || !stream.text.is_empty() {
        return Err("<Stream> was expected, without a text".to_owned());
    }
    stream.only(&["url", "name", "statusCallback", "statusCallbackMethod"])?;
    let stream_url = socket_url(stream.attribute("url").unwrap_or_default())?;
    if stream_url.contains('?') {
        return Err("the socket's address has a query, which Twilio does not take".to_owned());
    }
    let mut parameters = Vec::new();
    for parameter in &stream.children {
        parameter.only(&["name", "value"])?;
        let (Some(name), Some(value)) = (parameter.attribute("name"), parameter.attribute("value")) else {
            return Err("a parameter without name or value".to_owned());
        };
        if parameter.name != "Parameter" || name.chars().count() + value.chars().count() >= TWILIO_PARAMETER_CHARS {
            return Err("no <Parameter>, or one too long".to_owned());
        }
        parameters.push((name.to_owned(), value.to_owned()));
    }
    Ok(Instructions { stream_url, parameters, after_url: Some(redirect_url(redirect)?) })
}

fn plivo(root: &Element) -> Result<Instructions, String> {
    let [stream, redirect] = root.children.as_slice() else { return Err("two elements were expected".to_owned()) };
    if stream.name != "Stream" || !stream.children.is_empty() {
        return Err("<Stream> was expected".to_owned());
    }
    stream.only(&[
        "bidirectional",
        "keepCallAlive",
        "contentType",
        "audioTrack",
        "streamTimeout",
        "statusCallbackUrl",
        "statusCallbackMethod",
        "extraHeaders",
    ])?;
    // Without these the agent is not heard, or the call goes on at once.
    for needed in ["bidirectional", "keepCallAlive"] {
        if stream.attribute(needed) != Some("true") {
            return Err(format!("{needed} is not true"));
        }
    }
    if stream.attribute("contentType") != Some(PLIVO_CONTENT_TYPE) {
        return Err("this fake streams μ-law at 8000 Hz only".to_owned());
    }
    let parameters = stream.attribute("extraHeaders").map(extra_headers).transpose()?.unwrap_or_default();
    Ok(Instructions { stream_url: socket_url(&stream.text)?, parameters, after_url: Some(redirect_url(redirect)?) })
}

fn extra_headers(text: &str) -> Result<Vec<(String, String)>, String> {
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
    text.split(',')
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) if plain(name) && plain(value) => Ok((name.to_owned(), value.to_owned())),
            Some(_) | None => Err("extraHeaders holds letters and digits only".to_owned()),
        })
        .collect()
}

fn smartflo(content_type: &str, text: &str) -> Result<Instructions, String> {
    if content_type.split(';').next().unwrap_or_default().trim() != "application/json" {
        return Err("the answer is not JSON".to_owned());
    }
    let Ok(Value::Object(object)) = serde_json::from_str(text) else { return Err("no JSON object".to_owned()) };
    let url = object.get("url").and_then(Value::as_str).ok_or("the answer has no url")?;
    Ok(Instructions { stream_url: socket_url(url)?, ..Instructions::default() })
}

fn socket_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| format!("the socket's address: {error}"))?;
    match url.scheme() {
        "ws" | "wss" => Ok(text.to_owned()),
        other => Err(format!("the socket's address begins with {other}")),
    }
}

fn redirect_url(redirect: &Element) -> Result<String, String> {
    if redirect.name != "Redirect" || !redirect.children.is_empty() {
        return Err("<Redirect> was expected".to_owned());
    }
    redirect.only(&["method"])?;
    if redirect.attribute("method").is_some_and(|method| method != "POST") {
        return Err("this fake asks with POST only".to_owned());
    }
    match url::Url::parse(&redirect.text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(redirect.text.clone()),
        Ok(_) | Err(_) => Err("<Redirect> has no address".to_owned()),
    }
}

fn dial(kind: PeerKind, dial: &Element) -> Result<After, String> {
    dial.only(&["callerId", "timeout", "timeLimit"])?;
    let [number] = dial.children.as_slice() else { return Err("one <Number> was expected".to_owned()) };
    number.only(&[])?;
    if number.name != "Number" || !dial.text.is_empty() {
        return Err("<Number> was expected".to_owned());
    }
    let seconds = |name: &str, max: u32| match dial.attribute(name).map(str::parse::<u32>) {
        Some(Ok(seconds)) if (1..=max).contains(&seconds) => Ok(seconds),
        Some(_) | None => Err(format!("{name} is no number of seconds")),
    };
    Ok(After::Dialled {
        to: telephone(kind, &number.text)?,
        caller_id: telephone(kind, dial.attribute("callerId").unwrap_or_default())?,
        ring_s: seconds("timeout", TWILIO_RING_S_MAX)?,
        time_limit_s: seconds("timeLimit", TWILIO_CALL_S_MAX)?,
    })
}

/// With plus and country: Twilio writes the plus, Plivo and Vobiz do not.
fn telephone(kind: PeerKind, text: &str) -> Result<String, String> {
    let digits = match kind {
        PeerKind::Twilio => text.strip_prefix('+').ok_or("a number without its plus")?,
        PeerKind::Plivo | PeerKind::Vobiz | PeerKind::Smartflo => text,
    };
    if (8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(format!("+{digits}"))
    } else {
        Err("no telephone number".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWILIO: &str = "<Response><Connect><Stream url=\"wss://c/media/t\"><Parameter name=\"a\" value=\"b\"/></Stream>\
                          </Connect><Redirect method=\"POST\">https://c/after</Redirect></Response>";
    const PLIVO: &str = "<Response><Stream bidirectional=\"true\" keepCallAlive=\"true\" \
                         contentType=\"audio/x-mulaw;rate=8000\" extraHeaders=\"a=b\">wss://c/media/t</Stream>\
                         <Redirect>https://c/after</Redirect></Response>";

    fn instructions() -> Instructions {
        Instructions {
            stream_url: "wss://c/media/t".to_owned(),
            parameters: vec![("a".to_owned(), "b".to_owned())],
            after_url: Some("https://c/after".to_owned()),
        }
    }

    #[test]
    fn what_the_documents_say_is_read() {
        assert_eq!(answer(PeerKind::Twilio, "text/xml", TWILIO), Ok(instructions()));
        assert_eq!(answer(PeerKind::Plivo, "application/xml; charset=utf-8", PLIVO), Ok(instructions()));
        let url = answer(PeerKind::Smartflo, "application/json", "{\"url\":\"wss://c/media/t\"}");
        assert_eq!(url.map(|read| read.stream_url).as_deref(), Ok("wss://c/media/t"));
        assert_eq!(after(PeerKind::Twilio, "text/xml", "<Response><Hangup/></Response>"), Ok(After::HungUp));
        let dial = "<Response><Dial callerId=\"918047491899\" timeout=\"45\" timeLimit=\"3600\"><Number>918045671234\
                    </Number></Dial></Response>";
        let (to, caller_id) = ("+918045671234".to_owned(), "+918047491899".to_owned());
        let want = After::Dialled { to, caller_id, ring_s: 45, time_limit_s: 3_600 };
        assert_eq!(after(PeerKind::Plivo, "text/xml", dial), Ok(want));
    }

    #[test]
    fn what_a_carrier_would_stumble_over_is_refused() {
        for (kind, from, to) in [
            (PeerKind::Twilio, "wss://c/media/t", "wss://c/media/t?token=1"),
            (PeerKind::Twilio, "wss://", "https://"),
            (PeerKind::Twilio, "<Connect>", "<Connect wait=\"1\">"),
            (PeerKind::Twilio, "Redirect", "Goto"),
            (PeerKind::Twilio, "url=", "href="),
            (PeerKind::Plivo, "bidirectional=\"true\" ", ""),
            (PeerKind::Plivo, "keepCallAlive=\"true\"", "keepCallAlive=\"false\""),
            (PeerKind::Vobiz, "rate=8000", "rate=16000"),
            (PeerKind::Plivo, "a=b", "a=+1"),
            (PeerKind::Plivo, "</Response>", "<Hangup/></Response>"),
        ] {
            let right = if kind == PeerKind::Twilio { TWILIO } else { PLIVO };
            let wrong = right.replace(from, to);
            assert_ne!(right, wrong);
            assert!(answer(kind, "text/xml", &wrong).is_err(), "{wrong}");
        }
        assert!(answer(PeerKind::Twilio, "application/json", TWILIO).is_err());
        assert!(answer(PeerKind::Smartflo, "application/json", TWILIO).is_err());
        let dial = "<Response><Dial callerId=\"+918047491899\" timeout=\"45\" timeLimit=\"3600\"><Number>+918045671234\
                    </Number></Dial></Response>";
        assert!(after(PeerKind::Twilio, "text/xml", dial).is_ok());
        for (kind, from, to) in [
            // Twilio's document, with its pluses.
            (PeerKind::Plivo, "", ""),
            (PeerKind::Twilio, "+918045671234", "918045671234"),
            (PeerKind::Twilio, "timeout=\"45\" ", ""),
            (PeerKind::Twilio, "Dial", "Call"),
        ] {
            assert!(after(kind, "text/xml", &dial.replace(from, to)).is_err(), "{kind:?} {from}");
        }
    }
}
