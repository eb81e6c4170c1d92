//! How each statement is carried out among many finished calls: by searching an index for what it wants, never by going
//! through a table. Every statement of the store is looked at, so that a new one has to be right or to be excused here.

use crate::bulk::{Amount, Kind, NEWEST_S};
use crate::database::{TestDatabase, both_databases};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, SqliteConnection};
use std::collections::BTreeSet;

/// Enough for a planner to prefer an index to the whole, where there is one.
const AMOUNT: Amount = Amount { calls: 20_000, turns_each: 3, live_every: 997 };
/// PostgreSQL's estimate of the work for a statement, in page reads: of a search in an index and 50 rows, generously.
/// Going through the calls of the largest tenant comes to thousands.
const COST_MAX: f64 = 1_000.0;
/// Rows that PostgreSQL may expect to sort: more than a page, far fewer than a tenant's.
const SORTED_MAX: f64 = 300.0;
/// From the sixth time on PostgreSQL may keep one plan for all values: that one must be good too.
const TIMES: usize = 7;

/// The types of a statement's parameters, as PostgreSQL takes them.
const KINDS: &str =
    "select array_to_string(parameter_types::text[], ',') from pg_prepared_statements where name = 'looked_at'";

/// They grow with the calls, or with the people.
const LARGE: &[&str] = &[
    "audit_logs",
    "call_events",
    "calls",
    "carrier_events",
    "deliveries",
    "idempotency_keys",
    "jobs",
    "memberships",
    "outbox",
    "recordings",
    "sessions",
    "signed_requests",
    "stream_tokens",
    "turns",
    "users",
];

/// Indexes that hold unfinished work only: little, however many calls there were. One may be gone through.
const UNFINISHED: &[&str] = &[
    "calls_owned",
    "calls_waiting",
    "deliveries_due",
    "jobs_leased",
    "jobs_unfinished",
    "jobs_unfinished_once",
    "outbox_waiting",
    "recordings_awaited",
    "recordings_unfinished",
];

/// Columns by which alone too much is found.
const WEAK: &[&str] =
    &["carrier", "direction", "kind", "queue", "role", "severity", "source", "state", "status", "tenant_id"];

const LIVE: &str = "sorts calls on the line, which are few";
const FEW: &str = "sorts what one call, person or installation has, which is little";
const MEMBERS: &str = "counts the owners of one organisation";
const RUNNING: &str = "looks at running jobs, which are few";
const FIGURES: &str = "counts all jobs there are, from an index, for an operator; those done are kept for a week";
const NOWHERE: &str = "offered nowhere; tests look at everything by it";

/// What a plan of SQLite says of these looks worse than it is. Each is needed.
const EXCUSED_ON_SQLITE: &[(&str, &str)] = &[
    ("audit.export_before", "sorts events from before there were chains, which become no more"),
    ("audit_chain.chains", "sorts organisations, for a check of everything"),
    ("calls.hang_ups", LIVE),
    ("calls.orphans", LIVE),
    ("calls.owned", LIVE),
    ("carrier_events.of_call", FEW),
    ("deliveries.due_endpoints", "sorts endpoints that something is due for"),
    ("document_chunks.find", "sorts what a search found in documents, which do not grow with calls"),
    ("jobs.bury_lost", RUNNING),
    ("jobs.claim", "sorts jobs that are due"),
    ("jobs.counts", FIGURES),
    ("jobs.list", NOWHERE),
    ("jobs.release_node", RUNNING),
    ("memberships.of_user", FEW),
    ("memberships.remove", MEMBERS),
    ("memberships.set_role", MEMBERS),
    ("organisations.create", "would look for rows that wait for their organisation, if any did"),
    ("organisations.list", FEW),
    ("password_resets.last", FEW),
    ("sightings.refused", "sorts groups of refusals of one carrier, of the time that is asked about"),
    ("users.forget_addresses", FEW),
];

