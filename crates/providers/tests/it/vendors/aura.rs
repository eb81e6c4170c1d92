use super::voices::{Knobs, aura, listen, request, voices};
use super::{http, until};
use providers::ErrorKind;
use providers::aura::{AuraSettings, AuraSpeaker};
use providers::speaker::{SpeakRequest, Speaker};
use testkit::vendors::{VoiceFault, Voices};

fn speaker(voices: &Voices) -> AuraSpeaker {
    AuraSpeaker::new(http(), aura(&voices.url("aura"), Knobs::default()))
}

#[tokio::test]
async fn the_language_chooses_the_voice() {
    let voices = voices().await;
    let speaker = speaker(&voices);
    for (language, voice, want) in [
        ("en-IN", "", Some("aura-2-thalia-en")),
        ("es-MX", "", Some("aura-2-celeste-es")),
        ("hi-IN", "", None),
        ("hi-IN", "aura-2-orion-en", Some("aura-2-orion-en")),
    ] {
        let wanted = SpeakRequest { language: language.into(), voice: voice.into(), ..request("One two three", 8_000) };
        let heard = listen(speaker.speak(wanted)).await;
        assert_eq!(heard.error.map(|e| e.kind), want.is_none().then_some(ErrorKind::Rejected), "{language}");
        if let Some(want) = want {
            assert!(voices.last_url().contains(&format!("model={want}&")), "{}", voices.last_url());
            assert!(heard.words.is_empty());
        }
    }
}

#[tokio::test]
async fn a_sentence_is_spoken_and_flushed() {
    let voices = voices().await;
    let settings = AuraSettings { speed: Some(1.1), mip_opt_out: true, ..aura(&voices.url("aura"), Knobs::default()) };
    let speaker = AuraSpeaker::new(http(), settings);
    speaker.warm(&request("", 8_000)).await.expect("a connection");
    speaker.warm(&request("", 8_000)).await.expect("the same");
    assert!(listen(speaker.speak(request(" Hello ", 8_000))).await.error.is_none());
    let said: Vec<String> = voices.last_messages().iter().map(ToString::to_string).collect();
    assert_eq!(said, [r#"{"text":"Hello","type":"Speak"}"#, r#"{"type":"Flush"}"#]);
    assert!(voices.last_url().ends_with("sample_rate=8000&speed=1.1&mip_opt_out=true"), "{}", voices.last_url());
    assert_eq!(voices.stats().connections, 1);
}

#[tokio::test]
async fn a_connection_gets_no_more_sentences_than_they_take() {
    let voices = voices().await;
    let speaker = speaker(&voices);
    for n in 0..45 {
        let heard = listen(speaker.speak(request("Hello", 8_000))).await;
        assert!(heard.error.is_none(), "{n}: {:?}", heard.error);
    }
    assert_eq!((voices.stats().connections, voices.stats().refused), (3, 0));
}

#[tokio::test]
async fn the_longest_request_is_spoken() {
    let voices = voices().await;
    let speaker = speaker(&voices);
    // 666 characters of three bytes: just within the limit.
    let heard = listen(speaker.speak(request(&"अ".repeat(666), 8_000))).await;
    assert!(heard.error.is_none(), "{:?}", heard.error);
}

#[tokio::test]
async fn a_connection_that_is_not_cleared_is_left() {
    let voices = voices().await;
    let speaker = speaker(&voices);
    voices.break_sentences(VoiceFault::DeafToCancel, 1);
    let mut chunks = speaker.speak(request(&"word ".repeat(200), 8_000));
    assert!(chunks.recv().await.is_some());
    drop(chunks);
    // The place is taken until it is cleared: the next sentence has its own connection.
    assert!(listen(speaker.speak(request("Hello", 8_000))).await.error.is_none());
    until("the first is closed", || voices.stats().connections == 2 && voices.stats().open == 1).await;
}
