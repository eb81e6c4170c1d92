//! `kill -9`, again and again, under calls, recordings and webhooks: nothing that was acknowledged is lost, nothing is
//! done twice, and everything is put right soon after the last start. By hand: `make chaos`.
//!
//! A round is drawn from a seed: `CALY_CHAOS_SEED`, with `CALY_CHAOS_KILLS` kills. The seed fixes what is tried, not the
//! order in which two processes get the processor: the same seed aims at the same moments and may hit others.

#[expect(dead_code, reason = "shared with the other tests of the binary, which need more of it")]
#[path = "../it/place.rs"]
mod place;
#[expect(dead_code, reason = "shared with the other tests of the binary, which need more of it")]
#[path = "../it/post.rs"]
mod post;
#[expect(dead_code, reason = "shared with the other tests of the binary, which need more of it")]
#[path = "../it/program.rs"]
mod program;
#[expect(dead_code, reason = "shared with the other tests of the binary, which need more of it")]
#[path = "../it/world.rs"]
mod world;

mod carrier;
mod dice;
mod figures;
mod killer;
mod ledger;
mod node;
mod round;
mod scene;
mod trouble;
mod verdict;

use place::both_databases;
use round::Round;

both_databases! {
    async fn nothing_is_lost_by_kill_9(place) {
        let round = Round::told();
        round.play(place).await;
    }

    async fn carriers_never_wait_for_the_bucket(place) {
        trouble::play(place).await;
    }
}
