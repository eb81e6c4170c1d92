//! An order for a call, checked as strictly as the documents allow.

use super::answers::Refusal;
use super::{ApiOptions, national};
use crate::carrier::Coding;

/// Documented limits: of a call, of ringing, of the texts.
const TIME_LIMIT_S_MAX: u32 = 14_400;
const RING_S_MAX: u32 = 60;
const CUSTOM_FIELD_CHARS_MAX: usize = 128;
const STREAM_URL_CHARS_MAX: usize = 600;
const STREAM_NAME_CHARS_MAX: usize = 32;
/// What is understood. Others are taken and noted, as by the real one.
const KNOWN: [&str; 21] = [
    "From",
    "To",
    "CallerId",
    "Url",
    "StreamUrl",
    "StreamType",
    "StreamName",
    "CallType",
    "TimeLimit",
    "TimeOut",
    "WaitUrl",
    "Record",
    "RecordingChannels",
    "RecordingFormat",
    "CustomField",
    "StatusCallback",
    "StatusCallbackContentType",
    "StatusCallbackEvents",
    "StartPlaybackToNew",
    "StartPlaybackValueNew",
    "StartPlaybackTo",
];

/// What the one who answers is connected with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderMode {
    /// Another number.
    Numbers {
        /// Which.
        to: String,
    },
    /// A flow.
    Flow {
        /// Its id.
        app_id: String,
    },
    /// A media socket.
    Stream {
        /// Its address.
        url: String,
        /// `StreamName`.
        name: Option<String>,
    },
}

/// An order that was taken.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) mode: OrderMode,
    pub(super) from: String,
    pub(super) caller_id: String,
    pub(super) time_limit_s: u32,
    pub(super) ring_s: Option<u32>,
    pub(super) record: bool,
    pub(super) dual: bool,
    pub(super) custom_field: Option<String>,
    pub(super) status_callback: Option<String>,
    pub(super) events: Vec<String>,
    pub(super) coding: Coding,
}

/// Names that this carrier does not know.
pub(super) fn unknown(fields: &[(String, String)]) -> Vec<String> {
    fields.iter().map(|(name, _)| name).filter(|name| !KNOWN.contains(&bare(name))).cloned().collect()
}

/// `StatusCallbackEvents[0]` and `StatusCallbackEvents[]` without their brackets.
fn bare(name: &str) -> &str {
    name.split_once('[').filter(|(_, index)| index.ends_with(']')).map_or(name, |(name, _)| name)
}

struct Form<'a>(&'a [(String, String)]);

impl Form<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn must(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| bad(format!("Mandatory Parameter(s) missing: {name}")))
    }

    fn text(&self, name: &str, chars_max: usize) -> Result<Option<String>, Refusal> {
        match self.get(name) {
            Some(text) if text.chars().count() > chars_max => Err(bad(format!("{name} is longer than {chars_max}"))),
            text => Ok(text.map(str::to_owned)),
        }
    }

    fn number(&self, name: &str, max: u32) -> Result<Option<u32>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if (1..=max).contains(&number) => Ok(Some(number)),
            Ok(_) | Err(_) => Err(bad(format!("Invalid parameter: {name}"))),
        }
    }

    fn one_of(&self, name: &str, words: &[&str]) -> Result<Option<&str>, Refusal> {
        match self.get(name) {
            Some(text) if !words.contains(&text) => Err(bad(format!("Invalid parameter: {name}"))),
            text => Ok(text),
        }
    }
}

fn bad(message: String) -> Refusal {
    Refusal::new(400, &message).with_code("34001")
}

