//! The audit log over HTTP.

use crate::agents::agent;
use crate::app::{Answer, Person, TestApp};
use chrono::Duration;
use model::{AuditKind, Severity};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use store::audit::{self, NewAuditEvent};

/// Events on record, made past the API.
async fn events(app: &TestApp, person: &Person, count: usize) {
    let now = app.now();
    // One transaction takes a thousand.
    for begin in (0..count).step_by(1_000) {
        app.store()
            .write(person.tenant, "test.events", async |tx| {
                for n in begin..count.min(begin + 1_000) {
                    let id = n.to_string();
                    let event = NewAuditEvent {
                        kind: AuditKind::CallEnded,
                        severity: if n % 10 == 0 { Severity::Warning } else { Severity::Info },
                        actor: "system",
                        ip: None,
                        request_id: None,
                        object_kind: Some("call"),
                        object_id: Some(&id),
                        data: Map::new(),
                    };
                    audit::record(tx, &event, now).await?;
                }
                Ok::<_, store::Error>(())
            })
            .await
            .expect("recorded");
    }
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let text = std::str::from_utf8(&answer.bytes).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_listed_and_filtered() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let ravi = app.member(asha.tenant, "Ravi", model::Role::Admin).await;
    let at = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let one = agent(&app, &asha, "One").await;
    app.clock.advance(Duration::seconds(10));
    let middle = at(app.now());
    let two = agent(&app, &ravi, "Two").await;
    app.delete(&format!("/api/agents/{two}"), &ravi.access_token).await.expect(204);
    events(&app, &asha, 1).await;
    let token = &asha.access_token;
    for (query, want) in [
        (String::new(), vec!["call.ended", "agent.deleted", "agent.created", "agent.created"]),
        ("kind=agent.created".to_owned(), vec!["agent.created", "agent.created"]),
        ("severity=warning".to_owned(), vec!["call.ended"]),
        (format!("actor=user:{}", ravi.user), vec!["agent.deleted", "agent.created"]),
        ("object_kind=call".to_owned(), vec!["call.ended"]),
        (format!("object_kind=agent&object_id={one}"), vec!["agent.created"]),
        (format!("created_before={middle}"), vec!["agent.created"]),
        (format!("created_from={middle}&kind=agent.created"), vec!["agent.created"]),
        ("kind=login.failed".to_owned(), vec![]),
    ] {
        let list = app.get(&format!("/api/audit-logs?{query}"), token).await.expect(200);
        let mut kinds: Vec<&str> =
            list["items"].as_array().unwrap().iter().filter_map(|e| e["kind"].as_str()).collect();
        // Within one instant the order is that of the ids.
        kinds.sort_unstable();
        let mut want = want;
        want.sort_unstable();
        assert_eq!(kinds, want, "{query}");
    }
    for (query, field) in [
        ("kind=agent.eaten", "kind"),
        ("severity=loud", "severity"),
        ("created_from=x", "created_from"),
        ("colour=red", "colour"),
        ("limit=500", "limit"),
        ("cursor=x", "cursor"),
    ] {
        let answer = app.get(&format!("/api/audit-logs?{query}"), token).await;
        assert_eq!((answer.status, answer.fields()), (400, vec![field]), "{query}");
    }
    let newest = &app.get("/api/audit-logs?kind=agent.deleted", token).await.expect(200)["items"][0];
    assert_eq!((&newest["object_kind"], &newest["object_id"]), (&json!("agent"), &json!(two)));
    assert_eq!(newest["ip"], "127.0.0.1");
    assert!(newest["request_id"].is_string() && newest["hash"].as_str().is_some_and(|hash| hash.len() == 64));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_every_event_in_the_order_of_the_chain() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    events(&app, &asha, 1_200).await;
    let answer = app.get("/api/audit-logs/export?format=jsonl", &asha.access_token).await;
    assert_eq!(answer.header("content-type"), "application/jsonl");
    assert!(answer.header("content-disposition").starts_with("attachment; filename=\"caly-audit-2026-11-18.jsonl\""));
    let lines = lines(&answer);
    assert_eq!(lines.len(), 1_201);
    let indices: Vec<u64> = lines.iter().filter_map(|line| line["index"].as_u64()).collect();
    assert_eq!(indices, (0..1_201).collect::<Vec<u64>>());
    assert_eq!(lines[1_200]["kind"], "data.exported", "that it was exported is on record, and the last of it");
    assert_eq!(lines[1_200]["actor"], format!("user:{}", asha.user));
    let hashes: BTreeSet<&str> = lines.iter().filter_map(|line| line["hash"].as_str()).collect();
    assert_eq!(hashes.len(), 1_201);
    let filtered = app.get("/api/audit-logs/export?format=jsonl&severity=warning", &asha.access_token).await;
    let ids: Vec<String> =
        self::lines(&filtered).iter().map(|line| line["object_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, (0..1_200).step_by(10).map(|n: usize| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_after_the_export_began_is_not_part_of_it() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    events(&app, &asha, 3).await;
    let far = (app.now() + Duration::days(9)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let now = app.now();
    // One from the future stands in for one that comes while the export is read.
    let late = NewAuditEvent {
        kind: AuditKind::CallStarted,
        severity: Severity::Info,
        actor: "system",
        ip: None,
        request_id: None,
        object_kind: None,
        object_id: None,
        data: Map::new(),
    };
    app.store()
        .write(asha.tenant, "test.late", async |tx| audit::record(tx, &late, now + Duration::seconds(1)).await)
        .await
        .expect("recorded");
    for query in ["", &format!("&created_before={far}")] {
        let answer = app.get(&format!("/api/audit-logs/export?format=jsonl{query}"), &asha.access_token).await;
        assert!(lines(&answer).iter().all(|line| line["kind"] != "call.started"), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_of_strangers_do_no_harm_in_a_spreadsheet() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let now = app.now();
    let formulas = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1:A9)", "\t=1", "plain, with \"quotes\""];
    app.store()
        .write(asha.tenant, "test.formulas", async |tx| {
            for formula in formulas {
                let event = NewAuditEvent {
                    kind: AuditKind::WebhookRejected,
                    severity: Severity::Warning,
                    actor: formula,
                    ip: None,
                    request_id: Some(formula),
                    object_kind: None,
                    object_id: Some(formula),
                    data: Map::from_iter([("said".to_owned(), formula.into())]),
                };
                audit::record(tx, &event, now).await?;
            }
            Ok::<_, store::Error>(())
        })
        .await
        .expect("recorded");
    let answer = app.get("/api/audit-logs/export?format=csv&kind=webhook.rejected", &asha.access_token).await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    let text = String::from_utf8(answer.bytes).expect("text");
    let mut rows = text.split("\r\n").filter(|row| !row.is_empty());
    assert_eq!(
        rows.next(),
        Some("index,created_at,kind,severity,actor,ip,request_id,object_kind,object_id,data,id,hash")
    );
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert_eq!(rows.len(), formulas.len());
    for (row, formula) in rows.iter().zip(formulas) {
        assert_eq!(row.len(), 12, "{row:?}");
        let harmless = if formula.starts_with("plain") { formula.to_owned() } else { format!("'{formula}") };
        for cell in [4, 6, 8] {
            assert_eq!(row[cell], harmless);
        }
        assert!(row.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t'])), "{row:?}");
    }
}

/// The cells of a row by RFC 4180, read a second way.
fn cells(row: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = row.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    cells.push(cell);
    cells
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_names_its_format_and_nothing_unknown() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    for (query, field) in
        [("", "format"), ("format=xml", "format"), ("format=csv&limit=5", "limit"), ("format=csv&kind=x", "kind")]
    {
        let answer = app.get(&format!("/api/audit-logs/export?{query}"), &asha.access_token).await;
        assert_eq!((answer.status, answer.fields()), (400, vec![field]), "{query}");
    }
    assert!(app.audited(asha.tenant).await.is_empty(), "nothing was exported");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisations_log_is_not_there() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    events(&app, &asha, 5).await;
    assert_eq!(app.get("/api/audit-logs", &ravi.access_token).await.expect(200)["items"], json!([]));
    let exported = lines(&app.get("/api/audit-logs/export?format=jsonl", &ravi.access_token).await);
    assert_eq!(exported.iter().map(|line| &line["kind"]).collect::<Vec<_>>(), ["data.exported"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_log_neither_skip_nor_repeat() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    events(&app, &asha, 120).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/api/audit-logs?limit=50{cursor}"), &asha.access_token).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|event| event["index"].as_u64().unwrap()));
        app.clock.advance(Duration::seconds(1));
        events(&app, &asha, 1).await;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 120);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), (0..120).collect());
}
