//! One round: kills under load, the last start, everything put right, the verdict.

use crate::carrier::{self, LINES, line};
use crate::dice::Dice;
use crate::figures::Figures;
use crate::killer::{self, Aim};
use crate::node::{Node, last_words};
use crate::place::{Place, variable};
use crate::scene::Scene;
use crate::verdict;
use std::time::Duration;
use tokio::time::Instant;

/// Kills when nothing is said: for every run of the tests.
const KILLS: u32 = 6;
/// Everything is put right within this time of the last start.
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// Between two looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Progress is told this often.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Problems shown.
const SHOWN_MAX: usize = 40;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) seed: u64,
    pub(crate) kills: u32,
}

impl Round {
    /// What the environment asks for.
    pub(crate) fn told() -> Self {
        let number =
            |name: &str| variable(name).map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name}: {text}")));
        let kills = number("CALY_CHAOS_KILLS").map_or(KILLS, |kills| u32::try_from(kills).expect("CALY_CHAOS_KILLS"));
        Self { seed: number("CALY_CHAOS_SEED").unwrap_or(1), kills }
    }

    /// Plays it.
    ///
    /// # Panics
    /// With everything that is wrong at its end.
    pub(crate) async fn play(self, place: &Place) {
        let scene = Box::pin(Scene::new(place)).await;
        let mut figures = Figures::new(self, place);
        let mut dice = Dice::new(self.seed);
        let lines = all_lines(&scene, dice.split());
        let killing = async {
            let last = self.kill_again_and_again(&scene, dice, &mut figures).await;
            scene.close();
            last
        };
        let problems = match tokio::join!(lines, killing) {
            ((), Ok((last, started))) => Box::pin(judge(&scene, &mut figures, last, started)).await,
            ((), Err(problem)) => vec![problem],
        };
        tell(&scene, &mut figures, problems);
    }

    /// The server of the last start, and when that was.
    async fn kill_again_and_again(
        self,
        scene: &Scene<'_>,
        mut dice: Dice,
        figures: &mut Figures,
    ) -> Result<(Node, Instant), String> {
        let settings = scene.settings();
        let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut told = Instant::now();
        for kill in 1..=self.kills {
            let mut node = Node::spawn(scene.place, &settings);
            let aim = Aim::draw(&mut dice);
            let named = |problem: String| format!("before kill {kill} of seed {}: {problem}", self.seed);
            if aim != Aim::Starting {
                figures.started(node.up(&scene.http, &scene.url()).await.map_err(named)?);
            }
            killer::wait(aim, scene, &mut dice).await;
            node.kill().await.map_err(named)?;
            scene.killed();
            figures.aimed(aim);
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                figures.tell(scene);
            }
        }
        let started = Instant::now();
        let mut node = Node::spawn(scene.place, &settings);
        figures.started(node.up(&scene.http, &scene.url()).await?);
        Ok((node, started))
    }
}

/// Calls on all lines until the scene closes.
pub(crate) async fn all_lines(scene: &Scene<'_>, mut dice: Dice) {
    let lines: Vec<_> = (0..LINES).map(|_| line(scene, dice.split())).collect();
    futures_util::future::join_all(lines).await;
}

/// Everything that is wrong once everything should be right.
pub(crate) async fn judge(scene: &Scene<'_>, figures: &mut Figures, last: Node, started: Instant) -> Vec<String> {
    carrier::report_unanswered(scene, &verdict::unknown_to_the_carrier(scene).await).await;
    figures.settled = settle(scene, started).await;
    let mut problems = Box::pin(verdict::find(scene, figures)).await;
    if let Err(problem) = last.stop().await {
        problems.push(format!("the last server: {problem}"));
    }
    problems.extend(verdict::of_the_audit_log(scene).await);
    problems
}

/// Shows the figures.
///
/// # Panics
/// With the problems, if there are any.
pub(crate) fn tell(scene: &Scene<'_>, figures: &mut Figures, mut problems: Vec<String>) {
    figures.count(scene);
    figures.show();
    let said_last = last_words(scene.place);
    if problems.is_empty() {
        return;
    }
    let all = problems.len();
    problems.truncate(SHOWN_MAX);
    panic!(
        "seed {}, {} kills, {}: {all} problems\n{}\n--- what the server said last\n{}\n---",
        figures.round.seed,
        scene.kills(),
        figures.database,
        problems.join("\n"),
        said_last
    );
}

/// Waits until nothing is left to do, or the time is over: how long that took, by what.
async fn settle(scene: &Scene<'_>, started: Instant) -> Vec<(&'static str, Option<Duration>)> {
    let mut settled: Vec<(&'static str, Option<Duration>)> =
        verdict::UNSETTLED.iter().map(|(what, _)| (*what, None)).collect();
    settled.push(("spool files", None));
    loop {
        for ((_, at), (_, count)) in settled.iter_mut().zip(verdict::UNSETTLED) {
            let left = scene.place.number(count).await;
            *at = (left == 0).then(|| at.unwrap_or_else(|| started.elapsed()));
        }
        if let Some((_, at)) = settled.last_mut() {
            *at = scene.place.files("spool").is_empty().then(|| at.unwrap_or_else(|| started.elapsed()));
        }
        if settled.iter().all(|(_, at)| at.is_some()) || started.elapsed() > SETTLED_WITHIN {
            return settled;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
