//! What is kept of a call once it is over.

use crate::database::{Tenant, TestDatabase, at, both_databases, object, owner};
use chrono::Duration;
use model::{AgentConfig, CallCounts, CallId, CallUsage, EndedReason, Stage};
use serde_json::{Map, Value, json};
use store::call_records::{
    self, ANALYSES_PER_CALL_MAX, ANALYZE_JOB, AnalysisState, Asked, CallAnalysis, CallRecord, Cost, CostLine, CostPart,
    Currency, Judgement,
};
use store::calls::{self, Call, CallFilter};
use store::jobs::JobState;
use store::{Error, PageRequest, agents, jobs};

const LEASE: Duration = Duration::seconds(30);

/// A call in progress of an agent that wants this.
async fn live(db: &TestDatabase, tenant: &Tenant, sid: &str, config: Option<Value>) -> Result<CallId, Error> {
    let new = tenant.new_call(sid);
    db.write(tenant.id, async |tx| {
        if let Some(config) = config {
            let config: AgentConfig = serde_json::from_value(config).expect("a configuration");
            agents::update(tx, new.agent, "Asha", &config, at(0)).await?;
        }
        let id = calls::create(tx, &new, at(0)).await?.into_call().id;
        calls::begin_media(tx, id, &owner("a", 1), at(1), LEASE).await?;
        Ok(id)
    })
    .await
}

async fn end(db: &TestDatabase, tenant: &Tenant, id: CallId, collected: Value) -> Result<(), Error> {
    let collected = object(collected);
    db.write(tenant.id, async |tx| {
        calls::finish(tx, id, EndedReason::AgentCompleted, at(60), 59_000, &collected).await?;
        call_records::after_end(tx, id, &collected, at(60)).await
    })
    .await
}

async fn read(db: &TestDatabase, tenant: &Tenant, id: CallId) -> Result<(Call, CallRecord), Error> {
    db.write(tenant.id, async |tx| Ok((calls::get(tx, id).await?, call_records::get(tx, id).await?))).await
}

fn wants_summary() -> Value {
    json!({
        "brain": { "kind": "language-model", "base_url": "http://m", "model": "m", "system_prompt": "x" },
        "analysis": { "summary": true },
    })
}

fn line(micros: Option<u64>) -> CostLine {
    let (provider, model) = ("sarvam".to_owned(), String::new());
    CostLine { part: CostPart::Call, stage: Stage::Transcribing, provider, model, micros }
}

fn analysis(disposition: &str, succeeded: bool) -> CallAnalysis {
    let judgement =
        Judgement { criterion: "कुछ बिका".into(), met: succeeded, reason: "हाँ".into() };
    CallAnalysis {
        summary: Some("Asha pays.".to_owned()),
        data: Some(object(json!({ "amount": 500 }))),
        disposition: Some(disposition.to_owned()),
        success: vec![judgement],
        succeeded: Some(succeeded),
        usage: None,
        at: at(70),
    }
}

