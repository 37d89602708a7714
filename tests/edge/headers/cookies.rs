//! T06, T07, T50: gateway cookies among others, and apps that try to set them.

use super::World;
use crate::recorder::{NAME, SET};
use crate::support::http::Client;
use crate::support::measured;

/// Fields as sent, and the one that arrives.
type Case = (&'static [&'static [u8]], Option<&'static [u8]>);

/// Cookies sent by a client, and those that reach the app.
const SENT: [Case; 18] = [
    (&[b"a=1"], Some(b"a=1")),
    (&[b"a=1; b=2"], Some(b"a=1; b=2")),
    (&[b"a=1", b"b=2"], Some(b"a=1; b=2")),
    (&[b"a=1; __Host-doorward-refresh=r; b=2"], Some(b"a=1; b=2")),
    (&[b"__Host-doorward-refresh=r"], None),
    (&[b"__Host-doorward-refresh=r", b"a=1"], Some(b"a=1")),
    (&[b"a=1", b"__HOST-doorward-access=x", b"b=2"], Some(b"a=1; b=2")),
    (&[b""], None),
    (&[b";;;"], None),
    (&[b"a"], Some(b"a")),
    (&[b"a=\"1; b=2\""], Some(b"a=\"1; b=2\"")),
    (&[b"a=1;b=2;__Host-doorward-refresh"], Some(b"a=1; b=2")),
    (&[b"a=\xff\xfe; b=2"], Some(b"a=\xff\xfe; b=2")),
    (&[b"x__Host-doorward-access=1"], Some(b"x__Host-doorward-access=1")),
    (&[b"__Host-doorward-access2=1"], None),
    (&[b"__Host-doorward=1"], Some(b"__Host-doorward=1")),
    (&[b"a=__Host-doorward-access"], Some(b"a=__Host-doorward-access")),
    (&[b"a=b=c; =d; e="], Some(b"a=b=c; =d; e=")),
];

#[tokio::test(flavor = "multi_thread")]
async fn app_cookies_arrive_in_one_field_without_gateway_cookies() {
    let world = World::start("").await;
    for (fields, left) in SENT {
        let mut head = format!("GET /public HTTP/1.1\r\nHost: gateway.test\r\n{NAME}: x\r\n").into_bytes();
        for field in fields {
            head.extend_from_slice(&[b"Cookie: ", *field, b"\r\n"].concat());
        }
        head.extend_from_slice(b"\r\n");
        let mut client = Client::connect(world.gateway.address()).await;
        client.send(&head).await;
        assert_eq!(client.response("GET").await.expect("an answer").status, 200);
        let record = world.app.take().pop().expect("forwarded");
        let lines = record.head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let seen: Vec<&[u8]> =
            lines.filter(|line| line.to_ascii_lowercase().starts_with(b"cookie:")).collect();
        let expected = left.map(|left| [&b": "[..], left].concat());
        let seen: Vec<Vec<u8>> = seen.into_iter().map(|line| line[6..].to_vec()).collect();
        assert_eq!(seen, Vec::from_iter(expected), "{:?}", fields[0].escape_ascii().to_string());
    }
    measured(format_args!("variants of cookies sent: {}", SENT.len()));
}

/// Cookies set by an app, and whether they pass.
const SET_BY_APPS: [(&[u8], bool); 24] = [
    (b"__Host-doorward-access=evil", false),
    (b"__Host-doorward-access=evil; Path=/; Secure", false),
    (b"__Host-doorward-refresh=evil; Max-Age=0", false),
    (b"__host-doorward-access=evil", false),
    (b"__HOST-DOORWARD-ACCESS=evil", false),
    (b"__Host-doorward-access =evil", false),
    (b"__Host-doorward-access\t=evil", false),
    (b"\t__Host-doorward-access=evil", false),
    (b"__Host-doorward-access", false),
    (b"__Host-doorward-access; Path=/", false),
    (b"=__Host-doorward-access=evil", false),
    (b"==__Host-doorward-access=evil", false),
    (b"= __Host-doorward-access=evil", false),
    (b"=__Host-doorward-access", false),
    (b"a=1", true),
    (b"a=1; Path=/; HttpOnly", true),
    (b"a=__Host-doorward-access=1", true),
    (b"__Host-doorward-access2=1", false),
    (b"x__Host-doorward-access=1", true),
    (b"__Host-doorward=1", true),
    (b"__Host-app=1; Secure; Path=/", true),
    (b"a=\"__Host-doorward-access\"", true),
    (b"a=\xff", true),
    (b"", true),
];

#[tokio::test(flavor = "multi_thread")]
async fn app_cannot_set_gateway_cookies() {
    let world = World::start("").await;
    for (value, may) in SET_BY_APPS {
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut client = Client::connect(world.gateway.address()).await;
        let response = client.request("GET", "/public", &[(SET, &hex)], b"").await;
        assert_eq!(response.status, 200);
        let set = response.all("set-cookie");
        assert_eq!(set.len(), usize::from(may), "{}: {set:?}", value.escape_ascii());
    }
    measured(format_args!("variants of cookies set by apps: {}", SET_BY_APPS.len()));
}
