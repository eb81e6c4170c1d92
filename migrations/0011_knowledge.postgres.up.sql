-- Pieces of documents as they are quoted. words: the normalised words that it is found by, with spaces between; they are
-- lexemes already, so that no parser and no locale of the server decides what a Hindi word is. embedding: 32-bit floats,
-- little-endian, of length one. The tenant is a lexeme of its own, so that one tenant's chunks are found without going
-- through another's.
create table document_chunks (
    number bigint generated always as identity primary key,
    tenant_id uuid not null,
    document_id uuid not null,
    position bigint not null,
    heading text not null,
    text text not null,
    words text not null,
    embedding bytea,
    embedder text,
    lexemes tsvector not null generated always as (
        array_to_tsvector(array_append(string_to_array(words, ' '), 't' || replace(tenant_id::text, '-', '')))
    ) stored,
    unique (tenant_id, document_id, position),
    foreign key (tenant_id, document_id) references documents (tenant_id, id) on delete cascade
);
create index document_chunks_embedded on document_chunks (tenant_id, embedder, number) where embedder is not null;
create index document_chunks_words on document_chunks using gin (lexemes) with (fastupdate = off);

do $$
declare
    owned text;
    mine constant text := 'tenant_id = nullif(current_setting(''caly.tenant'', true), '''')::uuid';
begin
    foreach owned in array array['documents', 'document_chunks'] loop
        execute format('alter table %I enable row level security', owned);
        execute format('alter table %I force row level security', owned);
        execute format('create policy tenant_wall on %I as restrictive to caly_tenant using (%s) with check (%s)',
            owned, mine, mine);
        execute format('create policy tenant_rows on %I to caly_tenant using (%s) with check (%s)', owned, mine, mine);
        execute format('create policy system_rows on %I to caly_system using (true) with check (true)', owned);
        execute format('grant select, insert, update, delete on %I to caly_tenant, caly_system', owned);
    end loop;
end
$$;
