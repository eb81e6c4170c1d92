//! Reports that are taken together do what each of them would have done by itself.

use crate::database::{Tenant, TestDatabase, at, both_databases, object, owner};
use chrono::{DateTime, Duration, Utc};
use model::{CallDirection, CallId, CallStatus, CarrierKind};
use serde_json::json;
use store::calls::{self, Call, CarrierWord};
use store::carrier_events::{self, NewCarrierEvent, Taken, Telling};
use store::phone_numbers::{self, WebhookProofs};
use store::{Error, PageRequest, audit, jobs};

const RECORDING: &str = "https://recordings.exotel.com/a/b.mp3";
const STATUSES: [CallStatus; 8] = [
    CallStatus::Queued,
    CallStatus::Ringing,
    CallStatus::InProgress,
    CallStatus::Completed,
    CallStatus::Busy,
    CallStatus::NoAnswer,
    CallStatus::Failed,
    CallStatus::Canceled,
];

fn event(key: u8, word: CarrierWord<'_>) -> NewCarrierEvent<'_> {
    NewCarrierEvent { kind: "status", key: [key; 32], data: object(json!({ "key": key, "ü": "a\"b" })), word }
}

/// A report of the call of this name: its key, its word, and the key of its request.
type Said<'a> = (&'a str, u8, CarrierWord<'a>, Option<u8>);

async fn together(
    db: &TestDatabase,
    tenant: &Tenant,
    said: &[Said<'_>],
    now: DateTime<Utc>,
) -> Result<Vec<Option<Taken>>, Error> {
    db.system(async |tx| {
        let names = said.iter().map(|(name, ..)| *name);
        let told = carrier_events::find_together(tx, CarrierKind::Exotel, names).await?;
        let tellings: Vec<Telling<'_>> = said
            .iter()
            .filter_map(|(name, key, word, request)| {
                let of = told.get(*name)?;
                Some(Telling { of, event: event(*key, *word), request_key: request.map(|byte| [byte; 32]) })
            })
            .collect();
        carrier_events::take_together(tx.tenant(tenant.id).await?, &tellings, now).await
    })
    .await
}

/// Calls of every kind that a report may meet: waiting or not, either way round.
async fn call(db: &TestDatabase, tenant: &Tenant, name: &str, kind: usize) -> Result<CallId, Error> {
    let mut new = tenant.new_call(name);
    if kind % 2 == 1 {
        new.direction = CallDirection::Outgoing;
        new.status = CallStatus::Queued;
    }
    let id = db.write(tenant.id, async |tx| calls::create(tx, &new, at(0)).await).await?.into_call().id;
    if kind >= 2 {
        let talks =
            async |tx: &mut store::Tx| calls::begin_media(tx, id, &owner("a", 1), at(1), Duration::seconds(30)).await;
        db.write(tenant.id, talks).await?;
    }
    Ok(id)
}

/// What a report may have changed of a call.
fn changed(call: &Call) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        (call.status, call.ended_reason, call.ended_at, call.duration_ms),
        (call.carrier_status, call.carrier_duration_s, call.carrier_ended_at),
        (call.carrier_recording_url.clone(), call.carrier_recording_due_at),
    )
}

