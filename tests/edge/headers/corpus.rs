//! The headers by class. Forged values contain `evil`.

/// Expected handling of the request.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Expect {
    Forwarded,
    Refused,
    /// Invalid HTTP fields: the HTTP library may refuse them.
    Either,
}

pub(super) struct Case {
    pub(super) class: &'static str,
    /// Header lines.
    pub(super) fields: Vec<Vec<u8>>,
    pub(super) body: Vec<u8>,
    pub(super) expect: Expect,
    /// Set when the lines include `Host`.
    pub(super) brings_host: bool,
}

#[derive(Default)]
struct Corpus(Vec<Case>);

impl Corpus {
    fn add(&mut self, class: &'static str, expect: Expect, fields: &[impl AsRef<[u8]>]) {
        let fields = fields.iter().map(|field| field.as_ref().to_vec()).collect();
        self.0.push(Case { class, fields, body: Vec::new(), expect, brings_host: false });
    }

    fn host(&mut self, expect: Expect, fields: &[&str]) {
        self.add("Host", expect, fields);
        self.0.last_mut().expect("added").brings_host = true;
    }
}

use Expect::{Either, Forwarded, Refused};

pub(super) const NAMES: [&str; 4] = ["X-Auth-User", "X-Auth-User-Id", "X-Auth-Roles", "X-Auth-Session"];

/// Variants of a name in separators and case.
pub(super) fn spellings(name: &str) -> Vec<String> {
    let words: Vec<&str> = name.split('-').collect();
    let mut all = Vec::new();
    for ways in 0..1_u32 << (words.len() - 1) {
        let mut spelled = words[0].to_owned();
        for (at, word) in words[1..].iter().enumerate() {
            spelled.push(if ways >> at & 1 == 1 { '_' } else { '-' });
            spelled += word;
        }
        all.extend([spelled.to_lowercase(), spelled.to_uppercase(), spelled]);
    }
    for separator in [".", "~", "!", "'", "+", "|"] {
        all.push(name.replace('-', separator));
    }
    let mixed =
        |(at, c): (usize, char)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
    all.push(name.chars().enumerate().map(mixed).collect());
    all
}

/// Headers that some software reads as origin, target or sender of a request.
const ORIGIN: [&str; 58] = [
    "Forwarded",
    "Forwarded-For",
    "X-Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Prefix",
    "X-Forwarded-Path",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Forwarded-By",
    "X-Forwarded-Ssl",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert",
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Host",
    "X-Original-Method",
    "X-Original-Forwarded-For",
    "X-Rewrite-URL",
    "X-Rewrite-URI",
    "X-Real-IP",
    "X-Client-IP",
    "Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "X-Cluster-Client-IP",
    "X-Remote-IP",
    "X-Remote-Addr",
    "X-Originating-IP",
    "X-Envoy-External-Address",
    "X-Envoy-Original-Path",
    "X-Host",
    "X-Scheme",
    "X-Url-Scheme",
    "Front-End-Https",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "Proxy",
    "Remote-User",
    "Remote-Groups",
    "Remote-Name",
    "Remote-Email",
    "X-Remote-User",
    "Client-Cert",
    "Client-Cert-Chain",
    "SSL-Client-Verify",
    "X-SSL-Client-Cert",
];

pub(super) fn all() -> Vec<Case> {
    let mut corpus = Corpus::default();
    identity(&mut corpus);
    nominated(&mut corpus);
    trailers(&mut corpus);
    origin(&mut corpus);
    hosts(&mut corpus);
    credentials(&mut corpus);
    corpus.0
}

