//! Moonshine tiny: an utterance in, its text out. Encoder and decoder as exported by its authors (MIT); the decoder is
//! one graph with and without cached keys, chosen by `use_cache_branch`.

use super::models::MoonshineFiles;
use super::network::{Network, row};
use super::tokenizer::{END, START, Tokenizer};
use crate::{Error, ErrorKind};
use rten::{NodeId, Value, ValueOrView};
use rten_tensor::{NdTensor, Tensor};

/// Rate of the samples it wants.
pub(super) const RATE_HZ: u32 = 16_000;
/// Tokens per second of sound at most; people do not speak faster, a model that invents does (its authors' value).
const TOKENS_PER_SECOND_MAX: f32 = 6.5;
/// Tokens for what is said at once, however short it is.
const TOKENS_MIN: usize = 6;
/// Heads of attention in every size of Moonshine.
const HEADS: usize = 8;
/// Shorter sound than this has no word in it.
pub(super) const SHORTEST_MS: usize = 100;
/// Silence put around an utterance: the voice detector cuts close, and the model hears the first and last sounds better
/// with room. Measured on 65 recorded sentences: 5.5 % wrong words with 100 + 300, 7.3 % with 300 + 300, 5.8 % with
/// 200 + 500; on half as many, about 11 % without any.
const ROOM_BEFORE_MS: usize = 100;
const ROOM_AFTER_MS: usize = 300;
/// Quieter than this is no speech, whatever the model makes of it ("You").
const QUIETEST_DBFS: f32 = -60.0;
/// Speech whose peak is below this is made louder, up to it.
const PEAK_WANTED: f32 = 0.5;
/// The most it is made louder: beyond this there is only noise to raise.
const GAIN_MAX: f32 = 16.0;
/// «You» alone is what the model makes of a fraction of a word. In less sound than this it is no word.
const INVENTION_MS_MAX: usize = 900;
/// The longest run of tokens looked at for a loop.
const LOOP_TOKENS_MAX: usize = 8;

const PROVIDER: &str = "builtin";

/// One cached key or value of the decoder.
struct Cache {
    past: NodeId,
    present: NodeId,
    /// Of what was said so far (changes with every token), not of the sound.
    of_text: bool,
}

/// The loaded model.
pub(super) struct Moonshine {
    encoder: Network,
    decoder: Network,
    tokenizer: Tokenizer,
    samples: NodeId,
    encoder_mask: Option<NodeId>,
    ids: NodeId,
    hidden: NodeId,
    use_cache: NodeId,
    decoder_mask: Option<NodeId>,
    caches: Vec<Cache>,
    /// `logits`, then the present caches.
    outputs: Vec<NodeId>,
    head_size: usize,
}

impl Moonshine {
    /// Reads the files.
    pub(super) fn load(files: &MoonshineFiles) -> Result<Self, Error> {
        let bytes = std::fs::read(&files.tokenizer)
            .map_err(|e| Error::new(ErrorKind::NotInstalled, PROVIDER, "tokenizer.bin cannot be read").caused_by(e))?;
        let tokenizer = Tokenizer::parse(&bytes)?;
        let encoder = Network::load(&files.encoder, "moonshine encoder")?;
        let decoder = Network::load(&files.decoder, "moonshine decoder")?;
        let caches = caches(&decoder)?;
        let mut outputs = vec![decoder.node("logits")?];
        outputs.extend(caches.iter().map(|cache| cache.present));
        Ok(Self {
            samples: encoder.node("input_values")?,
            encoder_mask: encoder.optional_node("attention_mask"),
            ids: decoder.node("input_ids")?,
            hidden: decoder.node("encoder_hidden_states")?,
            use_cache: decoder.node("use_cache_branch")?,
            decoder_mask: decoder.optional_node("encoder_attention_mask"),
            // Six layers: tiny, heads of 36. Eight: base, heads of 52.
            head_size: if caches.len() <= 6 * 4 { 36 } else { 52 },
            encoder,
            decoder,
            tokenizer,
            caches,
            outputs,
        })
    }

