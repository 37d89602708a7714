//! Keys of a new configuration that a running process applies.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;
use crate::config::change::{Change, RESTART};

/// Returns the keys that need a restart after a change from one text to the other.
fn restart(from: &str, to: &str) -> Vec<&'static str> {
    Change::between(&good(from), good(to)).restart
}

/// Each key that needs a restart, alone.
const STAYING: &[(&str, &str, &str)] = &[
    ("", "[server]\nlisten = [\"127.0.0.1:1\"]", "server.listen"),
    ("", "[server]\nunix_mode = \"0600\"", "server.unix_mode"),
    ("", "[server]\nthreads = 3", "server.threads"),
    ("", "[admin]\nlisten = []", "admin.listen"),
    ("", "[vault]\nurl = \"sqlite:other.db\"", "vault.url"),
    ("", "[vault]\nprepared = false", "vault.prepared"),
    ("", "[vault]\nmaster_key_file = \"other.key\"", "vault.master_key"),
    ("", "[vault]\nstatement_timeout = \"3s\"", "vault.statement_timeout"),
    ("", "[vault]\nlease = \"2s\"", "vault.lease"),
    ("", "[sessions]\nurl = \"redis://h\"", "sessions.url"),
    ("", "[sessions]\nkey_prefix = \"x:\"", "sessions.key_prefix"),
    ("", "[sessions]\ntimeout = \"200ms\"", "sessions.timeout"),
    ("", "[sessions]\nlocal_cache_bytes = \"1MiB\"", "sessions.local_cache_bytes"),
    ("", "[[login.peppers]]\nid = \"a\"\nkey_env = \"KEY\"", "login.peppers"),
    ("", "[login]\nhash_threads = 2", "login.hash_threads"),
    ("", "[login]\nhash_queue = 2", "login.hash_queue"),
    ("", "[log]\nformat = \"text\"", "log.format"),
];

#[test]
fn keys_that_need_a_restart_stay_and_are_named() {
    for (from, to, key) in STAYING {
        let running = good(from);
        let change = Change::between(&running, good(to));
        assert_eq!((&change.config, &change.restart[..]), (&running, &[*key][..]), "{to}");
    }
    let stores = |host: &str, file: &str| {
        format!(
            "[vault]\nurl = \"postgres://u@{host}/d\"\nca_file = \"{file}\"\n[sessions]\nurl = \
             \"rediss://{host}\"\nca_file = \"{file}\""
        )
    };
    let all = restart(&stores("one", "a.pem"), &stores("two", "b.pem"));
    assert_eq!(all, ["vault.url", "vault.ca_file", "sessions.url", "sessions.ca_file"]);
    assert_eq!(
        restart(&stores("one", "a.pem"), &stores("one", "b.pem")),
        [""; 0],
        "certificates alone are read anew"
    );
    let named = STAYING.iter().map(|(_, _, key)| *key).chain(all).chain(tls::staying());
    for key in RESTART {
        assert!(named.clone().any(|known| known == *key), "{key} is not tested");
    }
}

