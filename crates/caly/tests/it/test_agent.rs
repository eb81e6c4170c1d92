//! `caly test-agent`: scripted calls, what they expect, and what is written about them.

use crate::place::Place;
use crate::program::{Finished, run};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

/// A call in which the caller names a day, and nothing is expected.
const CALL: &str = "local_time = 2026-11-21T11:00:00\n[[turn]]\ncaller = 'on Tuesday'\n";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A place with the clinic's flow and this test in it.
fn place_with(test: &str) -> Place {
    let place = Place::sqlite();
    std::fs::copy(repository("flows/clinic.toml"), place.path("clinic.toml")).expect("copied");
    std::fs::write(place.path("case.toml"), format!("flow = 'clinic.toml'\n{test}")).expect("written");
    place
}

async fn test(place: &Place, arguments: &[&str]) -> Finished {
    let mut all = vec!["test-agent"];
    all.extend_from_slice(arguments);
    run(place, &all, &[]).await
}

#[tokio::test]
async fn the_examples_are_true() {
    let place = Place::sqlite();
    let folder = repository("docs/examples/tests").display().to_string();
    let finished = test(&place, &[&folder]).await;
    assert!(finished.succeeded().stdout.contains("6 of 6 passed"), "{finished:?}");
}

#[tokio::test]
async fn every_expectation_can_fail() {
    for (expected, message) in [
        ("says = 'good evening'", "turn 1: expected «good evening»; said: We are open"),
        ("says_any = ['one thing', 'another']", "turn 1: expected one of «one thing», «another»; said: We are"),
        ("says_not = 'Tuesday'", "turn 1: «Tuesday» must not be said; said: We are"),
        ("matches = 'cats?'", "turn 1: expected a match of /cats?/; said: We are"),
        ("asks_tool = 'book_visit'", "turn 1: the tool «book_visit» was not asked for; no tool was"),
        ("within_ms = 10", "turn 1: answered after "),
        ("language = 'hi-IN'", "turn 1: spoke en-IN, expected hi-IN"),
        ("[end]\nsays = 'good evening'", "end: expected «good evening»"),
        ("[end]\nsays_not = 'Sunrise'", "end: «Sunrise» must not be said"),
        ("[end]\nends = 'agent/completed'", "end: ended caller/hung-up, expected agent/completed"),
        ("[end]\ncollected.day = '2026-11-25'", "end: collected.day is \"2026-11-24\", expected \"2026-11-25\""),
        ("[end]\ncollected.night = 'x'", "end: collected.night is not there, expected \"x\""),
        ("[end]\njudge = 'It is polite.'", "end: not judged «It is polite.»: there is no language model here"),
        ("[[turn]]\nsilence_ms = 90000\n[[turn]]\ncaller = 'hello'\nsays = 'x'", "turn 3: the call was over before it"),
        ("[[turn]]\ncaller = 'ten'\ninterrupt_after_words = 300", "nothing to interrupt after 300 words"),
    ] {
        let place = place_with(&format!("{CALL}{expected}\n"));
        let finished = test(&place, &["case.toml"]).await;
        assert_eq!(finished.code, Some(1), "{expected}: {finished:?}");
        assert!(finished.stdout.contains("FAIL  case"), "{expected}: {finished:?}");
        assert!(finished.stdout.contains(message), "{expected}: {finished:?}");
        assert!(finished.stdout.contains("0 of 1 passed"), "{expected}: {finished:?}");
    }
}

#[tokio::test]
async fn the_tool_and_its_arguments_are_compared() {
    let booked = "[[turn]]\ncaller = 'ten in the morning'\n[[turn]]\ncaller = 'my name is Asha Rao'\n\
                  [[turn]]\ncaller = 'nine eight seven six five zero one two three four'\n[[turn]]\ncaller = 'yes'\n";
    for (expected, message) in [
        ("asks_tool = { name = 'book_visit', arguments = { day = '2026-11-24', name = 'asha rao' } }", None),
        ("asks_tool = { name = 'book_visit', arguments = { day = '2026-11-25' } }", Some("was asked for with {")),
        ("asks_tool = 'other'", Some("the tool «other» was not asked for; asked for: «book_visit»")),
        ("[end]\ncollected.book_visit = { time = '10:00' }", None),
        ("[end]\ncollected.book_visit = { time = '11:00' }", Some("collected.book_visit.time is \"10:00\"")),
    ] {
        let place = place_with(&format!("{CALL}{booked}{expected}\n"));
        let finished = test(&place, &["case.toml"]).await;
        match message {
            None => assert_eq!(finished.code, Some(0), "{expected}: {finished:?}"),
            Some(message) => {
                assert_eq!(finished.code, Some(1), "{expected}: {finished:?}");
                assert!(finished.stdout.contains(message), "{expected}: {finished:?}");
            }
        }
    }
}

