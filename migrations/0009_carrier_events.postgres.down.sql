revoke all on carrier_events, signed_requests from caly_tenant, caly_system;