/// The same of PostgreSQL, whose plans also depend on its version.
const EXCUSED_ON_POSTGRES: &[(&str, &str)] = &[
    ("audit.export", "an export reads everything"),
    ("audit_chain.chains", "looks for one event of nobody, for a check of everything"),
    ("carrier_events.find_together", "expects a hundred calls to be asked about"),
    ("deliveries.list", "deliveries of one kind are many or none"),
    ("jobs.counts", FIGURES),
    ("jobs.list", NOWHERE),
    ("jobs.list_own", "jobs of one name are many or none"),
];

/// In whose hand PostgreSQL carries a statement out; see `row_security`.
fn role(name: &str, text: &str) -> &'static str {
    const KEEPERS: &[&str] = &[
        "anchor",
        "first_kept",
        "first_kept_of_nobody",
        "hash_at",
        "hash_at_of_nobody",
        "move",
        "purge",
        "purge_before",
        "purge_before_of_nobody",
        "purge_of_nobody",
    ];
    match name.strip_prefix("audit_chain.") {
        Some(verb) if KEEPERS.contains(&verb) => "caly_keeper",
        _ if name.starts_with("migrations.") => "none",
        _ if text.contains("tenant_id = $") || text.contains("insert into") && text.contains("tenant_id") => {
            "caly_tenant"
        }
        _ => "caly_system",
    }
}

/// The places where parameter `n` stands in the text, as what comes before and after it.
fn places(text: &str, n: usize) -> Vec<(&str, &str)> {
    let parameter = format!("${n}");
    text.match_indices(&parameter)
        .map(|(at, _)| (&text[..at], &text[at + parameter.len()..]))
        .filter(|(_, after)| !after.starts_with(|c: char| c.is_ascii_digit()))
        .collect()
}

/// Whether parameter `n` is a filter that may be left out, and nothing else.
fn optional(text: &str, n: usize) -> bool {
    let or_null = format!(" or ${n} is null)");
    let places = places(text, n);
    let filters = places.iter().filter(|(_, after)| after.starts_with(&or_null)).count();
    filters > 0 && places.len() == 2 * filters
}

/// A value for parameter `n`, as a literal: what is looked for by its key is there, pages are first pages.
fn literal(db: &TestDatabase, text: &str, n: usize, kind: &str) -> String {
    let places = places(text, n);
    let follows = |what: &str| places.iter().any(|(_, after)| after.starts_with(what));
    let preceded = |what: &str| places.iter().any(|(before, _)| before.ends_with(what));
    let ages = ["purge", "forget"].iter().any(|verb| text.lines().next().is_some_and(|name| name.contains(verb)));
    let value = match kind {
        "uuid" if preceded("tenant_id = ") => db.nth(Kind::Organisation, "0"),
        "uuid" if preceded("agent_id = ") => db.nth(Kind::Agent, "0"),
        "uuid" if preceded("phone_number_id = ") => db.nth(Kind::Number, "0"),
        "uuid" if preceded("endpoint_id = ") || preceded("e.id = ") => db.nth(Kind::Endpoint, "0"),
        "uuid" if preceded("user_id = ") => db.nth(Kind::User, "0"),
        "uuid" if preceded("owner_run = ") => db.nth(Kind::Call, "0"),
        "uuid" if follows(")") && preceded(", ") => "'ffffffff-ffff-ffff-ffff-ffffffffffff'".to_owned(),
        "uuid" => db.nth(Kind::Call, "5"),
        "timestamp with time zone" if preceded("id) < (") => "'9999-12-31'".to_owned(),
        "timestamp with time zone" if preceded(" >= ") => "'1970-01-01'".to_owned(),
        // What is kept for a while: little of it is old enough to go.
        "timestamp with time zone" if ages => db.second(&format!("{NEWEST_S} - {} + 10", AMOUNT.calls)),
        "timestamp with time zone" => db.second(&NEWEST_S.to_string()),
        "bigint" | "integer" if preceded("limit ") => "51".to_owned(),
        "bigint" | "integer" if preceded("chain_index < ") => "10".to_owned(),
        "bigint" | "integer" => "7".to_owned(),
        "text" if follows("::text::jsonb") => "'[]'".to_owned(),
        "text" if preceded("from_number = ") => "'+919810000007'".to_owned(),
        "text" if preceded("to_number = ") => "'+918037000010'".to_owned(),
        "text" if preceded("status = ") => "'completed'".to_owned(),
        "text" if preceded("state = ") => "'done'".to_owned(),
        "text" if preceded("disposition = ") => "'booked'".to_owned(),
        "text" if preceded("direction = ") => "'incoming'".to_owned(),
        "text" if preceded("queue = ") => "'default'".to_owned(),
        "text" if text.contains("-- jobs.claim") && n >= 4 => "'default'".to_owned(),
        "text" if preceded("(kind = ") && text.contains("audit_logs") => "'agent.updated'".to_owned(),
        "text" if preceded("severity = ") => "'warning'".to_owned(),
        "text" if preceded("actor = ") => "'user:1'".to_owned(),
        "text" if preceded("object_kind = ") => "'call'".to_owned(),
        "text" if preceded("node = ") => "'a'".to_owned(),
        "text" if preceded("carrier = ") => "'exotel'".to_owned(),
        "text" if preceded("carrier_call_id = ") => "'sid-7'".to_owned(),
        "text" => "'x'".to_owned(),
        // The rarer value, for which there is a list of its own.
        "boolean" if text.contains("succeeded is not null and") => "false".to_owned(),
        "boolean" => "true".to_owned(),
        "bytea" => db.hash("7"),
        "jsonb" | "json" => "'[]'".to_owned(),
        other => format!("null::{other}"),
    };
    format!("({value})::{kind}")
}

