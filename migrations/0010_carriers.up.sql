-- A tenant's account at a carrier: what outgoing calls are placed with and recordings are fetched with. The token is
-- sealed, used and never shown: last4 is what people see. region, api_key and flow_id are what that carrier needs.
create table carrier_accounts (
    id uuid not null primary key,
    tenant_id uuid not null references organisations (id),
    carrier text not null,
    account_id text not null,
    region text,
    api_key text,
    flow_id text,
    last4 text not null,
    sealed bytea not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (tenant_id, id),
    unique (tenant_id, carrier)
);
create index carrier_accounts_newest on carrier_accounts (tenant_id, created_at desc, id desc);

-- Outgoing calls. variables: what whoever placed the call told the agent. dialed_at: the order may have left from then
-- on. callback_token_hash: by which the carrier's reports of this call come. transfer_to: the decision to hand the
-- caller to this number, taken before the media ends. hang_up_asked_at: somebody of the tenant wants it to end.
alter table calls add column variables jsonb not null default '{}';
alter table calls add column dialed_at timestamptz;
alter table calls add column callback_token_hash bytea;
alter table calls add column transfer_to text;
alter table calls add column transferred_at timestamptz;
alter table calls add column hang_up_asked_at timestamptz;
create unique index calls_callback_token on calls (callback_token_hash) where callback_token_hash is not null;

-- Recordings that a carrier made are fetched: one of each call.
alter table recordings add column source text not null default 'own';
alter table recordings add column content_type text not null default 'audio/wav';
create unique index recordings_carrier on recordings (tenant_id, call_id) where source = 'carrier';
create index recordings_awaited on recordings (updated_at, id) where status = 'awaited';

-- A tenant's jobs, newest first; those that were given up are what people look for.
create index jobs_newest on jobs (tenant_id, created_at desc, id desc);
create index jobs_given_up on jobs (tenant_id, created_at desc, id desc) where state = 'dead';
