//! The Voicebot socket, both ways.

use crate::golden;
use model::{CarrierKind, E164};
use proptest::prelude::*;
use wire::carrier::{self, CarrierMessage, Encoder};
use wire::exotel::stream::{self, FRAME_RULE, Inbound, MESSAGE_BYTES_MAX, Start, StopReason};
use wire::{WireError, pcm};

fn shown(number: Option<&E164>) -> &str {
    number.map_or("-", E164::as_str)
}

fn render_start(start: &Start) -> String {
    let Start { stream_id, call_id, account_id, from, to, custom_parameters, sample_rate_hz, encoding, sequence } =
        start;
    format!(
        "start stream={stream_id} call={call_id:?} account={account_id:?} from={} to={} parameters={custom_parameters:?} \
         rate={sample_rate_hz:?} {encoding:?} sequence={sequence:?}",
        shown(from.as_ref()),
        shown(to.as_ref()),
    )
}

fn render(text: &str) -> String {
    match stream::decode(text) {
        Ok(Inbound::Start(start)) => render_start(&start),
        Ok(Inbound::Media(media)) => {
            let mut samples = Vec::new();
            let audio = stream::decode_pcm(&media.payload_base64, &mut samples).map(|()| samples);
            let (chunk, at, sequence) = (media.chunk, media.timestamp_ms, media.sequence);
            format!("media chunk={chunk:?} at_ms={at:?} sequence={sequence:?} audio={audio:?}")
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn every_message_of_exotel_is_read_as_its_golden_file_says() {
    golden::check("exotel/stream", 80, |_, bytes| render(std::str::from_utf8(bytes).unwrap()));
}

#[test]
fn every_message_to_exotel_is_written_as_its_golden_file_says() {
    golden::check("exotel/outgoing", 8, |path, _| {
        let mut out = String::from("what was there before");
        let id = "6f048d2e897a0d2d4029560f3f541947";
        match path.file_stem().unwrap().to_str().unwrap() {
            "media-320" => stream::encode_media(id, 3, 2, 200, &[1; 160], &mut out).unwrap(),
            "media-padded" => stream::encode_media(id, 4, 3, 220, &[-1; 10], &mut out).unwrap(),
            "media-empty" => stream::encode_media(id, 5, 4, 240, &[], &mut out).unwrap(),
            "mark" => stream::encode_mark(id, 6, "turn-3-end", &mut out),
            "mark-quoted" => stream::encode_mark("a\"b\\c", 7, "ü\n\u{1}\"", &mut out),
            "clear" => stream::encode_clear(id, &mut out),
            "encoder-sequence" => {
                let mut encoder = Encoder::new(CarrierKind::Exotel, id, 8000);
                let mut all = Vec::new();
                for step in 0..5 {
                    match step {
                        0 | 1 => encoder.audio(&[0; 160], &mut out).unwrap(),
                        2 => encoder.mark("m", &mut out),
                        3 => encoder.clear(&mut out),
                        _ => encoder.audio(&[0; 160], &mut out).unwrap(),
                    }
                    all.push(out.replace(&"A".repeat(400), "…"));
                }
                out = all.join("\n");
            }
            "media-too-large" => {
                let error = stream::encode_media(id, 1, 1, 0, &vec![0; 50_001], &mut out).unwrap_err();
                assert_eq!(out, "");
                out = format!("{error:?}");
            }
            other => panic!("no such case: {other}"),
        }
        out
    });
}

#[test]
fn the_largest_frame_is_written_and_read() {
    let pcm: Vec<i16> = (0..49_920).map(|i| (i % 30_000) as i16).collect();
    let mut out = String::new();
    stream::encode_media("s", 1, 1, 0, &pcm, &mut out).unwrap();
    assert!(out.len() <= MESSAGE_BYTES_MAX);
    let Ok(Inbound::Media(media)) = stream::decode(&out) else { panic!("no media") };
    let mut back = Vec::new();
    stream::decode_pcm(&media.payload_base64, &mut back).unwrap();
    assert_eq!(back, pcm);
}

#[test]
fn a_message_longer_than_the_limit_is_refused_unread() {
    let text = format!("{{\"event\":\"x\",\"pad\":\"{}\"}}", "a".repeat(MESSAGE_BYTES_MAX));
    assert_eq!(stream::decode(&text), Err(WireError::TooLarge { bytes: text.len(), limit: MESSAGE_BYTES_MAX }),);
}

#[test]
fn the_hot_path_borrows_its_audio() {
    let text = r#"{"event":"media","stream_sid":"s","media":{"payload":"AAD/fwCA"}}"#;
    let Ok(Inbound::Media(media)) = stream::decode(text) else { panic!("no media") };
    assert!(matches!(media.payload_base64, std::borrow::Cow::Borrowed(_)));
}

#[test]
fn frames_are_100_ms_on_the_grid_of_320_bytes() {
    for (rate, bytes) in [(8_000, 1_600), (16_000, 3_200), (24_000, 4_800)] {
        assert_eq!(FRAME_RULE.frame_bytes(rate), bytes);
        assert_eq!(carrier::frame_rule(CarrierKind::Exotel).frame_samples(rate), bytes / 2);
        assert_eq!(bytes % FRAME_RULE.multiple_of_bytes, 0);
    }
    for (bytes, want) in [(0, 0), (1, 320), (320, 320), (321, 640), (99_999, 100_160)] {
        assert_eq!(FRAME_RULE.padded_bytes(bytes), want);
    }
}

#[test]
fn sample_rates_are_found_in_any_writing() {
    for (text, want) in [
        ("8000", Some(8_000)),
        ("8000Hz", Some(8_000)),
        (" 16000 ", Some(16_000)),
        ("16kHz", Some(16_000)),
        ("rate=24000", Some(24_000)),
        ("24", Some(24_000)),
        ("44100", None),
        ("", None),
        ("fast", None),
        ("99999999999999999999", None),
        ("0", None),
    ] {
        assert_eq!(stream::sample_rate_hz(text), want, "{text}");
    }
}

#[test]
fn each_message_has_one_shape_for_all_carriers() {
    let read = |text| carrier::decode(CarrierKind::Exotel, text).unwrap();
    assert_eq!(read(r#"{"event":"connected"}"#), CarrierMessage::Connected);
    assert_eq!(read(r#"{"event":"clear"}"#), CarrierMessage::Flush);
    assert_eq!(read(r#"{"event":"news"}"#), CarrierMessage::Ignored);
    assert_eq!(read(r#"{"event":"mark","mark":{"name":"m"}}"#), CarrierMessage::Played { mark: "m".into() });
    assert_eq!(
        read(r##"{"event":"dtmf","dtmf":{"digit":"#"}}"##),
        CarrierMessage::Dtmf { digit: '#', duration_ms: None }
    );
    assert_eq!(
        read(r#"{"event":"stop","stop":{"reason":"callended"}}"#),
        CarrierMessage::Stopped { reason: StopReason::CallEnded }
    );
    let CarrierMessage::Start(start) = read(r#"{"event":"start","stream_sid":"s"}"#) else { panic!("no start") };
    assert_eq!((start.stream_id.as_str(), start.call_id), ("s", None));
    let CarrierMessage::Audio(frame) = read(r#"{"event":"media","media":{"payload":"AQA=","chunk":4}}"#) else {
        panic!("no audio")
    };
    let mut pcm = Vec::new();
    frame.decode(pcm::Encoding::Pcm16, &mut pcm).unwrap();
    assert_eq!((pcm.as_slice(), frame.chunk), ([1].as_slice(), Some(4)));
}

#[test]
fn a_frame_that_is_refused_is_not_counted() {
    let mut encoder = Encoder::new(CarrierKind::Exotel, "s", 8000);
    let mut out = String::new();
    assert!(encoder.audio(&vec![0; 60_000], &mut out).is_err());
    encoder.audio(&[0; 160], &mut out).unwrap();
    assert!(out.contains(r#""sequence_number":"1""#) && out.contains(r#""timestamp":"0""#), "{}", &out[..120]);
}

#[test]
fn errors_do_not_quote_the_message() {
    for text in [
        r#"{"event":"dtmf","dtmf":{"digit":"secret"}}"#,
        r#"{"event":"secret"#,
        r#"{"event":"media","media":"secret"}"#,
    ] {
        let error = stream::decode(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,400}") {
        let _ = stream::decode(&text);
    }

    #[test]
    fn no_body_makes_it_panic(
        event in "(media|start|dtmf|mark|stop|connected|clear)",
        key in "(media|start|dtmf|mark|stop)",
        body in r#"(\{"(digit|name|payload|reason|stream_sid|media_format|custom_parameters|timestamp|chunk)":("[^"\\]{0,20}"|[0-9.eE+-]{1,8}|null|\[\]|\{\})\}|null|"x"|7|\[1\])"#,
    ) {
        let _ = stream::decode(&format!(r#"{{"event":"{event}","{key}":{body}}}"#));
    }

    #[test]
    fn no_payload_makes_it_panic(payload in "[A-Za-z0-9+/= é]{0,5000}") {
        let mut pcm = Vec::new();
        if pcm::decode(&payload, pcm::Encoding::Pcm16, &mut pcm).is_err() {
            prop_assert!(pcm.is_empty());
        }
        let _ = pcm::decode(&payload, pcm::Encoding::Mulaw, &mut pcm);
    }

    #[test]
    fn audio_comes_back_as_it_was_sent(samples in proptest::collection::vec(any::<i16>(), 0..3000), sequence in 0_u64..1_000_000) {
        let mut out = String::new();
        stream::encode_media("stream", sequence, sequence + 1, sequence + 2, &samples, &mut out).unwrap();
        let Ok(Inbound::Media(media)) = stream::decode(&out) else { return Err(TestCaseError::fail("no media")) };
        prop_assert_eq!((media.sequence, media.chunk, media.timestamp_ms), (Some(sequence), Some(sequence + 1), Some(sequence + 2)));
        let mut back = Vec::new();
        stream::decode_pcm(&media.payload_base64, &mut back).unwrap();
        prop_assert_eq!(back.len() % 160, 0);
        prop_assert!(back.len() < samples.len() + 160);
        prop_assert_eq!(&back[..samples.len()], &samples[..]);
        prop_assert!(back[samples.len()..].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn mark_names_come_back_as_they_were_sent(name in "[^ \t\r\n\u{85}\u{a0}].{0,60}[a-z]") {
        let mut out = String::new();
        stream::encode_mark("s", 1, &name, &mut out);
        let Ok(Inbound::Mark { name: back }) = stream::decode(&out) else { return Err(TestCaseError::fail(out)) };
        prop_assert_eq!(back.trim(), name.trim());
    }
}
