//! Calls that Caly places: ordered once whatever happens, and ended with a reason of their own.

use crate::account::{NO_LIMITS, Person, ask};
use crate::place::{Place, both_databases, eventually};
use crate::post::{Answer, request};
use crate::program::Server;
use crate::world::{World, colours, talker};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use testkit::carrier::{
    ApiCall, ApiFault, ApiOptions, Callee, CallerSide, FakeExotelApi, RecordAs, RecordedCaller, RecordingHost, Refusal,
};

/// A call that was answered, or not, is over within this.
const OVER_WITHIN: Duration = Duration::from_secs(30);
/// The connected number that calls are placed from; the world's own number is another.
const OURS: &str = "+918047490000";
const OURS_AS_SENT: &str = "08047490000";
const CUSTOMER: &str = "+919812345678";
/// Somebody who does not hang up.
const STAYS: &str = "+919812300000";

/// Somebody with an agent, a number and an account at the simulated carrier.
struct Desk {
    api: FakeExotelApi,
    recordings: Arc<RecordingHost>,
    person: Person,
    agent: String,
    number: String,
}

fn answers(call: &ApiCall) -> Box<dyn CallerSide> {
    let stays = call.from.ends_with(&STAYS[3..]);
    Box::new(RecordedCaller::new(Vec::new(), if stays { 25_000 } else { 1_500 }))
}

async fn carrier(edit: impl FnOnce(&mut ApiOptions)) -> (FakeExotelApi, Arc<RecordingHost>) {
    let recordings = Arc::new(RecordingHost::start().await.expect("a port"));
    let mut options = ApiOptions {
        exophones: vec![OURS_AS_SENT.to_owned()],
        recordings: Some(recordings.clone()),
        record_as: RecordAs::Wav,
        ..ApiOptions::default()
    };
    edit(&mut options);
    (FakeExotelApi::start(options, Arc::new(answers)).await.expect("a port"), recordings)
}

async fn start(world: &World<'_>, api: &FakeExotelApi) -> Server {
    let (name, value) = NO_LIMITS;
    world.serve(&[("CALY_EXOTEL_URL", &api.url()), (name, value)]).await
}

impl Desk {
    async fn open(world: &World<'_>, place: &Place, flow: Option<&str>) -> (Self, Server) {
        let (api, recordings) = carrier(|_| {}).await;
        let server = start(world, &api).await;
        let person = Person::sign_up(&server, place, "asha").await;
        let mut config = serde_json::to_value(colours()).expect("JSON");
        config["tools"] = json!({ "keep_colour": { "kind": "record" } });
        let agent = person.make(&server, "/api/agents", json!({ "name": "Asha", "config": config })).await;
        let number = json!({ "number": OURS, "carrier": "exotel", "agent_id": agent });
        let number = person.make(&server, "/api/phone-numbers", number).await;
        let account = json!({
            "carrier": "exotel", "account_id": "exotelaccount", "region": "mumbai", "api_key": "api-key",
            "token": "api-token", "flow_id": flow,
        });
        person.make(&server, "/api/carrier-accounts", account).await;
        (Self { api, recordings, person, agent, number }, server)
    }

    fn order(&self, to: &str) -> Value {
        json!({ "agent_id": self.agent, "to": to, "from": self.number, "variables": { "name": "Asha", "visits": 3 } })
    }

    async fn place(&self, server: &Server, to: &str) -> String {
        self.person.make(server, "/api/calls", self.order(to)).await
    }

