//! Plivo: the Audio Streams socket, the webhooks around it, our XML, the requests of its REST API. Vobiz speaks the same
//! messages and XML; it differs in its REST address and in its signatures.
//!
//! Sources: plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference (socket), docs.plivo.com
//! /docs/voice/xml/{request,audiostream,dial,redirect,hangup,record} and /docs/voice/api/call, docs.vobiz.ai/call and
//! /docs/xml/stream, and the serializers of `pipecat-ai/pipecat` and `bolna-ai/bolna`. Signatures are in
//! [`crate::signature::plivo`] and [`crate::signature::vobiz`]. Not checked on a live account.

pub mod reply;
pub mod rest;
pub mod stream;
pub mod webhook;
