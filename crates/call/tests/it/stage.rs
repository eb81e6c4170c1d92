//! A stage for scenarios: a shell in miniature that reads a scenario, plays it to a call and writes down what the call
//! wants done. The language is described in `scenarios.rs`.

use call::log::{Line, Step};
use call::{
    Call, CallSetup, Effect, Effects, HeardSpeech, Input, Machine, Message, Note, Phase, SpeechId, Stage, ToolOutput,
    Voice, WorkId,
};
use chrono::{NaiveDate, NaiveDateTime};
use model::{
    AgentConfig, Brain, CallDirection, CallTime, E164, EndedReason, LanguageModelConfig, Latency, ToolConfig,
    TranscriptTurn,
};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::Path;

/// A scenario that was played.
pub(crate) struct Performance {
    /// The scenario as it is now: what was put in, and what the call wanted.
    pub(crate) text: String,
    /// The log of the call, one JSON line each.
    pub(crate) log: Vec<String>,
    /// The scenario shows a fault that is known: this is what is wrong.
    pub(crate) fault: Option<String>,
}

struct Speaking {
    speech: SpeechId,
    started_ms: Option<u64>,
    total_ms: Option<u64>,
}

struct Shell {
    call: Call,
    /// Names as the scenario has them: `s1` the first sentence, `t1` the first transcription.
    names: BTreeMap<u64, String>,
    counts: BTreeMap<char, u32>,
    /// The work last asked for, by the letter of its kind.
    last: BTreeMap<char, u64>,
    speaking: Vec<Speaking>,
    now_ms: u64,
    voice_began_ms: u64,
    /// When the last sentence was played: the next is heard from there.
    played_ms: u64,
    answers_clears: bool,
    hung_up: Option<EndedReason>,
    out: String,
    log: Vec<String>,
}

/// An agent by the name it has in scenarios: `model`, or a file in `agents/`.
pub(crate) fn agent(name: &str) -> AgentConfig {
    let brain = if name == "speech" {
        Brain::SpeechModel(
            serde_json::from_value(serde_json::json!({ "vendor": "openai", "system_prompt": "" })).expect("a model"),
        )
    } else if name == "model" || name == "tools" {
        Brain::LanguageModel(LanguageModelConfig {
            protocol: model::ModelProtocol::Openai,
            base_url: "http://127.0.0.1:1/v1".into(),
            model: "any".into(),
            system_prompt: "You answer the phone.".into(),
            temperature: 0.0,
            fallbacks: Vec::new(),
            hedge_after_ms: 0,
            tokens_max: 0,
        })
    } else {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/agents").join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Brain::Flow { text }
    };
    let brain = serde_json::to_value(&brain).expect("json");
    let mut config: AgentConfig =
        serde_json::from_value(serde_json::json!({ "brain": brain, "record": false })).expect("an agent");
    // Scenarios that are not about it hear no fillers and no answers that were begun early.
    (config.turn_taking.filler_after_ms, config.turn_taking.eager) = (0, false);
    if name == "tools" {
        config.languages = vec!["hi-IN".into()];
        config.tools = tools();
    }
    config
}

/// One tool of each kind.
fn tools() -> BTreeMap<String, ToolConfig> {
    serde_json::from_value(serde_json::json!({
        "slots": { "kind": "http", "description": "Free slots", "url": "https://clinic.example.org/slots" },
        "book": { "kind": "http", "description": "Book", "url": "https://clinic.example.org/book", "say": "Let me book that." },
        "mcp": { "kind": "mcp", "url": "https://clinic.example.org/mcp", "say": "Let me look." },
        "keep": { "kind": "record" },
        "bye": { "kind": "end-call" },
        "person": {
            "kind": "transfer-call",
            "destinations": [
                { "name": "billing", "number": "+918047184718" },
                { "name": "doctor", "number": "+918047184719" },
            ],
        },
        "press": { "kind": "send-dtmf" },
        "type": { "kind": "collect-dtmf", "digits_max": 4 },
        "machine": { "kind": "voicemail", "message": "Please call the clinic back." },
    }))
    .expect("tools")
}

