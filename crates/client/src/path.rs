//! Paths with their queries. Whether a text names anything is for the house to say; here it only must not
//! break out of its place.

use std::fmt::Display;

/// A path under construction.
pub(crate) struct Path {
    text: String,
    has_query: bool,
}

impl Path {
    pub(crate) fn new(path: &str) -> Path {
        Path { text: path.to_owned(), has_query: false }
    }

    /// One more segment, whatever it holds.
    pub(crate) fn segment(mut self, text: &str) -> Path {
        self.text.push('/');
        self.text.push_str(&escaped(text, b"-_.~"));
        self
    }

    /// A parameter of the query, when there is a value.
    pub(crate) fn query(mut self, name: &str, value: Option<impl Display>) -> Path {
        let Some(value) = value else { return self };
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        self.text.push_str(&escaped(&value.to_string(), b"-_./~"));
        self
    }

    pub(crate) fn build(self) -> String {
        self.text
    }
}

/// Text in which only letters, digits and these characters stand as they are (RFC 3986, section 2.1).
fn escaped(text: &str, plain: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || plain.contains(&byte);
    let one = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: Path, expected: &str) {
        let text = path.build();
        assert_eq!(text, expected);
        assert!(text.parse::<http::Uri>().is_ok(), "{text}");
    }

    #[test]
    fn absent_parameters_are_left_out() {
        let path = Path::new("/api/credentials").query("service", None::<&str>).query("limit", Some(5));
        check(path.query("skip", Some(0)), "/api/credentials?limit=5&skip=0");
    }

    #[test]
    fn a_segment_stays_one_segment() {
        check(Path::new("/api/tokens").segment("../a?b#c/d%"), "/api/tokens/..%2Fa%3Fb%23c%2Fd%25");
    }

    #[test]
    fn a_value_cannot_become_another_parameter() {
        check(
            Path::new("/x").query("subject", Some("a b&limit=9\n#ü/1")),
            "/x?subject=a%20b%26limit%3D9%0A%23%C3%BC/1",
        );
    }
}
