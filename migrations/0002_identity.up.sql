-- People, their memberships and sessions, invitations and API keys. Types as in the first step.
-- A person is global: one e-mail address is one user, who may be a member of several organisations. What belongs to a
-- member names the membership, tenant first. Who did something (created_by, invited_by, accepted_by) stays on record
-- after he has left, so it names the user.

create table users (
    id uuid not null primary key,
    email text not null unique,
    name text not null,
    password_hash text not null,
    email_verified_at timestamptz,
    totp_secret bytea,
    totp_enabled_at timestamptz,
    totp_last_step bigint,
    failed_logins bigint not null,
    last_failed_at timestamptz,
    last_confirmed_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table known_addresses (
    user_id uuid not null references users (id) on delete cascade,
    address_hash bytea not null,
    seen_at timestamptz not null,
    primary key (user_id, address_hash)
);

create table memberships (
    tenant_id uuid not null references organisations (id),
    user_id uuid not null references users (id),
    role text not null,
    created_at timestamptz not null,
    primary key (tenant_id, user_id)
);
create index memberships_newest on memberships (tenant_id, created_at desc, user_id desc);
create index memberships_user on memberships (user_id, tenant_id);

create table sessions (
    id uuid not null primary key,
    tenant_id uuid not null,
    user_id uuid not null,
    token_hash bytea not null unique,
    token_salt bytea not null,
    generation bigint not null,
    rotated_at timestamptz,
    created_at timestamptz not null,
    last_used_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    end_reason text,
    ip text,
    user_agent text,
    unique (tenant_id, id),
    foreign key (tenant_id, user_id) references memberships (tenant_id, user_id) on delete cascade
);
create index sessions_member on sessions (tenant_id, user_id, last_used_at desc, id desc);
create index sessions_user on sessions (user_id);
create index sessions_expiry on sessions (expires_at);
create index sessions_ended on sessions (ended_at) where ended_at is not null;

-- Refresh tokens that were good once: each one's next appearance is a theft or a lost answer.
create table refresh_token_blacklist (
    token_hash bytea not null primary key,
    session_id uuid not null,
    user_id uuid not null references users (id) on delete cascade,
    tenant_id uuid not null,
    generation bigint not null,
    reason text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    foreign key (tenant_id, session_id) references sessions (tenant_id, id) on delete cascade
);
create index refresh_token_blacklist_session on refresh_token_blacklist (session_id, tenant_id);
create index refresh_token_blacklist_user on refresh_token_blacklist (user_id);
create index refresh_token_blacklist_expiry on refresh_token_blacklist (expires_at);

create table one_time_codes (
    id uuid not null primary key,
    user_id uuid not null references users (id) on delete cascade,
    purpose text not null,
    code_hash text not null,
    tries bigint not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    created_at timestamptz not null,
    unique (user_id, purpose)
);
create index one_time_codes_expiry on one_time_codes (expires_at);

-- A trigger keeps updated_at.
create table password_reset_tokens (
    id uuid not null primary key,
    user_id uuid not null references users (id) on delete cascade,
    token_hash bytea not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create unique index password_reset_tokens_token on password_reset_tokens (token_hash);
create index password_reset_tokens_user on password_reset_tokens (user_id);
create index password_reset_tokens_expiry on password_reset_tokens (expires_at);

create table recovery_codes (
    user_id uuid not null references users (id) on delete cascade,
    code_hash bytea not null,
    created_at timestamptz not null,
    used_at timestamptz,
    primary key (user_id, code_hash)
);

create table invitations (
    id uuid not null primary key,
    tenant_id uuid not null references organisations (id),
    email text not null,
    role text not null,
    token_hash bytea not null unique,
    invited_by uuid not null references users (id),
    expires_at timestamptz not null,
    accepted_at timestamptz,
    accepted_by uuid references users (id),
    revoked_at timestamptz,
    created_at timestamptz not null,
    unique (tenant_id, id)
);
create unique index invitations_open_once on invitations (tenant_id, email)
    where accepted_at is null and revoked_at is null;
create index invitations_newest on invitations (tenant_id, created_at desc, id desc);
create index invitations_expiry on invitations (expires_at);
create index invitations_invited_by on invitations (invited_by);
create index invitations_accepted_by on invitations (accepted_by);

create table api_keys (
    id uuid not null primary key,
    tenant_id uuid not null references organisations (id),
    name text not null,
    key_hash bytea not null unique,
    last4 text not null,
    scopes jsonb not null,
    created_by uuid not null references users (id),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz not null,
    unique (tenant_id, id)
);
create index api_keys_newest on api_keys (tenant_id, created_at desc, id desc);
create index api_keys_created_by on api_keys (created_by);