both_databases! {
    async fn usage_and_cost_come_back_as_they_were(db) {
        let (ours, theirs) = (db.tenant("+918047491899").await?, db.tenant("+918047491898").await?);
        let id = live(db, &ours, "sid-1", None).await?;
        let (call, record) = read(db, &ours, id).await?;
        assert_eq!((record.usage, record.cost, call.outcome.cost), (None, None, None), "a crashed call has none");
        let mut usage = CallUsage { counts: CallCounts { barge_ins: 3, dropped_ms: 40, ..CallCounts::default() }, ..CallUsage::default() };
        usage.line(Stage::Speaking, "openai", "tts-1").expect("room").characters = 812;
        for (lines, micros) in [
            (vec![line(Some(500_000)), line(None)], Some(500_000)),
            (vec![line(None)], None),
            (vec![line(Some(0))], Some(0)),
        ] {
            let cost = Cost { currency: Currency::Inr, lines };
            db.write(ours.id, async |tx| call_records::keep(tx, id, &usage, Some(&cost)).await).await?;
            let (call, record) = read(db, &ours, id).await?;
            assert_eq!((record.usage.as_ref(), record.cost.as_ref()), (Some(&usage), Some(&cost)));
            assert_eq!(call.outcome.cost.map(|cost| cost.micros), micros);
        }
        let foreign = db.write(theirs.id, async |tx| call_records::keep(tx, id, &usage, None).await).await;
        assert!(matches!(foreign, Err(Error::NotFound)));
        assert!(matches!(db.write(theirs.id, async |tx| call_records::get(tx, id).await).await, Err(Error::NotFound)));
        db.write(ours.id, async |tx| call_records::keep(tx, id, &usage, None).await).await?;
        assert_eq!(read(db, &ours, id).await?.1.cost, None);
        Ok(())
    }

    async fn an_analysis_is_asked_for_in_the_end_and_kept_once(db) {
        let ours = db.tenant("+918047491899").await?;
        let id = live(db, &ours, "sid-1", Some(wants_summary())).await?;
        let asked = db.write(ours.id, async |tx| call_records::ask(tx, id, at(5)).await).await?;
        assert_eq!(asked, Asked::Refused, "not before its end");
        end(db, &ours, id, json!({ "tool": { "a": 1 } })).await?;
        let (call, record) = read(db, &ours, id).await?;
        assert_eq!((call.outcome.state, record.analyses), (AnalysisState::Pending, 1));
        let listed = db.write(ours.id, async |tx| jobs::list_own(tx, None, Some(ANALYZE_JOB), PageRequest::default()).await).await?;
        assert_eq!((listed.items.len(), listed.items[0].state), (1, JobState::Queued));
        assert_eq!(db.write(ours.id, async |tx| call_records::ask(tx, id, at(61)).await).await?, Asked::Refused);
        db.write(ours.id, async |tx| call_records::note_error(tx, id, "it is away").await).await?;
        assert_eq!(read(db, &ours, id).await?.1.error.as_deref(), Some("it is away"));
        let kept = analysis("paid", true);
        assert!(db.write(ours.id, async |tx| call_records::analyzed(tx, id, &kept, at(70)).await).await?);
        assert!(!db.write(ours.id, async |tx| call_records::analyzed(tx, id, &analysis("lost", false), at(71)).await).await?);
        assert!(!db.write(ours.id, async |tx| call_records::fail(tx, id, "late", at(72)).await).await?);
        let (call, record) = read(db, &ours, id).await?;
        assert_eq!((record.analysis, record.error, record.state), (Some(kept), None, AnalysisState::Ready));
        assert_eq!((call.summary.as_deref(), call.outcome.disposition.as_deref()), (Some("Asha pays."), Some("paid")));
        assert_eq!((call.outcome.succeeded, call.data), (Some(true), json!({ "tool": { "a": 1 } })));
        // Once more, and it fails: what was there stays.
        assert_eq!(db.write(ours.id, async |tx| call_records::ask(tx, id, at(80)).await).await?, Asked::Asked);
        let long = "x".repeat(5_000);
        assert!(db.write(ours.id, async |tx| call_records::fail(tx, id, &long, at(81)).await).await?);
        let (call, record) = read(db, &ours, id).await?;
        assert_eq!((call.outcome.state, call.outcome.disposition.as_deref()), (AnalysisState::Failed, Some("paid")));
        assert_eq!(record.error.map(|error| error.len()), Some(300));
        for n in 3..=ANALYSES_PER_CALL_MAX {
            assert_eq!(db.write(ours.id, async |tx| call_records::ask(tx, id, at(82)).await).await?, Asked::Asked, "{n}");
            assert!(db.write(ours.id, async |tx| call_records::fail(tx, id, "x", at(83)).await).await?);
        }
        assert_eq!(db.write(ours.id, async |tx| call_records::ask(tx, id, at(84)).await).await?, Asked::Refused);
        let nobody = db.tenant("+918047491898").await?;
        assert!(matches!(db.write(nobody.id, async |tx| call_records::ask(tx, id, at(85)).await).await, Err(Error::NotFound)));
        Ok(())
    }

    async fn a_job_that_is_given_up_leaves_its_reason(db) {
        let ours = db.tenant("+918047491899").await?;
        for (sid, noted, want) in [
            ("sid-1", Some("it is away"), "it is away"),
            ("sid-2", None, "it was tried several times and could not be made"),
        ] {
            let id = live(db, &ours, sid, Some(wants_summary())).await?;
            end(db, &ours, id, json!({})).await?;
            if let Some(noted) = noted {
                db.write(ours.id, async |tx| call_records::note_error(tx, id, noted).await).await?;
            }
            db.system(async |tx| {
                let claimed = jobs::claim(tx, &[call_records::ANALYSIS_QUEUE], "a/1", at(61), LEASE, 10).await?;
                for job in &claimed {
                    jobs::dead(tx, job.id, "a/1", "x", at(62)).await?;
                    jobs::given_up(tx, job, at(62)).await?;
                }
                Ok(())
            })
            .await?;
            let (call, record) = read(db, &ours, id).await?;
            assert_eq!((call.outcome.state, record.error.as_deref()), (AnalysisState::Failed, Some(want)));
        }
        Ok(())
    }

    async fn what_a_flow_collected_is_its_analysis(db) {
        let ours = db.tenant("+918047491899").await?;
        let flow = json!({ "brain": { "kind": "flow", "text": "x" }, "analysis": { "summary": true } });
        for (sid, collected, state) in [
            ("sid-1", json!({ "slot": "red" }), AnalysisState::Ready),
            ("sid-2", json!({}), AnalysisState::None),
        ] {
            let id = live(db, &ours, sid, Some(flow.clone())).await?;
            end(db, &ours, id, collected.clone()).await?;
            let (call, record) = read(db, &ours, id).await?;
            assert_eq!((call.outcome.state, record.analyses), (state, 0), "{sid}");
            let data: Option<Map<String, Value>> = record.analysis.and_then(|one| one.data);
            assert_eq!(data.map(Value::Object), (state == AnalysisState::Ready).then_some(collected));
        }
        let speech = json!({
            "brain": { "kind": "speech-model", "vendor": "gemini", "system_prompt": "x" },
            "analysis": { "summary": true },
        });
        let id = live(db, &ours, "sid-3", Some(speech)).await?;
        end(db, &ours, id, json!({})).await?;
        let (call, record) = read(db, &ours, id).await?;
        assert_eq!((call.outcome.state, record.error.as_deref()), (AnalysisState::Failed, Some(call_records::NO_MODEL)));
        Ok(())
    }

    async fn calls_are_listed_by_how_they_turned_out(db) {
        let ours = db.tenant("+918047491899").await?;
        for (sid, disposition, succeeded) in [("a", "paid", true), ("b", "lost", false), ("c", "paid", false)] {
            let id = live(db, &ours, sid, Some(wants_summary())).await?;
            end(db, &ours, id, json!({})).await?;
            let kept = analysis(disposition, succeeded);
            db.write(ours.id, async |tx| call_records::analyzed(tx, id, &kept, at(70)).await).await?;
        }
        live(db, &ours, "d", None).await?;
        for (disposition, succeeded, agent, want) in [
            (Some("paid"), None, None, "ac"),
            (Some("lost"), None, None, "b"),
            (Some("none"), None, None, ""),
            (None, Some(true), None, "a"),
            (None, Some(false), None, "bc"),
            (None, Some(false), Some(ours.new_call("x").agent), "bc"),
            (Some("paid"), Some(false), None, "c"),
            (None, None, None, "abcd"),
        ] {
            let filter = CallFilter { disposition: disposition.map(str::to_owned), succeeded, agent, ..CallFilter::default() };
            let listed = db.write(ours.id, async |tx| calls::list(tx, &filter, PageRequest::default()).await).await?;
            let mut found: Vec<String> = listed.items.into_iter().filter_map(|call| call.carrier_call_id).collect();
            found.sort();
            assert_eq!(found.concat(), want, "{filter:?}");
        }
        Ok(())
    }
}
