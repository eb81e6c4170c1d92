//! WebSocket frames (RFC 6455), as few instructions as they take: heads are written in front of bytes that are shared by
//! all calls, and read without taking the payload out of the buffer that it came in.

/// Longest frame taken. Both sides here send frames of some kilobytes.
pub(super) const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// The key of a client's frames. XOR with it changes nothing, so that one encoding serves every call.
const ZERO_KEY: [u8; 4] = [0; 4];

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        match code {
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }
}

/// Why a stream cannot be read on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// A message in parts, or a kind that there is not. Nobody here sends either.
    #[error("a frame that is no whole message")]
    Strange,
    /// More than [`FRAME_BYTES_MAX`].
    #[error("a frame of {0} bytes")]
    Large(u64),
}

/// Which side writes: a client masks, a server does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// Appends the head of a frame with a payload of this length.
pub(super) fn head(side: Side, kind: Kind, length: usize, out: &mut Vec<u8>) {
    let masked = match side {
        Side::Client => 0x80,
        Side::Server => 0,
    };
    out.push(0x80 | kind.code());
    // Casts: each arm holds what fits.
    match length {
        0..=125 => out.push(masked | length as u8),
        126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    if side == Side::Client {
        out.extend_from_slice(&ZERO_KEY);
    }
}

/// Appends a whole frame.
pub(super) fn write(side: Side, kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
    head(side, kind, payload.len(), out);
    out.extend_from_slice(payload);
}

/// A frame where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    /// As it was sent: byte `i` is XORed with `key[i % 4]`.
    pub(super) payload: &'a [u8],
    pub(super) key: [u8; 4],
}

impl Frame<'_> {
    /// The payload without its mask, in a buffer used again and again.
    pub(super) fn plain<'b>(&self, buffer: &'b mut Vec<u8>) -> &'b [u8] {
        buffer.clear();
        buffer.extend(self.payload.iter().zip(self.key.iter().cycle()).map(|(byte, key)| byte ^ key));
        buffer
    }
}

/// The first frame of these bytes and its whole length; none when there is more to come.
fn first(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let [start, second, ..] = *bytes else { return Ok(None) };
    let kind = Kind::of(start & 0x0f).filter(|_| start & 0xf0 == 0x80).ok_or(FrameError::Strange)?;
    let (length, mut at) = match second & 0x7f {
        126 => match bytes.get(2..4) {
            Some(&[a, b]) => (u64::from(u16::from_be_bytes([a, b])), 4),
            _ => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|long| long.try_into().ok()) {
            Some(long) => (u64::from_be_bytes(long), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    if length > FRAME_BYTES_MAX as u64 {
        return Err(FrameError::Large(length));
    }
    let mut key = ZERO_KEY;
    if second & 0x80 != 0 {
        let Some(given) = bytes.get(at..at + 4).and_then(|given| given.try_into().ok()) else { return Ok(None) };
        key = given;
        at += 4;
    }
    // It has been checked that it fits.
    let end = at + length as usize;
    Ok(bytes.get(at..end).map(|payload| (Frame { kind, payload, key }, end)))
}

/// Puts frames together that came in pieces. Whole ones are not copied.
#[derive(Debug, Default)]
pub(super) struct Reader {
    partial: Vec<u8>,
}

impl Reader {
    pub(super) const fn new() -> Self {
        Self { partial: Vec::new() }
    }

    /// Hands over every frame that is complete with these bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) -> Result<(), FrameError> {
        if self.partial.is_empty() {
            let used = Self::frames(bytes, &mut each)?;
            self.partial.extend_from_slice(&bytes[used..]);
        } else {
            self.partial.extend_from_slice(bytes);
            let used = Self::frames(&self.partial, &mut each)?;
            self.partial.drain(..used);
        }
        Ok(())
    }

    fn frames(bytes: &[u8], each: &mut impl FnMut(Frame<'_>)) -> Result<usize, FrameError> {
        let mut used = 0;
        while let Some((frame, length)) = first(&bytes[used..])? {
            each(frame);
            used += length;
        }
        Ok(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(reader: &mut Reader, bytes: &[u8]) -> Vec<(Kind, Vec<u8>)> {
        let mut frames = Vec::new();
        reader.feed(bytes, |frame| frames.push((frame.kind, frame.plain(&mut Vec::new()).to_vec()))).expect("frames");
        frames
    }

    #[test]
    fn frames_of_every_length_come_back_from_both_sides() {
        for length in [0, 1, 125, 126, 2_200, 0xffff, 0x1_0000] {
            for side in [Side::Client, Side::Server] {
                let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
                let mut bytes = Vec::new();
                write(side, Kind::Binary, &payload, &mut bytes);
                let mut reader = Reader::default();
                assert_eq!(collect(&mut reader, &bytes), [(Kind::Binary, payload)], "{length} {side:?}");
                assert!(reader.partial.is_empty());
            }
        }
    }

    #[test]
    fn frames_may_be_split_anywhere_and_come_together() {
        let mut bytes = Vec::new();
        for (kind, payload) in [(Kind::Text, "one"), (Kind::Ping, ""), (Kind::Text, "two")] {
            write(Side::Client, kind, payload.as_bytes(), &mut bytes);
        }
        let long = vec![7; 300];
        write(Side::Server, Kind::Binary, &long, &mut bytes);
        let want = collect(&mut Reader::default(), &bytes);
        assert_eq!(want.len(), 4);
        for split in 0..bytes.len() {
            let mut reader = Reader::default();
            let mut got = collect(&mut reader, &bytes[..split]);
            got.extend(collect(&mut reader, &bytes[split..]));
            assert_eq!(got, want, "split at {split}");
        }
        let mut reader = Reader::default();
        let got: Vec<_> = bytes.iter().flat_map(|byte| collect(&mut reader, &[*byte])).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn a_mask_is_taken_off() {
        let (key, plain) = ([1, 2, 3, 4], b"speech");
        let mut bytes = vec![0x82, 0x80 | 6];
        bytes.extend(key);
        bytes.extend(plain.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        assert_eq!(collect(&mut Reader::default(), &bytes), [(Kind::Binary, plain.to_vec())]);
    }

    #[test]
    fn what_nobody_sends_is_an_error() {
        // A part of a message, a reserved bit, an unknown kind.
        for start in [0x01, 0xc1, 0x83, 0x80] {
            assert_eq!(Reader::default().feed(&[start, 0], |_| {}), Err(FrameError::Strange), "{start:#x}");
        }
        let long = [0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(Reader::default().feed(&long, |_| {}), Err(FrameError::Large(1 << 32)));
    }
}
