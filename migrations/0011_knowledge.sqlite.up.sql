-- Pieces of documents as they are quoted. words: the normalised words that it is found by, with spaces between. embedding:
-- 32-bit floats, little-endian, of length one.
create table document_chunks (
    number integer not null primary key,
    tenant_id uuid not null,
    document_id uuid not null,
    position bigint not null,
    heading text not null,
    text text not null,
    words text not null,
    embedding bytea,
    embedder text,
    unique (tenant_id, document_id, position),
    foreign key (tenant_id, document_id) references documents (tenant_id, id) on delete cascade
);
create index document_chunks_embedded on document_chunks (tenant_id, embedder, number) where embedder is not null;

-- The index of words. It keeps none of the text. Marks count as letters: without its vowel signs Hindi is not Hindi. The
-- tenant is a word of its own, so that one tenant's chunks are found without going through another's.
create virtual table document_words using fts5 (
    tenant,
    words,
    content = '',
    contentless_delete = 1,
    tokenize = "unicode61 remove_diacritics 0 categories 'L* N* Co Mn Mc'"
);
create trigger document_chunks_added after insert on document_chunks begin
    insert into document_words (rowid, tenant, words)
    values (new.number, 't' || lower(hex(new.tenant_id)), new.words);
end;
create trigger document_chunks_removed after delete on document_chunks begin
    delete from document_words where rowid = old.number;
end;
