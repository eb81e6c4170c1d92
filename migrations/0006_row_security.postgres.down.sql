-- The roles stay: they belong to the cluster and other databases may use them.
do $$
declare
    had record;
begin
    for had in
        select tablename, policyname from pg_policies
        where schemaname = current_schema() and policyname in
            ('tenant_wall', 'tenant_rows', 'system_rows', 'keeper_reads', 'keeper_deletes', 'keeper_moves')
    loop
        execute format('drop policy %I on %I', had.policyname, had.tablename);
    end loop;
    for had in
        select c.relname from pg_class c
        where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and c.relrowsecurity
    loop
        execute format('alter table %I no force row level security', had.relname);
        execute format('alter table %I disable row level security', had.relname);
    end loop;
end
$$;
do $$
begin
    execute format('revoke all on all tables in schema %I from caly_tenant, caly_system, caly_keeper', current_schema());
end
$$;
