//! Property tests for every target, against a model of servers that apply any steps in any order.

use std::collections::HashSet;
use std::path::Path;

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::config::Config;
use crate::policy::{Match, RouteTable};

/// Parts of disguised paths.
const PIECES: &[&str] = &[
    "/",
    "//",
    "/admin",
    "admin",
    "ADMIN",
    "%61dmin",
    "%2561dmin",
    "/public",
    "x",
    "..",
    ".",
    "%2e",
    "%2E.",
    "%252e",
    "%2f",
    "%252F",
    "%5c",
    "%255c",
    ";",
    ";x=1",
    "%3b",
    "?",
    "%3f",
    "%23",
    "%253f",
    "/..",
    "/.",
    "%20",
    "%c2%85",
    "%e2%80%a8",
    "%e1%9a%80",
    "+",
    "%2b",
    "::$DATA",
    "%3a$x",
    "/(S(x))",
    "/%28F(y))/",
];

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() })
}

fn disguises() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES), 0..9);
    pieces.prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// One transformation by a server, modelled independently of the parser.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Decode,
    DecodeButSlashes,
    Parameters,
    Backslashes,
    End,
    Authority,
    Slashes,
    Dots,
    Trim,
    Pluses,
    Streams,
    FirstCookie,
    LastCookie,
    Case,
}

const STEPS: &[Step] = &[
    Step::Decode,
    Step::DecodeButSlashes,
    Step::Parameters,
    Step::Backslashes,
    Step::End,
    Step::Authority,
    Step::Slashes,
    Step::Dots,
    Step::Trim,
    Step::Pluses,
    Step::Streams,
    Step::FirstCookie,
    Step::LastCookie,
    Step::Case,
];

