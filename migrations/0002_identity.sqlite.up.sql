-- Times here are text of one width, to the microsecond; the clock of SQLite gives milliseconds. A trigger's own update
-- does not start it again (recursive triggers are off), and `when` says so too.
create trigger password_reset_tokens_updated after update on password_reset_tokens
for each row when new.updated_at = old.updated_at
begin
    update password_reset_tokens set updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000+00:00'
    where id = new.id;
end;
