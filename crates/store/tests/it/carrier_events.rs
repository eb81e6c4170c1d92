//! Reports of carriers: each once, in any order, and what they leave a call with.

use crate::database::{Tenant, TestDatabase, agent_config, at, both_databases, object, owner};
use chrono::{DateTime, Duration, Utc};
use model::{AgentConfig, CallId, CallStatus, EndedReason, RecordingSource, RecordingStatus};
use serde_json::json;
use store::calls::{Call, CarrierWord};
use store::carrier_events::{self, NewCarrierEvent, Taken};
use store::phone_numbers::{self, BasicProof, WebhookProofs};
use store::{Error, PageRequest, agents, calls, jobs, recordings};

const RECORDING: &str = "https://recordings.exotel.com/a/b.mp3";

async fn take(
    db: &TestDatabase,
    tenant: &Tenant,
    call: CallId,
    key: u8,
    word: CarrierWord<'_>,
) -> Result<Taken, Error> {
    let event = NewCarrierEvent { kind: "status", key: [key; 32], data: object(json!({ "key": key })), word };
    db.write(tenant.id, async |tx| carrier_events::take(tx, call, &event, at(i64::from(key))).await).await
}

fn status(status: CallStatus) -> CarrierWord<'static> {
    CarrierWord { status: Some(status), ..CarrierWord::default() }
}

/// When recordings are to be fetched.
async fn fetches(db: &TestDatabase) -> Result<Vec<DateTime<Utc>>, Error> {
    let all = db.system(async |tx| jobs::list(tx, None, None, PageRequest::default()).await).await?.items;
    assert!(all.iter().all(|job| job.name == recordings::FETCH_JOB));
    Ok(all.into_iter().map(|job| job.run_at).collect())
}

/// What the carrier said, of the row.
fn said(call: &Call) -> (Option<CallStatus>, Option<u64>, bool, Option<&str>) {
    let ended = call.carrier_ended_at.is_some();
    (call.carrier_status, call.carrier_duration_s, ended, call.carrier_recording_url.as_deref())
}

