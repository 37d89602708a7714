use pingora::protocols::http::ServerSession;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt as _, duplex};

use super::*;

fn head(line: &str, fields: &[&str]) -> Vec<u8> {
    let mut text = format!("{line}\r\n");
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn code(result: Result<Option<BytesMut>, Refusal>) -> Result<Option<String>, String> {
    match result {
        Ok(rewritten) => Ok(rewritten.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
        Err(refusal) => Err(refusal.code().to_owned()),
    }
}

/// Whether Pingora's own parser accepts the section.
fn is_accepted_by_pingora(head: &[u8]) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (mut client, server) = duplex(1 << 20);
        client.write_all(head).await.expect("room");
        drop(client);
        let mut session = ServerSession::new_http1(Box::new(server));
        matches!(session.read_request().await, Ok(true))
    })
}

const HOST: &str = "Host: gateway.test";

#[test]
fn valid_sections_pass_unchanged() {
    for head in [
        head("GET / HTTP/1.1", &[HOST]),
        head("GET / HTTP/1.0", &[]),
        head("OPTIONS * HTTP/1.1", &[HOST]),
        head("M-SEARCH /a%20b?q=%22 HTTP/1.1", &[HOST, "X:", "Y: \t a b\t ", "Z: caf\u{e9}"]),
        head("POST / HTTP/1.1", &[HOST, "Content-Length: 5"]),
        head("POST / HTTP/1.1", &[HOST, "transfer-encoding: Chunked"]),
        head("GET http://gateway.test/a?b HTTP/1.1", &[HOST]),
        head("GET HTTPS://gateway.test HTTP/1.1", &["host:gateway.test"]),
        head("GET /\"{x}\"?caf\u{e9} HTTP/1.1", &[HOST]),
        b"GET / HTTP/1.1\nHost: a\n\n".to_vec(),
    ] {
        assert_eq!(code(check(&head)), Ok(None), "{}", head.escape_ascii());
        assert!(is_accepted_by_pingora(&head), "{}", head.escape_ascii());
    }
}

#[test]
fn query_is_percent_encoded_where_pingora_would_refuse_it() {
    for (target, expected) in [
        ("/d?q=\"a\"&x=<b>", "/d?q=%22a%22&x=%3Cb%3E"),
        ("/\"d\"?q=\"", "/\"d\"?q=%22"),
        ("http://gateway.test/d?\"", "http://gateway.test/d?%22"),
        ("http://gateway.test?<", "http://gateway.test?%3C"),
    ] {
        let encoded = head(&format!("GET {expected} HTTP/1.1"), &[HOST]);
        let sent = head(&format!("GET {target} HTTP/1.1"), &[HOST]);
        assert_eq!(check(&sent), Ok(Some(BytesMut::from(&encoded[..]))), "{target}");
        assert!(is_accepted_by_pingora(&encoded), "{target}");
    }
    let latin1 = b"GET /d?caf\xe9&\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n";
    let encoded = b"GET /d?caf%E9&%C3%A9 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(check(latin1), Ok(Some(BytesMut::from(&encoded[..]))));
}

