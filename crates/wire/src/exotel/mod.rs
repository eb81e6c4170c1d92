//! Exotel: the Voicebot (AgentStream) media socket, the webhooks around it, our answers.
//!
//! Sources: Exotel support articles 3000108630 (Stream and Voicebot applet), 3000132302 (extension guide), 48283 and
//! 3000132269 (Passthru applet), 48278 (outgoing calls), the official samples `exotel/Agent-Stream`, and captured
//! requests in public repositories. Pages and captures contradict each other; everything is read leniently.

pub mod reply;
pub mod report;
pub mod rest;
pub mod stream;
pub mod webhook;
