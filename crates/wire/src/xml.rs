//! Writing the small XML documents that carriers take as answers.

/// An XML document's first line.
pub(crate) const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// Appends ` name="value"`.
pub(crate) fn push_attribute(name: &str, value: &str, out: &mut String) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    push_text(value, out);
    out.push('"');
}

/// Appends `text` so that a reader finds it again, in an element or in an attribute. What XML 1.0 cannot hold at all
/// (section 2.2: most control characters) is left out.
pub(crate) fn push_text(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // Readers make spaces of these in attributes unless they are written so (section 3.3.3).
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_special_is_escaped() {
        for (text, want) in [
            ("", ""),
            ("wss://caly.example/media/twilio/abc", "wss://caly.example/media/twilio/abc"),
            ("?a=1&b=\"2\"", "?a=1&amp;b=&quot;2&quot;"),
            ("</Stream><Hangup/>", "&lt;/Stream&gt;&lt;Hangup/&gt;"),
            ("it's\t\r\n", "it&apos;s&#9;&#13;&#10;"),
            ("a\u{0}\u{b}\u{1f}\u{fffe}z", "az"),
            ("ü नमस्ते 😀", "ü नमस्ते 😀"),
        ] {
            let mut out = String::new();
            push_text(text, &mut out);
            assert_eq!(out, want, "{text:?}");
        }
        let mut out = String::new();
        push_attribute("url", "a\"b", &mut out);
        assert_eq!(out, " url=\"a&quot;b\"");
    }
}
