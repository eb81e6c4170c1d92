//! Webhook endpoints, and events on their way to them.

use crate::database::{Tenant, TestDatabase, at, both_databases, object};
use chrono::{DateTime, Duration, Utc};
use model::{CallId, DeliveryState, EventKind, WebhookEndpointId};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use store::deliveries::{self, Attempt, Delivery, DeliveryFilter, LEASE_S, NewDelivery};
use store::webhook_endpoints::{self, DisabledReason, ENDPOINTS_MAX, EndpointSettings, WebhookEndpoint};
use store::{Error, PageRequest, outbox};

const SETTINGS: EndpointSettings<'static> =
    EndpointSettings { url: "https://crm.example.org/hooks", description: "CRM", events: &[EventKind::CallEnded] };

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

async fn endpoint(db: &TestDatabase, tenant: &Tenant) -> Result<WebhookEndpoint, Error> {
    let secret = secret("whsec_0123456789abcdef");
    db.write(tenant.id, async |tx| webhook_endpoints::create(tx, &SETTINGS, &secret, at(0)).await).await
}

/// An event that happened at this second.
async fn event(
    db: &TestDatabase,
    tenant: &Tenant,
    endpoint: WebhookEndpointId,
    call: Option<CallId>,
    second: i64,
) -> Result<Delivery, Error> {
    let event = deliveries::new_event_id(at(second))?;
    let new = NewDelivery { endpoint, event, kind: "call.ended", call, occurred_at: at(second), body: "{}" };
    db.write(tenant.id, async |tx| deliveries::create(tx, &new, at(second)).await).await.map(|made| made.expect("new"))
}

async fn claim(
    db: &TestDatabase,
    tenant: &Tenant,
    endpoint: WebhookEndpointId,
    now: DateTime<Utc>,
) -> Result<Vec<Delivery>, Error> {
    db.write(tenant.id, async |tx| deliveries::claim(tx, endpoint, 10, now).await).await
}

fn attempt(status: u16, error: Option<&str>) -> Attempt {
    Attempt { status: Some(status), error: error.map(str::to_owned), response: Some("x\0y".to_owned()), duration_ms: 7 }
}

async fn failed(
    db: &TestDatabase,
    tenant: &Tenant,
    claimed: &Delivery,
    next_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let attempt = attempt(500, Some("no"));
    db.write(tenant.id, async |tx| deliveries::not_delivered(tx, claimed, &attempt, next_at, now).await).await
}

async fn delivered(db: &TestDatabase, tenant: &Tenant, claimed: &Delivery, now: DateTime<Utc>) -> Result<bool, Error> {
    let attempt = attempt(200, None);
    db.write(tenant.id, async |tx| deliveries::delivered(tx, claimed, &attempt, now).await).await
}

fn ids(deliveries: &[Delivery]) -> Vec<model::DeliveryId> {
    deliveries.iter().map(|one| one.id).collect()
}

