//! The voice: a folder of recordings of real speech, WAV files of 16-bit mono PCM, such as telephone exchanges have.

use super::Piece;
use crate::carrier::rms_dbfs;
use audio::resample::Resampler;
use std::path::{Component, Path, PathBuf};

/// Longest recording read, in bytes: two minutes at 24 kHz.
pub(super) const CLIP_BYTES_MAX: u64 = 6 * 1024 * 1024;
/// Quieter than this at the ends of a recording is cut off.
const TRIM_DBFS: f32 = -48.0;
/// Window of level measurements.
const WINDOW_MS: usize = 10;

/// A folder of recordings.
#[derive(Clone, Debug)]
pub struct Voice {
    folder: PathBuf,
}

/// Why there is no voice.
#[derive(Debug, thiserror::Error)]
pub enum VoiceError {
    /// No folder with recordings.
    #[error(
        "no recorded speech in {0}: give a folder of 8 kHz mono WAV files; on Debian and Ubuntu \
         `apt install asterisk-core-sounds-en-wav` puts one at /usr/share/asterisk/sounds/en_US_f_Allison"
    )]
    NoFolder(String),
    /// A recording of the script is missing.
    #[error("the voice has no recording {0}")]
    NoClip(String),
    /// A file that is no 16-bit mono PCM WAV at 8, 16 or 24 kHz.
    #[error("recording {0} is not a WAV file of 16-bit mono PCM at 8, 16 or 24 kHz")]
    NotPcm(String),
    /// A recording, or the part asked for, with no speech in it.
    #[error("recording {0} is silent where it is used")]
    Silent(String),
}

impl Voice {
    /// Opens a folder.
    ///
    /// # Errors
    /// [`VoiceError::NoFolder`], which says how to get one.
    pub fn open(folder: &Path) -> Result<Self, VoiceError> {
        let any = std::fs::read_dir(folder)
            .ok()
            .is_some_and(|entries| entries.flatten().any(|entry| entry.path().extension().is_some_and(|e| e == "wav")));
        if any {
            Ok(Self { folder: folder.to_owned() })
        } else {
            Err(VoiceError::NoFolder(folder.display().to_string()))
        }
    }

    /// The utterance that the pieces make, at `sample_rate_hz`: each recording trimmed and brought to `speech_dbfs`.
    ///
    /// # Errors
    /// [`VoiceError`].
    pub fn say(&self, pieces: &[Piece], sample_rate_hz: u32, speech_dbfs: f32) -> Result<Vec<i16>, VoiceError> {
        let mut pcm = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Gap { gap_ms } => pcm.resize(pcm.len() + samples(*gap_ms, sample_rate_hz), 0),
                Piece::Clip { clip, from_ms, to_ms } => {
                    let (rate, recorded) = self.read(clip)?;
                    let from = from_ms.map_or(0, |ms| samples(ms, rate)).min(recorded.len());
                    let to = to_ms.map_or(recorded.len(), |ms| samples(ms, rate)).min(recorded.len());
                    let part = trim(&recorded[from..to.max(from)], rate);
                    if part.is_empty() {
                        return Err(VoiceError::Silent(clip.clone()));
                    }
                    let mut at_rate = Vec::new();
                    if rate == sample_rate_hz {
                        at_rate.extend_from_slice(part);
                    } else {
                        Resampler::new(rate, sample_rate_hz).process(part, &mut at_rate);
                    }
                    level(&mut at_rate, sample_rate_hz, speech_dbfs);
                    pcm.append(&mut at_rate);
                }
            }
        }
        Ok(pcm)
    }

    fn read(&self, clip: &str) -> Result<(u32, Vec<i16>), VoiceError> {
        let relative = Path::new(clip);
        // A script from somewhere else must not read other files.
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(VoiceError::NoClip(clip.to_owned()));
        }
        let path = self.folder.join(relative);
        let fits = std::fs::metadata(&path).is_ok_and(|file| file.len() <= CLIP_BYTES_MAX);
        let bytes =
            fits.then(|| std::fs::read(&path).ok()).flatten().ok_or_else(|| VoiceError::NoClip(clip.to_owned()))?;
        pcm_of_wav(&bytes).ok_or_else(|| VoiceError::NotPcm(clip.to_owned()))
    }
}

fn samples(ms: u64, rate: u32) -> usize {
    (ms * u64::from(rate) / 1000) as usize
}

/// The rate and samples of a WAV file (RIFF: chunks of id, length, content padded to even).
fn pcm_of_wav(bytes: &[u8]) -> Option<(u32, Vec<i16>)> {
    let u16_at = |bytes: &[u8], at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |bytes: &[u8], at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if bytes.get(..4)? != b"RIFF" || bytes.get(8..12)? != b"WAVE" {
        return None;
    }
    let (mut at, mut rate) = (12, None);
    loop {
        let (id, length) = (bytes.get(at..at + 4)?, u32_at(bytes, at + 4)? as usize);
        let content = bytes.get(at + 8..)?;
        let content = &content[..length.min(content.len())];
        match id {
            b"fmt " => {
                let (format, channels, bits) = (u16_at(content, 0)?, u16_at(content, 2)?, u16_at(content, 14)?);
                let hz = u32_at(content, 4)?;
                if format != 1 || channels != 1 || bits != 16 || ![8_000, 16_000, 24_000].contains(&hz) {
                    return None;
                }
                rate = Some(hz);
            }
            b"data" => {
                return Some((
                    rate?,
                    content.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect(),
                ));
            }
            _ => {}
        }
        at += 8 + length + length % 2;
    }
}

