do $$
declare
    owned text;
    mine constant text := 'tenant_id = nullif(current_setting(''caly.tenant'', true), '''')::uuid';
begin
    foreach owned in array array['carrier_events', 'signed_requests'] loop
        execute format('alter table %I enable row level security', owned);
        execute format('alter table %I force row level security', owned);
        execute format('create policy tenant_wall on %I as restrictive to caly_tenant using (%s) with check (%s)',
            owned, mine, mine);
        execute format('create policy tenant_rows on %I to caly_tenant using (%s) with check (%s)', owned, mine, mine);
        execute format('create policy system_rows on %I to caly_system using (true) with check (true)', owned);
        execute format('grant select, insert, update, delete on %I to caly_tenant, caly_system', owned);
    end loop;
end
$$;
