//! Tata Smartflo: the Voice Bot socket and the webhooks around it. Nothing it sends is signed.
//!
//! Sources: docs.smartflo.tatatelebusiness.com: `bi-directional-audio-streaming-integration-document` (socket),
//! `standard-operating-procedure-sop-for-voice-streaming`, `webhook`, `reference/v1callrecords`; docs.astradial.com
//! /integrations/audio-streaming (the same text); docs.acefone.in, the same platform under another name:
//! `dynamic-and-static-websocket-options-in-the-voice-streaming-page` (the Dynamic endpoint). Calls are placed with
//! "Click to Call", whose request depends on keys made in the portal; it is not written here. Not checked on a live
//! account.

pub mod reply;
pub mod stream;
pub mod webhook;
