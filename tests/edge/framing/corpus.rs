//! The raw requests by class. Each ends in [`HIDDEN`]: as a body, after one, or instead of one.

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
    codings(&mut corpus);
    lengths(&mut corpus);
    both(&mut corpus);
    names(&mut corpus);
    line_ends(&mut corpus);
    chunk_sizes(&mut corpus);
    chunks(&mut corpus);
    trailers(&mut corpus);
    request_lines(&mut corpus);
    versions(&mut corpus);
    without_content(&mut corpus);
    hop_by_hop(&mut corpus);
    corpus.cases
}

/// Spellings of the transfer coding.
const CODINGS: [&str; 50] = [
    "chunked",
    "Chunked",
    "CHUNKED",
    "chunked ",
    " chunked",
    "\tchunked",
    "chunked\t",
    "\u{b}chunked",
    "chunked\u{b}",
    "\u{c}chunked",
    "xchunked",
    "chunkedx",
    "chunked,",
    ",chunked",
    ", chunked",
    "chunked, chunked",
    "chunked,chunked",
    "identity",
    "identity, chunked",
    "chunked, identity",
    "gzip",
    "gzip, chunked",
    "chunked, gzip",
    "deflate",
    "compress, chunked",
    "br",
    "\"chunked\"",
    "'chunked'",
    "chunked;q=1",
    "chunked; a=b",
    "chunked;",
    ";chunked",
    "chunk",
    "chunke",
    "ch\u{fc}nked",
    "c\u{200b}hunked",
    "chun\tked",
    "chun ked",
    "chunked\0",
    "\0chunked",
    "cow",
    "",
    " ",
    "none",
    "null",
    "false",
    "chunked#",
    "%63hunked",
    "chunked\u{a0}",
    "chun\u{212a}ed",
];

fn codings(corpus: &mut Corpus) {
    // T21.
    for coding in CODINGS {
        for body in BODIES {
            corpus.post("codings", format!("Transfer-Encoding:{coding}\r\n"), body);
        }
        corpus.post(
            "codings, twice",
            format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: {coding}\r\n"),
            BODIES[1],
        );
        corpus.post(
            "codings, twice",
            format!("Transfer-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n"),
            BODIES[1],
        );
    }
}

fn lengths(corpus: &mut Corpus) {
    // T21; 9112 section 6.3.
    for length in [
        "5",
        "05",
        "0005",
        "+5",
        "-5",
        "-0",
        "+0",
        "0",
        "00",
        "5 ",
        " 5",
        "\t5",
        "5\t",
        "\u{b}5",
        "5\u{b}",
        "5 5",
        "5,5",
        "5, 5",
        "5,",
        ",5",
        "5, 6",
        "5;",
        "5;a=b",
        "5.0",
        "5e0",
        "0x5",
        "0b101",
        "0o5",
        "5h",
        "h5",
        "\"5\"",
        "'5'",
        "five",
        "",
        " ",
        "5\0",
        "\x0005",
        "\u{665}",
        "\u{ff15}",
        "5\u{a0}",
        "2147483648",
        "4294967301",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999999999",
        "1_0",
        "5\u{85}",
        "%35",
        "nan",
        "inf",
        "5\r\n 5",
        "\r\n 5",
    ] {
        for body in ["", "hello", "0\r\n\r\n"] {
            corpus.post("lengths", format!("Content-Length:{length}\r\n"), body);
        }
        corpus.post("lengths, twice", format!("Content-Length: 5\r\nContent-Length: {length}\r\n"), "hello");
        corpus.post("lengths, twice", format!("Content-Length: {length}\r\nContent-Length: 5\r\n"), "hello");
        corpus.post("lengths, twice", format!("Content-Length: {length}\r\nContent-Length: 0\r\n"), "");
    }
}

fn both(corpus: &mut Corpus) {
    // T21: CL.TE and TE.CL, whichever field wins.
    for coding in CODINGS.iter().take(30) {
        for length in [0, 3, 4, 5, 6, HIDDEN.len()] {
            corpus.post(
                "length and coding",
                format!("Content-Length: {length}\r\nTransfer-Encoding: {coding}\r\n"),
                BODIES[1],
            );
        }
        corpus.post(
            "length and coding",
            format!("Transfer-Encoding: {coding}\r\nContent-Length: 5\r\n"),
            BODIES[1],
        );
        corpus.post(
            "length and coding",
            format!("Transfer-Encoding: {coding}\r\nContent-Length: 3\r\n"),
            BODIES[2],
        );
    }
}

