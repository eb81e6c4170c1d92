//! Language models: faults × positions, over sockets.

use super::{Bench, SLACK, dripping, http, link, named, requests, silent, split};
use crate::vendors::{PATIENCE, key, nobody, until};
use futures_util::future::join_all;
use model::Stage;
use providers::chain::{ANSWER_DEADLINE, ANSWER_IDLE, ChainModel, FIRST_TEXT, Link, Meter};
use providers::language_model::{LanguageModel, Message, Prompt, Thought, ToolSpec};
use providers::openai::{ModelSettings, OpenAiModel};
use providers::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use testkit::vendors::{ChatFault, FakeVendors};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

fn model(name: &'static str, url: &str) -> Link<dyn LanguageModel> {
    let mut settings = ModelSettings::new("m", Some(key("sk-secret")));
    url.clone_into(&mut settings.base_url);
    link(name, Arc::new(OpenAiModel::new(http(), settings)) as Arc<dyn LanguageModel>)
}

fn prompt() -> Prompt {
    Prompt {
        system: "You answer.".into(),
        messages: vec![Message::Caller("Hello?".into())],
        temperature: 0.0,
        tools: Vec::<ToolSpec>::new(),
    }
}

/// The text that came, and how it ended.
async fn read(mut thoughts: mpsc::Receiver<Result<Thought, Error>>) -> (String, Result<(), Error>) {
    let mut text = String::new();
    let reading = async {
        while let Some(thought) = thoughts.recv().await {
            match thought {
                Ok(Thought::Text(piece)) => text.push_str(&piece),
                Ok(Thought::Done) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Protocol, "test", "no end"))
    };
    let end = timeout(PATIENCE, reading).await.expect("an end");
    (text, end)
}

/// What is wrong with one provider before it has said anything.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Refuse,
    Silent,
    Drip,
    Chat(ChatFault),
}

const BEFORE_THE_FIRST_WORD: &[Wrong] = &[
    Wrong::Refuse,
    Wrong::Silent,
    Wrong::Drip,
    Wrong::Chat(ChatFault::Hang),
    Wrong::Chat(ChatFault::StallAfter(0)),
    Wrong::Chat(ChatFault::CutAfter(0)),
    Wrong::Chat(ChatFault::EndAfter(0)),
    Wrong::Chat(ChatFault::ErrorAfter(0)),
    Wrong::Chat(ChatFault::Html),
    Wrong::Chat(ChatFault::Status(400)),
    Wrong::Chat(ChatFault::Status(401)),
    Wrong::Chat(ChatFault::Status(404)),
    Wrong::Chat(ChatFault::Status(429)),
    Wrong::Chat(ChatFault::Status(500)),
    Wrong::Chat(ChatFault::Status(503)),
];

impl Wrong {
    /// It says nothing, so that its time must be waited for.
    fn hangs(self) -> bool {
        matches!(self, Self::Silent | Self::Drip | Self::Chat(ChatFault::Hang | ChatFault::StallAfter(0)))
    }

    /// Where such a provider is.
    async fn url(self, fakes: &FakeVendors) -> String {
        match self {
            Self::Refuse => format!("http://{}/v1", nobody()),
            Self::Silent => format!("http://{}/v1", silent().await),
            Self::Drip => format!("http://{}/v1", dripping("text/event-stream", b": wait\n\n").await),
            Self::Chat(fault) => {
                fakes.break_chat(fault, u32::MAX);
                fakes.openai_url()
            }
        }
    }
}

