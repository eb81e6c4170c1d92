//! The second lock on tenants' rows, on PostgreSQL: what happens when a statement forgets its tenant.

use crate::database::{
    Tenant, TestDatabase, admin_url, agent_config, at, config, keys, object, phone, random, with_database,
};
use model::{CarrierKind, OrganisationId, TenantId, TranscriptTurn, TurnRole};
use secrecy::SecretString;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::collections::BTreeSet;
use std::time::Duration;
use store::audit::{self, AuditKind, NewAuditEvent, Severity};
use store::call_events::NewCallEvent;
use store::calls::CarrierWord;
use store::carrier_accounts::NewCarrierAccount;
use store::carrier_events::NewCarrierEvent;
use store::deliveries::{self, NewDelivery};
use store::document_chunks::NewChunk;
use store::documents::{Indexed, NewDocument};
use store::jobs::{self, NewJob};
use store::provider_keys::{self, NewProviderKey};
use store::recordings::NewRecording;
use store::webhook_endpoints::{self, EndpointSettings};
use store::{
    Error, PageRequest, Store, StoreConfig, Tx, agents, call_events, carrier_accounts, carrier_events, documents,
    idempotency, organisations, outbox, recordings, stream_tokens, turns,
};

const ROLES: [&str; 3] = ["caly_keeper", "caly_system", "caly_tenant"];
const TENANT_TABLES: &str = "select c.relname::text from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by 1";

async fn connect(db: &TestDatabase) -> PgConnection {
    PgConnection::connect(&db.url).await.expect("connects")
}

async fn texts(connection: &mut PgConnection, text: &str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(text))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

async fn number(connection: &mut PgConnection, text: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(text))
        .fetch_one(connection)
        .await
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What a transaction of the program does first.
async fn assume(connection: &mut PgConnection, role: &str, tenant: Option<TenantId>) {
    sqlx::query("select set_config('role', $1, true), set_config('caly.tenant', $2, true)")
        .bind(role)
        .bind(tenant.map_or(String::new(), |tenant| tenant.to_string()))
        .execute(connection)
        .await
        .expect("the role is granted");
}

async fn document(tx: &mut Tx) -> Result<(), Error> {
    let new = NewDocument { collection: "x", title: "x", source_url: None, text: "x" };
    let made = documents::create(tx, &new, at(1)).await?;
    let chunks = [NewChunk { heading: "x".to_owned(), text: "x".to_owned(), embedding: None }];
    let done = Indexed { content_hash: made.content_hash, chunks: &chunks, embedder: None, error: None };
    documents::indexed(tx, made.id, &done, at(1)).await.map(|_| ())
}

/// A row in every table that belongs to a tenant.
async fn fill(db: &TestDatabase, tenant: &Tenant, n: u8) -> Result<(), Error> {
    let call = db.call(tenant, &format!("sid-{n}"), at(1)).await?.id;
    let turn = TranscriptTurn {
        index: 0,
        role: TurnRole::Caller,
        text: "x".to_owned(),
        intended: None,
        interrupted: false,
        started_ms: 0,
        ended_ms: 1,
        latency: None,
    };
    let call_event = NewCallEvent { at_ms: 0, kind: "x".to_owned(), data: object(json!({})) };
    let recording =
        NewRecording { call, node: "a".to_owned(), spool_path: "x".to_owned(), channels: 2, sample_rate_hz: 8_000 };
    let job = NewJob {
        queue: "default",
        name: "x",
        dedup_key: None,
        payload: object(json!({})),
        sealed: None,
        attempts_max: 1,
        run_at: at(1),
    };
    let event = NewAuditEvent {
        kind: AuditKind::CallStarted,
        severity: Severity::Info,
        actor: "system",
        ip: None,
        request_id: None,
        object_kind: None,
        object_id: None,
        data: object(json!({})),
    };
    let (kind, word) = ("status", CarrierWord::default());
    let report = NewCarrierEvent { kind, key: [n; 32], data: object(json!({})), word };
    let key = SecretString::from("0123456789");
    db.write(tenant.id, async |tx| {
        turns::append(tx, call, &[turn], at(1)).await?;
        call_events::append(tx, call, &[call_event], at(1)).await?;
        recordings::create(tx, &recording, at(1)).await?;
        stream_tokens::issue(tx, call, [n; 32], at(1), chrono::Duration::seconds(30)).await?;
        carrier_events::take(tx, call, &report, at(1)).await?;
        carrier_events::first_time(tx, [n; 32], at(1)).await?;
        outbox::push(tx, "x", object(json!({})), at(1)).await?;
        jobs::enqueue(tx, &job, at(1)).await?;
        idempotency::begin(tx, "x", "x", [n; 32], at(1)).await?;
        provider_keys::create(tx, &NewProviderKey { provider: "x", label: "x", key: &key }, at(1)).await?;
        let account = NewCarrierAccount {
            carrier: CarrierKind::Exotel,
            account_id: "x",
            region: None,
            api_key: None,
            flow_id: None,
            token: &key,
        };
        carrier_accounts::create(tx, &account, at(1)).await?;
        let new = EndpointSettings { url: "https://x.example.org/", description: "", events: &[] };
        let endpoint = webhook_endpoints::create(tx, &new, &key, at(1)).await?.id;
        let event_id = deliveries::new_event_id(at(1))?;
        let occurred_at = at(1);
        let new = NewDelivery { endpoint, event: event_id, kind: "test", call: None, occurred_at, body: "{}" };
        deliveries::create(tx, &new, at(1)).await?;
        document(tx).await?;
        audit::record(tx, &event, at(1)).await.map(|_| ())
    })
    .await?;
    db.raw(person_with_everything(tenant.id, n)).await;
    Ok(())
}

