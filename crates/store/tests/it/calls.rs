//! Calls: every step once, whoever asks and however often.

use crate::database::{Tenant, TestDatabase, at, both_databases, object, owner};
use chrono::Duration;
use model::{CallId, CallStatus, CarrierKind, EndedReason};
use store::Error;
use store::calls::{self, CarrierWord, Created, NewCall, Owner, RINGING_EXPIRES_AFTER_S, Reported};

const LEASE: Duration = Duration::seconds(30);

async fn begin(db: &TestDatabase, tenant: &Tenant, id: CallId, owner: &Owner, now: i64) -> Result<bool, Error> {
    db.write(tenant.id, async |tx| calls::begin_media(tx, id, owner, at(now), LEASE).await).await
}

async fn finish(db: &TestDatabase, tenant: &Tenant, id: CallId, reason: EndedReason) -> Result<bool, Error> {
    let data = object(serde_json::json!({ "name": "Ravi", "count": 2 }));
    db.write(tenant.id, async |tx| calls::finish(tx, id, reason, at(60), 58_000, &data).await).await
}

async fn carrier_ended(
    db: &TestDatabase,
    tenant: &Tenant,
    id: CallId,
    duration_s: Option<u64>,
    status: CallStatus,
) -> Result<Reported, Error> {
    let word = CarrierWord { status: Some(status), duration_s, ..CarrierWord::default() };
    db.write(tenant.id, async |tx| calls::carrier_reported(tx, id, &word, at(70)).await).await
}

async fn orphans(db: &TestDatabase, owner: &Owner, now: i64) -> Result<Vec<CallId>, Error> {
    let calls = db.system(async |tx| calls::orphans(tx, owner, at(now)).await).await?;
    Ok(calls.into_iter().map(|call| call.id).collect())
}