    /// The text of an utterance, 16 kHz. Empty when there is nothing in it.
    pub(super) fn transcribe(&self, pcm: &[i16]) -> Result<String, Error> {
        if pcm.len() < samples(SHORTEST_MS) || audio::level::rms_dbfs(pcm) < QUIETEST_DBFS {
            return Ok(String::new());
        }
        let sound = prepare(pcm);
        // The mask of the samples, not of the encoder's frames: what this export wants in both places.
        let mask = Value::from(NdTensor::<i32, 2>::full([1, sound.len()], 1));
        let limit = tokens_max(sound.len());
        let hidden = self.encode(sound, &mask)?;
        let ids = self.decode(&hidden, &mask, limit)?;
        Ok(without_invention(self.tokenizer.text(&ids), pcm.len()))
    }

    fn encode(&self, sound: Vec<f32>, mask: &Value) -> Result<Value, Error> {
        let mut inputs = vec![(self.samples, row(sound))];
        inputs.extend(self.encoder_mask.map(|id| (id, ValueOrView::from(mask))));
        let hidden = self.encoder.run(inputs, self.encoder.outputs())?.next();
        hidden.ok_or_else(|| Error::new(ErrorKind::Protocol, PROVIDER, "the moonshine encoder gives nothing"))
    }

    /// Takes the likeliest token again and again until the text ends.
    fn decode(&self, hidden: &Value, mask: &Value, limit: usize) -> Result<Vec<i32>, Error> {
        let empty = || Value::from(Tensor::<f32>::zeros(&[1, HEADS, 1, self.head_size]));
        let mut kept: Vec<Value> = self.caches.iter().map(|_| empty()).collect();
        let mut ids = Vec::with_capacity(limit);
        let mut last = START;
        for step in 0..limit {
            let mut inputs = Vec::with_capacity(self.caches.len() + 4);
            inputs.push((self.ids, row(vec![last])));
            inputs.push((self.hidden, ValueOrView::from(hidden)));
            inputs.push((self.use_cache, Value::from(NdTensor::from_data([1], vec![i32::from(step > 0)])).into()));
            inputs.extend(self.decoder_mask.map(|id| (id, ValueOrView::from(mask))));
            inputs.extend(self.caches.iter().zip(&kept).map(|(cache, value)| (cache.past, ValueOrView::from(value))));
            let mut values = self.decoder.run(inputs, &self.outputs)?;
            last = likeliest(&self.decoder.floats(&mut values)?);
            // The keys of the sound come out of the first step only; they do not change after it.
            for ((cache, kept), value) in self.caches.iter().zip(&mut kept).zip(values) {
                if cache.of_text || step == 0 {
                    *kept = value;
                }
            }
            if last == END {
                break;
            }
            ids.push(last);
            if let Some(length) = without_loop(&ids) {
                ids.truncate(length);
                break;
            }
        }
        Ok(ids)
    }
}

/// The caches of all layers, in the decoder's own order.
fn caches(decoder: &Network) -> Result<Vec<Cache>, Error> {
    let mut caches = Vec::new();
    for layer in 0.. {
        if decoder.optional_node(&format!("past_key_values.{layer}.decoder.key")).is_none() {
            break;
        }
        for (of, of_text) in [("decoder", true), ("encoder", false)] {
            for part in ["key", "value"] {
                caches.push(Cache {
                    past: decoder.node(&format!("past_key_values.{layer}.{of}.{part}"))?,
                    present: decoder.node(&format!("present.{layer}.{of}.{part}"))?,
                    of_text,
                });
            }
        }
    }
    if caches.is_empty() {
        return Err(Error::new(ErrorKind::Protocol, PROVIDER, "the moonshine decoder has no caches"));
    }
    Ok(caches)
}

