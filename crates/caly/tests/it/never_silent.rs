//! A call is never silent: every fault in every stage, in calls of three turns, each once with a healthy fallback, once
//! without any and for good, and once as a hiccup in the second turn.
//!
//! What counts is what reaches the caller's ear at the carrier: from the end of each turn on, something is heard within
//! the deadline, and no silence is longer than that while the caller waits. And the call ends with the right reason.

mod asker;
mod cell;
mod heard;

use crate::account::NO_LIMITS;
use crate::place::Place;
use crate::world::{World, talker};
use cell::{AT_ONCE, Outcome, Variant, settings};
use futures_util::StreamExt as _;

/// Where it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Speech to text over a WebSocket (Deepgram).
    Streaming,
    /// Speech to text by utterance (OpenAI-compatible).
    Batch,
    /// A language model (OpenAI-compatible).
    Openai,
    /// A language model (Anthropic).
    Anthropic,
    /// Text to speech over HTTP (OpenAI-compatible).
    HttpVoice,
    /// Text to speech over a WebSocket (ElevenLabs).
    SocketVoice,
    /// A tool over HTTP.
    Tool,
}

impl Stage {
    const ALL: [Self; 7] =
        [Self::Streaming, Self::Batch, Self::Openai, Self::Anthropic, Self::HttpVoice, Self::SocketVoice, Self::Tool];

    const fn is_voice(self) -> bool {
        matches!(self, Self::HttpVoice | Self::SocketVoice)
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nobody listens.
    Refused,
    /// Taken, and nothing ever comes back.
    HangsAtOnce,
    /// Silence after the beginning of an answer.
    HangsMidway,
    /// A byte a second.
    Drips,
    /// The connection breaks after the beginning of an answer.
    Cut,
    /// The key is refused.
    Status401,
    /// Too many requests, with `Retry-After`.
    Status429,
    /// An error of the service's.
    Status500,
    /// Another protocol.
    Malformed,
    /// Another kind of content than was asked for: WAV for raw samples, a page for people, audio that is refused.
    WrongKind,
}

impl Fault {
    const ALL: [Self; 10] = [
        Self::Refused,
        Self::HangsAtOnce,
        Self::HangsMidway,
        Self::Drips,
        Self::Cut,
        Self::Status401,
        Self::Status429,
        Self::Status500,
        Self::Malformed,
        Self::WrongKind,
    ];
}

/// What becomes of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The conversation goes on until the caller hangs up.
    GoesOn,
    /// `provider/failed`: with an apology where there is a voice.
    Ends,
}

/// A fault in a stage: what becomes of the call without a fallback, when it is for good and when it happens once. With a
/// healthy fallback it always goes on.
struct Row {
    stage: Stage,
    fault: Fault,
    for_good: Then,
    once: Then,
}

const fn row(stage: Stage, fault: Fault, for_good: Then, once: Then) -> Row {
    Row { stage, fault, for_good, once }
}

use Fault::{Cut, Drips, HangsAtOnce, HangsMidway, Malformed, Refused, Status401, Status429, Status500, WrongKind};
use Stage::{Anthropic, Batch, HttpVoice, Openai, SocketVoice, Streaming, Tool};
use Then::{Ends, GoesOn};

