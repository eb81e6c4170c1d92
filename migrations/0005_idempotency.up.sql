-- What was answered to a request that carried an Idempotency-Key. Written in the transaction of its effect, so that the
-- two are there together or not at all. body is JSON kept as text: it goes back as it was.
create table idempotency_keys (
    tenant_id uuid not null references organisations (id),
    route text not null,
    idempotency_key text not null,
    body_hash bytea not null,
    status bigint,
    body text,
    created_at timestamptz not null,
    primary key (tenant_id, route, idempotency_key)
);
create index idempotency_keys_age on idempotency_keys (created_at);
