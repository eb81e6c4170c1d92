//! Server-sent events out of a byte stream: only the data of each event, which is all that model streams use.
//!
//! Source: the HTML standard, "Server-sent events" (html.spec.whatwg.org/multipage/server-sent-events.html).

/// Longest data of one event in bytes. A token is about 300 bytes; a whole non-streamed answer in one event is a few
/// thousand. More is a broken server, and must not fill memory.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;

/// Takes bytes cut at any place; gives the data of each complete event.
#[derive(Debug, Default)]
pub struct EventStream {
    /// The line being read.
    line: Vec<u8>,
    /// The data lines of the event being read, joined by a line feed.
    data: Vec<u8>,
    /// The event being read has a `data` line.
    has_data: bool,
    /// The event being read is over the limit: it is skipped up to its end.
    too_long: bool,
    /// The last byte was a carriage return: a line feed right after it belongs to it.
    after_return: bool,
    /// The first line was seen, so a byte order mark means nothing any more.
    begun: bool,
}

impl EventStream {
    /// A fresh stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes. `event` gets the data of each event, or `None` for one that was too long or not UTF-8.
    pub fn push(&mut self, bytes: &[u8], event: &mut dyn FnMut(Option<&str>)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_return) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
                self.extend_line(rest);
                return;
            };
            self.extend_line(&rest[..end]);
            self.after_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            self.line_over(event);
        }
    }

    /// The body is over: gives what was complete but for its empty line.
    pub fn finish(&mut self, event: &mut dyn FnMut(Option<&str>)) {
        if !self.line.is_empty() {
            self.line_over(event);
        }
        self.dispatch(event);
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > EVENT_BYTES_MAX {
            self.too_long = true;
            self.line.truncate(EVENT_BYTES_MAX);
            return;
        }
        self.line.extend_from_slice(bytes);
    }

    fn line_over(&mut self, event: &mut dyn FnMut(Option<&str>)) {
        let mut line = std::mem::take(&mut self.line);
        let mut text = line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        }
        if text.is_empty() {
            self.dispatch(event);
        } else if let Some(value) = text.strip_prefix(b"data:") {
            self.data_line(value.strip_prefix(b" ").unwrap_or(value));
        } else if text == b"data" {
            self.data_line(b"");
        }
        // Comments (a colon first) and the other fields say nothing that a chat needs.
        line.clear();
        self.line = line;
    }

    fn data_line(&mut self, value: &[u8]) {
        if self.data.len() + value.len() + 1 > EVENT_BYTES_MAX {
            self.too_long = true;
            return;
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        self.has_data = true;
    }

    fn dispatch(&mut self, event: &mut dyn FnMut(Option<&str>)) {
        if self.too_long {
            event(None);
        } else if self.has_data {
            event(std::str::from_utf8(&self.data).ok());
        }
        self.data.clear();
        self.has_data = false;
        self.too_long = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Vec<Option<String>> {
        let mut out = Vec::new();
        let mut stream = EventStream::new();
        for piece in pieces {
            stream.push(piece, &mut |data| out.push(data.map(str::to_owned)));
        }
        stream.finish(&mut |data| out.push(data.map(str::to_owned)));
        out
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|t| Some((*t).to_owned())).collect()
    }

    #[test]
    fn lines_end_in_every_allowed_way() {
        for (name, body) in [
            ("line feed", "data: a\n\ndata: b\n\n"),
            ("return and line feed", "data: a\r\n\r\ndata: b\r\n\r\n"),
            ("return", "data: a\r\rdata: b\r\r"),
            ("no space after the colon", "data:a\n\ndata:b\n\n"),
            ("comments and other fields", ": keep-alive\n\nid: 7\nevent: x\ndata: a\nretry: 5\n\n:\ndata: b\n\n"),
            ("byte order mark", "\u{FEFF}data: a\n\ndata: b\n\n"),
            ("no empty line at the end", "data: a\n\ndata: b"),
            ("more empty lines than needed", "\n\n\ndata: a\n\n\n\ndata: b\n\n\n"),
        ] {
            assert_eq!(read(&[body.as_bytes()]), some(&["a", "b"]), "{name}");
        }
    }

    #[test]
    fn data_lines_are_joined_and_only_one_space_is_dropped() {
        assert_eq!(read(&[b"data: a\ndata:  b\ndata\ndata: c\n\n"]), some(&["a\n b\n\nc"]));
        assert_eq!(read(&[b"data:\n\n"]), some(&[""]));
        assert_eq!(read(&[b"database: a\n\nid: 1\n\n"]), some(&[]));
    }

    #[test]
    fn a_too_long_event_is_one_failure_and_the_next_is_read() {
        let long = vec![b'x'; EVENT_BYTES_MAX + 10];
        assert_eq!(read(&[b"data: ", &long, b"\n\ndata: b\n\n"]), vec![None, Some("b".to_owned())]);
        let half = format!("data: {}\n", "y".repeat(EVENT_BYTES_MAX / 2));
        assert_eq!(
            read(&[half.as_bytes(), half.as_bytes(), half.as_bytes(), b"\ndata: b\n\n"]),
            vec![None, Some("b".to_owned())]
        );
    }

    #[test]
    fn memory_stays_bounded_without_any_line_end() {
        let mut stream = EventStream::new();
        for _ in 0..100 {
            stream.push(&[b'x'; 4096], &mut |_| panic!("no event can be complete"));
        }
        assert!(stream.line.len() <= EVENT_BYTES_MAX && stream.data.is_empty());
    }

    #[test]
    fn bytes_that_are_no_text_are_a_failure() {
        assert_eq!(read(&[b"data: \xFF\xFE\n\ndata: b\n\n"]), vec![None, Some("b".to_owned())]);
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_changes_nothing(
            lines in prop::collection::vec("(data: ?|: ?|id: )?[a-zé\u{1F600}]{0,8}(\n|\r|\r\n)", 0..30),
            cuts in prop::collection::vec(1usize..9, 1..40),
        ) {
            let body = lines.concat();
            let whole = read(&[body.as_bytes()]);
            let mut pieces: Vec<&[u8]> = Vec::new();
            let mut rest = body.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                pieces.push(head);
                rest = tail;
            }
            prop_assert_eq!(read(&pieces), whole);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            read(&[&bytes]);
        }
    }
}
