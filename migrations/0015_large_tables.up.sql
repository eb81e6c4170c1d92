-- What a million finished calls would slow down.

-- Lists of calls by who called whom; of audit events by what was changed, by whom, and of those that want attention.
-- Nearly all events are of calls, by the system, and for information: they stay out of the indexes for the others.
create index calls_direction on calls (tenant_id, direction, created_at desc, id desc);
drop index audit_logs_object;
create index audit_logs_object on audit_logs (tenant_id, object_id, created_at desc, id desc);
create index audit_logs_actor on audit_logs (tenant_id, actor, created_at desc, id desc) where actor <> 'system';
create index audit_logs_object_kind on audit_logs (tenant_id, object_kind, created_at desc, id desc)
    where object_kind <> 'call';
create index audit_logs_severity on audit_logs (tenant_id, severity, created_at desc, id desc) where severity <> 'info';

-- Few deliveries fail and few jobs are unfinished, among all that were done.
create index deliveries_state on deliveries (tenant_id, endpoint_id, state, created_at desc, id desc);
create index jobs_unfinished on jobs (tenant_id, created_at desc, id desc) where state in ('queued', 'running');

-- With the name in it the counts of all jobs are read from this index alone.
drop index jobs_claim;
create index jobs_claim on jobs (queue, state, run_at, name);

-- Calls on the line are few and have an index. With the lease in another, PostgreSQL wrote all indexes of a call whenever
-- the lease was renewed.
drop index calls_leased;

-- Turns are found by their call through the unique rule.
drop index turns_call;
