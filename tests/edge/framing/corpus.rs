//! The raw requests by class. Each ends in [`HIDDEN`]: as a body, after one, or instead of one.

mod bodies;
mod fields;
mod request_lines;

use std::collections::BTreeSet;

/// A request that needs a role: refused if it is parsed as a request, so an app that sees it was deceived.
pub(super) const HIDDEN: &str = "GET /admin/hidden HTTP/1.1\r\nHost: gateway.test\r\nX-Case: hidden\r\n\r\n";

pub(super) struct Case {
    pub(super) class: &'static str,
    line: Vec<u8>,
    /// Header lines with their line ends.
    fields: Vec<u8>,
    body: Vec<u8>,
    /// The name of the case may be lost together with its header.
    pub(super) is_nameless: bool,
}

impl Case {
    pub(super) fn bytes(&self, field: &str, name: &str) -> Vec<u8> {
        let named = format!("\r\nHost: gateway.test\r\n{field}: {name}\r\n");
        let named = if self.line.ends_with(b"\n") { named.trim_start().to_owned() } else { named };
        [&self.line, named.as_bytes(), &self.fields, b"\r\n", &self.body, HIDDEN.as_bytes()].concat()
    }
}

#[derive(Default)]
struct Corpus {
    cases: Vec<Case>,
    known: BTreeSet<Vec<u8>>,
}

impl Corpus {
    fn add(
        &mut self,
        class: &'static str,
        line: impl AsRef<[u8]>,
        fields: impl AsRef<[u8]>,
        body: impl AsRef<[u8]>,
    ) {
        let case = Case {
            class,
            line: line.as_ref().to_vec(),
            fields: fields.as_ref().to_vec(),
            body: body.as_ref().to_vec(),
            is_nameless: false,
        };
        if self.known.insert(case.bytes("", "")) {
            self.cases.push(case);
        }
    }

    /// Adds a `POST`.
    fn post(&mut self, class: &'static str, fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) {
        self.add(class, POST, fields, body);
    }
}

const POST: &str = "POST /public/x HTTP/1.1";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// Bodies that differ when read by length and by chunks.
const BODIES: [&str; 4] = ["", "0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "hello"];

pub(super) fn all() -> Vec<Case> {
    let mut corpus = Corpus::default();
    fields::codings(&mut corpus);
    fields::lengths(&mut corpus);
    fields::both(&mut corpus);
    fields::names(&mut corpus);
    fields::line_ends(&mut corpus);
    bodies::chunk_sizes(&mut corpus);
    bodies::chunks(&mut corpus);
    bodies::trailers(&mut corpus);
    request_lines::request_lines(&mut corpus);
    request_lines::versions(&mut corpus);
    bodies::without_content(&mut corpus);
    fields::hop_by_hop(&mut corpus);
    corpus.cases
}