both_databases! {
    async fn a_call_is_kept_as_given(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(5)).await?;
        assert_eq!(db.get_call(&tenant, call.id).await?, call);
        assert_eq!((call.tenant, call.agent, call.phone_number), (tenant.id, tenant.agent, Some(tenant.number.id)));
        assert_eq!(call.from.as_ref().map(model::E164::as_str), Some("+919812345678"));
        assert_eq!(call.to.as_ref().map(model::E164::as_str), Some("+918037091588"));
        assert_eq!((call.status, call.created_at), (CallStatus::Ringing, at(5)));
        assert_eq!((call.ended_reason, call.started_at, call.data), (None, None, serde_json::json!({})));
        Ok(())
    }

    async fn a_repeated_announcement_changes_nothing(db) {
        let tenant = db.tenant("+918037091588").await?;
        let new = tenant.new_call("sid-1");
        let first = db.write(tenant.id, async |tx| calls::create(tx, &new, at(1)).await).await?;
        let again = db.write(tenant.id, async |tx| calls::create(tx, &new, at(9)).await).await?;
        assert!(matches!(first, Created::Created(_)));
        let Created::Existing(existing) = again else { panic!("{again:?}") };
        assert_eq!(existing, first.into_call());
        Ok(())
    }

    async fn simultaneous_announcements_make_one_call(db) {
        let tenant = db.tenant("+918037091588").await?;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (store, id, new) = (db.store.clone(), tenant.id, tenant.new_call("sid-1"));
            tasks.spawn(async move {
                store.write::<_, Error, _>(id, "test.create", async |tx| calls::create(tx, &new, at(1)).await).await
            });
        }
        let (mut created, mut ids) = (0, std::collections::BTreeSet::new());
        while let Some(done) = tasks.join_next().await {
            let outcome = done??;
            created += i32::from(matches!(outcome, Created::Created(_)));
            ids.insert(outcome.into_call().id);
        }
        assert_eq!((created, ids.len()), (1, 1));
        Ok(())
    }

    async fn calls_without_the_carriers_name_are_each_new(db) {
        let tenant = db.tenant("+918037091588").await?;
        let new = NewCall { carrier_call_id: None, status: CallStatus::Queued, ..tenant.new_call("") };
        for _ in 0..2 {
            let made = db.write(tenant.id, async |tx| calls::create(tx, &new, at(1)).await).await?;
            assert!(matches!(made, Created::Created(_)));
        }
        Ok(())
    }

    async fn a_withheld_number_is_no_number(db) {
        let tenant = db.tenant("+918037091588").await?;
        let new = NewCall { from: None, phone_number: None, ..tenant.new_call("sid-1") };
        let call = db.write(tenant.id, async |tx| calls::create(tx, &new, at(1)).await).await?.into_call();
        assert_eq!(db.get_call(&tenant, call.id).await?.from, None);
        Ok(())
    }

    async fn media_begins_once(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(1)).await?;
        assert!(begin(db, &tenant, call.id, &owner("a", 1), 2).await?);
        assert!(!begin(db, &tenant, call.id, &owner("b", 2), 3).await?);
        let begun = db.get_call(&tenant, call.id).await?;
        assert_eq!((begun.status, begun.started_at), (CallStatus::InProgress, Some(at(2))));
        assert_eq!(begun.owner_node.as_deref(), Some("a"));
        Ok(())
    }

    async fn a_call_ends_once(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(1)).await?;
        begin(db, &tenant, call.id, &owner("a", 1), 2).await?;
        assert!(finish(db, &tenant, call.id, EndedReason::AgentCompleted).await?);
        assert!(!finish(db, &tenant, call.id, EndedReason::CalyCrash).await?);
        assert!(!begin(db, &tenant, call.id, &owner("a", 1), 70).await?, "it does not begin again");
        let ended = db.get_call(&tenant, call.id).await?;
        assert_eq!((ended.status, ended.ended_reason), (CallStatus::Completed, Some(EndedReason::AgentCompleted)));
        assert_eq!((ended.ended_at, ended.duration_ms), (Some(at(60)), Some(58_000)));
        assert_eq!(ended.data, serde_json::json!({ "name": "Ravi", "count": 2 }));
        Ok(())
    }

    async fn simultaneous_ends_close_once(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(1)).await?;
        begin(db, &tenant, call.id, &owner("a", 1), 2).await?;
        let reasons = [EndedReason::CallerHungUp, EndedReason::AgentSilence, EndedReason::CalyCrash];
        let ends = reasons.iter().cycle().take(12).map(|reason| finish(db, &tenant, call.id, *reason));
        let mut closed = 0;
        for end in futures_util::future::join_all(ends).await {
            closed += i32::from(end?);
        }
        assert_eq!(closed, 1);
        Ok(())
    }

    async fn the_carrier_closes_a_call_without_media(db) {
        let tenant = db.tenant("+918037091588").await?;
        for (sid, said, left) in [
            ("sid-1", CallStatus::Completed, CallStatus::NoAnswer),
            ("sid-2", CallStatus::Busy, CallStatus::Busy),
            ("sid-3", CallStatus::Failed, CallStatus::Failed),
            ("sid-4", CallStatus::Canceled, CallStatus::Canceled),
        ] {
            let call = db.call(&tenant, sid, at(1)).await?;
            let ended = carrier_ended(db, &tenant, call.id, Some(4), said).await?;
            let Reported::Closed(closed) = ended else { panic!("{sid}") };
            assert_eq!((closed.id, closed.status), (call.id, left));
            assert_eq!(closed.ended_reason, Some(EndedReason::CallerNeverJoined));
            assert_eq!((closed.duration_ms, closed.carrier_duration_s), (Some(0), Some(4)));
            // Repeated, without the figure and with another status: the first stands.
            let again = carrier_ended(db, &tenant, call.id, None, CallStatus::Failed).await?;
            let Reported::Noted(noted) = again else { panic!("{sid}") };
            assert_eq!(noted, closed);
        }
        Ok(())
    }

    async fn the_carriers_word_does_not_end_media(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(1)).await?;
        assert!(matches!(carrier_ended(db, &tenant, call.id, None, CallStatus::InProgress).await?, Reported::Noted(_)));
        assert!(begin(db, &tenant, call.id, &owner("a", 1), 2).await?);
        assert!(matches!(carrier_ended(db, &tenant, call.id, Some(61), CallStatus::Completed).await?, Reported::Noted(_)));
        assert_eq!(db.get_call(&tenant, call.id).await?.status, CallStatus::InProgress);
        assert!(finish(db, &tenant, call.id, EndedReason::CallerHungUp).await?);
        let ended = db.get_call(&tenant, call.id).await?;
        assert_eq!((ended.ended_reason, ended.carrier_duration_s), (Some(EndedReason::CallerHungUp), Some(61)));
        let nobody = db.system(async |tx| calls::find_carried(tx, CarrierKind::Exotel, "nobody").await).await?;
        assert_eq!(nobody, None);
        let found = db.system(async |tx| calls::find_carried(tx, CarrierKind::Exotel, "sid-1").await).await?;
        assert_eq!(found.map(|call| call.id), Some(call.id));
        let other = db.tenant("+918037091589").await?;
        let theirs = carrier_ended(db, &other, call.id, Some(1), CallStatus::Completed).await;
        assert!(matches!(theirs, Err(Error::NotFound)), "{theirs:?}");
        Ok(())
    }

    async fn leases_tell_orphans(db) {
        let tenant = db.tenant("+918037091588").await?;
        let (here, there) = (owner("a", 1), owner("b", 1));
        let mine = db.call(&tenant, "sid-1", at(0)).await?.id;
        let theirs = db.call(&tenant, "sid-2", at(1)).await?.id;
        begin(db, &tenant, mine, &here, 2).await?;
        begin(db, &tenant, theirs, &there, 2).await?;
        assert_eq!(orphans(db, &here, 31).await?, []);
        let renewed = db.system(async |tx| calls::renew_leases(tx, &here, at(20), LEASE).await).await?;
        assert_eq!(renewed, 1);
        assert_eq!(orphans(db, &here, 40).await?, [theirs], "the other node fell silent");
        assert_eq!(orphans(db, &here, 50).await?, [mine, theirs]);
        let owned = db.system(async |tx| calls::owned(tx, &here).await).await?;
        assert_eq!(owned.iter().map(|call| call.id).collect::<Vec<_>>(), [mine]);
        // The node starts again: its calls of the earlier run are nobody's, whatever the lease says.
        assert_eq!(orphans(db, &owner("a", 2), 3).await?, [mine]);
        assert!(finish(db, &tenant, mine, EndedReason::CalyCrash).await?);
        assert_eq!(orphans(db, &owner("a", 2), 3).await?, []);
        Ok(())
    }

    async fn ringing_expires(db) {
        let tenant = db.tenant("+918037091588").await?;
        let old = db.call(&tenant, "sid-1", at(0)).await?.id;
        let young = db.call(&tenant, "sid-2", at(100)).await?.id;
        let talking = db.call(&tenant, "sid-3", at(0)).await?.id;
        begin(db, &tenant, talking, &owner("a", 1), 1).await?;
        let closed = db.system(async |tx| calls::expire_ringing(tx, at(RINGING_EXPIRES_AFTER_S)).await).await?;
        assert_eq!(closed.iter().map(|call| call.id).collect::<Vec<_>>(), [old]);
        assert_eq!(closed[0].ended_reason, Some(EndedReason::CallerNeverJoined));
        assert_eq!(db.get_call(&tenant, young).await?.status, CallStatus::Ringing);
        assert_eq!(db.get_call(&tenant, talking).await?.status, CallStatus::InProgress);
        let again = db.system(async |tx| calls::expire_ringing(tx, at(RINGING_EXPIRES_AFTER_S)).await).await?;
        assert_eq!(again, []);
        Ok(())
    }

    async fn a_summary_is_kept(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        db.write(tenant.id, async |tx| calls::set_summary(tx, call, "Wants Tuesday, 5 बजे").await).await?;
        assert_eq!(db.get_call(&tenant, call).await?.summary.as_deref(), Some("Wants Tuesday, 5 बजे"));
        Ok(())
    }
}