fn identity(corpus: &mut Corpus) {
    // T01, T02.
    for name in NAMES {
        for spelled in spellings(name) {
            corpus.add("identity, spelled differently", Forwarded, &[format!("{spelled}: evil")]);
        }
        for value in [
            "",
            " ",
            "\t",
            "evil, ada",
            "evil,evil",
            "\"evil\"",
            "evil;q=1",
            "admin evil",
            "=?utf-8?q?evil?=",
        ] {
            corpus.add("identity, odd values", Forwarded, &[format!("{name}:{value}")]);
        }
        // T03.
        corpus.add(
            "identity, several times",
            Forwarded,
            &[format!("{name}: evil"), format!("{name}: evil2")],
        );
        corpus.add("identity, several times", Forwarded, &[format!("{name}:"), format!("{name}: evil")]);
        let merged = name.replace('-', "_");
        corpus.add(
            "identity, several times",
            Forwarded,
            &[format!("{merged}: evil"), format!("{name}: evil")],
        );
        corpus.add("identity, several times", Forwarded, &vec![format!("{name}: evil"); 20]);
        // Invalid field names that might be normalized into valid ones.
        for dash in [
            "\u{2010}",
            "\u{2011}",
            "\u{2013}",
            "\u{2212}",
            "\u{ff0d}",
            "\u{ad}",
            "\u{200b}-",
            " ",
            "\t",
            "/",
            "\\",
            "(",
            ",",
            "\"",
            "@",
        ] {
            corpus.add("identity, no field name", Either, &[format!("{}: evil", name.replace('-', dash))]);
        }
        for line in [
            format!("{name} : evil"),
            format!(" {name}: evil"),
            format!("\t{name}: evil"),
            format!("{name}\0: evil"),
            format!("{name}: evil\0"),
            format!("X-A: b\n{name}: evil"),
            format!("X-A: b\r{name}: evil"),
            format!("X-A: b\r\n {name}: evil"),
            format!("{name}:\r\n evil"),
            format!("{name}\r\n: evil"),
            format!(":{name}: evil"),
            name.to_string(),
            format!("\u{b}{name}: evil"),
            format!("{name}\u{85}: evil"),
        ] {
            corpus.add("identity, lines that are none", Either, &[line]);
        }
        corpus.add("identity, lines that are none", Either, &[[name.as_bytes(), b"\xff: evil"].concat()]);
    }
}

fn nominated(corpus: &mut Corpus) {
    // T03: a proxy removes what Connection names. Identity headers are added after that.
    for name in NAMES {
        let lower = name.to_lowercase();
        for value in [
            name.to_owned(),
            lower.clone(),
            format!("close, {lower}"),
            format!("keep-alive,{lower},{lower}"),
            name.replace('-', "_"),
        ] {
            corpus.add("identity, nominated", Forwarded, &[format!("Connection: {value}")]);
            corpus.add(
                "identity, nominated",
                Forwarded,
                &[format!("Connection: {value}"), format!("{name}: evil")],
            );
        }
        corpus.add(
            "identity, nominated",
            Forwarded,
            &[format!("Proxy-Connection: {lower}"), format!("Keep-Alive: {lower}")],
        );
    }
    let all = NAMES.join(", ");
    corpus.add(
        "identity, nominated",
        Forwarded,
        &[format!("Connection: {all}"), "Connection: via, x-request-id".to_string()],
    );
    for value in [
        ["x-a"; 10].join(","),
        format!("{all}, a, b, c, d, e, f"),
        "host".into(),
        "x-forwarded-for".into(),
        "x-forwarded-host, close".into(),
        "x-forwarded-proto".into(),
        ":path".into(),
        "a b".into(),
        "x-auth-user;q=1".into(),
    ] {
        corpus.add("nominations that are refused", Refused, &[format!("Connection: {value}")]);
    }
}

fn trailers(corpus: &mut Corpus) {
    // T03: in trailers.
    for name in NAMES.into_iter().chain([
        "X-Forwarded-For",
        "X-Original-URL",
        "Host",
        "Content-Length",
        "Authorization",
        "Cookie",
        "X_Auth_User",
    ]) {
        for announced in [false, true] {
            let mut fields = vec!["Transfer-Encoding: chunked".to_owned()];
            if announced {
                fields.extend([format!("Trailer: {name}"), "TE: trailers".to_owned()]);
            }
            corpus.add("trailers", Forwarded, &fields);
            corpus.0.last_mut().expect("added").body =
                format!("2\r\nhi\r\n0\r\n{name}: evil\r\n\r\n").into_bytes();
        }
    }
}

fn origin(corpus: &mut Corpus) {
    // T04, T17, B1, B5; RFC 9440 section 4 for Client-Cert.
    for name in ORIGIN {
        let merged = name.replace('-', "_");
        corpus.add("origin", Forwarded, &[format!("{name}: evil")]);
        corpus.add("origin", Forwarded, &[format!("{}: evil", name.to_lowercase()), format!("{name}: evil")]);
        if merged != name {
            corpus.add("origin, names merged", Forwarded, &[format!("{merged}: evil")]);
            corpus.add("origin, names merged", Forwarded, &[format!("{}: evil", name.replace('-', "."))]);
        }
    }
    for value in [
        "evil.test, gateway.test",
        "gateway.test, evil.test",
        "gateway.test:evil",
        "\"evil\"",
        "evil.test#",
        "a@evil.test",
    ] {
        corpus.add("origin, odd values", Forwarded, &[format!("X-Forwarded-Host: {value}")]);
        corpus.add("origin, odd values", Forwarded, &[format!("Forwarded: for={value};host={value}")]);
    }
    for name in [
        "Content_Length",
        "Content.Length",
        "Transfer_Encoding",
        "TRANSFER_ENCODING",
        "X_Request_Id",
        "X-Request-Id",
    ] {
        corpus.add("framing and ours, names merged", Forwarded, &[format!("{name}: evil")]);
    }
}

