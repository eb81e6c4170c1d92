//! `POST /v1/chat/completions`, streamed, on a connection that stays open: the first token after 100 ms, twenty tokens
//! 10 ms apart, the first sentence complete with the ninth.

use super::super::context::Context;
use super::super::http::find;
use super::super::wheel::Micros;
use super::{Line, MS};

/// From the request to the first token.
const FIRST_MS: u64 = 100;
/// From token to token.
const TOKEN_MS: u64 = 10;
/// From the request to the last token of the first sentence.
pub(super) const SENTENCE_MS: u64 = FIRST_MS + (SENTENCE_TOKENS - 1) * TOKEN_MS;
const SENTENCE_TOKENS: u64 = 9;
/// What is answered. The two in brackets are numbers of their own in every answer, so that no two are the same.
const TOKENS: [&str; 20] = [
    "Okay", ",", " call", "[call]", " turn", "[turn]", " is", " noted", ".", " Your", " order", " is", " on", " its",
    " way", " and", " will", " arrive", " soon", ".",
];
const CALL: usize = 3;
const TURN: usize = 5;
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n\
                    transfer-encoding: chunked\r\n\r\n";

/// The tokens as they are sent, made once.
#[derive(Debug)]
pub(in crate::load) struct Answers {
    tokens: Vec<Vec<u8>>,
    end: Vec<u8>,
    end_with_usage: Vec<u8>,
}

/// A piece of a chunked body.
fn chunk(event: &str) -> Vec<u8> {
    let text = format!("data: {event}\n\n");
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

fn token(first: bool, text: &str) -> Vec<u8> {
    let role = if first { r#""role":"assistant","# } else { "" };
    chunk(&format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"stub","choices":[{{"index":0,"delta":{{{role}"content":"{text}"}},"logprobs":null,"finish_reason":null}}]}}"#
    ))
}

impl Answers {
    pub(in crate::load) fn new() -> Self {
        let stop = chunk(
            r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"stub","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#,
        );
        let usage = chunk(
            r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"stub","choices":[],"usage":{"prompt_tokens":50,"completion_tokens":20,"total_tokens":70}}"#,
        );
        let done = [chunk("[DONE]"), b"0\r\n\r\n".to_vec()].concat();
        Self {
            tokens: TOKENS.iter().enumerate().map(|(n, text)| token(n == 0, text)).collect(),
            end: [&stop[..], &done].concat(),
            end_with_usage: [&stop[..], &usage, &done].concat(),
        }
    }
}

/// An answer that is being given.
#[derive(Debug)]
struct Answer {
    asked: Micros,
    next: usize,
    usage: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Chat {
    answer: Option<Answer>,
    number: u64,
}

impl Chat {
    pub(super) fn asked(&mut self, body: &[u8], line: &mut Line<'_>, context: &mut Context) {
        context.counts.chats += 1;
        self.number = context.counts.chats;
        let usage = find(body, br#""include_usage":true"#).is_some();
        let answer = Answer { asked: context.now, next: 0, usage };
        line.wake(answer.due(), context);
        self.answer = Some(answer);
    }

    pub(super) fn due(&mut self, line: &mut Line<'_>, context: &mut Context) {
        let Some(answer) = &mut self.answer else { return };
        context.vendors_late.add(context.now.saturating_sub(answer.due()));
        let Context { scratch, answers, .. } = context;
        scratch.clear();
        if answer.next == 0 {
            scratch.extend_from_slice(HEAD.as_bytes());
        }
        match answer.next {
            CALL => scratch.extend(token(false, &format!(" {}", self.number / 100))),
            TURN => scratch.extend(token(false, &format!(" {}", self.number % 100))),
            n => scratch.extend_from_slice(&answers.tokens[n]),
        }
        answer.next += 1;
        if answer.next < TOKENS.len() {
            let at = answer.due();
            line.socket.send(scratch);
            line.wake(at, context);
        } else {
            scratch.extend_from_slice(if answer.usage { &answers.end_with_usage } else { &answers.end });
            line.socket.send(scratch);
            self.answer = None;
        }
    }
}

impl Answer {
    const fn due(&self) -> Micros {
        self.asked + (FIRST_MS + TOKEN_MS * self.next as u64) * MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_are_one_answer_with_its_first_sentence_at_the_ninth() {
        let answers = Answers::new();
        let mut text = String::new();
        for chunk in &answers.tokens {
            let chunk = std::str::from_utf8(chunk).expect("text");
            let (length, rest) = chunk.split_once("\r\n").expect("a length");
            assert_eq!(usize::from_str_radix(length, 16), Ok(rest.len() - 2));
            let event = rest.strip_prefix("data: ").expect("an event").trim();
            let value: serde_json::Value = serde_json::from_str(event).expect("JSON");
            text.push_str(value["choices"][0]["delta"]["content"].as_str().expect("text"));
        }
        assert_eq!(text, "Okay, call[call] turn[turn] is noted. Your order is on its way and will arrive soon.");
        assert_eq!((TOKENS[CALL], TOKENS[TURN]), ("[call]", "[turn]"));
        assert_eq!((TOKENS[SENTENCE_TOKENS as usize - 1], SENTENCE_MS), (".", 180));
        assert!(answers.end.ends_with(b"data: [DONE]\n\n\r\n0\r\n\r\n"));
    }
}
