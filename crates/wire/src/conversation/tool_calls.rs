//! Tool calls put together from the pieces of a stream.
//!
//! OpenAI names a call (index, id, name) in its first piece and sends its arguments in pieces of the same index. Others
//! differ, and all are read: everything at once without an index (Ollama, github.com/ollama/ollama/issues/7881; Gemini,
//! github.com/openai/openai-python/issues/2806), index 0 for every call (github.com/BerriAI/litellm/issues/33678), an
//! index and no id (github.com/continuedev/continue/pull/13235), the id in every piece.

use super::{AnswerEvent, FinishReason, ToolCall};
use serde::de::IgnoredAny;

/// How much of tool calls is read from one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolCallLimits {
    /// Calls.
    pub calls: usize,
    /// Bytes of the arguments of one call.
    pub arguments_bytes: usize,
}

/// A piece of a call; what was not said is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// Which call of the answer.
    pub(crate) index: Option<u64>,
    /// Its id.
    pub(crate) id: &'a str,
    /// Its tool.
    pub(crate) name: &'a str,
    /// More of its arguments.
    pub(crate) arguments: &'a str,
}

#[derive(Debug)]
struct Open {
    index: Option<u64>,
    call: ToolCall,
}

/// The calls of one answer.
#[derive(Debug)]
pub(crate) struct ToolCalls {
    limits: ToolCallLimits,
    open: Vec<Open>,
    bytes: usize,
    too_much: bool,
}

impl ToolCalls {
    pub(crate) const fn new(limits: ToolCallLimits) -> Self {
        Self { limits, open: Vec::new(), bytes: 0, too_much: false }
    }

    /// Bytes read so far.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a piece. The first one over a limit is told; nothing is kept after that.
    pub(crate) fn push(&mut self, piece: Piece<'_>, out: &mut Vec<AnswerEvent>) {
        if self.too_much {
            return;
        }
        let at = match self.call_of(&piece) {
            Some(at) => at,
            None if self.open.len() == self.limits.calls => return self.give_up(out),
            None => {
                self.open.push(Open { index: piece.index, call: ToolCall::default() });
                self.open.len() - 1
            }
        };
        let call = &mut self.open[at].call;
        let named = piece.id.len().max(piece.name.len());
        if call.arguments.len() + piece.arguments.len() > self.limits.arguments_bytes
            || named > self.limits.arguments_bytes
        {
            return self.give_up(out);
        }
        self.bytes += piece.id.len() + piece.name.len() + piece.arguments.len();
        if call.id.is_empty() {
            call.id.push_str(piece.id);
        }
        if call.name.is_empty() {
            call.name.push_str(piece.name);
        }
        call.arguments.push_str(piece.arguments);
    }

    /// The answer is complete, and with it the calls. Of an answer that was cut only whole calls count.
    pub(crate) fn complete(&mut self, reason: FinishReason, out: &mut Vec<AnswerEvent>) {
        let cut = matches!(reason, FinishReason::Length | FinishReason::ContentFilter);
        for (number, Open { mut call, .. }) in self.open.drain(..).enumerate() {
            if call.arguments.trim().is_empty() {
                "{}".clone_into(&mut call.arguments);
            }
            if call.name.is_empty() || (cut && !is_json(&call.arguments)) {
                continue;
            }
            if call.id.is_empty() {
                call.id = format!("call_{number}");
            }
            out.push(AnswerEvent::ToolCall(call));
        }
    }

    fn give_up(&mut self, out: &mut Vec<AnswerEvent>) {
        self.too_much = true;
        self.open.clear();
        out.push(AnswerEvent::TooMuch);
    }

