//! Segments: dots, slashes, disguised letters, and endings.

use super::*;

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

pub(super) fn dot_segments(corpus: &mut Corpus) {
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

pub(super) fn slashes(corpus: &mut Corpus) {
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

pub(super) fn letters(corpus: &mut Corpus) {
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

pub(super) fn endings(corpus: &mut Corpus) {
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
