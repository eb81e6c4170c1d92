//! Pages and filters.

use crate::database::{Tenant, TestDatabase, at, both_databases, object, owner, phone};
use model::{CallDirection, CallId, CallStatus, EndedReason, TranscriptTurn, TurnRole};
use store::calls::{self, CallFilter};
use store::{Cursor, Error, Page, PageRequest, agents, turns};

fn turn(index: u32) -> TranscriptTurn {
    TranscriptTurn {
        index,
        role: TurnRole::Agent,
        text: format!("turn {index}"),
        intended: None,
        interrupted: false,
        started_ms: 0,
        ended_ms: 1,
        latency: None,
    }
}

async fn list(
    db: &TestDatabase,
    tenant: &Tenant,
    filter: CallFilter,
    page: PageRequest,
) -> Result<Page<calls::Call>, Error> {
    db.read(tenant.id, async |tx| calls::list(tx, &filter, page).await).await
}

fn sids(page: &Page<calls::Call>) -> Vec<&str> {
    page.items.iter().filter_map(|call| call.carrier_call_id.as_deref()).collect()
}

async fn all_ids(db: &TestDatabase, tenant: &Tenant, limit: u32) -> Result<Vec<CallId>, Error> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = list(db, tenant, CallFilter::default(), PageRequest { after, limit }).await?;
        assert!(page.items.len() <= limit as usize);
        ids.extend(page.items.iter().map(|call| call.id));
        // Through its text, as a client hands it back.
        after = page.next.map(|cursor| cursor.to_string().parse::<Cursor>().expect("a cursor"));
        if after.is_none() {
            return Ok(ids);
        }
    }
}

