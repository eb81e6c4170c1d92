//! The database's schema, up and down through the program.

use crate::place::{Place, both_databases};
use crate::post::announce;
use crate::program::{Server, run};
use crate::world::{World, colours};

/// The states that `migrate status` shows.
async fn states(place: &Place) -> Vec<String> {
    let status = run(place, &["migrate", "status"], &[]).await;
    let lines = status.succeeded().stdout.lines();
    lines.filter_map(|line| line.split_whitespace().nth(1).map(str::to_owned)).collect()
}

both_databases! {
    async fn up_and_down_and_up_again(place) {
        let steps = states(place).await;
        assert!(!steps.is_empty() && steps.iter().all(|state| state == "pending"), "{steps:?}");
        let up = run(place, &["migrate", "up"], &[]).await;
        assert_eq!(up.succeeded().stdout.trim(), format!("{} migrations applied", steps.len()));
        assert!(states(place).await.iter().all(|state| state == "applied"));
        let again = run(place, &["migrate", "up"], &[]).await;
        assert_eq!(again.succeeded().stdout.trim(), "0 migrations applied");
        let down = run(place, &["migrate", "down", "--to", "0"], &[]).await;
        assert_eq!(down.succeeded().stdout.trim(), format!("{} migrations taken back", steps.len()));
        assert_eq!(states(place).await, steps);
        run(place, &["migrate", "down", "--to", "4711"], &[]).await.complained(&["4711"]);
        run(place, &["migrate", "up"], &[]).await.succeeded();
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        announce(&server, "call-1").await;
        server.stop().await;
    }

    async fn serve_brings_an_empty_database_up_to_date(place) {
        let server = Server::start(place, &[]).await;
        assert!(states(place).await.iter().all(|state| state == "applied"));
        server.stop().await;
    }

    async fn a_schema_from_the_future_is_refused(place) {
        run(place, &["migrate", "up"], &[]).await.succeeded();
        place.run(
            "insert into schema_migrations (version, name, checksum, applied_at)
             select 9999, '9999_tomorrow', checksum, applied_at from schema_migrations where version = 1",
        )
        .await;
        let refused = run(place, &["serve"], &[]).await;
        refused.complained(&["migration 9999 (9999_tomorrow)", "does not know", "run the newer program"]);
        assert_eq!(states(place).await.last().map(String::as_str), Some("unknown"));
    }

    async fn a_schema_that_was_altered_is_refused(place) {
        run(place, &["migrate", "up"], &[]).await.succeeded();
        place.run("update schema_migrations set checksum = checksum || checksum where version = 1").await;
        run(place, &["serve"], &[]).await.complained(&["migration 1", "another text"]);
        assert_eq!(states(place).await.first().map(String::as_str), Some("altered"));
    }
}
