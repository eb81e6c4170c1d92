//! `caly call`: the scripted caller against a running server.

use crate::place::{Place, variable};
use crate::program::{SECRET, run};
use crate::world::{World, talker};
use serde_json::Value;

const SCRIPT: &str = "name = 'hello'\nlinger_ms = 1500\n[[turn]]\ntext = 'hello'\nsay = [{ clip = 'hello.wav' }]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caly_call_rings_any_caly() {
    if variable("CALY_TEST_MODELS").as_deref() == Some("skip") {
        eprintln!("skipped: no recorded caller (CALY_TEST_MODELS=skip)");
        return;
    }
    let place = Place::sqlite();
    let world = World::new(&place, talker(3)).await;
    let server = world.serve(&[]).await;
    let (script, wav) = (place.path("hello.toml"), place.path("heard.wav"));
    std::fs::write(&script, SCRIPT).expect("written");
    let (script, heard) = (script.display().to_string(), wav.display().to_string());
    let arguments =
        ["call", "--to", &server.url, "--secret", SECRET, "--script", &script, "--record", &heard, "--json"];
    let called = run(&place, &arguments, &[]).await;
    let report: Value = serde_json::from_str(&called.succeeded().stdout).expect("JSON and nothing else");
    assert_eq!(report["turns"].as_array().map(Vec::len), Some(1), "{report:#}");
    assert_eq!(report["violations"], Value::Array(Vec::new()), "{report:#}");
    assert!(report["greeting_ms"].is_u64() && report["turns"][0]["end_to_end_ms"].is_u64(), "{report:#}");
    let heard = audio::wav::read(&std::fs::read(wav).expect("what was heard")).expect("a WAV file");
    assert_eq!((heard.channels, heard.rate), (2, 8_000));
    assert_eq!(world.calls().await.len(), 1);

    let wrong = run(&place, &["call", "--to", &server.url, "--secret", "wrong", "--script", &script], &[]).await;
    wrong.complained(&["the call was refused", "401"]);
    let nobody = ["call", "--to", "http://127.0.0.1:1", "--script", &script];
    run(&place, &nobody, &[]).await.complained(&["the server does not answer"]);
    run(&place, &["call", "--script", &script], &[("EXOTEL_WEBHOOK_SECRET", "")]).await.complained(&["give --secret"]);
    server.stop().await;
}