/// What a call with this agent is told. It is a Saturday, eleven o'clock.
pub(crate) fn setup(agent: AgentConfig) -> CallSetup {
    CallSetup {
        agent,
        local_time: saturday_eleven(),
        caller_number: E164::parse("+919876501234").ok(),
        variables: BTreeMap::new(),
        direction: CallDirection::Incoming,
        can_transfer: true,
    }
}

fn saturday_eleven() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2026, 11, 21).and_then(|day| day.and_hms_opt(11, 0, 0)).expect("a date")
}

/// Plays a scenario.
pub(crate) fn perform(text: &str) -> Performance {
    let mut config = agent("desk");
    let mut answers_clears = true;
    let mut outgoing = false;
    let mut can_transfer = true;
    let mut fault = None;
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next_if(|line| !line.starts_with('@')) {
        let _ = writeln!(out, "{line}");
        match line.split_once(": ") {
            Some(("agent", name)) => config = agent(name),
            Some(("set", setting)) => set(&mut config, setting),
            Some(("config", json)) => merge(&mut config, json),
            Some(("direction", "outgoing")) => outgoing = true,
            Some(("line", "cannot transfer")) => can_transfer = false,
            Some(("shell", "never clears")) => answers_clears = false,
            Some(("fault", what)) => fault = Some(what.to_owned()),
            _ if line.is_empty() || line.starts_with('#') => {}
            _ => panic!("a line of the head that is none: {line}"),
        }
    }
    let mut setup = setup(config);
    if outgoing {
        setup.direction = CallDirection::Outgoing;
    }
    setup.can_transfer = can_transfer;
    let first = Line::Setup { setup: Box::new(setup.clone()) };
    let mut shell = Shell {
        call: Call::new(setup).expect("an agent that can be used"),
        names: BTreeMap::new(),
        counts: BTreeMap::new(),
        last: BTreeMap::new(),
        speaking: Vec::new(),
        now_ms: 0,
        voice_began_ms: 0,
        played_ms: 0,
        answers_clears,
        hung_up: None,
        out,
        log: vec![serde_json::to_string(&first).expect("json")],
    };
    for line in lines {
        shell.line(line);
    }
    let collected = shell.call.collected();
    let collected = if collected == serde_json::json!({}) { String::new() } else { format!(" {collected}") };
    let phase = shell.call.phase();
    assert_eq!(phase == Phase::Ended, shell.hung_up.is_some(), "ended exactly when it hung up");
    let _ = writeln!(shell.out, "end: {}{collected}", format!("{phase:?}").to_lowercase());
    Performance { text: shell.out, log: shell.log, fault }
}

fn set(config: &mut AgentConfig, setting: &str) {
    let (key, value) = setting.split_once(' ').expect("set: key value");
    match key {
        "max_duration_s" => config.max_duration_s = value.parse().expect("seconds"),
        "greeting" => config.greeting = Some(value.to_owned()),
        "language" => value.clone_into(&mut config.language),
        _ => {
            let mut settings = serde_json::to_value(&config.turn_taking).expect("json");
            settings[key] = serde_json::from_str(value).expect("a number");
            config.turn_taking = serde_json::from_value(settings).unwrap_or_else(|e| panic!("set {key}: {e}"));
        }
    }
}

/// Puts a piece of configuration, as JSON, over the agent's.
fn merge(config: &mut AgentConfig, json: &str) {
    fn over(base: &mut serde_json::Value, piece: serde_json::Value) {
        match (base, piece) {
            (serde_json::Value::Object(base), serde_json::Value::Object(piece)) => {
                for (key, value) in piece {
                    over(base.entry(key).or_insert(serde_json::Value::Null), value);
                }
            }
            (base, piece) => *base = piece,
        }
    }
    let mut whole = serde_json::to_value(&*config).expect("json");
    over(&mut whole, serde_json::from_str(json).unwrap_or_else(|e| panic!("config: {e}: {json}")));
    *config = serde_json::from_value(whole).unwrap_or_else(|e| panic!("config: {e}: {json}"));
}

