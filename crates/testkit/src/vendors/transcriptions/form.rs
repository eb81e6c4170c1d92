//! Forms with files (RFC 7578), as strict as the RFC: each part has a name, lines end with return and line feed.

/// A part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) name: String,
    pub(super) file_name: Option<String>,
    pub(super) content: &'a [u8],
}

/// Takes a form apart.
pub(super) fn parts<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>, String> {
    let boundary = content_type
        .strip_prefix("multipart/form-data;")
        .and_then(|rest| rest.trim().strip_prefix("boundary="))
        .map(|boundary| boundary.trim_matches('"'))
        .filter(|boundary| !boundary.is_empty() && boundary.len() <= 70)
        .ok_or("Unsupported content type: expected multipart/form-data with a boundary")?;
    let broken = || "Could not parse multipart form".to_owned();
    let mut rest = body.strip_prefix(format!("--{boundary}").as_bytes()).ok_or_else(broken)?;
    let between = format!("\r\n--{boundary}");
    let mut parts = Vec::new();
    loop {
        if let Some(tail) = rest.strip_prefix(b"--") {
            return if tail.is_empty() || tail == b"\r\n" { Ok(parts) } else { Err(broken()) };
        }
        rest = rest.strip_prefix(b"\r\n").ok_or_else(broken)?;
        let head_end = find(rest, b"\r\n\r\n").ok_or_else(broken)?;
        let head = std::str::from_utf8(&rest[..head_end]).map_err(|_| broken())?;
        rest = &rest[head_end + 4..];
        let end = find(rest, between.as_bytes()).ok_or_else(broken)?;
        parts.push(part(head, &rest[..end]).ok_or_else(broken)?);
        rest = &rest[end + between.len()..];
    }
}

fn part<'a>(head: &str, content: &'a [u8]) -> Option<Part<'a>> {
    let disposition = head.split("\r\n").find_map(|line| line.strip_prefix("Content-Disposition: form-data;"))?;
    let parameter = |name: &str| {
        let wanted = format!("{name}=\"");
        let found = disposition.split("; ").find_map(|p| p.trim().strip_prefix(wanted.as_str())?.strip_suffix('"'));
        found.map(str::to_owned)
    };
    Some(Part { name: parameter("name")?, file_name: parameter("filename"), content })
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/form-data; boundary=x";

    #[test]
    fn forms_are_taken_apart() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"s.wav\"\r\nContent-Type: audio/wav\r\n\r\n\r\n\r\n--x--\r\n";
        let parts = parts(KIND, body).expect("a form");
        assert_eq!(
            parts,
            [
                Part { name: "a".into(), file_name: None, content: b"1" },
                Part { name: "file".into(), file_name: Some("s.wav".into()), content: b"\r\n" },
            ]
        );
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let good = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n";
        for (name, kind, body) in [
            ("type", "application/json", good.to_owned()),
            ("no boundary", "multipart/form-data", good.to_owned()),
            ("another boundary", "multipart/form-data; boundary=y", good.to_owned()),
            ("line feeds alone", KIND, good.replace("\r\n", "\n")),
            ("no end", KIND, good.replace("--x--", "")),
            ("no name", KIND, good.replace("name=\"a\"", "")),
            ("something behind", KIND, format!("{good}more")),
        ] {
            assert!(parts(kind, body.as_bytes()).is_err(), "{name}");
        }
    }
}
