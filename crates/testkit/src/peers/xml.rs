//! Just enough of a reader of XML for the documents that carriers take: elements, attributes, texts, the five entities
//! and numbers of characters. Whatever else stands in a document is a mistake here.

/// Deepest nesting; the documents have four levels.
const DEPTH_MAX: usize = 8;

/// An element.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Self>,
    /// What stands in it, trimmed.
    pub(super) text: String,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// That it has no other attributes than these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), String> {
        match self.attributes.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(format!("<{}> has no attribute {name}", self.name)),
            None => Ok(()),
        }
    }
}

/// Reads a document.
pub(super) fn parse(text: &str) -> Result<Element, String> {
    let mut rest = text.trim_start_matches('\u{feff}');
    if let Some(after) = rest.strip_prefix("<?xml ") {
        rest = after.split_once("?>").ok_or("the declaration does not end")?.1;
    }
    let mut reader = Reader { rest: rest.trim_start() };
    let root = reader.element(0)?;
    if reader.rest.trim().is_empty() { Ok(root) } else { Err("something stands behind the document".to_owned()) }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, what: &str) -> bool {
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let end =
            self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        if name.is_empty() { Err("a name is missing".to_owned()) } else { Ok(name) }
    }

    fn element(&mut self, depth: usize) -> Result<Element, String> {
        if depth > DEPTH_MAX || !self.take("<") {
            return Err("an element is missing, or the document too deep".to_owned());
        }
        let name = self.name()?.to_owned();
        let mut element = Element { name, ..Element::default() };
        loop {
            let before = self.rest;
            self.rest = self.rest.trim_start();
            if self.take("/>") {
                return Ok(element);
            }
            if self.take(">") {
                break;
            }
            if before.len() == self.rest.len() {
                return Err(format!("something odd in <{}>", element.name));
            }
            let (name, value) = self.attribute()?;
            if element.attribute(&name).is_some() {
                return Err(format!("{name} twice in <{}>", element.name));
            }
            element.attributes.push((name, value));
        }
        self.content(&mut element, depth)?;
        Ok(element)
    }

    fn attribute(&mut self) -> Result<(String, String), String> {
        let name = self.name()?.to_owned();
        if !self.take("=\"") {
            return Err(format!("{name} has no value"));
        }
        let (value, rest) = self.rest.split_once('"').ok_or("a value does not end")?;
        self.rest = rest;
        Ok((name, unescape(value)?))
    }

    fn content(&mut self, element: &mut Element, depth: usize) -> Result<(), String> {
        let mut text = String::new();
        loop {
            let (piece, rest) = self.rest.split_at(self.rest.find('<').ok_or("an element does not end")?);
            text.push_str(&unescape(piece)?);
            self.rest = rest;
            if self.take("</") {
                if self.name()? != element.name || !self.take(">") {
                    return Err(format!("<{}> is not closed", element.name));
                }
                text.trim().clone_into(&mut element.text);
                return Ok(());
            }
            element.children.push(self.element(depth + 1)?);
        }
    }
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<']) {
        out.push_str(&rest[..at]);
        let (entity, after) = rest[at..].split_once(';').ok_or("a lonely & or <")?;
        let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        out.push(match entity {
            "&amp" => '&',
            "&lt" => '<',
            "&gt" => '>',
            "&quot" => '"',
            "&apos" => '\'',
            other => match (other.strip_prefix("&#x"), other.strip_prefix("&#")) {
                (Some(hex), _) => number(hex, 16),
                (None, Some(digits)) => number(digits, 10),
                (None, None) => None,
            }
            .ok_or("an unknown entity")?,
        });
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read() {
        let root = parse(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><A b=\"1 &amp; &quot;2&quot;\" c=\"\"/>\
             <D>x &lt; y&#33;&#x41;</D></Response>",
        )
        .unwrap();
        assert_eq!((root.name.as_str(), root.children.len()), ("Response", 2));
        assert_eq!(root.children[0].attribute("b"), Some("1 & \"2\""));
        assert_eq!(root.children[1].text, "x < y!A");
        assert!(root.children[0].only(&["b"]).is_err());
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "<a b=1/>",
            "<a b=\"1\" b=\"2\"/>",
            "<a>&</a>",
            "<a>&what;</a>",
            "<a/><b/>",
            "<a b/>",
            "<!DOCTYPE a><a/>",
            "<a><!-- x --></a>",
            "<a b=\"<\"/>",
            "<a b=\"1\"c=\"2\"/>",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"<a>".repeat(100)).is_err());
    }
}
