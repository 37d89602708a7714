//! Refusals over HTTP/2, also those that the HTTP/2 library makes: each is one line in the log and one count.

use std::time::Duration;

use serde_json::Value;

use crate::app::TestApp;
use crate::eventually::assert_eventually;
use crate::house::House;
use crate::http::{self, Client};
use crate::logs::access::requests;
use crate::serving::Serving;

const SOON: Duration = Duration::from_secs(30);

const MORE: &str = "[server.limits]\nheader_bytes = \"8KiB\"\nheader_deadline = \"2s\"\n[[routes]]\nname = \"open\"\n\
                    path = \"/open\"\naccess = \"public\"\nupstream = \"app\"\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A string literal without Huffman coding (RFC 7541 sections 5.1 and 5.2).
fn text(text: &str) -> Vec<u8> {
    let length = text.len();
    let mut bytes = match u8::try_from(length) {
        Ok(short) if short < 127 => vec![short],
        _ => {
            let rest = length - 127;
            assert!((128..128 << 7).contains(&rest), "two more bytes");
            vec![
                127,
                u8::try_from(rest % 128 + 128).expect("a byte"),
                u8::try_from(rest / 128).expect("a byte"),
            ]
        }
    };
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The header block of a request for `/open` without compression.
fn block(method: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = [&[method, 0x86, 0x01][..], &text("gateway.test"), &[0x04], &text("/open")].concat();
    for (name, value) in fields {
        block.extend([&[0][..], &text(name), &text(value)].concat());
    }
    block
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// Step of a client after the preface.
enum Step {
    Send(Vec<u8>),
    /// Waits until the app has received the header of a request.
    AppIsAsked,
}

/// Runs a client, and returns the refusals in the log and in the metrics.
async fn refusals(preface: &[u8], steps: Vec<Step>, expected: usize) -> (Vec<String>, Vec<String>) {
    let app = TestApp::start().await;
    let house = House::new(app.address(), MORE);
    let text = std::fs::read_to_string(house.path("gateway.toml")).expect("the file");
    house.write("gateway.toml", &text.replacen("[server]\n", "[server]\nh2c = true\n", 1));
    let gateway = house.serve();
    let mut client = Client::connect(gateway.public).await;
    client.send(preface).await;
    for step in steps {
        match step {
            Step::Send(bytes) => client.send(&bytes).await,
            Step::AppIsAsked => {
                assert_eventually("the app is asked", SOON, async || app.heads() == 1).await;
            }
        }
    }
    if expected == 0 {
        client.until_closed().await;
    }
    assert_eventually("counted", SOON, async || counted(&gateway).await.len() >= expected).await;
    let counted = counted(&gateway).await;
    drop(client);
    let log = gateway.log();
    let code = |line: &Value, field: &str| line[field].as_str().map(str::to_owned);
    let unanswered = log.iter().filter(|line| line["reason"] == "request_unanswered");
    let unanswered = unanswered.filter_map(|line| code(line, "code"));
    (unanswered.chain(requests(&log).iter().filter_map(|line| code(line, "reason"))).collect(), counted)
}

/// The outcome of every counted request.
async fn counted(gateway: &Serving) -> Vec<String> {
    let text = http::request(gateway.admin, "GET", "/metrics", &[], b"").await.text();
    let mut outcomes = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("doorward_requests_total{")) {
        let (_, rest) = line.split_once("outcome=\"").expect("an outcome");
        let (outcome, rest) = rest.split_once('"').expect("its end");
        let count: usize = rest.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a count");
        outcomes.extend(std::iter::repeat_n(outcome.to_owned(), count));
    }
    outcomes
}

/// Name, first bytes, steps, and the reasons of the log lines.
type Case<'a> = (&'a str, &'a [u8], Vec<Step>, &'a [&'a str]);

#[tokio::test(flavor = "multi_thread")]
async fn every_http2_refusal_is_one_line_and_one_count() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const WHOLE: u8 = END_STREAM | END_HEADERS;
    let long = "x".repeat(9 << 10);
    let headers = |flags: u8, block: &[u8]| Step::Send(frame(HEADERS, flags, 1, block));
    let long_get = block(GET, &[("x-long", &long)]);
    let long_post = block(POST, &[("x-long", &long)]);
    let cases: [Case<'_>; 11] = [
        ("a long header section", PREFACE, vec![headers(WHOLE, &long_get)], &["header_too_large"]),
        ("one before a body", PREFACE, vec![headers(END_HEADERS, &long_post)], &["header_too_large"]),
        (
            "a connection-specific field",
            PREFACE,
            vec![headers(WHOLE, &block(GET, &[("connection", "close")]))],
            &["request_invalid"],
        ),
        (
            "two authorities",
            PREFACE,
            vec![headers(WHOLE, &block(GET, &[("host", "other.test")]))],
            &["request_invalid"],
        ),
        (
            "two authorities before a body",
            PREFACE,
            vec![headers(END_HEADERS, &block(POST, &[("host", "other.test")]))],
            &["request_invalid"],
        ),
        ("an undecodable block", PREFACE, vec![headers(WHOLE, &[0xFF; 30])], &["request_invalid"]),
        ("a broken preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", vec![], &["request_invalid"]),
        ("an unfinished header section", PREFACE, vec![headers(0, &block(GET, &[]))], &["request_timeout"]),
        ("an unfinished preface", &PREFACE[..20], vec![], &["request_timeout"]),
        ("no request", PREFACE, vec![Step::Send(frame(SETTINGS, 1, 0, &[]))], &[]),
        (
            "a body longer than its length",
            PREFACE,
            vec![
                headers(END_HEADERS, &block(POST, &[("content-length", "3")])),
                Step::AppIsAsked,
                Step::Send(frame(DATA, END_STREAM, 1, b"hello")),
            ],
            &["request_invalid"],
        ),
    ];
    for (name, preface, steps, expected) in cases {
        let (logged, counted) = refusals(preface, steps, expected.len()).await;
        assert_eq!(logged, expected, "log: {name}");
        assert_eq!(counted, expected, "metrics: {name}");
    }
}
