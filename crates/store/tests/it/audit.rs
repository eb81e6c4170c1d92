//! The audit log is only added to, and whoever changes it past the program is found out.

use crate::database::{Tenant, TestDatabase, at, both_databases, object};
use model::TenantId;
use serde_json::json;
use store::audit::{self, AuditFilter, AuditKind, NewAuditEvent, Severity};
use store::{AuditFaultKind, ChainReport, Error, PageRequest, Store};

fn event(object_id: &str) -> NewAuditEvent<'_> {
    NewAuditEvent {
        kind: AuditKind::CallEnded,
        severity: Severity::Info,
        actor: "carrier:exotel",
        ip: Some(std::net::IpAddr::from([10, 0, 0, 7])),
        request_id: Some("req-1"),
        object_kind: Some("call"),
        object_id: Some(object_id),
        data: object(json!({ "status": "completed", "b": [1, -2, { "z": null, "a": "é\"\\" }], "ratio": 0.1 })),
    }
}

async fn record(store: &Store, tenant: TenantId, now: i64) -> Result<uuid::Uuid, Error> {
    store.write(tenant, "test.record", async |tx| audit::record(tx, &event("c1"), at(now)).await).await
}

async fn chain(db: &TestDatabase, tenant: Option<TenantId>) -> Result<ChainReport, Error> {
    let report = db.store.verify_audit().await?;
    Ok(report.chains.into_iter().find(|chain| chain.tenant == tenant).expect("a chain"))
}

/// A tenant with three events.
async fn three_events(db: &TestDatabase, n: usize) -> Result<Tenant, Error> {
    let tenant = db.tenant(&format!("+9180370{n:05}")).await?;
    for now in 1..=3 {
        record(&db.store, tenant.id, now).await?;
    }
    Ok(tenant)
}

/// What somebody with the database's own password can do.
async fn as_attacker(db: &TestDatabase, text: &str) {
    if db.is_sqlite() {
        for trigger in
            ["audit_logs_no_update", "audit_logs_no_delete", "audit_chains_no_delete", "audit_chains_forward"]
        {
            db.raw(format!("drop trigger if exists {trigger}")).await;
        }
        db.raw(format!("pragma foreign_keys = off; {text}")).await;
    } else {
        db.raw(format!("set session_replication_role = replica; {text}")).await;
    }
}

/// A statement of an attacker (`%events` stands for the chain), and what the check says: what, and where.
type Case = (String, AuditFaultKind, u64);

/// Every column of the second event of three.
fn changed_columns(sqlite: bool) -> Vec<Case> {
    use AuditFaultKind::{Gap, HashMismatch, Unreadable};
    let mut cases = Vec::new();
    let other_hash = "(select b.hash from audit_logs b where b.tenant_id = audit_logs.tenant_id and b.chain_index = 0)";
    let id = if sqlite { "randomblob(16)" } else { "gen_random_uuid()" };
    for (column, value, what) in [
        ("id", id, HashMismatch),
        ("kind", "'call.started'", HashMismatch),
        ("kind", "'call.Ended'", HashMismatch),
        ("severity", "'infp'", HashMismatch),
        ("actor", "'carrier:exotem'", HashMismatch),
        ("ip", "'10.0.0.6'", HashMismatch),
        ("ip", "null", HashMismatch),
        ("request_id", "'req-0'", HashMismatch),
        ("request_id", "null", HashMismatch),
        ("object_kind", "'calk'", HashMismatch),
        ("object_kind", "null", HashMismatch),
        ("object_id", "'c0'", HashMismatch),
        ("object_id", "null", HashMismatch),
        ("data", "'{\"status\":\"complete\"}'", HashMismatch),
        ("data", "'{}'", HashMismatch),
        ("created_at", "'2026-01-01T00:00:00.000000+00:00'", HashMismatch),
        ("hash", other_hash, HashMismatch),
        ("chain_index", "7", Gap),
        ("chain_index", "null", Gap),
        ("tenant_id", "null", Gap),
    ] {
        cases.push((format!("update audit_logs set {column} = {value} where %events and chain_index = 1"), what, 1));
    }
    if sqlite {
        for (column, value) in [("created_at", "'yesterday'"), ("data", "'{'"), ("actor", "x'ff'"), ("id", "x'00'")] {
            let text = format!("update audit_logs set {column} = {value} where %events and chain_index = 1");
            cases.push((text, Unreadable, 1));
        }
    }
    cases
}

