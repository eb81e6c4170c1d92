//! The pacer, step by step.

use audio::pace::{Cleared, FrameRule, LEAD_MS_MAX, Out, OutKind, Pacer, QUEUE_S_MAX, QueueFull, SPEECHES_MAX};

/// Exotel at 8 kHz: 100 ms frames, 300 ms ahead.
const EXOTEL: FrameRule =
    FrameRule { sample_rate_hz: 8_000, frame_ms: 100, multiple_samples: 160, lead_ms: 300, burst_ms: 0 };

/// Everything due now, as `(speech, samples)` for frames and `(speech, 0)` for marks.
fn due(pacer: &mut Pacer, now_ms: u64) -> Vec<(u64, usize)> {
    std::iter::from_fn(|| pacer.next(now_ms))
        .map(|out| match out {
            Out::Frame { speech, samples } => (speech, samples.len()),
            Out::Mark { speech } => (speech, 0),
        })
        .collect()
}

fn pcm(ms: usize) -> Vec<i16> {
    (0..ms * 8).map(|i| (i % 1_000) as i16 + 1).collect()
}

#[test]
fn a_speech_goes_out_in_frames_with_a_lead() {
    let mut p = Pacer::new(EXOTEL);
    assert_eq!((p.next_at_ms(), p.is_idle(0), p.next(0)), (None, true, None));
    p.push(7, &pcm(500)).expect("room");
    p.finish(7);
    assert_eq!(due(&mut p, 1_000), [(7, 800), (7, 800), (7, 800)], "300 ms ahead at once");
    assert_eq!((p.playout_end_ms(), p.next_at_ms(), p.queued_ms()), (1_300, Some(1_100), 200));
    assert_eq!(due(&mut p, 1_099), []);
    assert_eq!(due(&mut p, 1_100), [(7, 800)]);
    assert_eq!(due(&mut p, 1_200), [(7, 800), (7, 0)], "the mark follows the last frame at once");
    assert_eq!((p.next_at_ms(), p.playing(1_499), p.is_idle(1_499)), (None, Some(7), false));
    assert_eq!((p.playing(1_500), p.is_idle(1_500)), (None, true));
    assert_eq!((p.underruns(), p.gap_ms()), (0, 0));
}

#[test]
fn the_last_frame_is_padded_with_silence() {
    let mut p = Pacer::new(EXOTEL);
    p.push(1, &[9; 1_000]).expect("room");
    p.finish(1);
    assert_eq!(p.next(0), Some(Out::Frame { speech: 1, samples: vec![9; 800] }));
    let Some(Out::Frame { samples, .. }) = p.next(0) else { panic!("a frame") };
    assert_eq!(samples, [vec![9; 200], vec![0; 120]].concat());
    assert_eq!(p.next(0), Some(Out::Mark { speech: 1 }));
    assert_eq!(p.next(0), None);
}

#[test]
fn frames_keep_to_the_multiple_at_every_rate() {
    for (sample_rate_hz, frame_ms, want) in [
        (8_000, 100, 800),
        (16_000, 100, 1_600),
        (24_000, 100, 2_400),
        (24_000, 20, 480),
        (8_000, 30, 320),
        (8_000, 0, 160),
    ] {
        let p = Pacer::new(FrameRule { sample_rate_hz, frame_ms, ..EXOTEL });
        assert_eq!(p.frame_samples(), want, "{sample_rate_hz} Hz, {frame_ms} ms");
    }
}

#[test]
fn an_incomplete_frame_waits_until_playout_would_run_dry() {
    let mut p = Pacer::new(EXOTEL);
    p.push(1, &pcm(150)).expect("room");
    assert_eq!(due(&mut p, 0), [(1, 800)], "100 ms; 50 ms wait for their frame");
    assert_eq!(p.next_at_ms(), Some(80), "20 ms before the end");
    assert_eq!(due(&mut p, 79), []);
    assert_eq!(due(&mut p, 80), [(1, 320)], "two multiples of 20 ms; 10 ms stay");
    assert_eq!(p.next_at_ms(), None, "under a multiple: only more audio helps");
    p.push(1, &pcm(90)).expect("room");
    assert_eq!(due(&mut p, 81), [(1, 800)]);
    p.finish(1);
    assert_eq!(due(&mut p, 82), [(1, 0)]);
    assert_eq!(p.underruns(), 0);
}

#[test]
fn the_first_audio_of_an_answer_does_not_wait_for_a_full_frame() {
    let mut p = Pacer::new(EXOTEL);
    p.push(1, &pcm(40)).expect("room");
    assert_eq!(due(&mut p, 5_000), [(1, 320)]);
}

#[test]
fn speeches_play_in_the_order_of_their_first_push() {
    let mut p = Pacer::new(FrameRule { lead_ms: 5_000, ..EXOTEL });
    p.push(5, &pcm(100)).expect("room");
    p.push(3, &pcm(100)).expect("room");
    p.finish(3);
    assert_eq!(due(&mut p, 0), [(5, 800)], "3 waits for the end of 5");
    p.push(5, &pcm(100)).expect("room");
    p.finish(5);
    assert_eq!(due(&mut p, 10), [(5, 800), (5, 0), (3, 800), (3, 0)]);
    assert_eq!([p.playing(0), p.playing(199), p.playing(200), p.playing(300)], [Some(5), Some(5), Some(3), None]);
}

