-- What a carrier reported of a call, each report once: event_key is the SHA-256 of what it says, without the time of
-- sending. A repetition meets the unique rule and changes nothing.
create table carrier_events (
    id uuid not null primary key,
    tenant_id uuid not null,
    call_id uuid not null,
    kind text not null,
    event_key bytea not null,
    data jsonb not null,
    created_at timestamptz not null,
    unique (tenant_id, call_id, event_key),
    foreign key (tenant_id, call_id) references calls (tenant_id, id) on delete cascade
);

-- Signed requests with a time, each taken once. Older than the window of their times they are refused anyway, and the
-- rows go.
create table signed_requests (
    tenant_id uuid not null references organisations (id),
    request_key bytea not null,
    seen_at timestamptz not null,
    primary key (tenant_id, request_key)
);
create index signed_requests_age on signed_requests (tenant_id, seen_at);

-- What the carrier says of a call, beside what Caly saw of it itself.
alter table calls add column carrier_status text;
alter table calls add column carrier_ended_at timestamptz;
alter table calls add column carrier_recording_url text;
alter table calls add column carrier_recording_due_at timestamptz;

-- Which proofs webhooks about a number may come with; null: path token or signature.
alter table phone_numbers add column webhook_auth jsonb;