#[tokio::test]
async fn files_that_cannot_be_used() {
    let large = "# x\n".repeat(70_000);
    for (text, message) in [
        ("[[turn]]\ncallr = 'x'", "case.toml: line 3: unknown field `callr`"),
        ("[[turn]]\ncaller = 'x'\nmatches = '('", "line 4: the pattern cannot be used"),
        ("[[turn]", "line 2: "),
        (large.as_str(), "it has more than 262144 bytes"),
    ] {
        let finished = test(&place_with(text), &["case.toml"]).await;
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stdout.contains("error ") && finished.stdout.contains(message), "{message}: {finished:?}");
    }
    let place = place_with(CALL);
    std::fs::write(place.path("clinic.toml"), "name = 5").expect("written");
    let broken = test(&place, &["case.toml"]).await;
    assert_eq!(broken.code, Some(2), "{broken:?}");
    assert!(broken.stdout.contains("clinic.toml: "), "{broken:?}");
    std::fs::write(place.path("none.toml"), CALL).expect("written");
    let none = test(&place, &["none.toml"]).await;
    assert!(none.code == Some(2) && none.stdout.contains("it names no agent"), "{none:?}");
    let nowhere = test(&place, &["nowhere.toml"]).await;
    assert!(nowhere.code == Some(2) && nowhere.stdout.contains("nowhere.toml cannot be read"), "{nowhere:?}");
    std::fs::create_dir(place.path("empty")).expect("made");
    let empty = test(&place, &["empty"]).await;
    assert!(empty.code == Some(2) && empty.stderr.contains("has no test files"), "{empty:?}");
}

#[tokio::test]
async fn reports_for_ci() {
    let place = place_with(&format!("name = 'A <case> & \"more\"'\n{CALL}says = 'a < b'\n"));
    std::fs::write(place.path("good.toml"), format!("flow = 'clinic.toml'\n{CALL}")).expect("written");
    std::fs::write(place.path("bad.toml"), "[[turn]").expect("written");
    let arguments = ["case.toml", "good.toml", "bad.toml", "--junit", "report.xml", "--json", "report.json"];
    assert_eq!(test(&place, &arguments).await.code, Some(2));
    let xml = std::fs::read_to_string(place.path("report.xml")).expect("a report");
    let (mut cases, mut failures, mut errors) = (Vec::new(), 0, 0);
    let mut reader = quick_xml::Reader::from_str(&xml);
    loop {
        match reader.read_event().expect("well-formed") {
            quick_xml::events::Event::Start(tag) | quick_xml::events::Event::Empty(tag) => match tag.name().as_ref() {
                b"testcase" => {
                    let name = tag.try_get_attribute("name").expect("attributes").expect("a name");
                    cases.push(String::from_utf8(name.value.to_vec()).expect("text"));
                }
                b"failure" => failures += 1,
                b"error" => errors += 1,
                _ => {}
            },
            quick_xml::events::Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!((cases.len(), failures, errors), (3, 1, 1), "{xml}");
    assert_eq!(cases[0], "A &lt;case&gt; &amp; &quot;more&quot;");
    assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"1\""), "{xml}");
    let json = std::fs::read_to_string(place.path("report.json")).expect("a report");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["passed"], &json["failed"]), (&1.into(), &2.into()), "{json}");
    assert_eq!(json["cases"][0]["failures"][0]["turn"], 1, "{json}");
    assert_eq!(json["cases"][1]["collected"]["day"]["value"], "2026-11-24", "{json}");
}

/// An agent whose model is there.
fn model_agent(place: &Place, base_url: &str) {
    let agent = serde_json::json!({"greeting": "Hello.", "brain": {"kind": "language-model", "base_url": base_url,
        "model": "any", "system_prompt": "Be brief."}});
    std::fs::write(place.path("agent.json"), agent.to_string()).expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_hangs_fails_the_case_in_time() {
    let place = Place::sqlite();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    model_agent(&place, &format!("http://{}/v1", listener.local_addr().expect("an address")));
    let hanging = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 1_024];
                while socket.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    std::fs::write(place.path("case.toml"), "agent = 'agent.json'\n[[turn]]\ncaller = 'hello there'\n")
        .expect("written");
    let arguments = ["case.toml", "--model-timeout-s", "1"];
    let finished = tokio::time::timeout(Duration::from_secs(40), test(&place, &arguments)).await.expect("it ends");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stdout.contains("the language model did not answer within 1 s"), "{finished:?}");
    hanging.abort();
}

#[tokio::test]
async fn scripted_models_need_no_key_and_come_to_their_end() {
    let place = Place::sqlite();
    model_agent(&place, "http://127.0.0.1:1/v1");
    let case = |model: &str, turns: &str| {
        let text = format!("agent = 'agent.json'\nmodel = [{model}]\n{turns}");
        std::fs::write(place.path("case.toml"), text).expect("written");
    };
    case("'Good morning.'", "[[turn]]\ncaller = 'hello there'\nsays = 'good morning'\n");
    test(&place, &["case.toml"]).await.succeeded();
    case("'Good morning.'", "[[turn]]\ncaller = 'hello there'\n[[turn]]\ncaller = 'how are you'\n");
    let short = test(&place, &["case.toml"]).await;
    assert!(short.code == Some(1) && short.stdout.contains("`model` has 1 answers"), "{short:?}");
    case("{ text = 'One moment.', tools = [{ name = 'nobody' }] }, 'Done.'", "[[turn]]\ncaller = 'hello there'\n");
    let tool = test(&place, &["case.toml"]).await;
    assert!(!tool.stdout.contains("panicked") && tool.code.is_some(), "{tool:?}");
    case("'Hi.'", "[[turn]]\ncaller = 'hello there'\n[end]\njudge = 'It is polite.'\n");
    let unjudged = test(&place, &["case.toml"]).await;
    assert!(unjudged.code == Some(1) && unjudged.stdout.contains("not judged"), "{unjudged:?}");
    test(&place, &["case.toml", "--no-judge"]).await.succeeded();
}
