//! What holds for every target, and for every server behind us that does some of what servers do, in whatever order.

use std::path::Path;

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::config::Config;
use crate::policy::{Match, RouteTable};

/// What disguises are made of.
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
];

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() })
}

fn disguises() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES), 0..9);
    pieces.prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// One thing that a server does to a path: a model of its own, which knows nothing of the reader.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Decode,
    Parameters,
    Backslashes,
    End,
    Slashes,
    Dots,
    Case,
}

const STEPS: &[Step] =
    &[Step::Decode, Step::Parameters, Step::Backslashes, Step::End, Step::Slashes, Step::Dots, Step::Case];

impl Step {
    fn apply(self, path: &[u8]) -> Vec<u8> {
        match self {
            Self::Decode => decoded(path),
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
            Self::Case => path.to_ascii_lowercase(),
        }
    }
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let [first, after @ ..] = rest {
        let code =
            after.get(..2).and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
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

/// Where a path lies, by whole segments.
fn place(path: &[u8]) -> &'static str {
    let below = |prefix: &&&str| {
        path.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    ["/admin", "/public"].iter().find(below).copied().unwrap_or("/")
}

fn table() -> RouteTable {
    let mut text = String::from("[upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n");
    for (at, path) in ["/", "/admin", "/public"].iter().enumerate() {
        text += &format!(
            "[[routes]]\nname = \"{at}\"\npath = \"{path}\"\naccess = \"public\"\nupstream = \"app\"\nencoded_slashes = true\n"
        );
    }
    let config = Config::parse(&text, Path::new("gateway.toml"), &|_| None).expect("a good file");
    RouteTable::new("/auth", &config.routes)
}

#[test]
fn what_a_route_lets_through_lies_below_no_other_whatever_servers_do_to_it() {
    let table = table();
    let steps = prop::collection::vec(prop::sample::select(STEPS), 0..8);
    let passed = std::cell::Cell::new([0; 2]);
    let result = runner(1500).run(&(disguises(), steps), |(path, steps)| {
        let Ok(target) = Target::read(path.as_bytes()) else { return Ok(()) };
        let Ok(Match::Route(route)) = table.find("a", &target, &Method::GET) else { return Ok(()) };
        let mut there = path.clone().into_bytes();
        let mut decodes = 0;
        for step in steps {
            // Three times nobody decodes.
            decodes += usize::from(step == Step::Decode);
            if decodes <= 2 || step != Step::Decode {
                there = step.apply(&there);
            }
            prop_assert_eq!(place(&there), route.path.as_str(), "{}", there.escape_ascii());
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
fn reading_has_no_whim_and_no_end_to_fear() {
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
        prop_assert_eq!(&read, &Target::read(&path), "twice is the same");
        let Ok(target) = read else { return Ok(()) };
        prop_assert_eq!(target.raw().as_bytes(), &path[..], "what is judged is what was sent");
        prop_assert!(target.readings().count() <= MOST);
        for reading in target.readings() {
            prop_assert!(reading.starts_with('/'), "{}", reading);
            prop_assert!(!reading.contains(|c: char| c.is_ascii_control()), "{:?}", reading);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
