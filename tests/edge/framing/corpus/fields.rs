//! Header fields that frame a message, and their spellings.

use super::*;

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

pub(super) fn codings(corpus: &mut Corpus) {
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

pub(super) fn lengths(corpus: &mut Corpus) {
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

pub(super) fn both(corpus: &mut Corpus) {
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

pub(super) fn names(corpus: &mut Corpus) {
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

pub(super) fn line_ends(corpus: &mut Corpus) {
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

pub(super) fn hop_by_hop(corpus: &mut Corpus) {
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
