use super::*;
use proptest::prelude::*;
use std::path::PathBuf;
use tempfile::TempDir;

/// Silent frames: MPEG-1 layer 3, 32 kbit/s, 44.1 kHz, one channel; an empty side information decodes to silence.
/// 1152 samples in 104 bytes each.
fn mp3(frames: usize) -> Vec<u8> {
    let mut frame = vec![0xff, 0xfb, 0x10, 0xc4];
    frame.resize(104, 0);
    frame.repeat(frames)
}

/// The same with two channels.
fn mp3_stereo(frames: usize) -> Vec<u8> {
    let mut frame = vec![0xff, 0xfb, 0x10, 0x04];
    frame.resize(104, 0);
    frame.repeat(frames)
}

/// A first frame that says how many follow.
fn xing(frames: u32) -> Vec<u8> {
    let mut frame = mp3(1);
    frame[21..25].copy_from_slice(b"Xing");
    frame[25..29].copy_from_slice(&1u32.to_be_bytes());
    frame[29..33].copy_from_slice(&frames.to_be_bytes());
    frame
}

fn id3(size: usize) -> Vec<u8> {
    let mut tag = b"ID3\x04\0\0".to_vec();
    tag.extend([(size >> 21) & 0x7f, (size >> 14) & 0x7f, (size >> 7) & 0x7f, size & 0x7f].map(|byte| byte as u8));
    // What a frame begins with, to mislead.
    tag.extend([0xff, 0xfb].iter().cycle().take(size));
    tag
}

fn wav(tag: u16, bits: u16, channels: u16, rate: u32, declared: u32, data: usize) -> Vec<u8> {
    let block = channels * bits / 8;
    let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
    file.extend(b"LIST\x05\0\0\0abcde\0");
    file.extend(b"fmt \x10\0\0\0");
    for field in [tag, channels] {
        file.extend(field.to_le_bytes());
    }
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(block)).to_le_bytes());
    for field in [block, bits] {
        file.extend(field.to_le_bytes());
    }
    file.extend(b"data");
    file.extend(declared.to_le_bytes());
    file.resize(file.len() + data, 0);
    file
}

fn written(folder: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).expect("written");
    path
}

/// As a fetched file is judged.
fn judge(bytes: &[u8]) -> Result<(AudioFormat, Measured), String> {
    let folder = TempDir::new().expect("a folder");
    let format = recognise(&bytes[..bytes.len().min(MAGIC_BYTES)]).map_err(|error| error.to_string())?;
    let measured =
        measure(&written(&folder, bytes), format, &AtomicBool::new(false)).map_err(|error| error.to_string())?;
    Ok((format, measured))
}

fn length_ms(frames: u64) -> u64 {
    frames * 1_152 * 1_000 / 44_100
}

