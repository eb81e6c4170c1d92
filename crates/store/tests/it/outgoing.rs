//! Calls that Caly places: dialled once, taken back only before, and ended by the right reason.

use crate::database::{Tenant, TestDatabase, at, both_databases, object, owner, phone};
use chrono::Duration;
use model::{CallDirection, CallId, CallStatus, EndedReason};
use serde_json::json;
use std::collections::BTreeSet;
use store::calls::{
    self, Call, CarrierWord, Created, NewCall, RINGING_EXPIRES_AFTER_S, Reported, UNDIALED_EXPIRES_AFTER_H,
};
use store::{Error, PageRequest, Store, jobs, outbox};

const LEASE: Duration = Duration::seconds(30);
const DAY_S: i64 = UNDIALED_EXPIRES_AFTER_H * 3_600;

fn order(tenant: &Tenant) -> NewCall {
    NewCall {
        carrier_call_id: None,
        direction: CallDirection::Outgoing,
        status: CallStatus::Queued,
        from: Some(tenant.number.number.clone()),
        to: Some(phone("+919812345678")),
        ..tenant.new_call("")
    }
}

/// A call to be placed.
async fn queued(db: &TestDatabase, tenant: &Tenant, now: i64) -> Result<CallId, Error> {
    let new = order(tenant);
    let made = db.write(tenant.id, async |tx| calls::create(tx, &new, at(now)).await).await?;
    let Created::Created(call) = made else { panic!("{made:?}") };
    Ok(call.id)
}

async fn begin_dialing(db: &TestDatabase, tenant: &Tenant, id: CallId, token: u8, now: i64) -> Result<bool, Error> {
    db.write(tenant.id, async |tx| calls::begin_dialing(tx, id, [token; 32], at(now)).await).await
}

async fn dialed(db: &TestDatabase, tenant: &Tenant, id: CallId, sid: &str) -> Result<Call, Error> {
    db.write(tenant.id, async |tx| calls::dialed(tx, id, sid).await).await
}

async fn cancel(db: &TestDatabase, tenant: &Tenant, id: CallId) -> Result<bool, Error> {
    db.write(tenant.id, async |tx| calls::cancel(tx, id, at(50)).await).await
}

async fn begin_media(db: &TestDatabase, tenant: &Tenant, id: CallId) -> Result<bool, Error> {
    db.write(tenant.id, async |tx| calls::begin_media(tx, id, &owner("a", 1), at(20), LEASE).await).await
}

async fn reported(db: &TestDatabase, tenant: &Tenant, id: CallId, status: CallStatus) -> Result<Reported, Error> {
    let word = CarrierWord { status: Some(status), ..CarrierWord::default() };
    db.write(tenant.id, async |tx| calls::carrier_reported(tx, id, &word, at(70)).await).await
}

/// A call that was ordered and that the carrier named.
async fn ringing(db: &TestDatabase, tenant: &Tenant, sid: &str, token: u8) -> Result<CallId, Error> {
    let id = queued(db, tenant, 0).await?;
    assert!(begin_dialing(db, tenant, id, token, 1).await?);
    dialed(db, tenant, id, sid).await?;
    Ok(id)
}

/// Runs both at the same time, on connections of their own.
async fn race<A: Send + 'static, B: Send + 'static>(
    one: impl Future<Output = Result<A, Error>> + Send + 'static,
    other: impl Future<Output = Result<B, Error>> + Send + 'static,
) -> Result<(A, B), Error> {
    let (one, other) = (tokio::spawn(one), tokio::spawn(other));
    Ok((one.await.expect("no panic")?, other.await.expect("no panic")?))
}