impl Step {
    fn apply(self, path: &[u8]) -> Vec<u8> {
        match self {
            Self::Decode => decoded(path, b""),
            Self::DecodeButSlashes => decoded(path, b"/"),
            Self::Parameters => {
                let mut out = Vec::new();
                let mut inside = false;
                for &byte in path {
                    inside = byte != b'/' && (inside || byte == b';');
                    out.extend((!inside).then_some(byte));
                }
                out
            }
            Self::Backslashes => path.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect(),
            Self::End => path.iter().copied().take_while(|byte| !b"?#".contains(byte)).collect(),
            Self::Authority => {
                let Some(rest) = path.strip_prefix(b"//") else { return path.to_vec() };
                let mut name = rest
                    .iter()
                    .skip_while(|&&byte| byte == b'/')
                    .skip_while(|&&byte| byte != b'/')
                    .peekable();
                if name.peek().is_none() { b"/".to_vec() } else { name.copied().collect() }
            }
            Self::Slashes => {
                let mut out = path.to_vec();
                out.dedup_by(|one, other| (*one, *other) == (b'/', b'/'));
                out
            }
            Self::Dots => {
                // RFC 3986 section 5.2.4, from its text: an input, an output, and five rules.
                let (mut input, mut out) = (path.to_vec(), Vec::new());
                while !input.is_empty() {
                    if input.starts_with(b"/./") {
                        input.drain(..2);
                    } else if input == b"/." {
                        input.truncate(1);
                    } else if input.starts_with(b"/../") || input == b"/.." {
                        input.drain(..3);
                        if input.is_empty() {
                            input.push(b'/');
                        }
                        out.truncate(out.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                    } else {
                        let end = input.iter().skip(1).position(|&byte| byte == b'/');
                        out.extend(input.drain(..end.map_or(input.len(), |at| at + 1)));
                    }
                }
                out
            }
            Self::Trim => {
                let text = String::from_utf8_lossy(path);
                text.split('/').map(str::trim).collect::<Vec<_>>().join("/").into_bytes()
            }
            Self::Pluses => path.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect(),
            // Windows reads a colon in a name only as a stream.
            Self::Streams => {
                let text = String::from_utf8_lossy(path);
                let name = |segment: &str| match segment.find(":$") {
                    Some(_) => segment[..segment.find(':').unwrap_or(0)].to_owned(),
                    None => segment.to_owned(),
                };
                text.split('/').map(name).collect::<Vec<_>>().join("/").into_bytes()
            }
            Self::FirstCookie => without_cookie(path, |text| text.find("/(")),
            Self::LastCookie => without_cookie(path, |text| text.rfind("/(")),
            Self::Case => path.to_ascii_lowercase(),
        }
    }
}

/// ASP.NET: a path without `/(S(..))`, where such a thing begins at `find`.
fn without_cookie(path: &[u8], find: fn(&str) -> Option<usize>) -> Vec<u8> {
    let text = String::from_utf8_lossy(path);
    let Some(start) = find(&text) else { return path.to_vec() };
    let Some(end) = text[start..].find("))").map(|length| start + length + 2) else { return path.to_vec() };
    let inside = &text[start + 2..end - 1];
    let is_cookie = inside.len() > 2
        && inside.as_bytes()[0].is_ascii_alphabetic()
        && inside.as_bytes()[1] == b'('
        && !inside[2..inside.len() - 1].contains(['(', ')', '/'])
        && matches!(text.as_bytes().get(end), None | Some(b'/'));
    if !is_cookie {
        return path.to_vec();
    }
    let rest = format!("{}{}", &text[..start], &text[end..]);
    if rest.is_empty() { b"/".to_vec() } else { rest.into_bytes() }
}

fn decoded(path: &[u8], but: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let [first, after @ ..] = rest {
        let code =
            after.get(..2).and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) if !but.contains(&byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// Returns the prefix a path lies below, by whole segments.
fn prefix_of<'p>(path: &[u8], prefixes: &[&'p str]) -> &'p str {
    let below = |prefix: &&&str| {
        path.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    prefixes.iter().find(below).copied().unwrap_or("/")
}

/// Prefixes, the longest first.
const PATHS: &[&str] = &["/admin", "/public", "/"];
const STRIPPED: &[&str] = &["/shop/admin", "/shop/public", "/shop"];

fn table(paths: &[&str], strip_prefix: bool) -> RouteTable {
    let mut text = String::from("[upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n");
    for (at, path) in paths.iter().enumerate() {
        text += &format!(
            "[[routes]]\nname = \"{at}\"\npath = \"{path}\"\naccess = \"public\"\nupstream = \"app\"\n\
             encoded_slashes = true\nstrip_prefix = {strip_prefix}\n"
        );
    }
    let config = Config::parse(&text, Path::new("gateway.toml"), &|_| None).expect("a good file");
    RouteTable::new("/auth", &config.routes)
}

/// All results of any steps in any order, with at most two decodings.
fn all_results(sent: &str) -> HashSet<Vec<u8>> {
    let mut all = HashSet::from([(sent.as_bytes().to_vec(), 0)]);
    let mut next: Vec<(Vec<u8>, u8)> = all.iter().cloned().collect();
    while let Some((path, decodes)) = next.pop() {
        for step in STEPS {
            let decodes = decodes + u8::from(matches!(step, Step::Decode | Step::DecodeButSlashes));
            let made = (step.apply(&path), decodes);
            if decodes <= 2 && all.insert(made.clone()) {
                next.push(made);
            }
        }
    }
    all.into_iter().map(|(path, _)| path).collect()
}

/// Checks that no accepted path, after any of `begins`, leads a server to another route.
fn nothing_leads_elsewhere(paths: &[&str], strip_prefix: bool, starts: &[&str]) {
    let table = table(paths, strip_prefix);
    let starts: Vec<String> = starts.iter().map(|&start| start.to_owned()).collect();
    let passed = std::cell::Cell::new([0; 2]);
    let result = runner(3000).run(&(prop::sample::select(starts), disguises()), |(start, path)| {
        let path = start + &path;
        let Ok(target) = Target::read(path.as_bytes()) else { return Ok(()) };
        let Ok(Match::Route(route)) = table.find("a", &target, &Method::GET) else { return Ok(()) };
        let (kept, sent) = path.split_at(if strip_prefix { route.path.len() } else { 0 });
        for made in all_results(if sent.is_empty() { "/" } else { sent }) {
            let whole = [kept.as_bytes(), &made].concat();
            prop_assert_eq!(prefix_of(&whole, paths), route.path.as_str(), "{}", whole.escape_ascii());
        }
        let [all, disguised] = passed.get();
        passed.set([all + 1, disguised + usize::from(path.contains('%'))]);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let [all, disguised] = passed.get();
    assert!(
        all > 100 && disguised > 20,
        "{all} were let through, {disguised} of them with escapes: too few to say"
    );
}

#[test]
fn forwarded_target_never_matches_another_route() {
    nothing_leads_elsewhere(PATHS, false, &[""]);
}

#[test]
fn stripped_target_never_matches_another_route() {
    nothing_leads_elsewhere(STRIPPED, true, &["/shop", "/shop/x", "/shop/public", "/shop/admin"]);
}

#[test]
fn trailing_slash_never_reaches_an_exact_path() {
    let text = "[upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n\
        [[routes]]\nname = \"all\"\npath = \"/\"\naccess = \"public\"\nupstream = \"app\"\nencoded_slashes = true\n\
        [[routes]]\nname = \"one\"\npath = \"/admin\"\nexact = true\naccess = \"signed-in\"\nupstream = \"app\"\n";
    let config = Config::parse(text, Path::new("gateway.toml"), &|_| None).expect("a good file");
    let table = RouteTable::new("/auth", &config.routes);
    let result = runner(3000).run(&disguises(), |path| {
        let Ok(target) = Target::read(path.as_bytes()) else { return Ok(()) };
        let Ok(Match::Route(route)) = table.find("a", &target, &Method::GET) else { return Ok(()) };
        let all = all_results(&path);
        let one = all.iter().any(|made| made.strip_suffix(b"/").unwrap_or(made) == b"/admin");
        prop_assert_eq!(one, route.name == "one");
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn parsing_is_deterministic_and_bounded() {
    let anything = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        prop::collection::vec(any::<u8>(), 0..64).prop_map(|mut path| {
            path.insert(0, b'/');
            path
        }),
        disguises().prop_map(String::into_bytes),
        "/[a-c%25eE.;/\\\\é]{0,24}".prop_map(String::into_bytes),
    ];
    let result = runner(1000).run(&anything, |path| {
        let read = Target::read(&path);
        prop_assert_eq!(&read, &Target::read(&path), "the result is deterministic");
        let Ok(target) = read else { return Ok(()) };
        prop_assert_eq!(target.raw().as_bytes(), &path[..], "the raw target is unchanged");
        prop_assert!(target.readings().count() <= MAX_READINGS);
        prop_assert!(target.work() <= 12 * MAX_READING_BYTES);
        for reading in target.readings() {
            prop_assert!(reading.starts_with('/'), "{}", reading);
            prop_assert!(!reading.contains(|c: char| c.is_ascii_control()), "{:?}", reading);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