#[test]
fn all_other_keys_are_applied() {
    let text = format!(
        "[server]\npublic_urls = [\"https://a.test\"]\nauth_prefix = \"/x\"\ncors_origins = [\"https://b.test\"]\n\
         trusted_proxies = [\"10.0.0.0/8\"]\nlameduck = \"1s\"\ndrain_timeout = \"1s\"\nkeepalive_timeout = \"7s\"\n\
         proxy_protocol_from = [\"unix:\", \"10.0.0.1\"]\nh2c = true\nhealth_path = \"/healthz\"\n\
         [server.limits]\nconnections = 5\nconnections_per_ip = 4\nheader_bytes = \"2KiB\"\nheader_deadline = \"2s\"\n\
         [vault]\npool_size = 3\naudit_retention = \"400d\"\n[sessions]\nrevalidate_after = \"1s\"\nvault_outage_grace = \"1s\"\nidle_timeout = \
         \"1d\"\n\
         absolute_timeout = \"2d\"\nstream_lease = \"2s\"\n[tokens]\nissuer = \"https://c.test\"\naudience = \"x\"\n\
         algorithm = \"ES256\"\naccess_ttl = \"1m\"\nrefresh_grace = \"1s\"\n\
         refresh_grace_unused = \"1h\"\nencrypted_claims = {{ claims = [\"email\"], key = \"{KEY}\" }}\n[login]\nmin_password_length = 10\n\
         factor = \"mfa\"\nfactor_roles = [\"x\"]\nfactor_grace = \"1d\"\nfactor_min_password_length = 9\n\
         attempts_per_account = 2\nattempts_per_address = 3\nattempts_overall = 4\nfailure_delay = \"1s\"\n[login.breached_passwords]\nurl = \"https://d.test\"\n\
         timeout = \"2s\"\n[mail]\nurl = \"smtp://h\"\nfrom = \"a@b.test\"\n[unusual]\nother_network = \"end-session\"\n[identity_headers]\nuser = \"X-A\"\nuser_id = \"X-B\"\n\
         roles = \"X-C\"\nsession = \"X-D\"\n[log]\nlevel = \"warn\"\naccess = \"none\"\nuser_agent = \
         true\n{APP}{ROUTE}"
    );
    let change = Change::between(&good(""), good(&text));
    assert_eq!((change.restart, change.config), (Vec::new(), good(&text)));
}

#[test]
fn new_credentials_are_applied_and_another_store_is_not() {
    let same = [
        ("vault", "postgres://u:a@h1,h2/d", "postgres://v:b@h1,h2/d"),
        ("sessions", "redis://:a@h/1", "redis://u:b@h/1"),
        ("sessions", "redis+sentinel://:a@s1,s2/m/0", "redis+sentinel://:b@s1,s2/m/0"),
        ("sessions", "redis+cluster://:a@h1,h2", "redis+cluster://h1,h2"),
    ];
    for (table, from, to) in same {
        let text = |url: &str| format!("[{table}]\nurl = \"{url}\"");
        let change = Change::between(&good(&text(from)), good(&text(to)));
        assert_eq!((change.restart, change.config), (Vec::new(), good(&text(to))), "{to}");
    }
    let other = [
        ("vault", "postgres://u@h1,h2/d", "postgres://u@h2,h1/d"),
        ("vault", "postgres://u@h/d", "postgres://u@h/e"),
        ("vault", "postgres://u@h/d", "postgres://u@h/d?sslmode=disable"),
        ("vault", "postgres://u@h/d", "sqlite:a.db"),
        ("sessions", "redis://h", "redis://g"),
        ("sessions", "redis://h/0", "redis://h/1"),
        ("sessions", "redis://h", "rediss://h"),
        ("sessions", "redis://h", "redis+cluster://h"),
        ("sessions", "redis+sentinel://h/m", "redis+sentinel://h/n"),
        ("sessions", "redis://h", "memory:"),
    ];
    for (table, from, to) in other {
        let text = |url: &str| format!("[{table}]\nurl = \"{url}\"");
        assert_eq!(restart(&text(from), &text(to)), [format!("{table}.url")], "{to}");
    }
}

#[test]
fn stream_lease_is_at_least_the_running_lease() {
    let running = good("[vault]\nlease = \"10s\"");
    let change = Change::between(&running, good("[sessions]\nstream_lease = \"2s\""));
    assert_eq!(change.restart, ["vault.lease"]);
    assert_eq!(change.config.sessions.stream_lease, Duration::from_secs(10));
}

/// Creates a directory with a configuration that names two more files.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    fs::write(&file, "[vault]\nurl_file = \"vault.url\"\nmaster_key_file = \"k\"\n").unwrap();
    fs::write(folder.path().join("vault.url"), "sqlite:a.db\n").unwrap();
    (folder, file)
}