/// Bytes invalid in field names, or that some servers skip or merge.
const ODD: [&[u8]; 26] = [
    b" ",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"\0",
    b"\x01",
    b"\x08",
    b"\x1b",
    b"\x1f",
    b"\x7f",
    b"\x80",
    b"\x85",
    b"\xa0",
    b"\xff",
    b"_",
    b"/",
    b"\\",
    b"(",
    b"\"",
    b",",
    b";",
    b"=",
    b"@",
    b"\xe2\x80\x8b",
    b"\r",
    b"\n",
];

fn names(corpus: &mut Corpus) {
    // T21: a framing field that one server sees and another does not.
    for odd in ODD {
        for (name, value, body) in
            [("Transfer-Encoding", "chunked", BODIES[1]), ("Content-Length", "5", "hello")]
        {
            let (head, tail) = name.split_at(8);
            for field in [
                [odd, name.as_bytes(), b": ", value.as_bytes()].concat(),
                [name.as_bytes(), odd, b": ", value.as_bytes()].concat(),
                [head.as_bytes(), odd, tail.as_bytes(), b": ", value.as_bytes()].concat(),
                [name.as_bytes(), b":", odd, value.as_bytes()].concat(),
                [name.as_bytes(), b": ", value.as_bytes(), odd].concat(),
                [b"X: y", odd, name.as_bytes(), b": ", value.as_bytes()].concat(),
            ] {
                corpus.post("odd bytes around framing", [&field[..], b"\r\n"].concat(), body);
            }
        }
    }
    for name in [
        "Transfer_Encoding",
        "Content_Length",
        "TRANSFER-ENCODING",
        "content-length",
        "Transfer-Encodings",
        "Transfer\u{2010}Encoding",
        "Transfer Encoding",
        "ContentLength",
    ] {
        corpus.post("names almost right", format!("{name}: chunked\r\n"), BODIES[1]);
        corpus.post("names almost right", format!("{name}: 5\r\n"), "hello");
        corpus.post("names almost right", format!("{name}: chunked\r\nContent-Length: 5\r\n"), "hello");
        corpus.post("names almost right", format!("{name}: 5\r\nTransfer-Encoding: chunked\r\n"), BODIES[1]);
    }
}

fn line_ends(corpus: &mut Corpus) {
    // T21: folds and unusual line ends.
    for end in [
        "\n", "\r", "\r\r\n", "\n\r", "\r\n\r", "\n\n", "\r\n ", "\r\n\t", "\n ", "\r ", "\0\r\n", "\u{b}",
        "\u{c}", "\u{85}", "\u{2028}",
    ] {
        for (field, body) in [("Transfer-Encoding: chunked", BODIES[1]), ("Content-Length: 5", "hello")] {
            corpus.post("ends of lines", format!("X-A: b{end}{field}\r\n"), body);
            corpus.post("ends of lines", format!("{field}{end}X-A: b\r\n"), body);
            corpus.post(
                "ends of lines",
                format!("{}:{end}{}\r\n", &field[..field.len() - 9], &field[field.len() - 9..]),
                body,
            );
            corpus.post("ends of lines", format!("{field}{end}"), body);
        }
        corpus.add("ends of lines", format!("{POST}{end}X-B: c"), "Content-Length: 5\r\n", "hello");
    }
}

fn chunk_sizes(corpus: &mut Corpus) {
    // T21: chunk sizes of 5 bytes in many spellings.
    for size in [
        "5",
        "05",
        "0000000000000005",
        "00000000000000000000000000000005",
        "+5",
        "-5",
        "-0",
        "0x5",
        "0X5",
        "5h",
        " 5",
        "5 ",
        "\t5",
        "5\t",
        "5\u{b}",
        "5;",
        "5 ;",
        "5;a",
        "5;a=b",
        "5;a=\"b\"",
        "5;a=\"b;c\"",
        "5;a=\"\r\n\"",
        "5;\n",
        "5;a\nb",
        "5\n",
        "5\r",
        "5\0",
        "\x0005",
        "5,",
        "5.",
        "5.0",
        "5_",
        "5 5",
        "five",
        "",
        " ",
        "g",
        "\"5\"",
        "%35",
        "\u{ff15}",
        "10000000000000005",
        "100000005",
        "ffffffffffffffff",
        "fffffffffffffffff",
        "8000000000000005",
        "7fffffffffffffff",
        "5;a=\0",
        "5;\u{e9}",
        "5;;;;",
        "5; ",
        "5#",
        "5//",
        "5h;a",
        "0;5",
    ] {
        for end in ["\r\n", "\n"] {
            corpus.post("sizes of chunks", CHUNKED, format!("{size}{end}hello\r\n0\r\n\r\n"));
            corpus.post(
                "sizes of the last chunk",
                CHUNKED,
                format!("5\r\nhello\r\n{}{end}\r\n", size.replace('5', "0")),
            );
        }
    }
}

