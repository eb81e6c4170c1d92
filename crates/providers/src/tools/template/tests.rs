//! What fills a gap stays in it.

use super::*;
use proptest::prelude::*;
use serde_json::json;

const PUBLIC: Allowed = Allowed::PublicOnly;

fn filled(template: &str, value: &str) -> Result<String, ToolError> {
    let arguments = Map::from_iter([("a".to_owned(), json!(value))]);
    let variables = BTreeMap::from([("v".to_owned(), value.to_owned())]);
    let template = Template::parse(template, PUBLIC).expect("a template");
    Ok(template.fill(&Values { arguments: &arguments, variables: &variables }, PUBLIC)?.to_string())
}

#[test]
fn values_are_one_segment_or_one_value() {
    for (value, want) in [
        ("asha", "asha"),
        ("a/b", "a%2Fb"),
        ("../admin", "..%2Fadmin"),
        ("?x=1", "%3Fx%3D1"),
        ("#top", "%23top"),
        ("%2e%2e", "%252e%252e"),
        ("%2F", "%252F"),
        ("a&b=c", "a%26b%3Dc"),
        ("a+b c", "a%2Bb%20c"),
        ("\r\nHost: evil", "%0D%0AHost%3A%20evil"),
        ("@evil.example", "%40evil.example"),
        (":8443", "%3A8443"),
        ("\\..\\x", "%5C..%5Cx"),
        ("आशा", "%E0%A4%86%E0%A4%B6%E0%A4%BE"),
        ("{{v}}", "%7B%7Bv%7D%7D"),
        ("\u{0}", "%00"),
    ] {
        for gap in ["{a}", "{{v}}", "{{ v }}"] {
            let path = filled(&format!("https://c.example.org/s/{gap}/x"), value);
            assert_eq!(path.expect(value), format!("https://c.example.org/s/{want}/x"));
            let query = filled(&format!("https://c.example.org/s?k=1&q={gap}&z=2"), value);
            assert_eq!(query.expect(value), format!("https://c.example.org/s?k=1&q={want}&z=2"));
        }
    }
}

#[test]
fn a_segment_is_never_empty_or_dots() {
    for (template, value) in [
        ("https://c.example.org/s/{a}", ".."),
        ("https://c.example.org/s/{a}/x", "."),
        ("https://c.example.org/s/{a}/x", ""),
        ("https://c.example.org/s/.{a}/x", "."),
        ("https://c.example.org/s/{a}{a}", "."),
        ("https://c.example.org/s/%2e{a}", "."),
    ] {
        assert!(matches!(filled(template, value), Err(ToolError::Arguments(_))), "{template} {value}");
    }
    assert_eq!(filled("https://c.example.org/?q={a}", "..").expect("fine"), "https://c.example.org/?q=..");
    assert_eq!(filled("https://c.example.org/v{a}", "..").expect("fine"), "https://c.example.org/v..");
}

#[test]
fn only_scalars_fill_gaps_and_none_may_be_missing() {
    let template = Template::parse("https://c.example.org/{a}?v={{v}}", PUBLIC).expect("a template");
    let variables = BTreeMap::from([("v".to_owned(), "1".to_owned())]);
    let fill = |arguments: Value, variables: &BTreeMap<String, String>| {
        let arguments = arguments.as_object().cloned().expect("an object");
        template.fill(&Values { arguments: &arguments, variables }, PUBLIC).map(|url| url.to_string())
    };
    assert_eq!(fill(json!({"a": 7}), &variables).expect("fine"), "https://c.example.org/7?v=1");
    assert_eq!(fill(json!({"a": true}), &variables).expect("fine"), "https://c.example.org/true?v=1");
    for arguments in [json!({}), json!({"a": null}), json!({"a": ["x"]}), json!({"a": {"b": 1}})] {
        assert!(matches!(fill(arguments, &variables), Err(ToolError::Arguments(said)) if said.contains("`a`")));
    }
    assert!(matches!(fill(json!({"a": 7}), &BTreeMap::new()), Err(ToolError::Failed(said)) if said.contains("`v`")));
}

#[test]
fn addresses_that_cannot_be_used_are_told() {
    use TemplateFault as T;
    for (template, want) in [
        ("https://{a}.example.org/", T::Host),
        ("https://example.org:{a}/", T::Host),
        ("https://{{v}}/", T::Host),
        ("{a}://example.org/", T::Host),
        ("https://example.org/a#{a}", T::Fragment),
        ("https://example.org/{a", T::Braces),
        ("https://example.org/a}", T::Braces),
        ("https://example.org/{}", T::Braces),
        ("https://example.org/{{a}", T::Braces),
        ("https://example.org/{a/b}", T::Braces),
        ("https://example.org/%2{a}", T::Percent),
        ("https://example.org/?q=100%", T::Percent),
        ("/{a}", T::Refused(Refused::Unreadable)),
        ("http://example.org/{a}", T::Refused(Refused::Scheme)),
        ("https://10.0.0.1/{a}", T::Refused(Refused::NotPublic)),
        ("https://169.254.169.254/latest", T::Refused(Refused::NotPublic)),
        ("https://[::ffff:127.0.0.1]/{a}", T::Refused(Refused::NotPublic)),
        ("https://2130706433/{a}", T::Refused(Refused::NotPublic)),
        ("https://a:b@example.org/{a}", T::Refused(Refused::Credentials)),
        ("https://example.org:22/{a}", T::Refused(Refused::Port)),
    ] {
        assert_eq!(Template::parse(template, PUBLIC), Err(want), "{template}");
    }
    let many = format!("https://example.org/{}", "{a}".repeat(51));
    assert_eq!(Template::parse(&many, PUBLIC), Err(T::Braces));
    assert!(Template::parse("https://example.org", PUBLIC).is_ok());
    let template = Template::parse("https://example.org/{a}/{{v}}?k={b}&z=1", PUBLIC).expect("fine");
    assert_eq!(template.arguments().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(template.query_names(), ["k", "z"]);
}

#[test]
fn texts_take_variables_and_look_at_them_once() {
    let variables = BTreeMap::from([("a".to_owned(), "{{b}}".to_owned()), ("b".to_owned(), "2".to_owned())]);
    for (template, want) in [("{{a}} {{ b }}", "{{b}} 2"), ("{{c}}.", "."), ("{{a", "{{a"), ("{a}", "{a}"), ("", "")] {
        assert_eq!(fill_text(template, &variables), want, "{template}");
    }
}

proptest! {
    #[test]
    fn nothing_leaves_its_gap(value in any::<String>()) {
        let Ok(text) = filled("https://c.example.org/s/{a}/t?q={{v}}&z=1", &value) else {
            prop_assert!(value.is_empty() || value == "." || value == "..", "{}", value);
            return Ok(());
        };
        let url = Url::parse(&text).expect("an address");
        prop_assert_eq!(url.host_str(), Some("c.example.org"));
        prop_assert_eq!(url.path_segments().map_or(0, Iterator::count), 3);
        let pairs: Vec<(String, String)> = url.query_pairs().map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
        prop_assert_eq!(pairs, vec![("q".to_owned(), value), ("z".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn any_template_is_survived(text in any::<String>(), inner in "[{}a/?#%.\\\\]{0,20}") {
        let _ = Template::parse(&text, PUBLIC);
        let _ = Template::parse(&format!("https://example.org/{inner}"), PUBLIC);
    }
}
