//! One letter, two forms: plain text and HTML from the same blocks, so that both say the same.
//!
//! The HTML is made for what mail programs understand: inline styles, no images, nothing from elsewhere. Colours of text
//! and ground are left to the program, so that its dark mode works; what needs a ground brings one that suits both.

use std::fmt::Write;

/// A piece of a letter. Its texts are plain; what HTML needs is done here.
pub(super) enum Block {
    /// A paragraph.
    Says(String),
    /// A code to be typed.
    Code(String),
    /// A link to be followed.
    Button {
        /// What it does.
        label: &'static str,
        /// Where it leads.
        link: String,
    },
}

const FOOTER: &str = "This mail was sent automatically by Caly.";
const GREETING: &str = "Hello,";

const BODY_STYLE: &str = "margin:0;padding:0;";
const FRAME_STYLE: &str = "max-width:34em;margin:0 auto;padding:24px 20px;font-size:16px;line-height:1.5;\
    font-family:-apple-system,'Segoe UI',Roboto,'Noto Sans','Noto Sans Devanagari',Helvetica,Arial,sans-serif;";
const NAME_STYLE: &str = "margin:0 0 24px;font-size:20px;font-weight:bold;letter-spacing:0.02em;";
const TEXT_STYLE: &str = "margin:0 0 16px;";
// Not broken into groups by spaces: people copy it.
const CODE_STYLE: &str = "margin:24px 0;padding:16px;border:1px solid #8a8a8a;border-radius:8px;text-align:center;\
    font-family:Menlo,Consolas,monospace;font-size:30px;font-weight:bold;letter-spacing:0.2em;";
const BUTTON_STYLE: &str = "display:inline-block;padding:12px 24px;border-radius:8px;background-color:#1f5fbf;\
    color:#ffffff;font-weight:bold;text-decoration:none;";
const LINK_STYLE: &str = "margin:0 0 16px;font-size:14px;word-break:break-all;overflow-wrap:anywhere;";
const FOOTER_STYLE: &str = "margin:32px 0 0;padding-top:16px;border-top:1px solid #8a8a8a;font-size:13px;";

/// The plain form. Lines are not cut: a phone does it better.
pub(super) fn text(blocks: &[Block]) -> String {
    let mut text = format!("{GREETING}\n\n");
    for block in blocks {
        match block {
            Block::Says(says) => text.push_str(says),
            Block::Code(code) => {
                text.push_str("    ");
                text.push_str(code);
            }
            Block::Button { label, link } => {
                text.push_str(label);
                text.push_str(":\n");
                text.push_str(link);
            }
        }
        text.push_str("\n\n");
    }
    text.push_str("-- \n");
    text.push_str(FOOTER);
    text.push('\n');
    text
}

/// The HTML form.
pub(super) fn html(subject: &str, blocks: &[Block]) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"supported-color-schemes\" content=\"light dark\">\n\
         <title>{}</title>\n</head>\n<body style=\"{BODY_STYLE}\">\n<div style=\"{FRAME_STYLE}\">\n\
         <p style=\"{NAME_STYLE}\">Caly</p>\n<p style=\"{TEXT_STYLE}\">{GREETING}</p>\n",
        escape(subject)
    );
    for block in blocks {
        // Writing to a string cannot fail.
        let _ = match block {
            Block::Says(says) => writeln!(html, "<p style=\"{TEXT_STYLE}\">{}</p>", escape(says)),
            Block::Code(code) => writeln!(html, "<p style=\"{CODE_STYLE}\">{}</p>", escape(code)),
            Block::Button { label, link } => {
                let link = escape(link);
                writeln!(
                    html,
                    "<p style=\"margin:24px 0;\"><a href=\"{link}\"\nstyle=\"{BUTTON_STYLE}\">{}</a></p>\n\
                     <p style=\"{LINK_STYLE}\">If the button does not work, open this address:<br>\n{link}</p>",
                    escape(label)
                )
            }
        };
    }
    let _ = write!(html, "<p style=\"{FOOTER_STYLE}\">{FOOTER}</p>\n</div>\n</body>\n</html>\n");
    html
}

/// For element content and for attributes in double quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_inserted_stays_text() {
        let evil = "\"><script>alert('x')</script>&amp;";
        let blocks = [
            Block::Says(evil.to_owned()),
            Block::Code(evil.to_owned()),
            Block::Button { label: "Go", link: evil.to_owned() },
        ];
        let html = html(evil, &blocks);
        assert!(!html.contains("<script"), "{html}");
        // The subject, the paragraph, the code, the link twice.
        let escaped = "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;";
        assert_eq!(html.matches(escaped).count(), 5, "{html}");
    }

    #[test]
    fn the_plain_form_reads_like_a_letter() {
        let blocks = [
            Block::Says("One.".to_owned()),
            Block::Code("123456".to_owned()),
            Block::Button { label: "Go", link: "https://a.example/b".to_owned() },
        ];
        let want = "Hello,\n\nOne.\n\n    123456\n\nGo:\nhttps://a.example/b\n\n-- \nThis mail was sent automatically by Caly.\n";
        assert_eq!(text(&blocks), want);
    }
}
