//! Reads what a client posts: a form, urlencoded or in parts.

/// Fields of one order, at most.
const FIELDS_MAX: usize = 64;

/// The fields in their order; what is wrong otherwise.
pub(super) fn read(content_type: &str, body: &[u8]) -> Result<Vec<(String, String)>, &'static str> {
    let (kind, rest) = content_type.split_once(';').unwrap_or((content_type, ""));
    let fields: Vec<(String, String)> = match kind.trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => url::form_urlencoded::parse(body)
            .take(FIELDS_MAX + 1)
            .map(|(n, v)| (n.into_owned(), v.into_owned()))
            .collect(),
        "multipart/form-data" => {
            let boundary = rest.trim().strip_prefix("boundary=").ok_or("no boundary")?.trim_matches('"');
            parts(boundary, std::str::from_utf8(body).map_err(|_| "no UTF-8")?)?
        }
        _ => return Err("neither a form nor its parts"),
    };
    if fields.len() > FIELDS_MAX { Err("too many fields") } else { Ok(fields) }
}

fn parts(boundary: &str, body: &str) -> Result<Vec<(String, String)>, &'static str> {
    let mut fields = Vec::new();
    let delimiter = format!("--{boundary}");
    let (_, mut rest) = body.split_once(delimiter.as_str()).ok_or("no part")?;
    while !rest.starts_with("--") {
        let (part, after) = rest.split_once(&format!("\r\n{delimiter}")).ok_or("a part without an end")?;
        let (head, value) = part.split_once("\r\n\r\n").ok_or("a part without a head")?;
        let name =
            head.split("name=\"").nth(1).and_then(|name| name.split('"').next()).ok_or("a part without a name")?;
        fields.push((name.to_owned(), value.to_owned()));
        if fields.len() > FIELDS_MAX {
            break;
        }
        rest = after;
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_codings_are_read() {
        let want = [("From".to_owned(), "+919876543210".to_owned()), ("Url".to_owned(), "a b".to_owned())];
        let form = read("application/x-www-form-urlencoded; charset=utf-8", b"From=%2B919876543210&Url=a+b").unwrap();
        let body = "--b\r\nContent-Disposition: form-data; name=\"From\"\r\n\r\n+919876543210\r\n\
                    --b\r\nContent-Disposition: form-data; name=\"Url\"\r\n\r\na b\r\n--b--\r\n";
        let parts = read("multipart/form-data; boundary=b", body.as_bytes()).unwrap();
        assert_eq!((form.as_slice(), parts.as_slice()), (&want[..], &want[..]));
        assert!(read("application/json", b"{}").is_err());
        assert!(read("multipart/form-data; boundary=b", b"--b\r\nx").is_err());
    }
}