#[test]
fn sections_that_pingora_refuses_or_repairs_are_refused() {
    let long = format!("GET /{} HTTP/1.1", "a".repeat(66_000));
    let many: Vec<String> = (0..300).map(|at| format!("X-{at}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (line, fields, expected) in [
        ("GET / HTTP/1.1", &[HOST, HOST][..], "request_invalid"),
        ("GET / HTTP/1.1", &["Host: a@b"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, " folded"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, "X : 1"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, "X\u{e9}: 1"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, ": 1"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, "no field"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, "X: a\0b"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, "X: a\rb"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, "X: a\u{7f}b"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, "Content-Length: +5"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, "Content-Length: 5", "Content-Length: 5"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, "Content-Length: 99999999999999999999"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, "Transfer-Encoding: gzip"], "request_invalid"),
        ("GET / HTTP/1.1", &[HOST, "Transfer-Encoding: chunked", "Content-Length: 5"], "request_invalid"),
        ("GET / HTTP/1.0", &["Transfer-Encoding: chunked"], "request_invalid"),
        ("GET / HTTP/1.1", &many, "header_too_large"),
        ("GET  / HTTP/1.1", &[HOST], "request_invalid"),
        ("GET /  HTTP/1.1", &[HOST], "request_invalid"),
        ("GET /a b HTTP/1.1", &[HOST], "request_invalid"),
        ("GET /a\tb HTTP/1.1", &[HOST], "request_invalid"),
        ("GET /a\rb HTTP/1.1", &[HOST], "request_invalid"),
        ("GET /a#b HTTP/1.1", &[HOST], "request_invalid"),
        ("GET / HTTP/2.0", &[HOST], "request_invalid"),
        ("GET / HTTP/1.2", &[HOST], "request_invalid"),
        ("GET / http/1.1", &[HOST], "request_invalid"),
        ("GET /", &[], "request_invalid"),
        ("GE\u{e9} / HTTP/1.1", &[HOST], "request_invalid"),
        ("PRI * HTTP/2.0", &[], "request_invalid"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2", &[], "request_invalid"),
        ("SSH-2.0-OpenSSH_9.2", &[], "request_invalid"),
        ("CONNECT a:443 HTTP/1.1", &["Host: a:443"], "method_not_allowed"),
        ("GET http://other.test/ HTTP/1.1", &[HOST], "request_invalid"),
        ("GET http://u@gateway.test/ HTTP/1.1", &["Host: gateway.test"], "request_invalid"),
        ("GET ftp://gateway.test/ HTTP/1.1", &[HOST], "target_ambiguous"),
        ("GET http:/\\gateway.test/ HTTP/1.1", &[HOST], "target_ambiguous"),
        ("GET a HTTP/1.1", &[HOST], "target_ambiguous"),
        ("GET ?a HTTP/1.1", &[HOST], "target_ambiguous"),
        ("GET /<a> HTTP/1.1", &[HOST], "target_ambiguous"),
        ("GET /a` HTTP/1.1", &[HOST], "target_ambiguous"),
        (&long, &[HOST], "target_too_long"),
    ] {
        let sent = head(line, fields);
        assert_eq!(code(check(&sent)), Err(expected.to_owned()), "{}", sent.escape_ascii());
        let instead = stand_in(&sent);
        assert_eq!(code(check(&instead)), Ok(None), "{}", instead.escape_ascii());
        assert!(is_accepted_by_pingora(&instead), "{}", instead.escape_ascii());
    }
    let latin1 = b"GET /caf\xe9 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(code(check(latin1)), Err("target_ambiguous".to_owned()));
}

#[test]
fn other_protocols_are_detected_by_their_first_bytes() {
    let is_no_request = |bytes: &[u8]| is_no_request(bytes, memchr(b'\n', bytes));
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"\0\r\nQUIT\n!",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"GET /\r\n",
    ] {
        assert!(is_no_request(bytes), "{}", bytes.escape_ascii());
        let refusal = check(bytes).expect_err("no request");
        assert!(matches!(refusal, Refusal::RequestInvalid(_)));
    }
    for bytes in [&b""[..], b"G", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\nHost", b"\r"] {
        assert!(!is_no_request(bytes), "{}", bytes.escape_ascii());
    }
}

#[test]
fn stand_in_keeps_only_fields_for_log_and_response() {
    let sent = head(
        "HEAD /a b/c?secret HTTP/1.1",
        &[
            "Accept: text/html",
            "Cookie: secret",
            "Authorization: Bearer secret",
            "Content-Length: 5",
            "Host: a@b",
            "X-Request-Id: abc",
            "Expect: 100-continue",
        ],
    );
    let kept =
        ["Accept: text/html", "X-Request-Id: abc", "Expect: 100-continue", "Content-Length: 5", "Host: -"];
    let expected = head("HEAD /a HTTP/1.1", &kept);
    assert_eq!(stand_in(&sent)[..], expected[..]);
    assert_eq!(stand_in(b"\x16\x03\x01")[..], head("GET / HTTP/1.1", &["Host: -"])[..]);
    assert_eq!(
        stand_in(b"GET http://x/caf\xe9 HTTP/1.1\r\n\r\n")[..],
        head("GET /caf%E9 HTTP/1.1", &["Host: -"])[..]
    );
}

/// Generates parts of valid and invalid sections.
fn part() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            &b" "[..],
            b"\t",
            b"\r",
            b"\n",
            b"\r\n",
            b":",
            b"/",
            b"?",
            b"#",
            b"*",
            b"%",
            b"\"",
            b"<",
            b"`",
            b"\\",
            b"@",
            b"[",
            b"]",
            b"\0",
            b"\x7f",
            b"\x80",
            b"\xc3\xa9",
            b"http://",
            b"https:",
            b"GET",
            b"CONNECT",
            b"HTTP/1.1",
            b"HTTP/1.0",
            b"Host: ",
            b"Content-Length: ",
            b"Transfer-Encoding: ",
            b"chunked",
            b"5",
            b"+",
            b",",
            b"a",
            b"gateway.test",
            b":80",
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Pingora accepts everything that passes here, so no response goes without a log line.
    #[test]
    fn pingora_accepts_every_section_that_passes(
        target in prop::collection::vec(part(), 0..4),
        fields in prop::collection::vec(prop::collection::vec(part(), 0..4), 0..3),
    ) {
        let mut sent = [b"GET /", &target.concat()[..], b" HTTP/1.1\r\nHost: gateway.test\r\n"].concat();
        for field in fields {
            sent.extend_from_slice(b"X");
            sent.extend_from_slice(&field.concat());
            sent.extend_from_slice(b"\r\n");
        }
        sent.extend_from_slice(b"\r\n");
        match check(&sent) {
            Ok(None) => prop_assert!(is_accepted_by_pingora(&sent), "{}", sent.escape_ascii()),
            Ok(Some(encoded)) => prop_assert!(is_accepted_by_pingora(&encoded), "{}", encoded.escape_ascii()),
            Err(_) => prop_assert!(is_accepted_by_pingora(&stand_in(&sent))),
        }
    }

    /// Same property for arbitrary request lines.
    #[test]
    fn pingora_accepts_every_line_that_passes(
        line in prop::collection::vec(part(), 0..8),
    ) {
        let sent = [&line.concat()[..], b"\r\nHost: gateway.test\r\n\r\n"].concat();
        let end = sent.windows(2).position(|two| two == b"\n\n").map_or(sent.len(), |at| at + 2);
        let end = sent.windows(3).position(|three| three == b"\n\r\n").map_or(end, |at| end.min(at + 3));
        let sent = &sent[..end];
        if !matches!(sent.first(), Some(b'\n' | b'\r')) {
            match check(sent) {
                Ok(None) => prop_assert!(is_accepted_by_pingora(sent), "{}", sent.escape_ascii()),
                Ok(Some(encoded)) => prop_assert!(is_accepted_by_pingora(&encoded)),
                Err(_) => prop_assert!(is_accepted_by_pingora(&stand_in(sent))),
            }
        }
    }
}
