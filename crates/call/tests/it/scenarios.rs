//! Whole calls as text, from `scenarios/*.txt`, and the replay of their logs.
//!
//! A scenario has a head: `# what it shows`, `agent: desk` (a flow in `agents/`, or `model`: a language model),
//! `set: pause_short_ms 300` (turn taking, `max_duration_s`, `greeting`, `language`), `shell: never clears` (a shell that
//! does not answer `clear`), `fault: what is wrong` (see below). Then what happens, each line with its time in ms since
//! the media began, and after it, with `=>`, exactly what the call wants done about it, in order:
//!
//! ```text
//! @2000 voice began          @2100 voice loud          @2620 voice ended 2600   (last loud moment)
//! @2700 heard "For Tuesday." @2700 not-heard           @2780 scored 0.9         @2780 not-scored
//! @3000 thought "We are …"   @3200 thought-done        @3200 thought-failed
//! @3000 tool ok code=A17     @3000 tool failed "why"
//! @3000 speaks 1500          (its first audio goes out, all of it exists: 1500 ms; also `started`, `synthesized 1500`)
//! @4500 played               @3000 speech-failed
//! @5000 say "…"              @5000 drain               @5000 hang-up            @5000 left caller/hung-up
//! @5000 wait                 (time passes)
//! ```
//!
//! Work and sentences are named in the order they are asked for: `t1` transcription, `j1` judgement of the sound, `m1`
//! language model, `r1` tool, `s1` sentence. An input is about the last work of its kind and the first sentence that it
//! can be about, unless it names one: `heard t1 "For"`, `played s2`.
//!
//! The stage behaves like a good shell: `@… tick` comes at every deadline, and `@… cleared s2 600` (how far each
//! sentence was heard, from when it began) answers `clear` at once and comes before the end of a call. Both are written
//! by the stage. `end:` is the phase at the end, and what was collected.
//!
//! `UPDATE_SCENARIOS=1` writes all `=>`, `tick` and `cleared` lines anew: read every one. A scenario with `fault:` has
//! what is wanted, and must differ: once it does not, its `fault:` line is to be removed.

use crate::stage::{agent, perform, setup};
use call::log::{Line, ReplayError, Step, replay};
use call::{CallSetup, Effect};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/scenarios")
}

