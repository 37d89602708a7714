//! Structure: the layers, the fences around foreign crates, the few places that may state a fact, and the sizes of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[path = "layers/scan.rs"]
mod scan;
#[path = "layers/sizes.rs"]
mod sizes;

use scan::Source;

/// Lowest first. A module may import modules of lower layers, and itself.
const LAYERS: &[&[&str]] = &[
    &["clock", "error_chain", "guard", "id", "secret", "text"],
    &["identity", "error", "metrics", "request_id", "certificate"],
    &["config"],
    &["outbound"],
    &["token", "session", "vault", "password", "policy", "pages", "provider", "factor", "mail"],
    &["auth"],
    &["snapshot"],
    &["gateway", "admin"],
    &["main", "cli", "server", "background", "demo"],
];

/// Imports inside a layer, each with its reason; all others are refused.
const SAME_LAYER: &[(&str, &str, &str)] = &[
    ("admin", "gateway::response", "the one place where answers of ours are made"),
    ("main", "cli", "the program is its command line"),
    ("cli", "server", "`serve`, and the vault the commands work on"),
    ("cli", "demo", "`demo`"),
    ("demo", "server", "the demo is a gateway as `serve` starts it"),
    ("server", "background", "the composition root starts the jobs"),
];

/// Foreign crates and the only places that touch them.
const FENCES: &[(&str, &[&str])] = &[
    (
        "pingora",
        &[
            "gateway/",
            "admin/",
            "server.rs",
            "server/listen.rs",
            "cli/status.rs",
            "snapshot/upstreams/tls.rs",
        ],
    ),
    ("rusqlite", &["vault/sqlite/"]),
    ("tokio_postgres", &["vault/postgres/"]),
    ("deadpool_postgres", &["vault/postgres/"]),
    ("tokio_postgres_rustls", &["vault/postgres/"]),
    ("rustls_native_certs", &["vault/postgres/", "outbound/"]),
    ("hyper", &["outbound/"]),
    ("hyper_util", &["outbound/"]),
    ("http_body_util", &["outbound/"]),
    ("tokio_rustls", &["outbound/"]),
    ("redis", &["session/redis/"]),
    ("lettre", &["mail/"]),
    ("h2", &["gateway/upstream/failure.rs"]),
    (
        "rustix",
        &[
            "clock.rs",
            "server/handover.rs",
            "server/listen.rs",
            "cli/files.rs",
            "cli/sd_notify.rs",
            "password/pool.rs",
        ],
    ),
    ("rustls", &["vault/postgres/", "session/redis/", "certificate", "snapshot/tls.rs", "outbound/"]),
    ("x509_parser", &["certificate"]),
    ("jsonwebtoken", &["token/", "provider/oidc/"]),
    ("toml", &["config/"]),
    ("prometheus", &["metrics/"]),
    ("arc_swap", &["snapshot", "token", "session/redis/"]),
    ("argon2", &["password/"]),
    ("bcrypt", &["password/foreign.rs"]),
    ("scrypt", &["password/foreign.rs", "password/stored/"]),
    ("askama", &["pages/"]),
    ("clap", &["cli/", "main.rs"]),
    ("csv", &["cli/user/import/csv_file.rs", "cli/user/export.rs"]),
    ("saphyr_parser", &["cli/user/import/authelia.rs"]),
    ("listenfd", &["server/activation.rs"]),
    ("mimalloc", &["main.rs"]),
    ("clap_complete", &["cli/completions.rs"]),
];

/// Statuses an answer of ours can have: numbers that belong into `gateway/response.rs`.
const STATUSES: &[&str] =
    &["400", "401", "403", "404", "405", "413", "415", "421", "429", "431", "500", "502", "503", "504"];

