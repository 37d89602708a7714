//! The worst known HTTP/1.1 requests, each as large as the limits allow.

/// A kind of request.
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Accepted statuses.
    pub(crate) statuses: &'static [u16],
}

/// Just below `server.limits.header_bytes`.
const FIELD: usize = 32_000;
/// Just below the body limit of the gateway endpoints.
const BODY: usize = 16_000;
/// Just below the longest target.
const TARGET: usize = 8_000;

/// Statuses for an unknown or ambiguous path.
const ANY: &[u16] = &[200, 400, 401, 403, 404, 405, 414, 501];

/// A segment in which every part has more than one reading.
const DISGUISES: &str = "%41;+.//%5cA::$%c3%a9/";

/// All kinds; the first is the ordinary request.
pub(crate) fn all(token: &str) -> Vec<Input> {
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
        Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
        Accept-Encoding: gzip, deflate, br\r\nCookie: theme=dark; _ga=GA1.1.1234567890.1700000000\r\n";
    let get = |target: &str, fields: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: gateway.test\r\n{fields}\r\n").into_bytes()
    };
    let post = |kind: &str, body: &str| {
        format!(
            "POST /auth/login HTTP/1.1\r\nHost: gateway.test\r\nOrigin: http://gateway.test\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let copy = |part: &str| {
        let to = format!("http://gateway.test/zz/{}%41", repeat(part, TARGET - 40));
        format!("COPY /zz/a HTTP/1.1\r\nHost: gateway.test\r\nDestination: {to}\r\nDepth: infinity\r\n\r\n")
            .into_bytes()
    };
    // Both values have several readings, and every route is compared with each of them.
    let moved = |part: &str| {
        let path = format!("/st/{}", repeat(part, TARGET - 200));
        format!("MOVE {path} HTTP/1.1\r\nHost: gateway.test\r\nDestination: {path}\r\n\r\n").into_bytes()
    };
    let form = "application/x-www-form-urlencoded";
    let html = "Accept: text/html\r\n";
    vec![
        Input {
            name: "HTTP/1.1 ordinary, signed in",
            bytes: get("/private", &(bearer.clone() + browser)),
            statuses: &[200],
        },
        Input {
            name: "query of many names",
            bytes: get(&format!("/auth/login?{}", names("", "&", 30_000)), html),
            statuses: &[200, 414],
        },
        Input {
            name: "query of one name, again and again",
            bytes: get(&format!("/auth/login?{}", repeat("a&", 30_000)), html),
            statuses: &[200, 414],
        },
        Input {
            name: "query of empty pairs",
            bytes: get(&format!("/auth/login?{}", repeat("&", 30_000)), html),
            statuses: &[200, 414],
        },
        Input { name: "form of many names", bytes: post(form, &names("", "&", BODY)), statuses: &[400, 403] },
        Input {
            name: "form of names that begin alike",
            bytes: post(form, &names(&"x".repeat(200), "&", BODY)),
            statuses: &[400, 403],
        },
        Input {
            name: "form of one long escaped value",
            bytes: post(form, &format!("username={}", repeat("%41", BODY - 20))),
            statuses: &[400, 403, 200],
        },
        Input {
            name: "JSON of many members",
            bytes: post("application/json", &members(BODY)),
            statuses: &[400],
        },
        Input {
            name: "JSON, nested",
            bytes: post("application/json", &format!("{{\"a\":{}", "[".repeat(BODY - 10))),
            statuses: &[400],
        },
        Input {
            name: "JSON of a long list",
            bytes: post("application/json", &format!("{{\"a\":[{}0]}}", repeat("0,", BODY - 20))),
            statuses: &[400],
        },
        Input {
            name: "cookies, many",
            bytes: get("/private", &format!("{bearer}Cookie: {}\r\n", repeat("a=b; ", FIELD - 2000))),
            statuses: &[200],
        },
        Input {
            name: "cookies, empty",
            bytes: get("/private", &format!("{bearer}Cookie: {}\r\n", repeat(";", FIELD - 2000))),
            statuses: &[200],
        },
        Input {
            name: "cookies that begin like ours",
            bytes: get(
                "/private",
                &format!("{bearer}Cookie: {}\r\n", repeat("__Host-doorward-x=;", FIELD - 2000)),
            ),
            statuses: &[200],
        },
        Input {
            name: "path of many segments",
            bytes: get(&format!("/zz/{}%41;/", repeat("A/", TARGET - 20)), ""),
            statuses: ANY,
        },
        Input {
            name: "path of many dots and escapes",
            bytes: get(&format!("/zz/{}", repeat("%2e;/", TARGET - 20)), ""),
            statuses: ANY,
        },
        Input {
            name: "path of many parameters",
            bytes: get(&format!("/zz/{}", repeat("a;b/", TARGET - 20)), ""),
            statuses: ANY,
        },
        Input {
            name: "path of one long segment",
            bytes: get(&format!("/zz/{}", repeat("%41", TARGET - 20)), ""),
            statuses: ANY,
        },
        Input {
            name: "path of segments that end with a dot",
            bytes: get(&format!("/{}%2e", repeat("a./", TARGET + 180)), ""),
            statuses: ANY,
        },
        Input {
            name: "path of letters beyond ASCII",
            bytes: get(&format!("/{}", repeat("%c3%a9", TARGET + 180)), ""),
            statuses: ANY,
        },
        Input {
            name: "path of every disguise",
            bytes: get(&format!("/{}", repeat(DISGUISES, TARGET + 180)), ""),
            statuses: ANY,
        },
        Input {
            name: "path of empty segments",
            bytes: get(&format!("//x/{}%41", repeat("//", TARGET + 170)), ""),
            statuses: ANY,
        },
        Input { name: "COPY to a path of many segments", bytes: copy("A/"), statuses: ANY },
        Input { name: "COPY to a path of every disguise", bytes: copy(DISGUISES), statuses: ANY },
        Input { name: "COPY to a path of empty segments", bytes: copy("//"), statuses: ANY },
        Input { name: "MOVE between paths of empty parameters", bytes: moved(";/"), statuses: ANY },
        Input { name: "MOVE between paths of escapes", bytes: moved("%41"), statuses: ANY },
        Input {
            name: "header fields, many",
            bytes: get("/public", &fields("x-scheme-", 95)),
            statuses: &[200],
        },
        Input {
            name: "header fields named like ours",
            bytes: get("/public", &fields("x_auth_us", 95)),
            statuses: &[200],
        },
        Input {
            name: "Accept-Language of many ranges",
            bytes: get(
                "/nothing",
                &format!("{html}Accept-Language: {}\r\n", repeat("de;q=0.1,", FIELD - 200)),
            ),
            statuses: &[404],
        },
        Input {
            name: "Accept of many ranges",
            bytes: get("/nothing", &format!("Accept: {}\r\n", repeat("a/b;q=1,", FIELD - 200))),
            statuses: &[404],
        },
        Input {
            name: "Accept of many parameters",
            bytes: get("/nothing", &format!("Accept: text/html{}\r\n", repeat(";q=1", FIELD - 200))),
            statuses: &[404],
        },
        Input {
            name: "Authorization of many words",
            bytes: get("/public", &format!("Authorization: A {}\r\n", repeat("a.e30,", FIELD - 200))),
            statuses: &[200],
        },
        Input {
            name: "Authorization, one long bearer",
            bytes: get("/private", &format!("Authorization: Bearer {}\r\n", "a".repeat(FIELD - 200))),
            statuses: &[401],
        },
        Input {
            name: "Connection of many options",
            bytes: get(
                "/public",
                &format!("Upgrade: websocket\r\nConnection: {}\r\n", repeat("a,", FIELD - 200)),
            ),
            statuses: &[200, 400],
        },
        Input {
            name: "X-Forwarded-For of many hops",
            bytes: get("/public", &format!("X-Forwarded-For: {}\r\n", repeat("10.0.0.1,", FIELD - 200))),
            statuses: &[200],
        },
        Input {
            name: "empty lines before a request",
            bytes: [&b"\r\n".repeat(15_000)[..], &get("/public", "")].concat(),
            statuses: &[200, 431],
        },
    ]
}

/// `text`, repeated as often as it fits.
fn repeat(text: &str, bytes: usize) -> String {
    text.repeat(bytes / text.len())
}

/// Distinct names.
fn names(prefix: &str, between: &str, bytes: usize) -> String {
    let mut all = String::new();
    for at in 0.. {
        let next = format!("{prefix}{at:x}{between}");
        if all.len() + next.len() > bytes {
            break;
        }
        all.push_str(&next);
    }
    all
}

fn members(bytes: usize) -> String {
    let count = bytes / 8;
    let all: Vec<String> = (0..count).map(|at| format!("\"{at:x}\":0")).collect();
    let mut text = format!("{{{}}}", all.join(","));
    text.truncate(bytes);
    text
}

fn fields(prefix: &str, count: usize) -> String {
    (0..count).map(|at| format!("{prefix}{at:02}: v\r\n")).collect()
}
