-- Addresses of a tenant's that events are sent to. events: kinds as a JSON array, empty = all. Secrets are sealed;
-- during a rotation the previous one signs too, until previous_until. not_before: the endpoint asked for a pause.
create table webhook_endpoints (
    id uuid not null primary key,
    tenant_id uuid not null references organisations (id),
    url text not null,
    description text not null,
    events jsonb not null,
    secret bytea not null,
    secret_last4 text not null,
    previous_secret bytea,
    previous_until timestamptz,
    disabled_at timestamptz,
    disabled_reason text,
    failing_since timestamptz,
    not_before timestamptz,
    tried_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (tenant_id, id)
);
create index webhook_endpoints_newest on webhook_endpoints (tenant_id, created_at desc, id desc);

-- One event on its way to one endpoint. body is the text that is signed and sent, byte for byte. Deliveries of one call
-- go in the order of (occurred_at, event_id); lease_until: somebody is sending it now.
create table deliveries (
    id uuid not null primary key,
    tenant_id uuid not null references organisations (id),
    endpoint_id uuid not null,
    event_id uuid not null,
    kind text not null,
    call_id uuid,
    occurred_at timestamptz not null,
    body text not null,
    state text not null,
    attempts bigint not null,
    next_at timestamptz not null,
    lease_until timestamptz,
    last_status bigint,
    last_error text,
    last_response text,
    last_duration_ms bigint,
    last_attempt_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (endpoint_id, event_id),
    foreign key (tenant_id, endpoint_id) references webhook_endpoints (tenant_id, id) on delete cascade,
    foreign key (tenant_id, call_id) references calls (tenant_id, id) on delete cascade
);
create index deliveries_newest on deliveries (tenant_id, endpoint_id, created_at desc, id desc);
create index deliveries_due on deliveries (endpoint_id, next_at) where state = 'pending';
create index deliveries_of_call on deliveries (tenant_id, call_id, endpoint_id);
create index deliveries_age on deliveries (updated_at) where state <> 'pending';

create index outbox_newest on outbox (tenant_id, created_at desc, id desc);
