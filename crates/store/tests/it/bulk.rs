//! Many finished calls with all that belongs to them, by one statement a table: the same text on both databases.

use crate::database::TestDatabase;

/// Tenants; the first has most of the calls.
pub(crate) const TENANTS: i64 = 4;
/// The second at which the newest call was made.
pub(crate) const NEWEST_S: i64 = 1_790_000_000;

/// How much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    /// Calls.
    pub(crate) calls: i64,
    /// Turns of each call.
    pub(crate) turns_each: i64,
    /// One call in so many is on the line, and one in so many of everything else is unfinished too.
    pub(crate) live_every: i64,
}

/// What kind of row an id is of: it tells the ids of different tables apart.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Organisation = 1,
    Agent = 2,
    Number = 3,
    Call = 4,
    Turn = 5,
    CallEvent = 6,
    Recording = 7,
    Outbox = 8,
    Job = 9,
    Audit = 10,
    Endpoint = 11,
    Delivery = 12,
    CarrierEvent = 13,
    User = 14,
    Session = 15,
}

impl TestDatabase {
    /// The id of the `n`th row of a kind, where `n` is an expression.
    pub(crate) fn nth(&self, kind: Kind, n: &str) -> String {
        let kind = kind as i64;
        if self.is_sqlite() {
            format!("unhex(printf('019000000000700080%02x%012x', {kind}, {n}))")
        } else {
            format!("('01900000-0000-7000-80{kind:02x}-' || lpad(to_hex(({n})::bigint), 12, '0'))::uuid")
        }
    }

    /// So many seconds since 1970, where `seconds` is an expression.
    pub(crate) fn second(&self, seconds: &str) -> String {
        if self.is_sqlite() {
            format!("strftime('%Y-%m-%dT%H:%M:%S', {seconds}, 'unixepoch') || '.000000+00:00'")
        } else {
            format!("to_timestamp({seconds})")
        }
    }

    /// 32 bytes that are the `n`th row's own.
    pub(crate) fn hash(&self, n: &str) -> String {
        if self.is_sqlite() {
            format!("unhex(printf('%064x', {n}))")
        } else {
            format!("decode(lpad(to_hex(({n})::bigint), 64, '0'), 'hex')")
        }
    }

    async fn insert(&self, table: &str, columns: &[(&str, String)], count: i64) {
        let names = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let values = columns.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ");
        // Superusers pass by the row policies; keys that point elsewhere are right by construction.
        let trusting =
            if self.is_sqlite() { "pragma foreign_keys = off" } else { "set session_replication_role = replica" };
        self.raw(format!(
            "{trusting}; insert into {table} ({names})
            with recursive s (n) as (select 0 union all select n + 1 from s where n + 1 < {count})
            select {values} from s"
        ))
        .await;
    }

    /// Fills an empty database. PostgreSQL is told what is in it, as its own housekeeping would; SQLite in the field is
    /// never told.
    pub(crate) async fn fill(&self, amount: Amount) {
        self.fill_tenants().await;
        self.fill_calls(amount).await;
        self.fill_around_calls(amount).await;
        self.fill_people(amount.calls / 10).await;
        if !self.is_sqlite() {
            self.raw("vacuum analyze").await;
        }
    }