/// Events that are gone, and the columns of the chain.
fn changed_rows() -> Vec<Case> {
    use AuditFaultKind::{Gap, HashMismatch, HeadMismatch, HeadMissing};
    [
        ("delete from audit_logs where %events and chain_index = 0", Gap, 0),
        ("delete from audit_logs where %events and chain_index = 1", Gap, 1),
        ("delete from audit_logs where %events and chain_index = 2", Gap, 2),
        ("delete from audit_logs where %events", Gap, 0),
        ("update audit_chains set next_index = 2 where %events", HeadMismatch, 2),
        ("update audit_chains set next_index = 4 where %events", Gap, 3),
        ("update audit_chains set head_hash = first_hash where %events", HeadMismatch, 3),
        ("update audit_chains set first_hash = head_hash where %events", HashMismatch, 0),
        ("update audit_chains set first_index = 1 where %events", HashMismatch, 1),
        ("delete from audit_chains where %events", HeadMissing, 0),
        (
            "delete from audit_logs where %events and chain_index = 2;
             update audit_chains set next_index = 2 where %events",
            HeadMismatch,
            2,
        ),
    ]
    .map(|(text, what, index)| (text.to_owned(), what, index))
    .into()
}

both_databases! {
    async fn events_form_a_chain_per_tenant_and_one_of_nobody(db) {
        let ours = db.tenant("+918037091588").await?.id;
        let theirs = db.tenant("+918037091589").await?.id;
        db.system(async |tx| {
            audit::record(tx, &event("house"), at(1)).await?;
            let tx = tx.tenant(theirs).await?;
            audit::record(tx, &event("c1"), at(1)).await?;
            audit::record(tx, &event("c2"), at(1)).await.map(|_| ())
        })
        .await?;
        record(&db.store, ours, 2).await?;
        record(&db.store, theirs, 3).await?;
        let report = db.store.verify_audit().await?;
        assert!(report.is_intact(), "{report:?}");
        let seen: Vec<_> = report.chains.iter().map(|chain| (chain.tenant, chain.events, chain.first)).collect();
        assert_eq!(seen.len(), 3);
        for expected in [(None, 1, 0), (Some(ours), 1, 0), (Some(theirs), 3, 0)] {
            assert!(seen.contains(&expected), "{expected:?} in {seen:?}");
        }
        let page = db
            .read(theirs, async |tx| audit::list(tx, &AuditFilter::default(), PageRequest::default()).await)
            .await?;
        let mut places: Vec<_> = page.items.iter().map(|event| event.index).collect();
        places.sort();
        assert_eq!(places, [Some(0), Some(1), Some(2)]);
        let last = page.items.iter().max_by_key(|event| event.index).expect("an event");
        assert_eq!(last.hash, Some(chain(db, Some(theirs)).await?.head_hash));
        assert_eq!(last.data.get("ratio"), Some(&json!("0.1")), "a fraction is kept as its text");
        Ok(())
    }

    async fn an_undone_change_leaves_no_gap(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        record(&db.store, tenant, 1).await?;
        let undone: Result<(), Error> = db
            .write(tenant, async |tx| {
                audit::record(tx, &event("c2"), at(2)).await?;
                Err(Error::Busy)
            })
            .await;
        assert!(undone.is_err());
        record(&db.store, tenant, 3).await?;
        let report = chain(db, Some(tenant)).await?;
        assert_eq!((report.events, report.fault), (2, None));
        Ok(())
    }

    async fn many_writers_keep_one_chain_without_a_gap(db) {
        let one = db.tenant("+918037091588").await?.id;
        let two = db.tenant("+918037091589").await?.id;
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..8_i64 {
            let store = db.store.clone();
            writers.spawn(async move {
                for round in 0..8 {
                    // Both chains in one transaction, asked for in either order: nobody waits for ever.
                    let (first, second) = if n % 2 == 0 { (one, two) } else { (two, one) };
                    store
                        .system::<_, Error, _>("test.both", async |tx| {
                            audit::record(tx.tenant(first).await?, &event("a"), at(round)).await?;
                            audit::record(tx, &event("house"), at(round)).await?;
                            audit::record(tx.tenant(second).await?, &event("b"), at(round)).await
                        })
                        .await?;
                    record(&store, one, round).await?;
                }
                Ok::<_, Error>(())
            });
        }
        while let Some(done) = writers.join_next().await {
            done??;
        }
        let report = db.store.verify_audit().await?;
        assert!(report.is_intact(), "{report:?}");
        let events = |tenant| report.chains.iter().find(|chain| chain.tenant == tenant).map(|chain| chain.events);
        assert_eq!((events(Some(one)), events(Some(two)), events(None)), (Some(128), Some(64), Some(64)));
        Ok(())
    }

    async fn a_long_chain_is_checked_in_pages(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        for _ in 0..3 {
            db.write(tenant, async |tx| {
                for n in 0..400 {
                    audit::record(tx, &event("c"), at(n)).await?;
                }
                Ok(())
            })
            .await?;
        }
        let report = chain(db, Some(tenant)).await?;
        assert_eq!((report.events, report.fault), (1_200, None));
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = db.read(tenant, async |tx| audit::export(tx, &AuditFilter::default(), after).await).await?;
            assert!(page.events.len() <= 500);
            seen.extend(page.events.iter().map(|event| event.index));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..1_200).map(Some).collect::<Vec<_>>());
        let too_many: Result<(), Error> = db
            .write(tenant, async |tx| {
                for n in 0..1_001 {
                    audit::record(tx, &event("c"), at(n)).await?;
                }
                Ok(())
            })
            .await;
        assert!(matches!(too_many, Err(Error::Conflict(_))), "{too_many:?}");
        Ok(())
    }

    async fn the_log_is_only_added_to(db) {
        let tenant = three_events(db, 0).await?;
        let mut refused = vec![
            "update audit_logs set actor = 'nobody'",
            "update audit_logs set chain_index = chain_index",
            "delete from audit_logs",
            "delete from audit_chains",
            "update audit_chains set next_index = 0",
            "update audit_chains set first_index = next_index + 1",
        ];
        if !db.is_sqlite() {
            refused.extend(["truncate audit_logs", "truncate audit_chains"]);
        }
        for text in refused {
            assert!(db.try_raw(text).await.is_err(), "{text}");
        }
        let report = chain(db, Some(tenant.id)).await?;
        assert_eq!((report.events, report.fault), (3, None));
        Ok(())
    }

    /// Every column of an event and of its chain, one chain each; then one check names them all.
    async fn whoever_changes_a_column_past_the_program_is_found_out(db) {
        let mut cases = changed_columns(db.is_sqlite());
        cases.extend(changed_rows());
        let mut expected = Vec::new();
        for (n, (text, what, index)) in cases.into_iter().enumerate() {
            let tenant = three_events(db, n).await?.id;
            assert_eq!(chain(db, Some(tenant)).await?.fault, None);
            as_attacker(db, &text.replace("%events", &format!("tenant_id = {}", db.literal(tenant)))).await;
            expected.push((tenant, text, what, index));
        }
        let report = db.store.verify_audit().await?;
        assert!(!report.is_intact());
        for (tenant, text, what, index) in expected {
            let chain = report.chains.iter().find(|chain| chain.tenant == Some(tenant));
            let fault = chain.and_then(|chain| chain.fault.clone()).unwrap_or_else(|| panic!("not found: {text}"));
            assert_eq!((fault.what, fault.index), (what, index), "{text}");
            assert!(matches!(what, AuditFaultKind::Gap | AuditFaultKind::HeadMismatch | AuditFaultKind::Unreadable) || fault.event_id.is_some(), "{text}: {fault}");
        }
        Ok(())
    }

    async fn a_row_put_in_is_found_out(db) {
        let tenant = three_events(db, 0).await?.id;
        let columns = "tenant_id, kind, severity, actor, ip, request_id, object_kind, object_id, data, created_at, hash";
        let id = if db.is_sqlite() { "randomblob(16)" } else { "gen_random_uuid()" };
        // No rule of the database keeps an insert from happening; the head does not know of it.
        db.raw(format!("insert into audit_logs (id, chain_index, {columns})
            select {id}, 3, {columns} from audit_logs where chain_index = 2")).await;
        let fault = chain(db, Some(tenant)).await?.fault.expect("a fault");
        assert_eq!((fault.what, fault.index), (AuditFaultKind::HeadMismatch, 3));
        Ok(())
    }

    async fn retention_moves_the_anchor_and_the_rest_still_checks(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        // An early event was recorded late: what comes after it in the chain stays with it.
        for now in [1, 2, 3, 9, 4, 10] {
            record(&db.store, tenant, now).await?;
        }
        record(&db.store, db.tenant("+918037091589").await?.id, 1).await?;
        assert_eq!(audit::purge_before(&db.store, tenant, at(1)).await?, 0);
        assert_eq!(audit::purge_before(&db.store, tenant, at(5)).await?, 3);
        assert_eq!(audit::purge_before(&db.store, tenant, at(5)).await?, 0);
        let report = chain(db, Some(tenant)).await?;
        assert_eq!((report.first, report.events, report.fault), (3, 3, None));
        record(&db.store, tenant, 11).await?;
        assert_eq!(audit::purge_before(&db.store, tenant, at(100)).await?, 4);
        let report = chain(db, Some(tenant)).await?;
        assert_eq!((report.first, report.events, report.fault), (7, 0, None));
        record(&db.store, tenant, 12).await?;
        let report = chain(db, Some(tenant)).await?;
        assert_eq!((report.first, report.events, report.fault), (7, 1, None));
        assert!(db.try_raw("delete from audit_logs").await.is_err());
        Ok(())
    }

    async fn events_from_before_there_were_chains_are_told_apart(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let id = if db.is_sqlite() { "randomblob(16)" } else { "gen_random_uuid()" };
        for (whose, created) in [(db.literal(tenant), "2026-01-01"), ("null".to_owned(), "2026-01-02")] {
            db.raw(format!("insert into audit_logs (id, tenant_id, kind, severity, actor, data, created_at)
                values ({id}, {whose}, 'call.ended', 'info', 'system', '{{}}', '{created}T00:00:00.000000+00:00')")).await;
        }
        let before = chain(db, Some(tenant)).await?;
        assert_eq!((before.events, before.before_the_chain, before.fault), (0, 1, None));
        record(&db.store, tenant, 1).await?;
        let report = chain(db, Some(tenant)).await?;
        assert_eq!((report.events, report.before_the_chain, report.fault), (1, 1, None));
        assert_eq!(chain(db, None).await?.before_the_chain, 1);
        let exported = db.read(tenant, async |tx| audit::export(tx, &AuditFilter::default(), None).await).await?;
        assert_eq!(exported.events.iter().map(|event| event.index).collect::<Vec<_>>(), [None, Some(0)]);
        assert_eq!(exported.next, None);
        assert!(db.try_raw("delete from audit_logs where chain_index is null").await.is_err());
        // All of 2026's first days go; the tenant's own event is of September.
        assert_eq!(audit::purge_all_before(&db.store, at(0), at(50)).await?, 2);
        let report = db.store.verify_audit().await?;
        assert!(report.is_intact() && report.chains.iter().all(|chain| chain.before_the_chain == 0), "{report:?}");
        let told = AuditFilter { kind: Some(AuditKind::DataPurged), ..AuditFilter::default() };
        let told = db.read(tenant, async |tx| audit::list(tx, &told, PageRequest::default()).await).await?;
        assert_eq!(told.items.iter().map(|event| event.data["count"].clone()).collect::<Vec<_>>(), [json!(1)]);
        Ok(())
    }

    async fn what_a_database_cannot_keep_is_recorded_all_the_same(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let odd = NewAuditEvent {
            object_id: Some("a\0b"),
            data: object(json!({ "k\0": "v\0", "n": [1.5, 1e300, -0.0, 1e16, u64::MAX, i64::MIN], "t": "\u{1f600}\r\n\u{1b}[1m" })),
            ..event("x")
        };
        db.write(tenant, async |tx| audit::record(tx, &odd, at(1)).await).await?;
        let report = chain(db, Some(tenant)).await?;
        assert_eq!((report.events, report.fault), (1, None));
        Ok(())
    }
}