/// Reads an order.
pub(super) fn read(fields: &[(String, String)], options: &ApiOptions) -> Result<Order, Refusal> {
    let form = Form(fields);
    let twice = |at: usize, name: &str| !name.ends_with("[]") && fields[..at].iter().any(|(other, _)| other == name);
    if let Some((_, (name, _))) = fields.iter().enumerate().find(|(at, (name, _))| twice(*at, name)) {
        return Err(bad(format!("{name} is there twice")));
    }
    let from = form.must("From")?;
    if national(from).is_none() {
        return Err(bad("Invalid parameter: From".to_owned()));
    }
    let caller_id = form.must("CallerId")?;
    let ours =
        options.exophones.iter().any(|phone| national(phone).is_some() && national(phone) == national(caller_id));
    if !ours {
        return Err(bad("CallerId is no ExoPhone of this account".to_owned()));
    }
    let mode = mode(&form, options)?;
    let streamed = matches!(mode, OrderMode::Stream { .. });
    form.one_of("CallType", &["trans"])?;
    form.one_of("RecordingFormat", &["mp3", "mp3-hq"])?;
    let status_callback = form.get("StatusCallback").map(str::to_owned);
    if status_callback.as_deref().is_some_and(|url| !is_url(url, &["http", "https"])) {
        return Err(bad("Invalid parameter: StatusCallback".to_owned()));
    }
    let events = events(fields, streamed)?;
    let coding = match form.one_of("StatusCallbackContentType", &["application/json", "multipart/form-data"])? {
        Some("application/json") => Coding::Json,
        Some(_) | None => Coding::Multipart,
    };
    Ok(Order {
        mode,
        from: from.to_owned(),
        caller_id: caller_id.to_owned(),
        time_limit_s: form.number("TimeLimit", TIME_LIMIT_S_MAX)?.unwrap_or(TIME_LIMIT_S_MAX),
        ring_s: form.number("TimeOut", RING_S_MAX)?,
        record: form.one_of("Record", &["true", "false"])? == Some("true"),
        dual: form.one_of("RecordingChannels", &["single", "dual"])? == Some("dual"),
        custom_field: form.text("CustomField", CUSTOM_FIELD_CHARS_MAX)?,
        status_callback,
        events,
        coding,
    })
}

fn is_url(text: &str, schemes: &[&str]) -> bool {
    url::Url::parse(text).is_ok_and(|url| schemes.contains(&url.scheme()) && url.has_host())
}

fn mode(form: &Form<'_>, options: &ApiOptions) -> Result<OrderMode, Refusal> {
    match (form.get("To"), form.get("Url"), form.get("StreamUrl")) {
        (Some(to), None, None) => match national(to) {
            Some(_) => Ok(OrderMode::Numbers { to: to.to_owned() }),
            None => Err(bad("Invalid parameter: To".to_owned())),
        },
        (None, Some(url), None) => match app_id(url, &options.account_id) {
            Some(app_id) => Ok(OrderMode::Flow { app_id }),
            None => Err(bad("Invalid parameter: Url".to_owned())),
        },
        (None, None, Some(url)) => {
            if url.len() >= STREAM_URL_CHARS_MAX || !is_url(url, &["ws", "wss"]) {
                return Err(bad("Invalid parameter: StreamUrl".to_owned()));
            }
            if form.must("StreamType")? != "bidirectional" {
                return Err(bad("Invalid parameter: StreamType".to_owned()));
            }
            let name = form.text("StreamName", STREAM_NAME_CHARS_MAX)?;
            Ok(OrderMode::Stream { url: url.to_owned(), name })
        }
        (None, None, None) => Err(bad("Mandatory Parameter(s) missing: To, Url or StreamUrl".to_owned())),
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            Err(bad("To, Url and StreamUrl exclude each other".to_owned()))
        }
    }
}

/// The flow's id of `http://my.exotel.com/{sid}/exoml/start_voice/{id}`, or of the older form without the account.
fn app_id(text: &str, account_id: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let host = url.host_str()?;
    if !matches!(host, "my.exotel.com" | "my.in.exotel.com" | "my.exotel.in") {
        return None;
    }
    let parts: Vec<&str> = url.path_segments()?.collect();
    let id = match parts.as_slice() {
        [account, "exoml", "start_voice", id] if *account == account_id => *id,
        ["exoml", "start", id] => *id,
        _ => return None,
    };
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then(|| id.to_owned())
}

