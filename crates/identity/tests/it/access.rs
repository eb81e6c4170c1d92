//! Access tokens: what is accepted, and everything that must not be.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::{DateTime, Duration, Utc};
use hmac::{Hmac, KeyInit, Mac};
use identity::access::{LEEWAY_S, LIFETIME_S, PREVIOUS_SECRETS_MAX, TOKEN_BYTES_MAX};
use identity::{AccessError, AccessTokens, Claims, SecretError, Subject};
use model::{OrganisationId, SessionId, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};
use uuid::Uuid;

const SECRET: &str = "a secret of more than thirty-two bytes, for tests";

fn secret(text: &str) -> SecretString {
    text.into()
}

fn tokens() -> AccessTokens {
    AccessTokens::new(&secret(SECRET)).expect("long enough")
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_366_400, 0).expect("a time")
}

fn subject() -> Subject {
    Subject {
        user: UserId(Uuid::from_u128(1)),
        tenant: OrganisationId(Uuid::from_u128(2)),
        session: SessionId(Uuid::from_u128(3)),
    }
}

fn issued() -> String {
    tokens().issue(subject(), now()).expect("a token").text.expose_secret().to_owned()
}

/// Header and payload of a token that is accepted, to be spoilt.
fn parts() -> (Value, Value) {
    let token = issued();
    let mut parts = token.split('.').map(|part| BASE64.decode(part).expect("base64"));
    let mut next = || serde_json::from_slice(&parts.next().expect("three parts")).expect("JSON");
    (next(), next())
}

fn hs256(message: &str, key: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).expect("any key").chain_update(message).finalize().into_bytes().to_vec()
}

/// Signs any text as header and payload, rightly.
fn signed_text(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(payload));
    let signature = hs256(&message, SECRET.as_bytes());
    format!("{message}.{}", BASE64.encode(signature))
}

fn signed(header: &Value, payload: &Value) -> String {
    signed_text(&header.to_string(), &payload.to_string())
}

fn verify(token: &str) -> Result<Claims, AccessError> {
    tokens().verify(token, now())
}

#[test]
fn what_was_issued_is_read_back() {
    let token = tokens().issue(subject(), now() + Duration::milliseconds(700)).unwrap();
    assert_eq!(token.expires_at, now() + Duration::seconds(LIFETIME_S));
    let claims = verify(token.text.expose_secret()).unwrap();
    assert_eq!(claims.subject, subject());
    assert_eq!((claims.issued_at, claims.expires_at), (now(), token.expires_at));
    let other = verify(&issued()).unwrap();
    assert_ne!(claims.token_id, other.token_id);
    assert!(token.text.expose_secret().len() < 700);
    assert!(!format!("{token:?} {:?}", tokens()).contains("eyJ"));
    assert!(!format!("{:?}", tokens()).contains("secret of"));
}

#[test]
fn the_token_says_what_it_should() {
    let (header, payload) = parts();
    assert_eq!(header["alg"], "HS256");
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(header["kid"].as_str().map(str::len), Some(11));
    assert_eq!(header.as_object().unwrap().len(), 3);
    let want = json!({
        "iss": "caly", "aud": "caly-api", "sub": subject().user, "org": subject().tenant, "sid": subject().session,
        "jti": payload["jti"], "iat": now().timestamp(), "nbf": now().timestamp(), "exp": now().timestamp() + 600,
    });
    assert_eq!(payload, want);
    // What the tests sign themselves is accepted when nothing is spoilt.
    assert!(verify(&signed(&header, &payload)).is_ok());
}

