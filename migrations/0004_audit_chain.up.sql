-- The audit log as one chain of hashes per tenant: a row's hash covers the hash of the row before it.
-- Rows from before have no place in a chain.
alter table audit_logs add column chain_index bigint;
alter table audit_logs add column hash bytea;
create unique index audit_logs_chain on audit_logs (tenant_id, chain_index);
create unique index audit_logs_house_chain on audit_logs (chain_index) where tenant_id is null;

-- The ends of each chain. tenant_id is the nil UUID for events of no tenant, so it refers to nothing. What is below
-- first_index, and what has no place in the chain and is older than purged_before, may be deleted.
create table audit_chains (
    tenant_id uuid not null primary key,
    next_index bigint not null,
    head_hash bytea not null,
    first_index bigint not null,
    first_hash bytea not null,
    purged_before timestamptz
);
