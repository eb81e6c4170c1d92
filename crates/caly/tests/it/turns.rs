//! `caly bench turns` from a folder of speech to its tables: three sentences of the built-in voice, which stand for
//! recordings. What the figures come to is not tested; they are measured on real speech.

use crate::place::{Place, variable};
use crate::program::{command, run};
use providers::local::{Builtin, InferencePool, ModelPaths, PoolSettings};
use providers::speaker::{SpeakRequest, Speaker};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const RATE_HZ: u32 = 16_000;
/// Some dozens of transcriptions, on a busy machine.
const OVER_WITHIN: Duration = Duration::from_secs(180);
/// The last one ends in the middle, and is known to.
const SAID: [(&str, &str); 3] = [
    ("hours", "We are open from ten to six. On Sunday we are closed."),
    ("moved", "I would like to move my visit to Friday morning."),
    ("open", "To leave a message for the doctor..."),
];

fn models_folder() -> PathBuf {
    let cache = || {
        let home = || PathBuf::from(variable("HOME").expect("HOME")).join(".cache");
        variable("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("caly/models")
    };
    variable("CALY_MODELS_DIR").map_or_else(cache, PathBuf::from)
}

/// Says the sentences into a folder, as recordings with their words.
async fn speech(folder: &Path) {
    let pool = InferencePool::start(PoolSettings { workers: 1, queue: 8 }).expect("threads");
    let builtin = Builtin::load(&ModelPaths::in_folder(models_folder()), &pool, &|_| ()).expect("run `make models`");
    let speaker = builtin.speaker.expect("run `make models`");
    std::fs::create_dir_all(folder).expect("a folder");
    let mut transcripts = String::new();
    for (name, text) in SAID {
        let language = "en-IN".to_owned();
        let request = SpeakRequest { text: text.to_owned(), language, voice: String::new(), sample_rate_hz: RATE_HZ };
        let mut chunks = speaker.speak(request);
        let mut pcm = vec![0; RATE_HZ as usize / 5];
        while let Some(chunk) = chunks.recv().await {
            pcm.extend(chunk.expect("speech").pcm);
        }
        let data: Vec<u8> = pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut bytes = audio::wav::header(RATE_HZ, 1, data.len() as u64).to_vec();
        bytes.extend(data);
        std::fs::write(folder.join(format!("{name}.wav")), bytes).expect("written");
        transcripts.push_str(&format!("{name}: {text}\n"));
    }
    std::fs::write(folder.join("transcripts.txt"), transcripts).expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_are_measured_on_a_folder_of_speech() {
    if variable("CALY_TEST_MODELS").as_deref() == Some("skip") {
        eprintln!("skipped: no models (CALY_TEST_MODELS=skip)");
        return;
    }
    let place = Place::sqlite();
    let (folder, json) = (place.path("speech"), place.path("turns.json"));
    speech(&folder.join("prompts")).await;
    let (folder, json) = (folder.display().to_string(), json.display().to_string());
    let line = format!("bench turns --speech {folder} --snr 25 --frame-ms 100 --activity-snr 25 --json {json}");
    let arguments: Vec<&str> = line.split(' ').collect();
    let mut command = command(&place, &arguments, &[("CALY_MODELS_DIR", "")]);
    let output = tokio::time::timeout(OVER_WITHIN, command.output()).await.expect("it ends").expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8_lossy(&output.stdout);
    for words in
        ["missing: hindi", "missing: read", "| auto |", "| plain silence of 700 ms |", "25 dB of speech over noise"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let report: Value = serde_json::from_slice(&std::fs::read(&json).expect("a report")).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 7, "a row for each rule");
    for row in rows {
        assert_eq!(row["finished"]["n"], 2, "{row:#}");
        assert_eq!(row["finished"]["undecided"], 0, "a turn that is over is always taken for finished: {row:#}");
    }
    // Plain silence ends a turn after itself, and not much later.
    let plain = rows.iter().find(|row| row["rule"] == "plain silence of 1000 ms").expect("plain silence");
    let delay_ms = plain["finished"]["delay_ms"]["p50"].as_f64().expect("a delay");
    assert!((850.0..=1_200.0).contains(&delay_ms), "{plain:#}");
    let activity = &report["activity"][0];
    assert!(activity["missed"].as_f64().expect("a share") < 0.3, "{activity:#}");
    assert!(activity["false_alarms"].as_f64().expect("a share") < 0.1, "{activity:#}");
}

#[tokio::test]
async fn without_recordings_it_says_where_they_come_from() {
    let place = Place::sqlite();
    let folder = place.path("nothing").display().to_string();
    let refused = run(&place, &["bench", "turns", "--speech", &folder], &[]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("run scripts/fetch-speech"), "{refused:?}");
}
