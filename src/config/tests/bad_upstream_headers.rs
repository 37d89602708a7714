//! More invalid files, in the notation of `bad`: headers towards and from apps.

use http::HeaderName;

use super::bad::Case;
use crate::config::{Encoding, Part, Template, Variable};

/// `identity` and `request_headers`.
const REQUESTS: &[Case] = &[
    (
        r#"{app}identity = "authelia""#,
        r#"3: upstreams.app.identity: unknown value "authelia" (write "default", "x-forwarded", "remote-user", "grafana" or "none")"#,
    ),
    (
        r#"{app}[upstreams.app.request_headers]|set = { "X-A" = "${user.mail}" }"#,
        r#"4: upstreams.app.request_headers.set.X-A: "${user.mail}" is not a variable: did you mean "${user.email}"?"#,
    ),
    (
        r#"{app}[upstreams.app.request_headers]|set = { "X-A" = "a${}" }"#,
        r#"4: upstreams.app.request_headers.set.X-A: "${}" is not a variable: write "${user.id}", "${user.login}", "${user.email}", "${user.name}", "${user.roles}", "${session.id}", "${session.amr}", "${session.acr}" or "${session.auth_time}""#,
    ),
    (
        r#"{app}[upstreams.app.request_headers]|set = { "X-A" = "${user.login" }"#,
        r#"4: upstreams.app.request_headers.set.X-A: "${user.login" has no } after ${: write ${user.login}"#,
    ),
    (
        r#"{app}[upstreams.app.request_headers]|set = { "X A" = "b" }"#,
        r#"4: upstreams.app.request_headers.set."X A": "X A" is not a header name: write letters, digits and -, such as "X-Email""#,
    ),
    (
        r#"{app}[upstreams.app.request_headers]|set = { X_A = "b" }"#,
        r#"4: upstreams.app.request_headers.set.X_A: many servers read _ and - as the same, so a client could spoof it: write "X-A""#,
    ),
    (
        r#"{app}[upstreams.app.request_headers]|set = { "HTTP-X-Email" = "b" }"#,
        r#"4: upstreams.app.request_headers.set.HTTP-X-Email: "HTTP-X-Email" is how CGI, WSGI and Django call the header X-Email: write "X-Email""#,
    ),
    (
        r#"{app}[upstreams.app.request_headers]|remove = ["http_x_debug"]"#,
        r#"4: upstreams.app.request_headers.remove[0]: "http_x_debug" is how CGI, WSGI and Django call the header x_debug: write "x-debug""#,
    ),
    (
        r#"{app}[upstreams.app.request_headers]|remove = ["X-Internal-*"]"#,
        r#"4: upstreams.app.request_headers.remove[0]: "X-Internal-*" is no pattern: write each name"#,
    ),
    (
        r#"{app}[upstreams.app.request_headers]|set = { "X-A" = 1 }"#,
        "4: upstreams.app.request_headers.set.X-A: this is an integer: write a string in quotes",
    ),
    (
        r#"{app}[upstreams.app.request_headers]|set = { "X-A" = "b", "x-a" = "c" }"#,
        r#"4: upstreams.app.request_headers.set.x-a: many servers read "x-a" and "x-a" as the same: set it once (identity = "none" sends no names but these)"#,
    ),
    (
        r#"{app}[upstreams.app.request_headers]|set = { "X-A" = "b", "x.a" = "c" }"#,
        r#"4: upstreams.app.request_headers.set."x.a": many servers read "x.a" and "x-a" as the same: set it once (identity = "none" sends no names but these)"#,
    ),
    (
        r#"{app}identity = "remote-user"|request_headers.set = { "Remote-User" = "${user.id}" }"#,
        r#"4: upstreams.app.request_headers.set.Remote-User: many servers read "remote-user" and "remote-user" of `identity` as the same: set it once (identity = "none" sends no names but these)"#,
    ),
    (
        r#"{app}request_headers = { set = { "X-A" = "b" }, remove = ["x-a"] }"#,
        r#"3: upstreams.app.request_headers.remove[0]: "x-a" is set for this app too: remove it from one of the two"#,
    ),
    (
        r#"{app}request_headers.remove = ["X-A", "x-a"]"#,
        r#"3: upstreams.app.request_headers.remove[1]: "x-a" is listed twice: remove one"#,
    ),
    (
        r#"{app}request_headers.set = { "X-A" = "" }"#,
        "3: upstreams.app.request_headers.set.X-A: empty: write a value, or name the header in remove",
    ),
    (
        r#"{app}request_headers.set = { "X-A" = " b" }"#,
        r#"3: upstreams.app.request_headers.set.X-A: " b" begins or ends with a space, which servers remove: remove it"#,
    ),
    (
        r#"{app}request_headers.set = { "X-A" = "b\r\nX-Auth-User: root" }"#,
        r#"3: upstreams.app.request_headers.set.X-A: "b\r\nX-Auth-User: root" has a control character: write printable characters"#,
    ),
    (
        r#"{app}request_headers.set = { "X-A" = "${user.login}\u0000" }"#,
        r#"3: upstreams.app.request_headers.set.X-A: "${user.login}\0" has a control character: write printable characters"#,
    ),
    (
        r#"{app}request_headers.set = { "X-Script-Name" = "/${user.login}", "Accept" = "${user.login}" }"#,
        r#"3: upstreams.app.request_headers.set.Accept: "Accept" already has another meaning, and clients could no longer send it to any app: write a name of your own, such as "X-Email""#,
    ),
    (
        r#"{app}assertion = "wiki""#,
        "3: upstreams.app.assertion: this is a string: write `true` or `false` without quotes",
    ),
    (
        "{app}assertion = {}",
        r#"3: upstreams.app.assertion.audience: missing: write the name that the app expects in aud, such as { audience = "https://wiki.example.com" }"#,
    ),
    (
        r#"{app}assertion = { audience = "a b" }"#,
        r#"3: upstreams.app.assertion.audience: "a b" is not an audience: write 1 to 256 printable characters"#,
    ),
    (
        r#"[tokens]|audience = "app"|{app}assertion = true"#,
        r#"5: upstreams.app.assertion: "app" is tokens.audience, so an access token could pass for an assertion: write { audience = "..." } with another name"#,
    ),
    (
        r#"{app}assertion = { audience = "doorward" }"#,
        r#"3: upstreams.app.assertion.audience: "doorward" is tokens.audience, so an access token could pass for an assertion: write { audience = "..." } with another name"#,
    ),
    (
        r#"{app}request_headers.enc = "percent""#,
        "3: upstreams.app.request_headers.enc: unknown key: remove it, or see gateway.toml for every key",
    ),
];

