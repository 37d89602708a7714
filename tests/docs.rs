//! README.md, gateway.toml and the pages below docs against the code.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use clap::Parser as _;
use clap::error::ErrorKind;
use doorward::cli::Cli;
use doorward::clock::SystemClock;
use doorward::config::{Config, RESTART};
use doorward::id::SystemRandom;
use doorward::server::{self, Surroundings};

#[path = "support/http.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod http;
#[path = "support/page.rs"]
mod page;
#[path = "support/tls.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod tls;

#[path = "docs/bench.rs"]
mod bench;
#[path = "docs/configuration.rs"]
mod configuration;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/logs.rs"]
mod logs;
#[path = "docs/readme.rs"]
mod readme;
#[path = "docs/recipes.rs"]
mod recipes;

use readme::{Readme, endpoints, setting, words};

/// Id in doorward's form, in place of `SESSION` or `{id}` on a page.
const AN_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Paths of the admin listener.
const ADMIN: &[&str] = &["/metrics", "/livez", "/readyz"];

fn root(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn shipped() -> Readme {
    Readme::parse(&root("README.md"))
}

/// Pages whose commands, settings and configurations are checked.
const PAGES: &[&str] = &[
    "README.md",
    "docs/contributing.md",
    "docs/endpoints.md",
    "docs/install.md",
    "docs/runbook.md",
    "docs/sign-in.md",
    "docs/stores.md",
];

fn pages() -> impl Iterator<Item = (&'static str, Readme)> {
    PAGES.iter().map(|name| (*name, Readme::parse(&root(name))))
}

#[test]
fn make_verbs_of_the_pages_are_in_the_makefile() {
    let makefile = root("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '.', ' ']))
        .filter_map(|l| Some(l.split_once(':')?.0))
        .collect();
    assert!(!shipped().commands("make").is_empty(), "README.md names no `make` verb");
    for line in pages().flat_map(|(_, text)| text.commands("make")) {
        for verb in
            words(&line.text).iter().skip(1).filter(|word| !word.starts_with('-') && !word.contains('='))
        {
            assert!(targets.contains(verb.as_str()), "`{}`: the Makefile has no `{verb}`", line.text);
        }
    }
}

#[test]
fn doorward_commands_of_the_pages_parse() {
    assert!(shipped().commands("doorward").len() >= 3, "README.md names no `doorward` command");
    for (page, text) in pages() {
        for line in text.commands("doorward") {
            let arguments = words(&line.text).into_iter().map(|word| match word.as_str() {
                "SESSION" | "<SESSION>" | "<session>" | "ID" | "<id>" => AN_ID.to_owned(),
                _ => word.trim_matches(['<', '>']).to_owned(),
            });
            let Err(error) = Cli::try_parse_from(arguments) else { continue };
            let shown = matches!(
                error.kind(),
                ErrorKind::DisplayHelp
                    | ErrorKind::DisplayVersion
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            );
            // Running text may name a command without its required arguments.
            let named = !line.in_block && error.kind() == ErrorKind::MissingRequiredArgument;
            assert!(shown || named, "{page}: `{}`: {error}", line.text);
        }
    }
}

#[test]
fn configurations_of_the_pages_are_valid() {
    let blocks: Vec<(&str, String)> = pages()
        .flat_map(|(page, text)| text.blocks("toml").into_iter().map(move |block| (page, block)))
        .collect();
    assert!(blocks.iter().any(|(page, _)| *page == "README.md"), "README.md shows no configuration");
    // Files named by the blocks.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("tls")).expect("a folder");
    tls::make(&folder.path().join("tls"), "app", &["app.example.com"]);
    std::fs::write(folder.path().join("claims.key"), "A".repeat(43)).expect("written");
    let file = folder.path().join("gateway.toml");
    for (page, block) in blocks {
        let env = |_: &str| Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned());
        if let Err(problems) = Config::parse(&block, &file, &env) {
            panic!("{page} shows a configuration that does not work:\n{problems}\n{block}");
        }
    }
}

/// The lines at the top of gateway.toml that a first reader copies.
#[test]
fn first_lines_of_the_shipped_configuration_work() {
    let text = root("gateway.toml");
    let (top, _) = text.split_once("\n[server]").expect("the first section");
    let lines: Vec<&str> = top.lines().filter_map(|line| line.strip_prefix("#     ")).collect();
    assert!(top.lines().position(|line| line.contains("upstream = \"app\"")).is_some_and(|line| line < 30));
    let config =
        Config::parse(&lines.join("\n"), Path::new("gateway.toml"), &|_| None).expect("a configuration");
    assert_eq!((config.upstreams.len(), config.routes.len()), (1, 1));
}

#[test]
fn settings_of_the_pages_exist_in_the_shipped_configuration() {
    let settings = readme::settings_of(&root("gateway.toml"));
    assert!(settings.len() > 40, "{settings:?}");
    for (page, text) in pages() {
        for name in text.inline().iter().filter_map(|code| setting(code)) {
            assert!(settings.contains(&name), "{page}: gateway.toml has no `{name}`");
        }
    }
}

#[test]
fn operations_page_names_every_key_that_needs_a_restart() {
    let page = root("docs/operations.md");
    let settings = readme::settings_of(&root("gateway.toml"));
    for key in RESTART {
        assert!(page.contains(&format!("`{key}`")), "docs/operations.md does not name `{key}`");
        assert!(settings.contains(*key), "gateway.toml has no `{key}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_of_the_pages_are_served() {
    let pages = ["README.md", "docs/endpoints.md", "docs/sign-in.md"];
    let named: BTreeSet<(String, String)> =
        pages.iter().flat_map(|page| endpoints(&Readme::parse(&root(page)))).collect();
    let must =
        [("POST", "/auth/login"), ("POST", "/auth/refresh"), ("POST", "/auth/logout"), ("GET", "/auth/me")];
    for (method, path) in must.into_iter().chain(ADMIN.iter().map(|path| ("GET", *path))) {
        assert!(named.contains(&(method.to_owned(), path.to_owned())), "no page names `{method} {path}`");
    }
    // Without routes every other path is 404.
    let folder = tempfile::tempdir().expect("a folder");
    let text = "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = [\"127.0.0.1:0\"]\n[[providers]]\nid = \"sso\"\n\
                issuer = \"https://sso.example.com\"\nclient_id = \"doorward\"\nclient_secret = \"not asked for\"\n\
                [mail]\nurl = \"smtp://127.0.0.1:1\"\nfrom = \"noreply@example.com\"\n";
    let config =
        Config::parse(text, &folder.path().join("gateway.toml"), &|_| None).expect("a configuration");
    let surroundings = Surroundings::new(Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    let gateway = server::start(&config, surroundings).await.expect("a gateway");
    let (public, admin) = (gateway.public()[0], gateway.admin()[0]);
    for (method, path) in named {
        let address = if ADMIN.contains(&path.as_str()) { admin } else { public };
        let status = http::request(address, &method, &path, &[], b"").await.status;
        assert!(![404, 405].contains(&status), "`{method} {path}` is not served: {status}");
    }
    assert_eq!(http::request(public, "GET", "/nothing", &[], b"").await.status, 404);
    gateway.drain().await;
}

#[test]
fn page_parses_into_commands_settings_and_endpoints() {
    let page = Readme::parse(
        "# Title\nRun `make test`, or `doorward user add`. See `server.listen`, `gateway.toml` and `GET /metrics`.\n\
         ```sh\n$ make demo   # a comment\n./target/debug/doorward serve \\\n  --config x.toml\n\
         echo 'a b' | doorward user add ada --password-stdin > log\n```\n```toml\n[server]\n```\n\
         ```text\nGET /nothing  404\ndoorward frobnicate  it\n```\n\
         | `DELETE` | `/auth/sessions/{id}` |\n| `POST /auth/login` | `/readyz` |\n",
    );
    let texts =
        |program| -> Vec<String> { page.commands(program).into_iter().map(|line| line.text).collect() };
    assert_eq!(texts("make"), ["make demo", "make test"]);
    let expected =
        ["doorward serve --config x.toml", "doorward user add ada --password-stdin", "doorward user add"];
    assert_eq!(texts("doorward"), expected);
    assert_eq!(page.blocks("toml"), ["[server]\n"]);
    let settings: Vec<String> = page.inline().iter().filter_map(|code| setting(code)).collect();
    assert_eq!(settings, ["server.listen"]);
    let pair = |method: &str, path: String| (method.to_owned(), path);
    let expected = [
        pair("DELETE", format!("/auth/sessions/{AN_ID}")),
        pair("GET", "/metrics".into()),
        pair("GET", "/readyz".into()),
        pair("POST", "/auth/login".into()),
    ];
    assert_eq!(endpoints(&page).into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(words("doorward user add 'ada b' \"c\""), ["doorward", "user", "add", "ada b", "c"]);
}
