drop trigger password_reset_tokens_updated on password_reset_tokens;
drop function caly_keep_updated_at();
