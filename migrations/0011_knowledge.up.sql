-- What agents may look things up in. content_hash is the SHA-256 of title and text; chunks and embedder say what the index
-- holds of it, which is of an older text while the state is pending. error: why the last attempt failed.
create table documents (
    id uuid not null primary key,
    tenant_id uuid not null references organisations (id),
    collection text not null,
    title text not null,
    source_url text,
    content_hash bytea not null,
    text text not null,
    bytes bigint not null,
    state text not null,
    error text,
    chunks bigint not null,
    embedder text,
    indexed_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (tenant_id, id)
);
create index documents_newest on documents (tenant_id, created_at desc, id desc);