both_databases! {
    async fn what_is_taken_together_is_as_taken_one_by_one(db) {
        let tenant = db.tenant("+918037091588").await?;
        let mut words = vec![
            CarrierWord::default(),
            CarrierWord { recording_url: Some(RECORDING), recording_due_at: Some(at(90_000)), ..CarrierWord::default() },
        ];
        for status in STATUSES {
            let said = CarrierWord { status: Some(status), ..CarrierWord::default() };
            words.extend([said, CarrierWord { duration_s: Some(28), ended_at: Some(at(40)), ..said }]);
        }
        let mut calls = Vec::new();
        for kind in 0..4 {
            for n in 0..words.len() {
                let (one, many) = (format!("one-{kind}-{n}"), format!("many-{kind}-{n}"));
                calls.push((call(db, &tenant, &one, kind).await?, call(db, &tenant, &many, kind).await?, many));
            }
        }
        // Twice, so that each word also meets what another has left behind.
        for (round, shift) in [(1, 0), (2, 5)] {
            let word = |n: usize| words[(n + shift) % words.len()];
            let now = at(i64::from(round) * 100);
            let said: Vec<Said<'_>> =
                calls.iter().enumerate().map(|(n, (_, _, name))| (name.as_str(), round, word(n), None)).collect();
            let outcomes = together(db, &tenant, &said, now).await?;
            for (n, ((one, many, name), outcome)) in calls.iter().zip(outcomes).enumerate() {
                let event = event(round, word(n));
                let alone = db.write(tenant.id, async |tx| carrier_events::take(tx, *one, &event, now).await).await?;
                assert_eq!(outcome, Some(alone), "{name}, round {round}: {:?}", word(n));
                let (one, many) = (db.get_call(&tenant, *one).await?, db.get_call(&tenant, *many).await?);
                assert_eq!(changed(&many), changed(&one), "{name}, round {round}: {:?}", word(n));
                let kept = async |id| db.read(tenant.id, async |tx| carrier_events::of_call(tx, id).await).await;
                assert_eq!(kept(many.id).await?, kept(one.id).await?);
            }
        }
        let all = db.system(async |tx| jobs::list(tx, None, None, PageRequest::default()).await).await?.items;
        assert!(!all.is_empty() && all.len().is_multiple_of(2), "each recording is fetched: {}", all.len());
        Ok(())
    }

    async fn a_report_that_came_before_changes_nothing_among_others(db) {
        let tenant = db.tenant("+918037091588").await?;
        for name in ["a", "b", "c"] {
            db.call(&tenant, name, at(0)).await?;
        }
        let busy = CarrierWord { status: Some(CallStatus::Busy), ..CarrierWord::default() };
        let first = together(db, &tenant, &[("a", 1, busy, None), ("nobody", 1, busy, None)], at(1)).await?;
        assert_eq!(first, [Some(Taken::Closed)]);
        let second = together(db, &tenant, &[("a", 1, busy, None), ("b", 1, busy, None), ("c", 2, busy, None)], at(2)).await?;
        assert_eq!(second, [Some(Taken::Repeated), Some(Taken::Closed), Some(Taken::Closed)]);
        let twice = together(db, &tenant, &[("b", 3, busy, None), ("b", 4, busy, None)], at(3)).await;
        assert!(matches!(twice, Err(Error::Conflict(_))), "{twice:?}");
        assert_eq!(db.number("select count(*) from carrier_events").await, 3);
        assert_eq!(together(db, &tenant, &[], at(4)).await?, []);
        Ok(())
    }

    async fn a_signed_request_is_taken_once_among_others(db) {
        let tenant = db.tenant("+918037091588").await?;
        for name in ["a", "b", "c"] {
            db.call(&tenant, name, at(0)).await?;
        }
        let word = CarrierWord::default();
        let first = together(db, &tenant, &[("a", 1, word, Some(1)), ("b", 1, word, Some(2))], at(1)).await?;
        assert_eq!(first, [Some(Taken::Noted); 2]);
        // Of a request that came before nothing is taken, not even what is new in it; two with one key are one.
        let said = [("a", 2, word, Some(1)), ("b", 2, word, Some(3)), ("c", 2, word, Some(3))];
        assert_eq!(together(db, &tenant, &said, at(2)).await?, [None, Some(Taken::Noted), None]);
        assert_eq!(db.number("select count(*) from carrier_events").await, 3);
        // After an hour it is forgotten.
        let later = together(db, &tenant, &[("a", 2, word, Some(1))], at(3_602)).await?;
        assert_eq!(later, [Some(Taken::Noted)]);
        Ok(())
    }

    async fn a_call_has_so_many_reports_together_too(db) {
        let tenant = db.tenant("+918037091588").await?;
        db.call(&tenant, "a", at(0)).await?;
        db.call(&tenant, "b", at(0)).await?;
        for key in 0..100 {
            assert_eq!(together(db, &tenant, &[("a", key, CarrierWord::default(), None)], at(1)).await?, [Some(Taken::Noted)]);
        }
        let said = [("a", 200, CarrierWord::default(), None), ("b", 200, CarrierWord::default(), None)];
        assert_eq!(together(db, &tenant, &said, at(2)).await?, [Some(Taken::TooMany), Some(Taken::Noted)]);
        Ok(())
    }

    async fn what_is_known_of_a_call_says_whose_proofs_count(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = db.call(&tenant, "a", at(0)).await?.id;
        let mut without = tenant.new_call("b");
        without.phone_number = None;
        db.write(tenant.id, async |tx| calls::create(tx, &without, at(0)).await).await?;
        let find = async || {
            db.system(async |tx| {
                carrier_events::find_together(tx, CarrierKind::Exotel, ["a", "b", "x'; --"].into_iter()).await
            })
            .await
        };
        let told = find().await?;
        assert_eq!(told.len(), 2);
        assert_eq!((told["a"].call, told["a"].tenant), (id, tenant.id));
        assert_eq!(told["a"].proofs, Some(WebhookProofs::default()), "none chosen");
        assert_eq!((&told["b"].proofs, told["b"].phone_number), (&None, None));
        let only = WebhookProofs { path_token: false, ..WebhookProofs::default() };
        db.write(tenant.id, async |tx| phone_numbers::set_webhook_proofs(tx, tenant.number.id, &only).await).await?;
        assert_eq!(find().await?["a"].proofs, Some(only), "at once");
        Ok(())
    }

    async fn anothers_call_takes_no_report_together(db) {
        let (ours, theirs) = (db.tenant("+918037091588").await?, db.tenant("+918037091589").await?);
        db.call(&ours, "ours", at(0)).await?;
        let id = db.call(&theirs, "theirs", at(0)).await?.id;
        let failed = CarrierWord { status: Some(CallStatus::Failed), ..CarrierWord::default() };
        let said = [("ours", 1, failed, None), ("theirs", 1, failed, None)];
        let taken = together(db, &ours, &said, at(1)).await;
        assert!(matches!(taken, Err(Error::NotFound)), "{taken:?}");
        assert_eq!(db.get_call(&theirs, id).await?.carrier_status, None);
        assert_eq!(db.number("select count(*) from carrier_events").await, 0, "all of it is taken back");
        Ok(())
    }

    async fn many_audit_events_of_one_transaction_are_one_chain(db) {
        let (ours, theirs) = (db.tenant("+918037091588").await?, db.tenant("+918037091589").await?);
        let new = |id: &'static str| audit::NewAuditEvent {
            kind: audit::AuditKind::CallReported,
            severity: audit::Severity::Info,
            actor: "carrier:exotel",
            ip: "203.0.113.9".parse().ok(),
            request_id: None,
            object_kind: Some("call"),
            object_id: Some(id),
            data: object(json!({ "a": [1, null, "\u{0}é"], "b": { "c": 1.5 } })),
        };
        for round in 0..3 {
            db.system(async |tx| {
                audit::record(tx, &new("nobody's"), at(round)).await?;
                audit::record(tx, &new("nobody's either"), at(round)).await?;
                for tenant in [ours.id, theirs.id] {
                    let tx = tx.tenant(tenant).await?;
                    for id in ["1", "2", "3"] {
                        audit::record(tx, &new(id), at(round)).await?;
                    }
                }
                Ok::<_, Error>(())
            })
            .await?;
        }
        let page = db
            .read(ours.id, async |tx| audit::list(tx, &audit::AuditFilter::default(), PageRequest::default()).await)
            .await?;
        assert_eq!(page.items.len(), 9);
        assert_eq!(page.items[0].ip, "203.0.113.9".parse().ok());
        assert_eq!(page.items[0].data, object(json!({ "a": [1, null, "\u{fffd}é"], "b": { "c": "1.5" } })));
        let report = db.store.verify_audit().await?;
        assert!(report.is_intact(), "{report:?}");
        Ok(())
    }
}
