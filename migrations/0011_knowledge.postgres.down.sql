revoke all on documents, document_chunks from caly_tenant, caly_system;
drop table document_chunks;
