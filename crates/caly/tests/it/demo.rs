//! The demo as a newcomer runs it: the built-in models hold a whole conversation with recorded human speech.

use crate::place::{Place, variable};
use crate::program::command;
use serde_json::Value;
use std::time::Duration;

/// The call itself takes about a minute.
const OVER_WITHIN: Duration = Duration::from_secs(180);
/// A simulator that was this late was starved of the processor; its figures say little.
const STARVED_MS: u64 = 50;

async fn demo() -> Value {
    let place = Place::sqlite();
    let file = place.path("demo.json");
    let report = file.display().to_string();
    let arguments = ["demo", "--once", "--report", &report];
    let mut command = command(&place, &arguments, &[("CALY_MODELS_DIR", "")]);
    let output = tokio::time::timeout(OVER_WITHIN, command.output()).await.expect("it ends").expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let report = serde_json::from_slice(&std::fs::read(file).expect("a report")).expect("JSON");
    let shown = String::from_utf8_lossy(&output.stdout);
    for word in ["agent ▸", "caller ▸", "the caller interrupts", "median answer", "recording"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert_eq!(place.files("spool"), Vec::<String>::new());
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demo_holds_a_conversation() {
    if variable("CALY_TEST_MODELS").as_deref() == Some("skip") {
        eprintln!("skipped: no models (CALY_TEST_MODELS=skip)");
        return;
    }
    let mut report = demo().await;
    if report["simulator_late_ms"].as_u64().is_none_or(|late_ms| late_ms > STARVED_MS) {
        report = demo().await;
    }
    let number =
        |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {report:#}"));
    let turns = report["turns"].as_array().expect("turns");
    assert!(turns.len() >= 4, "{report:#}");
    for turn in turns {
        for field in ["caller_said", "caller_heard", "agent_said"] {
            assert!(turn[field].is_string(), "{field}: {turn:#}");
        }
    }
    assert!(number("/caller_wer") <= 0.15, "{report:#}");
    assert_eq!(number("/gaps"), 0.0, "{report:#}");
    assert_eq!(number("/frame_rule_violations"), 0.0, "{report:#}");
    assert!(report["barge_in"]["heard_text"].as_str().is_some_and(|heard| !heard.is_empty()), "{report:#}");
    assert_eq!(report["backchannel"]["interrupted"], false, "{report:#}");
    assert_eq!(number("/recording/channels"), 2.0, "{report:#}");
    let (recorded_s, call_s) = (number("/recording/duration_s"), number("/duration_s"));
    assert!((recorded_s - call_s).abs() <= 0.5, "{recorded_s} s of {call_s} s");
    assert_eq!(report["ended_reason"], "agent/completed", "{report:#}");
    assert!(report["booked"]["reference"].is_string(), "{report:#}");
}