    async fn look(&self, server: &Server, id: &str) -> Value {
        let answer = self.person.get(server, &format!("/api/calls/{id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    async fn ended(&self, server: &Server, id: &str) -> Value {
        eventually("the call is over", OVER_WITHIN, async || {
            Some(self.look(server, id).await).filter(|call| !call["ended_reason"].is_null())
        })
        .await
    }
}

both_databases! {
    async fn a_call_is_placed_and_answered(place) {
        let world = World::new(place, colours()).await;
        let (desk, server) = Desk::open(&world, place, None).await;
        // Asked twice under one key: one call.
        let bearer = format!("Bearer {}", desk.person.access);
        let headers = [
            ("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", "visit-7"),
        ];
        let body = desk.order(CUSTOMER).to_string();
        let mut ids = Vec::new();
        for _ in 0..2 {
            let answer: Answer = request(&server, Method::POST, "/api/calls", &headers, &body).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            assert_eq!((&answer.body["status"], &answer.body["direction"]), (&json!("queued"), &json!("outgoing")));
            ids.push(answer.body["id"].as_str().expect("an id").to_owned());
        }
        assert_eq!(ids[0], ids[1]);
        let call = desk.ended(&server, &ids[0]).await;
        assert_eq!((&call["ended_reason"], &call["status"]), (&json!("caller/hung-up"), &json!("completed")), "{call}");
        assert_eq!((&call["to"], &call["from"]), (&json!(CUSTOMER), &json!(OURS)));
        assert_eq!(call["variables"], json!({ "name": "Asha", "visits": 3 }));
        assert_eq!(desk.api.dialled(CUSTOMER), 1);
        let ordered = desk.api.finished(1).await;
        assert_eq!(call["carrier_call_id"].as_str(), Some(ordered[0].call_id.as_str()));
        let seen = ordered[0].observation.clone().expect("its media");
        assert_eq!(seen.violations, Vec::<String>::new());
        assert!(seen.first_agent_audio_ms.is_some(), "the person called hears the agent");
        assert!(!ordered[0].callbacks.is_empty() && ordered[0].callbacks.iter().all(|c| c.taken()), "{ordered:?}");
        for request in desk.api.requests() {
            assert!(request.unknown_fields.is_empty() && request.authorized, "{request:?}");
        }
        assert!(!server.output().contains("9812345678"), "no numbers in logs");
        server.stop().await;
    }

    async fn a_call_that_nobody_answers_says_why(place) {
        let world = World::new(place, colours()).await;
        let (desk, server) = Desk::open(&world, place, None).await;
        for (n, callee, reason, status) in [
            (1, Callee::Busy, "caller/busy", "busy"),
            (2, Callee::NoAnswer, "caller/no-answer", "no-answer"),
            (3, Callee::Fails, "carrier/failed", "failed"),
        ] {
            let to = format!("+91981234567{n}");
            desk.api.set_callee(&to, callee);
            let id = desk.place(&server, &to).await;
            let call = desk.ended(&server, &id).await;
            assert_eq!((&call["ended_reason"], &call["status"]), (&json!(reason), &json!(status)), "{callee:?}");
            assert_eq!(desk.api.dialled(&to), 1);
        }
        server.stop().await;
    }

    async fn an_order_without_an_answer_is_not_repeated(place) {
        let world = World::new(place, colours()).await;
        let (desk, server) = Desk::open(&world, place, None).await;
        for (n, fault) in [
            ApiFault::Cut { dialled: true },
            ApiFault::ServerError { dialled: true },
            ApiFault::Empty { dialled: true },
            ApiFault::Html { dialled: true },
        ].into_iter().enumerate() {
            let to = format!("+91981234560{n}");
            desk.api.fail_order(fault.clone());
            let id = desk.place(&server, &to).await;
            // The media comes although the order had no answer: it is that call.
            let call = desk.ended(&server, &id).await;
            assert_eq!(call["ended_reason"], json!("caller/hung-up"), "{fault:?}: {call}");
            assert_eq!(desk.api.dialled(&to), 1, "{fault:?}");
        }
        desk.api.fail_order(ApiFault::Refused(Refusal::new(402, "no money").with_code("34007").in_success()));
        let id = desk.place(&server, "+919812345699").await;
        assert_eq!(desk.ended(&server, &id).await["ended_reason"], json!("carrier/refused"));
        assert_eq!(desk.api.dialled("+919812345699"), 0);
        server.stop().await;
    }

    async fn killed_while_dialling_it_does_not_dial_again(place) {
        let world = World::new(place, colours()).await;
        let (desk, mut server) = Desk::open(&world, place, None).await;
        desk.api.fail_order(ApiFault::Hang { dialled: true });
        let id = desk.place(&server, CUSTOMER).await;
        eventually("the order is out", OVER_WITHIN, async || (desk.api.dialled(CUSTOMER) == 1).then_some(())).await;
        server.kill().await;
        let server = start(&world, &desk.api).await;
        // The answer to the order is lost with the process; the carrier's list of calls has it.
        let call = eventually("the call is found at the carrier", OVER_WITHIN, async || {
            Some(desk.look(&server, &id).await).filter(|call| !call["carrier_call_id"].is_null())
        })
        .await;
        let ordered = desk.api.calls();
        assert_eq!(call["carrier_call_id"].as_str(), Some(ordered[0].call_id.as_str()));
        assert_eq!(desk.api.dialled(CUSTOMER), 1);
        server.stop().await;
    }

    async fn a_call_through_a_flow_is_one_call(place) {
        let world = World::new(place, colours()).await;
        let (desk, server) = Desk::open(&world, place, Some("123456")).await;
        let path = format!("/api/phone-numbers/{}/webhook-address", desk.number);
        let answer = ask(&server, Method::POST, &path, Some(&desk.person.access), None).await;
        let address = |name: &str| {
            let text = answer.body.to_string();
            let from = text.find(&format!("/webhooks/exotel/{name}/")).expect("an address");
            let rest = &text[from..];
            format!("{}{}", server.url, &rest[..rest.find('"').expect("its end")])
        };
        desk.api.set_flow(&address("voicebot"), Some(&address("passthru")), None);
        let id = desk.place(&server, CUSTOMER).await;
        let call = desk.ended(&server, &id).await;
        assert_eq!(call["ended_reason"], json!("caller/hung-up"), "{call}");
        let all = desk.person.get(&server, "/api/calls").await;
        assert_eq!(all.body["items"].as_array().map(Vec::len), Some(1), "{all:?}");
        server.stop().await;
    }

    async fn what_is_not_ordered_yet_can_be_taken_back(place) {
        let world = World::new(place, colours()).await;
        let (desk, server) = Desk::open(&world, place, None).await;
        let id = desk.place(&server, CUSTOMER).await;
        desk.ended(&server, &id).await;
        let late = desk.person.post(&server, &format!("/api/calls/{id}/cancel"), json!({})).await;
        assert_eq!(late.status, 409, "{late:?}");
        server.stop().await;
    }

    async fn a_live_call_is_ended_and_knew_whom_it_called(place) {
        let world = World::new(place, colours()).await;
        let (desk, server) = Desk::open(&world, place, None).await;
        let mut config = serde_json::to_value(talker(1)).expect("JSON");
        config["greeting"] = json!("Hello {{name}}, this is visit {{visits}}.");
        config["brain"]["base_url"] = json!(world.vendors.openai_url());
        config["brain"]["system_prompt"] = json!("You speak with {{name}}.");
        let agent = json!({ "name": "Talker", "config": config });
        let agent = desk.person.make(&server, "/api/agents", agent).await;
        let mut order = desk.order(STAYS);
        order["agent_id"] = json!(agent);
        let id = desk.person.make(&server, "/api/calls", order).await;
        eventually("the agent greets", OVER_WITHIN, async || {
            world.vendors.last_speech().contains("Hello Asha, this is visit").then_some(())
        })
        .await;
        let path = format!("/api/calls/{id}/hang-up");
        let answer = desk.person.post(&server, &path, json!({})).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let call = desk.ended(&server, &id).await;
        assert_eq!(call["ended_reason"], json!("operator/hung-up"), "{call}");
        assert_eq!(desk.person.post(&server, &path, json!({})).await.status, 409);
        server.stop().await;
    }

    /// The carrier's own recording is fetched from its host, minutes later in life, seconds here.
    async fn the_carriers_recording_is_fetched(place) {
        let world = World::new(place, colours()).await;
        let (desk, server) = Desk::open(&world, place, None).await;
        let id = desk.place(&server, CUSTOMER).await;
        desk.ended(&server, &id).await;
        let ready = eventually("both recordings are there", Duration::from_secs(60), async || {
            let list = desk.person.get(&server, &format!("/api/calls/{id}/recordings")).await;
            let items = list.body.as_array().or(list.body["items"].as_array()).cloned().unwrap_or_default();
            let ready = items.into_iter().filter(|r| r["status"] == "ready").collect::<Vec<_>>();
            (ready.len() == 2).then_some(ready)
        })
        .await;
        let mut sources: Vec<&str> = ready.iter().filter_map(|r| r["source"].as_str()).collect();
        sources.sort_unstable();
        assert_eq!(sources, ["carrier", "own"]);
        assert!(!desk.recordings.password_leaked());
        server.stop().await;
    }
}
