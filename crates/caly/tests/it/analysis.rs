//! What is made of a call once it is over: by a language model, or by a flow alone.

use crate::account::{NO_LIMITS, Person, ask};
use crate::place::{Place, both_databases, eventually, now};
use crate::program::Server;
use crate::telephone;
use crate::voice;
use crate::world::{World, colours, talker, vendors};
use identity::ApiKey;
use model::{AgentConfig, Role, Scope};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use store::api_keys::NewApiKey;
use store::webhook_endpoints::{self, EndpointSettings};
use store::{api_keys, memberships};
use testkit::caller::{Script, ScriptedCaller};
use testkit::carrier::RecordedCaller;
use testkit::receiver::{Receiver, Reply};
use testkit::vendors::{Answers, FakeVendors, Transcripts, VendorSettings};
use wire::standard_webhooks::Secret;

/// An analysis is told of within this time of its call's end.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// A key of the world's organisation that may see its calls and have them analysed.
async fn key(world: &World<'_>, server: &Server, place: &Place) -> String {
    let person = Person::sign_up(server, place, "asha").await;
    let user = person.user.parse().expect("an id");
    let key = ApiKey::random().expect("randomness");
    let made = world.store.write(world.tenant, "test.key", async |tx| {
        memberships::add(tx, user, Role::Owner, now()).await?;
        let new = NewApiKey {
            name: "tests",
            key_hash: key.hash(),
            last4: key.last4(),
            scopes: &[Scope::CallsRead, Scope::CallsWrite],
            created_by: user,
            expires_at: None,
        };
        api_keys::create(tx, &new, now()).await
    });
    made.await.expect("made");
    key.expose().to_owned()
}

/// Where the world's events go.
async fn listener(world: &World<'_>) -> Receiver {
    let receiver = Receiver::start(Reply::status(200)).await;
    let url = receiver.url("/hooks");
    let made = world.store.write(world.tenant, "test.endpoint", async |tx| {
        let new = EndpointSettings { url: &url, description: "CRM", events: &[] };
        webhook_endpoints::create(tx, &new, &Secret::new(&[9; 32]).expect("a secret").text(), now()).await
    });
    made.await.expect("made");
    receiver
}

/// The facts of the n-th `call.analyzed`, once it is there.
async fn told(receiver: &Receiver, n: usize) -> Value {
    eventually("the analysis is told of", TOLD_WITHIN, async || {
        let all = receiver.received_at("/hooks").into_iter().map(|one| one.json());
        all.filter(|one| one["type"] == "call.analyzed").nth(n).map(|one| one["data"].clone())
    })
    .await
}