#[test]
fn every_named_file_is_among_the_sources() {
    let (folder, file) = folder();
    let reading = Reading::of(&file, &environment);
    let names: Vec<_> =
        reading.sources.iter().map(|source| (source.key.as_str(), source.digest.is_some())).collect();
    assert_eq!(names, [("", true), ("vault.url_file", true), ("vault.master_key_file", false)]);
    assert!(reading.config.is_ok());
    let hash = reading.sources.hash();
    assert!(hash > 0 && hash < 1 << 48);
    assert_eq!(Reading::of(&file, &environment).sources, reading.sources);
    fs::write(folder.path().join("vault.url"), "mysql://h").unwrap();
    let broken = Reading::of(&file, &environment);
    assert!(broken.config.is_err() && broken.sources != reading.sources && broken.sources.hash() == hash);
}

#[test]
fn change_needs_new_content_seen_twice() {
    let (folder, file) = folder();
    let mut watch = Watch::new(&Reading::of(&file, &environment).sources);
    let mut checks = |times| (0..times).map(|_| watch.has_changed()).collect::<Vec<_>>();
    assert_eq!(checks(3), [false; 3]);
    let text = fs::read(&file).unwrap();
    fs::write(&file, &text).unwrap();
    assert_eq!(checks(2), [false; 2], "written again as it was");
    fs::write(&file, "[vault]\n").unwrap();
    assert_eq!(checks(1), [false], "perhaps half of it");
    fs::write(&file, "[vault]\n[log]\n").unwrap();
    assert_eq!(checks(3), [false, true, true]);
    fs::write(&file, &text).unwrap();
    assert_eq!(checks(2), [false; 2], "as it was read");
    fs::remove_file(folder.path().join("vault.url")).unwrap();
    assert_eq!(checks(2), [false, true], "one that is gone has changed");
}

#[test]
fn change_of_a_symlink_above_the_file_is_noticed() {
    // As in Kubernetes: gateway.toml -> ..data/gateway.toml, ..data -> a directory, replaced by another symlink.
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, text) in [("1", "[log]\n"), ("2", "[login]\n")] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("gateway.toml"), text).unwrap();
    }
    symlink("1", path("..data")).unwrap();
    symlink("..data/gateway.toml", path("gateway.toml")).unwrap();
    let mut watch = Watch::new(&Reading::of(&path("gateway.toml"), &environment).sources);
    assert!(!watch.has_changed() && !watch.has_changed());
    symlink("2", path("..new")).unwrap();
    fs::rename(path("..new"), path("..data")).unwrap();
    assert!(!watch.has_changed() && watch.has_changed());
}

#[test]
fn file_created_by_the_gateway_is_no_change() {
    let (folder, file) = folder();
    let mut sources = Reading::of(&file, &environment).sources;
    fs::write(folder.path().join("k"), KEY).unwrap();
    sources.made("vault.master_key_file");
    let mut watch = Watch::new(&sources);
    assert!(!watch.has_changed() && !watch.has_changed());
    fs::write(folder.path().join("vault.url"), "sqlite:b.db\n").unwrap();
    sources.made("vault.url_file");
    let mut watch = Watch::new(&sources);
    assert!(!watch.has_changed() && watch.has_changed(), "that one was there before");
}

#[test]
fn shipped_file_marks_keys_that_need_a_restart() {
    let shipped = include_str!("../../../gateway.toml");
    let (mut table, mut comment, mut output) = (String::new(), String::new(), Vec::new());
    for line in shipped.lines().skip_while(|line| !line.starts_with('[')) {
        if let Some(text) = line.strip_prefix("# ") {
            comment.push_str(text);
            comment.push(' ');
        } else if let Some(name) =
            line.trim_start_matches('#').strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        {
            // `[[name]]` is a list of tables.
            table = name.trim_matches(['[', ']']).to_owned();
            if std::mem::take(&mut comment).contains("eeds a restart") {
                output.push(table.clone());
            }
        } else if line.is_empty() {
            comment.clear();
        } else if let Some((key, _)) = line.trim_start_matches('#').split_once(" = ")
            && std::mem::take(&mut comment).contains("eeds a restart")
            // A key of such a table.
            && !output.contains(&table)
        {
            output.push(format!("{table}.{}", key.trim_end_matches("_file")));
        }
    }
    // The CA file only stays if the address stays.
    let keys = RESTART.iter().filter(|key| !key.ends_with("ca_file"));
    assert_eq!(output, keys.copied().collect::<Vec<_>>());
}