fn events(fields: &[(String, String)], streamed: bool) -> Result<Vec<String>, Refusal> {
    let mut events = Vec::new();
    for (name, value) in fields.iter().filter(|(name, _)| bare(name) == "StatusCallbackEvents") {
        match value.as_str() {
            "terminal" | "answered" => events.push(value.clone()),
            "ringing" if streamed => events.push(value.clone()),
            _ => return Err(bad(format!("Invalid parameter: {name}"))),
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(pairs: &[(&str, &str)]) -> Result<Order, String> {
        let mut fields =
            vec![("From".to_owned(), "+919876543210".to_owned()), ("CallerId".to_owned(), "08047491899".to_owned())];
        for (name, value) in pairs {
            fields.retain(|(other, _)| other != name || name.ends_with("[]"));
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        read(&fields, &ApiOptions::default()).map_err(|refusal| refusal.message)
    }

    #[test]
    fn the_three_modes_and_their_limits() {
        const STREAM: [(&str, &str); 2] =
            [("StreamUrl", "wss://agent.example/media/token"), ("StreamType", "bidirectional")];
        let long = format!("wss://agent.example/{}", "a".repeat(580));
        let flow = "http://my.exotel.com/exotelaccount/exoml/start_voice/123";
        assert_eq!(order(&[("To", "09812345678")]).unwrap().mode, OrderMode::Numbers { to: "09812345678".to_owned() });
        assert_eq!(order(&[("Url", flow)]).unwrap().mode, OrderMode::Flow { app_id: "123".to_owned() });
        let order_of_all = order(&[
            STREAM[0],
            STREAM[1],
            ("StreamName", "caly"),
            ("TimeLimit", "14400"),
            ("TimeOut", "60"),
            ("Record", "true"),
            ("RecordingChannels", "dual"),
            ("CustomField", "order 1"),
            ("StatusCallback", "https://agent.example/s"),
            ("StatusCallbackEvents[0]", "terminal"),
            ("StatusCallbackEvents[]", "answered"),
            ("StatusCallbackContentType", "application/json"),
            ("CallType", "trans"),
        ])
        .unwrap();
        assert_eq!(order_of_all.events, ["terminal", "answered"]);
        assert!(order_of_all.record && order_of_all.dual && order_of_all.coding == Coding::Json);
        for bad in [
            vec![],
            vec![("Url", flow), STREAM[0], STREAM[1]],
            vec![("Url", "https://agent.example/flow")],
            vec![("Url", "http://my.exotel.com/another/exoml/start_voice/123")],
            vec![STREAM[0]],
            vec![("StreamUrl", "https://agent.example"), STREAM[1]],
            vec![("StreamUrl", long.as_str()), STREAM[1]],
            vec![("To", "1")],
            vec![("To", "09812345678"), ("From", "12")],
            vec![("To", "09812345678"), ("CallerId", "08000000000")],
            vec![("To", "09812345678"), ("TimeLimit", "14401")],
            vec![("To", "09812345678"), ("TimeOut", "61")],
            vec![("To", "09812345678"), ("Record", "yes")],
            vec![("To", "09812345678"), ("StatusCallbackEvents[0]", "ringing")],
            vec![("To", "09812345678"), ("StatusCallback", "agent.example")],
            vec![("To", "09812345678"), ("StatusCallbackContentType", "text/xml")],
        ] {
            assert!(order(&bad).is_err(), "{bad:?}");
        }
        let custom = "x".repeat(129);
        assert!(order(&[("To", "09812345678"), ("CustomField", &custom)]).unwrap_err().contains("CustomField"));
        assert_eq!(
            unknown(&[("Foo".to_owned(), String::new()), ("StatusCallbackEvents[1]".to_owned(), String::new())]),
            ["Foo"]
        );
    }
}
