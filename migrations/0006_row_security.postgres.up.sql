-- Row-level security: the second lock on tenants' rows. The program acts as one of three roles, told apart per
-- transaction (`set local role`), together with the tenant in the setting `caly.tenant`. Without the setting there is no
-- row; after a transaction that had set it, it reads as an empty text, hence the nullif.
--
--   caly_tenant   one tenant's rows
--   caly_system   every row; cannot change or delete audit events
--   caly_keeper   may delete audit events (retention), nothing else
--
-- FORCE: the policies hold for the owner of the tables too, who thereby sees no row. A later step that touches rows must
-- `set local role caly_system` first, and a later table brings its own policies and grants. A back-up of the whole needs
-- a superuser or an account with BYPASSRLS.

-- Roles belong to the cluster, not to this database: another database's migration may be making the same ones now.
do $$
declare
    wanted text;
    attempt int;
    able boolean;
begin
    foreach wanted in array array['caly_tenant', 'caly_system', 'caly_keeper'] loop
        for attempt in 1..20 loop
            begin
                if not exists (select 1 from pg_roles where rolname = wanted) then
                    execute format('create role %I nologin nosuperuser nobypassrls nocreatedb nocreaterole', wanted);
                end if;
                -- From version 16 on, who makes a role may administer it, not act as it.
                if current_setting('server_version_num')::int >= 160000 then
                    execute 'select pg_has_role(current_user, $1, ''SET'')' into able using wanted;
                else
                    able := pg_has_role(current_user, wanted, 'MEMBER');
                end if;
                if not able then
                    execute format('grant %I to %I', wanted, current_user);
                end if;
                exit;
            exception
                when duplicate_object or unique_violation or undefined_object then
                    perform pg_sleep(0.02);
                when insufficient_privilege then
                    raise exception using
                        errcode = 'insufficient_privilege',
                        message = format(
                            E'the account %I may not make roles: as an administrator run\n'
                            'create role caly_tenant nologin role %I;\n'
                            'create role caly_system nologin role %I;\n'
                            'create role caly_keeper nologin role %I;\n'
                            '(or `grant caly_… to %I` where the role is there)',
                            current_user, current_user, current_user, current_user, current_user);
                when internal_error then
                    -- "tuple concurrently updated"
                    if attempt = 20 then
                        raise;
                    end if;
                    perform pg_sleep(0.02);
            end;
        end loop;
        if exists (select 1 from pg_roles where rolname = wanted and (rolsuper or rolbypassrls)) then
            raise exception 'the role % is a superuser or has BYPASSRLS: row policies would not hold', wanted;
        end if;
    end loop;
    -- Since version 15 only the schema named public lets everybody in.
    if not has_schema_privilege('caly_tenant', current_schema(), 'usage')
        or not has_schema_privilege('caly_system', current_schema(), 'usage')
        or not has_schema_privilege('caly_keeper', current_schema(), 'usage')
    then
        execute format('grant usage on schema %I to caly_tenant, caly_system, caly_keeper', current_schema());
    end if;
end
$$;

-- Every table with tenant_id. The restrictive policy is a wall: a permissive one added later cannot open it.
do $$
declare
    owned text;
    mine constant text := 'tenant_id = nullif(current_setting(''caly.tenant'', true), '''')::uuid';
begin
    for owned in
        select c.relname from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
        where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
        order by c.relname
    loop
        execute format('alter table %I enable row level security', owned);
        execute format('alter table %I force row level security', owned);
        execute format('create policy tenant_wall on %I as restrictive to caly_tenant using (%s) with check (%s)',
            owned, mine, mine);
        execute format('create policy tenant_rows on %I to caly_tenant using (%s) with check (%s)', owned, mine, mine);
        execute format('create policy system_rows on %I to caly_system using (true) with check (true)', owned);
        if owned not in ('audit_logs', 'audit_chains') then
            execute format('grant select, insert, update, delete on %I to caly_tenant, caly_system', owned);
        end if;
    end loop;
end
$$;

alter table organisations enable row level security;
alter table organisations force row level security;
create policy tenant_wall on organisations as restrictive to caly_tenant
    using (id = nullif(current_setting('caly.tenant', true), '')::uuid)
    with check (id = nullif(current_setting('caly.tenant', true), '')::uuid);
create policy tenant_rows on organisations to caly_tenant
    using (id = nullif(current_setting('caly.tenant', true), '')::uuid)
    with check (id = nullif(current_setting('caly.tenant', true), '')::uuid);
create policy system_rows on organisations to caly_system using (true) with check (true);
grant select, update on organisations to caly_tenant;
grant select, insert, update, delete on organisations to caly_system;

-- A person is not a tenant's; a tenant sees its members, not their password hashes and second factors.
alter table users enable row level security;
alter table users force row level security;
create policy tenant_wall on users as restrictive to caly_tenant
    using (exists (select 1 from memberships m where m.user_id = users.id
        and m.tenant_id = nullif(current_setting('caly.tenant', true), '')::uuid))
    with check (false);
create policy tenant_rows on users for select to caly_tenant
    using (exists (select 1 from memberships m where m.user_id = users.id
        and m.tenant_id = nullif(current_setting('caly.tenant', true), '')::uuid));
create policy system_rows on users to caly_system using (true) with check (true);
grant select (id, email, name, email_verified_at, totp_enabled_at, created_at, updated_at) on users to caly_tenant;
grant select, insert, update, delete on users to caly_system;

-- A person's own: across tenants only.
grant select, insert, update, delete on known_addresses, one_time_codes, password_reset_tokens, recovery_codes
    to caly_system;

-- The audit log is only added to; a chain's anchor is moved by retention alone.
grant select, insert on audit_logs to caly_tenant, caly_system;
grant select, insert, update (next_index, head_hash) on audit_chains to caly_tenant, caly_system;
create policy keeper_reads on audit_logs for select to caly_keeper using (true);
create policy keeper_deletes on audit_logs for delete to caly_keeper using (true);
grant select, delete on audit_logs to caly_keeper;
create policy keeper_reads on audit_chains for select to caly_keeper using (true);
create policy keeper_moves on audit_chains for update to caly_keeper using (true) with check (true);
grant select, update (first_index, first_hash, purged_before) on audit_chains to caly_keeper;
