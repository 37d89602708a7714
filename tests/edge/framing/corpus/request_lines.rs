//! Request lines and versions of HTTP.

use super::*;

pub(super) fn request_lines(corpus: &mut Corpus) {
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

pub(super) fn versions(corpus: &mut Corpus) {
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
