//! Smartflo's webhooks. It signs nothing: the unguessable part of the address, HTTP Basic and where it comes from are all
//! that there is. Nothing is asked when our socket has closed, so that there is no handing over.

mod answer;
mod status;

use super::peers::Peer;
use crate::App;
use model::CarrierKind;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::fields::Fields;
use wire::report::Message;
use wire::smartflo::webhook;

const PEER: Peer = Peer {
    kind: CarrierKind::Smartflo,
    actor: "carrier:smartflo",
    verify: None,
    arrival: webhook::arrival,
    message,
    report: webhook::report,
    routing: webhook::routing,
};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(answer::answer, answer::answer_post)).routes(routes!(status::status))
}

/// Which fields a trigger sends is chosen in the portal: what only an ended call has tells the trigger of the end.
fn message(fields: &Fields) -> Message {
    let ended = ["endStamp", "endTime", "hangupCause", "hangupCauseDescription", "billsec"];
    if fields.first(&ended).is_some() {
        Message::CallEnd
    } else if fields.get("recordingUrl").is_some() && fields.first(&["callStatus", "status"]).is_none() {
        Message::Recording
    } else {
        Message::Passthru
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        for (body, want) in [
            (
                r#"{"call_id":"1","call_status":"answered","billsec":"42","end_stamp":"2024-05-09 11:53:10"}"#,
                Message::CallEnd,
            ),
            (r#"{"callId":"1","callStatus":"missed","hangupCause":"NO_ANSWER"}"#, Message::CallEnd),
            (r#"{"call_id":"1","call_status":"answered"}"#, Message::Passthru),
            (r#"{"call_id":"1","call_status":"answered","end_stamp":""}"#, Message::Passthru),
            (r#"{"call_id":"1","recording_url":"https://x/a"}"#, Message::Recording),
        ] {
            assert_eq!(message(&Fields::from_json(body.as_bytes()).expect("fields")), want, "{body}");
        }
    }
}
