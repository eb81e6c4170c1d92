//! Decisions as HTTP response fields.
//!
//! Two sets say the same to different clients:
//!
//! - `RateLimit-Policy: "login";q=6;w=900` and `RateLimit: "login";r=5;t=150`, structured fields after
//!   draft-ietf-httpapi-ratelimit-headers-11: quota, window, what is left, and for how many seconds no more than that is
//!   to be had. One item per policy.
//! - `X-RateLimit-Limit`, `-Remaining` and `-Reset`, in no standard but widely read: of the strictest policy only.
//!   `-Reset` is seconds from now (not a date) until the full quota is back.
//!
//! `Retry-After`, in seconds, goes with refused requests only. Under the draft it must not be before the end of `t`; here
//! both are the moment of the next allowed use. All seconds are rounded up, so that nobody comes too early.

use std::cmp::Reverse;
use std::time::Duration;

use crate::gcra::Decision;
use crate::policy::Policy;

/// A response field: its name in lower case, its value in visible ASCII.
pub type Field = (&'static str, String);

/// The fields for a request that these policies were applied to. None for none.
#[must_use]
pub fn fields(applied: &[(&Policy, Decision)]) -> Vec<Field> {
    let Some((policy, decision)) = applied.iter().min_by_key(|(_, decision)| leniency(decision)) else {
        return Vec::new();
    };
    let mut fields = vec![
        (
            "ratelimit-policy",
            list(applied, |(policy, _)| format!(";q={};w={}", policy.quota(), policy.window().as_secs())),
        ),
        (
            "ratelimit",
            list(applied, |(policy, decision)| {
                format!(";r={};t={}", decision.remaining, seconds(decision.next_unit(policy)))
            }),
        ),
        ("x-ratelimit-limit", decision.limit.to_string()),
        ("x-ratelimit-remaining", decision.remaining.to_string()),
        // Where the quota does not divide the window, the count is some microseconds longer than it.
        ("x-ratelimit-reset", seconds(decision.reset.min(policy.window())).to_string()),
    ];
    if !decision.allowed {
        fields.push(("retry-after", seconds(decision.retry_after).max(1).to_string()));
    }
    fields
}

/// Least first: what refuses, and of that what refuses for longest; then what has least left, and that for longest.
fn leniency(decision: &Decision) -> (bool, Reverse<Duration>, u32, Reverse<Duration>) {
    (decision.allowed, Reverse(decision.retry_after), decision.remaining, Reverse(decision.reset))
}

/// Policies' names are lower-case letters and underscores: nothing to escape in a structured string.
fn list(applied: &[(&Policy, Decision)], parameters: impl Fn(&(&Policy, Decision)) -> String) -> String {
    let items: Vec<String> = applied.iter().map(|each| format!("\"{}\"{}", each.0.name(), parameters(each))).collect();
    items.join(", ")
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{LocalLimiter, Policies};

    fn value<'a>(fields: &'a [Field], name: &str) -> Option<&'a str> {
        fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str())
    }

    #[test]
    fn a_first_use_and_a_refused_one() {
        let login = Policies::default().login;
        let limiter = LocalLimiter::new();
        let now = Instant::now();
        let first = fields(&[(&login, limiter.check(&login, "a", now))]);
        assert_eq!(
            first,
            [
                ("ratelimit-policy", r#""login";q=6;w=900"#.to_owned()),
                ("ratelimit", r#""login";r=5;t=150"#.to_owned()),
                ("x-ratelimit-limit", "6".to_owned()),
                ("x-ratelimit-remaining", "5".to_owned()),
                ("x-ratelimit-reset", "150".to_owned()),
            ]
        );
        for _ in 0..5 {
            limiter.check(&login, "a", now);
        }
        let later = now + Duration::from_micros(500);
        let refused = fields(&[(&login, limiter.check(&login, "a", later))]);
        assert_eq!(
            refused,
            [
                ("ratelimit-policy", r#""login";q=6;w=900"#.to_owned()),
                ("ratelimit", r#""login";r=0;t=150"#.to_owned()),
                ("x-ratelimit-limit", "6".to_owned()),
                ("x-ratelimit-remaining", "0".to_owned()),
                ("x-ratelimit-reset", "900".to_owned()),
                ("retry-after", "150".to_owned()),
            ]
        );
    }

    #[test]
    fn nobody_is_told_to_come_too_early() {
        let policies = Policies::default();
        for policy in policies.all() {
            for wait_us in [0, 1, 999, 1_000_000, 59_999_999] {
                let limiter = LocalLimiter::new();
                let start = Instant::now();
                while limiter.check(policy, "a", start).allowed {}
                let now = start + Duration::from_micros(wait_us);
                while limiter.check(policy, "a", now).allowed {}
                let refused = fields(&[(policy, limiter.check(policy, "a", now))]);
                let retry_s: u64 = value(&refused, "retry-after").expect("refused").parse().unwrap();
                assert!(retry_s >= 1);
                assert!(limiter.check(policy, "a", now + Duration::from_secs(retry_s)).allowed, "{policy:?} {wait_us}");
                assert!(value(&refused, "ratelimit").unwrap().ends_with(&format!(";r=0;t={retry_s}")));
            }
        }
    }

    #[test]
    fn reset_is_never_longer_than_the_window() {
        let policy = Policy::new("uneven", 7, Duration::from_secs(900)).unwrap();
        let limiter = LocalLimiter::new();
        let now = Instant::now();
        let all: Vec<_> = (0..8).map(|_| fields(&[(&policy, limiter.check(&policy, "a", now))])).collect();
        assert_eq!(value(&all[6], "x-ratelimit-reset"), Some("900"));
        assert_eq!(value(&all[7], "x-ratelimit-reset"), Some("900"));
    }

    #[test]
    fn of_several_all_are_listed_and_the_strictest_stands_out() {
        let policies = Policies::default();
        let (login, client, organisation) = (&policies.login, &policies.unauthenticated, &policies.organisation);
        let yes = |limit, remaining, reset_s| Decision {
            allowed: true,
            limit,
            remaining,
            reset: Duration::from_secs(reset_s),
            retry_after: Duration::ZERO,
        };
        let no = |limit, retry_s| Decision {
            allowed: false,
            limit,
            remaining: 0,
            reset: Duration::from_secs(900),
            retry_after: Duration::from_secs(retry_s),
        };
        for (name, applied, limit, remaining, retry_after) in [
            ("least left", vec![(client, yes(100, 4, 864)), (login, yes(6, 5, 150))], "100", "4", None),
            ("order is no matter", vec![(login, yes(6, 5, 150)), (client, yes(100, 4, 864))], "100", "4", None),
            (
                "a refusal before an empty quota",
                vec![(login, yes(6, 0, 900)), (client, no(100, 9))],
                "100",
                "0",
                Some("9"),
            ),
            ("the longest refusal", vec![(client, no(100, 9)), (login, no(6, 150))], "6", "0", Some("150")),
            (
                "equally left: the slowest",
                vec![(organisation, yes(600, 5, 60)), (login, yes(6, 5, 150))],
                "6",
                "5",
                None,
            ),
        ] {
            let found = fields(&applied);
            assert_eq!(value(&found, "x-ratelimit-limit"), Some(limit), "{name}");
            assert_eq!(value(&found, "x-ratelimit-remaining"), Some(remaining), "{name}");
            assert_eq!(value(&found, "retry-after"), retry_after, "{name}");
            for field in ["ratelimit", "ratelimit-policy"] {
                assert_eq!(value(&found, field).unwrap().split(", ").count(), applied.len(), "{name}");
            }
        }
        let both = fields(&[(client, yes(100, 99, 9)), (login, yes(6, 4, 300))]);
        assert_eq!(value(&both, "ratelimit-policy"), Some(r#""unauthenticated";q=100;w=900, "login";q=6;w=900"#));
        assert_eq!(value(&both, "ratelimit"), Some(r#""unauthenticated";r=99;t=9, "login";r=4;t=150"#));
        assert_eq!(fields(&[]), []);
    }
}