#[test]
fn recordings_are_measured() {
    let mono = Measured { channels: 1, sample_rate_hz: 44_100, duration_ms: length_ms(100), is_cut_short: false };
    let with_tail = [mp3(100), b"TAG".to_vec(), vec![0; 125]].concat();
    for (what, bytes) in [
        ("plain", mp3(100)),
        ("a tag before", [id3(1_000), mp3(100)].concat()),
        ("a large tag before", [id3(300_000), mp3(100)].concat()),
        ("a tag behind", with_tail),
        ("a first frame that counts", [xing(100), mp3(100)].concat()),
        ("padding behind", [mp3(100), vec![0; 1_000]].concat()),
    ] {
        assert_eq!(judge(&bytes), Ok((AudioFormat::Mp3, mono)), "{what}");
    }
    let stereo = judge(&mp3_stereo(10)).expect("a recording").1;
    assert_eq!((stereo.channels, stereo.duration_ms), (2, length_ms(10)));
    for (what, bytes, want) in [
        ("16 bit", wav(1, 16, 2, 8_000, 32_000, 32_000), (2, 8_000, 1_000)),
        ("8 bit", wav(1, 8, 1, 8_000, 4_000, 4_000), (1, 8_000, 500)),
        ("24 bit", wav(1, 24, 1, 16_000, 48_000, 48_000), (1, 16_000, 1_000)),
        ("floating point", wav(3, 32, 1, 8_000, 32_000, 32_000), (1, 8_000, 1_000)),
        ("A-law", wav(6, 8, 1, 8_000, 8_000, 8_000), (1, 8_000, 1_000)),
        ("mu-law", wav(7, 8, 2, 8_000, 16_000, 16_000), (2, 8_000, 1_000)),
        ("written while recording", wav(1, 16, 1, 8_000, u32::MAX, 16_000), (1, 8_000, 1_000)),
        ("never closed", wav(1, 16, 1, 8_000, 0, 16_000), (1, 8_000, 1_000)),
        ("something behind", wav(1, 16, 1, 8_000, 16_000, 20_000), (1, 8_000, 1_000)),
    ] {
        let (format, measured) = judge(&bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(format, AudioFormat::Wav, "{what}");
        assert_eq!((measured.channels, measured.sample_rate_hz, measured.duration_ms), want, "{what}");
    }
}

#[test]
fn what_is_no_recording_is_told_by_its_content() {
    for (bytes, want) in [
        (&b"<!DOCTYPE html><html>Sign in"[..], NotAudio::Html),
        (b"\n <HTML><body>", NotAudio::Html),
        (b"\xef\xbb\xbf<html>", NotAudio::Html),
        (b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>", NotAudio::Xml),
        (b"<Error/>", NotAudio::Xml),
        (b"{\"RestException\":{}}", NotAudio::Json),
        (b"not found", NotAudio::Unknown),
        (b"RIFF\0\0\0\0AVI LIST", NotAudio::Unknown),
        (b"OggS\0\0\0\0\0\0\0\0", NotAudio::Unknown),
        (b"\xff\xfd\x90\0", NotAudio::Unknown),
        (b"\xff\xfb\xf0\0", NotAudio::Unknown),
        (b"\xff\xfb", NotAudio::Unknown),
        (b"\xff", NotAudio::Unknown),
    ] {
        assert_eq!(recognise(bytes), Err(want), "{:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(recognise(b"\xff\xe3\x18\xc4"), Ok(AudioFormat::Mp3), "8 kHz");
}

#[test]
fn what_begins_like_a_recording_and_is_none_is_refused() {
    let mut noise: Vec<u8> = (0..50_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    noise[..4].copy_from_slice(&mp3(1)[..4]);
    let page = [b"ID3\x04\0\0\0\0\0\0".to_vec(), b"<html>please sign in</html>".repeat(1_000)].concat();
    let holes: Vec<u8> = (0..50).flat_map(|_| [mp3(2), vec![0x55; 1_000]].concat()).collect();
    for (what, bytes) in [
        ("noise", noise),
        ("a page behind a tag", page),
        ("a tag without frames", id3(500)),
        ("more holes than frames", holes),
        ("a WAV without samples", wav(1, 16, 1, 8_000, 0, 0)),
        ("GSM", wav(0x31, 0, 1, 8_000, 1_000, 1_000)),
        ("no channels", wav(1, 16, 0, 8_000, 1_000, 1_000)),
        ("no rate", wav(1, 16, 1, 0, 1_000, 1_000)),
        ("a rate out of this world", wav(1, 16, 1, 3_000_000, 1_000, 1_000)),
    ] {
        assert!(judge(&bytes).is_err(), "{what}");
    }
}

#[test]
fn what_is_cut_short_is_told() {
    let whole = [xing(1_000), mp3(1_000)].concat();
    assert!(!judge(&whole).expect("a recording").1.is_cut_short);
    let half = judge(&whole[..whole.len() / 2]).expect("half a recording").1;
    assert!(half.is_cut_short && (length_ms(490)..length_ms(510)).contains(&half.duration_ms), "{half:?}");
    let whole = wav(1, 16, 2, 8_000, 32_000, 32_000);
    for bytes in [12, 20, 40, 58] {
        assert_eq!(judge(&whole[..bytes]), Err("it is cut short".to_owned()), "{bytes} bytes");
    }
    for (bytes, ms) in [(58 + 320, 10), (whole.len() - 4, 999)] {
        let part = judge(&whole[..bytes]).expect("a part of a recording").1;
        assert_eq!((part.is_cut_short, part.duration_ms), (true, ms), "{bytes} bytes");
    }
}

#[test]
fn what_is_longer_than_any_call_is_not_decoded_to_its_end() {
    // 8 kHz, 8 kbit/s: 576 samples in 72 bytes.
    let mut frame = vec![0xff, 0xe3, 0x18, 0xc4];
    frame.resize(72, 0);
    let second = frame.repeat(14);
    let seconds = usize::try_from(LONGEST_S).expect("a length") * 1_000 / 1_008;
    assert!(judge(&second.repeat(seconds - 10)).is_ok());
    // What follows would make it undecodable, if it were looked at.
    let long = [second.repeat(seconds + 10), vec![0x55; 10_000_000]].concat();
    assert_eq!(judge(&long), Err("it is longer than any call".to_owned()));
    let samples = u32::try_from(LONGEST_S * 8_000).expect("a length") + 8_000;
    let long = wav(7, 8, 1, 8_000, samples, samples as usize);
    assert_eq!(judge(&long), Err("it is longer than any call".to_owned()));
}

#[test]
fn what_nobody_waits_for_is_not_decoded() {
    let folder = TempDir::new().expect("a folder");
    let measured = measure(&written(&folder, &mp3(100)), AudioFormat::Mp3, &AtomicBool::new(true));
    assert!(matches!(measured, Err(Unusable::Dropped)), "{measured:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens to a file on its way, it is judged, and what passes has a length.
    #[test]
    fn mangled_files_are_judged(
        which in 0usize..5,
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..60),
        cut in any::<prop::sample::Index>(),
        keep_whole: bool,
    ) {
        let mut bytes = match which {
            0 => mp3(60),
            1 => [xing(60), mp3(60)].concat(),
            2 => [id3(200), mp3_stereo(60)].concat(),
            3 => wav(1, 16, 2, 8_000, 4_000, 4_000),
            _ => wav(7, 8, 1, 8_000, 4_000, 4_000),
        };
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !keep_whole {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        if let Ok((_, measured)) = judge(&bytes) {
            prop_assert!(measured.duration_ms > 0 && measured.channels > 0);
        }
    }

    #[test]
    fn random_frames_are_judged(body in prop::collection::vec(any::<u8>(), 0..4_000)) {
        let framed: Vec<u8> = body.chunks(100).flat_map(|piece| [&mp3(1)[..4], piece].concat()).collect();
        for format in [AudioFormat::Mp3, AudioFormat::Wav] {
            let folder = TempDir::new().expect("a folder");
            let _ = measure(&written(&folder, &framed), format, &AtomicBool::new(false));
            let _ = measure(&written(&folder, &body), format, &AtomicBool::new(false));
        }
    }
}
