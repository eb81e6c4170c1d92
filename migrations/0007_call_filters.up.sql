-- Lists of calls by who called, what was called, by number and by status, newest first. Without these a rare value would
-- be looked for in every call of the tenant.
drop index calls_phone_number;
create index calls_phone_number on calls (tenant_id, phone_number_id, created_at desc, id desc);
create index calls_from on calls (tenant_id, from_number, created_at desc, id desc);
create index calls_to on calls (tenant_id, to_number, created_at desc, id desc);
create index calls_status on calls (tenant_id, status, created_at desc, id desc);
