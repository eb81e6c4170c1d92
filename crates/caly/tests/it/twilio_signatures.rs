//! Our reading of `X-Twilio-Signature` against the carrier's own library, on requests made up at random.

use secrecy::SecretString;
use serde_json::{Value, json};
use std::path::Path;
use tokio::process::Command;
use wire::signature::{Verdict, twilio};

/// Requests compared.
const REQUESTS: usize = 500;
/// Signs each request with the library, and asks it about our signature and about ours with one bit changed.
const COMPARE: &str = r#"
import base64, json, sys
from twilio.request_validator import RequestValidator
class Parameters(dict):
    def __init__(self, pairs):
        super().__init__(pairs)
        self.pairs = pairs
    def getlist(self, name):
        return [v for n, v in self.pairs if n == name]
for line in open(sys.argv[1], encoding="utf-8"):
    one = json.loads(line)
    validator = RequestValidator(one["token"])
    url, parameters, ours = one["url"], Parameters(one["parameters"]), one["signature"]
    raw = bytearray(base64.b64decode(ours))
    raw[one["bit"] // 8] ^= 1 << one["bit"] % 8
    print(json.dumps({
        "signature": validator.compute_signature(url, parameters),
        "believed": validator.validate(url, parameters, ours),
        "changed": validator.validate(url, parameters, base64.b64encode(raw).decode()),
    }))
"#;
/// Names and values are put together from these.
const PIECES: [&str; 16] =
    ["a", "B", "CallSid", "From", "+1415", " ", "&", "=", "?", "é", "नमस्ते", "😀", "\"", "%2B", "\n", "\u{10ffff}"];

/// Steele, Lea, Flood: SplitMix64. The same requests each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn text(&mut self, pieces_max: usize) -> String {
        (0..self.below(pieces_max + 1)).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }

    fn url(&mut self) -> String {
        let scheme = ["https", "http"][self.below(2)];
        let port = ["", "", ":443", ":80", ":8443"][self.below(5)];
        let path = ["/", "/answer", "/webhooks/twilio/status/tok-en_1", "/a%20b/", "/a;b"][self.below(5)];
        let query = ["", "", "?a=1", "?b=2&a=%2B1&a=", "?x=http://y:1/"][self.below(5)];
        format!("{scheme}://caly.example{port}{path}{query}")
    }

    /// Unicode, empty ones, names that repeat.
    fn parameters(&mut self) -> Vec<(String, String)> {
        let mut pairs: Vec<(String, String)> = (0..self.below(8)).map(|_| (self.text(2), self.text(4))).collect();
        if let Some((name, value)) = pairs.first().cloned() {
            match self.below(3) {
                0 => pairs.push((name, self.text(3))),
                1 => pairs.push((name, value)),
                _ => {}
            }
        }
        pairs
    }
}

#[tokio::test]
async fn the_carriers_own_library_agrees() {
    let mut chance = Chance(7);
    let mut lines = String::new();
    let mut ours = Vec::new();
    for _ in 0..REQUESTS {
        let (token, url, parameters) = (format!("{:x}", chance.below(1 << 40)), chance.url(), chance.parameters());
        let signature = twilio::sign(&SecretString::from(token.clone()), &url, &parameters);
        let bit = chance.below(160);
        let line = json!({ "token": token, "url": url, "parameters": parameters, "signature": signature, "bit": bit });
        lines.push_str(&format!("{line}\n"));
        ours.push((SecretString::from(token), url, parameters, signature));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (requests, program) = (folder.path().join("requests.jsonl"), folder.path().join("compare.py"));
    std::fs::write(&requests, lines).expect("written");
    std::fs::write(&program, COMPARE).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/with-twilio");
    let run = Command::new(script).arg(program).arg(requests).kill_on_drop(true).output();
    let run = run.await.expect("it runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let said = String::from_utf8_lossy(&run.stdout);
    let answers: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), REQUESTS);
    for ((token, url, parameters, signature), answer) in ours.iter().zip(answers) {
        let theirs = answer["signature"].as_str().expect("a text");
        assert_eq!(theirs, signature, "{url} {parameters:?}");
        assert_eq!((&answer["believed"], &answer["changed"]), (&json!(true), &json!(false)), "{url} {parameters:?}");
        assert_eq!(twilio::verify(token, url, parameters, Some(theirs)), Verdict::Valid, "{url} {parameters:?}");
    }
}