/// An owner with a session, a spent token, an invitation and an API key.
fn person_with_everything(own: TenantId, n: u8) -> String {
    format!(
        "with person as (
            insert into users (id, email, name, password_hash, failed_logins, created_at, updated_at)
            values (gen_random_uuid(), 'p{n}@example.org', 'P', 'x', 0, now(), now()) returning id),
         member as (
            insert into memberships (tenant_id, user_id, role, created_at) select '{own}', id, 'owner', now() from person
            returning user_id),
         session as (
            insert into sessions (id, tenant_id, user_id, token_hash, token_salt, generation, created_at, last_used_at,
                expires_at)
            select gen_random_uuid(), '{own}', user_id, '\\x{n:02x}', '\\x00', 0, now(), now(), now() from member
            returning id, user_id),
         spent as (
            insert into refresh_token_blacklist (token_hash, session_id, user_id, tenant_id, generation, reason,
                created_at, expires_at)
            select '\\x{n:02x}', id, user_id, '{own}', 0, 'rotated', now(), now() from session returning user_id),
         invitation as (
            insert into invitations (id, tenant_id, email, role, token_hash, invited_by, expires_at, created_at)
            select gen_random_uuid(), '{own}', 'i@example.org', 'member', '\\x{n:02x}', user_id, now(), now() from spent
            returning invited_by)
         insert into api_keys (id, tenant_id, name, key_hash, last4, scopes, created_by, created_at)
         select gen_random_uuid(), '{own}', 'k', '\\x{n:02x}', 'abcd', '[]', invited_by, now() from invitation"
    )
}

async fn two_tenants(db: &TestDatabase) -> Result<(Tenant, Tenant), Error> {
    let ours = db.tenant("+918037091588").await?;
    let theirs = db.tenant("+918037091589").await?;
    fill(db, &ours, 1).await?;
    fill(db, &theirs, 2).await?;
    Ok((ours, theirs))
}

