//! The door for media sockets. Everything is decided before the upgrade: carrier, room on this node, token.

use crate::keeper::{CallEnd, Refused};
use crate::{Switchboard, session};
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use model::{CarrierKind, EndedReason};
use std::sync::Arc;
use std::time::Duration;

/// Bytes read from a socket at once. The default of 128 KiB a connection is most of the memory of a call.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Largest message: the carrier's largest frame of audio in base64, and its envelope. Larger closes the socket.
const MESSAGE_BYTES_MAX: usize = 160 * 1024;
/// So much is gathered before it is written: frames that go out together are one system call.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// What may wait in our side of the socket before it counts as broken.
const WRITE_BUFFER_BYTES_MAX: usize = 1024 * 1024;
/// A call waits for its turn at the database for so long. Exotel gives up after 10 s, in which the call is to begin, too.
const TURN_DEADLINE: Duration = Duration::from_secs(5);
/// Longest token that is looked at; ours are 43 characters.
const TOKEN_BYTES_MAX: usize = 128;

/// The edge's clock.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What the door needs.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) board: Arc<Switchboard>,
    pub(crate) clock: Clock,
}

/// `GET /media/{carrier}/{token}`, upgraded to the carrier's media socket.
pub fn router(board: Arc<Switchboard>, clock: Clock) -> Router {
    Router::new().route("/media/{carrier}/{token}", get(accept)).with_state(Door { board, clock })
}

async fn accept(
    State(door): State<Door>,
    Path((carrier, token)): Path<(String, String)>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Ok(carrier) = carrier.parse::<CarrierKind>() else {
        return refuse(StatusCode::NOT_FOUND, "no such carrier");
    };
    if door.board.is_draining() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "this node is stopping");
    }
    let Ok(permit) = door.board.permits.clone().try_acquire_owned() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "this node is full");
    };
    if token.len() > TOKEN_BYTES_MAX {
        return refuse(StatusCode::NOT_FOUND, "unknown stream token");
    }
    // Those who are on the line keep their time; the carrier goes on with its flow.
    if door.board.lateness.is_behind() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "this node is late");
    }
    let turn = tokio::time::timeout(TURN_DEADLINE, door.board.openings.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "too many calls are being opened");
    };
    // Those who had their turn meanwhile may have been enough.
    if door.board.lateness.is_behind() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "this node is late");
    }
    let grant = match door.board.keeper.consume_token(store::token_hash(&token), (door.clock)()).await {
        Ok(grant) => grant,
        Err(Refused::Unknown) => return refuse(StatusCode::NOT_FOUND, "unknown stream token"),
        Err(Refused::Used) => return refuse(StatusCode::GONE, "this stream token was used"),
        Err(Refused::Expired) => return refuse(StatusCode::GONE, "this stream token has expired"),
        Err(Refused::Store(error)) => {
            tracing::error!(error = %error, "a media socket could not be accepted");
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "the database is not available");
        }
    };
    drop(turn);
    if door.board.services.is_behind(&grant.agent) {
        let end = CallEnd::without_media(grant.tenant, grant.call, EndedReason::CalyBusy, (door.clock)());
        door.board.keeper.finish(end).await;
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the built-in models are behind");
    }
    let session = session::Start { carrier, grant, permit, clock: door.clock.clone() };
    let board = door.board;
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| {
            let tracker = board.tracker.clone();
            tracker.track_future(session::run(board, session, socket))
        })
}

/// In plain words, for the log. The layers around this router give the answer the one shape that all errors have.
fn refuse(status: StatusCode, why: &'static str) -> Response {
    tracing::info!(status = status.as_u16(), why, "media socket refused");
    (status, [("content-type", "text/plain; charset=utf-8")], why).into_response()
}