both_databases! {
    async fn an_endpoint_is_made_changed_and_forgotten(db) {
        let tenant = db.tenant("+918037091588").await?;
        let made = endpoint(db, &tenant).await?;
        assert_eq!((made.secret_last4.as_str(), made.disabled_at), ("cdef", None));
        assert!(made.wants(EventKind::CallEnded) && !made.wants(EventKind::CallStarted));
        let new = EndpointSettings { url: "https://other.example.org/", description: "", events: &[] };
        let changed = db.write(tenant.id, async |tx| webhook_endpoints::update(tx, made.id, &new, at(5)).await).await?;
        assert_eq!((changed.url.as_str(), changed.updated_at), ("https://other.example.org/", at(5)));
        assert!(changed.wants(EventKind::RecordingReady), "no kinds are all kinds");
        assert_eq!(db.read(tenant.id, async |tx| webhook_endpoints::get(tx, made.id).await).await?, changed);
        let page = db.read(tenant.id, async |tx| webhook_endpoints::list(tx, PageRequest::default()).await).await?;
        assert_eq!(page.items, [changed]);
        event(db, &tenant, made.id, None, 1).await?;
        let other = db.tenant("+918037091589").await?;
        for gone in [
            db.write(other.id, async |tx| webhook_endpoints::delete(tx, made.id).await).await,
            db.write(tenant.id, async |tx| webhook_endpoints::delete(tx, made.id).await).await.and(Err(Error::NotFound)),
            db.write(tenant.id, async |tx| webhook_endpoints::delete(tx, made.id).await).await,
        ] {
            assert!(matches!(gone, Err(Error::NotFound)));
        }
        Ok(())
    }

    async fn a_tenant_has_so_many_endpoints_and_no_more(db) {
        let tenant = db.tenant("+918037091588").await?;
        for _ in 0..ENDPOINTS_MAX - 1 {
            endpoint(db, &tenant).await?;
        }
        let (one, other) = tokio::join!(endpoint(db, &tenant), endpoint(db, &tenant));
        assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1, "room for one");
        assert!(matches!(endpoint(db, &tenant).await, Err(Error::Conflict(_))));
        endpoint(db, &db.tenant("+918037091589").await?).await?;
        Ok(())
    }

    async fn the_previous_secret_stays_for_a_day(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = endpoint(db, &tenant).await?.id;
        let new = secret("whsec_fedcba9876543210");
        let rotated = db.write(tenant.id, async |tx| webhook_endpoints::rotate_secret(tx, id, &new, at(10)).await).await?;
        assert_eq!((rotated.secret_last4.as_str(), rotated.previous_until), ("3210", Some(at(10) + Duration::hours(24))));
        for (now, want) in [
            (at(11), vec!["whsec_fedcba9876543210", "whsec_0123456789abcdef"]),
            (at(10) + Duration::hours(24), vec!["whsec_fedcba9876543210"]),
        ] {
            let got = db.read(tenant.id, async |tx| webhook_endpoints::addressed(tx, id, now).await).await?;
            assert_eq!(got.secrets.iter().map(|one| one.expose_secret()).collect::<Vec<_>>(), want);
            assert!(!format!("{got:?}").contains("whsec_"));
        }
        Ok(())
    }

    async fn what_is_due_is_claimed_once_and_its_note_is_fenced(db) {
        let tenant = db.tenant("+918037091588").await?;
        let endpoint = endpoint(db, &tenant).await?.id;
        let made = event(db, &tenant, endpoint, None, 1).await?;
        let again = NewDelivery {
            endpoint, event: made.event, kind: "call.ended", call: None, occurred_at: at(1), body: "{}",
        };
        let twice = db.write(tenant.id, async |tx| deliveries::create(tx, &again, at(2)).await).await?;
        assert_eq!(twice, None, "an endpoint has each event once");
        assert_eq!(claim(db, &tenant, endpoint, at(0)).await?, []);
        let first = claim(db, &tenant, endpoint, at(1)).await?.remove(0);
        assert_eq!((first.id, first.attempts), (made.id, 1));
        assert_eq!(claim(db, &tenant, endpoint, at(1)).await?, []);
        assert_eq!(db.system(async |tx| deliveries::due_endpoints(tx, at(1)).await).await?, []);
        // Its runner was lost: another has it, and the first comes too late.
        let later = at(1) + Duration::seconds(LEASE_S);
        assert_eq!(db.system(async |tx| deliveries::due_endpoints(tx, later).await).await?, [(tenant.id, endpoint)]);
        let second = claim(db, &tenant, endpoint, later).await?.remove(0);
        assert_eq!(second.attempts, 2);
        assert!(!delivered(db, &tenant, &first, later).await?);
        assert!(!failed(db, &tenant, &first, None, later).await?);
        assert!(failed(db, &tenant, &second, Some(later + Duration::seconds(5)), later).await?);
        assert_eq!(claim(db, &tenant, endpoint, later + Duration::seconds(4)).await?, []);
        let third = claim(db, &tenant, endpoint, later + Duration::seconds(5)).await?.remove(0);
        assert!(delivered(db, &tenant, &third, later).await?);
        assert!(!failed(db, &tenant, &third, None, later).await?, "it is over");
        let got = db.read(tenant.id, async |tx| deliveries::get(tx, made.id).await).await?;
        assert_eq!((got.state, got.last_status, got.last_duration_ms), (DeliveryState::Delivered, Some(200), Some(7)));
        assert_eq!((got.last_response.as_deref(), got.last_error), (Some("x y"), None));
        Ok(())
    }

    async fn events_of_a_call_go_one_after_another(db) {
        let tenant = db.tenant("+918037091588").await?;
        let (one, other) = (endpoint(db, &tenant).await?.id, endpoint(db, &tenant).await?.id);
        let call = db.call(&tenant, "sid-1", at(0)).await?.id;
        let first = event(db, &tenant, one, Some(call), 1).await?;
        let second = event(db, &tenant, one, Some(call), 2).await?;
        let elsewhere = event(db, &tenant, other, Some(call), 2).await?;
        let free = event(db, &tenant, one, None, 3).await?;
        let claimed = claim(db, &tenant, one, at(9)).await?;
        assert_eq!(ids(&claimed), [first.id, free.id]);
        assert_eq!(ids(&claim(db, &tenant, other, at(9)).await?), [elsewhere.id], "endpoints do not wait for each other");
        assert!(failed(db, &tenant, &claimed[0], Some(at(100)), at(9)).await?);
        assert!(delivered(db, &tenant, &claimed[1], at(9)).await?);
        // The later one is not even looked at until the earlier is due again; nor is one that comes now.
        let third = event(db, &tenant, one, Some(call), 10).await?;
        assert_eq!(third.next_at, at(100));
        assert_eq!(db.system(async |tx| deliveries::due_endpoints(tx, at(50)).await).await?, []);
        let again = claim(db, &tenant, one, at(100)).await?;
        assert_eq!(ids(&again), [first.id]);
        assert!(failed(db, &tenant, &again[0], None, at(101)).await?);
        let next = claim(db, &tenant, one, at(101)).await?;
        assert_eq!(ids(&next), [second.id], "given up: the next one");
        assert!(delivered(db, &tenant, &next[0], at(102)).await?);
        assert_eq!(ids(&claim(db, &tenant, one, at(102)).await?), [third.id]);
        Ok(())
    }

    async fn a_disabled_endpoint_gets_nothing_and_replays_work(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = endpoint(db, &tenant).await?.id;
        let waiting = event(db, &tenant, id, None, 1).await?;
        let disable = async |now| {
            db.write(tenant.id, async |tx| webhook_endpoints::disable(tx, id, DisabledReason::Gone, now).await).await
        };
        assert!(disable(at(2)).await? && !disable(at(3)).await?);
        let got = db.read(tenant.id, async |tx| webhook_endpoints::get(tx, id).await).await?;
        assert_eq!((got.disabled_at, got.disabled_reason), (Some(at(2)), Some(DisabledReason::Gone)));
        assert!(!got.wants(EventKind::CallEnded));
        assert_eq!(db.read(tenant.id, async |tx| webhook_endpoints::listening(tx).await).await?, []);
        let got = db.read(tenant.id, async |tx| deliveries::get(tx, waiting.id).await).await?;
        assert_eq!((got.state, got.last_error.as_deref()), (DeliveryState::Failed, Some("the endpoint was disabled")));
        event(db, &tenant, id, None, 4).await?;
        assert_eq!(claim(db, &tenant, id, at(9)).await?, []);
        assert!(db.write(tenant.id, async |tx| webhook_endpoints::enable(tx, id, at(10)).await).await?);
        let replayed = db.write(tenant.id, async |tx| deliveries::replay(tx, waiting.id, at(10)).await).await?;
        assert_eq!((replayed.state, replayed.attempts, replayed.event), (DeliveryState::Pending, 0, waiting.event));
        assert_eq!(claim(db, &tenant, id, at(10)).await?.len(), 2);
        let now = db.write(tenant.id, async |tx| deliveries::replay(tx, waiting.id, at(11)).await).await;
        assert!(matches!(now, Err(Error::Conflict(_))), "it is being sent");
        Ok(())
    }

    async fn five_days_without_success_are_too_many(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = endpoint(db, &tenant).await?.id;
        let fail = async |now| {
            db.write(tenant.id, async |tx| webhook_endpoints::failed(tx, id, None, now).await).await
        };
        assert!(!fail(at(0)).await?);
        assert!(!fail(at(5 * 86_400 - 1)).await?);
        assert!(fail(at(5 * 86_400)).await?);
        db.write(tenant.id, async |tx| webhook_endpoints::succeeded(tx, id, at(5 * 86_400)).await).await?;
        assert!(!fail(at(9 * 86_400)).await?, "a success begins anew");
        let pause = Some(at(10 * 86_400));
        db.write(tenant.id, async |tx| webhook_endpoints::failed(tx, id, pause, at(9 * 86_400)).await).await?;
        event(db, &tenant, id, None, 1).await?;
        assert_eq!(claim(db, &tenant, id, at(10 * 86_400 - 1)).await?, [], "it asked for a pause");
        assert_eq!(claim(db, &tenant, id, at(10 * 86_400)).await?.len(), 1);
        Ok(())
    }

    async fn lists_are_filtered_and_old_rows_go(db) {
        let tenant = db.tenant("+918037091588").await?;
        let id = endpoint(db, &tenant).await?.id;
        for second in 1..=5 {
            event(db, &tenant, id, None, second).await?;
        }
        let claimed = claim(db, &tenant, id, at(9)).await?;
        delivered(db, &tenant, &claimed[0], at(10)).await?;
        failed(db, &tenant, &claimed[1], None, at(20)).await?;
        for (state, kind, count) in [
            (None, None, 5),
            (Some(DeliveryState::Pending), None, 3),
            (Some(DeliveryState::Failed), Some("call.ended"), 1),
            (Some(DeliveryState::Delivered), Some("test"), 0),
            (None, Some("test"), 0),
        ] {
            let filter = DeliveryFilter { state, kind: kind.map(str::to_owned) };
            let page = PageRequest { after: None, limit: 2 };
            let mut items = Vec::new();
            let mut page = db.read(tenant.id, async |tx| deliveries::list(tx, id, &filter, page).await).await?;
            items.append(&mut page.items);
            while let Some(after) = page.next {
                let next = PageRequest { after: Some(after), limit: 2 };
                page = db.read(tenant.id, async |tx| deliveries::list(tx, id, &filter, next).await).await?;
                items.append(&mut page.items);
            }
            assert_eq!(items.len(), count, "{filter:?}");
        }
        assert_eq!(db.system(async |tx| deliveries::purge(tx, at(15)).await).await?, 1);
        assert_eq!(db.system(async |tx| deliveries::purge(tx, at(1_000)).await).await?, 1, "what waits stays");
        Ok(())
    }

    async fn nothing_points_into_another_tenant(db) {
        let (ours, theirs) = (db.tenant("+918037091588").await?, db.tenant("+918037091589").await?);
        let id = endpoint(db, &theirs).await?.id;
        let call = db.call(&theirs, "sid-1", at(0)).await?.id;
        let there = event(db, &theirs, id, Some(call), 1).await?;
        assert!(event(db, &ours, id, None, 1).await.is_err(), "an endpoint of theirs");
        let own = endpoint(db, &ours).await?.id;
        assert!(event(db, &ours, own, Some(call), 1).await.is_err(), "a call of theirs");
        assert_eq!(claim(db, &ours, id, at(9)).await?, []);
        for missing in [
            db.read(ours.id, async |tx| deliveries::get(tx, there.id).await).await,
            db.write(ours.id, async |tx| deliveries::replay(tx, there.id, at(9)).await).await,
        ] {
            assert!(matches!(missing, Err(Error::NotFound)));
        }
        Ok(())
    }

    async fn the_outbox_says_what_waits_and_what_was(db) {
        let tenant = db.tenant("+918037091588").await?;
        assert!(!db.system(async |tx| outbox::waiting(tx).await).await?);
        db.write(tenant.id, async |tx| outbox::push(tx, "call.ended", object(json!({})), at(1)).await).await?;
        assert!(db.system(async |tx| outbox::waiting(tx).await).await?);
        db.system(async |tx| outbox::take(tx, 9, at(2)).await).await?;
        assert!(!db.system(async |tx| outbox::waiting(tx).await).await?);
        let kept = db.read(tenant.id, async |tx| outbox::list(tx, PageRequest::default()).await).await?;
        assert_eq!(kept.items.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>(), ["call.ended"]);
        Ok(())
    }

    async fn a_frequent_message_is_kept_only_when_somebody_wants_it(db) {
        let tenant = db.tenant("+918037091588").await?;
        let push = async |kind: EventKind| {
            let data = object(json!({ "call_id": "x" }));
            let pushed = db.write(tenant.id, async |tx| outbox::push_if_wanted(tx, kind, data, at(5)).await).await?;
            Ok::<_, Error>(pushed.is_some())
        };
        assert!(!push(EventKind::CallEnded).await?, "nobody listens");
        let chosen = endpoint(db, &tenant).await?;
        assert!(push(EventKind::CallEnded).await?);
        assert!(!push(EventKind::TranscriptUpdated).await?, "not chosen");
        let secret = secret("whsec_0123456789abcdef");
        let all = EndpointSettings { events: &[], ..SETTINGS };
        let all = db.write(tenant.id, async |tx| webhook_endpoints::create(tx, &all, &secret, at(0)).await).await?;
        assert!(push(EventKind::TranscriptUpdated).await?, "one wants all");
        for id in [all.id, chosen.id] {
            let reason = DisabledReason::ByHand;
            db.write(tenant.id, async |tx| webhook_endpoints::disable(tx, id, reason, at(6)).await).await?;
            assert!(!push(EventKind::TranscriptUpdated).await?, "disabled");
        }
        assert!(!push(EventKind::CallEnded).await?, "disabled");
        let other = db.tenant("+918037091589").await?;
        let (kind, data) = (EventKind::CallEnded, object(json!({})));
        let theirs = db.write(other.id, async |tx| outbox::push_if_wanted(tx, kind, data, at(5)).await).await?;
        assert_eq!(theirs, None, "another tenant's endpoints do not count");
        let kept = db.read(tenant.id, async |tx| outbox::list(tx, PageRequest::default()).await).await?.items;
        let mut kinds: Vec<_> = kept.iter().map(|message| message.kind.as_str()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["call.ended", "transcript.updated"]);
        assert_eq!(kept[0].data, object(json!({ "call_id": "x" })));
        Ok(())
    }
}