both_databases! {
    async fn a_report_is_taken_once(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let busy = status(CallStatus::Busy);
        assert!(matches!(take(db, &tenant, call, 1, busy).await?, Taken::Closed));
        // The same again says nothing new, even if its meaning were another.
        let failed = CarrierWord { recording_url: Some(RECORDING), ..status(CallStatus::Failed) };
        assert_eq!(take(db, &tenant, call, 1, failed).await?, Taken::Repeated);
        let kept = db.get_call(&tenant, call).await?;
        assert_eq!((kept.status, said(&kept)), (CallStatus::Busy, (Some(CallStatus::Busy), None, false, None)));
        assert!(matches!(take(db, &tenant, call, 2, failed).await?, Taken::Noted));
        let events = db.read(tenant.id, async |tx| carrier_events::of_call(tx, call).await).await?;
        let kinds: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.created_at)).collect();
        assert_eq!(kinds, [("status", at(1)), ("status", at(2))]);
        assert_eq!(events[1].data, object(json!({ "key": 2 })));
        // The same words about another call are another report.
        let other = db.call(&tenant, "sid-2", at(0)).await?.id;
        assert!(matches!(take(db, &tenant, other, 1, busy).await?, Taken::Closed));
        Ok(())
    }

    async fn the_order_of_reports_does_not_matter(db) {
        let tenant = db.tenant("+918037091588").await?;
        let ended = CarrierWord { duration_s: Some(28), ended_at: Some(at(30)), ..status(CallStatus::Completed) };
        let thin = CarrierWord { duration_s: Some(27), ..status(CallStatus::Completed) };
        let recorded =
            CarrierWord { recording_url: Some(RECORDING), recording_due_at: Some(at(330)), ..CarrierWord::default() };
        let words = [status(CallStatus::Ringing), status(CallStatus::InProgress), thin, ended, recorded];
        let mut seen = Vec::new();
        for (n, order) in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [3, 0, 4, 1, 2], [2, 4, 1, 3, 0]].into_iter().enumerate() {
            let call = db.call(&tenant, &format!("sid-{n}"), at(0)).await?.id;
            for word in order {
                take(db, &tenant, call, u8::try_from(word)?, words[word]).await?;
            }
            let call = db.get_call(&tenant, call).await?;
            assert_eq!(said(&call), (Some(CallStatus::Completed), Some(28), true, Some(RECORDING)), "{order:?}");
            assert_eq!((call.carrier_ended_at, call.carrier_recording_due_at), (Some(at(30)), Some(at(330))));
            seen.push(call.status);
        }
        assert_eq!(seen, [CallStatus::NoAnswer; 4], "no media came");
        Ok(())
    }

    async fn a_call_to_place_rings_when_the_carrier_says_so(db) {
        let tenant = db.tenant("+918037091588").await?;
        let mut new = tenant.new_call("sid-1");
        new.status = CallStatus::Queued;
        let call = db.write(tenant.id, async |tx| calls::create(tx, &new, at(0)).await).await?.into_call().id;
        take(db, &tenant, call, 1, status(CallStatus::Ringing)).await?;
        assert_eq!(db.get_call(&tenant, call).await?.status, CallStatus::Ringing);
        take(db, &tenant, call, 2, status(CallStatus::InProgress)).await?;
        let call = db.get_call(&tenant, call).await?;
        // Whether media flows, the carrier does not know.
        assert_eq!((call.status, call.carrier_status), (CallStatus::Ringing, Some(CallStatus::InProgress)));
        Ok(())
    }

    async fn at_once_a_report_is_taken_once(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let all = (0..8).map(|_| take(db, &tenant, call, 1, status(CallStatus::Failed)));
        let mut new = 0;
        for taken in futures_util::future::join_all(all).await {
            // A database that is too busy says so; the carrier sends again.
            new += usize::from(matches!(taken, Ok(Taken::Closed)));
            assert!(matches!(taken, Ok(Taken::Closed | Taken::Repeated) | Err(Error::Busy)), "{taken:?}");
        }
        assert_eq!(new, 1);
        Ok(())
    }

    async fn a_call_has_so_many_reports_and_no_more(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        for key in 0..100 {
            assert!(matches!(take(db, &tenant, call, key, CarrierWord::default()).await?, Taken::Noted));
        }
        assert_eq!(take(db, &tenant, call, 101, status(CallStatus::Failed)).await?, Taken::TooMany);
        assert_eq!(db.get_call(&tenant, call).await?.status, CallStatus::Ringing);
        Ok(())
    }

    async fn anothers_call_takes_no_report(db) {
        let (ours, theirs) = (db.tenant("+918037091588").await?, db.tenant("+918037091589").await?);
        let call = db.call(&theirs, "sid-1", at(0)).await?.id;
        let taken = take(db, &ours, call, 1, status(CallStatus::Failed)).await;
        assert!(matches!(taken, Err(Error::NotFound)), "{taken:?}");
        assert_eq!(db.get_call(&theirs, call).await?.carrier_status, None);
        let events = db.read(ours.id, async |tx| carrier_events::of_call(tx, call).await).await?;
        assert_eq!(events, []);
        Ok(())
    }

    async fn a_signed_request_is_known_for_an_hour(db) {
        let (ours, theirs) = (db.tenant("+918037091588").await?, db.tenant("+918037091589").await?);
        let first_time = async |tenant: &Tenant, key: u8, s: i64| {
            db.write(tenant.id, async |tx| carrier_events::first_time(tx, [key; 32], at(s)).await).await
        };
        assert!(first_time(&ours, 1, 0).await?);
        assert!(!first_time(&ours, 1, 1).await?);
        assert!(first_time(&ours, 2, 1).await?);
        let came_before = async |tenant: &Tenant, key: u8| {
            db.read(tenant.id, async |tx| carrier_events::came_before(tx, [key; 32]).await).await
        };
        assert!(came_before(&ours, 1).await? && !came_before(&theirs, 1).await? && !came_before(&ours, 9).await?);
        assert!(first_time(&theirs, 1, 1).await?);
        // What its transaction did not keep may come again.
        let undone: Result<(), Error> = db.write(ours.id, async |tx| {
            assert!(carrier_events::first_time(tx, [3; 32], at(2)).await?);
            Err(Error::NotFound)
        }).await;
        assert!(undone.is_err());
        assert!(first_time(&ours, 3, 3).await?);
        assert!(!first_time(&ours, 1, 3_600).await?);
        assert!(first_time(&ours, 4, 3_602).await?);
        assert_eq!(db.number("select count(*) from signed_requests").await, 3);
        Ok(())
    }

    async fn a_number_has_its_proofs(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = tenant.number.id;
        assert_eq!(tenant.number.webhook_proofs, WebhookProofs::default());
        assert!(WebhookProofs::default().signature && WebhookProofs::default().path_token);
        let proofs = WebhookProofs {
            signature: false,
            path_token: false,
            basic: Some(BasicProof { username: "exotel".to_owned(), hash: [7; 32] }),
            addresses: vec!["203.0.113.0/24".to_owned()],
        };
        let set = db.write(tenant.id, async |tx| phone_numbers::set_webhook_proofs(tx, id, &proofs).await).await?;
        assert_eq!(set.webhook_proofs, proofs);
        let found = db.system(async |tx| phone_numbers::find(tx, id).await).await?;
        assert_eq!(found.map(|number| number.webhook_proofs), Some(proofs.clone()));
        assert!(!format!("{proofs:?}").contains("exotel"));
        let none = WebhookProofs { basic: None, addresses: Vec::new(), ..proofs };
        let refused = db.write(tenant.id, async |tx| phone_numbers::set_webhook_proofs(tx, id, &none).await).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        Ok(())
    }

    async fn a_report_of_a_recording_has_it_fetched_once(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        db.write(tenant.id, async |tx| calls::begin_media(tx, call, &owner("a", 1), at(1), Duration::seconds(30)).await)
            .await?;
        let recorded = CarrierWord { recording_url: Some(RECORDING), ..status(CallStatus::Completed) };
        take(db, &tenant, call, 1, status(CallStatus::Completed)).await?;
        assert!(fetches(db).await?.is_empty());
        take(db, &tenant, call, 2, recorded).await?;
        assert_eq!(fetches(db).await?, [at(2 + 30)], "half a minute after it came");
        take(db, &tenant, call, 2, recorded).await?;
        take(db, &tenant, call, 3, CarrierWord { recording_due_at: Some(at(400)), ..recorded }).await?;
        assert_eq!(fetches(db).await?, [at(2 + 30)], "once");
        let recordings = db.read(tenant.id, async |tx| recordings::of_call(tx, call).await).await?;
        let kinds: Vec<_> = recordings.iter().map(|r| (r.source, r.status)).collect();
        assert_eq!(kinds, [(RecordingSource::Carrier, RecordingStatus::Awaited)]);
        Ok(())
    }

    async fn a_recording_is_looked_for_when_the_carrier_says_it_is_there(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let due = CarrierWord { recording_due_at: Some(at(330)), ..status(CallStatus::InProgress) };
        take(db, &tenant, call, 1, due).await?;
        assert!(fetches(db).await?.is_empty());
        take(db, &tenant, call, 2, CarrierWord { recording_url: Some(RECORDING), ..CarrierWord::default() }).await?;
        assert_eq!(fetches(db).await?, [at(330)], "said before");
        Ok(())
    }

    async fn a_recording_is_looked_for_within_an_hour_whatever_the_carrier_says(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let far = CarrierWord {
            recording_url: Some(RECORDING),
            recording_due_at: Some(at(90_000)),
            ..status(CallStatus::InProgress)
        };
        take(db, &tenant, call, 1, far).await?;
        assert_eq!(fetches(db).await?, [at(3_601)]);
        assert_eq!(db.get_call(&tenant, call).await?.carrier_recording_due_at, Some(at(3_601)));
        Ok(())
    }

    async fn another_address_brings_a_recording_back_that_was_given_up(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let recorded = CarrierWord { recording_url: Some("http://nowhere/a"), ..status(CallStatus::InProgress) };
        take(db, &tenant, call, 1, recorded).await?;
        let elsewhere = CarrierWord { recording_url: Some(RECORDING), ..CarrierWord::default() };
        let stands = async || {
            let all = db.read(tenant.id, async |tx| recordings::of_call(tx, call).await).await?;
            Ok::<_, Error>((all[0].id, all[0].status))
        };
        // The job ends with its recording.
        let lose = async |id| {
            db.system(async |tx| {
                for job in jobs::claim(tx, &["default"], "a", at(9_999), Duration::seconds(9), 9).await? {
                    jobs::dead(tx, job.id, "a", "refused", at(9_999)).await?;
                }
                recordings::failed(tx.tenant(tenant.id).await?, id, "refused", at(9)).await
            })
            .await
        };
        let (id, _) = stands().await?;
        assert!(lose(id).await?);
        take(db, &tenant, call, 2, recorded).await?;
        assert_eq!((stands().await?, fetches(db).await?.len()), ((id, RecordingStatus::Failed), 1), "where it was");
        take(db, &tenant, call, 3, elsewhere).await?;
        assert_eq!((stands().await?, fetches(db).await?.len()), ((id, RecordingStatus::Awaited), 2));
        // While it is awaited its job reads the new address by itself.
        take(db, &tenant, call, 4, recorded).await?;
        assert_eq!((stands().await?, fetches(db).await?.len()), ((id, RecordingStatus::Awaited), 2));
        Ok(())
    }

    async fn without_a_conversation_nothing_is_fetched(db) {
        let tenant = db.tenant("+918037091588").await?;
        for (n, (said, media, fetched)) in [
            (CallStatus::Busy, false, false),
            (CallStatus::NoAnswer, false, false),
            (CallStatus::Failed, false, false),
            (CallStatus::Canceled, false, false),
            (CallStatus::Completed, false, false),
            (CallStatus::InProgress, false, true),
            (CallStatus::Ringing, false, true),
            (CallStatus::Completed, true, true),
            // It broke, and what was said until then is recorded.
            (CallStatus::Failed, true, true),
        ]
        .into_iter()
        .enumerate()
        {
            let call = db.call(&tenant, &format!("sid-{n}"), at(0)).await?.id;
            if media {
                let (me, lease) = (owner("a", 1), Duration::seconds(30));
                db.write(tenant.id, async |tx| {
                    calls::begin_media(tx, call, &me, at(1), lease).await?;
                    let end = EndedReason::CarrierLost;
                    calls::finish(tx, call, end, at(9), 8_000, &object(json!({}))).await
                })
                .await?;
            }
            take(db, &tenant, call, 1, CarrierWord { recording_url: Some(RECORDING), ..status(said) }).await?;
            let recordings = db.read(tenant.id, async |tx| recordings::of_call(tx, call).await).await?;
            assert_eq!(!recordings.is_empty(), fetched, "{said}, media: {media}");
        }
        assert_eq!(fetches(db).await?.len(), 4);
        Ok(())
    }

    async fn an_agent_that_wants_no_recordings_has_none_fetched(db) {
        let tenant = db.tenant("+918037091588").await?;
        let config = AgentConfig { record: false, ..agent_config("Namaste") };
        db.write(tenant.id, async |tx| agents::update(tx, tenant.agent, "Asha", &config, at(0)).await.map(|_| ())).await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let recorded = CarrierWord { recording_url: Some(RECORDING), ..status(CallStatus::InProgress) };
        assert_eq!(take(db, &tenant, call, 1, recorded).await?, Taken::Noted);
        assert!(fetches(db).await?.is_empty());
        let recordings = db.read(tenant.id, async |tx| recordings::of_call(tx, call).await).await?;
        assert_eq!(recordings, []);
        assert_eq!(said(&db.get_call(&tenant, call).await?).3, Some(RECORDING), "what was said is kept");
        Ok(())
    }
}
