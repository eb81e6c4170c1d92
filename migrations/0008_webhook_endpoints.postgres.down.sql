revoke all on webhook_endpoints, deliveries from caly_tenant, caly_system;