#[test]
fn request_headers_that_make_no_sense_are_rejected() {
    super::check_cases(REQUESTS);
}

/// Problems of one header in `set`, and in `remove`.
fn problems_of_name(table: &str, name: &str) -> [String; 2] {
    let app = super::APP;
    let set = super::problems_of(&format!("{app}{table}.set = {{ \"{name}\" = \"a\" }}"));
    let remove = super::problems_of(&format!("{app}{table}.remove = [\"{name}\"]"));
    [set, remove]
}

#[test]
fn request_fields_that_frame_authorize_or_belong_to_the_gateway_cannot_be_changed() {
    for (names, why) in [
        (
            &[
                "Host",
                "Connection",
                "content-length",
                "Transfer-Encoding",
                "TE",
                "Trailer",
                "Upgrade",
                "Keep-Alive",
                "Expect",
                "Via",
                "HTTP2-Settings",
                "Sec-WebSocket-Key",
                "Transfer.Encoding",
            ][..],
            "belongs to the connection or the framing of the message: remove it",
        ),
        (
            &[
                "X-Forwarded-For",
                "X-Forwarded-Proto",
                "X-Forwarded-Host",
                "X-Forwarded-Port",
                "X-Forwarded-Prefix",
                "X-Real-IP",
                "X-Request-Id",
                "Client-Cert",
                "Forwarded",
                "X-Auth-Assertion",
            ],
            "is set by the gateway on every request: remove it",
        ),
        (
            &[
                "Destination",
                "Depth",
                "overwrite",
                "x-amz-copy-source",
                "X-Copy-From",
                "Source",
                "Upload-Concat",
            ],
            "is part of what was authorized (docs/second-resources.md): remove it",
        ),
    ] {
        for name in names {
            let [set, remove] = problems_of_name("request_headers", name);
            assert!(set.ends_with(&format!("{name:?} {why}")), "{set}");
            assert!(remove.ends_with(&format!("{name:?} {why}")), "{remove}");
        }
    }
    for name in ["Authorization", "Cookie", "Proxy-Authorization"] {
        let [set, remove] = problems_of_name("request_headers", name);
        assert!(set.ends_with("carries a client's credentials: write another name"), "{set}");
        assert_eq!(remove, "", "an app may do without");
    }
    for name in ["X-Original-URL", "X-HTTP-Method-Override", "X-Forwarded-Ssl", "X-Scheme", "Path-Info"] {
        let [set, _] = problems_of_name("request_headers", name);
        assert!(set.ends_with("which only the gateway sets: remove it"), "{set}");
    }
    for name in
        ["X-Script-Name", "X-Sendfile-Type", "Accept-Language", "X-Forwarded-User", "X-Auth-User-Name"]
    {
        assert_eq!(problems_of_name("request_headers", name), ["", ""], "{name}");
    }
}