/// The mutation "the statement lost its `where tenant_id = …`", in every table there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_without_its_tenant_meets_no_other_tenants_row() {
    let Some(db) = TestDatabase::postgres().await else { return };
    let (ours, theirs) = two_tenants(&db).await.expect("tenants");
    let mut connection = connect(&db).await;
    let tables = texts(&mut connection, TENANT_TABLES).await;
    assert!(tables.len() >= 18, "{tables:?}");
    for table in &tables {
        for tenant in [&ours, &theirs] {
            let text = format!("select count(*) from {table} where tenant_id = '{}'", tenant.id);
            assert!(number(&mut connection, &text).await > 0, "`fill` puts no row into {table}");
        }
        let mut tx = connection.begin().await.expect("begun");
        assume(&mut tx, "caly_tenant", Some(ours.id)).await;
        assert!(number(&mut tx, &format!("select count(*) from {table}")).await > 0, "{table}: own rows");
        let others = format!("select count(*) from {table} where tenant_id is distinct from '{}'", ours.id);
        assert_eq!(number(&mut tx, &others).await, 0, "{table}: others' rows");
        // The setting is gone and reads as an empty text: nobody's rows, and no error.
        assume(&mut tx, "caly_tenant", None).await;
        assert_eq!(number(&mut tx, &format!("select count(*) from {table}")).await, 0, "{table}: nobody's rows");
        tx.rollback().await.expect("rolled back");
        // Writing: own rows only, and none into another's hands.
        if !["audit_logs", "audit_chains"].contains(&table.as_str()) {
            let mut tx = connection.begin().await.expect("begun");
            assume(&mut tx, "caly_tenant", Some(ours.id)).await;
            let own = number(&mut tx, &format!("select count(*) from {table}")).await;
            let text = format!("update {table} set tenant_id = tenant_id");
            let changed = tx.execute(AssertSqlSafe(text)).await.expect("updated").rows_affected();
            assert_eq!(i64::try_from(changed).expect("few"), own, "{table}");
            let text = format!("update {table} set tenant_id = '{}'", theirs.id);
            let refused = tx.execute(AssertSqlSafe(text)).await.expect_err("a row given away");
            assert!(refused.to_string().contains("row-level security"), "{table}: {refused}");
            tx.rollback().await.expect("rolled back");
        }
    }
    for (table, own) in [("organisations", 1), ("users", 1)] {
        let mut tx = connection.begin().await.expect("begun");
        assume(&mut tx, "caly_tenant", Some(ours.id)).await;
        assert_eq!(number(&mut tx, &format!("select count(*) from {table}")).await, own, "{table}");
        assume(&mut tx, "caly_tenant", None).await;
        assert_eq!(number(&mut tx, &format!("select count(*) from {table}")).await, 0, "{table}");
        assume(&mut tx, "caly_system", None).await;
        assert_eq!(number(&mut tx, &format!("select count(*) from {table}")).await, 2, "{table}");
    }
    connection.close().await.expect("closed");
    db.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_connection_without_the_setting_sees_nothing() {
    let Some(db) = TestDatabase::postgres().await else { return };
    two_tenants(&db).await.expect("tenants");
    let mut connection = connect(&db).await;
    connection.execute("set role caly_tenant").await.expect("set");
    assert_eq!(number(&mut connection, "select count(*) from agents").await, 0);
    let refused = connection
        .execute("insert into outbox (id, tenant_id, kind, data, created_at) select gen_random_uuid(), gen_random_uuid(), 'x', '{}', now()")
        .await;
    assert!(refused.is_err());
    db.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_retention_deletes_audit_events() {
    let Some(db) = TestDatabase::postgres().await else { return };
    let (ours, _) = two_tenants(&db).await.expect("tenants");
    let mut connection = connect(&db).await;
    for (role, tenant, text, allowed) in [
        ("caly_tenant", Some(ours.id), "update audit_logs set actor = 'x'", false),
        ("caly_tenant", Some(ours.id), "delete from audit_logs", false),
        ("caly_system", None, "update audit_logs set actor = 'x'", false),
        ("caly_system", None, "delete from audit_logs", false),
        ("caly_system", None, "truncate audit_logs", false),
        ("caly_system", None, "update audit_chains set first_index = next_index", false),
        ("caly_system", None, "delete from audit_chains", false),
        ("caly_keeper", None, "update audit_logs set actor = 'x'", false),
        ("caly_keeper", None, "update audit_chains set next_index = 9", false),
        ("caly_keeper", None, "select from calls", false),
        ("caly_keeper", None, "select from users", false),
        ("caly_keeper", None, "delete from audit_logs where false", true),
        ("caly_tenant", Some(ours.id), "select from schema_migrations", false),
        ("caly_system", None, "select from schema_migrations", false),
        ("caly_tenant", Some(ours.id), "select password_hash from users", false),
        ("caly_tenant", Some(ours.id), "select totp_secret from users", false),
        ("caly_tenant", Some(ours.id), "select name from users", true),
        ("caly_tenant", Some(ours.id), "update users set name = 'x'", false),
        ("caly_tenant", Some(ours.id), "select from password_reset_tokens", false),
        ("caly_tenant", Some(ours.id), "delete from organisations", false),
        ("caly_tenant", Some(ours.id), "create table t (x int)", false),
    ] {
        let mut tx = connection.begin().await.expect("begun");
        assume(&mut tx, role, tenant).await;
        let outcome = tx.execute(text).await;
        assert_eq!(outcome.is_ok(), allowed, "{role}: {text}: {outcome:?}");
        if let Err(error) = outcome {
            let code = error.as_database_error().and_then(|refusal| refusal.code()).unwrap_or_default().into_owned();
            assert_eq!(code, "42501", "{role}: {text}: {error}");
        }
        tx.rollback().await.expect("rolled back");
    }
    db.remove().await;
}

/// A later table that comes without its policies, or with a grant too many, fails here.
#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_tenants_has_its_walls() {
    let Some(db) = TestDatabase::postgres().await else { return };
    let mut connection = connect(&db).await;
    let mut walled: BTreeSet<String> = texts(&mut connection, TENANT_TABLES).await.into_iter().collect();
    walled.extend(["organisations".to_owned(), "users".to_owned()]);
    let forced = texts(
        &mut connection,
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace
         and relrowsecurity and relforcerowsecurity order by 1",
    )
    .await;
    assert_eq!(forced.into_iter().collect::<BTreeSet<_>>(), walled);
    for (policy, restrictive) in
        [("tenant_wall", "RESTRICTIVE"), ("tenant_rows", "PERMISSIVE"), ("system_rows", "PERMISSIVE")]
    {
        let text = format!(
            "select tablename::text from pg_policies where policyname = '{policy}' and permissive = '{restrictive}'"
        );
        assert_eq!(texts(&mut connection, &text).await.into_iter().collect::<BTreeSet<_>>(), walled, "{policy}");
    }
    // Walls hold for reading and for writing, and every policy is for one of the roles.
    let open = texts(
        &mut connection,
        "select tablename || '.' || policyname from pg_policies
         where (permissive = 'RESTRICTIVE' and (qual is null or with_check is null or cmd <> 'ALL'))
            or not roles <@ array['caly_tenant', 'caly_system', 'caly_keeper']::name[]
            or (roles @> array['caly_tenant']::name[] and qual not like '%caly.tenant%')",
    )
    .await;
    assert_eq!(open, Vec::<String>::new());
    connection.close().await.expect("closed");
    db.remove().await;
}