#[expect(clippy::disallowed_methods, reason = "a switch of the test: UPDATE_SCENARIOS=1 writes the files anew")]
fn scenario(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let want = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let got = perform(&want);
    if let Some(fault) = got.fault {
        assert_ne!(got.text, want, "{name}.txt: this is mended, remove its `fault:` line: {fault}");
        return;
    }
    if std::env::var_os("UPDATE_SCENARIOS").is_some() {
        std::fs::write(&path, &got.text).expect("write the scenario");
        return;
    }
    for (i, (want, now)) in want.lines().zip(got.text.lines()).enumerate() {
        assert_eq!(now, want, "{name}.txt line {}; the scenario as it is now:\n{}", i + 1, got.text);
    }
    assert_eq!(got.text, want, "{name}.txt: one is longer");
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { scenario(stringify!($name)); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    agent_that_may_not_be_interrupted,
    answer_begun_early,
    answer_begun_early_and_thrown_away,
    answer_begun_early_fails,
    answer_withdrawn,
    answer_withdrawn_keeps_no_latency,
    answer_withdrawn_twice,
    answer_withdrawn_while_thinking,
    backchannel_is_ignored,
    backchannel_keeps_latency,
    barge_in_before_a_sound,
    barge_in_by_deadline,
    barge_in_by_failure,
    barge_in_by_streamed_words,
    barge_in_by_words,
    barge_in_cancels_the_model,
    barge_in_during_goodbye,
    barge_in_needs_words,
    barge_in_on_the_second_sentence,
    caller_goes_on_before_the_words,
    caller_goes_on_in_the_pause,
    carried_words_and_a_click,
    carried_words_and_a_cough,
    carried_words_and_a_failure,
    carried_words_and_the_caller_leaves,
    clear_is_never_answered,
    click_is_ignored,
    complaint_cough_and_never_an_answer,
    complaint_echo_of_its_own_voice,
    complaint_interrupted_in_a_tool_call,
    complaint_repeats_what_was_heard,
    complaint_stays_speaking_after_an_interruption,
    complaint_stops_for_haan,
    complaint_stuck_transfer,
    complaint_switched_off,
    complaint_voicemail,
    cough_interrupts_and_the_rest_follows,
    cough_is_ignored,
    drain,
    drain_and_a_cough,
    drain_and_the_words_before,
    drain_before_the_media,
    drain_in_silence,
    drain_while_a_tool_runs,
    empty_sentence,
    end_call_by_the_model,
    end_call_without_words,
    end_of_the_call_comes_last,
    every_sentence_fails,
    goodbye_that_cannot_be_spoken,
    goodbye_without_end,
    greeting_at_once,
    greeting_of_the_agent,
    guard_time,
    guard_time_ends,
    hindi,
    kept_words_and_a_sentence_that_fails,
    keys_for_a_tool,
    keys_for_a_tool_and_words_instead,
    keys_for_a_tool_never_typed,
    keys_for_a_tool_twice,
    keys_instead_of_words,
    keys_pressed_by_the_agent,
    language_by_wish,
    language_by_wish_and_begun_early,
    left_before_the_media,
    left_during_goodbye,
    left_in_the_pause,
    left_while_a_tool_runs,
    left_while_hearing,
    left_while_listening,
    left_while_speaking,
    left_while_thinking,
    left_with_two_things_unanswered,
    long_backchannel_is_looked_at_again,
    look_outlives_the_sentence,
    look_outlives_the_sentence_unanswered,
    lost_during_goodbye,
    machine_words_on_a_call_to_us,
    marks_missing,
    model_done_without_text,
    model_fails,
    model_fails_in_the_middle,
    model_fails_three_times,
    model_never_answers_and_is_bridged,
    model_recovers,
    model_slower_than_speech,
    model_stalls_and_words_bridge_it,
    model_stalls_before_the_first_piece,
    model_stalls_in_the_middle,
    model_stalls_while_it_is_spoken,
    model_streams_sentences,
    model_that_speaks,
    model_that_speaks_asks_for_a_tool,
    noise_interrupts_and_the_rest_follows,
    noise_over_an_answer_in_the_making,
    noise_too_long_interrupts,
    noise_while_a_tool_runs,
    not_withdrawn_after_a_while,
    not_withdrawn_once_audible,
    nothing_after_the_end,
    nothing_is_said_after_goodbye,
    notice_is_heard_to_its_end,
    okay_after_the_words_that_bridge,
    one_sentence_fails,
    operator_hangs_up,
    operator_says_something,
    operator_says_something_over_the_caller,
    operator_says_something_while_thinking,
    phone_number_in_pieces,
    phone_number_with_a_pause,
    reminder_interrupted,
    second_mark_first,
    sentence_lost_before_the_answer_is_whole,
    short_no_over_the_agent,
    short_words_keep_their_own_latency,
    silence,
    silence_broken,
    silence_goodbye_of_the_flow,
    silence_in_the_agents_words,
    silent_hang_up,
    silent_transfer,
    speech_stalls_between_sentences,
    speech_stalls_in_the_middle,
    speech_start_deadline,
    stale_answers,
    time_is_over_in_silence,
    time_is_over_while_speaking,
    time_is_over_while_thinking,
    time_runs_backwards,
    tokens_are_used_up,
    tokens_are_used_up_by_early_answers,
    tool_and_the_caller_interrupts,
    tool_and_the_caller_speaks,
    tool_arguments_that_are_none,
    tool_asked_twice,
    tool_done_is_not_withdrawn,
    tool_failure,
    tool_is_bridged,
    tool_of_the_model,
    tool_of_the_model_says_meanwhile,
    tool_result_and_a_noise,
    tool_success,
    tool_timeout,
    tool_without_its_result,
    tools_in_circles,
    tools_two_at_once,
    transcription_deadline,
    transcription_fails,
    transcription_fails_over_the_agent,
    transcription_fails_three_times,
    transcription_fails_while_interrupted,
    transfer,
    transfer_by_the_model,
    transfer_to_nobody,
    turn_by_complete_answer,
    turn_by_high_score,
    turn_by_low_score,
    turn_by_silence_alone,
    turn_by_the_model_of_the_sound,
    turn_by_the_transcriber,
    turn_by_the_transcriber_after_a_pause,
    turn_by_the_transcriber_after_an_interruption,
    turn_by_the_transcriber_and_on,
    turn_by_the_transcriber_that_says_nothing,
    turn_by_the_transcriber_without_words,
    turn_when_words_come_late,
    turn_with_dangling_words,
    turn_with_late_low_score,
    turn_with_late_score,
    turn_with_missing_score,
    turn_without_score,
    uninterruptible_and_two_utterances,
    uninterruptible_sentence,
    uninterruptible_then_interruptible,
    utterance_too_long,
    utterance_too_long_goes_on,
    voice_before_the_media,
    voice_that_ends_twice,
    voicemail_that_begins_like_an_announcement,
    watching_inputs,
    whole_conversation,
    withdrawn_second_of_two_turns,
    words_during_goodbye_are_kept,
    yes_before_the_question_is_over,
}

#[test]
fn every_scenario_is_run() {
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder")
        .map(|file| file.expect("a file").file_name().to_string_lossy().replace(".txt", ""))
        .collect();
    files.sort();
    assert_eq!(files, NAMES, "files, and the list in this file, which is in their order");
}

/// The logs of all scenarios.
fn logs() -> impl Iterator<Item = (&'static str, Vec<String>)> {
    NAMES.iter().map(|name| {
        let text = std::fs::read_to_string(folder().join(format!("{name}.txt"))).expect("the scenario");
        (*name, perform(&text).log)
    })
}

fn step(line: &str) -> Step {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

#[test]
fn logs_replay() {
    for (name, log) in logs() {
        let mut seen = 0;
        let replayed = replay(&log.join("\n"), |_| seen += 1).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((replayed.inputs, seen), (log.len() - 1, log.len() - 1), "{name}");
        assert_eq!(replayed.effects, log.iter().skip(1).map(|line| step(line).effects.len()).sum::<usize>(), "{name}");
        // Empty lines change nothing.
        assert_eq!(replay(&log.join("\n\n  \n"), |_| {}).expect("a log with empty lines"), replayed, "{name}");
    }
}

#[test]
fn altered_effects_are_found() {
    for (name, log) in logs() {
        for at in 1..log.len() {
            let line_number = at + 1;
            let original = step(&log[at]);
            let mut altered = Vec::new();
            let mut more = original.clone();
            more.effects.push(Effect::ClearPlayback);
            altered.push(more);
            if !original.effects.is_empty() {
                let mut fewer = original.clone();
                fewer.effects.pop();
                altered.push(fewer);
            }
            for step in altered {
                let mut log = log.clone();
                log[at] = serde_json::to_string(&step).expect("json");
                match replay(&log.join("\n"), |_| {}) {
                    Err(ReplayError::Differs { line, logged, replayed }) => {
                        assert_eq!(line, line_number, "{name}");
                        assert_eq!((logged, replayed), (step.effects, original.effects.clone()), "{name}");
                    }
                    other => panic!("{name} line {line_number}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_lost_input_is_found() {
    let (_, mut log) = logs().find(|(name, _)| *name == "barge_in_by_words").expect("the scenario");
    let heard = log.iter().position(|line| line.contains("\"heard\"")).expect("words");
    log.remove(heard);
    let error = replay(&log.join("\n"), |_| {}).expect_err("a different call");
    assert!(matches!(error, ReplayError::Differs { line, .. } if line > heard), "{error}");
}

#[test]
fn logs_that_are_none() {
    let (_, log) = logs().next().expect("a log");
    let head = log[0].clone();
    for text in ["", "\n\n", "garbage", "{}", "[]", "null", log[1].as_str(), "{\"setup\":{}}", "{\"setup\":5}"] {
        assert!(matches!(replay(text, |_| {}), Err(ReplayError::NoSetup)), "{text}");
    }
    for garbage in ["garbage", "{}", "{\"at\":5}", "{\"at\":-1,\"input\":{\"is\":\"tick\"}}", head.as_str(), "{\"at\":"]
    {
        let text = format!("{}\n\n{}\n{garbage}\n{}", head, log[1], log[2]);
        match replay(&text, |_| {}) {
            Err(ReplayError::Unreadable { line, .. }) => assert_eq!(line, 4, "{garbage}"),
            other => panic!("{garbage}: {other:?}"),
        }
    }
    let mut broken = agent("desk");
    broken.brain = model::Brain::Flow { text: "name = ".into() };
    let setup = Line::Setup { setup: Box::new(setup(broken)) };
    let error = replay(&serde_json::to_string(&setup).expect("json"), |_| {}).expect_err("no flow");
    assert!(matches!(error, ReplayError::Setup(_)), "{error}");
}

#[test]
fn a_log_of_the_setup_alone() {
    let setup: CallSetup = setup(agent("model"));
    let line = serde_json::to_string(&Line::Setup { setup: Box::new(setup) }).expect("json");
    let replayed = replay(&line, |_| {}).expect("a log");
    assert_eq!((replayed.inputs, replayed.effects), (0, 0));
}
