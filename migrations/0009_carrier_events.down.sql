alter table phone_numbers drop column webhook_auth;
alter table calls drop column carrier_recording_due_at;
alter table calls drop column carrier_recording_url;
alter table calls drop column carrier_ended_at;
alter table calls drop column carrier_status;
drop table signed_requests;
drop table carrier_events;