fn chunks(corpus: &mut Corpus) {
    // T21: too short, too long, or never ended.
    for body in [
        "5\r\nhello",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0",
        "5\r\nhello\r\n0\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "4\r\nhello\r\n0\r\n\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\n\r\nhello\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "5\r\nhello\r\n0\r\r\n\r\n",
        "0",
        "0\r",
        "0\r\n",
        "0\r\n\r",
        "0\n\r\n",
        "0\r\n\n",
        "\n0\r\n\r\n",
        "0\r\n\r\n0\r\n\r\n",
        "1\r\nZ\r\n1\r\nZ\r\n0\r\n\r\n",
        "5\r\nhello\r\n00000\r\n\r\n",
        "5\r\nhello\r\n;\r\n\r\n",
        "\r\n\r\n",
        "X\r\n\r\n",
        "5\r\nhello\r\n-1\r\n\r\n",
    ] {
        corpus.post("chunks", CHUNKED, body);
        corpus.post("chunks", format!("{CHUNKED}Connection: keep-alive\r\n"), body);
        corpus.post("chunks that are a length", format!("Content-Length: {}\r\n", body.len()), body);
        corpus.post(
            "chunks that are a length",
            format!("Content-Length: {}\r\n", body.len() + HIDDEN.len()),
            body,
        );
    }
    for size in [HIDDEN.len() - 1, HIDDEN.len(), HIDDEN.len() + 1] {
        corpus.post("chunks that hold it", CHUNKED, format!("{size:x}\r\n"));
        corpus.post("chunks that hold it", CHUNKED, format!("{size:x};a\n\r\n"));
        corpus.post("chunks that hold it", CHUNKED, format!("0\r\n\r\n{size:x}\r\n"));
    }
    for extension in [1_000, 20_000, 100_000] {
        corpus.post("chunks", CHUNKED, format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(extension)));
        corpus.post("chunks", CHUNKED, format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(extension)));
    }
}

fn trailers(corpus: &mut Corpus) {
    // T03, T21.
    for trailer in [
        "X: y\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: evil.test\r\n",
        "X-Auth-User: admin\r\n",
        "X\r\n",
        "X: y\n",
        ": y\r\n",
        " X: y\r\n",
        "X : y\r\n",
        "X: y\r\n z\r\n",
        "X: \0\r\n",
        "\n",
        "GET /admin/hidden HTTP/1.1\r\n",
        "X: y\rZ: w\r\n",
        "X: y\r\nX: y\r\n",
    ] {
        for head in [
            CHUNKED.to_owned(),
            format!("{CHUNKED}Trailer: X\r\n"),
            format!("{CHUNKED}TE: trailers\r\nConnection: te\r\n"),
        ] {
            corpus.post("trailers", &head, format!("0\r\n{trailer}\r\n"));
            corpus.post("trailers", &head, format!("5\r\nhello\r\n0\r\n{trailer}"));
        }
    }
}

fn request_lines(corpus: &mut Corpus) {
    // T21, T22.
    for line in [
        "POST  /public/x HTTP/1.1",
        "POST /public/x  HTTP/1.1",
        "POST\t/public/x\tHTTP/1.1",
        "POST /public/x HTTP/1.1 ",
        " POST /public/x HTTP/1.1",
        "\r\nPOST /public/x HTTP/1.1",
        "\r\n\r\nPOST /public/x HTTP/1.1",
        "\nPOST /public/x HTTP/1.1",
        "\rPOST /public/x HTTP/1.1",
        "POST /public/x HTTP/1.1\r",
        "POST /public/x",
        "POST",
        "POST /public/x HTTP",
        "/public/x HTTP/1.1",
        "post /public/x HTTP/1.1",
        "POST\0 /public/x HTTP/1.1",
        "POST /public/x\0 HTTP/1.1",
        "POST /public/x HTTP/1.1\0",
        "POST /public/x HTTP/1.1 HTTP/1.1",
        "POST /public/x\u{b}HTTP/1.1",
        "POST /public/x HTTP/1.1, HTTP/1.0",
        "P\u{d6}ST /public/x HTTP/1.1",
        "POST:/public/x HTTP/1.1",
        "(POST) /public/x HTTP/1.1",
        "POST /public/x?a\tb HTTP/1.1",
        "\u{feff}POST /public/x HTTP/1.1",
        "POST /public/x HTTP/1.1\r\n",
        "POST /public/x HTTP/1.1\n",
        "A POST /public/x HTTP/1.1",
        "\x16\x03\x01POST /public/x HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET http://gateway.test/public/x HTTP/1.1",
        "CONNECT gateway.test:80 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "TRACE /public/x HTTP/1.1",
        "POST #x HTTP/1.1",
    ] {
        for (fields, body) in [("Content-Length: 5\r\n", "hello"), (CHUNKED, BODIES[1]), ("", "")] {
            corpus.add("request lines", line, fields, body);
        }
    }
}

