//! curl as it is used: range requests, uploads with and without `Expect: 100-continue`; and an HTTP/2 client that waits
//! for 100 Continue.

use std::process::Command;

use bytes::Bytes;

use crate::blob_server::ETAG;
use crate::process::{self, Done};
use crate::stage::{SOON, Stage};
use crate::support::assert_eventually;
use crate::support::http2::{self, Http2};

const SIZE: u64 = 5_000_000;

/// Curl's view of a response.
struct CurlResult {
    status: String,
    /// Every line received, including interim response headers.
    lines: Vec<String>,
    /// Body bytes sent.
    sent: u64,
    body: Vec<u8>,
}

impl CurlResult {
    fn header(&self, name: &str) -> Option<&str> {
        let value = |line: &'_ String| {
            line.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.len())
        };
        let line = self.lines.iter().find(|line| value(line).is_some())?;
        line.split_once(':').map(|(_, value)| value.trim())
    }

    /// Returns true if it received 100 Continue.
    fn was_told_to_continue(&self) -> bool {
        self.lines.iter().any(|line| line.starts_with("HTTP/") && line.split(' ').nth(1) == Some("100"))
    }
}

struct Curl<'a> {
    stage: &'a Stage,
    version: &'static str,
}

impl Curl<'_> {
    async fn call(&self, path: &str, signed_in: bool, more: &[&str]) -> CurlResult {
        let house = &self.stage.house;
        let [body, head] = ["curl.body", "curl.head"].map(|name| house.path(name));
        let _ = std::fs::remove_file(&body);
        let address = self.stage.gateway.public;
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "20", self.version])
            .arg("--cacert")
            .arg(house.path("app.crt"))
            .arg("--connect-to")
            .arg(format!("gateway.test:443:{address}"))
            .arg("--dump-header")
            .arg(&head)
            .arg("--output")
            .arg(&body)
            .args(["--write-out", "%{http_code} %{size_upload} %{http_version}"])
            .args(more);
        if signed_in {
            command.args(["--header", &format!("Authorization: Bearer {}", self.stage.access)]);
        }
        command.arg(format!("https://gateway.test{path}"));
        // On a blocking thread: the app runs in this process.
        let done = tokio::task::spawn_blocking(move || process::run(&mut command, "")).await.expect("curl");
        let Done { code, out, err } = done;
        assert_eq!(code, Some(0), "{} {path} signed in {signed_in}: {out} {err}", self.version);
        let printed: Vec<&str> = out.split(' ').collect();
        assert_eq!(format!("--http{}", printed[2]), self.version, "{out}");
        CurlResult {
            status: printed[0].to_owned(),
            sent: printed[1].parse().expect("a number"),
            lines: std::fs::read_to_string(&head).expect("a header").lines().map(str::to_owned).collect(),
            body: std::fs::read(&body).unwrap_or_default(),
        }
    }
}

const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

#[tokio::test(flavor = "multi_thread")]
async fn range_requests_pass_unchanged() {
    let stage = Stage::tls("").await;
    let path = format!("/bytes/{SIZE}");
    for version in VERSIONS {
        let curl = Curl { stage: &stage, version };
        let part = curl.call(&path, true, &["--range", "1000000-1999999"]).await;
        assert_eq!((part.status.as_str(), part.body.len()), ("206", 1_000_000), "{version}");
        assert!(stage.app.pattern.is(1_000_000, &part.body));
        assert_eq!(part.header("content-range"), Some(format!("bytes 1000000-1999999/{SIZE}").as_str()));

        // The remainder if unchanged, as after an interrupted download.
        let same = format!("If-Range: {ETAG}");
        let rest = curl.call(&path, true, &["--range", "4000000-", "--header", &same]).await;
        assert_eq!((rest.status.as_str(), rest.body.len()), ("206", 1_000_000), "{version}");
        assert!(stage.app.pattern.is(4_000_000, &rest.body));
        let other =
            curl.call(&path, true, &["--range", "4000000-", "--header", "If-Range: \"another\""]).await;
        assert_eq!((other.status.as_str(), other.body.len() as u64), ("200", SIZE), "{version}");
        assert!(stage.app.pattern.is(0, &other.body));

        let beyond = curl.call(&path, true, &["--range", "5000000-"]).await;
        assert_eq!((beyond.status.as_str(), beyond.body.len()), ("416", 0), "{version}");
        assert_eq!(beyond.header("content-range"), Some(format!("bytes */{SIZE}").as_str()));
        let stranger = curl.call(&path, false, &["--range", "0-9"]).await;
        assert_eq!(stranger.status, "401", "{version}");
    }
}

