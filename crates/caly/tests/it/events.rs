//! A call's events at a tenant's own program, which believes them by somebody else's library.

use crate::place::{Place, both_databases, eventually, now, variable};
use crate::telephone;
use crate::voice;
use crate::world::{World, colours, vendors};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use store::PageRequest;
use store::deliveries::{self, DeliveryFilter};
use store::webhook_endpoints::{self, EndpointSettings};
use testkit::caller::{Script, ScriptedCaller};
use testkit::receiver::{Received, Receiver, Reply};
use testkit::vendors::{Transcripts, VendorSettings};
use tokio::process::Command;
use wire::standard_webhooks::{Secret, verify};

/// Events are there within this time of what they tell.
const TOLD_WITHIN: Duration = Duration::from_secs(20);
/// Reads messages and verifies each as the library's documentation says; the last one was changed on its way.
const VERIFY: &str = r#"
import json, sys
from standardwebhooks import Webhook, WebhookVerificationError
for line in open(sys.argv[1]):
    one = json.loads(line)
    webhook = Webhook(one["secret"])
    told = webhook.verify(one["body"], one["headers"])
    assert set(told) == {"type", "timestamp", "data"}, told
    try:
        webhook.verify(one["body"].replace("call_id", "call_ib"), one["headers"])
    except WebhookVerificationError:
        print(told["type"])
    else:
        sys.exit("a changed message was believed")
"#;

/// What the independent library believes, by kind.
async fn believed_elsewhere(place: &Place, secret: &str, got: &[Received]) -> Vec<String> {
    let lines = got.iter().map(|one| {
        let headers: serde_json::Map<String, Value> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), one.header(name)?.into())))
            .collect();
        let body = String::from_utf8_lossy(&one.body);
        format!("{}\n", json!({ "secret": secret, "headers": headers, "body": body }))
    });
    let (messages, program) = (place.path("messages.jsonl"), place.path("verify.py"));
    std::fs::write(&messages, lines.collect::<String>()).expect("written");
    std::fs::write(&program, VERIFY).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/with-standardwebhooks");
    let run = Command::new(script).arg(program).arg(messages).kill_on_drop(true).output();
    let run = run.await.expect("it runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8_lossy(&run.stdout).lines().map(str::to_owned).collect()
}

both_databases! {
    async fn a_call_is_told_to_who_asked_for_it(place) {
        let settings = VendorSettings { transcripts: Transcripts::Script(vec!["red please".to_owned()]), ..vendors() };
        let world = World::with_vendors(place, colours(), settings).await;
        let receiver = Receiver::start(Reply::status(200)).await;
        let secret = Secret::new(&[9; 32]).expect("a secret");
        let (url, nowhere) = (receiver.url("/hooks"), "http://127.0.0.1:9/".to_owned());
        let made = world.store.write(world.tenant, "test.endpoints", async |tx| {
            let dead = EndpointSettings { url: &nowhere, description: "dead", events: &[] };
            let dead = webhook_endpoints::create(tx, &dead, &secret.text(), now()).await?.id;
            let new = EndpointSettings { url: &url, description: "CRM", events: &[] };
            webhook_endpoints::create(tx, &new, &secret.text(), now()).await?;
            Ok::<_, store::Error>(dead)
        });
        let dead = made.await.expect("made");
        let server = world.serve(&[]).await;
        let script =
            "name = 'answer'\nlinger_ms = 8000\n[[turn]]\ntext = 'red please'\npause_ms = 200\nsay = [{ clip = 'x' }]";
        let script = Script::parse(script).expect("a script");
        let mut caller = ScriptedCaller::with_speech(script, vec![voice::say(8_000, 800)], 8_000, 7);
        let seen = Box::pin(telephone::call(&server, &mut caller, |_| {})).await;
        let call = world.ended(&seen.call_id).await;
        let got = eventually("the call's events arrive", TOLD_WITHIN, async || {
            let got = receiver.received_at("/hooks");
            got.iter().any(|one| one.json()["type"] == "recording.ready").then_some(got)
        })
        .await;
        let mut kinds: Vec<Value> = got.iter().map(|one| one.json()["type"].clone()).collect();
        // What is said is told as often as it is kept.
        kinds.dedup();
        let want = ["call.started", "transcript.updated", "call.ended", "call.analyzed", "recording.ready"];
        assert_eq!(kinds, want);
        let now_s = now().timestamp();
        for one in &got {
            let header = |name: &str| one.header(name).unwrap_or_default().to_owned();
            let (id, at, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
            assert_eq!(verify(&secret, &id, &at, &signature, &one.body, now_s), Ok(()));
            assert_eq!(one.json()["data"]["call_id"], json!(call.id));
            assert!(!String::from_utf8_lossy(&one.body).contains("red"), "what was said is not sent");
        }
        let of_kind = |kind: &str| got.iter().rfind(|one| one.json()["type"] == kind).map(Received::json);
        let (ended, said) = (of_kind("call.ended").expect("one"), of_kind("transcript.updated").expect("one"));
        assert_eq!(ended["data"]["call"]["ended_reason"], "agent/completed");
        let turns = world.store.read(world.tenant, "test.turns", async |tx| store::turns::list(tx, call.id).await);
        assert_eq!(said["data"]["turns"], json!(turns.await.expect("read").len()));
        if variable("CALY_TEST_STANDARDWEBHOOKS").as_deref() != Some("skip") {
            let text = secrecy::ExposeSecret::expose_secret(&secret.text()).to_owned();
            let mut believed = believed_elsewhere(place, &text, &got).await;
            believed.dedup();
            assert_eq!(believed, want);
        }
        // The dead one has its first event tried again later, and the rest waits behind it.
        let tried = world.store.read(world.tenant, "test.deliveries", async |tx| {
            deliveries::list(tx, dead, &DeliveryFilter::default(), PageRequest::default()).await
        });
        let tried = tried.await.expect("read").items;
        let (first, waiting) = tried.split_last().expect("the call's events");
        assert_eq!((tried.len(), waiting.iter().all(|one| one.attempts == 0)), (got.len(), true), "{tried:?}");
        assert!(first.attempts >= 1 && first.last_error.is_some(), "{tried:?}");
        assert!(!server.output().contains("whsec_") && !server.output().contains("9876543210"), "no secrets, no numbers");
        server.stop().await;
    }
}