#[test]
fn a_speech_without_sound_gives_its_mark_in_its_place() {
    let mut p = Pacer::new(EXOTEL);
    p.push(1, &pcm(200)).expect("room");
    p.push(2, &[]).expect("room");
    p.push(3, &pcm(100)).expect("room");
    for speech in [1, 2, 3] {
        p.finish(speech);
    }
    assert_eq!(due(&mut p, 0), [(1, 800), (1, 800), (1, 0), (2, 0), (3, 800), (3, 0)]);
    p.finish(4);
    assert_eq!(p.next_at_ms(), Some(0));
    assert_eq!(due(&mut p, 0), [(4, 0)]);
}

#[test]
fn a_barge_in_says_what_was_heard() {
    let mut p = Pacer::new(EXOTEL);
    p.push(1, &pcm(100)).expect("room");
    p.finish(1);
    p.push(2, &pcm(500)).expect("room");
    p.finish(2);
    p.push(3, &pcm(40)).expect("room");
    assert_eq!(due(&mut p, 0).len(), 4);
    let got = p.clear(150);
    let want = [
        Cleared { speech: 2, heard_ms: 50, total_ms: Some(500), queued_ms: 300 },
        Cleared { speech: 3, heard_ms: 0, total_ms: None, queued_ms: 40 },
    ];
    assert_eq!(got, want, "1 was heard to its end");
    assert_eq!((p.is_idle(150), p.playing(150), p.next(150), p.next_at_ms()), (true, None, None, None));
    assert_eq!((p.playout_end_ms(), p.queued_ms(), p.clear(150)), (150, 0, vec![]));
    p.push(9, &pcm(100)).expect("room");
    assert_eq!(due(&mut p, 160), [(9, 800)]);
    assert_eq!((p.playout_end_ms(), p.underruns()), (260, 0));
}

#[test]
fn padding_is_not_heard_speech() {
    let mut p = Pacer::new(EXOTEL);
    p.push(1, &pcm(110)).expect("room");
    p.finish(1);
    due(&mut p, 0);
    assert_eq!(p.clear(119), [Cleared { speech: 1, heard_ms: 110, total_ms: Some(110), queued_ms: 0 }]);
}

#[test]
fn heard_leaves_out_the_gaps() {
    let mut p = Pacer::new(EXOTEL);
    p.push(1, &pcm(100)).expect("room");
    due(&mut p, 0);
    p.push(1, &pcm(100)).expect("room");
    due(&mut p, 300);
    assert_eq!((p.underruns(), p.gap_ms()), (1, 200));
    assert_eq!(p.clear(350), [Cleared { speech: 1, heard_ms: 150, total_ms: None, queued_ms: 0 }]);
}

#[test]
fn pauses_between_speeches_and_short_gaps_are_no_underrun() {
    let mut p = Pacer::new(EXOTEL);
    for (speech, at_ms) in [(1, 0), (2, 1_000)] {
        p.push(speech, &pcm(100)).expect("room");
        p.finish(speech);
        due(&mut p, at_ms);
    }
    p.push(3, &pcm(100)).expect("room");
    due(&mut p, 2_000);
    p.push(3, &pcm(100)).expect("room");
    due(&mut p, 2_120);
    assert_eq!(p.underruns(), 0, "20 ms are no gap");
    p.push(3, &pcm(100)).expect("room");
    due(&mut p, 2_241);
    assert_eq!((p.underruns(), p.gap_ms()), (1, 21));
}

#[test]
fn a_mark_that_comes_back_is_exact() {
    let mut p = Pacer::new(FrameRule { lead_ms: 1_000, ..EXOTEL });
    for speech in [1, 2, 3] {
        p.push(speech, &pcm(100)).expect("room");
        p.finish(speech);
    }
    assert_eq!(due(&mut p, 0).len(), 6);
    p.played(2);
    assert_eq!(p.clear(90), [Cleared { speech: 3, heard_ms: 0, total_ms: Some(100), queued_ms: 0 }]);
    // Marks nobody waits for change nothing.
    p.played(1);
    p.push(4, &pcm(100)).expect("room");
    p.played(4);
    assert_eq!(p.queued_ms(), 100);
}

#[test]
fn the_queue_is_bounded() {
    let mut p = Pacer::new(EXOTEL);
    let second = pcm(1_000);
    for _ in 0..QUEUE_S_MAX {
        p.push(1, &second).expect("room");
    }
    assert_eq!(p.push(1, &[1]), Err(QueueFull { free_samples: 0 }));
    assert_eq!(p.push(1, &[]), Ok(()));
    due(&mut p, 0);
    assert_eq!(p.push(1, &second), Err(QueueFull { free_samples: 2_400 }));
    assert_eq!(p.free_samples(), 2_400);
    p.clear(0);
    assert_eq!(p.push(1, &second), Ok(()));
}

