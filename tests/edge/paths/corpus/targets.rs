//! Whole targets: authorities, queries, lengths, methods, and harmless ones.

use super::*;

pub(super) fn queries(corpus: &mut Corpus) {
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

pub(super) fn authorities(corpus: &mut Corpus) {
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

pub(super) fn lengths(corpus: &mut Corpus) {
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

pub(super) fn raw_bytes(corpus: &mut Corpus) {
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

pub(super) fn harmless(corpus: &mut Corpus) {
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

pub(super) fn methods(corpus: &mut Corpus) {
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
