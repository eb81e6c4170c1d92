//! Flows: files that are refused and why, and whole dialogues from `flows/*.txt`.
//!
//! A dialogue: `flow: clinic.toml`, `today: 2026-11-21 11:00`, then what is expected and what is put in, in order:
//! `agent: …` (`agent!: …` may not be interrupted), `tool: name key=value …`, `transfer: …`, `hang-up`, `reminder: …`
//! are compared exactly; `caller: …`, `result: key=value; …`, `fails: why`, `silence` are put in.

use call::flow::{Completeness, Expectation, Flow, FlowContext, FlowRun, FlowStep, SlotValue, Then};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn flow_file(name: &str) -> Flow {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../flows").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Flow::parse(&text).unwrap_or_else(|e| panic!("{name}:\n{e}"))
}

fn context() -> FlowContext {
    FlowContext {
        today: NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date"),
        now: NaiveTime::from_hms_opt(11, 0, 0).expect("a time"),
        caller_number: Some("+919876501234".into()),
        variables: [("name".to_owned(), "Asha".to_owned())].into(),
    }
}

/// Says the step as dialogue lines.
fn show(step: &FlowStep, out: &mut String) {
    for line in &step.say {
        let mark = if line.interruptible { "" } else { "!" };
        let _ = writeln!(out, "agent{mark}: {}", line.text);
    }
    match &step.then {
        Then::Listen => {}
        Then::RunTool { name, arguments } => {
            let arguments: Vec<String> = arguments.iter().map(|(k, v)| format!(" {k}={v}")).collect();
            let _ = writeln!(out, "tool: {name}{}", arguments.concat());
        }
        Then::Transfer { to } => {
            let _ = writeln!(out, "transfer: {to}");
        }
        Then::HangUp => out.push_str("hang-up\n"),
    }
}

/// Replays the inputs of a dialogue and writes the whole dialogue anew.
fn replay(text: &str) -> String {
    let mut out = String::new();
    let mut run: Option<FlowRun> = None;
    let mut ctx = context();
    let mut begun = false;
    for line in text.lines() {
        let (head, rest) = line.split_once(':').map_or((line, ""), |(h, r)| (h, r.trim()));
        if let (Some(run), false) = (run.as_mut(), matches!(head, "flow" | "today" | "#") || begun || line.is_empty()) {
            begun = true;
            show(&run.begin(&ctx), &mut out);
        }
        let pairs = || -> BTreeMap<String, String> {
            rest.split(';')
                .filter_map(|p| p.trim().split_once('='))
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect()
        };
        let step = match (head, run.as_mut()) {
            ("flow", _) => {
                run = Some(FlowRun::new(flow_file(rest)));
                let _ = writeln!(out, "{line}");
                continue;
            }
            ("today", _) => {
                let at = NaiveDateTime::parse_from_str(rest, "%Y-%m-%d %H:%M").expect("today: date and time");
                ctx.today = at.date();
                ctx.now = at.time();
                let _ = writeln!(out, "{line}");
                continue;
            }
            ("caller", Some(run)) => run.heard(rest, &ctx),
            ("result", Some(run)) => run.tool_finished(Ok(pairs()), &ctx),
            ("fails", Some(run)) => run.tool_finished(Err(rest.to_owned()), &ctx),
            ("silence", Some(run)) => {
                let said = run.silence().unwrap_or_else(|| format!("(goodbye) {}", run.goodbye()));
                let _ = writeln!(out, "{line}\nreminder: {said}");
                continue;
            }
            ("agent" | "agent!" | "tool" | "transfer" | "hang-up" | "reminder", _) => continue,
            _ => {
                let _ = writeln!(out, "{line}");
                continue;
            }
        };
        let _ = writeln!(out, "{line}");
        show(&step, &mut out);
    }
    out
}

#[expect(clippy::disallowed_methods, reason = "a switch of the test: UPDATE_DIALOGUES=1 writes the files anew")]
fn dialogue(name: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/flows").join(format!("{name}.txt"));
    let want = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let got = replay(&want);
    if std::env::var_os("UPDATE_DIALOGUES").is_some() {
        std::fs::write(&path, &got).expect("write the dialogue");
        return;
    }
    for (i, (want, got)) in want.lines().zip(got.lines()).enumerate() {
        assert_eq!(got, want, "{name}.txt line {}", i + 1);
    }
    assert_eq!(got.lines().count(), want.lines().count(), "{name}.txt: number of lines\n{got}");
}

