drop index calls_status;
drop index calls_to;
drop index calls_from;
drop index calls_phone_number;
create index calls_phone_number on calls (tenant_id, phone_number_id);