#[test]
fn only_hs256() {
    let (mut header, payload) = parts();
    for (algorithm, want) in [
        ("none", AccessError::Malformed),
        ("None", AccessError::Malformed),
        ("nOnE", AccessError::Malformed),
        ("NONE", AccessError::Malformed),
        ("", AccessError::Malformed),
        ("hs256", AccessError::Malformed),
        ("HS256 ", AccessError::Malformed),
        ("HS384", AccessError::Algorithm),
        ("HS512", AccessError::Algorithm),
        ("RS256", AccessError::Algorithm),
        ("PS256", AccessError::Algorithm),
        ("ES256", AccessError::Algorithm),
        ("EdDSA", AccessError::Algorithm),
    ] {
        header["alg"] = algorithm.into();
        let token = signed(&header, &payload);
        assert_eq!(verify(&token), Err(want), "{algorithm}");
        let (message, _) = token.rsplit_once('.').unwrap();
        assert_eq!(verify(&format!("{message}.")), Err(want), "{algorithm}, unsigned");
        assert_eq!(verify(message), Err(AccessError::Malformed), "{algorithm}, two parts");
    }
    for bad in [json!(null), json!(["HS256"]), json!(256), json!({"HS256": 1})] {
        header["alg"] = bad;
        assert_eq!(verify(&signed(&header, &payload)), Err(AccessError::Malformed));
    }
}

#[test]
fn other_members_of_the_family_with_the_right_secret() {
    let (mut header, payload) = parts();
    let body = BASE64.encode(payload.to_string());
    let key = SECRET.as_bytes();
    header["alg"] = "HS384".into();
    let message = format!("{}.{body}", BASE64.encode(header.to_string()));
    let mac = Hmac::<Sha384>::new_from_slice(key).unwrap().chain_update(&message).finalize().into_bytes();
    assert_eq!(verify(&format!("{message}.{}", BASE64.encode(mac))), Err(AccessError::Algorithm));
    header["alg"] = "HS512".into();
    let message = format!("{}.{body}", BASE64.encode(header.to_string()));
    let mac = Hmac::<Sha512>::new_from_slice(key).unwrap().chain_update(&message).finalize().into_bytes();
    assert_eq!(verify(&format!("{message}.{}", BASE64.encode(mac))), Err(AccessError::Algorithm));
}

#[test]
fn only_access_tokens() {
    let (mut header, payload) = parts();
    for typ in [json!("JWT"), json!("jwt"), json!("AT+JWT"), json!("application/at+jwt"), json!("rt+jwt"), json!(null)]
    {
        header["typ"] = typ;
        assert_eq!(verify(&signed(&header, &payload)), Err(AccessError::Type), "{header}");
    }
    header.as_object_mut().unwrap().remove("typ");
    assert_eq!(verify(&signed(&header, &payload)), Err(AccessError::Type));
}