both_databases! {
    async fn pages_meet_without_gap_or_overlap(db) {
        let tenant = db.tenant("+918037091588").await?;
        let mut made = Vec::new();
        // Three calls in each instant: the id decides between them.
        for n in 0..23 {
            made.push(db.call(&tenant, &format!("sid-{n}"), at(n / 3)).await?);
        }
        made.sort_by_key(|call| std::cmp::Reverse((call.created_at, call.id)));
        let want: Vec<_> = made.iter().map(|call| call.id).collect();
        for limit in [1, 2, 3, 5, 22, 23, 24, 200] {
            assert_eq!(all_ids(db, &tenant, limit).await?, want, "limit {limit}");
        }
        Ok(())
    }

    async fn a_full_last_page_has_no_next(db) {
        let tenant = db.tenant("+918037091588").await?;
        for n in 0..4 {
            db.call(&tenant, &format!("sid-{n}"), at(n)).await?;
        }
        let page = list(db, &tenant, CallFilter::default(), PageRequest { after: None, limit: 4 }).await?;
        assert_eq!((page.items.len(), page.next), (4, None));
        Ok(())
    }

    async fn new_rows_do_not_shift_the_next_page(db) {
        let tenant = db.tenant("+918037091588").await?;
        for n in 0..6 {
            db.call(&tenant, &format!("sid-{n}"), at(n)).await?;
        }
        let first = list(db, &tenant, CallFilter::default(), PageRequest { after: None, limit: 3 }).await?;
        assert_eq!(sids(&first), ["sid-5", "sid-4", "sid-3"]);
        db.call(&tenant, "sid-new", at(100)).await?;
        let second = list(db, &tenant, CallFilter::default(), PageRequest { after: first.next, limit: 3 }).await?;
        assert_eq!(sids(&second), ["sid-2", "sid-1", "sid-0"]);
        assert_eq!(second.next, None);
        Ok(())
    }

    async fn sub_second_times_sort_as_times(db) {
        let tenant = db.tenant("+918037091588").await?;
        for (sid, micros) in [("b", 500_000), ("a", 0), ("d", 999_999), ("c", 500_001)] {
            db.call(&tenant, sid, at(0) + chrono::Duration::microseconds(micros)).await?;
        }
        let page = list(db, &tenant, CallFilter::default(), PageRequest::default()).await?;
        assert_eq!(sids(&page), ["d", "c", "b", "a"]);
        Ok(())
    }

    async fn calls_are_filtered(db) {
        let tenant = db.tenant("+918037091588").await?;
        let config = crate::database::agent_config("Hello");
        let other = db.write(tenant.id, async |tx| agents::create(tx, "Other", &config, at(0)).await).await?;
        for n in 0..4 {
            db.call(&tenant, &format!("sid-{n}"), at(n)).await?;
        }
        let new = calls::NewCall { agent: other.agent.id, ..tenant.new_call("other") };
        let talking = db.write(tenant.id, async |tx| calls::create(tx, &new, at(9)).await).await?.into_call();
        db.write(tenant.id, async |tx| {
            calls::begin_media(tx, talking.id, &owner("a", 1), at(9), chrono::Duration::seconds(9)).await
        })
        .await?;
        let cases = [
            (CallFilter { status: Some(CallStatus::InProgress), ..Default::default() }, vec!["other"]),
            (CallFilter { status: Some(CallStatus::Busy), ..Default::default() }, vec![]),
            (CallFilter { agent: Some(other.agent.id), ..Default::default() }, vec!["other"]),
            (CallFilter { created_from: Some(at(3)), ..Default::default() }, vec!["other", "sid-3"]),
            (CallFilter { created_before: Some(at(1)), ..Default::default() }, vec!["sid-0"]),
            (
                CallFilter {
                    status: Some(CallStatus::Ringing),
                    agent: Some(tenant.agent),
                    created_from: Some(at(1)),
                    created_before: Some(at(3)),
                    ..Default::default()
                },
                vec!["sid-2", "sid-1"],
            ),
        ];
        for (filter, want) in cases {
            let page = list(db, &tenant, filter.clone(), PageRequest::default()).await?;
            assert_eq!(sids(&page), want);
        }
        Ok(())
    }

    async fn calls_are_filtered_by_who_and_where(db) {
        let tenant = db.tenant("+918037091588").await?;
        let foreign = db.tenant("+918037091589").await?;
        db.call(&foreign, "foreign", at(0)).await?;
        db.call(&tenant, "a", at(0)).await?;
        let changed = [
            calls::NewCall { from: Some(phone("+12025550123")), ..tenant.new_call("b") },
            calls::NewCall { to: Some(phone("+12025550199")), phone_number: None, ..tenant.new_call("c") },
            calls::NewCall { direction: CallDirection::Outgoing, from: None, ..tenant.new_call("d") },
        ];
        for (n, new) in (1..).zip(&changed) {
            db.write(tenant.id, async |tx| calls::create(tx, new, at(n)).await).await?;
        }
        let all = CallFilter::default;
        let cases = [
            (CallFilter { from: Some(phone("+12025550123")), ..all() }, vec!["b"]),
            (CallFilter { from: Some(phone("+919812345678")), ..all() }, vec!["c", "a"]),
            (CallFilter { to: Some(phone("+12025550199")), ..all() }, vec!["c"]),
            (CallFilter { phone_number: Some(tenant.number.id), ..all() }, vec!["d", "b", "a"]),
            (CallFilter { phone_number: Some(foreign.number.id), ..all() }, vec![]),
            (CallFilter { direction: Some(CallDirection::Outgoing), ..all() }, vec!["d"]),
            (CallFilter { status: Some(CallStatus::Ringing), created_before: Some(at(2)), ..all() }, vec!["b", "a"]),
            (
                CallFilter {
                    from: Some(phone("+919812345678")),
                    to: Some(tenant.number.number.clone()),
                    agent: Some(tenant.agent),
                    created_from: Some(at(0)),
                    ..all()
                },
                vec!["a"],
            ),
        ];
        for (filter, want) in cases {
            let page = list(db, &tenant, filter.clone(), PageRequest::default()).await?;
            assert_eq!(sids(&page), want, "{filter:?}");
        }
        Ok(())
    }

    async fn an_end_of_time_holds_on_every_page(db) {
        let tenant = db.tenant("+918037091588").await?;
        for n in 0..9 {
            db.call(&tenant, &format!("sid-{n}"), at(n / 3)).await?;
        }
        let filter = CallFilter { created_before: Some(at(2)), ..Default::default() };
        let first = list(db, &tenant, filter.clone(), PageRequest { after: None, limit: 4 }).await?;
        assert!(first.items.iter().all(|call| call.created_at < at(2)), "what is at the end is not before it");
        let second = list(db, &tenant, filter, PageRequest { after: first.next, limit: 4 }).await?;
        assert_eq!((first.items.len(), second.items.len(), second.next), (4, 2, None));
        Ok(())
    }

    async fn a_transcript_is_read_in_pages(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid", at(0)).await?.id;
        let spoken: Vec<TranscriptTurn> = (0..5).map(turn).collect();
        db.write(tenant.id, async |tx| turns::append(tx, call, &spoken, at(0)).await).await?;
        for (after, limit, want, more) in [
            (None, 2, 0..2, true),
            (Some(1), 3, 2..5, false),
            (Some(1), 2, 2..4, true),
            (Some(4), 2, 5..5, false),
            (None, 0, 0..1, true),
            (None, u32::MAX, 0..5, false),
        ] {
            let (page, follows) = db.read(tenant.id, async |tx| turns::page(tx, call, after, limit).await).await?;
            assert_eq!((page, follows), (want.map(turn).collect(), more), "{after:?} {limit}");
        }
        let foreign = db.tenant("+918037091589").await?;
        let theirs = db.read(foreign.id, async |tx| turns::page(tx, call, None, 9).await).await?;
        assert_eq!(theirs, (vec![], false));
        Ok(())
    }

    async fn agents_are_listed_without_their_configurations(db) {
        let tenant = db.tenant("+918037091588").await?;
        let config = crate::database::agent_config("Hello");
        let other = db.write(tenant.id, async |tx| agents::create(tx, "Other", &config, at(1)).await).await?;
        let page = PageRequest { after: None, limit: 1 };
        let first = db.read(tenant.id, async |tx| agents::summaries(tx, page).await).await?;
        assert_eq!(first.items[0].id, other.agent.id);
        assert_eq!((first.items[0].name.as_str(), first.items[0].created_at), ("Other", at(1)));
        let page = PageRequest { after: first.next, limit: 1 };
        let second = db.read(tenant.id, async |tx| agents::summaries(tx, page).await).await?;
        assert_eq!((second.items[0].id, second.next), (tenant.agent, None));
        Ok(())
    }

    async fn limits_are_moved_into_their_range(db) {
        let tenant = db.tenant("+918037091588").await?;
        for n in 0..3 {
            db.call(&tenant, &format!("sid-{n}"), at(n)).await?;
        }
        for (limit, want) in [(0, 1), (u32::MAX, 3)] {
            let page = list(db, &tenant, CallFilter::default(), PageRequest { after: None, limit }).await?;
            assert_eq!(page.items.len(), want);
        }
        Ok(())
    }

    async fn every_ended_reason_can_be_kept(db) {
        let tenant = db.tenant("+918037091588").await?;
        for reason in EndedReason::ALL {
            let call = db.call(&tenant, reason.as_str(), at(0)).await?;
            let data = object(serde_json::json!({}));
            db.write(tenant.id, async |tx| calls::finish(tx, call.id, *reason, at(1), 0, &data).await).await?;
            let ended = db.get_call(&tenant, call.id).await?;
            assert_eq!((ended.ended_reason, ended.status), (Some(*reason), reason.status()));
        }
        Ok(())
    }
}
