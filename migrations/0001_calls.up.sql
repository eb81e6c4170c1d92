-- One text for SQLite and PostgreSQL. Types are PostgreSQL's names; SQLite keeps uuid and bytea as blobs, times as
-- text of fixed width in UTC, jsonb as text, boolean and bigint as integers.
-- jsonb columns hold objects and arrays only: SQLite would turn a bare number into a number.
-- A child names its parent together with the tenant, so that no row can point into another tenant.

create table organisations (
    id uuid not null primary key,
    name text not null,
    created_at timestamptz not null
);

create table agents (
    id uuid not null primary key,
    tenant_id uuid not null references organisations (id),
    name text not null,
    config jsonb not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (tenant_id, id)
);
create index agents_newest on agents (tenant_id, created_at desc, id desc);

create table phone_numbers (
    id uuid not null primary key,
    tenant_id uuid not null references organisations (id),
    carrier text not null,
    number text not null,
    agent_id uuid not null,
    path_token_hash bytea unique,
    created_at timestamptz not null,
    unique (tenant_id, id),
    unique (carrier, number),
    foreign key (tenant_id, agent_id) references agents (tenant_id, id)
);
create index phone_numbers_newest on phone_numbers (tenant_id, created_at desc, id desc);
create index phone_numbers_agent on phone_numbers (tenant_id, agent_id);

create table calls (
    id uuid not null primary key,
    tenant_id uuid not null references organisations (id),
    agent_id uuid not null,
    phone_number_id uuid,
    carrier text not null,
    carrier_call_id text,
    direction text not null,
    from_number text,
    to_number text,
    status text not null,
    ended_reason text,
    created_at timestamptz not null,
    started_at timestamptz,
    ended_at timestamptz,
    duration_ms bigint,
    carrier_duration_s bigint,
    data jsonb not null,
    summary text,
    owner_node text,
    owner_run uuid,
    lease_until timestamptz,
    unique (tenant_id, id),
    unique (carrier, carrier_call_id),
    foreign key (tenant_id, agent_id) references agents (tenant_id, id),
    foreign key (tenant_id, phone_number_id) references phone_numbers (tenant_id, id)
);
create index calls_newest on calls (tenant_id, created_at desc, id desc);
create index calls_agent on calls (tenant_id, agent_id, created_at desc, id desc);
create index calls_phone_number on calls (tenant_id, phone_number_id);
create index calls_owned on calls (owner_node, owner_run) where status = 'in-progress';
create index calls_leased on calls (lease_until) where status = 'in-progress';
create index calls_waiting on calls (created_at) where status in ('queued', 'ringing');

create table turns (
    id uuid not null primary key,
    tenant_id uuid not null,
    call_id uuid not null,
    turn_index bigint not null,
    role text not null,
    text text not null,
    intended text,
    interrupted boolean not null,
    started_ms bigint not null,
    ended_ms bigint not null,
    latency jsonb,
    unique (call_id, turn_index),
    foreign key (tenant_id, call_id) references calls (tenant_id, id) on delete cascade
);
create index turns_call on turns (tenant_id, call_id, turn_index);

create table call_events (
    id uuid not null primary key,
    tenant_id uuid not null,
    call_id uuid not null,
    at_ms bigint not null,
    kind text not null,
    data jsonb not null,
    created_at timestamptz not null,
    foreign key (tenant_id, call_id) references calls (tenant_id, id) on delete cascade
);
create index call_events_call on call_events (tenant_id, call_id, at_ms, id);

create table recordings (
    id uuid not null primary key,
    tenant_id uuid not null,
    call_id uuid not null,
    status text not null,
    node text not null,
    spool_path text not null,
    object_key text,
    channels bigint not null,
    sample_rate_hz bigint not null,
    duration_ms bigint,
    bytes bigint,
    sha256 bytea,
    recording_error text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (tenant_id, id),
    foreign key (tenant_id, call_id) references calls (tenant_id, id)
);
create index recordings_call on recordings (tenant_id, call_id, created_at);
create index recordings_unfinished on recordings (node, created_at) where status in ('recording', 'spooled');

create table stream_tokens (
    token_hash bytea not null primary key,
    tenant_id uuid not null,
    call_id uuid not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    foreign key (tenant_id, call_id) references calls (tenant_id, id) on delete cascade
);
create index stream_tokens_call on stream_tokens (tenant_id, call_id);
create index stream_tokens_expiry on stream_tokens (expires_at);

create table outbox (
    id uuid not null primary key,
    tenant_id uuid not null references organisations (id),
    kind text not null,
    data jsonb not null,
    created_at timestamptz not null,
    taken_at timestamptz
);
create index outbox_waiting on outbox (created_at, id) where taken_at is null;
create index outbox_taken on outbox (taken_at) where taken_at is not null;

create table jobs (
    id uuid not null primary key,
    tenant_id uuid references organisations (id),
    queue text not null,
    name text not null,
    dedup_key text,
    payload jsonb not null,
    attempts bigint not null,
    attempts_max bigint not null,
    run_at timestamptz not null,
    lease_owner text,
    lease_until timestamptz,
    state text not null,
    last_error text,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create unique index jobs_unfinished_once on jobs (name, dedup_key) where state in ('queued', 'running');
create index jobs_claim on jobs (queue, state, run_at);
create index jobs_leased on jobs (lease_until) where state = 'running';
create index jobs_state on jobs (state, updated_at desc, id desc);

create table audit_logs (
    id uuid not null primary key,
    tenant_id uuid references organisations (id),
    kind text not null,
    severity text not null,
    actor text not null,
    ip text,
    request_id text,
    object_kind text,
    object_id text,
    data jsonb not null,
    created_at timestamptz not null
);
create index audit_logs_newest on audit_logs (tenant_id, created_at desc, id desc);
create index audit_logs_kind on audit_logs (tenant_id, kind, created_at desc, id desc);
create index audit_logs_object on audit_logs (tenant_id, object_kind, object_id);