/// `response_headers`.
const RESPONSES: &[Case] = &[
    (
        r#"{app}response_headers.set = { "X A" = "b" }"#,
        r#"3: upstreams.app.response_headers.set."X A": "X A" is not a header name: write letters, digits and -, such as "Content-Security-Policy""#,
    ),
    (
        r#"{app}response_headers.set = { "X-A" = "b", "x-a" = "c" }"#,
        r#"3: upstreams.app.response_headers.set.x-a: "x-a" is set twice: remove one"#,
    ),
    (
        r#"{app}response_headers = { set = { "X-A" = "b" }, remove = ["x-a"] }"#,
        r#"3: upstreams.app.response_headers.remove[0]: "x-a" is set for this app too: remove it from one of the two"#,
    ),
    (
        r#"{app}response_headers.set = { "X-User" = "${user.login}" }"#,
        "3: upstreams.app.response_headers.set.X-User: a response has no variables: write fixed text",
    ),
    (
        r#"{app}response_headers.set = { "X-A" = "a\nSet-Cookie: b" }"#,
        r#"3: upstreams.app.response_headers.set.X-A: "a\nSet-Cookie: b" has a control character: write printable characters"#,
    ),
    (
        r#"{app}response_headers.encoding = "percent""#,
        "3: upstreams.app.response_headers.encoding: unknown key: remove it, or see gateway.toml for every key",
    ),
];

#[test]
fn response_headers_that_make_no_sense_are_rejected() {
    super::check_cases(RESPONSES);
    for (name, why) in [
        ("Content-Length", "belongs to the connection or the framing of the message: remove it"),
        ("Transfer-Encoding", "belongs to the connection or the framing of the message: remove it"),
        ("Connection", "belongs to the connection or the framing of the message: remove it"),
        ("Upgrade", "belongs to the connection or the framing of the message: remove it"),
        ("Trailer", "belongs to the connection or the framing of the message: remove it"),
        ("Via", "belongs to the connection or the framing of the message: remove it"),
        ("Sec-WebSocket-Accept", "belongs to the connection or the framing of the message: remove it"),
        ("Content-Encoding", "describes the content, which stays as it is: remove it"),
        ("Set-Cookie", "would concern the gateway's own cookies too: remove it"),
        ("Clear-Site-Data", "would delete the gateway's cookies: remove it"),
        ("Strict-Transport-Security", "is set by the gateway: write server.tls.hsts"),
        ("X-Request-Id", "is set by the gateway: remove it"),
        ("vary", "is set by the gateway: remove it"),
        ("Access-Control-Allow-Origin", "is CORS: write `cors` in the routes"),
    ] {
        let [set, remove] = problems_of_name("response_headers", name);
        assert!(set.ends_with(&format!("{name:?} {why}")), "{set}");
        assert!(remove.ends_with(&format!("{name:?} {why}")), "{remove}");
    }
    for name in ["Server", "X_Powered_By", "Cache-Control", "Location", "Content-Type", "X-Frame-Options"] {
        assert_eq!(problems_of_name("response_headers", name), ["", ""], "{name}");
    }
}

