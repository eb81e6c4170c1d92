use super::voices::{KEY, Knobs, cartesia, listen, request, voices};
use super::{http, until};
use providers::ErrorKind;
use providers::cartesia::{CartesiaSettings, CartesiaSpeaker};
use providers::speaker::{SpeakRequest, Speaker, WordTime};
use testkit::vendors::{VoiceFault, Voices, VoicesSettings};

fn speaker(voices: &Voices) -> CartesiaSpeaker {
    CartesiaSpeaker::new(http(), cartesia(&voices.url("cartesia"), Knobs::default()))
}

#[tokio::test]
async fn hindi_words_have_their_times() {
    let voices = voices().await;
    let text = "आपका ऑर्डर क्यों नहीं पहुँचा।";
    let hindi = SpeakRequest { language: "hi-IN".into(), ..request(text, 8_000) };
    let heard = listen(speaker(&voices).speak(hindi)).await;
    assert!(heard.error.is_none(), "{:?}", heard.error);
    let word = |(n, text): (usize, &str)| {
        let from_ms = u32::try_from(n * 330).expect("short");
        WordTime { text: text.to_owned(), from_ms, to_ms: from_ms + 300 }
    };
    let want: Vec<_> = text.split_whitespace().enumerate().map(word).collect();
    assert_eq!(heard.words, want);
}

#[tokio::test]
async fn a_sentence_is_one_message_and_all_voices_share_a_connection() {
    let voices = voices().await;
    let settings = CartesiaSettings { speed: Some(1.2), ..cartesia(&voices.url("cartesia"), Knobs::default()) };
    let speaker = CartesiaSpeaker::new(http(), settings);
    speaker.warm(&request("", 8_000)).await.expect("a connection");
    for (voice, rate) in [("", 8_000), ("one", 16_000), ("two", 24_000)] {
        let named = SpeakRequest { voice: voice.into(), ..request(" Hello ", rate) };
        assert!(listen(speaker.speak(named)).await.error.is_none());
    }
    assert_eq!((voices.stats().connections, voices.last_messages().len()), (1, 3));
    assert_eq!(voices.last_url(), "/cartesia/tts/websocket?cartesia_version=2026-03-01");
    let last = &voices.last_messages()[2];
    assert_eq!((last["transcript"].as_str(), last["voice"]["id"].as_str()), (Some("Hello"), Some("two")));
    assert_eq!((last["language"].as_str(), last["generation_config"]["speed"].as_f64()), (Some("en"), Some(1.2)));
}

#[tokio::test]
async fn errors_of_a_context_leave_the_others_alone() {
    let settings = VoicesSettings { speed: 20.0, ..VoicesSettings::instant(KEY) };
    let voices = Voices::start(settings).await.expect("a free port");
    let speaker = speaker(&voices);
    let mut long = speaker.speak(request(&"word ".repeat(20), 8_000));
    assert!(long.recv().await.is_some());
    for (status, kind) in [(401, ErrorKind::Unauthorized), (429, ErrorKind::Overloaded), (400, ErrorKind::Rejected)] {
        voices.break_sentences(VoiceFault::Error(status), 1);
        let error = listen(speaker.speak(request("Hello", 8_000))).await.error.expect("an error");
        assert_eq!(error.kind, kind, "{status}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert!(listen(long).await.error.is_none());
    assert_eq!(voices.stats().connections, 1);
}

#[tokio::test]
async fn a_language_they_do_not_have_is_refused_by_them() {
    let voices = voices().await;
    let foreign = SpeakRequest { language: "xx".into(), ..request("Hello", 8_000) };
    let error = listen(speaker(&voices).speak(foreign)).await.error.expect("an error");
    assert_eq!(error.kind, ErrorKind::Rejected);
    until("it is closed with its speaker", || voices.stats().open == 0).await;
}
