use super::voices::{KEY, Knobs, elevenlabs, listen, request, voices};
use super::{http, until};
use providers::ErrorKind;
use providers::elevenlabs::{ElevenLabsSettings, ElevenLabsSpeaker};
use providers::speaker::{SpeakRequest, Speaker};
use testkit::vendors::{VoiceFault, Voices, VoicesSettings};
use wire::elevenlabs::VoiceSettings;

fn speaker(voices: &Voices) -> ElevenLabsSpeaker {
    ElevenLabsSpeaker::new(http(), elevenlabs(&voices.url("elevenlabs"), Knobs::default()))
}

fn hindi(text: &str) -> SpeakRequest {
    SpeakRequest { language: "hi-IN".into(), ..request(text, 8_000) }
}

#[tokio::test]
async fn hindi_words_have_their_times() {
    let voices = voices().await;
    let text = "आपका ऑर्डर क्यों नहीं पहुँचा, हम देखते हैं।";
    let heard = listen(speaker(&voices).speak(hindi(text))).await;
    assert!(heard.error.is_none(), "{:?}", heard.error);
    let words: Vec<&str> = heard.words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(words, text.split_whitespace().collect::<Vec<_>>());
    // The fake spreads the characters evenly over the sound; a piece's times are whole milliseconds.
    let total_ms = heard.samples() / 8;
    let each = total_ms as f64 / (text.chars().count() + 1) as f64;
    let mut at = 0;
    for word in &heard.words {
        let (from, to) = (at as f64 * each, (at + word.text.chars().count()) as f64 * each);
        assert!((f64::from(word.from_ms) - from).abs() < 3.0 && (f64::from(word.to_ms) - to).abs() < 3.0, "{word:?}");
        at += word.text.chars().count() + 1;
    }
    assert!(voices.last_url().contains("language_code=hi"), "{}", voices.last_url());
}

#[tokio::test]
async fn a_sentence_is_three_messages() {
    let voices = voices().await;
    let voice_settings =
        VoiceSettings { stability: 0.4, similarity_boost: 0.8, style: None, use_speaker_boost: None, speed: Some(0.9) };
    let settings = ElevenLabsSettings {
        voice_settings: Some(voice_settings),
        model: "eleven_multilingual_v2".into(),
        ..elevenlabs(&voices.url("elevenlabs"), Knobs::default())
    };
    let named = SpeakRequest { voice: "abc123".into(), ..hindi("नमस्ते") };
    assert!(listen(ElevenLabsSpeaker::new(http(), settings).speak(named)).await.error.is_none());
    let url = voices.last_url();
    assert!(url.starts_with("/elevenlabs/v1/text-to-speech/abc123/multi-stream-input?model_id=eleven_multilingual_v2"));
    assert!(url.contains("output_format=pcm_8000") && !url.contains("language_code"), "{url}");
    let messages = voices.last_messages();
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert_eq!((messages[0]["text"].as_str(), messages[1]["text"].as_str()), (Some(" "), Some("नमस्ते ")));
    assert_eq!(messages[0]["voice_settings"]["speed"].as_f64(), Some(0.9));
    assert_eq!((messages[1]["flush"].as_bool(), messages[2]["close_context"].as_bool()), (Some(true), Some(true)));
}

#[tokio::test]
async fn no_connection_has_more_contexts_than_they_allow() {
    let settings = VoicesSettings { speed: 20.0, ..VoicesSettings::instant(KEY) };
    let voices = Voices::start(settings).await.expect("a free port");
    let speaker = speaker(&voices);
    speaker.warm(&request("", 8_000)).await.expect("a connection");
    assert_eq!(voices.stats().connections, 1);
    let mut speaking = Vec::new();
    for n in 0..12 {
        let chunks = speaker.speak(request(&"word ".repeat(10), 8_000));
        // Some are not wanted soon after; their contexts are still open there.
        if n % 3 == 0 {
            drop(chunks)
        } else {
            speaking.push(chunks)
        }
        tokio::task::yield_now().await;
    }
    for chunks in speaking {
        assert_eq!(listen(chunks).await.samples(), 33 * 800);
    }
    let stats = voices.stats();
    assert!(stats.refused == 0 && (2..=12).contains(&stats.connections), "{stats:?}");
}

#[tokio::test]
async fn errors_of_a_context_have_their_kind() {
    let voices = voices().await;
    let speaker = speaker(&voices);
    for (status, kind) in [
        (401, ErrorKind::Unauthorized),
        (429, ErrorKind::Overloaded),
        (500, ErrorKind::Unavailable),
        (400, ErrorKind::Rejected),
    ] {
        voices.break_sentences(VoiceFault::Error(status), 1);
        let heard = listen(speaker.speak(request("Hello", 8_000))).await;
        assert_eq!(heard.error.expect("an error").kind, kind, "{status}");
    }
    assert!(listen(speaker.speak(request("Hello", 8_000))).await.error.is_none());
}

#[tokio::test]
async fn voices_that_are_none_are_refused() {
    let voices = voices().await;
    let speaker = speaker(&voices);
    for (voice, kind, asked) in [("a/b?c", ErrorKind::Rejected, 0), ("missing", ErrorKind::Rejected, 1)] {
        let named = SpeakRequest { voice: voice.into(), ..request("Hello", 8_000) };
        let error = listen(speaker.speak(named)).await.error.expect("an error");
        assert_eq!((error.kind, voices.stats().refused), (kind, asked), "{voice}: {error}");
    }
}

#[tokio::test]
async fn a_restricted_key_that_may_speak_passes_the_check() {
    let voices = voices().await;
    speaker(&voices).check().await.expect("it works");
    assert_eq!(voices.stats().checks, 1);
    // The fake's 401 on request is that of a key without this permission.
    voices.refuse(401, 1);
    speaker(&voices).check().await.expect("the key is known");
    assert_eq!(voices.stats().refused, 1);
    until("no connection is left", || voices.stats().open == 0).await;
}
