//! The XML that `builtins.toXML` makes: an indented tree of elements without text.

/// Writes a document; elements are closed in the order they were opened.
#[derive(Debug)]
pub(crate) struct XmlWriter {
    out: Vec<u8>,
    depth: usize,
}

/// The attributes of an element: names (in alphabetical order) and values.
pub(crate) type Attributes<'a> = &'a [(&'a str, &'a [u8])];

impl XmlWriter {
    /// A document with nothing but its declaration.
    pub(crate) fn new() -> Self {
        Self {
            out: b"<?xml version='1.0' encoding='utf-8'?>\n".to_vec(),
            depth: 0,
        }
    }

    /// Opens an element.
    pub(crate) fn open(&mut self, name: &str, attributes: Attributes<'_>) {
        self.tag(name, attributes);
        self.out.extend_from_slice(b">\n");
        self.depth += 1;
    }

    /// Closes the element `name`, which was opened last.
    pub(crate) fn close(&mut self, name: &str) {
        self.depth -= 1;
        self.indent();
        self.out
            .extend_from_slice(format!("</{name}>\n").as_bytes());
    }

    /// An element without content.
    pub(crate) fn empty(&mut self, name: &str, attributes: Attributes<'_>) {
        self.tag(name, attributes);
        self.out.extend_from_slice(b" />\n");
    }

    /// The document.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    fn indent(&mut self) {
        self.out.resize(self.out.len() + 2 * self.depth, b' ');
    }

    fn tag(&mut self, name: &str, attributes: Attributes<'_>) {
        self.indent();
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_bytes());
        for (name, value) in attributes {
            self.out.extend_from_slice(format!(" {name}=\"").as_bytes());
            for &byte in *value {
                match byte {
                    b'"' => self.out.extend_from_slice(b"&quot;"),
                    b'<' => self.out.extend_from_slice(b"&lt;"),
                    b'>' => self.out.extend_from_slice(b"&gt;"),
                    b'&' => self.out.extend_from_slice(b"&amp;"),
                    // A bare line feed in an attribute would be read back as a blank.
                    b'\n' => self.out.extend_from_slice(b"&#xA;"),
                    byte => self.out.push(byte),
                }
            }
            self.out.push(b'"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document() {
        let mut xml = XmlWriter::new();
        xml.open("expr", &[]);
        xml.open("attr", &[("name", b"a\n<>&\"'\t")]);
        xml.empty("null", &[]);
        xml.close("attr");
        xml.close("expr");
        assert_eq!(
            String::from_utf8(xml.finish()).unwrap(),
            "<?xml version='1.0' encoding='utf-8'?>\n<expr>\n  <attr name=\"a&#xA;&lt;&gt;&amp;&quot;'\t\">\n    <null />\n  </attr>\n</expr>\n"
        );
    }
}
