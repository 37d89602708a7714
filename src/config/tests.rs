mod bad;
mod bad_addresses;
mod bad_browser;
mod bad_headers;
mod bad_health;
mod bad_mail;
mod bad_providers;
mod bad_routes;
mod bad_stores;
mod bad_upstream_headers;
mod change;
mod encrypted_claims;
mod peppers;
mod providers;
mod shipped;
mod tls;

use std::path::Path;
use std::time::Duration;

use http::Method;

use super::load::read;
use super::*;
use crate::identity::Roles;
use crate::secret::Secret;

const APP: &str = "[upstreams.app]\nservers = [\"http://127.0.0.1:9000\"]\n";
const ROUTE: &str = "[[routes]]\nname = \"app\"\npath = \"/\"\naccess = \"signed-in\"\nupstream = \"app\"\n";
/// 32 bytes: 0, 1, 2 and so on.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn environment(name: &str) -> Option<String> {
    match name {
        "KEY" => Some(KEY.to_owned()),
        "SHORT" => Some("hunter2".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse(text, Path::new("gateway.toml"), &environment)
}

/// Returns the problems of `text`; empty when it is valid.
fn problems_of(text: &str) -> String {
    parse(text).err().map(|problems| problems.to_string()).unwrap_or_default()
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn check_cases(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let text = text.replace('|', "\n").replace("{app}", APP).replace("{route}", ROUTE);
        let output = problems_of(&text);
        let output: Vec<&str> =
            output.lines().map(|line| line.strip_prefix("gateway.toml:").unwrap_or(line)).collect();
        assert_eq!(output.join("|"), *expected, "\n{text}");
    }
}

#[test]
fn four_mistakes_give_four_problems_in_order_of_line() {
    let text = "\
[server]
lisen = [\"127.0.0.1:8080\"]

[tokens]
access_ttl = 900

[upstreams.app]
servers = [\"http://127.0.0.1:9000\"]

[[routes]]
name = \"admin\"
path = \"/admin\"
access = { roles = [\"ops\", \"Admin\"] }
upstream = \"app\"
always_revalidat = true
";
    let expected = "\
gateway.toml:2: server.lisen: unknown key (did you mean \"listen\"?)
gateway.toml:5: tokens.access_ttl: 900 has no unit: a duration is a string, write \"900s\"
gateway.toml:13: routes[0].access.roles[1]: \"Admin\" is not a role: a role has 1 to 64 characters from a-z 0-9 . _ : -
gateway.toml:15: routes[0].always_revalidat: unknown key (did you mean \"always_revalidate\"?)";
    assert_eq!(problems_of(text), expected);
    let problems = parse(text).unwrap_err();
    let places: Vec<_> = problems.iter().map(|problem| (problem.line, problem.key.as_str())).collect();
    let expected = [
        (2, "server.lisen"),
        (5, "tokens.access_ttl"),
        (13, "routes[0].access.roles[1]"),
        (15, "routes[0].always_revalidat"),
    ];
    assert_eq!(places, expected);
}

#[test]
fn text_that_is_not_toml_is_located_and_the_rest_is_checked() {
    check_cases(bad::NOT_TOML);
}

#[test]
fn unknown_keys_and_wrong_types_are_rejected() {
    check_cases(bad::UNKNOWN_KEYS_AND_TYPES);
}

#[test]
fn numbers_need_their_unit_and_their_range() {
    check_cases(bad::UNITS_AND_RANGES);
}

#[test]
fn addresses_and_header_names_have_one_spelling() {
    check_cases(bad_addresses::ADDRESSES);
}

#[test]
fn impossible_stores_and_bad_secrets_are_rejected() {
    check_cases(bad_stores::STORES_AND_SECRETS);
}

#[test]
fn upstreams_and_routes_that_cannot_work_are_rejected() {
    check_cases(bad_routes::UPSTREAMS_AND_ROUTES);
}

#[test]
fn useless_health_checks_are_rejected() {
    check_cases(bad_health::HEALTH);
}

#[test]
fn browser_settings_are_checked() {
    check_cases(bad_browser::BROWSER);
    check_cases(bad_mail::MAIL);
}

#[test]
fn health_table_enables_checks_unless_the_interval_is_zero() {
    let health = |table: &str| good(&format!("{APP}{table}")).upstreams.remove(0).health;
    assert_eq!(health(""), Health::default());
    assert_eq!(health("[upstreams.app.health]").checks, Some(Checks::default()));
    let passive = health("[upstreams.app.health]\ninterval = \"0s\"\neject_after = { connects = 0 }");
    assert_eq!(
        (passive.checks, passive.eject_after),
        (None, EjectAfter { connects: 0, timeouts: 3, responses: 5 })
    );
    let active = health(
        "[upstreams.app.health]\npath = \"/up?deep=1\"\nhost = \"[::1]:80\"\nstatus = [204]\ninterval = \"1h\"",
    );
    let checks = active.checks.unwrap();
    assert!(checks.expects(204) && !checks.expects(200), "{checks:?}");
    assert!([200, 302, 399].into_iter().all(|status| Checks::default().expects(status)));
    assert!([199, 400, 503].into_iter().all(|status| !Checks::default().expects(status)));
}

#[test]
fn upstream_server_is_shown_as_in_the_file() {
    let text =
        "[upstreams.app]\nservers = [\"http://a:80\", \"https://[::1]\", \"h2c://b:443\", \"https://c:444\"]";
    let named: Vec<String> = good(text).upstreams[0].servers.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["http://a", "https://[::1]", "h2c://b:443", "https://c:444"]);
}

#[test]
fn store_address_may_be_in_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vault.url"), "postgres://door:hunter2@db/vault\n").unwrap();
    std::fs::write(folder.path().join("bad.url"), "postgres://:hunter2@db").unwrap();
    let read = |text: &str| Config::parse(text, &folder.path().join("gateway.toml"), &|_| None);
    let config = read("[vault]\nurl_file = \"vault.url\"\nmaster_key_file = \"k\"").unwrap();
    let VaultUrl::Postgres(url) = config.vault.url else { panic!("{:?}", config.vault.url) };
    assert_eq!((url.user.as_str(), url.database.as_str()), ("door", "vault"));
    assert!(!format!("{url:?}").contains("hunter2"));
    for (file, says) in [("none.url", "cannot be read"), ("bad.url", "names no user")] {
        let problems = read(&format!("[vault]\nurl_file = \"{file}\"")).unwrap_err().to_string();
        assert!(problems.contains("vault.url_file") && problems.contains(says), "{problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}

#[test]
fn truncated_file_gives_problems_and_no_panic() {
    let text = format!(
        "[server]\nlisten = [\"[::]:1\", 'x']\n[log]\nlevel = \"warn\"\n{APP}{ROUTE}hosts = [\"é\"]\n"
    );
    for (at, _) in text.char_indices() {
        problems_of(&text[..at]);
        problems_of(&text[at..]);
        problems_of(&format!("{}\"{}", &text[..at], &text[at..]));
        problems_of(&format!("{}]{}", &text[..at], &text[at..]));
    }
}

#[test]
fn no_message_quotes_a_secret() {
    let every =
        [bad_stores::STORES_AND_SECRETS, bad_addresses::ADDRESSES, bad_routes::UPSTREAMS_AND_ROUTES].concat();
    for (_, expected) in every {
        assert!(!expected.contains("hunter2") && !expected.contains(&KEY[..8]), "{expected}");
    }
    let misplaced = format!("[vault]\nmaster_key_env = \"{KEY}\"\nurl = \"{KEY}\"\nmaster_kye = \"{KEY}\"\n");
    assert!(!problems_of(&misplaced).contains(&KEY[..8]));
    assert_eq!(problems_of(&misplaced).lines().count(), 3);
}

#[test]
fn config_debug_output_hides_the_master_key() {
    for text in
        [format!("[vault]\nmaster_key = \"{KEY}\"\n"), "[vault]\nmaster_key_env = \"KEY\"\n".to_owned()]
    {
        let config = good(&text);
        assert_eq!(config.vault.master_key, MasterKey::Value(Secret::new(KEY.to_owned())));
        assert!(!format!("{config:?}").contains(&KEY[..8]));
    }
}

#[test]
fn relative_paths_start_at_the_directory_of_the_file() {
    let file = Path::new("/etc/doorward/gateway.toml");
    let config = Config::parse("[vault]\nmaster_key_file = \"../keys/k\"\n", file, &environment).unwrap();
    assert_eq!(config.vault.master_key, MasterKey::File("/etc/doorward/../keys/k".into()));
    assert_eq!(config.vault.url, VaultUrl::Sqlite("/etc/doorward/doorward.db".into()));
    let config = Config::parse("[vault]\nurl = \"sqlite:/var/lib/d.db\"\n", file, &environment).unwrap();
    assert_eq!(config.vault.url, VaultUrl::Sqlite("/var/lib/d.db".into()));
}

#[test]
fn empty_file_means_the_defaults() {
    assert_eq!(good(""), Config::defaults(Path::new("")));
    assert_eq!(good("[server]\n[server.limits]\n[upstreams]\n[vault]\n"), Config::defaults(Path::new("")));
}

#[test]
fn unset_public_urls_follow_the_listen_addresses() {
    for (text, urls) in [
        ("listen = [\"0.0.0.0:9090\"]", &["http://127.0.0.1:9090", "http://localhost:9090"][..]),
        ("listen = [\"127.0.0.1:80\", \"[::1]:80\"]", &["http://127.0.0.1", "http://localhost"]),
        ("listen = [\"127.0.0.1:0\"]", &["http://127.0.0.1:8080", "http://localhost:8080"]),
        ("listen = [\"127.0.0.1:9090\"]\npublic_urls = [\"https://a.example\"]", &["https://a.example"]),
    ] {
        assert_eq!(good(&format!("[server]\n{text}")).server.public_urls, urls, "{text}");
    }
}

#[test]
fn unreadable_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.toml");
    let problems = Config::load(&path, &environment).unwrap_err();
    let problem = problems.iter().next().unwrap();
    assert_eq!((problems.iter().len(), problem.line, &problem.file), (1, 0, &path));
    assert!(problem.message.starts_with("cannot be read: "), "{problem}");

    std::fs::write(&path, b"[log]\nlevel = \"\xff\"\n").unwrap();
    let output = Config::load(&path, &environment).unwrap_err().to_string();
    assert_eq!(output, format!("{}:2: not UTF-8: save the file in that encoding", path.display()));

    std::fs::write(&path, "[log]\r\nlevel = \"warn\"\r\n").unwrap();
    assert_eq!(Config::load(&path, &environment).unwrap().log.level, LogLevel::Warn);
}

#[test]
fn settings_are_parsed_as_written() {
    let config = good(
        r#"
        server.listen = ["[::]:443", "0.0.0.0:0", "0.0.0.0:0"]
        server.public_urls = ["https://app.example.com:443", "http://localhost:8080"]
        server.auth_prefix = "/_auth/v1"
        server.trusted_proxies = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]
        server.limits = { connections = 1_000, header_bytes = "64KiB" }
        admin.listen = []
        sessions = { revalidate_after = "0s", idle_timeout = "1h", absolute_timeout = "1h" }
        tokens = { algorithm = "RS256", access_ttl = "1h", refresh_grace = "0s", issuer = "https://id.example.com/a" }
        login.hash_threads = 0x2
        identity_headers.user = "Remote-User"
        log = { format = "text", level = "error" }
        "#,
    );
    assert_eq!(config.server.listen.len(), 3);
    assert_eq!(config.server.public_urls, ["https://app.example.com", "http://localhost:8080"]);
    assert_eq!(config.server.auth_prefix, "/_auth/v1");
    let proxies: Vec<String> = config.server.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]);
    assert_eq!((config.server.limits.connections, config.server.limits.header_bytes), (1000, 65_536));
    assert!(config.admin.listen.is_empty());
    assert_eq!(
        (config.sessions.revalidate_after, config.tokens.refresh_grace),
        (Duration::ZERO, Duration::ZERO)
    );
    assert_eq!(config.tokens.access_ttl, config.sessions.idle_timeout);
    assert_eq!((config.tokens.algorithm, config.login.hash_threads), (Algorithm::Rs256, 2));
    assert_eq!(config.identity_headers.user, "remote-user");
    assert_eq!((config.log.format, config.log.level), (LogFormat::Text, LogLevel::Error));
}

#[test]
fn upstream_servers_get_the_port_of_their_scheme() {
    let config = good(
        "[upstreams.b]\nservers = [\"http://b\", \"https://b.example\", \"h2c://[2001:db8::1]\"]\n\
         [upstreams.a]\nservers = [\"http://127.0.0.1:9000\"]\nconnect_timeout = \"250ms\"\n",
    );
    let server =
        |scheme, host: &str, port| UpstreamServer { scheme, host: host.to_owned(), port, socket: None };
    let expected = [
        server(Scheme::Http, "b", 80),
        server(Scheme::Https, "b.example", 443),
        server(Scheme::H2c, "2001:db8::1", 80),
    ];
    assert_eq!(config.upstreams[1].servers, expected);
    let names: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(config.upstreams[0].connect_timeout, Duration::from_millis(250));
    assert_eq!(
        config.upstreams.iter().map(|u| u.idle_timeout).collect::<Vec<_>>(),
        [Duration::from_secs(50); 2]
    );
}

#[test]
fn upstream_unix_socket_is_relative_to_the_configuration_file() {
    let text =
        "[upstreams.a]\nservers = [\"unix:/run/app.sock\", \"unix:run/app.sock\"]\nidle_timeout = \"4s\"\n";
    let config = Config::parse(text, Path::new("/etc/doorward/gateway.toml"), &environment).unwrap();
    let [upstream] = &config.upstreams[..] else { panic!("one") };
    let shown: Vec<String> = upstream.servers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["unix:/run/app.sock", "unix:/etc/doorward/run/app.sock"]);
    assert!(upstream.servers.iter().all(|s| s.authority() == "localhost" && s.scheme == Scheme::Http));
    assert_eq!(upstream.idle_timeout, Duration::from_secs(4));
}

#[test]
fn route_has_every_setting_of_its_table() {
    let config = good(&format!("{APP}{ROUTE}"));
    let route = Route {
        name: "app".into(),
        hosts: vec![HostPattern::Any],
        path: "/".into(),
        exact: false,
        methods: Vec::new(),
        access: Access::SignedIn,
        proof: crate::identity::RequiredProof::default(),
        upstream: "app".into(),
        always_revalidate: false,
        timeout: Duration::from_secs(60),
        body_limit: 16 << 20,
        strip_prefix: false,
        preserve_host: true,
        forward_bearer: false,
        forward_client_cert: false,
        rewrite_location: false,
        rewrite_cookie_path: false,
        pass_headers: Vec::new(),
        encoded_slashes: false,
        cross_origin: CrossOrigin::Refuse,
        shared_cache: false,
        strict_siblings: false,
        cors: Cors::Off,
        cors_origins: Vec::new(),
    };
    assert_eq!(config.routes, std::slice::from_ref(&route));

    let config = good(&format!(
        "{APP}[[routes]]\nname = \"a\"\nhosts = [\"*.example.com\", \"example.com\", \"[::1]\", \"127.0.0.1\"]\n\
         path = \"/a/b.c~d\"\nexact = true\nmethods = [\"GET\", \"PURGE\"]\naccess = {{ roles = [\"ops\", \"admin\"] \
         }}\n\
         upstream = \"app\"\nalways_revalidate = true\ntimeout = \"1h\"\nbody_limit = \"0B\"\nstrip_prefix = true\n\
         preserve_host = false\nforward_bearer = true\nencoded_slashes = true\ncross_origin = \"allow\"\nshared_cache \
         = true\n\
         strict_siblings = true\n\
         cors = \"answer\"\ncors_origins = [\"https://spa.example\"]\n"
    ));
    let exact = |name: &str| HostPattern::Exact(name.to_owned());
    let expected = Route {
        name: "a".into(),
        hosts: vec![
            HostPattern::Below("example.com".into()),
            exact("example.com"),
            exact("[::1]"),
            exact("127.0.0.1"),
        ],
        path: "/a/b.c~d".into(),
        exact: true,
        methods: vec![Method::GET, Method::from_bytes(b"PURGE").unwrap()],
        access: Access::Roles(Roles::parse(["admin", "ops"]).unwrap()),
        always_revalidate: true,
        timeout: Duration::from_hours(1),
        body_limit: 0,
        strip_prefix: true,
        preserve_host: false,
        forward_bearer: true,
        forward_client_cert: false,
        rewrite_location: false,
        rewrite_cookie_path: false,
        pass_headers: Vec::new(),
        encoded_slashes: true,
        cross_origin: CrossOrigin::Allow,
        shared_cache: true,
        strict_siblings: true,
        cors: Cors::Answer,
        cors_origins: vec!["https://spa.example".to_owned()],
        ..route
    };
    assert_eq!(config.routes, [expected]);
}

#[test]
fn routes_that_differ_in_host_path_method_or_exactness_may_coexist() {
    let route = |name: &str, rest: &str| {
        format!("[[routes]]\nname = \"{name}\"\naccess = \"public\"\nupstream = \"app\"\n{rest}\n")
    };
    let distinct = [
        route("a", "path = \"/\""),
        route("b", "path = \"/b\""),
        route("c", "path = \"/b\"\nexact = true"),
        route("d", "path = \"/b\"\nhosts = [\"*.example.com\"]"),
        route("e", "path = \"/b\"\nhosts = [\"example.com\"]\nmethods = [\"GET\"]"),
        route("f", "path = \"/b\"\nhosts = [\"example.com\"]\nmethods = [\"POST\"]"),
        route("g", "path = \"/authors\""),
    ];
    assert_eq!(good(&format!("{APP}{}", distinct.concat())).routes.len(), distinct.len());
    let twins = [
        route("a", "path = \"/x\"\nhosts = [\"a.example\", \"b.example\"]\nmethods = [\"GET\", \"PUT\"]"),
        route("b", "path = \"/x\"\nhosts = [\"b.example\"]\nmethods = [\"PUT\"]"),
    ];
    let expected = "gateway.toml:10: routes[1]: route \"b\" and route \"a\" (line 3) match the same host, path and method \
                    \"/x\": change one of them";
    assert_eq!(problems_of(&format!("{APP}{}", twins.concat())), expected);
}

#[test]
fn changed_auth_prefix_frees_the_old_path() {
    let route = ROUTE.replace("\"/\"", "\"/auth\"");
    assert_eq!(problems_of(&format!("[server]\nauth_prefix = \"/door\"\n{APP}{route}")), "");
    let route = ROUTE.replace("\"/\"", "\"/door/x\"");
    assert!(
        problems_of(&format!("[server]\nauth_prefix = \"/door\"\n{APP}{route}"))
            .contains("is within \"/door\"")
    );
}
