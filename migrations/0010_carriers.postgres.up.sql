do $$
declare
    mine constant text := 'tenant_id = nullif(current_setting(''caly.tenant'', true), '''')::uuid';
begin
    alter table carrier_accounts enable row level security;
    alter table carrier_accounts force row level security;
    execute format('create policy tenant_wall on carrier_accounts as restrictive to caly_tenant using (%s) with check (%s)',
        mine, mine);
    execute format('create policy tenant_rows on carrier_accounts to caly_tenant using (%s) with check (%s)', mine, mine);
    create policy system_rows on carrier_accounts to caly_system using (true) with check (true);
    grant select, insert, update, delete on carrier_accounts to caly_tenant, caly_system;
end
$$;