/// The lists of values that a statement is looked at with: every optional filter left out, then each of them alone.
fn values(db: &TestDatabase, text: &str, kinds: &[&str]) -> Vec<String> {
    let all = |alone: Option<usize>| {
        let one = |(n, kind): (usize, &&str)| {
            let n = n + 1;
            if optional(text, n) && alone != Some(n) { format!("null::{kind}") } else { literal(db, text, n, kind) }
        };
        let list: Vec<String> = kinds.iter().enumerate().map(one).collect();
        if list.is_empty() { String::new() } else { format!("({})", list.join(", ")) }
    };
    let filters = (1..=kinds.len()).filter(|n| optional(text, *n));
    std::iter::once(None).chain(filters.map(Some)).map(all).collect()
}

/// What is wrong with a plan of PostgreSQL.
fn faults(plan: &Value, found: &mut BTreeSet<String>) {
    let field = |name: &str| plan.get(name).and_then(Value::as_str).unwrap_or_default();
    let (node, table, index) = (field("Node Type"), field("Relation Name"), field("Index Name"));
    match node {
        "Seq Scan" if LARGE.contains(&table) => drop(found.insert(format!("goes through {table}"))),
        "Index Scan" | "Index Only Scan" | "Bitmap Index Scan"
            if field("Index Cond").is_empty()
                && LARGE.iter().any(|table| index.starts_with(table))
                && !UNFINISHED.contains(&index) =>
        {
            found.insert(format!("goes through {index}"));
        }
        "Sort" | "Incremental Sort" => {
            let rows = plan.pointer("/Plans/0/Plan Rows").and_then(Value::as_f64).unwrap_or_default();
            if rows > SORTED_MAX {
                found.insert(format!("sorts by {}", plan.get("Sort Key").map(Value::to_string).unwrap_or_default()));
            }
        }
        _ => {}
    }
    for part in plan.get("Plans").and_then(Value::as_array).into_iter().flatten() {
        faults(part, found);
    }
}