#[test]
fn the_header_may_not_bring_keys_or_extensions() {
    let (header, payload) = parts();
    for (name, value) in [
        ("jku", json!("https://evil.example/keys.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!(["AAAA"])),
        ("x5t", json!("AAAA")),
        ("jwk", json!({"kty": "oct", "k": "AAAA"})),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("b64", json!(false)),
        ("nonce", json!("x")),
        ("anything", json!(1)),
    ] {
        let mut header = header.clone();
        header[name] = value;
        assert_eq!(verify(&signed(&header, &payload)), Err(AccessError::Header), "{name}");
    }
    let mut header = header;
    header["crit"] = json!("exp");
    assert_eq!(verify(&signed(&header, &payload)), Err(AccessError::Malformed));
}

#[test]
fn the_key_must_be_one_of_ours() {
    let (mut header, payload) = parts();
    for kid in [json!("other"), json!(""), json!(null), json!("../../dev/null"), json!("' or 1=1 --")] {
        header["kid"] = kid;
        assert_eq!(verify(&signed(&header, &payload)), Err(AccessError::UnknownKey), "{header}");
    }
    header.as_object_mut().unwrap().remove("kid");
    assert_eq!(verify(&signed(&header, &payload)), Err(AccessError::UnknownKey));
}

#[test]
fn another_secret_does_not_verify() {
    let other = AccessTokens::new(&secret("another secret of more than thirty-two bytes")).unwrap();
    let token = other.issue(subject(), now()).unwrap();
    assert_eq!(verify(token.text.expose_secret()), Err(AccessError::UnknownKey));
    // The name of our key over the other secret's signature.
    let (header, payload) = parts();
    let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(payload.to_string()));
    for key in [&b"another secret of more than thirty-two bytes"[..], b"", b"\0"] {
        let token = format!("{message}.{}", BASE64.encode(hs256(&message, key)));
        assert_eq!(verify(&token), Err(AccessError::Signature));
    }
}

#[test]
fn secrets_change_without_ending_sessions() {
    let (old, new) = (secret(SECRET), secret("the next secret, also of more than thirty-two bytes"));
    let after = AccessTokens::new(&new).unwrap().with_previous(&old).unwrap();
    assert_eq!(after.verify(&issued(), now()).unwrap().subject, subject());
    let fresh = after.issue(subject(), now()).unwrap();
    assert!(after.verify(fresh.text.expose_secret(), now()).is_ok());
    assert_eq!(verify(fresh.text.expose_secret()), Err(AccessError::UnknownKey));
    assert!(AccessTokens::new(&new).unwrap().verify(fresh.text.expose_secret(), now()).is_ok());
}

#[test]
fn weak_secrets_are_refused() {
    assert_eq!(AccessTokens::new(&secret(&"x".repeat(31))).err(), Some(SecretError::Weak { bytes: 31 }));
    assert_eq!(AccessTokens::new(&secret("")).err(), Some(SecretError::Weak { bytes: 0 }));
    assert!(AccessTokens::new(&secret(&"x".repeat(32))).is_ok());
    assert_eq!(tokens().with_previous(&secret("short")).err(), Some(SecretError::Weak { bytes: 5 }));
    let mut full = tokens();
    for index in 0..PREVIOUS_SECRETS_MAX {
        full = full.with_previous(&secret(&format!("{index} {SECRET}"))).unwrap();
    }
    assert_eq!(full.with_previous(&secret(SECRET)).err(), Some(SecretError::TooMany));
}

#[test]
fn every_claim_is_required_and_of_its_type() {
    let (header, payload) = parts();
    let claims: Vec<String> = payload.as_object().unwrap().keys().cloned().collect();
    assert_eq!(claims.len(), 9);
    for claim in &claims {
        let mut missing = payload.clone();
        missing.as_object_mut().unwrap().remove(claim);
        assert_eq!(verify(&signed(&header, &missing)), Err(AccessError::Claims), "{claim} missing");
        for wrong in [json!(null), json!(true), json!({}), json!([payload[claim]]), json!([])] {
            let mut spoilt = payload.clone();
            spoilt[claim] = wrong.clone();
            assert_eq!(verify(&signed(&header, &spoilt)), Err(AccessError::Claims), "{claim}: {wrong}");
        }
    }
    for claim in ["iat", "nbf", "exp"] {
        let seconds = payload[claim].as_i64().unwrap();
        for wrong in [json!(seconds.to_string()), json!(seconds as f64 + 0.5), json!(1e300), json!(u64::MAX)] {
            let mut spoilt = payload.clone();
            spoilt[claim] = wrong.clone();
            assert_eq!(verify(&signed(&header, &spoilt)), Err(AccessError::Claims), "{claim}: {wrong}");
        }
    }
    for claim in ["sub", "org", "sid", "jti"] {
        for wrong in [json!(""), json!("1"), json!("00000000-0000-0000-0000-00000000000g"), json!(1)] {
            let mut spoilt = payload.clone();
            spoilt[claim] = wrong.clone();
            assert_eq!(verify(&signed(&header, &spoilt)), Err(AccessError::Claims), "{claim}: {wrong}");
        }
    }
    for not_claims in ["", "null", "1", "\"x\"", "{}", "[]", "{", "{\"iss\":\"caly\"", "\u{feff}{}"] {
        assert_eq!(verify(&signed_text(&header.to_string(), not_claims)), Err(AccessError::Claims), "{not_claims:?}");
    }
}

#[test]
fn repeated_keys_are_refused() {
    let (header, payload) = parts();
    let (header, payload) = (header.to_string(), payload.to_string());
    for key in ["iss", "aud", "sub", "org", "sid", "jti", "iat", "nbf", "exp"] {
        let value = &serde_json::from_str::<Value>(&payload).unwrap()[key];
        let twice = format!("{{\"{key}\":{value},{}", &payload[1..]);
        assert_eq!(verify(&signed_text(&header, &twice)), Err(AccessError::Claims), "{key}");
    }
    for key in ["alg", "typ", "kid"] {
        let value = &serde_json::from_str::<Value>(&header).unwrap()[key];
        let twice = format!("{{\"{key}\":{value},{}", &header[1..]);
        assert_eq!(verify(&signed_text(&twice, &payload)), Err(AccessError::Malformed), "{key}");
    }
}

#[test]
fn issuer_and_audience_are_ours() {
    let (header, payload) = parts();
    for (claim, value, want) in [
        ("iss", json!("Caly"), AccessError::Issuer),
        ("iss", json!(""), AccessError::Issuer),
        ("iss", json!("https://evil.example"), AccessError::Issuer),
        ("aud", json!("caly"), AccessError::Audience),
        ("aud", json!(""), AccessError::Audience),
        ("aud", json!("caly-api "), AccessError::Audience),
        ("aud", json!(["caly-api"]), AccessError::Claims),
        ("aud", json!(["caly-api", "other"]), AccessError::Claims),
    ] {
        let mut spoilt = payload.clone();
        spoilt[claim] = value.clone();
        assert_eq!(verify(&signed(&header, &spoilt)), Err(want), "{claim}: {value}");
    }
}

#[test]
fn the_time_is_the_one_given() {
    let (tokens, token) = (tokens(), issued());
    for (offset_ms, want) in [
        (-(LEEWAY_S * 1000) - 1, Some(AccessError::NotYet)),
        (-(LEEWAY_S * 1000), None),
        (0, None),
        ((LIFETIME_S + LEEWAY_S) * 1000 - 1, None),
        ((LIFETIME_S + LEEWAY_S) * 1000, Some(AccessError::Expired)),
        (i64::from(i32::MAX) * 1000, Some(AccessError::Expired)),
    ] {
        let verdict = tokens.verify(&token, now() + Duration::milliseconds(offset_ms));
        assert_eq!(verdict.err(), want, "{offset_ms} ms");
    }
    for time in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        assert!(tokens.verify(&token, time).is_err());
        let at_the_edge = tokens.issue(subject(), time).unwrap();
        let _no_panic = tokens.verify(at_the_edge.text.expose_secret(), time);
    }
}