fn hosts(corpus: &mut Corpus) {
    // T16.
    for fields in [
        &["X-None: 1"][..],
        &["Host:"],
        &["Host: "],
        &["Host: gateway.test", "Host: evil.test"],
        &["Host: gateway.test", "Host: gateway.test"],
        &["Host: gateway.test", "host: evil.test"],
        &["Host: gateway.test, evil.test"],
        &["Host: gateway.test:80@evil.test"],
        &["Host: a@gateway.test"],
        &["Host: gateway.test/evil"],
        &["Host: gateway.test?evil"],
        &["Host: gateway.test#evil"],
        &["Host: gateway.test\\evil"],
        &["Host: gateway.test evil"],
        &["Host: gateway.test:evil"],
        &["Host: gateway.test:80:80"],
        &["Host: gateway.test:100000"],
        &["Host: [evil]"],
        &["Host: [::1"],
        &["Host: ::1"],
        &["Host: ."],
        &["Host: .gateway.test"],
        &["Host: gateway..test"],
        &["Host: *"],
        &["Host: \"evil\""],
        &["Host: %65vil.test"],
        &["Host: evil\u{e9}.test"],
        &["Host: gateway.test%00"],
        &["Host : gateway.test"],
        &[" Host: gateway.test"],
        &["Host\t: gateway.test"],
        &["Host: http://evil.test"],
        &["Hos\u{200b}t: evil.test"],
    ] {
        corpus.host(Refused, fields);
    }
    for host in [
        "gateway.test",
        "GATEWAY.test",
        "gateway.test.",
        "gateway.test:80",
        "gateway.test:",
        "other.test",
        "a_b.test",
        "127.0.0.1",
        "[::1]",
        "[::1]:8080",
        "xn--bcher-kva.test",
    ] {
        corpus.host(Forwarded, &[&format!("Host: {host}")]);
        corpus.host(Forwarded, &[&format!("hOST:{host} \t")]);
    }
    for name in
        ["X-Host", "X_Host", "X-Forwarded-Host", "X-Original-Host", "X-HTTP-Host-Override", "Forwarded-Host"]
    {
        corpus.host(Forwarded, &["Host: gateway.test", &format!("{name}: evil.test")]);
    }
    for name in ["HOST_", "HO_ST", "Host.", "Host_"] {
        corpus.add("Host, almost", Forwarded, &[format!("{name}: x")]);
    }
}

fn credentials(corpus: &mut Corpus) {
    // T06: values that are, or resemble, gateway cookies are stripped.
    for cookie in [
        "__Host-doorward-access=evil",
        "__Host-doorward-refresh=evil",
        "__host-doorward-access=evil",
        "__HOST-DOORWARD-REFRESH=evil",
        "a=1; __Host-doorward-refresh=evil; b=2",
        "a=1;__Host-doorward-refresh=evil;b=2",
        "__Host-doorward-refresh =evil",
        " __Host-doorward-refresh=evil",
        "__Host-doorward-refresh=\"evil\"",
        "__Host-doorward-refresh=evil; __Host-doorward-refresh=evil",
        ";;__Host-doorward-refresh=evil;;",
        "__Host-doorward-refresh=evil;",
        "__Host-doorward-refresh==evil",
        // A cookie without a name is not a gateway cookie.
        "=__Host-doorward-refresh=own",
        "__Host-doorward-refresh=evil,x=1",
        "$Version=1; __Host-doorward-refresh=evil",
        "__Host-doorward-refresh\t=evil",
    ] {
        corpus.add("cookies like ours", Either, &[format!("Cookie: {cookie}")]);
        corpus.add("cookies like ours", Either, &["Cookie: a=1".to_owned(), format!("Cookie: {cookie}")]);
    }
    for name in ["Cookie2", "Cookie_", "X-Access-Token", "X-Api-Key", "Proxy-Authorization"] {
        corpus.add("credentials of others", Forwarded, &[format!("{name}: x")]);
    }
}