/// Such numbers that are not the status of an answer: file, line with it.
const NOT_AN_ANSWER: &[(&str, &str)] = &[
    // Milliseconds.
    (
        "gateway/connection/client_connection.rs",
        "const REFUSAL_GRACE: Duration = Duration::from_millis(500);",
    ),
    // Pingora's own error, recognised so that it can be answered as ours.
    ("gateway/upstream/failure.rs", "HTTPStatus(413)"),
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// What is wrong with one file.
fn faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    let module = source.module();
    let Some(own) = layer(module) else { return vec![format!("{}: give `{module}` a layer", source.path)] };
    for import in source.imports() {
        let target = import.split("::").next().unwrap_or_default();
        let Some(theirs) = layer(target) else {
            faults.push(format!("{}: `{import}` is in no layer", source.path));
            continue;
        };
        let allowed = |&(from, to, _): &(&str, &str, &str)| {
            from == module && (import == to || import.starts_with(&format!("{to}::")))
        };
        if target != module && theirs >= own && !SAME_LAYER.iter().any(allowed) {
            faults.push(format!("{}: `{module}` must not import `{import}`", source.path));
        }
    }
    for (name, places) in FENCES {
        if source.uses_crate(name) && !places.iter().any(|place| source.is_in(place)) {
            faults.push(format!("{}: only {places:?} may use `{name}`", source.path));
        }
    }
    if source.path != "auth/session/authenticate.rs" && source.has(&["Identity", "::", "attest"]) {
        faults.push(format!(
            "{}: only the check in auth/session/authenticate.rs may attest an identity",
            source.path
        ));
    }
    if source.path != "policy/access.rs" && source.has(&["Permit", "{"]) {
        faults.push(format!("{}: only the decision in policy/access.rs may make a permit", source.path));
    }
    if (source.is_in("gateway/") || source.is_in("admin/")) && source.path != "gateway/response.rs" {
        faults.extend(statuses(source));
    }
    faults
}

fn statuses(source: &Source) -> Vec<String> {
    let excepted =
        |line: &str| NOT_AN_ANSWER.iter().any(|(file, text)| source.path == *file && line.contains(text));
    let found = source.lines().filter(|line| !excepted(line)).filter(|line| {
        let tokens = scan::tokens(line);
        tokens.iter().any(|token| STATUSES.contains(&token.as_str()) || token == "StatusCode")
    });
    found
        .map(|line| format!("{}: a status code outside gateway/response.rs: {}", source.path, line.trim()))
        .collect()
}

#[test]
fn every_module_keeps_to_its_layer_and_its_fences() {
    let sources = scan::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 60, "only {} files: is this the right folder?", sources.len());
    let faults: Vec<String> = sources.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_permission_outlives_its_need() {
    let sources = scan::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let modules: BTreeSet<&str> = sources.iter().map(Source::module).collect();
    for module in LAYERS.iter().flat_map(|layer| layer.iter()) {
        assert!(modules.contains(module), "there is no module `{module}`");
    }
    let mut imports: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for source in &sources {
        imports.entry(source.module()).or_default().extend(source.imports());
    }
    for (from, to, _) in SAME_LAYER {
        let used = |import: &String| import == to || import.starts_with(&format!("{to}::"));
        assert!(imports[from].iter().any(used), "`{from}` no longer imports `{to}`");
    }
    for (name, places) in FENCES {
        for place in *places {
            let used = |source: &Source| source.is_in(place) && source.uses_crate(name);
            assert!(sources.iter().any(used), "{place} no longer uses `{name}`");
        }
    }
    for (file, text) in NOT_AN_ANSWER {
        let there = |source: &Source| source.path == *file && source.lines().any(|line| line.contains(text));
        assert!(sources.iter().any(there), "{file} no longer has `{text}`");
    }
}

#[test]
fn a_planted_violation_is_found() {
    let planted = [
        ("config/load.rs", "use crate::vault::Vault;"),
        ("error.rs", "use crate::metrics::Metrics;"),
        ("token/access.rs", "use crate::{\n    clock::Clock,\n    vault::{User, Vault},\n};"),
        ("session/mod.rs", "fn f() -> crate::password::Hasher { todo!() }"),
        ("session/deep/er.rs", "use super::super::super::vault::Vault;"),
        ("clock.rs", "use super::auth::Auth;"),
        ("policy/route.rs", "pub(in crate::gateway) fn f() {}"),
        ("admin/", "use crate::gateway::proxy::client_ip;"),
        ("background.rs", "use crate::server::start;"),
        ("surprise.rs", ""),
        ("auth/login.rs", "use pingora::proxy::Session;"),
        ("vault/mod.rs", "fn f(c: &rusqlite::Connection) {}"),
        ("auth/mod.rs", "use {std::io, ::clap::Parser};"),
        ("server.rs", "#[derive(clap::Parser)] struct S;"),
        ("auth/login.rs", "let i = Identity::attest(a, b);"),
        ("gateway/authorize/decision.rs", "let p = Permit { route };"),
        ("gateway/authorize/decision.rs", "return answer(401);"),
        ("gateway/request/callbacks.rs", "session.respond_error(413_u16);"),
        ("admin/", "StatusCode::NOT_FOUND"),
    ];
    for (path, text) in planted {
        let found = faults(&Source::new(path, text));
        assert_eq!(found.len(), 1, "{path}: {text}: {found:?}");
    }
}

