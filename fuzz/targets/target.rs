//! T08-T14: for any target, the matching route also covers the path that each of eight servers reads from it.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use doorward::config::Config;
use doorward::policy::target::Target;
use doorward::policy::{Match, RouteTable};
use http::Method;
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/edge/decoders.rs"]
mod decoders;

use decoders::{DECODERS, matching_prefix};

const PREFIXES: [&str; 4] = ["/", "/admin", "/public", "/npm"];

static TABLE: LazyLock<RouteTable> = LazyLock::new(|| {
    let mut text = String::from("[upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n");
    for (at, path) in PREFIXES.iter().enumerate() {
        text += &format!(
            "[[routes]]\nname = \"{at}\"\npath = \"{path}\"\naccess = \"public\"\nupstream = \"app\"\nencoded_slashes = true\n"
        );
    }
    let config = Config::parse(&text, Path::new("gateway.toml"), &|_| None).expect("a good file");
    RouteTable::new("/auth", &config.routes)
});

fuzz_target!(|raw: &[u8]| {
    let path = raw.split(|&b| b == b'?').next().unwrap_or_default();
    let Ok(target) = Target::read(path) else { return };
    assert_eq!(target.raw().as_bytes(), path, "what is judged is what was sent");
    let Ok(Match::Route(route)) = TABLE.find("a", &target, &Method::GET) else { return };
    let mut prefixes = PREFIXES.to_vec();
    prefixes.push("/auth");
    for (name, decode, keeps_case) in DECODERS {
        let Some(read) = decode(raw) else { continue };
        let there = matching_prefix(&read, &prefixes, keeps_case);
        assert_eq!(
            there,
            Some(route.path.as_str()),
            "{name}: {} of {}",
            read.escape_ascii(),
            raw.escape_ascii()
        );
    }
});
