drop index outbox_newest;
drop table deliveries;
drop table webhook_endpoints;