    async fn fill_tenants(&self) {
        let own = |kind| self.nth(kind, "n");
        let (tenant, at) = (own(Kind::Organisation), self.second(&NEWEST_S.to_string()));
        let text = |value: &str| format!("'{value}'");
        self.insert(
            "organisations",
            &[("id", tenant.clone()), ("name", text("Clinic")), ("created_at", at.clone())],
            TENANTS,
        )
        .await;
        self.insert(
            "agents",
            &[
                ("id", own(Kind::Agent)),
                ("tenant_id", tenant.clone()),
                ("name", text("Asha")),
                ("config", r#"'{"greeting":"Namaste","brain":{"kind":"flow","text":""}}'"#.to_owned()),
                ("created_at", at.clone()),
                ("updated_at", at.clone()),
            ],
            TENANTS,
        )
        .await;
        self.insert(
            "phone_numbers",
            &[
                ("id", own(Kind::Number)),
                ("tenant_id", tenant.clone()),
                ("carrier", text("exotel")),
                ("number", "'+91803700000' || n".to_owned()),
                ("agent_id", own(Kind::Agent)),
                ("path_token_hash", self.hash("n")),
                ("created_at", at.clone()),
            ],
            TENANTS,
        )
        .await;
        self.insert(
            "webhook_endpoints",
            &[
                ("id", own(Kind::Endpoint)),
                ("tenant_id", tenant.clone()),
                ("url", text("https://example.com/events")),
                ("description", text("")),
                ("events", text("[]")),
                ("secret", self.hash("n")),
                ("secret_last4", text("abcd")),
                ("created_at", at.clone()),
                ("updated_at", at),
            ],
            TENANTS,
        )
        .await;
        self.insert(
            "audit_chains",
            &[
                ("tenant_id", tenant),
                ("next_index", "1000000000".to_owned()),
                ("head_hash", self.hash("0")),
                ("first_index", "0".to_owned()),
                ("first_hash", self.hash("0")),
            ],
            TENANTS,
        )
        .await;
    }

    /// Whose the `n`th call is: four in five are the first tenant's.
    fn of_tenant(&self, kind: Kind) -> String {
        self.nth(kind, &format!("case when n % 5 < 4 then 0 else 1 + n / 5 % {} end", TENANTS - 1))
    }

    async fn fill_calls(&self, amount: Amount) {
        let Amount { calls, turns_each, live_every } = amount;
        let live = format!("n % {live_every} = 0");
        let made = self.second(&format!("{NEWEST_S} - {calls} + n"));
        let ended = self.second(&format!("{NEWEST_S} - {calls} + n + 60"));
        let unless_live = |value: &str| format!("case when {live} then null else {value} end");
        self.insert(
            "calls",
            &[
                ("id", self.nth(Kind::Call, "n")),
                ("tenant_id", self.of_tenant(Kind::Organisation)),
                ("agent_id", self.of_tenant(Kind::Agent)),
                ("phone_number_id", self.of_tenant(Kind::Number)),
                ("carrier", "'exotel'".to_owned()),
                ("carrier_call_id", "'sid-' || n".to_owned()),
                ("direction", "case when n % 5000 = 1 then 'outgoing' else 'incoming' end".to_owned()),
                ("from_number", "'+9198' || (10000000 + n % 9973)".to_owned()),
                ("to_number", "'+9180370000' || (case when n % 5 < 4 then 10 else 11 end)".to_owned()),
                (
                    "status",
                    format!(
                        "case when {live} then 'in-progress' when n % {live_every} = 1 then 'ringing'
                            when n % 1009 = 2 then 'failed' else 'completed' end"
                    ),
                ),
                ("ended_reason", unless_live("'caller/hung-up'")),
                ("created_at", made.clone()),
                ("started_at", made.clone()),
                ("ended_at", unless_live(&ended)),
                ("duration_ms", unless_live("60000")),
                ("data", r#"'{"name":"Ravi","day":"Tuesday"}'"#.to_owned()),
                ("summary", unless_live("'Wants an appointment on Tuesday.'")),
                ("owner_node", "'a'".to_owned()),
                ("owner_run", self.nth(Kind::Call, "0")),
                ("lease_until", format!("case when {live} then {ended} end")),
                ("usage", r#"'{"lines":[]}'"#.to_owned()),
                ("disposition", unless_live("case when n % 2003 = 3 then 'complaint' else 'booked' end")),
                ("succeeded", unless_live("n % 2003 <> 3")),
            ],
            calls,
        )
        .await;
        self.insert(
            "turns",
            &[
                ("id", self.nth(Kind::Turn, "n")),
                (
                    "tenant_id",
                    self.nth(
                        Kind::Organisation,
                        &format!(
                            "case when n / {turns_each} % 5 < 4 then 0 else 1 + n / {turns_each} / 5 % {} end",
                            TENANTS - 1
                        ),
                    ),
                ),
                ("call_id", self.nth(Kind::Call, &format!("n / {turns_each}"))),
                ("turn_index", format!("n % {turns_each}")),
                ("role", "'agent'".to_owned()),
                ("text", "'Namaste, which day would suit you?'".to_owned()),
                ("interrupted", "false".to_owned()),
                ("started_ms", "0".to_owned()),
                ("ended_ms", "2000".to_owned()),
            ],
            calls * turns_each,
        )
        .await;
    }

    /// One row a call of each table that grows with calls, made when the call was.
    async fn fill_around_calls(&self, amount: Amount) {
        self.fill_of_calls(amount).await;
        self.fill_work(amount).await;
        self.fill_audit(amount.calls).await;
        self.fill_tokens(amount.calls).await;
    }

    /// The columns of every such table.
    fn common(&self, kind: Kind, calls: i64) -> Vec<(&'static str, String)> {
        vec![
            ("id", self.nth(kind, "n")),
            ("tenant_id", self.of_tenant(Kind::Organisation)),
            ("created_at", self.second(&format!("{NEWEST_S} - {calls} + n"))),
        ]
    }

    async fn fill_of_calls(&self, amount: Amount) {
        let Amount { calls, live_every, .. } = amount;
        let at = self.second(&format!("{NEWEST_S} - {calls} + n"));
        let text = |value: &str| format!("'{value}'");
        let call = || ("call_id", self.nth(Kind::Call, "n"));
        let changed = || ("updated_at", at.clone());
        let mut events = self.common(Kind::CallEvent, calls);
        events.extend([call(), ("at_ms", "0".to_owned()), ("kind", text("barge-in")), ("data", text("{}"))]);
        self.insert("call_events", &events, calls).await;
        let mut files = self.common(Kind::Recording, calls);
        files.extend([
            call(),
            changed(),
            ("status", format!("case when n % {live_every} = 0 then 'recording' else 'ready' end")),
            ("node", text("a")),
            ("spool_path", text("x")),
            ("channels", "2".to_owned()),
            ("sample_rate_hz", "8000".to_owned()),
        ]);
        self.insert("recordings", &files, calls).await;
        let mut sent = self.common(Kind::Delivery, calls);
        sent.extend([
            call(),
            changed(),
            ("endpoint_id", self.of_tenant(Kind::Endpoint)),
            ("event_id", self.nth(Kind::Outbox, "n")),
            ("kind", text("call.ended")),
            ("occurred_at", at.clone()),
            ("body", text("{}")),
            ("state", format!("case when n % {live_every} = 8 then 'pending' else 'delivered' end")),
            ("attempts", "1".to_owned()),
            ("next_at", at.clone()),
        ]);
        self.insert("deliveries", &sent, calls).await;
        let mut reports = self.common(Kind::CarrierEvent, calls);
        reports.extend([call(), ("kind", text("status")), ("event_key", self.hash("n")), ("data", text("{}"))]);
        self.insert("carrier_events", &reports, calls).await;
    }

    async fn fill_work(&self, amount: Amount) {
        let Amount { calls, live_every, .. } = amount;
        let at = self.second(&format!("{NEWEST_S} - {calls} + n"));
        let text = |value: &str| format!("'{value}'");
        let mut messages = self.common(Kind::Outbox, calls);
        messages.extend([("kind", text("call.ended")), ("data", text("{}")), ("taken_at", at.clone())]);
        self.insert("outbox", &messages, calls).await;
        let mut jobs = self.common(Kind::Job, calls);
        jobs.extend([
            ("updated_at", at.clone()),
            ("queue", text("default")),
            ("name", text("analyze_call")),
            ("dedup_key", "'key-' || n".to_owned()),
            ("payload", text("{}")),
            ("attempts", "1".to_owned()),
            ("attempts_max", "5".to_owned()),
            ("run_at", at.clone()),
            (
                "state",
                format!(
                    "case when n % {live_every} = 5 then 'queued' when n % {live_every} = 6 then 'running'
                            when n % {live_every} = 7 then 'dead' else 'done' end"
                ),
            ),
            ("lease_until", format!("case when n % {live_every} = 6 then {at} end")),
            ("lease_owner", format!("case when n % {live_every} = 6 then 'a/1' end")),
        ]);
        self.insert("jobs", &jobs, calls).await;
    }

    /// One in ten is of no organisation.
    async fn fill_audit(&self, calls: i64) {
        let text = |value: &str| format!("'{value}'");
        let mut events = self.common(Kind::Audit, calls);
        events[1].1 = format!("case when n % 10 = 9 then null else {} end", self.of_tenant(Kind::Organisation));
        events.extend([
            (
                "kind",
                "case when n % 10 = 9 then 'webhook.rejected' when n % 1999 = 8 then 'agent.updated'
                        else 'call.ended' end"
                    .to_owned(),
            ),
            ("severity", "case when n % 1999 = 8 then 'warning' else 'info' end".to_owned()),
            ("actor", "case when n % 1999 = 8 then 'user:1' else 'system' end".to_owned()),
            ("object_kind", text("call")),
            ("object_id", "'call-' || n".to_owned()),
            ("data", text("{}")),
            ("chain_index", "n".to_owned()),
            ("hash", self.hash("n")),
        ]);
        self.insert("audit_logs", &events, calls).await;
    }

    async fn fill_tokens(&self, calls: i64) {
        let at = self.second(&format!("{NEWEST_S} - {calls} + n"));
        let tenant = || ("tenant_id", self.of_tenant(Kind::Organisation));
        let expires = self.second(&format!("{NEWEST_S} - {calls} + n + 60"));
        let tokens = [
            ("token_hash", self.hash("n")),
            tenant(),
            ("call_id", self.nth(Kind::Call, "n")),
            ("expires_at", expires),
            ("used_at", at.clone()),
        ];
        self.insert("stream_tokens", &tokens, calls).await;
        let signed = [("request_key", self.hash("n")), tenant(), ("seen_at", at.clone())];
        self.insert("signed_requests", &signed, calls).await;
        let answered = [
            tenant(),
            ("route", "'POST /api/calls'".to_owned()),
            ("idempotency_key", "'key-' || n".to_owned()),
            ("body_hash", self.hash("n")),
            ("created_at", at),
        ];
        self.insert("idempotency_keys", &answered, calls).await;
    }

    /// People with a session each, twenty to an organisation.
    async fn fill_people(&self, count: i64) {
        let at = self.second(&NEWEST_S.to_string());
        let tenant = || ("tenant_id", self.nth(Kind::Organisation, "n / 20"));
        let (user, made) = (self.nth(Kind::User, "n"), ("created_at", at.clone()));
        let users = [
            ("id", user.clone()),
            ("email", "'person-' || n || '@example.com'".to_owned()),
            ("name", "'Asha'".to_owned()),
            ("password_hash", "''".to_owned()),
            ("failed_logins", "0".to_owned()),
            made.clone(),
            ("updated_at", at.clone()),
        ];
        self.insert("users", &users, count).await;
        let members = [tenant(), ("user_id", user.clone()), ("role", "'owner'".to_owned()), made.clone()];
        self.insert("memberships", &members, count).await;
        let sessions = [
            ("id", self.nth(Kind::Session, "n")),
            tenant(),
            ("user_id", user),
            ("token_hash", self.hash("n")),
            ("token_salt", self.hash("n")),
            ("generation", "0".to_owned()),
            made,
            ("last_used_at", at.clone()),
            ("expires_at", self.second(&format!("{NEWEST_S} + 86400"))),
        ];
        self.insert("sessions", &sessions, count).await;
    }
}
