//! Organisations, agents, numbers, turns, call events, outbox, audit log.

use crate::database::{agent_config, at, both_databases, object, phone};
use model::limits::TURNS_PER_CALL_MAX;
use model::{CarrierKind, Latency, TranscriptTurn, TurnRole};
use store::audit::{self, AuditFilter, AuditKind, NewAuditEvent, Severity};
use store::call_events::{self, NewCallEvent};
use store::phone_numbers::{self, NewPhoneNumber};
use store::{Error, PageRequest, agents, organisations, outbox, turns};

fn turn(index: u32, text: &str) -> TranscriptTurn {
    TranscriptTurn {
        index,
        role: if index.is_multiple_of(2) { TurnRole::Agent } else { TurnRole::Caller },
        text: text.to_owned(),
        intended: None,
        interrupted: false,
        started_ms: u64::from(index) * 1_000,
        ended_ms: u64::from(index) * 1_000 + 900,
        latency: None,
    }
}

fn audit_event(kind: AuditKind, severity: Severity, call: &str) -> NewAuditEvent<'_> {
    NewAuditEvent {
        kind,
        severity,
        actor: "carrier:exotel",
        ip: Some(std::net::IpAddr::from([10, 0, 0, 7])),
        request_id: Some("req-1"),
        object_kind: Some("call"),
        object_id: Some(call),
        data: object(serde_json::json!({ "status": "completed" })),
    }
}

