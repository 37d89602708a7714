//! The targets by class. They aim at `admin` and start with `public`.

use std::collections::BTreeSet;

/// One request line with its expectations.
pub(super) struct Case {
    pub(super) class: &'static str,
    pub(super) method: &'static str,
    pub(super) target: Vec<u8>,
    /// Overrides the host.
    pub(super) host: Option<&'static str>,
    pub(super) fields: Vec<String>,
    /// Closing the connection is acceptable, too: this is not valid HTTP.
    pub(super) may_be_cut: bool,
}

impl Case {
    /// Returns true if the target is the ambiguous part.
    pub(super) fn is_path(&self) -> bool {
        self.method == "GET" && self.fields.is_empty() && self.host.is_none()
    }
}

#[derive(Default)]
struct Corpus {
    cases: Vec<Case>,
    known: BTreeSet<Vec<u8>>,
}

impl Corpus {
    fn get(&mut self, class: &'static str, target: impl AsRef<[u8]>) {
        let target = target.as_ref().to_vec();
        if self.known.insert(target.clone()) {
            let may_be_cut = target.iter().any(|b| !(b' '..0x7f).contains(b));
            self.cases.push(Case {
                class,
                method: "GET",
                target,
                host: None,
                fields: Vec::new(),
                may_be_cut,
            });
        }
    }

    fn with(
        &mut self,
        class: &'static str,
        method: &'static str,
        target: &str,
        host: Option<&'static str>,
        fields: &[&str],
    ) {
        let fields = fields.iter().map(|&field| field.to_owned()).collect();
        let target = target.as_bytes().to_vec();
        self.cases.push(Case { class, method, target, host, fields, may_be_cut: false });
    }
}

const SLASHES: [&str; 22] = [
    "/",
    "//",
    "///",
    "%2f",
    "%2F",
    "%252f",
    "%25%32%66",
    "%5c",
    "%5C",
    "%255c",
    "\\",
    "/\\",
    "%c0%af",
    "%c1%9c",
    "%e0%80%af",
    "%ef%bc%8f",
    "%ef%bc%bc",
    "%e2%81%84",
    "%e2%88%95",
    "%e2%88%96",
    "%u002f",
    "%u2215",
];

const DOTS: [&str; 24] = [
    "..",
    "%2e%2e",
    "%2E%2e",
    ".%2e",
    "%2e.",
    "%252e%252e",
    "%25%32%65%25%32%65",
    "..;",
    "..;a=b",
    "..%3b",
    "..%253b",
    "..%20",
    "%20..",
    "..%00",
    "..%09",
    "..%0d%0a",
    "..%7f",
    "%c0%ae%c0%ae",
    "%ef%bc%8e%ef%bc%8e",
    "%e2%80%a5",
    "%e2%80%a4%e2%80%a4",
    "%u002e%u002e",
    "..%e2%80%8b",
    "..%c2%ad",
];

/// Bytes before or within a segment that some servers ignore.
const NOTHINGS: [&str; 14] = [
    "/.",
    "/%2e",
    "/;",
    "/;a=b",
    "/.;",
    "/%3b",
    "/%20",
    "/%2520",
    "/x/..",
    "/x/%2e%2e",
    "/x/..;",
    "/%e2%80%8b",
    "/%ef%bb%bf",
    "/.",
];

pub(super) fn all() -> Vec<Case> {
    let mut corpus = Corpus::default();
    dot_segments(&mut corpus);
    slashes(&mut corpus);
    letters(&mut corpus);
    endings(&mut corpus);
    queries(&mut corpus);
    authorities(&mut corpus);
    lengths(&mut corpus);
    raw_bytes(&mut corpus);
    harmless(&mut corpus);
    methods(&mut corpus);
    corpus.cases
}

fn dot_segments(corpus: &mut Corpus) {
    // T08, T09, T10, T11, T12.
    for dots in DOTS {
        for slash in SLASHES {
            corpus.get("dots after a public path", format!("/public/{dots}{slash}admin"));
        }
        for slash in ["//", "%2f", "%252f", "%5c", "\\", "%c0%af", "%ef%bc%8f", "%e2%88%95"] {
            corpus.get("dots with the slash before them", format!("/public{slash}{dots}{slash}admin/x"));
            corpus.get("dots out of a deeper path", format!("/public/a/{dots}{slash}{dots}{slash}admin"));
        }
    }
    for dots in DOTS {
        for slash in ["/", "%2f", "%5c", "%252f"] {
            corpus.get("dots under encoded_slashes", format!("/npm/@a%2fb/{dots}{slash}{dots}{slash}admin"));
            corpus.get("dots to our own endpoints", format!("/public/{dots}{slash}auth/me"));
            corpus.get("dots into a public path", format!("/admin/{dots}{slash}public"));
        }
    }
}