/// Without the silence at both ends.
fn trim(pcm: &[i16], rate: u32) -> &[i16] {
    let window = (rate as usize * WINDOW_MS / 1000).max(1);
    let loud: Vec<usize> =
        pcm.chunks(window).enumerate().filter(|(_, part)| rms_dbfs(part) > TRIM_DBFS).map(|(i, _)| i).collect();
    match (loud.first(), loud.last()) {
        (Some(first), Some(last)) => &pcm[first * window..((last + 1) * window).min(pcm.len())],
        _ => &[],
    }
}

/// Brings the loud parts to `dbfs`, as far as nothing clips.
fn level(pcm: &mut [i16], rate: u32, dbfs: f32) {
    let window = (rate as usize * WINDOW_MS / 1000).max(1);
    let loud: Vec<i16> = pcm.chunks(window).filter(|part| rms_dbfs(part) > -40.0).flatten().copied().collect();
    let peak = pcm.iter().map(|sample| f32::from(*sample).abs()).fold(1.0, f32::max);
    let reference = if loud.is_empty() { rms_dbfs(pcm) } else { rms_dbfs(&loud) };
    let gain = 10_f32.powf((dbfs - reference) / 20.0).min(32_000.0 / peak);
    for sample in pcm {
        *sample = (f32::from(*sample) * gain) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(rate: u32, bits: u16, channels: u16, pcm: &[i16], extra: bool) -> Vec<u8> {
        let data: Vec<u8> = pcm.iter().flat_map(|s| s.to_le_bytes()).collect();
        let mut out = b"RIFF\0\0\0\0WAVE".to_vec();
        if extra {
            out.extend(b"LIST\x03\0\0\0abc\0");
        }
        out.extend(b"fmt \x10\0\0\0\x01\0");
        out.extend(channels.to_le_bytes());
        out.extend(rate.to_le_bytes());
        out.extend((rate * 2).to_le_bytes());
        out.extend(2_u16.to_le_bytes());
        out.extend(bits.to_le_bytes());
        out.extend(b"data");
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        out
    }

    fn speech(rate: usize) -> Vec<i16> {
        let mut pcm = vec![0; rate / 5];
        pcm.extend((0..rate / 2).map(|i| if i / 10 % 2 == 0 { 8000 } else { -8000 }));
        pcm.extend(vec![0; rate / 5]);
        pcm
    }

    fn clip(name: &str) -> Piece {
        Piece::Clip { clip: name.to_owned(), from_ms: None, to_ms: None }
    }

    #[test]
    fn recordings_are_trimmed_levelled_and_joined() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.wav"), wav(8000, 16, 1, &speech(8000), true)).expect("written");
        let voice = Voice::open(folder.path()).expect("a voice");
        let pieces = [clip("a.wav"), Piece::Gap { gap_ms: 100 }, clip("a.wav")];
        let pcm = voice.say(&pieces, 8000, -20.0).expect("speech");
        assert_eq!(pcm.len(), 4000 + 800 + 4000);
        assert!((rms_dbfs(&pcm[..4000]) + 20.0).abs() < 0.5, "{}", rms_dbfs(&pcm[..4000]));
        assert!(pcm[4000..4800].iter().all(|s| *s == 0));
        let part = Piece::Clip { clip: "a.wav".to_owned(), from_ms: Some(300), to_ms: Some(400) };
        assert_eq!(voice.say(&[part], 8000, -20.0).expect("speech").len(), 800);
    }

    #[test]
    fn another_rate_is_resampled() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.wav"), wav(8000, 16, 1, &speech(8000), false)).expect("written");
        let voice = Voice::open(folder.path()).expect("a voice");
        let pcm = voice.say(&[clip("a.wav")], 16_000, -20.0).expect("speech");
        assert!((7_800..=8_200).contains(&pcm.len()), "{}", pcm.len());
    }

    #[test]
    fn what_is_no_recording_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("written");
        assert!(Voice::open(folder.path()).expect_err("empty").to_string().contains("apt install"));
        write("stereo.wav", &wav(8000, 16, 2, &speech(8000), false));
        write("bits.wav", &wav(8000, 8, 1, &speech(8000), false));
        write("rate.wav", &wav(44_100, 16, 1, &speech(8000), false));
        write("silent.wav", &wav(8000, 16, 1, &[0; 8000], false));
        write("text.wav", b"hello");
        write("cut.wav", &wav(8000, 16, 1, &[], false)[..30]);
        let voice = Voice::open(folder.path()).expect("a voice");
        for (name, want) in [
            ("stereo.wav", "not a WAV"),
            ("bits.wav", "not a WAV"),
            ("rate.wav", "not a WAV"),
            ("text.wav", "not a WAV"),
            ("cut.wav", "not a WAV"),
            ("silent.wav", "silent"),
            ("none.wav", "no recording"),
            ("../silent.wav", "no recording"),
            ("/etc/passwd", "no recording"),
        ] {
            let error = voice.say(&[clip(name)], 8000, -20.0).expect_err(name).to_string();
            assert!(error.contains(want) && error.contains(name), "{error}");
        }
    }
}