/// Words of a line; what stands in quotes is one word, without them.
fn words(line: &str) -> VecDeque<String> {
    let mut words = VecDeque::new();
    for (i, part) in line.split('"').enumerate() {
        if i % 2 == 1 {
            words.push_back(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

impl Shell {
    fn line(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix('@') else {
            // What is expected is written anew; the rest is for readers.
            if line.is_empty() || line.starts_with('#') {
                let _ = writeln!(self.out, "{line}");
            } else {
                assert!(line.starts_with("=> ") || line.starts_with("end: "), "no line of a scenario: {line}");
            }
            return;
        };
        let mut words = words(rest);
        let at_ms: u64 = words.pop_front().and_then(|t| t.parse().ok()).unwrap_or_else(|| panic!("no time: {line}"));
        let head = words.pop_front().unwrap_or_default();
        self.pass_time(at_ms);
        if head == "tick" || head == "cleared" {
            return;
        }
        let _ = writeln!(self.out, "{line}");
        if head == "left" || head == "hang-up" {
            self.report_playback(at_ms);
        }
        for input in self.inputs(&head, &mut words, at_ms, line) {
            self.feed(at_ms, input);
        }
        assert!(words.is_empty(), "too many words: {line}: {words:?}");
        self.now_ms = at_ms;
    }

    /// Every tick that is due until then, at the moment it is due.
    fn pass_time(&mut self, until_ms: u64) {
        while let Some(due) = self.call.deadline().map(CallTime::ms).filter(|due| *due <= until_ms) {
            let at_ms = due.max(self.now_ms);
            let written = self.out.len();
            let _ = writeln!(self.out, "@{at_ms} tick");
            let effects = self.feed(at_ms, Input::Tick);
            if effects == 0 {
                self.out.truncate(written);
                if self.call.deadline().is_some_and(|next| next.ms() <= at_ms) {
                    let _ = writeln!(self.out, "=> (a deadline at {due} that stands still)");
                    return;
                }
            }
        }
    }

    fn inputs(&mut self, head: &str, words: &mut VecDeque<String>, at_ms: u64, line: &str) -> Vec<Input> {
        let input = match head {
            "wait" => return Vec::new(),
            "connected" => Input::Connected,
            "voice" => Input::Voice(self.voice(words, at_ms, line)),
            "heard" => Input::Heard { work: self.work('t', words), text: text(words, line) },
            "not-heard" => Input::TranscribeFailed { work: self.work('t', words) },
            "scored" => Input::TurnScored {
                work: self.work('j', words),
                probability: text(words, line).parse().expect("a probability"),
            },
            "not-scored" => Input::TurnScoreFailed { work: self.work('j', words) },
            "thought" | "thought-done" | "thought-failed" | "thought-tool" | "used" | "tool" => {
                self.thinking(head, words, line)
            }
            "started" | "speaks" => {
                let speech = self.speech(words, |s| s.started_ms.is_none());
                self.on(speech, |s| s.started_ms = Some(at_ms));
                let started = Input::SpeechStarted { speech };
                if head == "started" {
                    return vec![started];
                }
                let total_ms = text(words, line).parse().expect("a length");
                self.on(speech, |s| s.total_ms = Some(total_ms));
                return vec![started, Input::SpeechSynthesized { speech, total_ms }];
            }
            "synthesized" => {
                let speech = self.speech(words, |s| s.total_ms.is_none());
                let total_ms = text(words, line).parse().expect("a length");
                self.on(speech, |s| s.total_ms = Some(total_ms));
                Input::SpeechSynthesized { speech, total_ms }
            }
            "speech-failed" => {
                let speech = self.speech(words, |_| true);
                self.speaking.retain(|s| s.speech != speech);
                Input::SpeechFailed { speech }
            }
            "played" => {
                let speech = self.speech(words, |_| true);
                let done = self.speaking.iter().position(|s| s.speech == speech).map_or(0, |at| at + 1);
                self.speaking.drain(..done);
                self.played_ms = at_ms;
                Input::Played { speech }
            }
            "utterance-ended" => Input::UtteranceEnded { sure: true },
            "utterance-likely-ended" => Input::UtteranceEnded { sure: false },
            "language" => Input::LanguageHeard { tag: text(words, line) },
            "partial" => Input::Partial { text: text(words, line) },
            "dtmf" => Input::Dtmf { digit: text(words, line).chars().next().expect("a digit") },
            "say" => Input::Command(call::Command::Say { text: text(words, line) }),
            "hang-up" => Input::Command(call::Command::HangUp),
            "drain" => Input::Command(call::Command::Drain),
            "left" => Input::CallerLeft { reason: text(words, line).parse().expect("a reason") },
            _ => panic!("no input: {line}"),
        };
        vec![input]
    }

    /// What comes from the language model and from tools.
    fn thinking(&self, head: &str, words: &mut VecDeque<String>, line: &str) -> Input {
        match head {
            "thought" => Input::ThoughtText { work: self.work('m', words), text: text(words, line) },
            "thought-done" => Input::ThoughtDone { work: self.work('m', words) },
            "thought-failed" => Input::ThinkFailed { work: self.work('m', words) },
            "tool" => Input::ToolFinished {
                work: self.work('r', words),
                outcome: match text(words, line).as_str() {
                    "ok" => {
                        let values = words.iter().filter_map(|w| w.split_once('=').map(owned)).collect();
                        let text = words.drain(..).collect::<Vec<_>>().join(" ");
                        Ok(ToolOutput { text, values })
                    }
                    _ => Err(text(words, line)),
                },
            },
            // Quotes within arguments are written as «'».
            "thought-tool" => Input::ThoughtTool {
                work: self.work('m', words),
                id: text(words, line),
                name: text(words, line),
                arguments: text(words, line).replace('\'', "\""),
            },
            "used" => {
                Input::ThoughtUsed { work: self.work('m', words), tokens: text(words, line).parse().expect("tokens") }
            }
            _ => panic!("no input: {line}"),
        }
    }

    fn voice(&mut self, words: &mut VecDeque<String>, at_ms: u64, line: &str) -> Voice {
        let what = text(words, line);
        let given = words.pop_front().map(|t| t.parse().unwrap_or_else(|_| panic!("no time: {line}")));
        let at = CallTime(given.unwrap_or(at_ms));
        match what.as_str() {
            "began" => {
                self.voice_began_ms = at.ms();
                Voice::Began { at }
            }
            // A time given is that of the first loud moment.
            "loud" => Voice::Loud { since: CallTime(given.unwrap_or(self.voice_began_ms)), until: CallTime(at_ms) },
            "ended" => Voice::Ended { at },
            _ => panic!("no voice: {line}"),
        }
    }

    /// The work named, else the last of its kind.
    fn work(&self, kind: char, words: &mut VecDeque<String>) -> WorkId {
        match self.named(kind, words) {
            Some(id) => WorkId(id),
            None => WorkId(*self.last.get(&kind).unwrap_or_else(|| panic!("nothing of kind {kind} was asked for"))),
        }
    }

    /// The sentence named, else the first of which that holds.
    fn speech(&self, words: &mut VecDeque<String>, first: impl Fn(&Speaking) -> bool) -> SpeechId {
        match self.named('s', words) {
            Some(id) => SpeechId(id),
            None => self.speaking.iter().find(|s| first(s)).expect("a sentence to be said").speech,
        }
    }

    fn named(&self, kind: char, words: &mut VecDeque<String>) -> Option<u64> {
        let name = words.front()?;
        let number = name.strip_prefix(kind)?;
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let id = self.names.iter().find(|(_, n)| *n == name).unwrap_or_else(|| panic!("nothing is named {name}")).0;
        words.pop_front();
        Some(*id)
    }

    fn on(&mut self, speech: SpeechId, change: impl Fn(&mut Speaking)) {
        self.speaking.iter_mut().filter(|s| s.speech == speech).for_each(change);
    }

    /// How far everything that is being said was heard: one sentence after the other, each from when its audio began.
    fn positions(&self, now_ms: u64) -> Vec<HeardSpeech> {
        let mut free_ms = self.played_ms;
        let mut heard = Vec::new();
        for s in &self.speaking {
            let heard_ms = s.started_ms.map_or(0, |started| {
                let began = started.max(free_ms);
                let heard_ms = now_ms.saturating_sub(began).min(s.total_ms.unwrap_or(u64::MAX));
                free_ms = began + s.total_ms.unwrap_or(0);
                heard_ms
            });
            heard.push(HeardSpeech { speech: s.speech, heard_ms, total_ms: s.total_ms, heard_words: None });
        }
        heard
    }

    fn report_playback(&mut self, at_ms: u64) {
        if self.speaking.is_empty() {
            return;
        }
        let heard = self.positions(at_ms);
        self.speaking.clear();
        let shown: Vec<String> = heard.iter().map(|h| format!(" {} {}", self.name(h.speech.0), h.heard_ms)).collect();
        let _ = writeln!(self.out, "@{at_ms} cleared{}", shown.concat());
        self.feed(at_ms, Input::PlaybackCleared { heard });
    }

    fn name(&self, id: u64) -> &str {
        self.names.get(&id).map_or("?", String::as_str)
    }

    /// Names a new work or sentence.
    fn call_it(&mut self, kind: char, id: u64) -> String {
        let count = self.counts.entry(kind).or_insert(0);
        *count += 1;
        let name = format!("{kind}{count}");
        assert_eq!(self.names.insert(id, name.clone()), None, "a number given twice");
        self.last.insert(kind, id);
        name
    }

    /// One input; writes its effects down and does what a shell does about them. How many there were.
    fn feed(&mut self, at_ms: u64, input: Input) -> usize {
        let mut effects = Effects::new();
        self.call.handle(CallTime(at_ms), input.clone(), &mut effects);
        let step = Line::Step(Box::new(Step { at: CallTime(at_ms), input, effects: effects.clone() }));
        self.log.push(serde_json::to_string(&step).expect("json"));
        for effect in &effects {
            assert_eq!(self.hung_up, None, "after the end: {effect:?}");
            let shown = self.show(effect);
            let _ = writeln!(self.out, "=> {shown}");
            if let Effect::HangUp { reason } = effect {
                self.hung_up = Some(*reason);
            }
        }
        if self.hung_up.is_some() {
            assert_eq!(self.call.deadline(), None, "nothing to wait for after the end");
        } else {
            assert!(self.call.deadline().is_some() || self.call.phase() == Phase::Connecting, "waits for ever");
        }
        if self.answers_clears && effects.contains(&Effect::ClearPlayback) {
            self.report_playback(at_ms);
        }
        effects.len()
    }

    fn show(&mut self, effect: &Effect) -> String {
        match effect {
            Effect::Transcribe { work } => format!("transcribe {}", self.call_it('t', work.0)),
            Effect::ScoreTurn { work } => format!("score {}", self.call_it('j', work.0)),
            Effect::DiscardUtterance => "discard".into(),
            Effect::Think { work, messages, language } => {
                let tongue = if language.starts_with("en") { String::new() } else { format!("in {language} ") };
                let said = messages.iter().map(message).collect::<String>();
                format!("think {} {tongue}{said}", self.call_it('m', work.0)).trim_end().into()
            }
            Effect::RunTool { work, name, arguments } => {
                let bare = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let arguments: Vec<String> = arguments.iter().map(|(k, v)| format!(" {k}={}", bare(v))).collect();
                format!("run {} {name}{}", self.call_it('r', work.0), arguments.concat())
            }
            Effect::Cancel { work } => format!("cancel {}", self.name(work.0)),
            Effect::Speak { speech, text, language } => {
                self.speaking.push(Speaking { speech: *speech, started_ms: None, total_ms: None });
                let own = language.starts_with("en") || text.chars().any(|c| ('\u{900}'..='\u{97f}').contains(&c));
                let tongue = if own { String::new() } else { format!(" in {language}") };
                format!("speak {} \"{text}\"{tongue}", self.call_it('s', speech.0))
            }
            Effect::SpeakThought { speech, work } => {
                self.speaking.push(Speaking { speech: *speech, started_ms: None, total_ms: None });
                let thought = self.name(work.0).to_owned();
                format!("speak {} what {thought} says", self.call_it('s', speech.0))
            }
            Effect::PlayKeys { speech, keys } => {
                self.speaking.push(Speaking { speech: *speech, started_ms: None, total_ms: None });
                format!("keys {} {keys}", self.call_it('s', speech.0))
            }
            Effect::PlayTone { speech, tone } => {
                self.speaking.push(Speaking { speech: *speech, started_ms: None, total_ms: None });
                format!("tone {} {tone:?}", self.call_it('s', speech.0)).to_lowercase()
            }
            Effect::SetLanguage { tag } => format!("listen-in {tag}"),
            Effect::CancelSpeech { speech } => {
                self.speaking.retain(|s| s.speech != *speech);
                format!("cancel {}", self.name(speech.0))
            }
            Effect::ClearPlayback => "clear".into(),
            Effect::Note(note) => show_note(note),
            Effect::Transfer { to } => format!("transfer {to}"),
            Effect::HangUp { reason } => format!("hang-up {reason}"),
        }
    }
}

fn message(message: &Message) -> String {
    match message {
        Message::Caller { text } => format!("caller: \"{text}\" "),
        Message::Agent { text, tool_calls } => {
            let calls: String =
                tool_calls.iter().map(|c| format!("{}={}({}) ", c.id, c.name, c.arguments.replace('"', "'"))).collect();
            format!("agent: \"{text}\" {calls}")
        }
        Message::ToolResult { id, text, .. } => format!("{id}: \"{}\" ", text.replace('"', "'")),
    }
}

fn show_note(note: &Note) -> String {
    match note {
        Note::Turn(turn) => show_turn(turn),
        Note::BargeIn { voice_began_ms, decided_after_ms } => {
            format!("barge-in {voice_began_ms} after {decided_after_ms}")
        }
        Note::Backchannel { text, resumed } => {
            format!("backchannel \"{text}\"{}", if *resumed { " resumed" } else { "" })
        }
        Note::Withdrawn => "withdrawn".into(),
        Note::Reminded { count } => format!("reminded {count}"),
        Note::StageFailed { stage } => format!("failed {}", stage_name(*stage)),
        Note::ToolStarted { name } => format!("tool-started {name}"),
        Note::ToolFinished { succeeded } => format!("tool-finished {}", if *succeeded { "ok" } else { "failed" }),
        Note::MarkMissing => "mark-missing".into(),
        Note::Filler => "filler".into(),
        Note::Echo => "echo".into(),
        Note::LanguageSwitched { tag } => format!("language {tag}"),
        Note::AnsweredByMachine { what: Machine::Voicemail } => "machine voicemail".into(),
        Note::AnsweredByMachine { what: Machine::Announcement } => "machine announcement".into(),
    }
}

const fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Transcribing => "transcribing",
        Stage::Thinking => "thinking",
        Stage::Tool => "tool",
        Stage::Speaking => "speaking",
    }
}

fn show_turn(turn: &TranscriptTurn) -> String {
    let mut out = format!("turn {} {} {}-{} \"{}\"", turn.index, turn.role, turn.started_ms, turn.ended_ms, turn.text);
    if let Some(intended) = &turn.intended {
        let _ = write!(out, " of \"{intended}\"");
    }
    if turn.interrupted {
        out.push_str(" interrupted");
    }
    if let Some(Latency { end_to_end_ms, end_of_turn_ms, transcription_ms, thinking_ms, speaking_ms }) = turn.latency {
        out.push_str(" latency");
        for (name, ms) in [
            ("all", end_to_end_ms),
            ("turn", end_of_turn_ms),
            ("words", transcription_ms),
            ("think", thinking_ms),
            ("speak", speaking_ms),
        ] {
            if let Some(ms) = ms {
                let _ = write!(out, " {name}={ms}");
            }
        }
    }
    out
}

fn text(words: &mut VecDeque<String>, line: &str) -> String {
    words.pop_front().unwrap_or_else(|| panic!("a word is missing: {line}"))
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}
