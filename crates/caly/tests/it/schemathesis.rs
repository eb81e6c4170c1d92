//! The server against its own description, by a tester that knows nothing else: no server error, no answer that is not
//! described, no credentials ignored, nothing of others reached.

use crate::account::{NO_LIMITS, Person};
use crate::place::{Place, variable};
use crate::program::Server;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Examples per operation and phase: some thousands of requests in all, about a minute.
const EXAMPLES: &str = "12";
/// The same examples every time: a failure can be repeated.
const SEED: &str = "1";
/// It has said everything by then.
const DONE_WITHIN: Duration = Duration::from_secs(280);
/// These end the session that everything else is asked with, or take away its right to ask.
const LEFT_OUT: &str = "^/api/auth/(logout|logout-all|change-password|second-factor.*|sessions/.*)$|^/api/members/";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_what_its_description_says() {
    if variable("CALY_TEST_SCHEMATHESIS").as_deref() == Some("skip") {
        return;
    }
    let place = Place::sqlite();
    let server = Server::start(&place, &[NO_LIMITS, ("LOG_LEVEL", "warn")]).await;
    let asha = Person::sign_up(&server, &place, "asha").await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/with-schemathesis");
    let run = Command::new(script)
        .arg("run")
        .arg(format!("{}/openapi.json", server.url))
        .args(["--header", &format!("Authorization: Bearer {}", asha.access)])
        // A schema cannot say that a flow must be readable or that an id must name something that exists.
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--max-examples", EXAMPLES, "--seed", SEED, "--workers", "2", "--request-timeout", "20"])
        .args(["--suppress-health-check", "all", "--warnings", "off", "--no-color"])
        .args(["--exclude-path-regex", LEFT_OUT])
        .current_dir(place.path(""))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let run = tokio::time::timeout(DONE_WITHIN, run).await.expect("it ends").expect("it runs");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    server.stop().await;
}
