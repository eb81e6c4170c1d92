//! Typed ids. UUID version 7, made at the edges; the type says what it names.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}({})", stringify!($name), self.0) }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> { Uuid::try_parse(text).map(Self) }
        }
        impl From<Uuid> for $name { fn from(id: Uuid) -> Self { Self(id) } }
        impl From<$name> for Uuid { fn from(id: $name) -> Self { id.0 } }
    )*};
}

ids! {
    /// An organisation is the tenant: everything it owns carries this id.
    OrganisationId,
    /// An agent: how calls to its numbers are answered.
    AgentId,
    /// A phone number connected to an agent.
    PhoneNumberId,
    /// One phone call.
    CallId,
    /// One turn of a call: what one side said.
    TurnId,
    /// The recording of a call.
    RecordingId,
    /// Work for later.
    JobId,
    /// A person.
    UserId,
    /// A login and everything that follows from it.
    SessionId,
    /// Somebody was asked to join an organisation.
    InvitationId,
    /// A key that lets a program in.
    ApiKeyId,
    /// A key of ours at a provider.
    ProviderKeyId,
    /// An account of a tenant's at a carrier.
    CarrierAccountId,
    /// An address of a tenant's that events are sent to.
    WebhookEndpointId,
    /// One event on its way to one address.
    DeliveryId,
    /// A document of a tenant's that agents look things up in.
    DocumentId,
}

/// The tenant is the organisation; the alias says which of the two the reader should think of.
pub type TenantId = OrganisationId;
