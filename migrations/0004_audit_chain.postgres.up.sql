create function caly_audit_logs_append_only() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        if exists (
            select 1 from audit_chains c
            where c.tenant_id = coalesce(old.tenant_id, '00000000-0000-0000-0000-000000000000')
              and (old.chain_index < c.first_index or (old.chain_index is null and old.created_at < c.purged_before)))
        then
            return old;
        end if;
    end if;
    raise exception 'audit_logs is append-only' using errcode = 'integrity_constraint_violation';
end
$$;
create trigger audit_logs_append_only before update or delete on audit_logs
for each row execute function caly_audit_logs_append_only();
create trigger audit_logs_no_truncate before truncate on audit_logs
for each statement execute function caly_audit_logs_append_only();

create function caly_audit_chains_forward() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if new.tenant_id = old.tenant_id and new.next_index >= old.next_index and new.first_index >= old.first_index
            and new.first_index <= new.next_index
            and (old.purged_before is null or coalesce(new.purged_before >= old.purged_before, false))
        then
            return new;
        end if;
    end if;
    raise exception 'a chain of audit_logs only grows' using errcode = 'integrity_constraint_violation';
end
$$;
create trigger audit_chains_forward before update or delete on audit_chains
for each row execute function caly_audit_chains_forward();
create trigger audit_chains_no_truncate before truncate on audit_chains
for each statement execute function caly_audit_chains_forward();
