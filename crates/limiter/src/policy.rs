//! What may be done how often: the closed list.

use std::time::Duration;

/// Largest quota: one use per microsecond, the smallest step of the count, in the shortest window.
pub const QUOTA_MAX: u32 = 1_000_000;

/// Longest window. Far below it the numbers stay exact in the script's floating point (2^53 microseconds).
pub const WINDOW_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// How many policies there are.
pub const POLICIES: usize = 9;

/// The names of the policies, as they appear in settings, response fields and Redis keys.
pub const NAMES: [&str; POLICIES] = [
    "login",
    "register",
    "email_verification",
    "code_resend",
    "password_reset",
    "unauthenticated",
    "webhooks",
    "uploads",
    "organisation",
];

/// A quota that cannot be kept, or of a thing that is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No use at all: whoever wants that turns the feature off.
    #[error("a quota is from 1 to {QUOTA_MAX}")]
    Quota,
    /// Zero, longer than [`WINDOW_MAX`], or not whole seconds, which is all that the response fields can say.
    #[error("a window is whole seconds, from 1 to {}", WINDOW_MAX.as_secs())]
    Window,
    /// Not in [`NAMES`].
    #[error("no such limit; there are: {}", NAMES.join(", "))]
    Name,
}

/// So many uses per window and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    name: &'static str,
    quota: u32,
    window: Duration,
}

impl Policy {
    /// A policy. The name stands in response fields and Redis keys: lower-case letters and underscores.
    ///
    /// # Errors
    ///
    /// A quota of zero or more than [`QUOTA_MAX`]; a window that is not one to [`WINDOW_MAX`] whole seconds.
    pub const fn new(name: &'static str, quota: u32, window: Duration) -> Result<Self, PolicyError> {
        if quota == 0 || quota > QUOTA_MAX {
            return Err(PolicyError::Quota);
        }
        if window.as_secs() == 0 || window.subsec_nanos() != 0 || window.as_secs() > WINDOW_MAX.as_secs() {
            return Err(PolicyError::Window);
        }
        Ok(Self { name, quota, window })
    }

    /// What is limited.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How many uses a full quota has, one or more.
    #[must_use]
    pub const fn quota(&self) -> u32 {
        self.quota
    }

    /// How long a used-up quota takes to be full again, whole seconds.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }
}

const fn known(name: &'static str, quota: u32, window_s: u64) -> Policy {
    match Policy::new(name, quota, Duration::from_secs(window_s)) {
        Ok(policy) => policy,
        Err(_) => panic!("a default out of bounds does not compile"),
    }
}

/// Every policy. Each says what its key is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// Signing in: e-mail address and client.
    pub login: Policy,
    /// Making an account: client.
    pub register: Policy,
    /// Entering the code that proves an e-mail address: the address.
    pub email_verification: Policy,
    /// Having that code sent again: the address.
    pub code_resend: Policy,
    /// Asking for and using a password-reset link: e-mail address and client.
    pub password_reset: Policy,
    /// Any request by nobody in particular: client.
    pub unauthenticated: Policy,
    /// Carriers' and vendors' webhooks: client.
    pub webhooks: Policy,
    /// Files sent to us: user.
    pub uploads: Policy,
    /// Any request of somebody known: organisation.
    pub organisation: Policy,
}

impl Default for Policies {
    fn default() -> Self {
        const { assert!(NAMES.len() == POLICIES) };
        Self {
            login: const { known(NAMES[0], 6, 15 * 60) },
            register: const { known(NAMES[1], 5, 15 * 60) },
            email_verification: const { known(NAMES[2], 5, 5 * 60) },
            code_resend: const { known(NAMES[3], 3, 2 * 60) },
            password_reset: const { known(NAMES[4], 5, 15 * 60) },
            unauthenticated: const { known(NAMES[5], 100, 15 * 60) },
            webhooks: const { known(NAMES[6], 1000, 60) },
            uploads: const { known(NAMES[7], 10, 60 * 60) },
            organisation: const { known(NAMES[8], 600, 60) },
        }
    }
}

impl Policies {
    /// All of them, in the order of [`NAMES`].
    #[must_use]
    pub const fn all(&self) -> [&Policy; POLICIES] {
        [
            &self.login,
            &self.register,
            &self.email_verification,
            &self.code_resend,
            &self.password_reset,
            &self.unauthenticated,
            &self.webhooks,
            &self.uploads,
            &self.organisation,
        ]
    }

    /// Changes one, as settings do.
    ///
    /// # Errors
    ///
    /// A name that is not in [`NAMES`], and what [`Policy::new`] refuses; nothing is changed then.
    pub fn set(&mut self, name: &str, quota: u32, window: Duration) -> Result<(), PolicyError> {
        let all = [
            &mut self.login,
            &mut self.register,
            &mut self.email_verification,
            &mut self.code_resend,
            &mut self.password_reset,
            &mut self.unauthenticated,
            &mut self.webhooks,
            &mut self.uploads,
            &mut self.organisation,
        ];
        let policy = all.into_iter().find(|policy| policy.name == name).ok_or(PolicyError::Name)?;
        *policy = Policy::new(policy.name, quota, window)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_promised_ones() {
        let promised = [
            ("login", 6, 900),
            ("register", 5, 900),
            ("email_verification", 5, 300),
            ("code_resend", 3, 120),
            ("password_reset", 5, 900),
            ("unauthenticated", 100, 900),
            ("webhooks", 1000, 60),
            ("uploads", 10, 3600),
            ("organisation", 600, 60),
        ];
        let policies = Policies::default();
        let found = policies.all().map(|policy| (policy.name(), policy.quota(), policy.window().as_secs()));
        assert_eq!(found, promised);
        assert_eq!(policies.all().map(Policy::name), NAMES);
    }

    #[test]
    fn impossible_policies_are_refused() {
        let second = Duration::from_secs(1);
        for (quota, window, expected) in [
            (0, second, Err(PolicyError::Quota)),
            (1, Duration::ZERO, Err(PolicyError::Window)),
            (1, Duration::from_millis(1500), Err(PolicyError::Window)),
            (1, Duration::from_millis(999), Err(PolicyError::Window)),
            (1, WINDOW_MAX + second, Err(PolicyError::Window)),
            (QUOTA_MAX + 1, second, Err(PolicyError::Quota)),
            (QUOTA_MAX, second, Ok(())),
            (1, WINDOW_MAX, Ok(())),
        ] {
            assert_eq!(Policy::new("login", quota, window).map(|_| ()), expected, "{quota} in {window:?}");
        }
    }

    #[test]
    fn each_policy_can_be_set_and_only_it_changes() {
        for name in NAMES {
            let mut policies = Policies::default();
            policies.set(name, 77, Duration::from_secs(7)).unwrap();
            for (before, after) in Policies::default().all().into_iter().zip(policies.all()) {
                if after.name() == name {
                    assert_eq!(*after, Policy::new(name, 77, Duration::from_secs(7)).unwrap());
                } else {
                    assert_eq!(before, after);
                }
            }
        }
    }

    #[test]
    fn a_setting_that_is_refused_changes_nothing() {
        let mut policies = Policies::default();
        assert_eq!(policies.set("logins", 1, Duration::from_secs(1)), Err(PolicyError::Name));
        assert_eq!(policies.set("login", 0, Duration::from_secs(1)), Err(PolicyError::Quota));
        assert_eq!(policies.set("login", 1, Duration::ZERO), Err(PolicyError::Window));
        assert_eq!(policies, Policies::default());
        assert!(PolicyError::Name.to_string().contains("code_resend"));
    }
}
