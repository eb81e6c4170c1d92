create function caly_keep_updated_at() returns trigger language plpgsql as $$
begin
    new.updated_at := clock_timestamp();
    return new;
end
$$;
create trigger password_reset_tokens_updated before update on password_reset_tokens
for each row execute function caly_keep_updated_at();