const fn samples(ms: usize) -> usize {
    ms * RATE_HZ as usize / 1000
}

/// The text, unless it is the model's usual invention for a sound without words.
fn without_invention(text: String, length: usize) -> String {
    let word = text.trim_matches(|c: char| !c.is_alphabetic());
    if word.eq_ignore_ascii_case("you") && length < samples(INVENTION_MS_MAX) { String::new() } else { text }
}

fn tokens_max(samples: usize) -> usize {
    (samples as f32 / RATE_HZ as f32 * TOKENS_PER_SECOND_MAX).ceil() as usize + TOKENS_MIN
}

/// As the model wants it: -1 to 1, loud enough, room around it.
fn prepare(pcm: &[i16]) -> Vec<f32> {
    let peak = f32::from(pcm.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0)) / 32_768.0;
    let gain = if peak > 0.0 { (PEAK_WANTED / peak).clamp(1.0, GAIN_MAX) } else { 1.0 };
    let mut sound = vec![0.0; samples(ROOM_BEFORE_MS)];
    sound.extend(pcm.iter().map(|s| f32::from(*s) / 32_768.0 * gain));
    sound.resize(sound.len() + samples(ROOM_AFTER_MS), 0.0);
    sound
}

fn likeliest(logits: &[f32]) -> i32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(index, _)| index);
    i32::try_from(best).unwrap_or(END)
}

/// The length to cut to when the end repeats itself over and over, keeping one of the repetitions.
///
/// People do say a digit again and again, so a run of one token must be long; of several, four times is enough.
fn without_loop(ids: &[i32]) -> Option<usize> {
    for size in 1..=LOOP_TOKENS_MAX {
        let times = if size == 1 { 10 } else { 4 };
        let length = size * times;
        let Some(start) = ids.len().checked_sub(length) else { break };
        let tail = &ids[start..];
        if tail.iter().zip(&tail[size..]).all(|(a, b)| a == b) {
            return Some(start + size);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_cut_to_one_repetition() {
        let words = |row: &[i32], times: usize| row.repeat(times);
        assert_eq!(without_loop(&words(&[7], 9)), None, "nine equal digits are a phone number");
        assert_eq!(without_loop(&words(&[7], 10)), Some(1));
        assert_eq!(without_loop(&words(&[7, 8], 3)), None);
        assert_eq!(without_loop(&[vec![1, 2], words(&[7, 8, 9], 4)].concat()), Some(5));
        assert_eq!(without_loop(&[]), None);
    }

    #[test]
    fn the_usual_invention_is_no_word() {
        assert_eq!(without_invention("You.".to_owned(), samples(400)), "");
        assert_eq!(without_invention("You.".to_owned(), samples(1_000)), "You.");
        assert_eq!(without_invention("Thank you.".to_owned(), samples(400)), "Thank you.");
    }

    #[test]
    fn the_limit_of_tokens_follows_the_length() {
        assert_eq!(tokens_max(16_000), 7 + TOKENS_MIN);
        assert_eq!(tokens_max(160_000), 65 + TOKENS_MIN);
    }

    #[test]
    fn quiet_speech_is_made_louder_and_loud_speech_left() {
        let peak = |sound: Vec<f32>| sound.iter().fold(0.0f32, |m, s| m.max(s.abs()));
        assert!((peak(prepare(&[3_276, -1_000])) - 0.5).abs() < 0.001);
        assert!((peak(prepare(&[30_000])) - 30_000.0 / 32_768.0).abs() < 0.001);
        assert!(peak(prepare(&[100])) < 0.06, "noise is not blown up");
        assert!((peak(prepare(&[0, 0]))).abs() < f32::EPSILON);
    }

    #[test]
    fn the_likeliest_token() {
        assert_eq!(likeliest(&[0.1, -3.0, 7.5, 7.4]), 2);
        assert_eq!(likeliest(&[]), 0);
    }
}