#[test]
fn each_time_claim_counts_by_itself() {
    let (header, payload) = parts();
    let seconds = now().timestamp();
    for (claim, value, want) in [
        ("nbf", seconds + LEEWAY_S, None),
        ("nbf", seconds + LEEWAY_S + 1, Some(AccessError::NotYet)),
        ("iat", seconds + LEEWAY_S + 1, Some(AccessError::NotYet)),
        ("nbf", i64::MAX, Some(AccessError::NotYet)),
        ("nbf", i64::MIN, None),
        ("exp", seconds - LEEWAY_S + 1, None),
        ("exp", seconds - LEEWAY_S, Some(AccessError::Expired)),
        ("exp", 0, Some(AccessError::Expired)),
        ("exp", i64::MIN, Some(AccessError::Expired)),
        ("exp", i64::MAX, Some(AccessError::Claims)),
    ] {
        let mut spoilt = payload.clone();
        spoilt[claim] = value.into();
        assert_eq!(verify(&signed(&header, &spoilt)).err(), want, "{claim}: {value}");
    }
}

#[test]
fn any_change_is_noticed() {
    let token = issued();
    for index in 0..token.len() {
        for other in [b'A', b'B', b'_', b'.', b'=', b' '] {
            let mut bytes = token.clone().into_bytes();
            if bytes[index] == other {
                continue;
            }
            bytes[index] = other;
            let spoilt = String::from_utf8(bytes).unwrap();
            assert!(verify(&spoilt).is_err(), "{index}: {}", char::from(other));
        }
        assert!(verify(&token[..index]).is_err(), "cut at {index}");
    }
    // Every bit of what is signed and of the signature.
    let parts: Vec<Vec<u8>> = token.split('.').map(|part| BASE64.decode(part).unwrap()).collect();
    for (part, bytes) in parts.iter().enumerate() {
        for (index, bit) in (0..bytes.len()).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
            let mut spoilt = parts.clone();
            spoilt[part][index] ^= 1 << bit;
            let text = spoilt.iter().map(|part| BASE64.encode(part)).collect::<Vec<_>>().join(".");
            let verdict = verify(&text);
            assert!(verdict.is_err(), "part {part}, byte {index}, bit {bit}");
            if part > 0 {
                assert_eq!(verdict, Err(AccessError::Signature));
            }
        }
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let token = issued();
    let signature = token.rsplit_once('.').unwrap().1;
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "Bearer x",
        "\0",
        "🔑.🔑.🔑",
        "caly_key_x",
        &format!("{token}."),
        &format!(".{token}"),
        &format!("{token}.{signature}"),
        &format!("{token}="),
        &format!(" {token}"),
        &format!("{token}\n"),
        &token.replace('.', ".."),
    ] {
        assert_eq!(verify(text), Err(AccessError::Malformed), "{text:?}");
    }
}

