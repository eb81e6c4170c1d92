//! How long the call waits for what. Each limit with its reason; a caller never waits in silence without an end.

/// An utterance's text must be there this long after it was asked for. The built-in model needs 0.1 to 0.5 s; beyond
/// 4 s a caller says «hello?».
pub const TRANSCRIBE_DEADLINE_MS: u64 = 4_000;
/// The turn model's judgement, asked for once the words are there, is waited for this long (it computes for about
/// 0.1 s); then silence and words decide alone.
pub const SCORE_GRACE_MS: u64 = 250;
/// The first words of a language model's answer, with all its fallbacks: three, each given some three seconds. The
/// caller hears a few words meanwhile.
pub const THINK_DEADLINE_MS: u64 = 9_000;
/// Between two pieces of an answer that has begun.
pub const THINK_IDLE_MS: u64 = 4_000;
/// A tool's answer: two tries of a slow booking system.
pub const TOOL_DEADLINE_MS: u64 = 12_000;
/// The first audio of a sentence, counted from when the sentence before it was played.
pub const SPEAK_DEADLINE_MS: u64 = 5_000;
/// After a sentence's own length the carrier's mark is waited for this long; then it is taken as played. Covers the
/// lead we send ahead, the network and a carrier that does not echo marks after a clear.
pub const MARK_GRACE_MS: u64 = 2_000;
/// The shell answers a cleared playback at once. Without an answer for this long it is taken as unheard.
pub const CLEAR_DEADLINE_MS: u64 = 1_000;
/// A goodbye is given this long to be spoken.
pub const GOODBYE_MS: u64 = 15_000;
/// This many failures of stages in a row end the call with an apology.
pub const FAILURES_MAX: u32 = 3;
/// A sound shorter than this is no speech: not even transcribed. A spoken «no» or «ji» is longer.
pub const UTTERANCE_MIN_MS: u64 = 60;
/// An utterance longer than this is cut: answered as if the caller had paused. Longer than any answer to a question,
/// shorter than the transcriber's buffer (30 s).
pub const UTTERANCE_MAX_MS: u64 = 25_000;
/// The first words of somebody who speaks over the agent must be there this long after they were asked for; then the
/// agent stops whatever they are, if the sound goes on. With a carrier's frames of 100 ms they are asked for with the
/// first one that is full of speech, and the agent stops before the third: under 200 ms after the first.
pub const PROBE_DEADLINE_MS: u64 = 175;
/// A listening noise that goes on is looked at again after this much more of it: with every frame of 100 ms, whatever
/// the detector rounds it to.
pub const PROBE_AGAIN_MS: u64 = 80;
/// Nobody hums this long: then it is speech, whatever the words look like.
pub const NOISE_MAX_MS: u64 = 1_500;
/// When the caller goes on within this time after the turn seemed over, and nothing of the answer was heard yet, the
/// answer is withdrawn and both parts are taken as one turn.
pub const WITHDRAW_WITHIN_MS: u64 = 2_500;
/// Silence at the end of an answer that the flow says is complete («yes», ten digits of ten): no thinking pause to
/// wait for. Voice activity itself needs most of it.
pub const PAUSE_COMPLETE_MS: u64 = 160;
/// An answer given in pieces (a phone number, digits in groups) is waited for this long between pieces.
pub const PAUSE_PARTIAL_MS: u64 = 1_600;
/// Probability above which the turn model's «finished» counts.
pub const TURN_FINISHED_MIN: f32 = 0.5;
/// Sentences waiting to be heard. Nobody listens to this many; an answer on the telephone has three.
pub const SENTENCES_MAX: usize = 100;
/// Most messages sent to a language model: the last ones; a phone call has no use for more.
pub const MESSAGES_MAX: usize = 60;
/// Words that bridge one slow answer. A third time would be a lie.
pub const FILLERS_MAX: u32 = 2;
/// Times that a model may ask for tools before it answers a turn. A look-up, a booking, and slack; more is a loop.
pub const TOOL_ROUNDS_MAX: u32 = 5;
/// Tools that one answer may ask for at once.
pub const TOOLS_PER_ROUND_MAX: usize = 8;
/// Tools that one call may run. A long booking needs ten.
pub const TOOLS_PER_CALL_MAX: u32 = 60;
/// Of what a tool gave back, what a model is shown, in bytes: tools have limits of their own below it.
pub const TOOL_RESULT_BYTES_MAX: usize = 32 * 1024;
/// Keys typed without being asked for are taken as a turn after this pause.
pub const KEYS_PAUSE_MS: u64 = 2_000;
/// Keys kept of one turn: a card number and some.
pub const KEYS_MAX: usize = 32;
/// Keys that an agent presses at once: a menu, an extension, an account.
pub const KEYS_SENT_MAX: usize = 32;
/// A machine that answers says so within this time: announcements of two languages, one after the other.
pub const MACHINE_WITHIN_MS: u64 = 30_000;
/// Sound that began a probe must still be going on when the probe is over, to be more than a click: a carrier's frame
/// and some.
pub const PROBE_FRESH_MS: u64 = 120;
/// Our own voice comes back over a line with this much delay at most.
pub const ECHO_WITHIN_MS: u64 = 1_500;
/// An answer is not begun early to gain less than this.
pub const EAGER_GAIN_MIN_MS: u64 = 60;
/// Pieces of an answer that was begun early and is not wanted yet.
pub const EAGER_PIECES_MAX: usize = 256;
/// Callers answer a question before its last word is over, by this much.
pub const ANSWERS_BEFORE_END_MS: u64 = 700;
