use super::*;

fn audience_of(method: &str, fields: &[(&'static str, &'static str)]) -> Audience {
    let mut request = RequestHeader::build(method, b"/", None).unwrap();
    for (name, value) in fields {
        request.append_header(*name, *value).unwrap();
    }
    audience(&request)
}

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
const CORS: (&str, &str) = ("sec-fetch-mode", "cors");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

const fn dest(dest: &'static str) -> (&'static str, &'static str) {
    ("sec-fetch-dest", dest)
}

#[test]
fn only_browser_navigation_gets_pages() {
    use Audience::{Frame, Page, Program};
    for (method, fields, expected) in [
        ("GET", &[HTML][..], Page),
        ("HEAD", &[HTML], Page),
        ("GET", &[NAVIGATE, dest("document"), HTML], Page),
        ("GET", &[NAVIGATE, dest("document")], Page),
        // A service worker fetches for a page view.
        ("GET", &[NAVIGATE, dest("empty"), HTML], Page),
        ("GET", &[NAVIGATE, dest("empty"), ("accept", "*/*")], Page),
        ("GET", &[NAVIGATE], Page),
        ("POST", &[NAVIGATE, dest("empty"), FORM], Page),
        ("POST", &[NAVIGATE, dest("document"), FORM], Page),
        ("POST", &[HTML, FORM], Page),
        ("POST", &[HTML, ("content-type", "multipart/form-data; boundary=x")], Page),
        ("GET", &[HTML, NAVIGATE, dest("iframe")], Frame),
        ("GET", &[NAVIGATE, dest("frame")], Frame),
        ("GET", &[NAVIGATE, dest("embed")], Frame),
        ("GET", &[NAVIGATE, dest("object")], Frame),
        ("POST", &[NAVIGATE, dest("iframe"), FORM], Frame),
        ("GET", &[], Program),
        ("GET", &[("accept", "*/*")], Program),
        ("GET", &[("accept", "application/json")], Program),
        ("GET", &[("accept", "text/html;q=0, application/json")], Program),
        ("GET", &[HTML, ("x-requested-with", "XMLHttpRequest")], Program),
        // Android's WebView adds the name of the app.
        ("GET", &[HTML, ("x-requested-with", "com.example.app")], Page),
        ("GET", &[HTML, NAVIGATE, dest("document"), ("x-requested-with", "com.example.app")], Page),
        ("GET", &[HTML, ("upgrade", "websocket")], Program),
        ("GET", &[HTML, ("authorization", "Bearer x")], Program),
        ("GET", &[HTML, NAVIGATE, dest("document"), ("authorization", "Basic YTpi")], Page),
        ("GET", &[HTML, CORS, ("authorization", "Basic YTpi")], Program),
        (
            "GET",
            &[("accept", "image/avif,image/webp,*/*;q=0.8"), ("sec-fetch-mode", "no-cors"), dest("image")],
            Program,
        ),
        ("GET", &[HTML, ("sec-fetch-mode", "websocket"), dest("websocket")], Program),
        ("POST", &[HTML, ("content-type", "application/json")], Program),
        ("POST", &[HTML, ("content-type", "application/grpc")], Program),
        ("PUT", &[HTML], Program),
        ("DELETE", &[HTML, NAVIGATE, dest("document")], Program),
        ("OPTIONS", &[HTML], Program),
    ] {
        assert_eq!(audience_of(method, fields), expected, "{method} {fields:?}");
    }
}

#[test]
fn script_that_prefers_html_gets_html() {
    use Audience::{Html, Program};
    for (accept, expected) in [
        ("text/html", Html),
        ("text/html, application/xhtml+xml", Html),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Html),
        ("text/vnd.turbo-stream.html, text/html, application/xhtml+xml", Html),
        ("text/html, application/json;q=0.9", Html),
        ("text/html, application/json", Html),
        ("application/json;q=0.5, text/html", Html),
        ("application/json, text/html", Program),
        ("application/json, text/html;q=0.9", Program),
        ("text/html;q=0.1, application/problem+json", Program),
        ("text/html;q=0", Program),
        ("application/json", Program),
        ("*/*", Program),
        ("", Program),
    ] {
        for mode in ["cors", "same-origin", "no-cors"] {
            let fields = [("accept", accept), ("sec-fetch-mode", mode), dest("empty")];
            assert_eq!(audience_of("GET", &fields), expected, "{mode} {accept}");
        }
    }
    assert_eq!(audience_of("POST", &[HTML, CORS, FORM]), Html);
    assert_eq!(audience_of("GET", &[HTML, CORS, ("x-requested-with", "XMLHttpRequest")]), Program);
}

#[test]
fn media_ranges_beyond_the_limit_are_not_read() {
    let html_after = |count: usize| {
        let mut headers = HeaderMap::new();
        let field = format!("{}text/html", "a/b,".repeat(count));
        headers.append(header::ACCEPT, field.parse().expect("a field"));
        accepts_html(&headers)
    };
    assert!(html_after(MAX_RANGES - 1));
    assert!(!html_after(MAX_RANGES) && !html_after(8_000));
}
