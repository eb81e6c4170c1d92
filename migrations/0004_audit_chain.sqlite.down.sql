drop trigger audit_chains_forward;
drop trigger audit_chains_no_delete;
drop trigger audit_logs_no_delete;
drop trigger audit_logs_no_update;
