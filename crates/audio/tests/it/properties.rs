//! What must hold for any input.

use audio::frames::Reframer;
use audio::pace::{FrameRule, Out, Pacer};
use audio::record::TwoChannel;
use audio::resample::Resampler;
use audio::voice::VoiceDetector;
use audio::{g711, level, wav};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Cuts into chunks whose sizes come around again and again.
fn chunks<'a>(input: &'a [i16], sizes: &'a [usize]) -> impl Iterator<Item = &'a [i16]> {
    let mut rest = input;
    sizes.iter().cycle().map_while(move |&size| {
        let (head, tail) = rest.split_at(size.min(rest.len()));
        rest = tail;
        (!head.is_empty()).then_some(head)
    })
}

fn rule() -> impl Strategy<Value = FrameRule> {
    (select(vec![8_000, 16_000, 24_000]), 10_u32..=200, select(vec![1_usize, 160, 320]), 0_u64..=500, 0_u64..=600)
        .prop_map(|(sample_rate_hz, frame_ms, multiple_samples, lead_ms, burst_ms)| FrameRule {
            sample_rate_hz,
            frame_ms,
            multiple_samples,
            lead_ms,
            burst_ms,
        })
}

/// What happens to a pacer: a step of time, then maybe audio (samples) for a speech, maybe its end.
#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Push(u64, usize),
    Finish(u64),
    Played(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u64..200).prop_map(Step::Wait),
        4 => (0_u64..4, 0_usize..6_000).prop_map(|(s, n)| Step::Push(s, n)),
        1 => (0_u64..4).prop_map(Step::Finish),
        1 => (0_u64..4).prop_map(Step::Played),
    ]
}

