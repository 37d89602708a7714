use super::*;

fn readings(path: &str) -> Vec<String> {
    Target::read(path.as_bytes()).map(|t| t.readings().map(str::to_owned).collect()).unwrap_or_default()
}

#[test]
fn long_path_may_have_escapes_but_not_every_disguise() {
    let long = |part: &str| "/".to_owned() + &part.repeat(MAX_PATH / part.len() - 1);
    for part in ["caf%C3%A9/", "%41bc", "a.b/%2D"] {
        let path = long(part);
        assert!(path.len() > 8000 && Target::read(path.as_bytes()).is_ok(), "{part}");
    }
    let disguised = long("a;b//%2e./..;c%5c");
    assert_eq!(Target::read(disguised.as_bytes()), Err(Ambiguous));
    assert!(Target::read(b"/a;b//%2e./..;c%5c").is_ok(), "the short one is accepted");
}

#[test]
fn plain_path_has_one_reading() {
    for path in [
        "/",
        "/a/b",
        "/a/",
        "/.well-known/x",
        "/a.b/c-d_e~f",
        "/@scope/name",
        "/v1/x:y",
        "/(x)/a",
        "/a(S(x))/b",
        "/..a/b",
    ] {
        let plain = readings(path);
        assert!(plain.contains(&path.to_owned()), "{path}");
        if path != "/..a/b" {
            assert_eq!(plain.len(), 1, "{path}: {plain:?}");
        }
    }
}

#[test]
fn every_disguise_of_admin_reads_as_admin() {
    // T08-T12, T14: readings by all common decoders.
    for path in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/%2E./admin",
        "/public/..%2fadmin",
        "/public/..;/admin",
        "/public/..;x=y/admin",
        "/public/%252e%252e/admin",
        "/public/..%5cadmin",
        "/public/..%255cadmin",
        "//admin",
        "/./admin",
        "/%2fadmin",
        "/%61dmin",
        "/%2561dmin",
        "/admin;x",
        "/admin.",
        "/admin%20",
        "/admin+",
        "/admin+/x",
        "/+admin",
        "/admin%2b",
        "/admin+.",
        "/admin;x+",
        "/public/..+/admin",
        "/admin::$DATA",
        "/admin::$data/x",
        "/admin:x:$DATA",
        "/admin%3a%3a%24DATA",
        "/admin:$I30:$INDEX_ALLOCATION/x",
        "/admin::$INDEX_ALLOCATION",
        "/x/..//admin",
        "/admin%3fx",
        "/admin%23",
        "/admin%253fx",
        "/%20/admin",
        "/./%20/admin",
        "/public/..%20/admin",
        "/%ef%bd%81dmin",
        "/public/..%ef%bc%8fadmin",
        "/admin%e2%80%8b",
        // Unicode white space, which `trim` drops.
        "/admin%e1%9a%80",
        "/%e2%80%a8admin/x",
        "/%e2%80%a9/admin",
        "/admin%25e2%2580%25a8",
        "/admin%c2%a0",
        // A3: some servers read the first name as a host.
        "//x/admin",
        "///x/admin/y",
        "//x/%2e%2e/%61dmin",
        "//x//admin",
        // T13: invisible characters, letters with marks, and letters that differ only in case folding.
        "/adm%e2%80%aein",
        "/ad%cc%81min",
        "/%c3%a1dmin",
        "/adm%c4%b1n",
        "/adm%c4%b0n",
        "/a%c4%91min",
        // Best-fit characters of Windows code pages.
        "/%ce%b1dmin",
        "/%ce%b1%ce%b4min",
        "/adm%c4%b1%e2%88%a9",
        "/admi%e2%81%bf",
        "/public/..%c2%a5admin",
        "/public/..%e2%82%a9admin",
        "/public%e2%81%84..%e2%81%84admin",
        "/%e2%88%95admin",
        "/public/..%e2%81%84admin",
        "/public/..%e2%88%96admin",
        // An encoded slash that is kept joins two segments into one.
        "/npm/@a%2fb/%2e%2e/%2e%2e/admin",
        "/npm/@a%2Fb/..%5c..%5cadmin",
        "/npm/@a%2fb/%252e%252e/%252e%252e/admin",
        "/npm/@a%252fb/%2e%2e/%2e%2e/admin",
        // ASP.NET: cookies in the path.
        "/(S(x))/admin",
        "/(A(x))/admin",
        "/(F(x))/admin",
        "/(A(x)S(y))/admin",
        "/(s(x))/admin/y",
        "/%28S%28x%29%29/admin",
        "/%2528S(x))/admin",
        "/public/(S(x))/../(F(y))/../admin",
        "/(S(x))/(S(y))/admin",
        "/ad/(S(x))min",
        "/(S(x))admin",
        "/admin/(S(x))",
        "/(S())/admin",
        // Several steps, in any order.
        "/public/a/..;%5c..;%5cadmin",
        "/a%25zz/%252e%252e/admin",
        "/;%2fb/%61dmin",
        "/x;%252f..%2f/%61dmin",
    ] {
        let all = readings(path);
        assert!(
            all.iter().map(|r| r.to_ascii_lowercase()).any(|r| r == "/admin" || r.starts_with("/admin/")),
            "{path}: {all:?}"
        );
    }
}

#[test]
fn cookie_segments_are_removed_one_by_one() {
    let all = readings("/p/q/(S(1))/(F(2))/../../admin");
    for reading in ["/p/q/admin", "/p/admin", "/admin"] {
        assert!(all.iter().any(|seen| seen == reading), "{reading}: {all:?}");
    }
    for path in ["/(x)/a", "/(S)/a", "/(SS(x))/a", "/(S(x)/a", "/(S(x)y)/a", "/a(S(x))/a", "/()/a"] {
        assert_eq!(readings(path).len(), 1, "{path}");
    }
}

