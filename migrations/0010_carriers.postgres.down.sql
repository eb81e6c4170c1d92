revoke all on carrier_accounts from caly_tenant, caly_system;
