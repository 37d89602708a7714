//! More invalid files, in the notation of `bad`: headers of routes and rewriting of responses.

use super::bad::Case;

/// `pass_headers`, `rewrite_location`, `rewrite_cookie_path` and names of identity headers.
pub(super) const HEADERS: &[Case] = &[
    (
        r#"{app}{route}pass_headers = ["X Y"]"#,
        r#"8: routes[0].pass_headers[0]: "X Y" is not a header name: write one such as "X-Envoy-Attempt-Count""#,
    ),
    (
        r#"{app}{route}pass_headers = ["X-Envoy-Internal", "x-envoy-internal"]"#,
        r#"8: routes[0].pass_headers[1]: "x-envoy-internal" is listed twice: remove one"#,
    ),
    (
        r#"{app}{route}pass_headers = ["X-Auth-User"]"#,
        r#"8: routes[0].pass_headers[0]: "X-Auth-User" is an identity header of this gateway, which clients must not send: remove it"#,
    ),
    (
        r#"{app}{route}pass_headers = ["X-Forwarded-For"]"#,
        r#"8: routes[0].pass_headers[0]: "X-Forwarded-For" describes the origin or target of a request, which only this gateway may set: remove it"#,
    ),
    (
        r#"{app}{route}pass_headers = ["X-Original-URL"]"#,
        r#"8: routes[0].pass_headers[0]: "X-Original-URL" describes the origin or target of a request, which only this gateway may set: remove it"#,
    ),
    (
        r#"{app}{route}pass_headers = ["Client-Cert-Chain"]"#,
        r#"8: routes[0].pass_headers[0]: "Client-Cert-Chain" describes the origin or target of a request, which only this gateway may set: remove it"#,
    ),
    (
        r#"{app}{route}pass_headers = ["HTTP_X_CONSUMER_ID"]"#,
        r#"8: routes[0].pass_headers[0]: "HTTP_X_CONSUMER_ID" is how CGI, WSGI and Django call the header X_CONSUMER_ID: write "X-CONSUMER-ID""#,
    ),
    (
        r#"{app}{route}pass_headers = ["X-Consumer-*"]"#,
        r#"8: routes[0].pass_headers[0]: "X-Consumer-*" is no pattern: write each name"#,
    ),
    (
        r#"{app}{route}pass_headers = ["X-Custom"]"#,
        r#"8: routes[0].pass_headers[0]: "X-Custom" passes by default (docs/headers.md lists the headers that do not): remove it"#,
    ),
    (
        r#"{app}{route}rewrite_location = true"#,
        "8: routes[0].rewrite_location: the app sees the client's own path and host, so there is nothing to map: \
         remove this, or set strip_prefix = true",
    ),
    (
        r#"{app}{route}strip_prefix = true|rewrite_cookie_path = true"#,
        "9: routes[0].rewrite_cookie_path: the app sees the client's own path, so there is nothing to map: remove \
         this, or set strip_prefix = true",
    ),
];

#[test]
fn headers_and_rewriting_that_make_no_sense_are_rejected() {
    super::check_cases(HEADERS);
    let long = format!("[identity_headers]\nuser = \"X-{}\"\n", "a".repeat(200));
    let problems = super::problems_of(&long);
    assert_eq!(
        problems,
        "gateway.toml:2: identity_headers.user: a header name of 202 characters: write at most 128"
    );
}

#[test]
fn route_has_its_headers_and_rewriting() {
    let route = super::good(&format!(
        "{}[[routes]]\nname = \"a\"\npath = \"/a\"\naccess = \"public\"\nupstream = \"app\"\nstrip_prefix = true\n\
         rewrite_location = true\nrewrite_cookie_path = true\n\
         pass_headers = [\"X-Forwarded-Client-Cert\", \"X-Forwarded-User\", \"X-Envoy-Attempt-Count\"]\n",
        super::APP
    ))
    .routes
    .remove(0);
    assert!(route.rewrite_location && route.rewrite_cookie_path);
    assert_eq!(route.pass_headers, ["x-forwarded-client-cert", "x-forwarded-user", "x-envoy-attempt-count"]);
    let more = "preserve_host = false\nrewrite_location = true\n";
    assert!(super::good(&format!("{}{}{more}", super::APP, super::ROUTE)).routes[0].rewrite_location);
}
