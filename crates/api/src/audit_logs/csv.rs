//! Events as comma-separated values ([RFC 4180](https://www.rfc-editor.org/rfc/rfc4180)). A spreadsheet runs cells that
//! look like formulas, and parts of an event come from strangers: such cells get an apostrophe in front.

use super::AuditEventView;

/// The first line.
pub(super) const HEADER: &str =
    "index,created_at,kind,severity,actor,ip,request_id,object_kind,object_id,data,id,hash\r\n";

/// The line of an event.
pub(super) fn line(event: &AuditEventView) -> String {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let data = serde_json::to_string(&event.data).unwrap_or_default();
    let cells = [
        event.index.map(|index| index.to_string()).unwrap_or_default(),
        event.created_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        event.kind.to_string(),
        event.severity.to_string(),
        event.actor.clone(),
        event.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        or_empty(&event.request_id),
        or_empty(&event.object_kind),
        or_empty(&event.object_id),
        data,
        event.id.to_string(),
        or_empty(&event.hash),
    ];
    let mut line = String::new();
    for (place, text) in cells.iter().enumerate() {
        if place > 0 {
            line.push(',');
        }
        cell(&mut line, text);
    }
    line.push_str("\r\n");
    line
}

fn cell(line: &mut String, text: &str) {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let quoted = text.contains(['"', ',', '\r', '\n']);
    if quoted {
        line.push('"');
    }
    if formula {
        line.push('\'');
    }
    for c in text.chars() {
        if c == '"' {
            line.push('"');
        }
        line.push(c);
    }
    if quoted {
        line.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use model::{AuditKind, Severity};
    use serde_json::json;

    #[test]
    fn cells_are_quoted_where_needed_and_never_formulas() {
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
            ("a=1", "a=1"),
        ] {
            let mut line = String::new();
            cell(&mut line, text);
            assert_eq!(line, want, "{text:?}");
        }
    }

    #[test]
    fn a_line_has_a_cell_for_each_name_of_the_header() {
        let at = DateTime::from_timestamp(1_795_000_000, 5_000).expect("a time");
        let event = AuditEventView {
            id: uuid::Uuid::from_u128(7),
            index: Some(3),
            kind: AuditKind::AgentCreated,
            severity: Severity::Info,
            actor: "user:1".to_owned(),
            ip: Some([203, 0, 113, 9].into()),
            request_id: Some("=cmd".to_owned()),
            object_kind: None,
            object_id: Some("x".to_owned()),
            data: serde_json::from_value(json!({ "a": 1 })).expect("an object"),
            created_at: at,
            hash: None,
        };
        let line = line(&event);
        let want = "3,2026-11-18T11:06:40.000005Z,agent.created,info,user:1,203.0.113.9,'=cmd,,x,\"{\"\"a\"\":1}\",\
                    00000000-0000-0000-0000-000000000007,\r\n";
        assert_eq!(line, want);
        assert_eq!(HEADER.split(',').count(), 12);
    }
}
