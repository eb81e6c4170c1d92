drop trigger document_chunks_removed;
drop trigger document_chunks_added;
drop table document_words;
drop table document_chunks;
