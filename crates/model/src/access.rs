//! Who may do what: scopes, and the roles that hold them.

use crate::words::words;

words! {
    /// What somebody may do. One scope guards one route; a role or an API key holds several.
    Scope {
        /// See the organisation's own data.
        OrganisationRead = "organisation:read",
        /// Change it.
        OrganisationWrite = "organisation:write",
        /// See who is a member or invited.
        MembersRead = "members:read",
        /// Invite, change roles, remove.
        MembersWrite = "members:write",
        /// See which API keys there are.
        ApiKeysRead = "api-keys:read",
        /// Make and revoke API keys.
        ApiKeysWrite = "api-keys:write",
        /// See which keys at providers and accounts at carriers there are, never the keys.
        ProviderKeysRead = "provider-keys:read",
        /// Set and delete keys at providers and accounts at carriers.
        ProviderKeysWrite = "provider-keys:write",
        /// See agents.
        AgentsRead = "agents:read",
        /// Make, change and delete agents.
        AgentsWrite = "agents:write",
        /// See phone numbers.
        PhoneNumbersRead = "phone-numbers:read",
        /// Connect, assign and disconnect phone numbers.
        PhoneNumbersWrite = "phone-numbers:write",
        /// See calls and their transcripts.
        CallsRead = "calls:read",
        /// Place and end calls.
        CallsWrite = "calls:write",
        /// Hear recordings.
        RecordingsRead = "recordings:read",
        /// Read and export the audit log.
        AuditRead = "audit:read",
        /// See where events are sent, and what became of them.
        WebhookEndpointsRead = "webhook-endpoints:read",
        /// Say where events are sent, and send them again.
        WebhookEndpointsWrite = "webhook-endpoints:write",
        /// See work that goes on behind the requests, and what was given up.
        JobsRead = "jobs:read",
        /// Try again or discard what was given up.
        JobsWrite = "jobs:write",
        /// Read and search the documents that agents look things up in.
        KnowledgeRead = "knowledge:read",
        /// Add, replace and delete those documents.
        KnowledgeWrite = "knowledge:write",
    }
}

impl Scope {
    /// Whether an API key may hold it. Keys make no members and no other keys: a stolen one must not outlive itself.
    #[must_use]
    pub const fn for_api_keys(self) -> bool {
        match self {
            Self::OrganisationWrite | Self::MembersWrite | Self::ApiKeysWrite => false,
            Self::OrganisationRead
            | Self::MembersRead
            | Self::ApiKeysRead
            | Self::ProviderKeysRead
            | Self::ProviderKeysWrite
            | Self::AgentsRead
            | Self::AgentsWrite
            | Self::PhoneNumbersRead
            | Self::PhoneNumbersWrite
            | Self::CallsRead
            | Self::CallsWrite
            | Self::RecordingsRead
            | Self::AuditRead
            | Self::WebhookEndpointsRead
            | Self::WebhookEndpointsWrite
            | Self::JobsRead
            | Self::JobsWrite
            | Self::KnowledgeRead
            | Self::KnowledgeWrite => true,
        }
    }

    /// The least role that holds it.
    #[must_use]
    pub const fn least_role(self) -> Role {
        match self {
            Self::OrganisationRead
            | Self::MembersRead
            | Self::AgentsRead
            | Self::PhoneNumbersRead
            | Self::CallsRead
            | Self::RecordingsRead
            | Self::WebhookEndpointsRead
            | Self::KnowledgeRead => Role::Viewer,
            Self::AgentsWrite | Self::PhoneNumbersWrite | Self::CallsWrite | Self::KnowledgeWrite => Role::Member,
            Self::OrganisationWrite
            | Self::MembersWrite
            | Self::ApiKeysRead
            | Self::ApiKeysWrite
            | Self::ProviderKeysRead
            | Self::ProviderKeysWrite
            | Self::AuditRead
            | Self::WebhookEndpointsWrite
            | Self::JobsRead
            | Self::JobsWrite => Role::Admin,
        }
    }
}

words! {
    /// What a member of an organisation is, rising.
    Role {
        /// Sees agents, numbers, calls and recordings.
        Viewer = "viewer",
        /// Works with agents, numbers and calls.
        Member = "member",
        /// Runs the organisation: members, keys, audit.
        Admin = "admin",
        /// An admin who cannot be removed by admins. There is always one.
        Owner = "owner",
    }
}

impl Role {
    /// Whether this role holds the scope.
    #[must_use]
    pub fn holds(self, scope: Scope) -> bool {
        self >= scope.least_role()
    }

    /// Whether somebody of this role may give or take the other role: owners any, admins those below them.
    #[must_use]
    pub fn may_grant(self, other: Self) -> bool {
        self == Self::Owner || (self == Self::Admin && other < Self::Admin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_role_holds_all_that_a_lower_one_does() {
        for scope in Scope::ALL.iter().copied() {
            let holders: Vec<Role> = Role::ALL.iter().copied().filter(|role| role.holds(scope)).collect();
            assert!(holders.contains(&Role::Owner), "{scope}");
            assert!(holders.windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!(holders.len(), Role::ALL.iter().filter(|role| **role >= holders[0]).count(), "{scope}");
        }
        assert!(!Role::Viewer.holds(Scope::AgentsWrite) && Role::Member.holds(Scope::AgentsWrite));
        assert!(!Role::Member.holds(Scope::AuditRead) && Role::Admin.holds(Scope::AuditRead));
    }

    #[test]
    fn nobody_raises_anybody_above_himself() {
        assert!(Role::Owner.may_grant(Role::Owner) && Role::Admin.may_grant(Role::Member));
        assert!(!Role::Admin.may_grant(Role::Admin) && !Role::Member.may_grant(Role::Viewer));
    }
}