async fn look(server: &Server, key: &str, path: &str) -> Value {
    let answer = ask(server, Method::GET, path, Some(key), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn wanting(mut agent: AgentConfig, analysis: Value) -> AgentConfig {
    agent.analysis = serde_json::from_value(analysis).expect("a configuration");
    agent
}

/// What the conversation used, and what it cost: the analyst's model has a price, the fake one has none.
fn costs_are_shown(shown: &Value, fact: &Value) {
    let lines = shown["usage"]["lines"].as_array().expect("lines");
    assert!(lines.iter().any(|line| line["stage"] == "thinking" && line["model"] == "fake"), "{shown}");
    let costs = shown["cost_lines"].as_array().expect("lines");
    let micros = |part: &str, stage: &str| {
        let line = costs.iter().find(|line| line["part"] == part && line["stage"] == stage);
        line.map(|line| line["micros"].clone())
    };
    assert!(micros("analysis", "thinking").is_some_and(|micros| micros.as_u64() > Some(0)), "{costs:?}");
    assert_eq!(micros("call", "thinking"), Some(Value::Null), "no price is not 0");
    assert!(micros("call", "transcribing").is_some_and(|micros| micros.as_u64() > Some(0)), "{costs:?}");
    assert_eq!(shown["cost"]["currency"], "INR");
    assert_eq!(fact["cost"]["micros"], shown["cost"]["micros"]);
    assert_eq!(fact["cost"]["complete"], json!(false));
}

both_databases! {
    async fn a_model_makes_something_of_a_call(place) {
        let answer = json!({
            "summary": "The caller asked for an order <b>.",
            "data": { "order": "late" },
            "disposition": "callback-asked",
            "success": [{ "criterion": 1, "met": true, "reason": "It was looked up." }],
        });
        let answers = Answers::Script(vec!["Nonsense first.".to_owned(), answer.to_string()]);
        let analyst = FakeVendors::start(VendorSettings { answers, ..VendorSettings::instant() }).await.expect("a port");
        let agent = wanting(talker(3), json!({
            "summary": true,
            "extract": { "type": "object", "properties": { "order": { "type": "string" } }, "required": ["order"] },
            "dispositions": [{ "name": "callback-asked", "description": "wants to be called" }, { "name": "done" }],
            "success": ["The order was looked up"],
            "model": { "base_url": analyst.openai_url(), "model": "gpt-4o-mini" },
        }));
        let settings = VendorSettings {
            answers: Answers::Script(vec!["It is on its way.".to_owned()]),
            transcripts: Transcripts::Script(vec!["where is my order please".to_owned()]),
            ..vendors()
        };
        let world = World::with_vendors(place, agent, settings).await;
        let receiver = listener(&world).await;
        let named = analyst.openai_url();
        let server = world.serve(&[("CALY_MODEL_URLS", &named), NO_LIMITS]).await;
        let key = key(&world, &server, place).await;
        let mut pcm = vec![0; 8_000 * 2];
        pcm.extend(voice::say(8_000, 900));
        let mut caller = RecordedCaller::new(pcm, 7_000);
        let seen = Box::pin(telephone::call(&server, &mut caller, |_| {})).await;
        let call = world.ended(&seen.call_id).await;
        let fact = told(&receiver, 0).await;
        for (name, want) in [
            ("call_id", json!(call.id)),
            ("analysis_state", json!("ready")),
            ("disposition", json!("callback-asked")),
            ("succeeded", json!(true)),
        ] {
            assert_eq!(fact[name], want, "{name} {fact}");
        }
        assert!(!fact.to_string().contains("asked for an order"), "what was said is not sent");
        let path = format!("/api/calls/{}", call.id);
        let shown = look(&server, &key, &path).await;
        assert_eq!(shown["summary"], "The caller asked for an order ‹b›.");
        let analysis = &shown["analysis"];
        assert_eq!((&analysis["data"], &analysis["disposition"]), (&answer["data"], &json!("callback-asked")));
        assert_eq!(analysis["success"][0]["criterion"], "The order was looked up");
        assert_eq!((&shown["analysis_state"], &shown["analysis_error"]), (&json!("ready"), &Value::Null));
        assert_eq!((&analysis["usage"]["requests"], &analysis["usage"]["model"]), (&json!(2), &json!("gpt-4o-mini")));
        costs_are_shown(&shown, &fact);
        for (query, found) in [
            ("disposition=callback-asked", 1), ("disposition=done", 0), ("succeeded=true", 1), ("succeeded=false", 0),
        ] {
            let list = look(&server, &key, &format!("/api/calls?{query}")).await;
            assert_eq!(list["items"].as_array().map(Vec::len), Some(found), "{query}");
        }
        // Once more, by hand.
        let again = ask(&server, Method::POST, &format!("{path}/analyze"), Some(&key), None).await;
        assert_eq!((again.status, &again.body["analysis_state"]), (202, &json!("pending")), "{again:?}");
        assert_eq!(told(&receiver, 1).await["analysis_state"], "ready");
        assert_eq!(look(&server, &key, &path).await["analyses"], json!(2));
        assert!(!server.output().contains("asked for an order"), "nothing that was said is in the log");
        server.stop().await;
    }

    async fn of_a_flow_the_answers_are_the_data(place) {
        let settings = VendorSettings { transcripts: Transcripts::Script(vec!["red please".to_owned()]), ..vendors() };
        let world = World::with_vendors(place, wanting(colours(), json!({ "summary": true })), settings).await;
        let receiver = listener(&world).await;
        let server = world.serve(&[NO_LIMITS]).await;
        let key = key(&world, &server, place).await;
        let script =
            "name = 'answer'\nlinger_ms = 8000\n[[turn]]\ntext = 'red please'\npause_ms = 200\nsay = [{ clip = 'x' }]";
        let script = Script::parse(script).expect("a script");
        let mut caller = ScriptedCaller::with_speech(script, vec![voice::say(8_000, 800)], 8_000, 7);
        let seen = Box::pin(telephone::call(&server, &mut caller, |_| {})).await;
        let call = world.ended(&seen.call_id).await;
        let fact = told(&receiver, 0).await;
        assert_eq!((&fact["call_id"], &fact["analysis_state"]), (&json!(call.id), &json!("ready")));
        assert!(!fact.to_string().contains("red"), "what was said is not sent");
        let path = format!("/api/calls/{}", call.id);
        let shown = look(&server, &key, &path).await;
        assert!(shown["data"].to_string().contains("red"), "{shown}");
        assert_eq!((&shown["analysis"]["data"], &shown["analysis"]["usage"]), (&shown["data"], &Value::Null));
        assert_eq!(shown["analyses"], json!(0), "no model is asked");
        let refused = ask(&server, Method::POST, &format!("{path}/analyze"), Some(&key), None).await;
        assert_eq!(refused.status, 409, "{refused:?}");
        assert_eq!(world.vendors.stats().chat_requests, 0);
        server.stop().await;
    }
}
