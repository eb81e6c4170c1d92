//! Twilio: the Media Streams socket, the webhooks around it, our TwiML, the requests of its REST API.
//!
//! Sources: twilio.com/docs/voice/media-streams/websocket-messages (socket), /voice/twiml (answers: `stream`, `connect`,
//! `redirect`, `dial`, `hangup`), /voice/twiml#request-parameters (call webhooks), /voice/api/call-resource (REST and
//! status callbacks), /usage/security (signatures, see [`crate::signature::twilio`]). Not checked on a live account.

pub mod reply;
pub mod rest;
pub mod stream;
pub mod webhook;