#[test]
fn the_number_of_speeches_is_bounded() {
    let mut p = Pacer::new(EXOTEL);
    for speech in 0..SPEECHES_MAX as u64 {
        p.push(speech, &[]).expect("room");
    }
    assert!(p.push(u64::MAX, &[]).is_err());
    p.finish(u64::MAX);
    assert_eq!(p.clear(0).len(), SPEECHES_MAX);
}

#[test]
fn a_late_shell_catches_up_without_exceeding_the_lead() {
    let mut p = Pacer::new(EXOTEL);
    p.push(1, &pcm(2_000)).expect("room");
    assert_eq!(due(&mut p, 0).len(), 3);
    assert_eq!(due(&mut p, 1_000).len(), 3);
    assert_eq!(p.playout_end_ms(), 1_300);
    assert_eq!((p.underruns(), p.gap_ms()), (1, 700));
}

#[test]
fn the_buffer_is_reused() {
    let mut p = Pacer::new(EXOTEL);
    p.push(1, &pcm(300)).expect("room");
    p.finish(1);
    let mut buffer = vec![1; 5_000];
    let place = buffer.as_ptr();
    for _ in 0..3 {
        assert_eq!(p.next_into(0, &mut buffer), Some(OutKind::Frame { speech: 1 }));
        assert_eq!((buffer.len(), buffer.as_ptr()), (800, place));
    }
    assert_eq!(p.next_into(0, &mut buffer), Some(OutKind::Mark { speech: 1 }));
    assert!(buffer.is_empty());
}

#[test]
fn rates_that_do_not_divide_do_not_drift() {
    let mut p =
        Pacer::new(FrameRule { sample_rate_hz: 24_000, frame_ms: 1, multiple_samples: 160, lead_ms: 50, burst_ms: 0 });
    assert_eq!(p.frame_samples(), 160);
    let minute = vec![1; 24_000 * 60];
    p.push(1, &minute).expect("room");
    p.finish(1);
    let (mut now_ms, mut frames) = (0, 0);
    while let Some(at_ms) = p.next_at_ms() {
        now_ms = now_ms.max(at_ms);
        frames += due(&mut p, now_ms).len();
    }
    assert_eq!((frames, p.playout_end_ms(), p.underruns()), (9_000 + 1, 60_000, 0));
}

#[test]
fn silly_rules_and_times_do_no_harm() {
    let silly = FrameRule { sample_rate_hz: 0, frame_ms: 0, multiple_samples: 0, lead_ms: 0, burst_ms: 0 };
    let huge = FrameRule {
        sample_rate_hz: u32::MAX,
        frame_ms: u32::MAX,
        multiple_samples: usize::MAX,
        lead_ms: u64::MAX,
        burst_ms: u64::MAX,
    };
    for rule in [silly, huge] {
        let mut p = Pacer::new(rule);
        p.push(1, &[1; 100]).expect("room");
        p.finish(1);
        assert!(p.next(u64::MAX).is_some());
        assert!(p.playout_end_ms() < u64::MAX);
        p.clear(u64::MAX);
        p.clear(0);
    }
    let p = Pacer::new(huge);
    assert!(p.frame_samples() as u64 <= LEAD_MS_MAX * 192);
}

/// When something goes out, and how many frames at once.
fn bursts(p: &mut Pacer, until_ms: u64) -> Vec<(u64, usize)> {
    let (mut all, mut buffer) = (Vec::new(), Vec::new());
    for now_ms in 0..until_ms {
        let mut frames = 0;
        while let Some(out) = p.next_into(now_ms, &mut buffer) {
            frames += usize::from(matches!(out, OutKind::Frame { .. }));
        }
        if frames > 0 {
            all.push((now_ms, frames));
        }
    }
    all
}

#[test]
fn frames_go_out_together_while_there_is_enough_to_hear() {
    let mut p = Pacer::new(FrameRule { burst_ms: 200, ..EXOTEL });
    p.push(1, &[1; 8_000]).expect("room");
    p.finish(1);
    // A full lead at once, then two whenever only 100 ms are left; the last one when its turn comes.
    assert_eq!(bursts(&mut p, 2_000), [(0, 3), (200, 2), (400, 2), (600, 2), (800, 1)]);
    assert_eq!((p.underruns(), p.is_idle(2_000)), (0, true));
}

#[test]
fn small_frames_make_one_write_in_place_of_ten() {
    let mut p = Pacer::new(FrameRule { frame_ms: 20, burst_ms: 200, ..EXOTEL });
    p.push(1, &[1; 8_000]).expect("room");
    p.finish(1);
    assert_eq!(bursts(&mut p, 2_000), [(0, 15), (200, 10), (400, 10), (600, 10), (800, 5)]);
}

#[test]
fn what_comes_late_is_not_held_back() {
    let mut p = Pacer::new(FrameRule { burst_ms: 200, ..EXOTEL });
    p.push(1, &[1; 400]).expect("room");
    assert_eq!(bursts(&mut p, 10), [(0, 1)], "what there is of the first frame");
    p.push(1, &[1; 1_600]).expect("room");
    let mut buffer = Vec::new();
    assert!(p.next_into(60, &mut buffer).is_some(), "nothing else is left to hear");
}