    /// Which of the open calls the piece belongs to; `None` = it begins one.
    fn call_of(&self, piece: &Piece<'_>) -> Option<usize> {
        let by_id = || self.open.iter().position(|o| !piece.id.is_empty() && o.call.id == piece.id);
        let at = match piece.index {
            Some(index) => self.open.iter().rposition(|o| o.index == Some(index))?,
            None => match by_id() {
                Some(at) => return Some(at),
                None if !piece.id.is_empty() && !piece.name.is_empty() => return None,
                None => self.open.len().checked_sub(1)?,
            },
        };
        let call = &self.open[at].call;
        let another = !piece.name.is_empty()
            && if piece.id.is_empty() || call.id.is_empty() {
                !call.name.is_empty() && is_json(&call.arguments)
            } else {
                piece.id != call.id
            };
        (!another).then_some(at)
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ToolCallLimits = ToolCallLimits { calls: 3, arguments_bytes: 40 };

    fn piece<'a>(index: Option<u64>, id: &'a str, name: &'a str, arguments: &'a str) -> Piece<'a> {
        Piece { index, id, name, arguments }
    }

    fn read(pieces: &[Piece<'_>], reason: FinishReason) -> Vec<AnswerEvent> {
        let (mut calls, mut out) = (ToolCalls::new(LIMITS), Vec::new());
        pieces.iter().for_each(|p| calls.push(*p, &mut out));
        calls.complete(reason, &mut out);
        calls.complete(reason, &mut out);
        out
    }

    fn call(id: &str, name: &str, arguments: &str) -> AnswerEvent {
        AnswerEvent::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
    }

    const LOOK: &str = r#"{"a":1}"#;
    const BOOK: &str = r#"{"b":2}"#;

    #[test]
    fn calls_are_put_together_from_pieces() {
        let begins = [piece(Some(0), "c1", "look", r#"{"a""#), piece(Some(1), "c2", "book", r#"{"b""#)];
        let [look, book] = begins;
        for (name, pieces) in [
            (
                "as OpenAI sends it",
                vec![
                    piece(Some(0), "c1", "look", ""),
                    piece(Some(0), "", "", r#"{"a""#),
                    piece(Some(0), "", "", ":1}"),
                    piece(Some(1), "c2", "book", ""),
                    piece(Some(1), "", "", BOOK),
                ],
            ),
            ("in between each other", vec![look, book, piece(Some(0), "", "", ":1}"), piece(Some(1), "", "", ":2}")]),
            (
                "the id in every piece",
                vec![look, piece(Some(0), "c1", "look", ":1}"), piece(Some(1), "c2", "book", BOOK)],
            ),
            (
                "another id in every piece",
                vec![look, piece(Some(0), "x7", "", ":1}"), piece(Some(1), "c2", "book", BOOK)],
            ),
            ("whole, without an index", vec![piece(None, "c1", "look", LOOK), piece(None, "c2", "book", BOOK)]),
            ("whole, all with index 0", vec![piece(Some(0), "c1", "look", LOOK), piece(Some(0), "c2", "book", BOOK)]),
            (
                "without an index, by id",
                vec![
                    Piece { index: None, ..look },
                    Piece { index: None, ..book },
                    piece(None, "c1", "", ":1}"),
                    piece(None, "c2", "", ":2}"),
                ],
            ),
            (
                "without anything",
                vec![
                    Piece { index: None, ..look },
                    piece(None, "", "", ":1}"),
                    piece(None, "c2", "book", ""),
                    piece(None, "", "", BOOK),
                ],
            ),
        ] {
            let want = [call("c1", "look", LOOK), call("c2", "book", BOOK)];
            assert_eq!(read(&pieces, FinishReason::ToolCalls), want, "{name}");
        }
    }

    #[test]
    fn calls_without_ids_get_some() {
        for indexes in [[Some(0), Some(1)], [Some(0), Some(0)], [None, None]] {
            let pieces = [piece(indexes[0], "", "look", LOOK), piece(indexes[1], "", "book", BOOK)];
            let want = [call("call_0", "look", LOOK), call("call_1", "book", BOOK)];
            assert_eq!(read(&pieces, FinishReason::ToolCalls), want, "{indexes:?}");
        }
    }

    #[test]
    fn no_arguments_are_an_empty_object_and_no_name_is_no_call() {
        let pieces = [piece(Some(0), "c1", "hang_up", ""), piece(Some(1), "c2", "", "{}")];
        assert_eq!(read(&pieces, FinishReason::Stop), [call("c1", "hang_up", "{}")]);
        assert_eq!(read(&[], FinishReason::ToolCalls), []);
    }

    #[test]
    fn of_a_cut_answer_only_whole_calls_count() {
        let pieces = [piece(Some(0), "c1", "look", r#"{"a":1}"#), piece(Some(1), "c2", "book", r#"{"b":"#)];
        assert_eq!(read(&pieces, FinishReason::Length), [call("c1", "look", r#"{"a":1}"#)]);
        assert_eq!(read(&pieces, FinishReason::ToolCalls).len(), 2);
    }

    #[test]
    fn too_much_is_told_once_and_nothing_is_kept() {
        let call = |index| piece(Some(index), "", "look", "{}");
        assert_eq!(
            read(&[call(0), call(1), call(2), call(3), call(4)], FinishReason::ToolCalls),
            [AnswerEvent::TooMuch]
        );
        let long = "x".repeat(21);
        let pieces = [piece(Some(0), "c", "look", &long), piece(Some(0), "", "", &long), piece(Some(0), "", "", "{}")];
        assert_eq!(read(&pieces, FinishReason::ToolCalls), [AnswerEvent::TooMuch]);
        let name = "x".repeat(41);
        assert_eq!(read(&[piece(None, "", &name, "")], FinishReason::ToolCalls), [AnswerEvent::TooMuch]);
    }
}
