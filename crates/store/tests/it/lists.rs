//! Pages and filters.

use crate::database::{Tenant, TestDatabase, at, both_databases, object, owner};
use model::{CallId, CallStatus, EndedReason};
use store::calls::{self, CallFilter};
use store::{Cursor, Error, Page, PageRequest, agents};

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
                },
                vec!["sid-2", "sid-1"],
            ),
        ];
        for (filter, want) in cases {
            let page = list(db, &tenant, filter, PageRequest::default()).await?;
            assert_eq!(sids(&page), want, "{filter:?}");
        }
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