macro_rules! dialogues {
    ($($name:ident),* $(,)?) => { $(#[test] fn $name() { dialogue(stringify!($name)); })* };
}

dialogues! {
    clinic_demo,
    clinic_misheard,
    clinic_several_at_once,
    clinic_corrections,
    clinic_change,
    clinic_refusals,
    clinic_intents,
    clinic_hinglish,
    clinic_pieces,
    clinic_gives_up,
    clinic_not_booked,
    clinic_silence,
    loan_pays,
    loan_promises,
    loan_no_calls,
    loan_no_data,
    order_found,
    order_not_found,
}

#[test]
fn every_dialogue_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/flows");
    assert_eq!(std::fs::read_dir(folder).expect("the folder").count(), 18);
}

const SMALLEST: &str = "name = \"x\"\n[[step]]\nid = \"a\"\nhang_up = \"Bye.\"\n";

#[test]
fn smallest_flow() {
    let mut run = FlowRun::new(Flow::parse(SMALLEST).expect("a flow"));
    let step = run.begin(&context());
    assert_eq!(step.then, Then::HangUp);
    assert_eq!(step.say.first().map(|l| l.text.as_str()), Some("Bye."));
    assert_eq!(run.heard("hello", &context()).then, Then::HangUp);
    assert_eq!(run.step_id(), None);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn refused_files() {
    for (file, wants) in [
        ("name = ", vec!["file: not TOML"]),
        ("name = \"x\"", vec!["file: there is no step"]),
        ("[[step]]\nid = \"a\"\nhang_up = \"Bye\"", vec!["file: `name` is missing"]),
        (
            "name = \"x\"\nlanguage = \"ta-IN\"\ncolour = 1\n[[step]]\nid = \"a\"\nhang_up = \"Bye\"",
            vec!["language `ta-IN`", "unknown key `colour`"],
        ),
        ("name = \"x\"\n[[step]]\nsay = \"Hi\"", vec!["step 1: `id` is missing"]),
        ("name = \"x\"\n[[step]]\nid = \"a\"", vec!["step `a`: does nothing"]),
        ("name = \"x\"\n[[step]]\nid = \"a\"\nhang_up = \"Bye\"\nsey = \"x\"", vec!["step `a`: unknown key `sey`"]),
        (
            "name = \"x\"\n[[step]]\nid = \"a\"\nsay = \"Hi\"\nnext = \"b\"",
            vec!["step `a`: `next` names step `b`, which does not exist"],
        ),
        (
            "name = \"x\"\n[[step]]\nid = \"a\"\nsay = \"Hi\"\n[[step]]\nid = \"a\"\nhang_up = \"Bye\"",
            vec!["two steps with this id"],
        ),
        ("name = \"x\"\n[[step]]\nid = \"a\"\nsay = \"Hi {who}\"", vec!["step `a`: uses {who}"]),
        ("name = \"x\"\n[[step]]\nid = \"a\"\nsay = \"Hi {who\"", vec!["a brace does not close"]),
        ("name = \"x\"\n[[step]]\nid = \"a\"\nsay = \"Hi {business.phone}\"", vec!["uses {business.phone}"]),
        (
            "name = \"x\"\n[[step]]\nid = \"a\"\nhang_up = \"Bye\"\n[[step]]\nid = \"b\"\nhang_up = \"Bye\"",
            vec!["step `b`: can never be reached"],
        ),
        (
            "name = \"x\"\n[[step]]\nid = \"a\"\nsay = \"Hi\"\n[[step]]\nid = \"b\"\nsay = \"Ho\"\nnext = \"a\"",
            vec!["step `a`: comes round", "step `b`: comes round"],
        ),
        ("name = \"x\"\n[[step]]\nid = \"a\"\nask = \"Q?\"\nkind = \"dat\"\nslot = \"s\"", vec!["`kind` is `dat`"]),
        ("name = \"x\"\n[[step]]\nid = \"a\"\nask = \"Q?\"\nkind = \"date\"", vec!["`slot` is missing"]),
        (
            "name = \"x\"\n[[step]]\nid = \"a\"\nask = \"Q?\"\nkind = \"choice\"\nslot = \"s\"",
            vec!["a choice needs `options`"],
        ),
        (
            "name = \"x\"\n[[step]]\nid = \"a\"\nask = \"Q?\"\nkind = \"time\"\nslot = \"s\"\naccept = { within_hours = \"No\" }",
            vec!["needs `opens` and `closes`"],
        ),
        (
            "name = \"x\"\n[[step]]\nid = \"a\"\nask = \"Q?\"\nkind = \"name\"\nslot = \"s\"\naccept = { not_past = \"No\", wrong = 1 }",
            vec!["accept: unknown key `wrong`"],
        ),
        (
            "name = \"x\"\n[[step]]\nid = \"a\"\nask = \"Q?\"\nkind = \"name\"\nslot = \"s\"\naccept = { not_past = \"No\" }",
            vec!["rule for a date or a time"],
        ),
        (
            "name = \"x\"\n[[step]]\nid = \"a\"\nask = \"Q?\"\nkind = \"name\"\nslot = \"s\"\nretries_max = 99",
            vec!["at most 10"],
        ),
        ("name = \"x\"\n[[step]]\nid = \"a\"\ntool = \"t\"", vec!["`on_failure` is missing"]),
        ("name = \"x\"\n[[step]]\nid = \"a\"\nbranch = \"s\"", vec!["`when` is missing"]),
        (
            "name = \"x\"\n[[step]]\nid = \"a\"\nbranch = \"s\"\nwhen = { yes = \"b\" }\n[[step]]\nid = \"b\"\nhang_up = \"Bye\"",
            vec!["branches on slot `s`, which no step fills"],
        ),
        (
            "name = \"x\"\n[[step]]\nid = \"a\"\nask = \"Q?\"\nconfirm = \"C?\"\nkind = \"name\"\nslot = \"s\"",
            vec!["has ask and confirm at once"],
        ),
        (
            "name = \"x\"\n[business]\nopens = \"9\"\ncloses = \"18:00\"\nclosed_on = [\"Funday\"]\n[[step]]\nid = \"a\"\nhang_up = \"Bye\"",
            vec!["`opens` is `9`", "`closed_on` has `Funday`"],
        ),
        (
            "name = \"x\"\n[business]\nopens = \"19:00\"\ncloses = \"18:00\"\n[[step]]\nid = \"a\"\nhang_up = \"Bye\"",
            vec!["must be later"],
        ),
        (
            "name = \"x\"\n[[intent]]\nid = \"i\"\nphrases = []\n[[step]]\nid = \"a\"\nhang_up = \"Bye\"",
            vec!["`phrases` is missing", "intent `i`: does nothing"],
        ),
        (
            "name = 5\n[[step]]\nid = \"a\"\nhang_up = true\nnext = \"a\"",
            vec!["`name` must be a text", "`hang_up` must be a text", "`next` has no meaning"],
        ),
    ] {
        let error = Flow::parse(file).expect_err(file).to_string();
        for want in wants {
            assert!(error.contains(want), "{file}\nwants {want:?}, says:\n{error}");
        }
    }
}

#[test]
fn too_large() {
    let many: String = (0..201).map(|i| format!("[[step]]\nid = \"s{i}\"\nsay = \"Hi\"\n")).collect();
    let error = Flow::parse(&format!("name = \"x\"\n{many}")).expect_err("too many").to_string();
    assert!(error.contains("201 steps are too many"), "{error}");
    let long = format!("name = \"{}\"", "x".repeat(200_000));
    assert!(Flow::parse(&long).expect_err("too long").to_string().contains("larger than"));
}

/// The clinic at the question named.
fn clinic_at(step: &str) -> FlowRun {
    let mut run = FlowRun::new(flow_file("clinic.toml"));
    run.begin(&context());
    for (id, answer) in [("day", "Tuesday"), ("time", "ten am"), ("name", "Charlie"), ("phone", "9876501234")] {
        if id == step {
            break;
        }
        run.heard(answer, &context());
    }
    assert_eq!(run.step_id(), Some(step));
    run
}

#[test]
fn expectations_and_completeness() {
    use Completeness::{Complete, Partial, Unknown};
    for (step, expected, answers) in [
        (
            "day",
            Expectation::Date,
            vec![("Tuesday", Complete), ("Tuesday and", Partial), ("I would like to", Partial), ("well", Unknown)],
        ),
        (
            "time",
            Expectation::Time,
            vec![("At ten A.M.", Complete), ("at ten", Complete), ("ten", Unknown), ("half past", Partial)],
        ),
        (
            "name",
            Expectation::Name,
            vec![("Charlie.", Complete), ("my name is", Partial), ("hmm let us see now", Unknown)],
        ),
        (
            "phone",
            Expectation::Phone,
            vec![
                ("nine eight seven six five zero one two three four", Complete),
                ("nine eight seven six", Partial),
                ("The number I have is", Partial),
                ("The number I have is nine eight seven six five", Partial),
                ("hello", Unknown),
            ],
        ),
        (
            "read-back",
            Expectation::YesNo,
            vec![("This is correct.", Complete), ("No, it should be", Partial), ("what", Unknown)],
        ),
    ] {
        let run = clinic_at(step);
        assert_eq!(run.expecting(), Some(expected), "{step}");
        for (text, want) in answers {
            assert_eq!(run.finished_answer(text), want, "{step}: {text:?}");
        }
    }
}

#[test]
fn what_the_demo_caller_says_is_understood() {
    for day in ["Hello. For Tuesday.", "for Tuesday", "Hello for Tuesday", "Hello, for Tuesday.", "Tuesday."] {
        for time in ["At ten A.M.", "At 10 a.m.", "at 10 am", "At 10 A M", "At ten am."] {
            for name in ["Charlie.", "Victor.", "charlie", "Victor"] {
                for phone in [
                    "The number I have is nine eight seven six five zero one two three four",
                    "The number I have is 9876501234.",
                    "The number I have is 9 8 7 6 5 0 1 2 3 4.",
                    "the number I have is nine eight seven six five oh one two three four",
                ] {
                    let mut run = FlowRun::new(flow_file("clinic.toml"));
                    run.begin(&context());
                    for answer in [day, time, name, phone] {
                        run.heard(answer, &context());
                    }
                    assert_eq!(run.step_id(), Some("read-back"), "{day} {time} {name} {phone}");
                    let step = run.heard("This is correct.", &context());
                    assert!(matches!(step.then, Then::RunTool { .. }), "{step:?}");
                    run.tool_finished(Ok(BTreeMap::new()), &context());
                    assert_eq!(run.heard("Thank you. Goodbye.", &context()).then, Then::HangUp);
                }
            }
        }
    }
}

#[test]
fn slots_serialise() {
    let run = clinic_at("read-back");
    let json = serde_json::to_value(run.slots()).expect("json");
    assert_eq!(
        json,
        serde_json::json!({
            "day": {"kind": "date", "value": "2026-11-24"},
            "time": {"kind": "time", "value": "10:00:00"},
            "name": {"kind": "name", "value": "Charlie"},
            "phone": {"kind": "phone", "value": "9876501234"},
        })
    );
    let back: BTreeMap<String, SlotValue> = serde_json::from_value(json).expect("slots");
    assert_eq!(&back, run.slots());
    let step = clinic_at("time").heard("at ten", &context());
    let json = serde_json::to_string(&step).expect("json");
    assert_eq!(serde_json::from_str::<FlowStep>(&json).expect("a step"), step);
}

#[test]
fn debug_of_the_context_hides_the_number() {
    assert!(!format!("{:?}", context()).contains("98765"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_caller(texts in proptest::collection::vec(".{0,40}|(yes|no|Tuesday at ten|wait|9876501234|Charlie|Sunday|repeat)", 0..30)) {
        for file in ["clinic.toml", "loan-reminder.toml", "order-status.toml"] {
            let mut run = FlowRun::new(flow_file(file));
            let mut again = run.clone();
            prop_assert_eq!(run.begin(&context()), again.begin(&context()));
            for text in &texts {
                let step = run.heard(text, &context());
                prop_assert_eq!(&step, &again.heard(text, &context()));
                for line in &step.say {
                    prop_assert!(!line.text.contains(['{', '}']) && !line.text.chars().any(|c| c.is_ascii_digit()), "{}", line.text);
                }
            }
        }
    }

    #[test]
    fn any_file(text in "(name = \"x\"\n)?(\\[\\[step\\]\\]\n(id|say|ask|next|kind|tool|when) = (\"a\"|\\{\\}|\\[\\]|5)\n){0,3}.{0,30}") {
        let _ = Flow::parse(&text);
    }
}

#[test]
fn the_documented_example_is_a_flow() {
    let page = include_str!("../../../../docs/flows.md");
    let (_, rest) = page.split_once("```toml").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    Flow::parse(example).unwrap_or_else(|error| panic!("docs/flows.md: {error}"));
}