#[tokio::test]
async fn the_next_one_answers_whatever_is_wrong_with_those_before() {
    let cells = BEFORE_THE_FIRST_WORD.iter().flat_map(|wrong| [(*wrong, 1usize), (*wrong, 2)]);
    join_all(cells.map(|(wrong, bad)| async move {
        let (bench, meter) = (Bench::new(), Meter::new());
        let fakes = [named("a").await, named("b").await, named("c").await];
        let mut links = Vec::new();
        for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
            let url = if n < bad { wrong.url(&fakes[n]).await } else { fakes[n].openai_url() };
            links.push(model(name, &url));
        }
        let (first, others) = split(links);
        let chain = ChainModel::new(first, others, 0, bench.guard(1), meter.clone());
        let begun = Instant::now();
        let (text, end) = read(chain.think(prompt())).await;
        let what = format!("{wrong:?} × {bad}");
        let good = ["a", "b", "c"][bad];
        assert_eq!(text, format!("this is {good}"), "{what}: {end:?}");
        assert!(end.is_ok(), "{what}: {end:?}");
        let promised = if wrong.hangs() { FIRST_TEXT * bad as u32 } else { Duration::ZERO };
        assert!(begun.elapsed() < promised + SLACK, "{what}: {:?}", begun.elapsed());
        let counts = meter.usage().counts;
        assert_eq!(counts.fallbacks_thinking, 1, "{what}");
        for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
            assert_eq!(requests(&meter, Stage::Thinking, name), u64::from(n <= bad), "{what}: {name}");
        }
        // The second answer goes to the good one at once.
        let (text, _) = read(chain.think(prompt())).await;
        assert_eq!(text, format!("this is {good}"), "{what}");
        assert_eq!((requests(&meter, Stage::Thinking, "a"), meter.usage().counts.fallbacks_thinking), (1, 1), "{what}");
        if let Wrong::Chat(ChatFault::Hang | ChatFault::StallAfter(0)) = wrong {
            until("the hanging request is dropped", || fakes[0].stats().chat_aborted == 1).await;
        }
    }))
    .await;
}

