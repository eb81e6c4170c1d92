//! Our clients of other people's services, against fakes that are as strict, over real sockets.

mod anthropic;
mod aura;
mod cartesia;
mod chat;
mod elevenlabs;
mod embedding;
mod gemini_live;
mod language_models;
mod objects;
mod openai_realtime;
mod realtime;
mod sarvam;
mod scribe;
mod speech;
mod transcription;
mod transcriptions;
mod voices;

use providers::http::{Http, HttpSettings};
use secrecy::SecretString;
use std::time::Duration;
pub(crate) use testkit::nobody::nobody;
use testkit::vendors::{FakeVendors, VendorSettings};

/// Nothing here takes as long; a test that hangs ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn http() -> Http {
    Http::new(&HttpSettings::default()).expect("the client needs nothing from outside")
}

pub(crate) fn key(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

async fn fakes() -> FakeVendors {
    FakeVendors::start(VendorSettings::instant()).await.expect("a free port")
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