#[test]
fn trailing_dots_may_stay_when_dot_segments_are_removed() {
    let all = readings("/admin/../admin..");
    for reading in ["/admin/../admin..", "/admin..", "/admin"] {
        assert!(all.iter().any(|seen| seen == reading), "{reading}: {all:?}");
    }
    let all = readings("/x/%20..%20/a%20/..");
    for reading in ["/x/ .. /", "/x/../a/..", "/"] {
        assert!(all.iter().any(|seen| seen == reading), "{reading}: {all:?}");
    }
}

#[test]
fn unsafe_targets_are_refused() {
    for path in [
        "",
        "a",
        "*",
        "/a b",
        "/a\\b",
        "/%00",
        "/%0d%0aX",
        "/%",
        "/%4",
        "/%zz",
        "/%c0%af",
        "/\u{e9}",
        "/a#b",
        "/\t",
        "/%u002f",
        "/x/%25252e%25252e/y",
        "/%25zz/%25252e%25252e/y",
        "/admin%2500",
        "/%25c0%25af",
        "/admin%c2%85",
        "/%c2%80admin",
        "/admin%25c2%259f",
    ] {
        assert_eq!(Target::read(path.as_bytes()), Err(Ambiguous), "{path:?}");
    }
    assert_eq!(Target::read(format!("/{}", "a".repeat(MAX_PATH)).as_bytes()), Err(TooLong));
}

#[test]
fn soft_hyphen_is_read_both_ways() {
    let all = readings("/app%C2%ADadmin");
    for reading in ["/app-admin", "/appadmin"] {
        assert!(all.iter().any(|seen| seen == reading), "{reading}: {all:?}");
    }
    assert!(readings("/app%E2%80%91admin").contains(&"/app-admin".to_owned()));
}

#[test]
fn pluses_and_colons_of_ordinary_names_have_one_reading() {
    for path in ["/c+d", "/v1.0+build/x", "/v1/x:y", "/a:b@c", "/x:", "/$metadata", "/a$:b"] {
        assert_eq!(readings(path).len(), 1, "{path}");
    }
}

/// Paths built to be expensive, of a given length.
pub(in crate::policy) fn hostile(length: usize) -> Vec<String> {
    let repeated = |begin: &str, part: &str, end: &str| {
        let count = length.saturating_sub(begin.len() + end.len()) / part.len();
        format!("{begin}{}{end}", part.repeat(count))
    };
    [
        ("/zz/", "A/", "%41;/"),
        ("/", "A/", "%41"),
        ("/", "%41", ""),
        ("/", "%2541", ""),
        ("/", "/", "%41;+"),
        ("/", "a;b/", "%2e"),
        ("/", "a./", "%2e"),
        ("/", "../", "%2e"),
        ("/", "%2e%2e/", ""),
        ("/", "+/", "%41"),
        ("/", "a:$/", "%41;"),
        ("/", "%c3%a9", ""),
        ("/", "%ef%b7%ba", ""),
        ("/", "%c2%ad", ""),
        ("/", "%5c", ""),
        ("/", "%2f", ""),
        ("/", "%252f", ""),
        ("/", "%3f", ""),
        ("//x/", "//", "%41"),
        ("/st/", ";/", ""),
        ("/", "(S(x))/", ""),
        ("/(S(x))/(S(x))", "/(S(x))a", ""),
        ("/", "(S(x", ""),
        ("/", "ADMINI~1/", "%41"),
        ("/cgi-bin", "/x.php", "/%41;"),
        ("/", "a;b//%2e./..;c%5c", ""),
    ]
    .map(|(begin, part, end)| repeated(begin, part, end))
    .to_vec()
}

#[test]
fn work_on_a_path_is_linear_and_bounded() {
    for (short, long) in hostile(MAX_PATH / 8).iter().zip(hostile(MAX_PATH)) {
        let (Ok(short), Ok(read)) = (Target::read(short.as_bytes()), Target::read(long.as_bytes())) else {
            continue;
        };
        // Eight times the length costs at most nine times the work.
        assert!(read.work() <= 9 * short.work(), "{}: {} {}", &long[..20], short.work(), read.work());
        assert!(read.work() <= 24 * long.len(), "{}: {}", &long[..20], read.work());
    }
    // As many and as long readings as are allowed.
    for count in 1..24 {
        let path = format!("/{}", "%41;+.//%5cA::$%c3%a9/".repeat(count));
        let Ok(read) = Target::read(path.as_bytes()) else { continue };
        assert!(read.work() <= 12 * MAX_READING_BYTES, "{count}: {}", read.work());
    }
}

#[test]
fn second_path_shares_the_limits_of_the_first() {
    for length in [512, 2048, MAX_PATH / 2, MAX_PATH - 100] {
        for first in hostile(length) {
            let Ok(first) = Target::read(first.as_bytes()) else { continue };
            for second in hostile(length) {
                let Ok(second) = Target::read_beside(second.as_bytes(), &first) else { continue };
                let work = first.work() + second.work();
                assert!(work <= 12 * MAX_READING_BYTES, "{length}: {work}");
                let readings = first.readings().count() + second.readings().count();
                assert!(readings <= MAX_READINGS + 1, "{length}: {readings}");
            }
        }
    }
}

#[test]
fn encoded_slash_is_detected_at_both_depths() {
    for (path, has) in [("/@scope%2fname", true), ("/a%252Fb", true), ("/a%2eb", false)] {
        assert_eq!(Target::read(path.as_bytes()).unwrap().has_encoded_slash(), has, "{path}");
    }
}
