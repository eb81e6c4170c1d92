//! The list of every statement, so that one check can go through them.

use crate::sql::Statement;

const NOUNS: &[&[&Statement]] = &[
    crate::agents::STATEMENTS,
    crate::api_keys::STATEMENTS,
    crate::audit::STATEMENTS,
    crate::audit_chain::STATEMENTS,
    crate::audit_chain::ROW_STATEMENTS,
    crate::audit_chain::PURGE_STATEMENTS,
    crate::audit_chain::VERIFY_STATEMENTS,
    crate::call_events::STATEMENTS,
    crate::call_events::ROW_STATEMENTS,
    crate::call_records::STATEMENTS,
    crate::calls::STATEMENTS,
    crate::calls::OUTGOING_STATEMENTS,
    crate::calls::REPORTED_STATEMENTS,
    crate::calls::REPORTED_ROW_STATEMENTS,
    crate::carrier_accounts::STATEMENTS,
    crate::carrier_events::STATEMENTS,
    crate::carrier_events::ROW_STATEMENTS,
    crate::deliveries::STATEMENTS,
    crate::document_chunks::STATEMENTS,
    crate::document_chunks::SEARCH_STATEMENTS,
    crate::documents::STATEMENTS,
    crate::idempotency::STATEMENTS,
    crate::invitations::STATEMENTS,
    crate::jobs::STATEMENTS,
    crate::jobs::OWN_STATEMENTS,
    crate::memberships::STATEMENTS,
    crate::migrate::STATEMENTS,
    crate::one_time_codes::STATEMENTS,
    crate::organisations::STATEMENTS,
    crate::outbox::STATEMENTS,
    crate::password_resets::STATEMENTS,
    crate::phone_numbers::STATEMENTS,
    crate::provider_keys::STATEMENTS,
    crate::recordings::STATEMENTS,
    crate::recovery_codes::STATEMENTS,
    crate::sessions::STATEMENTS,
    crate::sightings::STATEMENTS,
    crate::stream_tokens::STATEMENTS,
    crate::turns::STATEMENTS,
    crate::turns::ROW_STATEMENTS,
    crate::tx::STATEMENTS,
    crate::users::STATEMENTS,
    crate::vault::STATEMENTS,
    crate::vault::ROTATE_STATEMENTS,
    crate::webhook_endpoints::STATEMENTS,
];