/// The roles may do what they need, and nobody else anything.
#[tokio::test(flavor = "multi_thread")]
async fn the_roles_have_no_right_too_many_and_there_is_no_way_around() {
    let Some(db) = TestDatabase::postgres().await else { return };
    let mut connection = connect(&db).await;
    let granted = texts(
        &mut connection,
        "select grantee || ' ' || privilege_type || ' ' || table_name from information_schema.role_table_grants
         where table_schema = 'public' and grantee <> 'postgres'
           and (grantee not in ('caly_tenant', 'caly_system', 'caly_keeper')
             or privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
             or is_grantable = 'YES'
             or (table_name = 'audit_logs' and privilege_type = 'UPDATE')
             or (table_name = 'audit_logs' and privilege_type = 'DELETE' and grantee <> 'caly_keeper')
             or (table_name = 'audit_chains' and privilege_type in ('UPDATE', 'DELETE'))
             or (grantee = 'caly_keeper' and table_name not in ('audit_logs', 'audit_chains'))
             or table_name = 'schema_migrations')",
    )
    .await;
    assert_eq!(granted, Vec::<String>::new());
    // A table of tenants that the roles cannot use was forgotten.
    let unusable = texts(
        &mut connection,
        "select c.relname::text from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
         and c.relname <> 'schema_migrations'
         and not (has_table_privilege('caly_system', c.oid, 'select') and has_table_privilege('caly_system', c.oid, 'insert'))",
    )
    .await;
    assert_eq!(unusable, Vec::<String>::new());
    // Ways around: views with their owner's rights, functions with their owner's rights.
    let around = texts(
        &mut connection,
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('v', 'm')
         union all select proname::text from pg_proc where pronamespace = 'public'::regnamespace and prosecdef",
    )
    .await;
    assert_eq!(around, Vec::<String>::new());
    // A reference between two tables of tenants carries the tenant, on the same place of both sides.
    let loose = texts(
        &mut connection,
        "select f.conname::text from pg_constraint f
         where f.contype = 'f'
           and exists (select 1 from pg_attribute a where a.attrelid = f.conrelid and a.attname = 'tenant_id')
           and exists (select 1 from pg_attribute a where a.attrelid = f.confrelid and a.attname = 'tenant_id')
           and not exists (
             select 1 from unnest(f.conkey, f.confkey) as pair (own, other)
             join pg_attribute a on a.attrelid = f.conrelid and a.attnum = pair.own and a.attname = 'tenant_id'
             join pg_attribute b on b.attrelid = f.confrelid and b.attnum = pair.other and b.attname = 'tenant_id')",
    )
    .await;
    assert_eq!(loose, Vec::<String>::new());
    for role in ROLES {
        let text = format!(
            "select count(*) from pg_roles r where rolname = '{role}' and not (rolsuper or rolbypassrls or rolcanlogin
             or rolcreaterole or rolcreatedb) and not exists (select 1 from pg_class c where c.relowner = r.oid)"
        );
        assert_eq!(number(&mut connection, &text).await, 1, "{role}");
    }
    db.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_takes_policies_and_grants_away() {
    let Some(db) = TestDatabase::postgres().await else { return };
    db.store.migrate_down(5).await.expect("down");
    let mut connection = connect(&db).await;
    for text in [
        "select count(*) from pg_policies where schemaname = 'public'",
        "select count(*) from pg_class where relnamespace = 'public'::regnamespace and (relrowsecurity or relforcerowsecurity)",
        "select count(*) from information_schema.role_table_grants where grantee like 'caly\\_%'",
        "select count(*) from information_schema.role_column_grants where grantee like 'caly\\_%'",
    ] {
        assert_eq!(number(&mut connection, text).await, 0, "{text}");
    }
    connection.close().await.expect("closed");
    db.store.migrate_up(at(1)).await.expect("up");
    two_tenants(&db).await.expect("tenants");
    db.remove().await;
}