fn versions(corpus: &mut Corpus) {
    // T21: HTTP/1.0 has no chunks (RFC 9112 section 6.1), 0.9 has no header.
    for version in [
        "HTTP/1.0",
        "HTTP/0.9",
        "HTTP/1.2",
        "HTTP/2.0",
        "HTTP/2",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/01.1",
        "HTTP/1.01",
        "HTTP/1.10",
        "HTTP/1,1",
        "HTTP/1 .1",
        "http/1.1",
        "Http/1.1",
        "HTTP /1.1",
        "HTTP/ 1.1",
        "HTTPS/1.1",
        "HTTP/11",
        "HTTP/-1.1",
        "HTTP/1.1.1",
        "ICAP/1.0",
        "HTTP/\u{ff11}.1",
        "",
    ] {
        for (fields, body) in [
            (CHUNKED.to_owned(), BODIES[1]),
            ("Content-Length: 5\r\n".into(), "hello"),
            (format!("{CHUNKED}Content-Length: 5\r\n"), BODIES[1]),
            (format!("{CHUNKED}Connection: keep-alive\r\n"), BODIES[1]),
            ("Content-Length: 5\r\nConnection: keep-alive\r\n".into(), "hello"),
            ("Connection: keep-alive\r\n".into(), ""),
            (String::new(), ""),
        ] {
            corpus.add("versions", format!("POST /public/x {version}"), fields, body);
        }
    }
}

fn without_content(corpus: &mut Corpus) {
    // T23: unusual methods with a body, and responses sent before the body.
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH", "FOO"] {
        for target in ["/public/x", "/admin/x", "/auth/me", "/nowhere/..%2f", "/auth/login"] {
            for (fields, body) in [
                (String::new(), ""),
                ("Content-Length: 0\r\n".into(), ""),
                (format!("Content-Length: {}\r\n", HIDDEN.len()), ""),
                (CHUNKED.into(), BODIES[1]),
                (CHUNKED.into(), BODIES[2]),
                ("Expect: 100-continue\r\nContent-Length: 5\r\n".into(), "hello"),
                (format!("Expect: 100-continue\r\nContent-Length: {}\r\n", HIDDEN.len()), ""),
                ("Expect: evil\r\nContent-Length: 5\r\n".into(), "hello"),
                ("Content-Length: 5\r\nContent-Encoding: gzip\r\n".into(), "hello"),
            ] {
                corpus.add(
                    "bodies that may not be read",
                    format!("{method} {target} HTTP/1.1"),
                    fields,
                    body,
                );
            }
        }
    }
}

fn hop_by_hop(corpus: &mut Corpus) {
    // T22, T03: hop-by-hop fields, and upgrades to another protocol.
    for fields in [
        "Connection: content-length\r\nContent-Length: 5\r\n",
        "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
        "Connection: close, content-length\r\nContent-Length: 5\r\n",
        "Connection: host\r\nContent-Length: 5\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 5\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        "Connection: upgrade\r\nUpgrade: foo\r\n",
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
        "Keep-Alive: timeout=5\r\nContent-Length: 5\r\n",
        "Proxy-Connection: keep-alive\r\nContent-Length: 5\r\n",
        "TE: chunked\r\nContent-Length: 5\r\n",
        "Trailer: Content-Length\r\nContent-Length: 5\r\n",
        "Connection: close\r\nConnection: keep-alive\r\nContent-Length: 5\r\n",
    ] {
        for body in BODIES {
            corpus.post("hop by hop", fields, body);
            corpus.add("hop by hop", "GET /public/x HTTP/1.1", fields, body);
        }
    }
}
