//! Bodies: chunks, trailers, and requests without content.

use super::*;

pub(super) fn chunk_sizes(corpus: &mut Corpus) {
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

pub(super) fn chunks(corpus: &mut Corpus) {
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

pub(super) fn trailers(corpus: &mut Corpus) {
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

pub(super) fn without_content(corpus: &mut Corpus) {
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