/// Creates a file of two MiB. Returns its name and length.
fn upload(stage: &Stage) -> (String, u64) {
    let file = stage.house.path("upload");
    let bytes = [stage.app.pattern.at(0, 1 << 20), stage.app.pattern.at(1_048_573, 1 << 20)].concat();
    std::fs::write(&file, &bytes).expect("a file");
    (file.display().to_string(), bytes.len() as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_with_expect_continue_is_refused_before_the_body() {
    let stage = Stage::tls("").await;
    let (name, length) = upload(&stage);
    for version in VERSIONS {
        let curl = Curl { stage: &stage, version };
        // Over HTTP/2 there is no 100 Continue (Pingora 0.9.1 has no interim responses there): curl sends at once, as
        // 7.88 does, or after its own timeout.
        let is_asked = version == "--http1.1";
        let wait = if is_asked { "15" } else { "1" };
        let upload = ["--request", "POST", "--upload-file", &name, "--header", "Expect: 100-continue"];
        let upload = [&upload[..], &["--expect100-timeout", wait]].concat();
        let (heads, taken) = (stage.app.seen(|seen| &seen.heads), stage.app.seen(|seen| &seen.taken));
        let refused = curl.call("/take", false, &upload).await;
        assert_eq!((refused.status.as_str(), refused.was_told_to_continue()), ("401", false), "{version}");
        assert_eq!(stage.app.seen(|seen| &seen.heads), heads, "{version}: the app does not hear of it");

        let expecting = stage.app.seen(|seen| &seen.expecting);
        let done = curl.call("/take", true, &upload).await;
        let printed = String::from_utf8_lossy(&done.body).into_owned();
        assert_eq!(
            (done.status.as_str(), printed),
            ("200", format!("{length} as they should be")),
            "{version}"
        );
        assert_eq!((done.sent, stage.app.seen(|seen| &seen.taken) - taken), (length, length), "{version}");
        assert_eq!(stage.app.seen(|seen| &seen.expecting), expecting + 1, "{version}: the app is told");
        assert_eq!(done.was_told_to_continue(), is_asked, "{version}");

        // An early response of the app is passed on.
        for status in ["417", "413", "200"] {
            // After a 200 over HTTP/2, curl 7.88 goes on sending and takes the end of its stream for an error; see
            // below.
            if !is_asked && status == "200" {
                continue;
            }
            let outcome = curl.call(&format!("/status/{status}"), true, &upload).await;
            assert_eq!(
                (outcome.status.as_str(), outcome.was_told_to_continue()),
                (status, false),
                "{version}"
            );
        }
        if is_asked {
            assert_eq!(refused.sent, 0, "nothing of the body was sent");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_without_expect_continue_receives_the_refusal() {
    let stage = Stage::tls("").await;
    let (name, _) = upload(&stage);
    let upload = ["--request", "POST", "--upload-file", &name, "--header", "Expect:"];
    for version in VERSIONS {
        let curl = Curl { stage: &stage, version };
        let heads = stage.app.seen(|seen| &seen.heads);
        // A loss would be a race, so try ten times.
        for _ in 0..10 {
            let refused = curl.call("/take", false, &upload).await;
            assert_eq!(refused.status, "401", "{version}");
            assert!(String::from_utf8_lossy(&refused.body).contains("token_missing"), "{version}");
        }
        assert_eq!(stage.app.seen(|seen| &seen.heads), heads, "{version}: the app does not hear of it");
        for status in ["413", "417"] {
            for _ in 0..5 {
                let outcome = curl.call(&format!("/status/{status}"), true, &upload).await;
                assert_eq!(outcome.status, status, "{version}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expect_continue_over_http2_is_answered_whenever_the_body_arrives() {
    let stage = Stage::tls("").await;
    let trust = stage.trust.as_ref().expect("TLS");
    let mut client = Http2::connect(trust, stage.gateway.public, "gateway.test").await;
    let bearer = format!("Bearer {}", stage.access);
    let [expect, signed_in] = [("Expect", "100-continue"), ("Authorization", bearer.as_str())];
    let length = ("Content-Length", "9");
    // No body is sent, and the complete response arrives.
    let (refused, _body) = client.send("POST", "/take", &[expect, length], None).await.expect("taken");
    let refused = http2::whole(http2::head(refused).await.expect("an answer")).await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_missing"));
    assert_eq!(stage.app.seen(|seen| &seen.heads), 0);
    for status in [417, 413, 200] {
        let target = format!("/status/{status}");
        let sent = client.send("POST", &target, &[expect, length, signed_in], None).await;
        let (outcome, _body) = sent.expect("taken");
        let outcome = http2::whole(http2::head(outcome).await.expect("an answer")).await;
        assert_eq!(outcome.status, status);
    }
    // The app sent 100 Continue, and the client did not receive it.
    let sent = client.send("POST", "/take", &[expect, length, signed_in], None).await;
    let (response, mut body) = sent.expect("taken");
    assert_eventually("the app waits for it", SOON, async || stage.app.seen(|seen| &seen.expecting) == 1)
        .await;
    body.send_data(Bytes::copy_from_slice(stage.app.pattern.at(0, 9)), true).expect("still taken");
    let response = http2::whole(http2::head(response).await.expect("an answer")).await;
    assert_eq!((response.status, response.text().as_str()), (200, "9 as they should be"));
}
