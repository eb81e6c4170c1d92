drop trigger audit_chains_no_truncate on audit_chains;
drop trigger audit_chains_forward on audit_chains;
drop trigger audit_logs_no_truncate on audit_logs;
drop trigger audit_logs_append_only on audit_logs;
drop function caly_audit_chains_forward();
drop function caly_audit_logs_append_only();