#[test]
fn base64_is_read_strictly_although_the_signature_holds() {
    let (header, payload) = parts();
    let (header, payload) = (BASE64.encode(header.to_string()), BASE64.encode(payload.to_string()));
    let sign = |message: String| format!("{message}.{}", BASE64.encode(hs256(&message, SECRET.as_bytes())));
    assert!(verify(&sign(format!("{header}.{payload}"))).is_ok());
    for spoilt in [
        format!("{header} .{payload}"),
        format!("{header}#.{payload}"),
        format!("{header}. {payload}"),
        format!("{header}.{payload}="),
        format!("{header}.?{payload}"),
        format!("{header}.{}+{}", &payload[..4], &payload[5..]),
        format!("{header}.{payload}\r\n"),
    ] {
        assert_eq!(verify(&sign(spoilt.clone())), Err(AccessError::Malformed), "{spoilt:?}");
    }
}

#[test]
fn a_huge_token_is_not_looked_at() {
    let (header, mut payload) = parts();
    payload["more"] = "x".repeat(TOKEN_BYTES_MAX).into();
    assert_eq!(verify(&signed(&header, &payload)), Err(AccessError::TooLong));
    assert_eq!(verify(&"a".repeat(TOKEN_BYTES_MAX + 1)), Err(AccessError::TooLong));
    assert_eq!(verify(&"a".repeat(TOKEN_BYTES_MAX)), Err(AccessError::Malformed));
    // Claims that we do not know are none of our business (RFC 7519, 4), as long as the whole is short enough.
    payload["more"] = "x".repeat(4_000).into();
    assert!(verify(&signed(&header, &payload)).is_ok());
    // A bracket a byte.
    let deep = format!("{}{}", "[".repeat(2_500), "]".repeat(2_500));
    assert_eq!(verify(&signed_text(&header.to_string(), &deep)), Err(AccessError::Claims));
    assert_eq!(verify(&signed_text(&deep, "{}")), Err(AccessError::Malformed));
}