async fn names(store: &Store, tenant: TenantId) -> Result<Vec<String>, Error> {
    let page = store.read(tenant, "test.names", async |tx| agents::list(tx, PageRequest::default()).await).await?;
    Ok(page.items.into_iter().map(|agent| agent.agent.name).collect())
}

/// One connection that serves everybody in turn.
async fn narrow(db: &TestDatabase) -> Store {
    Store::open(&StoreConfig { pool_max: 1, ..config(&db.url) }).await.expect("opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_alternate_on_one_connection() {
    let Some(db) = TestDatabase::postgres().await else { return };
    let (ours, theirs) = two_tenants(&db).await.expect("tenants");
    let store = narrow(&db).await;
    let add = async |tenant: TenantId, name: &str| -> Result<(), Error> {
        store
            .write(tenant, "test.add", async |tx| agents::create(tx, name, &agent_config("x"), at(2)).await.map(|_| ()))
            .await
    };
    add(ours.id, "Ours").await.expect("added");
    add(theirs.id, "Theirs").await.expect("added");
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..60 {
        let (store, tenant, mine) =
            if n % 2 == 0 { (store.clone(), ours.id, "Ours") } else { (store.clone(), theirs.id, "Theirs") };
        tasks.spawn(async move {
            let mut found = names(&store, tenant).await?;
            found.sort();
            Ok::<_, Error>((found, mine))
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (found, mine) = done.expect("no panic").expect("listed");
        assert_eq!(found, ["Asha", mine]);
    }
    db.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_unit_of_work_leaves_nothing_behind() {
    let Some(db) = TestDatabase::postgres().await else { return };
    let (ours, theirs) = two_tenants(&db).await.expect("tenants");
    let store = narrow(&db).await;
    for round in 0..20_u64 {
        let work = store.write::<(), Error, _>(ours.id, "test.dropped", async |tx| {
            agents::create(tx, "Dropped", &agent_config("x"), at(2)).await?;
            std::future::pending().await
        });
        // Cut at another place each time: while beginning, while inserting, afterwards.
        assert!(tokio::time::timeout(Duration::from_micros(round * round * 20), work).await.is_err());
        assert_eq!(names(&store, theirs.id).await.expect("listed"), ["Asha"]);
        let all = store.system("test.all", async |tx| organisations::list(tx).await).await;
        assert_eq!(all.map_err(|error: Error| error.to_string()).expect("listed").len(), 2);
    }
    assert_eq!(names(&store, ours.id).await.expect("listed"), ["Asha"], "and all was rolled back");
    db.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_transaction_becomes_a_tenants_and_goes_back() {
    let Some(db) = TestDatabase::postgres().await else { return };
    let (ours, theirs) = two_tenants(&db).await.expect("tenants");
    let outcome: Result<(), Error> = db
        .system(async |tx| {
            for tenant in [&ours, &theirs, &ours] {
                assert_eq!(organisations::list(tx).await?.len(), 2);
                let tx = tx.tenant(tenant.id).await?;
                assert_eq!(tx.tenant(), tenant.id);
                let page = agents::list(tx, PageRequest::default()).await?;
                assert_eq!(page.items.len(), 1);
            }
            organisations::get(tx, theirs.id).await.map(|_| ())
        })
        .await;
    outcome.expect("done");
    let nobody = OrganisationId(uuid::Uuid::nil());
    assert_eq!(names(&db.store, nobody).await.expect("listed"), Vec::<String>::new());
    db.remove().await;
}

/// A tenant with an agent, a number, a job with a secret, and an audit event.
async fn clinic(store: &Store) -> Result<TenantId, Error> {
    store
        .system("test.make", async |tx| {
            let id = organisations::create(tx, "Clinic", at(0)).await?.id;
            let tx = tx.tenant(id).await?;
            let agent = agents::create(tx, "Asha", &agent_config("Namaste"), at(0)).await?.agent.id;
            let new = store::phone_numbers::NewPhoneNumber {
                carrier: model::CarrierKind::Exotel,
                number: phone("+918037091588"),
                agent,
                path_token_hash: None,
            };
            store::phone_numbers::create(tx, &new, at(0)).await?;
            jobs::enqueue(
                tx,
                &NewJob {
                    queue: "default",
                    name: "x",
                    dedup_key: Some("x".to_owned()),
                    payload: object(json!({})),
                    sealed: Some(json!({})),
                    attempts_max: 1,
                    run_at: at(0),
                },
                at(0),
            )
            .await?;
            let event = NewAuditEvent {
                kind: AuditKind::AgentCreated,
                severity: Severity::Info,
                actor: "system",
                ip: None,
                request_id: None,
                object_kind: None,
                object_id: None,
                data: object(json!({})),
            };
            audit::record(tx, &event, at(0)).await?;
            Ok(id)
        })
        .await
}

/// As in an installation: the account owns the tables and is no superuser.
#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_account_migrates_and_works() {
    let Some(url) = admin_url() else { return };
    let prepared = TestDatabase::postgres().await.expect("a server");
    let name = format!("caly_login_{}", uuid::Uuid::from_bytes(random()).simple());
    let mut admin = PgConnection::connect(&url).await.expect("connects");
    for text in [format!("create role {name} login"), format!("create database {name} owner {name} template template0")]
    {
        admin.execute(AssertSqlSafe(text)).await.expect("made");
    }
    let own = with_database(&url, &name).replace("postgres@", &format!("{name}@"));
    let store = Store::open(&StoreConfig { pool_max: 4, pool_min: 0, ..StoreConfig::new(own.as_str(), keys(7)) })
        .await
        .expect("opens");
    let refused = store.migrate_up(at(0)).await.expect_err("may not act as the roles");
    let text = refused.to_string();
    for role in ROLES {
        assert!(text.contains(&format!("create role {role} nologin role {name};")), "{text}");
    }
    let text = format!("grant caly_tenant, caly_system, caly_keeper to {name}");
    admin.execute(AssertSqlSafe(text)).await.expect("granted");
    store.migrate_up(at(0)).await.expect("migrated");
    store.migrate_check().await.expect("fits");
    let tenant = clinic(&store).await.expect("made");
    assert_eq!(names(&store, tenant).await.expect("listed"), ["Asha"]);
    assert!(store.verify_audit().await.expect("checked").is_intact());
    assert_eq!(audit::purge_before(&store, tenant, at(9)).await.expect("purged"), 1);
    let claimed: Result<_, Error> = store
        .system("test.claim", async |tx| {
            jobs::claim(tx, &["default"], "a", at(1), chrono::Duration::seconds(9), 9).await
        })
        .await;
    assert_eq!(claimed.expect("claimed").len(), 1);
    // The account itself, without a role, is held by the walls too.
    let mut own = PgConnection::connect(&own).await.expect("connects");
    assert_eq!(number(&mut own, "select count(*) from agents").await, 0);
    own.close().await.expect("closed");
    store.migrate_down(0).await.expect("down");
    store.close().await;
    for text in [format!("drop database {name} with (force)"), format!("drop role {name}")] {
        admin.execute(AssertSqlSafe(text)).await.expect("removed");
    }
    prepared.remove().await;
}