pub(crate) fn all() -> impl Iterator<Item = &'static Statement> {
    NOUNS.iter().flat_map(|noun| noun.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialect;

    #[test]
    fn names_are_unique_and_lead_the_text() {
        let mut seen = std::collections::BTreeSet::new();
        for statement in all() {
            assert!(seen.insert(statement.name), "{} twice", statement.name);
            let lead = format!("-- {}\n", statement.name);
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                assert!(statement.text(dialect).starts_with(&lead), "{}", statement.name);
            }
        }
    }

    #[test]
    fn only_picking_work_searching_and_many_rows_differ_between_the_databases() {
        let differ = [
            crate::document_chunks::SEARCH_STATEMENTS,
            crate::audit_chain::ROW_STATEMENTS,
            crate::calls::REPORTED_ROW_STATEMENTS,
            crate::carrier_events::ROW_STATEMENTS,
            crate::call_events::ROW_STATEMENTS,
            crate::turns::ROW_STATEMENTS,
        ];
        let searches = differ.into_iter().flatten().map(|s| s.name).collect::<Vec<_>>();
        let differing: Vec<_> = all()
            .filter(|s| s.text(Dialect::Sqlite) != s.text(Dialect::Postgres) && !searches.contains(&s.name))
            .filter(|s| !s.text(Dialect::Sqlite).contains(" indexed by "))
            .inspect(|s| assert!(s.text(Dialect::Postgres).contains("for update skip locked")))
            .map(|s| s.name)
            .collect();
        assert_eq!(differing, ["jobs.bury_lost", "jobs.claim"]);
    }

    /// SQLite alone is told which index to read: otherwise the text is the same.
    #[test]
    fn only_lists_of_large_tables_name_their_index() {
        for statement in all().filter(|s| s.text(Dialect::Sqlite).contains(" indexed by ")) {
            let (noun, verb) = statement.name.split_once('.').expect("noun.verb");
            assert!(["audit", "calls"].contains(&noun) && verb.starts_with("list"), "{}", statement.name);
            let (before, rest) = statement.text(Dialect::Sqlite).split_once(" indexed by ").expect("it does");
            let (_, after) = rest.split_once(' ').expect("a condition follows");
            assert_eq!(format!("{before} {after}"), statement.text(Dialect::Postgres));
        }
    }

    /// These look across tenants, or name the tenant as the organisation that it is.
    const ACROSS: &[&str] = &[
        "api_keys.authenticate",
        "api_keys.touch",
        "calls.expire_ringing",
        "calls.find_by_callback_token",
        "calls.find_carried",
        "calls.hang_ups",
        "calls.orphans",
        "calls.owned",
        "calls.renew_leases",
        "carrier_events.find_together",
        "deliveries.due_endpoints",
        "deliveries.purge",
        "invitations.find_open",
        "invitations.purge",
        "jobs.bury_lost",
        "jobs.claim",
        "jobs.counts",
        "jobs.existing",
        "jobs.get",
        "jobs.list",
        "jobs.purge",
        "jobs.release_node",
        "jobs.requeue",
        "memberships.of_user",
        "migrations.applied",
        "migrations.forget",
        "migrations.record",
        "one_time_codes.count_try",
        "one_time_codes.current",
        "one_time_codes.issue",
        "one_time_codes.lock_user",
        "one_time_codes.purge",
        "one_time_codes.use_once",
        "one_time_codes.withdraw",
        "organisations.create",
        "organisations.get",
        "organisations.list",
        "organisations.lock",
        "organisations.rename",
        "outbox.purge",
        "outbox.take",
        "outbox.waiting",
        "password_resets.issue",
        "password_resets.last",
        "password_resets.lock_user",
        "password_resets.peek",
        "password_resets.purge",
        "password_resets.revoke",
        "password_resets.use_once",
        "phone_numbers.find",
        "phone_numbers.find_by_path_token",
        "phone_numbers.find_called",
        "recordings.awaited",
        "recordings.unfinished",
        "recovery_codes.add",
        "recovery_codes.left",
        "recovery_codes.remove",
        "recovery_codes.use_once",
        "sessions.end",
        "sessions.end_all",
        "sessions.find_blacklisted",
        "sessions.find_current",
        "sessions.purge",
        "sessions.purge_blacklist",
        "sessions.rotate",
        "sightings.numbers",
        "sightings.refused",
        "store.ping",
        "stream_tokens.consume",
        "stream_tokens.look",
        "stream_tokens.purge",
        "users.create",
        "users.enable_totp",
        "users.find_by_email",
        "users.forget_addresses",
        "users.get",
        "users.knows_address",
        "users.lock",
        "users.login_failed",
        "users.login_succeeded",
        "users.remember_address",
        "users.remove_totp",
        "users.replace_pending",
        "users.set_name",
        "users.set_password",
        "users.set_totp",
        "users.use_totp_step",
        "users.verify_email",
        "audit_chain.before_of_nobody",
        "audit_chain.chains",
        "audit_chain.first_kept_of_nobody",
        "audit_chain.hash_at_of_nobody",
        "audit_chain.purge_before_of_nobody",
        "audit_chain.purge_of_nobody",
        "audit_chain.rows_of_nobody",
        "idempotency.purge",
        "vault.count_of",
        "vault.find_house",
        "vault.others",
        "vault.rewrap",
        "vault.strange",
    ];

    /// A tenant's statement that forgets its tenant would show or change another's rows.
    #[test]
    fn every_other_statement_names_the_tenant() {
        for statement in all() {
            let text = statement.text(Dialect::Postgres);
            let equals = text.contains("tenant_id = $") || text.contains("tenant_id = coalesce($");
            let bound = equals || text.contains("insert into") && text.contains("tenant_id");
            assert_eq!(!bound, ACROSS.contains(&statement.name), "{text}");
        }
    }
}
