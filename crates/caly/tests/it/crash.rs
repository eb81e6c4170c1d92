//! The process dies in the middle of a call; the next start finds everything and puts it right.

use crate::place::{both_databases, eventually};
use crate::telephone;
use crate::voice;
use crate::world::{World, channel_dbfs, length_ms, talker};
use model::{CallStatus, EndedReason, TurnRole};
use std::time::Duration;
use testkit::carrier::{Closed, RecordedCaller};

/// Bytes of a spool file with so many seconds in it: two channels of 16 bit at 8 kHz.
const fn spooled_bytes(seconds: u64) -> u64 {
    44 + seconds * 32_000
}

both_databases! {
    async fn after_kill_9_nothing_is_lost(place) {
        let world = World::new(place, talker(90)).await;
        let mut server = world.serve(&[]).await;
        let mut caller = RecordedCaller::new(voice::say(8_000, 20_000), 60_000);
        let (seen, ()) = tokio::join!(Box::pin(telephone::call(&server, &mut caller, |options| options.report_end = false)), async {
            eventually("three seconds are on disk", Duration::from_secs(20), async || {
                let name = place.files("spool").into_iter().find(|name| name.ends_with(".wav"))?;
                let spooled = std::fs::metadata(place.data("spool").join(name)).ok()?.len();
                (spooled > spooled_bytes(3)).then_some(())
            })
            .await;
            server.signal(rustix::process::Signal::KILL);
        });
        server.kill().await;
        assert!(matches!(seen.closed, Closed::ByServer { .. } | Closed::Failed { .. }), "{:?}", seen.closed);
        let call = world.call(&seen.call_id).await.expect("the call");
        assert_eq!((call.status, call.ended_reason), (CallStatus::InProgress, None));
        assert_eq!(place.files("spool").len(), 1);

        let server = world.serve(&[]).await;
        let call = world.ended(&seen.call_id).await;
        assert_eq!((call.status, call.ended_reason), (CallStatus::Failed, Some(EndedReason::CalyCrash)));
        let (recording, wav) = world.stored_recording(call.id).await;
        assert_eq!((wav.channels, wav.rate), (2, 8_000));
        let (length, ran) = (length_ms(&wav), seen.duration_ms);
        assert!(length + 2_000 >= ran && length <= ran + 500, "{length} ms of {ran} ms");
        assert_eq!(recording.duration_ms, Some(length));
        assert!(channel_dbfs(&wav, 0) > -45.0 && channel_dbfs(&wav, 1) > -45.0, "both sides are there");
        assert_eq!(place.files("spool"), Vec::<String>::new());
        assert_eq!(world.audited("call.ended").await.len(), 1);
        let kinds: Vec<String> = world.messages(call.id).await.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["call.started", "call.ended", "recording.ready"]);
        server.stop().await;

        // A third start has nothing left to do.
        let server = world.serve(&[]).await;
        assert!(!server.output().contains("repaired what was left behind"), "{}", server.output());
        server.stop().await;
        assert_eq!(world.audited("call.ended").await.len(), 1);
    }

    /// What was said before the crash is in the transcript.
    async fn turns_are_kept_as_they_happen(place) {
        let world = World::new(place, talker(2)).await;
        let mut server = world.serve(&[]).await;
        let mut caller = RecordedCaller::new(Vec::new(), 60_000);
        let carrier = Box::pin(telephone::call(&server, &mut caller, |options| options.report_end = false));
        let (seen, ()) = tokio::join!(carrier, async {
            eventually("the greeting is in the database", Duration::from_secs(20), async || {
                let call = world.calls().await.pop()?;
                world.turns(call.id).await.pop()
            })
            .await;
            server.signal(rustix::process::Signal::KILL);
        });
        server.kill().await;
        let server = world.serve(&[]).await;
        let call = world.ended(&seen.call_id).await;
        let turns = world.turns(call.id).await;
        assert_eq!((turns[0].role, turns[0].text.as_str()), (TurnRole::Agent, "words words"));
        assert!(call.duration_ms >= Some(turns[0].ended_ms), "{call:?}");
        server.stop().await;
    }
}