/// The whole of it. A refused key is left alone for a minute: what is refused once ends the call. (Whoever transcribes by
/// utterance is open already, and is asked on.)
const TABLE: &[Row] = &[
    row(Streaming, Refused, Ends, GoesOn),
    row(Streaming, HangsAtOnce, Ends, GoesOn),
    row(Streaming, HangsMidway, Ends, GoesOn),
    row(Streaming, Drips, Ends, GoesOn),
    row(Streaming, Cut, Ends, GoesOn),
    row(Streaming, Status401, Ends, Ends),
    row(Streaming, Status429, Ends, GoesOn),
    row(Streaming, Status500, Ends, GoesOn),
    row(Streaming, Malformed, Ends, GoesOn),
    row(Streaming, WrongKind, Ends, GoesOn),
    row(Batch, Refused, Ends, GoesOn),
    row(Batch, HangsAtOnce, Ends, GoesOn),
    row(Batch, HangsMidway, Ends, GoesOn),
    row(Batch, Drips, Ends, GoesOn),
    row(Batch, Cut, Ends, GoesOn),
    row(Batch, Status401, Ends, GoesOn),
    row(Batch, Status429, Ends, GoesOn),
    row(Batch, Status500, Ends, GoesOn),
    row(Batch, Malformed, Ends, GoesOn),
    row(Batch, WrongKind, Ends, GoesOn),
    row(Openai, Refused, Ends, GoesOn),
    row(Openai, HangsAtOnce, Ends, GoesOn),
    row(Openai, HangsMidway, Ends, GoesOn),
    row(Openai, Drips, Ends, GoesOn),
    row(Openai, Cut, Ends, GoesOn),
    row(Openai, Status401, Ends, Ends),
    row(Openai, Status429, Ends, GoesOn),
    row(Openai, Status500, Ends, GoesOn),
    row(Openai, Malformed, Ends, GoesOn),
    row(Openai, WrongKind, Ends, GoesOn),
    row(Anthropic, Refused, Ends, GoesOn),
    row(Anthropic, HangsAtOnce, Ends, GoesOn),
    row(Anthropic, HangsMidway, Ends, GoesOn),
    row(Anthropic, Drips, Ends, GoesOn),
    row(Anthropic, Cut, Ends, GoesOn),
    row(Anthropic, Status401, Ends, Ends),
    row(Anthropic, Status429, Ends, GoesOn),
    row(Anthropic, Status500, Ends, GoesOn),
    row(Anthropic, Malformed, Ends, GoesOn),
    row(Anthropic, WrongKind, Ends, GoesOn),
    row(HttpVoice, Refused, Ends, GoesOn),
    row(HttpVoice, HangsAtOnce, Ends, GoesOn),
    row(HttpVoice, HangsMidway, Ends, GoesOn),
    row(HttpVoice, Drips, Ends, GoesOn),
    row(HttpVoice, Cut, Ends, GoesOn),
    row(HttpVoice, Status401, Ends, Ends),
    row(HttpVoice, Status429, Ends, GoesOn),
    row(HttpVoice, Status500, Ends, GoesOn),
    row(HttpVoice, Malformed, Ends, GoesOn),
    row(HttpVoice, WrongKind, Ends, GoesOn),
    row(SocketVoice, Refused, Ends, GoesOn),
    row(SocketVoice, HangsAtOnce, Ends, GoesOn),
    row(SocketVoice, HangsMidway, Ends, GoesOn),
    row(SocketVoice, Drips, Ends, GoesOn),
    row(SocketVoice, Cut, Ends, GoesOn),
    row(SocketVoice, Status401, Ends, Ends),
    row(SocketVoice, Status429, Ends, GoesOn),
    row(SocketVoice, Status500, Ends, GoesOn),
    row(SocketVoice, Malformed, Ends, GoesOn),
    row(SocketVoice, WrongKind, Ends, GoesOn),
    row(Tool, Refused, GoesOn, GoesOn),
    row(Tool, HangsAtOnce, GoesOn, GoesOn),
    row(Tool, HangsMidway, GoesOn, GoesOn),
    row(Tool, Drips, GoesOn, GoesOn),
    row(Tool, Cut, GoesOn, GoesOn),
    row(Tool, Status401, GoesOn, GoesOn),
    row(Tool, Status429, GoesOn, GoesOn),
    row(Tool, Status500, GoesOn, GoesOn),
    row(Tool, Malformed, GoesOn, GoesOn),
    row(Tool, WrongKind, GoesOn, GoesOn),
];

#[test]
fn no_combination_is_missing() {
    for stage in Stage::ALL {
        for fault in Fault::ALL {
            let rows = TABLE.iter().filter(|row| (row.stage, row.fault) == (stage, fault)).count();
            assert_eq!(rows, 1, "{stage:?} {fault:?}");
        }
    }
    assert_eq!(TABLE.len(), Stage::ALL.len() * Fault::ALL.len());
}

/// All calls of a stage: prints what was heard in each, and says what was wrong with which.
#[expect(clippy::print_stdout, reason = "the table is what people read")]
async fn stage(stage: Stage) {
    let place = Place::sqlite();
    let world = World::with_vendors(&place, talker(1), settings(stage)).await;
    let server = world.serve(&[NO_LIMITS]).await;
    let rows = TABLE.iter().filter(|row| row.stage == stage);
    let cells: Vec<(&Row, Variant)> = rows.flat_map(|row| Variant::ALL.map(|variant| (row, variant))).collect();
    let calls = cells.iter().enumerate().map(|(n, (row, variant))| {
        let (world, url) = (&world, server.url.as_str());
        Box::pin(async move { (n, cell::run(world, url, row, *variant, n).await) })
    });
    let mut outcomes: Vec<(usize, Outcome)> =
        futures_util::stream::iter(calls).buffer_unordered(AT_ONCE).collect().await;
    outcomes.sort_by_key(|(n, _)| *n);
    let mut wrong = Vec::new();
    for (n, outcome) in &outcomes {
        let (row, variant) = cells[*n];
        let name = format!("{:?} {:?} {variant:?}", row.stage, row.fault);
        println!("{name:<36} {outcome}");
        wrong.extend(outcome.complaints(row, variant).into_iter().map(|complaint| format!("{name}: {complaint}")));
    }
    assert_eq!(outcomes.len(), Fault::ALL.len() * Variant::ALL.len());
    assert!(wrong.is_empty(), "{}\n{wrong:#?}", server.output().lines().count());
    server.stop().await;
}

macro_rules! stages {
    ($($name:ident: $stage:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            Box::pin(stage(Stage::$stage)).await;
        }
    )*};
}

stages! {
    streaming_speech_to_text: Streaming;
    speech_to_text_by_utterance: Batch;
    language_model_of_the_openai_protocol: Openai;
    language_model_of_anthropic: Anthropic;
    voice_over_http: HttpVoice;
    voice_over_a_socket: SocketVoice;
    tool: Tool;
}