/// What is wrong with how PostgreSQL carries a statement out, in its caller's hand, whatever it is asked for.
async fn postgres_faults(db: &TestDatabase, connection: &mut PgConnection, name: &str, text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut tx = connection.begin().await.expect("begins");
    let prepare = format!("prepare looked_at as {text}");
    tx.execute(AssertSqlSafe(prepare.clone())).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    let kinds: String = sqlx::query_scalar(KINDS).fetch_one(&mut *tx).await.expect("asked");
    let kinds: Vec<&str> = kinds.split(',').filter(|kind| !kind.is_empty()).collect();
    let hand = format!(
        "select set_config('role', '{}', true), set_config('caly.tenant', {}::text, true)",
        role(name, text),
        db.nth(Kind::Organisation, "0")
    );
    tx.execute(AssertSqlSafe(hand)).await.expect("assumed");
    for values in values(db, text, &kinds) {
        tx.execute("deallocate looked_at").await.expect("forgotten");
        tx.execute(AssertSqlSafe(prepare.clone())).await.expect("prepared");
        for _ in 0..TIMES {
            let plans: Value =
                sqlx::query_scalar(AssertSqlSafe(format!("explain (format json) execute looked_at {values}")))
                    .persistent(false)
                    .fetch_one(&mut *tx)
                    .await
                    .unwrap_or_else(|error| panic!("{name} {values}: {error}"));
            let plan = &plans[0]["Plan"];
            faults(plan, &mut found);
            if plan["Total Cost"].as_f64().is_none_or(|cost| cost > COST_MAX) {
                found.insert(format!("costs more than {COST_MAX}"));
            }
        }
    }
    // Prepared statements outlive the transaction.
    tx.execute("deallocate looked_at").await.expect("forgotten");
    tx.rollback().await.expect("rolled back");
    found
}

/// Whether a line of a plan of SQLite says that much is gone through or sorted.
fn is_fault(text: &str, detail: &str) -> bool {
    let Some((verb, rest)) = detail.split_once(' ') else { return false };
    let (name, how) = rest.split_once(' ').unwrap_or((rest, ""));
    let large =
        LARGE.iter().any(|table| *table == name || name.len() == 1 && text.contains(&format!(" {table} {name}")));
    let index = how.split_once("INDEX ").map_or("", |(_, rest)| rest.split(' ').next().unwrap_or(rest));
    let terms = how.split_once('(').map_or("", |(_, terms)| terms.trim_end_matches(')'));
    let weak = terms.split(" AND ").all(|term| WEAK.iter().any(|column| term.strip_prefix(column) == Some("=?")));
    match verb {
        // The first one found will do.
        _ if how.starts_with("EXISTS ") => false,
        "SCAN" => large && !UNFINISHED.contains(&index),
        "SEARCH" => large && weak && !UNFINISHED.contains(&index),
        _ => detail.contains("TEMP B-TREE FOR ORDER BY"),
    }
}

/// What is wrong with how SQLite carries a statement out.
async fn sqlite_faults(connection: &mut SqliteConnection, name: &str, text: &str) -> BTreeSet<String> {
    let rows = sqlx::query(AssertSqlSafe(format!("explain query plan {text}")))
        .persistent(false)
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    rows.iter().map(|row| row.get("detail")).filter(|detail: &String| is_fault(text, detail)).collect()
}

/// Every statement that something is wrong with, and what.
async fn all_faults(db: &TestDatabase) -> Vec<(&'static str, BTreeSet<String>)> {
    let mut all = Vec::new();
    if db.is_sqlite() {
        let mut connection = db.sqlite_connection().await;
        for (name, text) in db.store.statement_texts() {
            all.push((name, sqlite_faults(&mut connection, name, text).await));
        }
    } else {
        let mut connection = PgConnection::connect(&db.url).await.expect("opens");
        for (name, text) in db.store.statement_texts() {
            all.push((name, postgres_faults(db, &mut connection, name, text).await));
        }
    }
    all.retain(|(_, faults)| !faults.is_empty());
    all
}

both_databases! {
    async fn every_statement_finds_its_rows_by_an_index(db) {
        db.fill(AMOUNT).await;
        let mut found = all_faults(db).await;
        let excused = if db.is_sqlite() {
            // Somebody may tell SQLite by hand what is in the tables: that must do no harm.
            db.raw("analyze").await;
            found.extend(all_faults(db).await);
            EXCUSED_ON_SQLITE
        } else {
            EXCUSED_ON_POSTGRES
        };
        let inexcusable: Vec<_> =
            found.iter().filter(|(name, _)| excused.iter().all(|(excused, _)| excused != name)).collect();
        assert!(inexcusable.is_empty(), "{inexcusable:#?}");
        let idle: Vec<_> =
            excused.iter().filter(|(excused, _)| found.iter().all(|(name, _)| name != excused)).collect();
        assert!(idle.is_empty() || !db.is_sqlite(), "these need no excuse: {idle:#?}");
        Ok(())
    }
}
