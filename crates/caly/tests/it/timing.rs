//! Does the time of an answer tell whether an address has an account? A measurement, not run with the others:
//! `cargo nextest run -p caly --run-ignored only -E 'test(timing)' --no-capture`.

use crate::account::{NO_LIMITS, PASSWORD, Person, tell};
use crate::place::Place;
use crate::program::Server;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Requests of each kind, in turn.
const ROUNDS: usize = 500;
/// Accounts that are there: few enough failures for each that nobody has to wait.
const ACCOUNTS: usize = 125;

fn median(times_ms: &[f64]) -> f64 {
    let mut sorted = times_ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Two-sided p of the rank test of Mann and Whitney, by its normal approximation.
fn rank_test_p(known_ms: &[f64], unknown_ms: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> =
        known_ms.iter().map(|t| (*t, true)).chain(unknown_ms.iter().map(|t| (*t, false))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rank_sum: f64 =
        all.iter().enumerate().filter(|(_, (_, known))| *known).map(|(rank, _)| rank as f64 + 1.0).sum();
    let (n, m) = (known_ms.len() as f64, unknown_ms.len() as f64);
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let z = (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt();
    // Complementary error function by Abramowitz and Stegun 7.1.26.
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let poly =
        ((((1.061_405_429 * t - 1.453_152_027) * t + 1.421_413_741) * t - 0.284_496_736) * t + 0.254_829_592) * t;
    poly * (-x * x).exp()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of some minutes"]
async fn the_time_of_an_answer_tells_nothing() {
    let place = Place::sqlite();
    let server = Server::start(&place, &[NO_LIMITS, ("LOG_LEVEL", "warn")]).await;
    let mut accounts = Vec::new();
    for n in 0..ACCOUNTS {
        accounts.push(Person::sign_up(&server, &place, &format!("asha{n}")).await.email);
    }
    type Body = fn(&str, usize) -> Value;
    let kinds: [(&str, Body); 5] = [
        ("/api/auth/login", |email, _| json!({ "email": email, "password": "not the password at all" })),
        (
            "/api/auth/register",
            |email, n| json!({ "organisation_name": "Clinic", "name": format!("n{n}"), "email": email, "password": PASSWORD }),
        ),
        ("/api/auth/forgot-password", |email, _| json!({ "email": email })),
        ("/api/auth/resend-otp", |email, _| json!({ "email": email })),
        ("/api/auth/verify-email", |email, _| json!({ "email": email, "code": "000000" })),
    ];
    for (kind, (path, body)) in kinds.into_iter().enumerate() {
        let (mut known_ms, mut unknown_ms, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..ROUNDS {
            let unknown = format!("nobody{kind}x{}@clinic.example.org", n % ACCOUNTS);
            // Which of the two is first changes with every round.
            let first_known = n % 2 == 0;
            for known in [first_known, !first_known] {
                let email = if known { accounts[n % ACCOUNTS].as_str() } else { unknown.as_str() };
                let began = Instant::now();
                let mut answer = tell(&server, path, body(email, n)).await;
                let took_ms = began.elapsed().as_secs_f64() * 1_000.0;
                if known {
                    known_ms.push(took_ms)
                } else {
                    unknown_ms.push(took_ms)
                }
                if let Some(fields) = answer.body.as_object_mut() {
                    fields.remove("request_id");
                }
                answers.push((answer.status, answer.body.to_string()));
            }
        }
        answers.sort();
        answers.dedup();
        let (known, unknown) = (median(&known_ms), median(&unknown_ms));
        println!(
            "{path:<28} known {known:.2} ms, unknown {unknown:.2} ms, difference {:.2} ms, p {:.3}, answers {answers:?}",
            known - unknown,
            rank_test_p(&known_ms, &unknown_ms),
        );
        assert_eq!(answers.len(), 1, "{path}: {answers:?}");
    }
    server.stop().await;
}