fn slashes(corpus: &mut Corpus) {
    // T08, T09, A3.
    for slash in SLASHES {
        for path in ["admin", "admin/x", "Reports"] {
            corpus.get("slashes at the beginning", format!("/{slash}{path}"));
            corpus.get("slashes at the beginning", format!("{slash}{path}"));
            corpus.get("what looks like an authority", format!("/{slash}public/{path}"));
            corpus.get("what looks like an authority", format!("//public{slash}{path}"));
        }
        corpus.get("slashes within", format!("/admin{slash}x"));
        corpus.get("slashes within", format!("/public{slash}x"));
        corpus.get("slashes within", format!("/public{slash}"));
    }
    for first in NOTHINGS {
        for second in ["", "/", "//", "/.", "/..", "/;"] {
            corpus.get("segments that are nothing", format!("{first}{second}/admin"));
            corpus.get("segments that are nothing", format!("{first}{second}/Reports/x"));
        }
    }
}

fn letters(corpus: &mut Corpus) {
    // T09, T10, T13.
    for word in ["admin", "Reports"] {
        for at in 0..word.len() {
            let (head, letter, tail) = (&word[..at], &word[at..=at], &word[at + 1..]);
            let byte = letter.as_bytes()[0];
            let other =
                if byte.is_ascii_lowercase() { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
            let wide = u32::from(byte) + 0xfee0;
            let wide = escaped(char::from_u32(wide).expect("a full-width letter"));
            let mut disguises = vec![
                format!("%{byte:02x}"),
                format!("%{byte:02X}"),
                format!("%25{byte:02x}"),
                format!("%25%{:02x}%{:02x}", b'0' + byte / 16, format!("{byte:x}").as_bytes()[1]),
                format!("%{other:02x}"),
                char::from(other).to_string(),
                format!("%u00{byte:02x}"),
                format!("%c1%{:02x}", 0x80 | byte & 0x3f),
                wide,
            ];
            for nothing in ["%e2%80%8b", "%c2%ad", "%ef%bb%bf", "%cd%8f", "%e2%80%ae", "%ef%b8%8f", "%cc%81"]
            {
                disguises.push(format!("{letter}{nothing}"));
            }
            for disguise in disguises {
                corpus.get("letters in disguise", format!("/{head}{disguise}{tail}"));
                corpus.get("letters in disguise", format!("/{head}{disguise}{tail}/x"));
            }
        }
    }
    // Case folding and best fit beyond ASCII: dotless i, dotted I, long s, Kelvin, a with macron, circled, ligatures.
    for target in [
        "/adm%c4%b1n",
        "/adm%c4%b0n",
        "/report%c5%bf",
        "/%c4%81dmin",
        "/%c3%a1dmin",
        "/adm%c3%ben",
        "/%e2%93%90dmin",
        "/%ef%bc%b2eports",
        "/%ef%bd%81%ef%bd%84%ef%bd%8d%ef%bd%89%ef%bd%8e",
        "/a%c4%91min",
        "/admi%c5%84",
        "/admi%c5%84/x",
        "/ADM%C4%B0N",
        "/ADMIN",
        "/aDMIN/x",
        "/REPORTS",
        "/reports",
        "/Public/x",
        "/NPM/x",
        "/AUTH/me",
        "/auTh/login",
    ] {
        corpus.get("letter case", target);
    }
}

fn escaped(c: char) -> String {
    c.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn endings(corpus: &mut Corpus) {
    // T08, T11, T12, T20.
    for ending in [
        "/",
        "//",
        "/.",
        "/./",
        "/%2e",
        ".",
        "..",
        "...",
        "./",
        "%2e",
        "%2E%2E",
        "%20",
        "%20%20",
        "+",
        "%20.",
        ".%20",
        "%09",
        "%0a",
        "%0d%0a",
        "%00",
        "%00.html",
        "%00/x",
        "%01",
        "%7f",
        ";",
        ";x",
        ";x=y",
        ";/",
        ";x/y",
        "%3b",
        "%3bx",
        "%253b",
        "%2f",
        "%2F",
        "%2fx",
        "%5c",
        "%5cx",
        "%3f",
        "%3fx",
        "%253f",
        "%23",
        "%23x",
        "%2523",
        "%25",
        "%2525",
        "%",
        "%4",
        "%zz",
        "%u0020",
        "%a0",
        "%c2%a0",
        "%e3%80%80",
        "%e2%80%8b",
        "%c2%ad",
        "%ef%bb%bf",
        "%ef%bc%8e",
        "%e2%80%a8",
        "%e2%80%a9",
        "%e1%9a%80",
        "%c2%85",
        "::$DATA",
        ":$i30:$INDEX_ALLOCATION",
        "~",
        "~1",
        "*",
        ",",
        "'",
        "!",
        "%ff",
        "%c0%80",
        "%f0%9f%98%80",
        "%ed%a0%80",
        "%fe",
        "%80",
    ] {
        for path in ["/admin", "/Reports", "/public", "/x"] {
            corpus.get("what ends a segment", format!("{path}{ending}"));
        }
        corpus.get("what ends a segment", format!("/public/a{ending}/../../admin"));
    }
}

fn queries(corpus: &mut Corpus) {
    // T14, A4, A5.
    for mark in ["?", "#", "%3f", "%23", "%253f", "%2523", "?#", "#?", "??"] {
        for rest in ["/public", "/../public", "x=/public", "/..;/public", "%2fpublic", ""] {
            corpus.get("queries and fragments", format!("/admin{mark}{rest}"));
            corpus.get("queries and fragments", format!("/admin/x{mark}{rest}"));
            corpus.get("queries and fragments", format!("/x{mark}{rest}/../admin"));
            corpus.get("queries and fragments", format!("/public/..{mark}{rest}/admin"));
        }
        corpus.get("queries and fragments", format!("/public{mark}/../admin"));
        corpus.get("queries and fragments", format!("/public/{mark}/../../admin"));
    }
}

fn authorities(corpus: &mut Corpus) {
    // T15, T16.
    for host in ["closed.test", "open.test", "closed.test:80", "a@closed.test", "evil.test", "", "[::1]"] {
        for scheme in [
            "http://",
            "HTTP://",
            "https://",
            "//",
            "http:/",
            "http:",
            "ftp://",
            "http:///",
            "\\\\",
            "/http://",
            "javascript://",
        ] {
            for path in ["", "/admin", "/public/../admin", "/public/%2e%2e/admin", "?/admin", "#/admin"] {
                corpus.get("absolute forms and authorities", format!("{scheme}{host}{path}"));
            }
        }
    }
    for target in [
        "*",
        "admin",
        "public/../admin",
        "./admin",
        "../admin",
        ".",
        "",
        "?",
        "?/public",
        "#",
        ":80",
        "closed.test:80",
        "closed.test:443",
        "%2fadmin",
        ";/admin",
        "~",
    ] {
        corpus.get("neither a path nor absolute", target);
    }
    for host in [
        "closed.test.",
        "CLOSED.TEST",
        "closed.test:80",
        "closed.test:",
        "closed.test:99999",
        "closed.test:-1",
        "open.test@closed.test",
        "closed.test, open.test",
        "closed.test/public",
        "closed.test?",
        "closed.test#",
        "[closed.test]",
        "[::1",
        "closed..test",
        ".closed.test",
        "closed_test",
        "closed.test%00",
        "closed.test\t",
        "xn--closed.test",
        "127.0.0.1",
        "",
    ] {
        corpus.with("Host", "GET", "/admin", Some(host), &[]);
        corpus.with("Host", "GET", "http://closed.test/admin", Some(host), &[]);
    }
}

fn lengths(corpus: &mut Corpus) {
    // T27: around 8 KiB, and targets hidden behind a long path.
    for length in [4096, 8189, 8190, 8191, 8192, 8193, 8194, 16 * 1024] {
        for (head, tail) in [
            ("/public/", "/../../admin"),
            ("/public/", "%2f..%2f..%2fadmin"),
            ("/", "/../admin"),
            ("/public/../", ""),
            ("/admin/../public/", ""),
            ("/public?", "/../../admin"),
            ("//", "/admin"),
        ] {
            let fill = usize::saturating_sub(length, head.len() + tail.len());
            corpus.get("long targets", format!("{head}{}{tail}", "a".repeat(fill)));
        }
    }
    for depth in [2, 10, 100, 1000] {
        corpus.get("deep targets", format!("/public{}{}/admin", "/a".repeat(depth), "/..".repeat(depth + 1)));
        corpus.get(
            "deep targets",
            format!("/public{}{}/admin", "/a".repeat(depth), "/%2e%2e".repeat(depth + 1)),
        );
        corpus.get("deep targets", format!("/public{}{}/admin", "/.".repeat(depth), "/.."));
        corpus.get("deep targets", format!("/public{}/../admin", "/".repeat(depth)));
        corpus.get("deep targets", format!("/{}admin", "../".repeat(depth)));
        corpus.get("deep targets", format!("/public/{}admin", ";/../".repeat(depth)));
    }
    for times in 1..6 {
        let percent = format!("%{}", "25".repeat(times));
        corpus.get("escaped again and again", format!("/public/{percent}2e{percent}2e/admin"));
        corpus.get("escaped again and again", format!("/public/..{percent}2fadmin"));
        corpus.get("escaped again and again", format!("/{percent}61dmin"));
        corpus.get("escaped again and again", format!("/admin{percent}3fx"));
    }
}

fn raw_bytes(corpus: &mut Corpus) {
    // T12: raw, not escaped.
    for byte in (0..=b' ')
        .chain([b'"', b'<', b'>', b'\\', b'^', b'`', b'{', b'|', b'}', 0x7f, 0x80, 0xa0, 0xc0, 0xff])
    {
        for (head, tail) in
            [("/public/..", "/admin"), ("/admin", ""), ("/public/", "../admin"), ("/", "admin")]
        {
            corpus.get("raw bytes", [head.as_bytes(), &[byte], tail.as_bytes()].concat());
        }
    }
    for target in [
        "/public/..\u{ff0f}admin",
        "/\u{ff41}dmin",
        "/admin\u{200b}",
        "/\u{2215}admin",
        "/caf\u{e9}/../admin",
    ] {
        corpus.get("raw bytes", target);
    }
}

fn harmless(corpus: &mut Corpus) {
    // Targets that every server resolves alike are forwarded.
    for base in ["/public", "/npm/a", "/x", "/public/x/y"] {
        for rest in [
            "",
            "/",
            "/a//b",
            "/./a",
            "/a/../b",
            "/a%20b",
            "/caf%C3%A9",
            "/caf%c3%a9",
            "/a;b=c",
            "/a;b/c",
            "/a%3fb",
            "/a%23b",
            "/a%25",
            "/a%25b",
            "/%7Euser",
            "/a.",
            "/a...",
            "/A/B",
            "/%41",
            "/a:b@c",
            "/a,b",
            "/a+b",
            "/%e6%97%a5%e6%9c%ac",
            "/%F0%9F%98%80",
            "/a%5cb",
            "/a/%2e/b",
            "/a/%2e%2e/b",
            "/?a=/../admin",
            "/?%00%zz",
            "/a?b#c",
            "/.well-known/x",
            "/..a",
            "/a..b",
            "/%2ea",
            "/%25252e",
            "/a%252eb",
        ] {
            corpus.get("harmless", format!("{base}{rest}"));
        }
    }
    for target in [
        "/adminx",
        "/admin2/x",
        "/admin-x",
        "/publicity",
        "/publicadmin",
        "/administrator",
        "/x/admin",
        "/public/admin",
        "/reportsx",
    ] {
        corpus.get("by whole segments", target);
    }
}

fn methods(corpus: &mut Corpus) {
    // T17, T18.
    for target in ["/admin", "/Reports", "/public"] {
        for method in ["GET", "POST", "OPTIONS", "HEAD"] {
            for name in [
                "X-HTTP-Method-Override",
                "X-HTTP-Method",
                "X-Method-Override",
                "X_HTTP_Method_Override",
                "X-Original-Method",
                "X-Forwarded-Method",
            ] {
                for value in ["OPTIONS", "GET", "TRACE", "CONNECT", "DELETE", "get"] {
                    corpus.with("methods by header", method, target, None, &[&format!("{name}: {value}")]);
                }
            }
        }
        for method in [
            "TRACE", "CONNECT", "TRACK", "get", "Get", "PRI", "PROPFIND", "OPTIONS", "PATCH", "DELETE",
            "FOO", "GET.", "G%45T", "_", "M-SEARCH",
        ] {
            corpus.with("methods", method, target, None, &[]);
            corpus.with("methods", method, "*", None, &[]);
            corpus.with("methods", method, "closed.test:443", None, &[]);
        }
        corpus.with(
            "preflights",
            "OPTIONS",
            target,
            None,
            &["Origin: http://evil.test", "Access-Control-Request-Method: GET"],
        );
        corpus.with("preflights", "OPTIONS", target, None, &["Origin: http://evil.test"]);
        corpus.with(
            "preflights",
            "GET",
            target,
            None,
            &["Origin: http://evil.test", "Access-Control-Request-Method: GET"],
        );
    }
}
