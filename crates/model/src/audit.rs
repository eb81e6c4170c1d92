//! The vocabulary of the audit log.

use crate::words::words;

words! {
    /// How much attention an event wants.
    Severity {
        /// The ordinary course.
        Info = "info",
        /// Worth a look.
        Warning = "warning",
        /// Somebody should look now.
        Critical = "critical",
    }
}

words! {
    /// What was done: every kind of event there is.
    AuditKind {
        /// An organisation and its owner signed up.
        UserRegistered = "user.registered",
        /// Somebody proved that the e-mail address is theirs.
        EmailVerified = "user.email_verified",
        /// Somebody logged in.
        LoginSucceeded = "login.succeeded",
        /// Somebody tried and failed.
        LoginFailed = "login.failed",
        /// Somebody logged out.
        LoggedOut = "session.logged_out",
        /// A session was ended by its user or an operator.
        SessionEnded = "session.ended",
        /// All sessions of a user were ended.
        AllSessionsEnded = "session.all_ended",
        /// A refresh token that had been used before came back: its session was ended.
        TokenReused = "session.token_reused",
        /// A password was changed by its user.
        PasswordChanged = "password.changed",
        /// A reset was asked for.
        PasswordResetRequested = "password.reset_requested",
        /// A password was reset by mail.
        PasswordReset = "password.reset",
        /// A second factor was switched on.
        SecondFactorEnabled = "second_factor.enabled",
        /// A second factor was switched off.
        SecondFactorDisabled = "second_factor.disabled",
        /// New recovery codes were made.
        RecoveryCodesRenewed = "second_factor.recovery_codes_renewed",
        /// A recovery code was used to log in.
        RecoveryCodeUsed = "second_factor.recovery_code_used",
        /// Somebody was invited.
        InvitationCreated = "invitation.created",
        /// An invitation was taken back.
        InvitationRevoked = "invitation.revoked",
        /// Somebody joined.
        InvitationAccepted = "invitation.accepted",
        /// A member has another role.
        RoleChanged = "member.role_changed",
        /// A member was removed.
        MemberRemoved = "member.removed",
        /// An API key was made.
        ApiKeyCreated = "api_key.created",
        /// An API key was revoked.
        ApiKeyRevoked = "api_key.revoked",
        /// A key at a provider was kept.
        ProviderKeyCreated = "provider_key.created",
        /// A key at a provider was replaced.
        ProviderKeyUpdated = "provider_key.updated",
        /// A key at a provider was deleted.
        ProviderKeyDeleted = "provider_key.deleted",
        /// The keys at rest were wrapped anew.
        KeysRotated = "keys.rotated",
        /// The organisation's settings changed.
        SettingsChanged = "settings.changed",
        /// An agent was made.
        AgentCreated = "agent.created",
        /// An agent was changed.
        AgentUpdated = "agent.updated",
        /// An agent was deleted.
        AgentDeleted = "agent.deleted",
        /// A number was connected.
        PhoneNumberCreated = "phone_number.created",
        /// A number has another agent or address.
        PhoneNumberUpdated = "phone_number.updated",
        /// A number was disconnected.
        PhoneNumberDeleted = "phone_number.deleted",
        /// Credentials at a carrier were kept.
        CarrierAccountCreated = "carrier_account.created",
        /// Credentials or settings at a carrier were changed.
        CarrierAccountUpdated = "carrier_account.updated",
        /// Credentials at a carrier were deleted.
        CarrierAccountDeleted = "carrier_account.deleted",
        /// Somebody asked for a call to be placed.
        CallPlaced = "call.placed",
        /// A call that was not placed yet was taken back, or a live one ended, by the tenant's people.
        CallCanceled = "call.canceled",
        /// A carrier announced a call.
        CallAnnounced = "call.announced",
        /// A call's media began.
        CallStarted = "call.started",
        /// A call ended.
        CallEnded = "call.ended",
        /// A carrier reported of a call: a status, its end, a recording.
        CallReported = "call.reported",
        /// Somebody asked for a call to be analysed again.
        CallAnalysisAsked = "call.analysis_asked",
        /// Somebody read a transcript or other data of callers.
        DataAccessed = "data.accessed",
        /// Somebody took data out.
        DataExported = "data.exported",
        /// Old data was deleted by the retention rule.
        DataPurged = "data.purged",
        /// A link was made by which a recording can be heard for some minutes.
        RecordingLinkCreated = "recording.link_created",
        /// A job that was given up is tried again.
        JobRetried = "job.retried",
        /// A job that was given up is taken off the list.
        JobDiscarded = "job.discarded",
        /// Somebody heard a recording.
        RecordingAccessed = "recording.accessed",
        /// An address for events was added.
        WebhookEndpointCreated = "webhook_endpoint.created",
        /// An address for events was changed.
        WebhookEndpointUpdated = "webhook_endpoint.updated",
        /// An address for events was removed.
        WebhookEndpointDeleted = "webhook_endpoint.deleted",
        /// Events to an address are signed with a new secret.
        WebhookSecretRotated = "webhook_endpoint.secret_rotated",
        /// A test event was sent.
        WebhookEndpointTested = "webhook_endpoint.tested",
        /// Caly sends no more events to an address, which failed for days or asked for it.
        WebhookEndpointDisabled = "webhook_endpoint.disabled",
        /// An event is sent again.
        DeliveryReplayed = "delivery.replayed",
        /// A document for agents was added.
        DocumentCreated = "document.created",
        /// A document for agents was replaced.
        DocumentUpdated = "document.updated",
        /// A document for agents was deleted.
        DocumentDeleted = "document.deleted",
        /// A document for agents is indexed anew.
        DocumentReindexed = "document.reindexed",
        /// Somebody tried what his role or key does not allow.
        AccessDenied = "access.denied",
        /// Somebody asked too often.
        RateLimited = "request.rate_limited",
        /// A request looked like an attack; it was not blocked.
        SecurityViolation = "security.violation",
        /// A webhook was not authentic.
        WebhookRejected = "webhook.rejected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_are_distinct_and_enough() {
        let words: BTreeSet<&str> = AuditKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), AuditKind::ALL.len());
        assert!(words.len() >= 20);
        assert!(AuditKind::ALL.iter().all(|kind| kind.as_str().parse() == Ok(*kind)));
    }
}
