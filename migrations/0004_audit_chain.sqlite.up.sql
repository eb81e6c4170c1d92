create trigger audit_logs_no_update before update on audit_logs
begin
    select raise(abort, 'audit_logs is append-only');
end;
create trigger audit_logs_no_delete before delete on audit_logs
when not exists (
    select 1 from audit_chains c
    where c.tenant_id = coalesce(old.tenant_id, zeroblob(16))
      and (old.chain_index < c.first_index or (old.chain_index is null and old.created_at < c.purged_before)))
begin
    select raise(abort, 'audit_logs is append-only');
end;
create trigger audit_chains_no_delete before delete on audit_chains
begin
    select raise(abort, 'a chain of audit_logs does not go away');
end;
create trigger audit_chains_forward before update on audit_chains
when new.tenant_id <> old.tenant_id or new.next_index < old.next_index or new.first_index < old.first_index
    or new.first_index > new.next_index or (old.purged_before is not null and new.purged_before is null)
    or new.purged_before < old.purged_before
begin
    select raise(abort, 'a chain of audit_logs only grows');
end;
