-- What is kept of a call once it is over. usage: what it used of its providers and what went on in it, by count.
-- cost_micros: millionths of cost_currency by the price table of that time, of the lines that have a price; cost_lines: all
-- lines. analysis: what a language model made of it, or what the flow collected; analyses: how often that was asked for.
alter table calls add column usage jsonb;
alter table calls add column cost_micros bigint;
alter table calls add column cost_currency text;
alter table calls add column cost_lines jsonb;
alter table calls add column analysis jsonb;
alter table calls add column analysis_state text not null default 'none';
alter table calls add column analysis_error text;
alter table calls add column analyses bigint not null default 0;
alter table calls add column disposition text;
alter table calls add column succeeded boolean;
create index calls_disposition on calls (tenant_id, disposition, created_at desc, id desc) where disposition is not null;
create index calls_succeeded on calls (tenant_id, succeeded, created_at desc, id desc) where succeeded is not null;
