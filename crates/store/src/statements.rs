//! The list of every statement, so that one check can go through them.

use crate::sql::Statement;

const NOUNS: &[&[&Statement]] = &[
    crate::agents::STATEMENTS,
    crate::audit::STATEMENTS,
    crate::call_events::STATEMENTS,
    crate::calls::STATEMENTS,
    crate::jobs::STATEMENTS,
    crate::migrate::STATEMENTS,
    crate::organisations::STATEMENTS,
    crate::outbox::STATEMENTS,
    crate::phone_numbers::STATEMENTS,
    crate::recordings::STATEMENTS,
    crate::stream_tokens::STATEMENTS,
    crate::turns::STATEMENTS,
    crate::tx::STATEMENTS,
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
    fn only_picking_work_differs_between_the_databases() {
        let differing: Vec<_> = all()
            .filter(|s| s.text(Dialect::Sqlite) != s.text(Dialect::Postgres))
            .inspect(|s| assert!(s.text(Dialect::Postgres).contains("for update skip locked")))
            .map(|s| s.name)
            .collect();
        assert_eq!(differing, ["jobs.bury_lost", "jobs.claim"]);
    }

    /// A tenant's statement that forgets its tenant would show or change another's rows. These look across tenants.
    #[test]
    fn every_other_statement_names_the_tenant() {
        const ACROSS: &[&str] = &[
            "calls.carrier_closed",
            "calls.carrier_noted",
            "calls.expire_ringing",
            "calls.orphans",
            "calls.owned",
            "calls.renew_leases",
            "jobs.bury_lost",
            "jobs.claim",
            "jobs.counts",
            "jobs.existing",
            "jobs.get",
            "jobs.list",
            "jobs.purge",
            "jobs.requeue",
            "migrations.applied",
            "migrations.forget",
            "migrations.record",
            "organisations.create",
            "organisations.get",
            "organisations.list",
            "outbox.purge",
            "outbox.take",
            "phone_numbers.find_called",
            "phone_numbers.find_by_path_token",
            "recordings.unfinished",
            "store.ping",
            "stream_tokens.consume",
            "stream_tokens.look",
            "stream_tokens.purge",
        ];
        for statement in all() {
            let text = statement.text(Dialect::Postgres);
            let bound = text.contains("tenant_id = $") || text.contains("insert into") && text.contains("tenant_id");
            assert_eq!(!bound, ACROSS.contains(&statement.name), "{text}");
        }
    }
}