#[test]
fn names_of_all_upstreams_together_are_bounded() {
    let set = |upstream: usize, count: usize| {
        let names: Vec<String> =
            (0..count).map(|n| format!("\"X-{upstream}-{n}-{}\" = \"a\"", "x".repeat(100))).collect();
        format!(
            "[upstreams.a{upstream}]\nservers = [\"http://127.0.0.1:9\"]\nrequest_headers.set = {{ {} }}\n",
            names.join(", ")
        )
    };
    assert_eq!(super::problems_of(&set(1, 64)), "");
    let one = super::problems_of(&set(1, 65));
    assert!(one.ends_with("upstreams.a1.request_headers.set: 65 headers: write at most 64"), "{one}");
    let all: String = (0..6).map(|upstream| set(upstream, 60)).collect();
    let problem = super::problems_of(&all);
    assert!(problem.contains("upstreams: the names of all request headers have 3"), "{problem}");
    assert!(problem.ends_with("write at most 32768"), "{problem}");
    // The same names in each cost nothing more.
    let same: String =
        (0..60).map(|upstream| set(1, 60).replacen("a1", &format!("a{upstream}"), 1)).collect();
    assert_eq!(super::problems_of(&same), "");
    let long = super::problems_of(&format!(
        "{}request_headers.set = {{ \"X-A\" = \"{}\" }}",
        super::APP,
        "b".repeat(2049)
    ));
    assert!(long.ends_with("a header value of 2049 bytes: write at most 2048"), "{long}");
    let many = "${user.login}".repeat(13);
    let many = super::problems_of(&format!("{}request_headers.set = {{ \"X-A\" = \"{many}\" }}", super::APP));
    assert!(many.ends_with("13 variables in one value: write at most 12"), "{many}");
}

#[test]
fn request_headers_are_parsed_as_written() {
    let headers = super::good(&format!(
        "[identity_headers]\nuser = \"X-Me\"\n{}[upstreams.app.request_headers]\nencoding = \"percent\"\nremove = [\"X-Debug\"]\n\
         set = {{ \"X-Email\" = \"${{user.email}}\", \"X-Who\" = \"<${{user.id}}> $5\", \"X-Tenant\" = \"acme\" }}\n",
        super::APP
    ))
    .upstreams
    .remove(0)
    .request_headers;
    let name = HeaderName::from_static;
    let parts = [Part::Text("<".into()), Part::Variable(Variable::UserId), Part::Text("> $5".into())];
    assert_eq!(
        headers.identity,
        [
            (name("x-me"), Template::Variable(Variable::Login)),
            (name("x-auth-user-id"), Template::Variable(Variable::UserId)),
            (name("x-auth-roles"), Template::Variable(Variable::Roles)),
            (name("x-auth-session"), Template::Variable(Variable::SessionId)),
            (name("x-email"), Template::Variable(Variable::Email)),
            (name("x-who"), Template::Parts(parts.into())),
        ]
    );
    assert_eq!(headers.fixed, [(name("x-tenant"), "acme".parse().unwrap())]);
    assert_eq!((headers.remove, headers.encoding), (vec![name("x-debug")], Encoding::Percent));
    let plain = super::good(super::APP).upstreams.remove(0).request_headers;
    assert_eq!((plain.identity.len(), plain.is_chosen, headers.is_chosen), (4, false, true));
}

#[test]
fn assertion_has_the_name_of_the_upstream_or_the_given_audience() {
    let audience = |line: &str| {
        let config = super::good(&format!("{}{line}\n", super::APP));
        config.upstreams[0].request_headers.assertion.as_deref().map(str::to_owned)
    };
    assert_eq!(audience(""), None);
    assert_eq!(audience("assertion = false"), None);
    assert_eq!(audience("assertion = true").as_deref(), Some("app"));
    assert_eq!(audience("assertion = { audience = \"https://a.test\" }").as_deref(), Some("https://a.test"));
}
