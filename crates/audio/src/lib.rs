//! Sound of a telephone call: G.711, keys, resampling, levels, voice activity, pacing, the two-channel recording, WAV,
//! sound behind a voice.
//!
//! Everything here is pure: no clock, no sockets, no randomness. PCM is `i16`, mono unless said, and time inside the
//! audio is *media time*: samples since the stream began, given to others in milliseconds. Only [`pace`] looks at the
//! call's clock, and gets it as a parameter.

pub mod ambience;
pub mod dtmf;
pub mod frames;
pub mod g711;
pub mod level;
pub mod pace;
pub mod record;
pub mod resample;
pub mod signal;
pub mod voice;
pub mod wav;
