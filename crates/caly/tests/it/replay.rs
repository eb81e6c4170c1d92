//! The input log of a real call, replayed by the program.

use crate::place::{Place, eventually};
use crate::program::{Finished, run};
use crate::telephone;
use crate::voice;
use crate::world::{World, colours, vendors};
use std::path::Path;
use std::time::Duration;
use testkit::caller::{Script, ScriptedCaller};
use testkit::vendors::{Transcripts, VendorSettings};

async fn replay(place: &Place, file: &Path, more: &[&str]) -> Finished {
    let file = file.display().to_string();
    let mut arguments = vec!["replay", file.as_str()];
    arguments.extend_from_slice(more);
    run(place, &arguments, &[]).await
}

/// The log of a call in which the caller answered a question, and its folder.
async fn logged_call() -> (Place, String) {
    let place = Place::sqlite();
    let transcripts = Transcripts::Script(vec!["blue".to_owned()]);
    let world = World::with_vendors(&place, colours(), VendorSettings { transcripts, ..vendors() }).await;
    let server = world.serve(&[]).await;
    let script = Script::parse("name='x'\n[[turn]]\ntext='blue'\nsay=[{clip='x'}]").expect("a script");
    let mut caller = ScriptedCaller::with_speech(script, vec![voice::say(8_000, 700)], 8_000, 7);
    let seen = Box::pin(telephone::call(&server, &mut caller, |_| {})).await;
    let call = world.ended(&seen.call_id).await;
    let file = place.data("calls").join(format!("{}.jsonl", call.id));
    let log = eventually("the log is written to its end", Duration::from_secs(10), async || {
        let log = std::fs::read_to_string(&file).ok()?;
        log.lines().last()?.contains("agent/completed").then_some(log)
    })
    .await;
    server.stop().await;
    assert_eq!(std::fs::read_to_string(&file).expect("the log"), log, "nothing follows the hang-up");
    std::fs::write(place.path("call.jsonl"), &log).expect("written");
    (place, log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_call_replays_as_logged() {
    let (place, log) = logged_call().await;
    let file = place.path("call.jsonl");
    let replayed = replay(&place, &file, &[]).await;
    assert!(replayed.succeeded().stdout.contains("all as logged"), "{replayed:?}");
    assert!(replayed.stdout.starts_with(&format!("{} inputs, ", log.lines().count() - 1)), "{replayed:?}");
    let verbose = replay(&place, &file, &["--verbose"]).await;
    assert!(verbose.succeeded().stdout.contains("Thank you and goodbye."), "{verbose:?}");

    // One effect is another than what this program does with the same input.
    let altered_line = log.lines().enumerate().skip(1).find(|(_, line)| line.contains("Thank you and goodbye."));
    let (index, line) = altered_line.expect("the goodbye is an effect");
    let altered = log.replacen(line, &line.replace("Thank you and goodbye.", "Thank you and good night."), 1);
    std::fs::write(&file, altered).expect("written");
    let differs = replay(&place, &file, &[]).await;
    differs.complained(&[&format!("line {}: the effects differ", index + 1), "good night"]);

    // One line is gone: what follows no longer has its cause.
    let shorter: Vec<&str> = log.lines().enumerate().filter(|(n, _)| *n != 1).map(|(_, line)| line).collect();
    std::fs::write(&file, shorter.join("\n")).expect("written");
    replay(&place, &file, &[]).await.complained(&["line "]);

    let cut: String = log.chars().take(log.len() - 20).collect();
    std::fs::write(&file, cut).expect("written");
    replay(&place, &file, &[]).await.complained(&[&format!("line {}", log.lines().count())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_log_is_said_so() {
    let place = Place::sqlite();
    let file = place.path("call.jsonl");
    for text in ["", "\n\n", "hello\n", "{\"at\":1,\"input\":{\"input\":\"connected\"}}\n"] {
        std::fs::write(&file, text).expect("written");
        replay(&place, &file, &[]).await.complained(&["line 1 is not the setup of a call"]);
    }
    replay(&place, &place.path("nowhere.jsonl"), &[]).await.complained(&["nowhere.jsonl cannot be read"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_can_be_left_out() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[("CALY_CALL_LOGS", "false")]).await;
    let mut caller = testkit::carrier::RecordedCaller::new(Vec::new(), 800);
    let seen = Box::pin(telephone::call(&server, &mut caller, |_| {})).await;
    world.ended(&seen.call_id).await;
    server.stop().await;
    assert_eq!(place.files("calls"), Vec::<String>::new());
}

/// A call in which the caller named a colour, and flows that differ from its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_past_call_against_another_agent() {
    let (place, log) = logged_call().await;
    let file = place.path("call.jsonl");
    let setup: serde_json::Value = serde_json::from_str(log.lines().next().expect("a setup")).expect("JSON");
    let flow = setup["setup"]["agent"]["brain"]["text"].as_str().expect("a flow").to_owned();
    let path = place.path("new.toml");
    let path = path.to_str().expect("a path");
    std::fs::write(path, &flow).expect("written");
    let same = replay(&place, &file, &["--flow", path]).await;
    assert!(same.succeeded().stdout.contains("0 changed, 0 added, 0 gone"), "{same:?}");

    std::fs::write(path, flow.replace("Thank you and goodbye.", "Thank you and good night.")).expect("written");
    let changed = replay(&place, &file, &["--flow", path]).await;
    assert_eq!(changed.code, Some(1), "{changed:?}");
    assert!(changed.stdout.contains("{+good night.+}") && changed.stdout.contains("1 changed"), "{changed:?}");
    let json = replay(&place, &file, &["--flow", path, "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((&json["same"], &json["ended"]["same"]), (&false.into(), &true.into()), "{json}");

    std::fs::write(path, "name = 5").expect("written");
    let broken = replay(&place, &file, &["--flow", path]).await;
    assert!(broken.code == Some(2) && broken.stderr.contains("new.toml: "), "{broken:?}");
    let prompt = replay(&place, &file, &["--prompt", path]).await;
    assert!(prompt.code == Some(2) && prompt.stderr.contains("a flow takes no instructions"), "{prompt:?}");
    std::fs::write(&file, format!("{log}\nhello\n")).expect("written");
    std::fs::write(path, &flow).expect("written");
    let unreadable = replay(&place, &file, &["--flow", path]).await;
    assert!(unreadable.code == Some(2) && unreadable.stderr.contains("call.jsonl: line "), "{unreadable:?}");

    // The same call from the database: its turns say the same.
    let id = log_id(&place);
    let stored = run(&place, &["replay", "--call", &id, "--flow", path], &[]).await;
    assert!(stored.succeeded().stdout.contains("0 changed, 0 added, 0 gone"), "{stored:?}");
    let nobody = run(&place, &["replay", "--call", "00000000-0000-0000-0000-000000000000", "--flow", path], &[]).await;
    assert!(nobody.code == Some(2) && nobody.stderr.contains("there is no call"), "{nobody:?}");
}

/// The only call that has a log.
fn log_id(place: &Place) -> String {
    let files = place.files("calls");
    files.first().and_then(|name| name.strip_suffix(".jsonl")).expect("a log").to_owned()
}
