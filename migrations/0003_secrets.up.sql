-- Secrets at rest. A data key seals one tenant's secrets (tenant_id null: the house's own); it is kept wrapped by the
-- key of the installation, which is not in the database: kek_id names it (first 8 bytes of its SHA-256).
create table data_keys (
    id uuid not null primary key,
    tenant_id uuid references organisations (id),
    kek_id bytea not null,
    wrapped bytea not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create unique index data_keys_tenant on data_keys (tenant_id) where tenant_id is not null;
create unique index data_keys_house on data_keys ((tenant_id is null)) where tenant_id is null;

-- A tenant's keys at its providers. Written, used, never shown: last4 is what people see.
create table provider_keys (
    id uuid not null primary key,
    tenant_id uuid not null references organisations (id),
    provider text not null,
    label text not null,
    last4 text not null,
    sealed bytea not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (tenant_id, id),
    unique (tenant_id, provider)
);
create index provider_keys_newest on provider_keys (tenant_id, created_at desc, id desc);

-- The part of a job's payload that must not be readable in the database.
alter table jobs add column sealed bytea;