proptest! {
    #[test]
    fn resampling_does_not_depend_on_the_chunks(
        from in select(vec![8_000_u32, 16_000, 24_000]),
        to in select(vec![8_000_u32, 16_000, 24_000]),
        input in vec(any::<i16>(), 0..2_500),
        sizes in vec(1_usize..700, 1..8),
    ) {
        let (mut whole, mut cut) = (Vec::new(), Vec::new());
        Resampler::new(from, to).process(&input, &mut whole);
        let mut resampler = Resampler::new(from, to);
        let mut taken = 0;
        for chunk in chunks(&input, &sizes) {
            resampler.process(chunk, &mut cut);
            taken += chunk.len();
            prop_assert_eq!(cut.len(), (taken * to as usize).div_ceil(from as usize));
        }
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn reframing_loses_and_adds_nothing(
        frame in 1_usize..400, input in vec(any::<i16>(), 0..2_000), sizes in vec(1_usize..500, 1..8),
    ) {
        let mut reframer = Reframer::new(frame);
        let mut got = Vec::new();
        for chunk in chunks(&input, &sizes) {
            reframer.push(chunk, |f| { assert_eq!(f.len(), frame); got.extend_from_slice(f); });
        }
        prop_assert_eq!(got.len() + reframer.pending(), input.len());
        prop_assert_eq!(&got[..], &input[..got.len()]);
    }

    #[test]
    fn g711_is_a_projection(sample in any::<i16>()) {
        let mu = g711::mulaw_decode(g711::mulaw_encode(sample));
        prop_assert_eq!(g711::mulaw_decode(g711::mulaw_encode(mu)), mu);
        let a = g711::alaw_decode(g711::alaw_encode(sample));
        prop_assert_eq!(g711::alaw_decode(g711::alaw_encode(a)), a);
    }

    #[test]
    fn levels_are_in_range(pcm in vec(any::<i16>(), 0..500)) {
        let rms = level::rms_dbfs(&pcm);
        prop_assert!((level::SILENCE_DBFS..=0.001).contains(&rms));
        prop_assert!(level::power(&pcm).sqrt() * 32_768.0 <= f32::from(level::peak(&pcm)) + 0.5);
    }

    #[test]
    fn the_pacer_keeps_its_promises(rule in rule(), steps in vec(step(), 1..60)) {
        let mut pacer = Pacer::new(rule);
        let frame_ms = (pacer.frame_samples() as u64 * 1_000).div_ceil(u64::from(rule.sample_rate_hz));
        let lead_ms = rule.lead_ms.max(frame_ms);
        let mut now_ms = 0;
        // Per speech of the script: pushed, sent, first-push order, marks seen. Ids are made fresh after each mark.
        let mut ids: Vec<u64> = (0..4).collect();
        let mut finished = [false; 4];
        let (mut pushed, mut sent) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
        let mut order: Vec<u64> = Vec::new();
        let mut marks: Vec<u64> = Vec::new();
        let all = steps.into_iter().chain((0..4).map(Step::Finish)).chain([Step::Wait(600_000)]);
        for step in all {
            match step {
                Step::Wait(ms) => now_ms += ms,
                Step::Push(slot, n) if !finished[slot as usize] => {
                    let id = ids[slot as usize];
                    if pacer.push(id, &vec![1; n]).is_ok() {
                        *pushed.entry(id).or_insert(0) += n;
                        if !order.contains(&id) { order.push(id); }
                    }
                }
                Step::Finish(slot) if !finished[slot as usize] => {
                    let id = ids[slot as usize];
                    pacer.finish(id);
                    finished[slot as usize] = true;
                    if !order.contains(&id) { order.push(id); }
                }
                Step::Played(slot) => pacer.played(slot),
                Step::Push(..) | Step::Finish(_) => {}
            }
            let mut speaking = None;
            let end_ms = now_ms;
            loop {
                match pacer.next(end_ms) {
                    Some(Out::Frame { speech, samples }) => {
                        prop_assert!(!samples.is_empty() && samples.len() % rule.multiple_samples == 0);
                        prop_assert!(samples.len() <= pacer.frame_samples());
                        prop_assert!(pacer.playout_end_ms() <= end_ms + lead_ms + 1, "lead");
                        *sent.entry(speech).or_insert(0) += samples.len();
                        speaking = Some(speech);
                    }
                    Some(Out::Mark { speech }) => {
                        prop_assert!(speaking.is_none_or(|s| s == speech));
                        speaking = None;
                        marks.push(speech);
                        if let Some(slot) = ids.iter().position(|&i| i == speech) {
                            ids[slot] = 100 + marks.len() as u64;
                            finished[slot] = false;
                        }
                    }
                    None => break,
                }
            }
            prop_assert!(pacer.next_at_ms().is_none_or(|at| at > end_ms), "no busy loop");
        }
        prop_assert!(order.starts_with(&marks), "{:?} {:?}", order, marks);
        // Drain what is left in due time.
        while let Some(at_ms) = pacer.next_at_ms() {
            now_ms = now_ms.max(at_ms);
            let got = pacer.next(now_ms);
            prop_assert!(got.is_some(), "next_at_ms kept its word");
            match got {
                Some(Out::Frame { speech, samples }) => *sent.entry(speech).or_insert(0) += samples.len(),
                Some(Out::Mark { speech }) => marks.push(speech),
                None => {}
            }
        }
        for speech in &marks {
            let want = pushed.get(speech).copied().unwrap_or(0);
            let got = sent.get(speech).copied().unwrap_or(0);
            prop_assert!(got >= want && got - want < rule.multiple_samples, "{} sent {} of {}", speech, got, want);
        }
    }

    #[test]
    fn clearing_never_claims_more_than_was_sent(
        rule in rule(), steps in vec(step(), 1..40), after_ms in 0_u64..3_000,
    ) {
        let mut pacer = Pacer::new(rule);
        let mut now_ms = 0;
        let (mut pushed, mut sent) = ([0_u64; 4], [0_u64; 4]);
        let mut done = [false; 4];
        for step in steps {
            match step {
                Step::Wait(ms) => now_ms += ms,
                Step::Push(s, n) if !done[s as usize] => {
                    if pacer.push(s, &vec![1; n]).is_ok() { pushed[s as usize] += n as u64; }
                }
                Step::Finish(s) if !done[s as usize] => {
                    pacer.finish(s);
                    done[s as usize] = true;
                }
                Step::Push(..) | Step::Finish(_) | Step::Played(_) => {}
            }
            while let Some(out) = pacer.next(now_ms) {
                if let Out::Frame { speech, samples } = out { sent[speech as usize] += samples.len() as u64; }
            }
        }
        let ms = |samples: u64| samples * 1_000 / u64::from(rule.sample_rate_hz);
        let cleared = pacer.clear(now_ms + after_ms);
        for c in &cleared {
            let i = c.speech as usize;
            prop_assert!(c.heard_ms <= ms(sent[i]), "heard {} of {} sent", c.heard_ms, ms(sent[i]));
            prop_assert!(c.heard_ms + c.queued_ms <= ms(pushed[i]) + 1);
            prop_assert_eq!(c.total_ms, done[i].then(|| ms(pushed[i])));
        }
        prop_assert!(pacer.is_idle(now_ms + after_ms));
        prop_assert_eq!(pacer.next(now_ms + after_ms), None);
        prop_assert!(pacer.playout_end_ms() <= now_ms + after_ms);
    }

    #[test]
    fn the_recording_does_not_depend_on_when_it_is_drained(
        pushes in vec((any::<bool>(), 0_u64..400, 1_usize..200), 1..40), cuts in vec(1_u64..300, 1..6),
    ) {
        // Audio lies ahead of everything drained, as the shell keeps it; then draining early or late is the same.
        let (mut late, mut early) = (TwoChannel::new(8_000), TwoChannel::new(8_000));
        let (mut late_out, mut early_out) = (Vec::new(), Vec::new());
        let mut base = 0;
        for (i, &(caller, ahead, n)) in pushes.iter().enumerate() {
            let pcm: Vec<i16> = (0..n).map(|k| (i * 200 + k) as i16).collect();
            for r in [&mut late, &mut early] {
                if caller { r.push_caller(base + ahead, &pcm) } else { r.push_agent(base + ahead, &pcm) }
            }
            base += cuts[i % cuts.len()].min(100);
            early.drain(base, &mut early_out);
        }
        let end = late.end_sample().max(base);
        late.drain(end, &mut late_out);
        early.drain(end, &mut early_out);
        prop_assert_eq!(early.dropped_samples(), late.dropped_samples());
        prop_assert_eq!(&late_out[..], &early_out[..]);
        prop_assert_eq!(late_out.len() as u64, end * 4);
    }

    #[test]
    fn wav_reading_never_panics(mut bytes in vec(any::<u8>(), 0..200), like in any::<bool>()) {
        if like {
            let mut file = wav::header(8_000, 1, bytes.len() as u64).to_vec();
            for (i, b) in bytes.iter().enumerate().take(8) { file[12 + usize::from(*b) % 32] = i as u8; }
            file.append(&mut bytes);
            bytes = file;
        }
        if let Ok(got) = wav::read(&bytes) {
            prop_assert!(got.channels > 0 && got.samples.len() % usize::from(got.channels) == 0);
        }
        if let Some(head) = bytes.first_chunk() { let _ = wav::repair_header(head, bytes.len() as u64); }
    }

    #[test]
    fn voice_events_alternate_and_never_run_backwards(
        blocks in vec((0_i16..20_000, 1_usize..3_000), 1..30), sizes in vec(1_usize..900, 1..5),
    ) {
        let pcm: Vec<i16> = blocks.iter().flat_map(|&(level, n)| (0..n).map(move |i| {
            (f32::from(level) * (i as f32 * 0.15).sin() * (i as f32 * 0.004).cos()) as i16
        })).collect();
        let (mut whole, mut cut) = (Vec::new(), Vec::new());
        VoiceDetector::new(8_000).push(&pcm, &mut whole);
        let mut detector = VoiceDetector::new(8_000);
        chunks(&pcm, &sizes).for_each(|c| detector.push(c, &mut cut));
        prop_assert_eq!(&whole, &cut);
        let mut last = 0;
        for (i, event) in whole.iter().enumerate() {
            let (begins, at_ms) = match *event {
                audio::voice::VoiceEvent::Began { at_ms } => (true, at_ms),
                audio::voice::VoiceEvent::Ended { at_ms } => (false, at_ms),
            };
            prop_assert_eq!(begins, i % 2 == 0);
            prop_assert!(at_ms >= last && at_ms <= detector.now_ms());
            last = at_ms;
        }
    }
}
