//! Signatures of carriers that sign in their own way: published and independently computed vectors, and everything
//! that must not pass.

use proptest::prelude::*;
use secrecy::SecretString;
use wire::signature::{Verdict, form_pairs, plivo, twilio, vobiz};

const NONE: &[(&str, &str)] = &[];

mod twilio_signature {
    use super::*;

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const CALLER: [(&str, &str); 5] = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ];

    fn token() -> SecretString {
        SecretString::from("12345")
    }

    #[test]
    fn published_vectors() {
        let mut other = CALLER;
        (other[1].1, other[3].1) = ("+12349013030", "+12349013030");
        for (parameters, want) in [(CALLER, "RSOYDt4T1cUTdK1PDd93/VVr8B8="), (other, "0/KCTR6DLpKmkAf8muzZqo1nDgQ=")] {
            assert_eq!(twilio::sign(&token(), URL, &parameters), want);
            assert_eq!(twilio::verify(&token(), URL, &parameters, Some(want)), Verdict::Valid);
            let mut turned = parameters;
            turned.reverse();
            assert_eq!(twilio::verify(&token(), URL, &turned, Some(want)), Verdict::Valid, "order does not matter");
        }
    }

    #[test]
    fn what_must_not_pass() {
        let good = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
        for (signature, want) in [
            (None, Verdict::Missing),
            (Some(""), Verdict::Missing),
            (Some("  "), Verdict::Missing),
            (Some(good), Verdict::Valid),
            (Some(" RSOYDt4T1cUTdK1PDd93/VVr8B8=\t"), Verdict::Valid),
            (Some("RSOYDt4T1cUTdK1PDd93/VVr8B8"), Verdict::Valid),
            (Some("rSOYDt4T1cUTdK1PDd93/VVr8B8="), Verdict::Wrong),
            (Some("RSOYDt4T1cUTdK1PDd93/VVr8B9="), Verdict::Wrong),
            (Some("RSOYDt4T1cUTdK1PDd93"), Verdict::Wrong),
            (Some("45239"), Verdict::Wrong),
            (Some("é"), Verdict::Wrong),
        ] {
            assert_eq!(twilio::verify(&token(), URL, &CALLER, signature), want, "{signature:?}");
        }
        let long = "A".repeat(100_000);
        assert_eq!(twilio::verify(&token(), URL, &CALLER, Some(&long)), Verdict::Wrong);
        assert_eq!(twilio::verify(&token(), URL, NONE, Some(good)), Verdict::Wrong);
        assert_eq!(twilio::verify(&token(), "https://mycompany.com/myapp.php", &CALLER, Some(good)), Verdict::Wrong);
        assert_eq!(twilio::verify(&SecretString::from("12346"), URL, &CALLER, Some(good)), Verdict::Wrong);
        let empty = SecretString::from("");
        let signed_with_nothing = twilio::sign(&empty, URL, &CALLER);
        assert_eq!(twilio::verify(&empty, URL, &CALLER, Some(&signed_with_nothing)), Verdict::Wrong);
    }

    #[test]
    fn repeated_names_count_by_value_and_equal_pairs_once() {
        let signed = |parameters: &[(&str, &str)]| twilio::sign(&token(), URL, parameters);
        assert_eq!(signed(&[("a", "2"), ("a", "1")]), signed(&[("a", "1"), ("a", "2")]));
        assert_eq!(signed(&[("a", "1"), ("a", "1")]), signed(&[("a", "1")]));
        assert_ne!(signed(&[("a", "1"), ("b", "1")]), signed(&[("a", "1")]));
        assert_eq!(
            form_pairs(b"To=%2B1&a=1&a=2&e=&plus=a+b"),
            [("To", "+1"), ("a", "1"), ("a", "2"), ("e", ""), ("plus", "a b")]
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn the_port_may_be_signed_or_not() {
        for (signed, seen, want) in [
            ("https://caly.example/a?b=1", "https://caly.example:443/a?b=1", Verdict::Valid),
            ("https://caly.example:443/a?b=1", "https://caly.example/a?b=1", Verdict::Valid),
            ("http://caly.example:80/a", "http://caly.example/a", Verdict::Valid),
            ("wss://caly.example:443/media/twilio/t", "wss://caly.example/media/twilio/t", Verdict::Valid),
            ("https://caly.example/a", "https://caly.example:8443/a", Verdict::Valid),
            ("https://caly.example:8443/a", "https://caly.example:8443/a", Verdict::Valid),
            ("https://u:p@caly.example/a", "https://u:p@caly.example:443/a", Verdict::Valid),
            ("https://[::1]/a", "https://[::1]:443/a", Verdict::Valid),
            ("https://[::1]:443/a", "https://[::1]/a", Verdict::Valid),
            ("https://caly.example:443", "https://caly.example", Verdict::Valid),
            ("https://caly.example:443?a=:1", "https://caly.example?a=:1", Verdict::Valid),
            ("https://caly.example:8443/a", "https://caly.example/a", Verdict::Wrong),
            ("http://caly.example/a", "https://caly.example/a", Verdict::Wrong),
            ("https://caly.example/a/", "https://caly.example/a", Verdict::Wrong),
            ("https://caly.example/a?", "https://caly.example/a", Verdict::Wrong),
            ("https://other.example/a", "https://caly.example/a", Verdict::Wrong),
        ] {
            let signature = twilio::sign(&token(), signed, &CALLER);
            assert_eq!(twilio::verify(&token(), seen, &CALLER, Some(&signature)), want, "{signed} {seen}");
        }
    }

    #[test]
    fn a_json_body_is_covered_by_its_hash_in_the_address() {
        // Signature and hash by `twilio-python` 9.13.0.
        let hash = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
        let url = format!("https://caly.example/json?bodySHA256={hash}");
        let good = Some("bULSQqvAaNNu7kUB6Uh4RkNvTt4=");
        assert_eq!(twilio::verify_body(&token(), &url, br#"{"a":1}"#, good), Verdict::Valid);
        assert_eq!(twilio::verify_body(&token(), &url, br#"{"a":2}"#, good), Verdict::Wrong);
        assert_eq!(twilio::verify_body(&token(), &url, b"", good), Verdict::Wrong);
        assert_eq!(twilio::verify_body(&token(), &url, br#"{"a":1}"#, None), Verdict::Missing);
        let bare = "https://caly.example/json";
        let signature = twilio::sign(&token(), bare, NONE);
        assert_eq!(twilio::verify_body(&token(), bare, b"{}", Some(&signature)), Verdict::Wrong, "nothing covers it");
    }
}

mod plivo_signature {
    use super::*;
    use wire::signature::plivo::Method;

    const NONCE: &str = "05429567804466091622";

    fn token() -> SecretString {
        SecretString::from("MjFhZDNmNTQyNTRhODk1OTc")
    }

    /// Method, address, parameters, signature.
    type Vector = (Method, &'static str, &'static [(&'static str, &'static str)], &'static str);

    /// Computed with `plivo-python` 4.63.0.
    const VECTORS: &[Vector] = &[
        (Method::Get, "https://caly.example/answer/tok", NONE, "SUYHwpPGe8iM9QSlHVaJI5PD4QU45tRENMNsi5T5IVA="),
        (
            Method::Get,
            "https://caly.example/answer/tok?b=2&a=1&a=0",
            NONE,
            "goRBWDC6VgrT/wnLuXt55EfvIeY4hOyslaLMF/1zAlg=",
        ),
        (
            Method::Get,
            "https://caly.example:8443/answer/tok?a=x%20y%2Bz",
            NONE,
            "AVgk2kzqyxCKqta3SnyF85FfBjUGeV9ZtiAkZhpGF0o=",
        ),
        (
            Method::Get,
            "https://caly.example/answer/tok?b=2",
            &[("From", "919812345678"), ("CallUUID", "c1")],
            "Iosyr5vI0K1feY0y6GsBO8QFbYofWy+1pBIOnlB1IQg=",
        ),
        (Method::Post, "https://caly.example/answer/tok", NONE, "SUYHwpPGe8iM9QSlHVaJI5PD4QU45tRENMNsi5T5IVA="),
        (
            Method::Post,
            "https://caly.example/answer/tok",
            &[("From", "919812345678"), ("CallUUID", "c1"), ("Empty", "")],
            "Bs/VQwml5Nca2ZtKchOu11f5PKm0gCYWjeiU2kZl1OU=",
        ),
        (
            Method::Post,
            "https://caly.example/answer/tok?z=1&y=2",
            &[("To", "2"), ("To", "1"), ("From", "+91 98"), ("Name", "ü नमस्ते")],
            "SbZxTqKFPV7MoCswqxisqjaDRptjMp7NpPPwWsE8z6Q=",
        ),
        (Method::Post, "https://caly.example/answer/tok?z=", NONE, "jvuc2ynLO7dLLuh+gcqZZUTl96di/s4HQbHwllRJMIg="),
        (Method::Post, "https://caly.example/answer/tok?z=1", NONE, "5ughl8G7i3PfxFIG8kX+YP9SzVn1kXgKkgCPzH44MDY="),
    ];

    #[test]
    fn vectors_of_the_carriers_own_library() {
        for (method, url, parameters, want) in VECTORS {
            assert_eq!(plivo::sign(&token(), *method, url, parameters, NONCE), *want, "{url}");
            let verify = |nonce, signatures| plivo::verify(&token(), *method, url, parameters, nonce, signatures);
            assert_eq!(verify(Some(NONCE), Some(want)), Verdict::Valid, "{url}");
            assert_eq!(verify(Some("05429567804466091623"), Some(want)), Verdict::Wrong, "{url}");
            assert_eq!(verify(None, Some(want)), Verdict::Missing, "{url}");
            assert_eq!(verify(Some(NONCE), None), Verdict::Missing, "{url}");
        }
    }

    #[test]
    fn one_of_several_signatures_is_enough_and_there_are_not_many() {
        let (method, url, parameters, good) = VECTORS[5];
        let bad = "AAAA/VQwml5Nca2ZtKchOu11f5PKm0gCYWjeiU2kZl1O";
        for (header, want) in [
            (format!("{good},{bad}"), Verdict::Valid),
            (format!("{bad}, {good}"), Verdict::Valid),
            (format!("{bad},{bad},{bad},{good}"), Verdict::Valid),
            (format!("{bad},{bad},{bad},{bad},{good}"), Verdict::Wrong),
            (format!("{bad},{bad}"), Verdict::Wrong),
            (",".repeat(10_000), Verdict::Wrong),
            (good.replace(',', ""), Verdict::Valid),
            (format!("{good}{good}"), Verdict::Wrong),
        ] {
            let got = plivo::verify(&token(), method, url, parameters, Some(NONCE), Some(&header));
            assert_eq!(got, want, "{header:.80}");
        }
        let long = "1".repeat(plivo::NONCE_BYTES_MAX + 1);
        let signature = plivo::sign(&token(), method, url, parameters, &long);
        assert_eq!(plivo::verify(&token(), method, url, parameters, Some(&long), Some(&signature)), Verdict::Wrong);
        let empty = SecretString::from("");
        let signature = plivo::sign(&empty, method, url, parameters, NONCE);
        assert_eq!(plivo::verify(&empty, method, url, parameters, Some(NONCE), Some(&signature)), Verdict::Wrong);
    }

    #[test]
    fn vobiz_signs_address_and_nonce_only() {
        // Computed with Python's `hmac`.
        let url = "https://caly.example/answer/tok";
        for (version, want) in [
            (vobiz::Version::V2, "9tEQUlnwyJskk46opIG+yTQbXk3APKP7zWtMLgy0CYo="),
            (vobiz::Version::V3, "SUYHwpPGe8iM9QSlHVaJI5PD4QU45tRENMNsi5T5IVA="),
        ] {
            assert_eq!(vobiz::sign(&token(), version, url, NONCE), want);
            for (seen, nonce, signature, verdict) in [
                (url, Some(NONCE), Some(want), Verdict::Valid),
                ("https://caly.example/answer/tok?any=thing", Some(NONCE), Some(want), Verdict::Valid),
                ("https://caly.example/answer/tok2", Some(NONCE), Some(want), Verdict::Wrong),
                (url, Some("1"), Some(want), Verdict::Wrong),
                (url, None, Some(want), Verdict::Missing),
                (url, Some(NONCE), Some(" "), Verdict::Missing),
            ] {
                assert_eq!(vobiz::verify(&token(), version, seen, nonce, signature), verdict, "{version:?} {seen}");
            }
        }
        let v2 = vobiz::sign(&token(), vobiz::Version::V2, url, NONCE);
        assert_eq!(vobiz::verify(&token(), vobiz::Version::V3, url, Some(NONCE), Some(&v2)), Verdict::Wrong);
    }
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::vec(("[A-Za-z]{1,6}", "\\PC{0,12}"), 1..6)
}

proptest! {
    #[test]
    fn one_character_more_is_another_request(
        token in "[a-f0-9]{32}",
        path in "[a-z0-9/]{1,20}",
        pairs in pairs(),
        which in any::<proptest::sample::Index>(),
        method in proptest::sample::select(vec![plivo::Method::Get, plivo::Method::Post]),
    ) {
        let token = SecretString::from(token);
        let url = format!("https://caly.example/{path}?q=1");
        let mut changed = pairs.clone();
        changed[which.index(pairs.len())].1.push('x');
        let other_url = format!("{url}1");
        let signature = twilio::sign(&token, &url, &pairs);
        let verify = |url: &str, pairs: &[(String, String)], signature: &str| {
            twilio::verify(&token, url, pairs, Some(signature)) == Verdict::Valid
        };
        prop_assert!(verify(&url, &pairs, &signature));
        prop_assert!(!verify(&url, &changed, &signature));
        prop_assert!(!verify(&other_url, &pairs, &signature));
        let signature = plivo::sign(&token, method, &url, &pairs, "n1");
        let verify = |url: &str, pairs: &[(String, String)], nonce: &str| {
            plivo::verify(&token, method, url, pairs, Some(nonce), Some(&signature)) == Verdict::Valid
        };
        prop_assert!(verify(&url, &pairs, "n1"));
        prop_assert!(!verify(&url, &changed, "n1"));
        prop_assert!(!verify(&other_url, &pairs, "n1"));
        prop_assert!(!verify(&url, &pairs, "n2"));
    }

    #[test]
    fn one_character_of_the_signature_changed_is_wrong(
        token in "[a-f0-9]{32}",
        pairs in pairs(),
        at in any::<proptest::sample::Index>(),
        to in "[A-Za-z0-9+/]",
    ) {
        let token = SecretString::from(token);
        let url = "https://caly.example/a";
        let mut signature = twilio::sign(&token, url, &pairs);
        let at = at.index(signature.trim_end_matches('=').len());
        prop_assume!(signature[at..=at] != to);
        signature.replace_range(at..=at, &to);
        prop_assert_eq!(twilio::verify(&token, url, &pairs, Some(&signature)), Verdict::Wrong);
        let mut signature = plivo::sign(&token, plivo::Method::Post, url, &pairs, "n");
        prop_assume!(signature[at..=at] != to);
        signature.replace_range(at..=at, &to);
        let verdict = plivo::verify(&token, plivo::Method::Post, url, &pairs, Some("n"), Some(&signature));
        prop_assert_eq!(verdict, Verdict::Wrong);
    }

    #[test]
    fn no_request_makes_a_verification_panic(
        url in ".{0,80}",
        authority in "[a-z@:\\[\\]?#/.0-9é]{0,30}",
        name in ".{0,10}",
        header in ".{0,60}",
        body in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let token = SecretString::from("t");
        for url in [url, format!("https://{authority}")] {
            let pairs = [(name.as_str(), header.as_str())];
            let _ = twilio::verify(&token, &url, &pairs, Some(&header));
            let _ = twilio::verify_body(&token, &url, &body, Some(&header));
            let _ = plivo::verify(&token, plivo::Method::Get, &url, &pairs, Some(&name), Some(&header));
            let _ = vobiz::verify(&token, vobiz::Version::V2, &url, Some(&name), Some(&header));
            // What we sign, we believe.
            let signature = twilio::sign(&token, &url, &pairs);
            prop_assert_eq!(twilio::verify(&token, &url, &pairs, Some(&signature)), Verdict::Valid);
        }
        let _ = form_pairs(&body);
    }
}
