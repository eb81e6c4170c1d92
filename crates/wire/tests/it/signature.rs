//! Signatures: RFC 2202 vectors, and everything that must not pass.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use secrecy::{ExposeSecret as _, SecretString};
use wire::signature::{SignedRequest, Verdict, basic_credentials, parse_timestamp, sign_hex, verify, verify_body};

const HEX: &str = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";

fn jefe() -> SecretString {
    SecretString::from("Jefe")
}
const BODY: &[u8] = b"what do ya want for nothing?";

fn base64_of(hex: &str) -> String {
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    STANDARD.encode(bytes)
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

#[test]
fn vectors_of_rfc_2202() {
    let ones = "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\u{9}\u{a}\u{b}\u{c}\u{d}\u{e}\u{f}\u{10}\u{11}\u{12}\u{13}\u{14}\u{15}\u{16}\u{17}\u{18}\u{19}";
    for (key, body, want) in [
        ("\u{b}".repeat(20), b"Hi There".to_vec(), "b617318655057264e28bc0b6fb378c8ef146be00"),
        ("Jefe".to_owned(), BODY.to_vec(), HEX),
        (ones.to_owned(), vec![0xcd; 50], "4c9007f4026250c6bc8414f9bf50c86c2d7235da"),
    ] {
        let secret = SecretString::from(key);
        assert_eq!(sign_hex(&secret, &body), want);
        assert_eq!(verify_body(&secret, &body, Some(want)), Verdict::Valid);
    }
}

#[test]
fn the_header_may_be_written_in_several_ways() {
    let base64 = base64_of(HEX);
    for (header, want) in [
        (Some(HEX.to_owned()), Verdict::Valid),
        (Some(HEX.to_uppercase()), Verdict::Valid),
        (Some(format!("sha1={HEX}")), Verdict::Valid),
        (Some(format!("  {HEX}\t")), Verdict::Valid),
        (Some(base64.clone()), Verdict::Valid),
        (Some(base64.trim_end_matches('=').to_owned()), Verdict::Valid),
        (Some(format!("SHA1={base64}")), Verdict::Valid),
        (None, Verdict::Missing),
        (Some(String::new()), Verdict::Missing),
        (Some("   ".to_owned()), Verdict::Missing),
        (Some(HEX[..38].to_owned()), Verdict::Wrong),
        (Some(format!("{HEX}00")), Verdict::Wrong),
        (Some(HEX.replace('e', "f")), Verdict::Wrong),
        (Some(format!("sha256={HEX}")), Verdict::Wrong),
        (Some("é".repeat(20)), Verdict::Wrong),
        (Some("0".repeat(40)), Verdict::Wrong),
        (Some("A".repeat(100_000)), Verdict::Wrong),
        (Some("=".to_owned()), Verdict::Wrong),
    ] {
        assert_eq!(verify_body(&jefe(), BODY, header.as_deref()), want, "{header:.60?}");
    }
}

#[test]
fn another_body_or_secret_is_wrong_and_an_empty_secret_verifies_nothing() {
    assert_eq!(verify_body(&jefe(), b"what do ya want for nothing!", Some(HEX)), Verdict::Wrong);
    assert_eq!(verify_body(&SecretString::from("jefe"), BODY, Some(HEX)), Verdict::Wrong);
    let empty = SecretString::from("");
    let signed_with_nothing = sign_hex(&empty, BODY);
    assert_eq!(verify_body(&empty, BODY, Some(&signed_with_nothing)), Verdict::Wrong);
}

#[test]
fn a_timestamp_must_be_near_now_when_there_is_one() {
    let cases: &[(Option<&str>, Verdict)] = &[
        (None, Verdict::Valid),
        (Some(""), Verdict::Valid),
        (Some("1700000000"), Verdict::Valid),
        (Some("1699999700"), Verdict::Valid),
        (Some("1699999699"), Verdict::TooOld),
        (Some("1700000300"), Verdict::Valid),
        (Some("1700000301"), Verdict::TooOld),
        (Some("1700000000123"), Verdict::Valid),
        (Some("1699999000000"), Verdict::TooOld),
        (Some("2023-11-14T22:13:20Z"), Verdict::Valid),
        (Some("2023-11-15T03:43:20+05:30"), Verdict::Valid),
        (Some("2023-11-15 03:43:20"), Verdict::Valid),
        (Some("2023-11-14T22:00:00Z"), Verdict::TooOld),
        (Some("soon"), Verdict::TooOld),
        (Some("-1"), Verdict::TooOld),
        (Some("9223372036854775807"), Verdict::TooOld),
    ];
    for (timestamp, want) in cases {
        let request = SignedRequest { body: BODY, signature: Some(HEX), timestamp: *timestamp, body_timestamp: None };
        assert_eq!(verify(&jefe(), request, now()), *want, "{timestamp:?}");
    }
}

#[test]
fn a_wrong_signature_is_not_excused_by_a_good_timestamp() {
    let request =
        SignedRequest { body: BODY, signature: Some("00"), timestamp: Some("1700000000"), body_timestamp: None };
    assert_eq!(verify(&jefe(), request, now()), Verdict::Wrong);
    assert_eq!(verify(&jefe(), SignedRequest { signature: None, ..request }, now()), Verdict::Missing);
    assert_eq!(
        verify(&jefe(), SignedRequest { signature: Some(HEX), ..request }, now() + TimeDelta::days(1)),
        Verdict::TooOld
    );
}

#[test]
fn a_fresh_header_does_not_excuse_an_old_body() {
    for (header, body, want) in [
        (Some("1700000000"), Some("1700000000"), Verdict::Valid),
        (None, Some("1700000000"), Verdict::Valid),
        (Some("1700000000"), Some("1699990000"), Verdict::TooOld),
        (Some("1699990000"), Some("1700000000"), Verdict::TooOld),
        (Some("1700000000"), Some("soon"), Verdict::TooOld),
        (Some("1700000000"), Some(" "), Verdict::Valid),
    ] {
        let request = SignedRequest { body: BODY, signature: Some(HEX), timestamp: header, body_timestamp: body };
        assert_eq!(verify(&jefe(), request, now()), want, "{header:?} {body:?}");
    }
}

#[test]
fn a_request_is_known_again_however_its_signature_is_written() {
    let base64 = base64_of(HEX);
    let scheme = format!("sha1={}", HEX.to_uppercase());
    let of = |signature: &str, header: Option<&str>, body: Option<&str>| {
        let signature = Some(signature);
        SignedRequest { body: BODY, signature, timestamp: header, body_timestamp: body }.replay_identity()
    };
    let first = of(HEX, Some("1700000000"), None);
    assert!(first.is_some());
    for (signature, header) in [
        (base64.as_str(), "1700000000"),
        (scheme.as_str(), "1700000000000"),
        (base64.trim_end_matches('='), " 2023-11-14T22:13:20Z "),
    ] {
        assert_eq!(of(signature, Some(header), None), first, "{signature} {header}");
    }
    assert_ne!(of(HEX, Some("1700000001"), None), first, "sent anew");
    assert_ne!(of(&HEX.replace('e', "f"), Some("1700000000"), None), first);
    // The header's time says nothing when the body has one: another header makes no other request of it.
    let in_body = of(HEX, None, Some("1700000000"));
    assert!(in_body.is_some());
    assert_eq!(of(HEX, Some("1700000099"), Some("1700000000")), in_body);
    assert_eq!(of(HEX, None, None), None, "without a time it may come again");
    assert_eq!(of("nonsense", Some("1700000000"), None), None);
}

#[test]
fn a_body_that_signs_no_time_is_known_again_whatever_its_header_says() {
    let of = |signature: Option<&str>, header: Option<&str>, body: Option<&str>| {
        SignedRequest { body: BODY, signature, timestamp: header, body_timestamp: body }.untimed_identity()
    };
    let first = of(Some(HEX), Some("1700000000"), None);
    assert!(first.is_some());
    for header in [Some("1700000001"), Some("soon"), Some(" "), None] {
        assert_eq!(of(Some(HEX), header, None), first, "{header:?}");
        assert_eq!(of(Some(&base64_of(HEX)), header, Some(" ")), first, "{header:?}");
    }
    assert_ne!(of(Some(&HEX.replace('e', "f")), None, None), first);
    assert_eq!(of(Some(HEX), Some("1700000000"), Some("1700000000")), None, "it signs its time");
    assert_eq!((of(None, None, None), of(Some("nonsense"), None, None)), (None, None));
}

#[test]
fn basic_credentials_are_read() {
    let long = format!("Basic {}", "QUFB".repeat(500));
    for (header, want) in [
        ("Basic ZXhvdGVsOnNlY3JldDptb3Jl", Some("exotel:secret:more")),
        ("basic  ZXhvdGVsOnNlY3JldDptb3Jl ", Some("exotel:secret:more")),
        ("Basic YTo", Some("a:")),
        ("Basic YTo=", Some("a:")),
        ("Basic YWJj", None),
        ("Basic ///", None),
        ("Basic", None),
        ("Bearer ZXhvdGVsOnNlY3JldDptb3Jl", None),
        (long.as_str(), None),
        ("", None),
    ] {
        let read = basic_credentials(header);
        assert_eq!(read.as_ref().map(|pair| pair.expose_secret()), want, "{header:.40}");
        assert!(!format!("{read:?}").contains("secret:more"));
    }
}

#[test]
fn timestamps_in_seconds_and_milliseconds() {
    assert_eq!(parse_timestamp("1700000000"), Some(now()));
    assert_eq!(parse_timestamp(" 1700000000500 ").map(|at| at.timestamp_millis()), Some(1_700_000_000_500));
    assert_eq!(parse_timestamp("1e9"), None);
}

#[test]
fn the_secret_does_not_print() {
    assert!(!format!("{:?}", jefe()).contains("Jefe"));
}

proptest! {
    #[test]
    fn what_is_signed_is_valid_and_one_changed_byte_is_not(key in "[ -~]{1,40}", mut body in proptest::collection::vec(any::<u8>(), 1..200), at in any::<proptest::sample::Index>()) {
        let secret = SecretString::from(key);
        let signature = sign_hex(&secret, &body);
        prop_assert_eq!(verify_body(&secret, &body, Some(&signature)), Verdict::Valid);
        prop_assert_eq!(verify_body(&secret, &body, Some(&base64_of(&signature))), Verdict::Valid);
        let i = at.index(body.len());
        body[i] ^= 1;
        prop_assert_eq!(verify_body(&secret, &body, Some(&signature)), Verdict::Wrong);
    }

    #[test]
    fn no_header_makes_it_panic(header in ".{0,200}", timestamp in ".{0,60}") {
        let _ = verify(&jefe(), SignedRequest { body: BODY, signature: Some(&header), timestamp: Some(&timestamp), body_timestamp: Some(&timestamp) }, now());
        let _ = parse_timestamp(&timestamp);
    }
}