#[test]
fn what_is_no_violation_is_let_through() {
    let fine = [
        (
            "config/load.rs",
            "// use crate::vault::Vault;\n/* crate::auth /* nested */ crate::auth */ fn f() {}",
        ),
        ("config/load.rs", r###"const A: &str = "crate::vault"; const B: &str = r#"crate::"vault"#;"###),
        ("config/load.rs", "fn f<'a>(x: &'a str) -> char { '\"' } const C: &[u8] = b\"crate::vault\\\"\";"),
        ("config/load.rs", "#[cfg(test)]\nmod tests { use crate::vault::Vault; fn f() { if true {} } }"),
        ("token/access.rs", "#[cfg(test)]\nmod tests;\nuse crate::clock::Clock;"),
        ("admin/", "use crate::{auth::Auth, gateway::response::Answer};"),
        ("vault/sqlite/audit.rs", "use super::{rows, schema}; use rusqlite::params;"),
        (
            "gateway/connection/client_connection.rs",
            "const REFUSAL_GRACE: Duration = Duration::from_millis(500); let n = 4010;",
        ),
        ("gateway/upstream/failure.rs", "(_, HTTPStatus(413)) => 101, _ => 204"),
        ("gateway/authorize/decision.rs", "fn f(permit: &Permit) {} // 404"),
        ("config/value.rs", "use toml::de::DeValue;"),
        ("secret.rs", "fn f() { self::g(); std::clap::x() }"),
    ];
    for (path, text) in fine {
        assert_eq!(faults(&Source::new(path, text)), [""; 0], "{path}: {text}");
    }
}

/// Files that import each other in a circle are one room with several doors: none can be read, or changed, alone.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = scan::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert_eq!(circle(&sources), None);
}

#[test]
fn planted_circle_is_found() {
    let source = |path: &str, text: &str| Source::new(path, text);
    let a_b = [
        source("a/mod.rs", "pub mod b; pub mod c;"),
        source("a/b.rs", "use super::c::C; pub struct B;"),
        source("a/c.rs", "use crate::a::{b::B}; pub struct C;"),
    ];
    assert!(circle(&a_b).is_some_and(|circle| circle.contains("a/b.rs") && circle.contains("a/c.rs")));
    let a_c = [source("a/b.rs", "use super::c::C;"), source("a/c.rs", "pub struct C;")];
    assert_eq!(circle(&a_c), None);
}

/// A circle of files, if there is one.
fn circle(sources: &[Source]) -> Option<String> {
    let files: BTreeMap<String, &Source> = sources.iter().map(|source| (source.own_path(), source)).collect();
    // The file that a path leads into: its longest beginning that is a module. A folder's `mod.rs` is a table of contents.
    let file = |path: &str| {
        let mut path = path;
        loop {
            if let Some(source) = files.get(path) {
                return Some(source.path.clone()).filter(|path| !path.ends_with("mod.rs"));
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        // A file's own inner modules are parts of it.
        let theirs = source.whole_paths().into_iter().filter_map(|path| file(&path));
        let is_part = |path: &String| {
            *path == source.path || source.path.starts_with(path.trim_end_matches("rs").trim_end_matches('.'))
        };
        arrows.insert(source.path.clone(), theirs.filter(|path| !is_part(path)).collect());
    }
    // A file that imports none of the others is in no circle.
    loop {
        let free: Vec<String> = arrows
            .iter()
            .filter(|(_, to)| to.iter().all(|to| !arrows.contains_key(to)))
            .map(|(from, _)| from.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        arrows.retain(|from, _| !free.contains(from));
    }
    // Neither is a file that none of the others imports.
    loop {
        let imported: BTreeSet<String> = arrows.values().flatten().cloned().collect();
        let before = arrows.len();
        arrows.retain(|from, _| imported.contains(from));
        if arrows.len() == before {
            break;
        }
    }
    let shown: Vec<String> = arrows
        .iter()
        .map(|(from, to)| {
            format!("{from} -> {:?}", to.iter().filter(|to| arrows.contains_key(*to)).collect::<Vec<_>>())
        })
        .collect();
    (!shown.is_empty()).then(|| shown.join("\n"))
}