both_databases! {
    async fn organisations_are_listed_oldest_first(db) {
        for (name, now) in [("B", 2), ("A", 1)] {
            db.system(async |tx| organisations::create(tx, name, at(now)).await).await?;
        }
        let all = db.system(async |tx| organisations::list(tx).await).await?;
        assert_eq!(all.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        let unknown = model::OrganisationId(uuid::Uuid::nil());
        let missing = db.system(async |tx| organisations::get(tx, unknown).await).await;
        assert!(matches!(missing, Err(Error::NotFound)));
        Ok(())
    }

    async fn an_agent_is_made_changed_and_removed(db) {
        let tenant = db.tenant("+918037091588").await?;
        let config = agent_config("नमस्ते, this is Asha.");
        let made = db.write(tenant.id, async |tx| agents::create(tx, "Two", &config, at(1)).await).await?;
        let id = made.agent.id;
        assert_eq!(made.agent.config, config);
        assert_eq!(db.read(tenant.id, async |tx| agents::get(tx, id).await).await?, made);
        let other = agent_config("Hello");
        let changed = db.write(tenant.id, async |tx| agents::update(tx, id, "Three", &other, at(2)).await).await?;
        assert_eq!((changed.agent.name.as_str(), &changed.agent.config), ("Three", &other));
        assert_eq!((changed.created_at, changed.updated_at), (at(1), at(2)));
        db.write(tenant.id, async |tx| agents::delete(tx, id).await).await?;
        let again = db.write(tenant.id, async |tx| agents::delete(tx, id).await).await;
        assert!(matches!(again, Err(Error::NotFound)));
        let busy = db.write(tenant.id, async |tx| agents::delete(tx, tenant.agent).await).await;
        assert!(matches!(busy, Err(Error::Conflict("the agent has phone numbers or calls"))), "{busy:?}");
        Ok(())
    }

    async fn a_number_is_connected_once_and_found_by_its_caller(db) {
        let ours = db.tenant("+918037091588").await?;
        let theirs = db.tenant("+918037091589").await?;
        let taken = NewPhoneNumber {
            carrier: CarrierKind::Exotel,
            number: phone("+918037091588"),
            agent: theirs.agent,
            path_token_hash: None,
        };
        let refused = db.write(theirs.id, async |tx| phone_numbers::create(tx, &taken, at(1)).await).await;
        assert!(matches!(refused, Err(Error::Conflict("the phone number is connected already"))), "{refused:?}");
        let found = db
            .system(async |tx| phone_numbers::find_called(tx, CarrierKind::Exotel, &phone("08037091588")).await)
            .await?;
        assert_eq!(found, Some(ours.number.clone()));
        let nobody = db
            .system(async |tx| phone_numbers::find_called(tx, CarrierKind::Exotel, &phone("+918000000000")).await)
            .await?;
        assert_eq!(nobody, None);
        Ok(())
    }

    async fn path_tokens_are_unique_and_can_change(db) {
        let ours = db.tenant("+918037091588").await?;
        let theirs = db.tenant("+918037091589").await?;
        let (our_id, their_id) = (ours.number.id, theirs.number.id);
        db.write(ours.id, async |tx| phone_numbers::set_path_token(tx, our_id, Some([3; 32])).await).await?;
        let found = db.system(async |tx| phone_numbers::find_by_path_token(tx, [3; 32]).await).await?;
        assert_eq!(found.map(|n| n.id), Some(our_id));
        let taken =
            db.write(theirs.id, async |tx| phone_numbers::set_path_token(tx, their_id, Some([3; 32])).await).await;
        assert!(matches!(taken, Err(Error::Conflict(_))));
        db.write(ours.id, async |tx| phone_numbers::set_path_token(tx, our_id, None).await).await?;
        let gone = db.system(async |tx| phone_numbers::find_by_path_token(tx, [3; 32]).await).await?;
        assert_eq!(gone, None);
        Ok(())
    }

    async fn a_number_changes_its_agent_and_is_disconnected(db) {
        let tenant = db.tenant("+918037091588").await?;
        let config = agent_config("Hello");
        let other = db.write(tenant.id, async |tx| agents::create(tx, "Two", &config, at(1)).await).await?.agent.id;
        let id = tenant.number.id;
        let moved = db.write(tenant.id, async |tx| phone_numbers::assign(tx, id, other).await).await?;
        assert_eq!(moved.agent, other);
        let page = db.read(tenant.id, async |tx| phone_numbers::list(tx, PageRequest::default()).await).await?;
        assert_eq!(page.items, [moved]);
        db.write(tenant.id, async |tx| phone_numbers::delete(tx, id).await).await?;
        let gone = db.read(tenant.id, async |tx| phone_numbers::get(tx, id).await).await;
        assert!(matches!(gone, Err(Error::NotFound)));
        Ok(())
    }

    async fn a_number_with_calls_stays(db) {
        let tenant = db.tenant("+918037091588").await?;
        db.call(&tenant, "sid-1", at(1)).await?;
        let refused = db.write(tenant.id, async |tx| phone_numbers::delete(tx, tenant.number.id).await).await;
        assert!(matches!(refused, Err(Error::Conflict(_))));
        Ok(())
    }

    async fn turns_come_back_in_order_and_as_given(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(1)).await?.id;
        let rich = TranscriptTurn {
            intended: Some("We are open from nine to five.".to_owned()),
            interrupted: true,
            latency: Some(Latency { end_to_end_ms: Some(640), thinking_ms: Some(0), ..Latency::default() }),
            ..turn(2, "We are open")
        };
        let given = [turn(3, "कल?"), turn(0, "Namaste"), rich.clone(), turn(1, "Hi; when -- 'open'?")];
        db.write(tenant.id, async |tx| turns::append(tx, call, &given, at(2)).await).await?;
        let read = db.read(tenant.id, async |tx| turns::list(tx, call).await).await?;
        assert_eq!(read, [turn(0, "Namaste"), turn(1, "Hi; when -- 'open'?"), rich, turn(3, "कल?")]);
        Ok(())
    }

    async fn a_repeated_turn_replaces(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(1)).await?.id;
        db.write(tenant.id, async |tx| {
            turns::append(tx, call, &[turn(0, "Namaste"), turn(1, "a")], at(2)).await?;
            turns::append(tx, call, &[turn(1, "b"), turn(2, "c")], at(3)).await
        })
        .await?;
        let read = db.read(tenant.id, async |tx| turns::list(tx, call).await).await?;
        assert_eq!(read.iter().map(|t| t.text.as_str()).collect::<Vec<_>>(), ["Namaste", "b", "c"]);
        let past = [turn(TURNS_PER_CALL_MAX, "x")];
        let refused = db.write(tenant.id, async |tx| turns::append(tx, call, &past, at(4)).await).await;
        assert!(matches!(refused, Err(Error::Conflict(_))));
        Ok(())
    }

    async fn call_events_come_back_in_media_order(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(1)).await?.id;
        let events: Vec<_> = [40, 20, 20, 20, 60]
            .into_iter()
            .enumerate()
            .map(|(n, at_ms)| NewCallEvent {
                at_ms,
                kind: format!("event-{n}"),
                data: object(serde_json::json!({ "n": n })),
            })
            .collect();
        db.write(tenant.id, async |tx| call_events::append(tx, call, &events, at(2)).await).await?;
        let first = db.read(tenant.id, async |tx| call_events::list(tx, call, None, 3).await).await?;
        let rest = db.read(tenant.id, async |tx| call_events::list(tx, call, first.last(), 100).await).await?;
        let kinds: Vec<_> = first.iter().chain(&rest).map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["event-1", "event-2", "event-3", "event-0", "event-4"]);
        assert_eq!((rest[0].at_ms, &rest[0].data), (40, &object(serde_json::json!({ "n": 0 }))));
        Ok(())
    }

    async fn outbox_messages_are_taken_once_and_in_order(db) {
        let tenant = db.tenant("+918037091588").await?;
        for (kind, now) in [("second", 2), ("first", 1), ("third", 3)] {
            let data = object(serde_json::json!({ "kind": kind }));
            db.write(tenant.id, async |tx| outbox::push(tx, kind, data, at(now)).await).await?;
        }
        let lost: Result<(), Error> = db
            .system(async |tx| {
                assert_eq!(outbox::take(tx, 10, at(4)).await?.len(), 3);
                Err(Error::Busy)
            })
            .await;
        assert!(lost.is_err());
        let taken = db.system(async |tx| outbox::take(tx, 2, at(5)).await).await?;
        assert_eq!(taken.iter().map(|m| m.kind.as_str()).collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!((taken[0].tenant, taken[0].created_at), (tenant.id, at(1)));
        let rest = db.system(async |tx| outbox::take(tx, 10, at(6)).await).await?;
        assert_eq!(rest.iter().map(|m| m.kind.as_str()).collect::<Vec<_>>(), ["third"]);
        assert_eq!(db.system(async |tx| outbox::purge(tx, at(6)).await).await?, 2);
        Ok(())
    }

    async fn simultaneous_takers_share_the_outbox(db) {
        let tenant = db.tenant("+918037091588").await?;
        db.write(tenant.id, async |tx| {
            for n in 0..60 {
                outbox::push(tx, "call.ended", object(serde_json::json!({ "n": n })), at(n)).await?;
            }
            Ok(())
        })
        .await?;
        let mut takers = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let store = db.store.clone();
            takers.spawn(async move {
                store.system::<_, Error, _>("test.take", async |tx| outbox::take(tx, 60, at(99)).await).await
            });
        }
        let mut ids = Vec::new();
        while let Some(taken) = takers.join_next().await {
            ids.extend(taken??.into_iter().map(|message| message.id));
        }
        assert_eq!(ids.len(), 60);
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 60);
        Ok(())
    }

    async fn audit_events_are_kept_and_filtered(db) {
        let tenant = db.tenant("+918037091588").await?;
        let rows = [
            (AuditKind::CallStarted, Severity::Info, "c1"),
            (AuditKind::WebhookRejected, Severity::Warning, "c1"),
            (AuditKind::CallStarted, Severity::Info, "c2"),
        ];
        for (now, (kind, severity, call)) in (1..).zip(rows) {
            let event = audit_event(kind, severity, call);
            db.write(tenant.id, async |tx| audit::record(tx, &event, at(now)).await).await?;
        }
        // Before the tenant is known.
        let nobody = audit_event(AuditKind::WebhookRejected, Severity::Critical, "c9");
        db.system(async |tx| audit::record(tx, &nobody, at(9)).await).await?;
        let cases: [(AuditFilter<'_>, Vec<i64>); 6] = [
            (AuditFilter::default(), vec![3, 2, 1]),
            (AuditFilter { kind: Some(AuditKind::CallStarted), ..Default::default() }, vec![3, 1]),
            (AuditFilter { severity: Some(Severity::Warning), ..Default::default() }, vec![2]),
            (AuditFilter { object_kind: Some("call"), object_id: Some("c1"), ..Default::default() }, vec![2, 1]),
            (AuditFilter { created_from: Some(at(2)), created_before: Some(at(3)), ..Default::default() }, vec![2]),
            (AuditFilter { actor: Some("user:7"), ..Default::default() }, vec![]),
        ];
        for (filter, want) in cases {
            let page =
                db.read(tenant.id, async |tx| audit::list(tx, &filter, PageRequest::default()).await).await?;
            let times: Vec<_> = page.items.iter().map(|event| event.created_at).collect();
            assert_eq!(times, want.into_iter().map(at).collect::<Vec<_>>(), "{filter:?}");
        }
        let page = db
            .read(tenant.id, async |tx| audit::list(tx, &AuditFilter::default(), PageRequest::default()).await)
            .await?;
        let first = &page.items[2];
        assert_eq!((first.tenant, first.severity), (Some(tenant.id), Severity::Info));
        assert_eq!(first.ip, Some(std::net::IpAddr::from([10, 0, 0, 7])));
        assert_eq!((first.request_id.as_deref(), first.object_id.as_deref()), (Some("req-1"), Some("c1")));
        Ok(())
    }
}