#[tokio::test]
async fn when_all_fail_an_error_comes_within_the_deadline() {
    join_all(BEFORE_THE_FIRST_WORD.iter().map(|wrong| async move {
        let (bench, meter) = (Bench::new(), Meter::new());
        let fakes = [named("a").await, named("b").await];
        let (first, others) =
            split(vec![model("a", &wrong.url(&fakes[0]).await), model("b", &wrong.url(&fakes[1]).await)]);
        let chain = ChainModel::new(first, others, 0, bench.guard(1), meter.clone());
        let begun = Instant::now();
        let (text, end) = read(chain.think(prompt())).await;
        assert!(text.is_empty() && end.is_err(), "{wrong:?}: {text}");
        assert!(begun.elapsed() < ANSWER_DEADLINE + SLACK, "{wrong:?}: {:?}", begun.elapsed());
        assert_eq!(meter.usage().counts.fallbacks_thinking, 0, "{wrong:?}: nobody took over");
        let tries = requests(&meter, Stage::Thinking, "a") + requests(&meter, Stage::Thinking, "b");
        assert!((2..=3).contains(&tries), "{wrong:?}: {tries} requests");
    }))
    .await;
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_begun_again() {
    let faults = [
        (ChatFault::StallAfter(2), ANSWER_IDLE),
        (ChatFault::CutAfter(2), Duration::ZERO),
        (ChatFault::EndAfter(2), Duration::ZERO),
        (ChatFault::ErrorAfter(2), Duration::ZERO),
    ];
    join_all(faults.map(|(fault, promised)| async move {
        let (bench, meter) = (Bench::new(), Meter::new());
        let fakes = [named("a").await, named("b").await];
        fakes[0].break_chat(fault, 1);
        let (first, others) = split(vec![model("a", &fakes[0].openai_url()), model("b", &fakes[1].openai_url())]);
        let chain = ChainModel::new(first, others, 0, bench.guard(1), meter.clone());
        let begun = Instant::now();
        let (text, end) = read(chain.think(prompt())).await;
        assert!("this is a".starts_with(&text) && !text.is_empty(), "{fault:?}: {text}");
        assert!(end.is_err(), "{fault:?}");
        assert!(begun.elapsed() < promised + SLACK, "{fault:?}: {:?}", begun.elapsed());
        assert_eq!((requests(&meter, Stage::Thinking, "b"), fakes[1].stats().chat_requests), (0, 0), "{fault:?}");
        // The next one is asked of the other: a call has no time to find out whether it was a hiccup.
        assert_eq!(read(chain.think(prompt())).await.0, "this is b", "{fault:?}");
    }))
    .await;
}

#[tokio::test]
async fn the_only_one_is_tried_again_where_that_may_help() {
    for (fault, times, tries, fine) in [
        (ChatFault::Status(503), 1, 2, true),
        (ChatFault::Status(500), 2, 3, true),
        (ChatFault::Status(500), 9, 3, false),
        (ChatFault::CutAfter(0), 1, 2, true),
        (ChatFault::Status(401), 1, 1, false),
        (ChatFault::Status(400), 1, 1, false),
        (ChatFault::Html, 1, 1, false),
    ] {
        let (bench, meter, fakes) = (Bench::new(), Meter::new(), named("a").await);
        fakes.break_chat(fault, times);
        let chain = ChainModel::new(model("a", &fakes.openai_url()), Vec::new(), 0, bench.guard(1), meter.clone());
        let (text, end) = read(chain.think(prompt())).await;
        assert_eq!((text == "this is a", end.is_ok()), (fine, fine), "{fault:?} × {times}: {end:?}");
        assert_eq!(requests(&meter, Stage::Thinking, "a"), tries, "{fault:?} × {times}");
        let stats = bench.targets.stats();
        assert_eq!(stats.total_retries, tries - 1, "{fault:?} × {times}");
        assert_eq!(stats.successful_retries, u64::from(fine), "{fault:?} × {times}");
    }
}

#[tokio::test]
async fn a_refused_key_stops_one_organisation_at_that_provider_at_once() {
    let (bench, fakes) = (Bench::new(), [named("a").await, named("b").await]);
    let links = || split(vec![model("a", &fakes[0].openai_url()), model("b", &fakes[1].openai_url())]);
    fakes[0].break_chat(ChatFault::Status(401), 1);
    let think = async |n: u128| {
        let (first, others) = links();
        let chain = ChainModel::new(first, others, 0, bench.guard(n), Meter::new());
        read(chain.think(prompt())).await.0
    };
    assert_eq!(think(1).await, "this is b");
    // Another call of the same: the first one is not even asked.
    assert_eq!(think(1).await, "this is b");
    assert_eq!((fakes[0].stats().refused, fakes[0].stats().chat_requests), (1, 0));
    assert_eq!(think(2).await, "this is a", "another organisation has nothing to do with it");
}

#[tokio::test]
async fn failures_of_many_calls_open_the_breaker_and_it_is_one_organisations() {
    let (bench, fakes) = (Bench::new(), [named("a").await, named("b").await]);
    fakes[0].break_chat(ChatFault::Status(500), 5);
    let think = async |n: u128| {
        let (first, others) = split(vec![model("a", &fakes[0].openai_url()), model("b", &fakes[1].openai_url())]);
        let chain = ChainModel::new(first, others, 0, bench.guard(n), Meter::new());
        read(chain.think(prompt())).await.0
    };
    for _ in 0..7 {
        assert_eq!(think(1).await, "this is b");
    }
    assert_eq!(fakes[0].stats().refused, 5, "then it is left alone");
    assert_eq!(think(2).await, "this is a");
}

#[tokio::test]
async fn the_second_is_asked_as_well_and_the_slower_one_dropped() {
    let (bench, meter, fakes) = (Bench::new(), Meter::new(), [named("a").await, named("b").await]);
    fakes[0].break_chat(ChatFault::Hang, 1);
    let (first, others) = split(vec![model("a", &fakes[0].openai_url()), model("b", &fakes[1].openai_url())]);
    let chain = ChainModel::new(first, others, 300, bench.guard(1), meter.clone());
    let begun = Instant::now();
    assert_eq!(read(chain.think(prompt())).await.0, "this is b");
    assert!(begun.elapsed() < Duration::from_millis(300) + SLACK, "{:?}", begun.elapsed());
    until("the slower one is dropped", || fakes[0].stats().chat_aborted == 1).await;
    assert_eq!((requests(&meter, Stage::Thinking, "a"), requests(&meter, Stage::Thinking, "b")), (1, 1));
    assert_eq!(meter.usage().counts.fallbacks_thinking, 1);
    assert!(bench.targets.states().is_empty(), "being slower is no failure");
}

#[tokio::test]
async fn what_is_not_wanted_any_more_is_dropped_and_tokens_are_counted() {
    let (bench, meter, fakes) = (Bench::new(), Meter::new(), named("a").await);
    let chain = ChainModel::new(model("a", &fakes.openai_url()), Vec::new(), 0, bench.guard(1), meter.clone());
    fakes.break_chat(ChatFault::Endless, 1);
    let mut thoughts = chain.think(prompt());
    assert!(matches!(thoughts.recv().await, Some(Ok(Thought::Text(_)))));
    drop(thoughts);
    until("the request is dropped", || fakes.stats().chat_aborted == 1).await;
    assert_eq!(read(chain.think(prompt())).await.0, "this is a");
    let usage = meter.usage();
    assert_eq!((usage.lines.len(), usage.lines[0].requests), (1, 2));
    assert!(usage.lines[0].prompt_tokens > 0 && usage.lines[0].completion_tokens > 0, "{usage:?}");
}