both_databases! {
    async fn an_order_is_kept_as_given(db) {
        let tenant = db.tenant("+918037091588").await?;
        let variables = object(json!({ "name": "Ravi", "visits": 2, "address": { "city": "पुणे" } }));
        let new = NewCall { variables: variables.clone(), ..order(&tenant) };
        let call = db.write(tenant.id, async |tx| calls::create(tx, &new, at(3)).await).await?.into_call();
        let kept = db.get_call(&tenant, call.id).await?;
        assert_eq!(kept, call);
        assert_eq!((kept.variables, kept.status), (variables, CallStatus::Queued));
        assert_eq!((kept.dialed_at, kept.transfer_to, kept.transferred_at), (None, None, None));
        let incoming = db.call(&tenant, "sid-1", at(0)).await?;
        assert_eq!(incoming.variables, object(json!({})));
        Ok(())
    }

    async fn dialling_begins_exactly_once(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = queued(db, &tenant, 0).await?;
        let mut runners = tokio::task::JoinSet::new();
        for n in 0..16_u8 {
            let (store, tenant) = (db.store.clone(), tenant.id);
            runners.spawn(async move {
                store
                    .write::<_, Error, _>(tenant, "test.dial", async |tx| {
                        calls::begin_dialing(tx, id, [n; 32], at(1)).await
                    })
                    .await
                    .map(|first| (n, first))
            });
        }
        let mut first = Vec::new();
        while let Some(done) = runners.join_next().await {
            let (n, began) = done??;
            first.extend(began.then_some(n));
        }
        let [n] = first[..] else { panic!("{first:?}") };
        let call = db.get_call(&tenant, id).await?;
        assert_eq!((call.status, call.dialed_at), (CallStatus::Queued, Some(at(1))));
        for token in 0..16_u8 {
            let found = db.system(async |tx| calls::find_by_callback_token(tx, [token; 32]).await).await?;
            assert_eq!(found.map(|call| call.id), (token == n).then_some(id), "{token}");
        }
        Ok(())
    }

    async fn only_a_waiting_order_of_ones_own_is_dialled(db) {
        let tenant = db.tenant("+918037091588").await?;
        let other = db.tenant("+918037091589").await?;
        let id = queued(db, &tenant, 0).await?;
        let theirs = begin_dialing(db, &other, id, 1, 1).await;
        assert!(matches!(theirs, Err(Error::NotFound)), "{theirs:?}");
        let incoming = db.call(&tenant, "sid-1", at(0)).await?.id;
        assert!(!begin_dialing(db, &tenant, incoming, 2, 1).await?);
        assert!(begin_dialing(db, &tenant, id, 3, 1).await?);
        assert!(!begin_dialing(db, &tenant, id, 3, 1).await?);
        let second = queued(db, &tenant, 0).await?;
        let taken = begin_dialing(db, &tenant, second, 3, 1).await;
        assert!(matches!(taken, Err(Error::Conflict(_))), "{taken:?}");
        assert_eq!(db.get_call(&tenant, second).await?.dialed_at, None);
        assert!(cancel(db, &tenant, second).await?);
        assert!(!begin_dialing(db, &tenant, second, 4, 60).await?);
        Ok(())
    }

    async fn the_carriers_name_is_learned_once(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = queued(db, &tenant, 0).await?;
        begin_dialing(db, &tenant, id, 1, 1).await?;
        let named = dialed(db, &tenant, id, "sid-1").await?;
        assert_eq!((named.carrier_call_id.as_deref(), named.status), (Some("sid-1"), CallStatus::Ringing));
        assert_eq!(dialed(db, &tenant, id, "sid-1").await?, named);
        let renamed = dialed(db, &tenant, id, "sid-2").await;
        assert!(matches!(renamed, Err(Error::Conflict(_))), "{renamed:?}");
        let second = queued(db, &tenant, 0).await?;
        begin_dialing(db, &tenant, second, 2, 1).await?;
        let taken = dialed(db, &tenant, second, "sid-1").await;
        assert!(matches!(taken, Err(Error::Conflict(_))), "{taken:?}");
        assert_eq!(db.get_call(&tenant, second).await?.carrier_call_id, None);
        let other = db.tenant("+918037091589").await?;
        let theirs = dialed(db, &other, second, "sid-3").await;
        assert!(matches!(theirs, Err(Error::NotFound)), "{theirs:?}");
        // The report of its end overtook the answer to the order.
        reported(db, &tenant, second, CallStatus::Busy).await?;
        let late = dialed(db, &tenant, second, "sid-4").await?;
        assert_eq!((late.carrier_call_id.as_deref(), late.status), (Some("sid-4"), CallStatus::Busy));
        // So did the media.
        let third = queued(db, &tenant, 0).await?;
        begin_dialing(db, &tenant, third, 3, 1).await?;
        assert!(begin_media(db, &tenant, third).await?);
        assert_eq!(dialed(db, &tenant, third, "sid-5").await?.status, CallStatus::InProgress);
        Ok(())
    }

    async fn a_call_is_taken_back_or_dialled_never_both(db) {
        let tenant = db.tenant("+918037091588").await?;
        let work = |store: Store| (store, tenant.id);
        for round in 0..40_u8 {
            let id = queued(db, &tenant, 0).await?;
            let ((store, own), (second, _)) = (work(db.store.clone()), work(db.store.clone()));
            let back = async move { store.write(own, "test.cancel", async |tx| calls::cancel(tx, id, at(5)).await).await };
            let dial = async move {
                second
                    .write(own, "test.dial", async |tx| calls::begin_dialing(tx, id, [round; 32], at(5)).await)
                    .await
            };
            let (canceled, dialling) =
                if round % 2 == 0 { race(back, dial).await? } else { race(dial, back).await.map(|(d, c)| (c, d))? };
            assert_ne!(canceled, dialling, "round {round}");
            let call = db.get_call(&tenant, id).await?;
            assert_eq!(call.dialed_at.is_some(), dialling);
            let reason = canceled.then_some(EndedReason::OperatorCanceled);
            assert_eq!((call.ended_reason, call.status == CallStatus::Canceled), (reason, canceled));
            assert!(!cancel(db, &tenant, id).await?, "once");
        }
        let incoming = db.call(&tenant, "sid-1", at(0)).await?.id;
        assert!(!cancel(db, &tenant, incoming).await?);
        let other = db.tenant("+918037091589").await?;
        assert!(matches!(cancel(db, &other, incoming).await, Err(Error::NotFound)));
        Ok(())
    }

    async fn media_begins_or_the_call_ends_without_it_never_both(db) {
        let tenant = db.tenant("+918037091588").await?;
        let (mut begun, mut ended) = (0, 0);
        for round in 0..60 {
            let id = db.call(&tenant, &format!("sid-{round}"), at(0)).await?.id;
            let ((store, second), own) = ((db.store.clone(), db.store.clone()), tenant.id);
            let media = async move {
                store
                    .write(own, "test.media", async |tx| {
                        let me = owner("a", 1);
                        calls::begin_media(tx, id, &me, at(5), LEASE).await
                    })
                    .await
            };
            let end = async move {
                let reason = EndedReason::CarrierNoStart;
                second
                    .write(own, "test.end", async |tx| calls::finish_if_waiting(tx, id, reason, at(6)).await)
                    .await
            };
            let (began, finished) =
                if round % 2 == 0 { race(media, end).await? } else { race(end, media).await.map(|(e, m)| (m, e))? };
            assert_ne!(began, finished, "round {round}");
            let call = db.get_call(&tenant, id).await?;
            let want = if began { (CallStatus::InProgress, None) } else {
                (CallStatus::Failed, Some(EndedReason::CarrierNoStart))
            };
            assert_eq!((call.status, call.ended_reason), want, "round {round}");
            assert_eq!(call.duration_ms, finished.then_some(0));
            begun += i32::from(began);
            ended += i32::from(finished);
        }
        assert_eq!(begun + ended, 60);
        Ok(())
    }

    async fn a_call_that_ended_or_talks_does_not_end_as_waiting(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = queued(db, &tenant, 0).await?;
        let end = async |id: CallId, reason: EndedReason| {
            db.write(tenant.id, async |tx| calls::finish_if_waiting(tx, id, reason, at(9)).await).await
        };
        assert!(end(id, EndedReason::CarrierRefused).await?);
        let refused = db.get_call(&tenant, id).await?;
        assert_eq!((refused.status, refused.ended_reason), (CallStatus::Failed, Some(EndedReason::CarrierRefused)));
        assert_eq!((refused.ended_at, refused.duration_ms, refused.data), (Some(at(9)), Some(0), json!({})));
        assert!(!end(id, EndedReason::CalyError).await?);
        assert_eq!(db.get_call(&tenant, id).await?.ended_reason, Some(EndedReason::CarrierRefused));
        let other = db.tenant("+918037091589").await?;
        let theirs = db
            .write(other.id, async |tx| calls::finish_if_waiting(tx, id, EndedReason::CalyError, at(9)).await)
            .await;
        assert!(matches!(theirs, Err(Error::NotFound)), "{theirs:?}");
        Ok(())
    }

    async fn a_transfer_is_decided_once_and_while_media_flows(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = db.call(&tenant, "sid-1", at(0)).await?.id;
        let decide = async |to: &str| {
            let to = phone(to);
            db.write(tenant.id, async |tx| calls::decide_transfer(tx, id, &to, at(30)).await).await
        };
        assert!(!decide("+919000000001").await?, "no media yet");
        begin_media(db, &tenant, id).await?;
        assert!(decide("+919000000002").await?);
        assert!(!decide("+919000000003").await?);
        assert!(!decide("+919000000002").await?);
        let call = db.get_call(&tenant, id).await?;
        assert_eq!((call.transfer_to, call.transferred_at), (Some(phone("+919000000002")), Some(at(30))));
        let finished = db
            .write(tenant.id, async |tx| {
                calls::finish(tx, id, EndedReason::AgentTransferred, at(31), 1, &object(json!({}))).await
            })
            .await?;
        assert!(finished);
        assert_eq!(db.get_call(&tenant, id).await?.transfer_to, Some(phone("+919000000002")), "it outlives the media");
        let other = db.tenant("+918037091589").await?;
        let theirs = db
            .write(other.id, async |tx| calls::decide_transfer(tx, id, &phone("+919000000004"), at(30)).await)
            .await;
        assert!(matches!(theirs, Err(Error::NotFound)), "{theirs:?}");
        Ok(())
    }

    async fn simultaneous_decisions_leave_one(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = db.call(&tenant, "sid-1", at(0)).await?.id;
        begin_media(db, &tenant, id).await?;
        let mut deciders = tokio::task::JoinSet::new();
        for n in 0..12 {
            let (store, tenant) = (db.store.clone(), tenant.id);
            deciders.spawn(async move {
                let to = phone(&format!("+9190000000{n:02}"));
                let decided = store
                    .write::<_, Error, _>(tenant, "test.decide", async |tx| {
                        calls::decide_transfer(tx, id, &to, at(30)).await
                    })
                    .await?;
                Ok::<_, Error>(decided.then_some(to))
            });
        }
        let mut decided = Vec::new();
        while let Some(done) = deciders.join_next().await {
            decided.extend(done??);
        }
        assert_eq!(decided.len(), 1);
        assert_eq!(db.get_call(&tenant, id).await?.transfer_to.as_ref(), decided.first());
        Ok(())
    }

    async fn the_carriers_end_of_a_call_without_media_depends_on_who_placed_it(db) {
        let tenant = db.tenant("+918037091588").await?;
        use CallStatus::{Busy, Canceled, Completed, Failed, NoAnswer};
        use EndedReason::{CallerBusy, CallerNeverJoined, CallerNoAnswer, CarrierFailed};
        for (n, (said, left, incoming, outgoing)) in [
            (Busy, Busy, CallerNeverJoined, CallerBusy),
            (NoAnswer, NoAnswer, CallerNeverJoined, CallerNoAnswer),
            (Completed, NoAnswer, CallerNeverJoined, CallerNoAnswer),
            (Failed, Failed, CallerNeverJoined, CarrierFailed),
            (Canceled, Canceled, CallerNeverJoined, CarrierFailed),
        ]
        .into_iter()
        .enumerate()
        {
            let announced = db.call(&tenant, &format!("in-{n}"), at(0)).await?.id;
            let placed = ringing(db, &tenant, &format!("out-{n}"), u8::try_from(n)?).await?;
            // The report came before the carrier's answer to the order.
            let early = queued(db, &tenant, 0).await?;
            begin_dialing(db, &tenant, early, u8::try_from(n + 100)?, 1).await?;
            for (id, reason) in [(announced, incoming), (placed, outgoing), (early, outgoing)] {
                let Reported::Closed(call) = reported(db, &tenant, id, said).await? else { panic!("{said}") };
                assert_eq!((call.status, call.ended_reason), (left, Some(reason)), "{said}");
                assert_eq!((call.ended_at, call.duration_ms, call.carrier_status), (Some(at(70)), Some(0), Some(said)));
                let again = reported(db, &tenant, id, Failed).await?;
                assert_eq!(again, Reported::Noted(call), "what ended stays so");
            }
        }
        Ok(())
    }

    async fn a_call_that_was_taken_and_had_no_media_is_not_one_that_nobody_took(db) {
        let tenant = db.tenant("+918037091588").await?;
        use CallStatus::{Busy, Completed, Failed, InProgress, NoAnswer};
        use EndedReason::{CallerBusy, CallerNeverJoined, CallerNoAnswer, CarrierNoStart};
        let no_start = (Failed, CarrierNoStart);
        for (n, (first, said, seconds, want)) in [
            (None, Completed, Some(9), no_start),
            (None, Completed, Some(0), (NoAnswer, CallerNoAnswer)),
            (None, Completed, None, (NoAnswer, CallerNoAnswer)),
            (Some(InProgress), Completed, None, no_start),
            (Some(CallStatus::Ringing), Completed, None, (NoAnswer, CallerNoAnswer)),
            // The carrier says in-progress before anybody takes the call, too.
            (Some(InProgress), NoAnswer, None, (NoAnswer, CallerNoAnswer)),
            (Some(InProgress), Busy, Some(4), (Busy, CallerBusy)),
        ]
        .into_iter()
        .enumerate()
        {
            let placed = ringing(db, &tenant, &format!("out-{n}"), u8::try_from(n)?).await?;
            let announced = db.call(&tenant, &format!("in-{n}"), at(0)).await?.id;
            for (id, want) in [(placed, Some(want)), (announced, None)] {
                if let Some(first) = first {
                    reported(db, &tenant, id, first).await?;
                }
                let word = CarrierWord { status: Some(said), duration_s: seconds, ..CarrierWord::default() };
                db.write(tenant.id, async |tx| calls::carrier_reported(tx, id, &word, at(70)).await).await?;
                let call = db.get_call(&tenant, id).await?;
                match want {
                    Some(want) => assert_eq!((call.status, call.ended_reason), (want.0, Some(want.1)), "{n}"),
                    None => assert_eq!(call.ended_reason, Some(CallerNeverJoined), "{n}"),
                }
                assert_eq!((call.started_at, call.duration_ms), (None, Some(0)), "{n}");
            }
        }
        Ok(())
    }

    async fn a_dialled_call_rings_by_the_carriers_word(db) {
        let tenant = db.tenant("+918037091588").await?;
        for (n, (dial, said, left)) in [
            (true, CallStatus::Ringing, CallStatus::Ringing),
            (true, CallStatus::InProgress, CallStatus::Ringing),
            (true, CallStatus::Queued, CallStatus::Queued),
            (false, CallStatus::Ringing, CallStatus::Queued),
        ]
        .into_iter()
        .enumerate()
        {
            let id = queued(db, &tenant, 0).await?;
            if dial {
                begin_dialing(db, &tenant, id, u8::try_from(n)?, 1).await?;
            }
            let Reported::Noted(call) = reported(db, &tenant, id, said).await? else { panic!("{said}") };
            assert_eq!((call.status, call.carrier_status), (left, Some(said)), "{n}");
        }
        Ok(())
    }

    async fn calls_that_came_to_nothing_expire_each_for_its_reason(db) {
        let tenant = db.tenant("+918037091588").await?;
        let announced = db.call(&tenant, "sid-1", at(0)).await?.id;
        let answered_by_nobody = ringing(db, &tenant, "sid-2", 1).await?;
        let taken = ringing(db, &tenant, "sid-4", 5).await?;
        reported(db, &tenant, taken, CallStatus::InProgress).await?;
        let unconfirmed = queued(db, &tenant, 0).await?;
        begin_dialing(db, &tenant, unconfirmed, 2, 1).await?;
        let talking = ringing(db, &tenant, "sid-3", 3).await?;
        begin_media(db, &tenant, talking).await?;
        let waiting = queued(db, &tenant, 0).await?;
        // Made long ago, dialled just now.
        let patient = queued(db, &tenant, 0).await?;
        begin_dialing(db, &tenant, patient, 4, 100).await?;
        let expire = async |now: i64| -> Result<Vec<Call>, Error> {
            db.system(async |tx| calls::expire_ringing(tx, at(now)).await).await
        };
        assert_eq!(expire(RINGING_EXPIRES_AFTER_S - 1).await?, []);
        let ended = |calls: Vec<Call>| -> BTreeSet<_> {
            let told = |call: Call| {
                assert_eq!(call.duration_ms, Some(0));
                (call.id, call.status.as_str(), call.ended_reason.map(EndedReason::as_str))
            };
            calls.into_iter().map(told).collect()
        };
        assert_eq!(
            ended(expire(RINGING_EXPIRES_AFTER_S).await?),
            BTreeSet::from([(announced, "no-answer", Some("caller/never-joined"))]),
        );
        assert_eq!(
            ended(expire(RINGING_EXPIRES_AFTER_S + 1).await?),
            BTreeSet::from([
                (answered_by_nobody, "no-answer", Some("caller/no-answer")),
                (taken, "failed", Some("carrier/no-start")),
                (unconfirmed, "failed", Some("carrier/unconfirmed")),
            ]),
        );
        assert_eq!(expire(RINGING_EXPIRES_AFTER_S + 99).await?, []);
        assert_eq!(
            ended(expire(RINGING_EXPIRES_AFTER_S + 100).await?),
            BTreeSet::from([(patient, "failed", Some("carrier/unconfirmed"))]),
        );
        assert_eq!(expire(DAY_S - 1).await?, []);
        assert_eq!(
            ended(expire(DAY_S).await?),
            BTreeSet::from([(waiting, "failed", Some("caly/error"))]),
        );
        assert_eq!(db.get_call(&tenant, talking).await?.status, CallStatus::InProgress);
        assert_eq!(expire(10 * DAY_S).await?, []);
        Ok(())
    }

    async fn an_order_that_was_surely_not_carried_out_leaves_the_call_waiting(db) {
        let tenant = db.tenant("+918037091588").await?;
        let not_dialed = async |id, token: u8| {
            db.write(tenant.id, async |tx| calls::not_dialed(tx, id, [token; 32]).await).await
        };
        let id = queued(db, &tenant, 0).await?;
        assert!(!not_dialed(id, 1).await?, "none was begun");
        assert!(begin_dialing(db, &tenant, id, 1, 2).await?);
        assert!(!not_dialed(id, 2).await?, "another order");
        assert!(not_dialed(id, 1).await? && !not_dialed(id, 1).await?);
        let call = db.get_call(&tenant, id).await?;
        assert_eq!((call.status, call.dialed_at), (CallStatus::Queued, None));
        let found = db.system(async |tx| calls::find_by_callback_token(tx, [1; 32]).await).await?;
        assert_eq!(found, None);
        // It is ordered again, under another token, and may be taken back in between.
        assert!(begin_dialing(db, &tenant, id, 3, 4).await?);
        assert!(!not_dialed(id, 1).await?, "that order is over");
        assert!(not_dialed(id, 3).await? && cancel(db, &tenant, id).await?);
        let named = ringing(db, &tenant, "sid-1", 5).await?;
        assert!(!not_dialed(named, 5).await?, "the carrier took it");
        Ok(())
    }

    async fn a_call_whose_job_is_given_up_is_over_unless_its_order_has_left(db) {
        let tenant = db.tenant("+918037091588").await?;
        let (waiting, ordered) = (queued(db, &tenant, 0).await?, queued(db, &tenant, 0).await?);
        db.write(tenant.id, async |tx| {
            calls::enqueue_placing(tx, waiting, at(0)).await?;
            calls::enqueue_placing(tx, ordered, at(0)).await
        })
        .await?;
        assert!(begin_dialing(db, &tenant, ordered, 1, 1).await?);
        // Its runner is lost as often as it may be.
        let mut now = 0;
        loop {
            now += 100;
            let claimed =
                db.system(async |tx| jobs::claim(tx, &[jobs::QUICK_QUEUE], "a", at(now), LEASE, 9).await).await?;
            if claimed.is_empty() {
                break;
            }
            assert_eq!(db.get_call(&tenant, waiting).await?.status, CallStatus::Queued);
        }
        let call = db.get_call(&tenant, waiting).await?;
        assert_eq!((call.status, call.ended_reason), (CallStatus::Failed, Some(EndedReason::CalyError)));
        assert_eq!((call.ended_at, call.duration_ms), (Some(at(now)), Some(0)));
        assert_eq!(db.get_call(&tenant, ordered).await?.status, CallStatus::Queued, "the carrier may have it");
        let told = db.read(tenant.id, async |tx| outbox::list(tx, PageRequest::default()).await).await?.items;
        assert_eq!(told.iter().map(|message| message.kind.as_str()).collect::<Vec<_>>(), ["call.ended"]);
        Ok(())
    }

    async fn an_old_order_is_dialled_or_expires_never_both(db) {
        let tenant = db.tenant("+918037091588").await?;
        for round in 0..30_u8 {
            let id = queued(db, &tenant, 0).await?;
            let ((store, second), own) = ((db.store.clone(), db.store.clone()), tenant.id);
            let dial = async move {
                store
                    .write(own, "test.dial", async |tx| calls::begin_dialing(tx, id, [round; 32], at(DAY_S)).await)
                    .await
            };
            let expire = async move {
                second.system("test.expire", async |tx| calls::expire_ringing(tx, at(DAY_S)).await).await
            };
            let (dialling, expired) =
                if round % 2 == 0 { race(dial, expire).await? } else { race(expire, dial).await.map(|(e, d)| (d, e))? };
            assert_eq!(expired.len(), usize::from(!dialling), "round {round}");
            let call = db.get_call(&tenant, id).await?;
            assert_eq!(call.status == CallStatus::Queued, dialling, "round {round}");
            if dialling {
                let end = EndedReason::CarrierRefused;
                db.write(tenant.id, async |tx| calls::finish_if_waiting(tx, id, end, at(DAY_S)).await).await?;
            }
        }
        Ok(())
    }
}
