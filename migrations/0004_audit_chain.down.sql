drop table audit_chains;
drop index audit_logs_house_chain;
drop index audit_logs_chain;
alter table audit_logs drop column hash;
alter table audit_logs drop column chain_index;
