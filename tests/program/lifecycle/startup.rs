//! Startup failures: each prints one clear line, and nothing listens.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use doorward::server::StartError;

use crate::house::House;
use crate::process::{Running, signal};

/// Any 32 bytes that no test uses as its key.
const OTHER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";

/// A folder whose vault has keys and a user.
fn lived_in() -> House {
    let house = House::empty();
    house.add("ada", &[]);
    house.run(&["key", "rotate"]).good();
    house
}

/// Fails unless the error contains every text.
fn assert_says(complaint: &str, texts: &[&str]) {
    assert!(complaint.starts_with("doorward: "), "{complaint}");
    for text in texts {
        assert!(complaint.contains(text), "no `{text}` in: {complaint}");
    }
}

#[test]
fn every_configuration_problem_is_its_own_line() {
    let house = House::empty();
    house.write(
        "gateway.toml",
        "[server]\nlisten = [\"here\"]\nlameduk = \"1s\"\n[tokens]\naccess_ttl = 15\n[log]\nlevel = \"loud\"\n",
    );
    for command in ["serve", "check"] {
        let command = &[command];
        let lines = house.run(command).complaints();
        assert_eq!(lines.len(), 4, "{lines:#?}");
        let expected = [
            (":2: server.listen", "here"),
            (":3: server.lameduk", "did you mean \"lameduck\""),
            (":5: tokens.access_ttl", "15"),
            (":7: log.level", "loud"),
        ];
        for (line, (place, text)) in lines.iter().zip(expected) {
            assert!(line.contains("gateway.toml") && line.contains(place) && line.contains(text), "{line}");
        }
    }
    // Commands that use only the vault get as far as the missing vault.
    let lines = house.run(&["user", "list"]).complaints();
    let messages = ["gateway.toml:2: server.listen", "there is no vault at"];
    assert!(
        lines.len() == 2 && messages.iter().zip(&lines).all(|(text, line)| line.contains(text)),
        "{lines:#?}"
    );
    assert_eq!(house.files(), ["gateway.toml"], "nothing was made");
}

#[test]
fn check_reports_every_problem_beside_a_missing_master_key() {
    let house = House::empty();
    let more = "[vault]\nurl = \"postgres://gateway@127.0.0.1/doorward\"\n\
                [sessions]\nurl = \"rediss://127.0.0.1/0\"\nca_file = \"missing.pem\"\n\
                [upstreams.spare]\nservers = [\"http://spare.invalid\"]\n[browser]\nidle_timeout = \"30d\"\n";
    let text = fs::read_to_string(house.path("gateway.toml")).expect("the file");
    house.write("gateway.toml", &(text + more));
    let done = house.run(&["check"]);
    assert_eq!(done.code, Some(1), "{}", done.out);
    for problem in ["master.key", "missing.pem"] {
        assert!(done.err.contains(problem), "no `{problem}` in: {}", done.err);
    }
    for warning in [
        "warning: upstreams.spare: no route uses this upstream",
        "warning: upstreams.spare.servers[0]: \"spare.invalid\" does not resolve",
        "warning: browser.idle_timeout: 30d is longer than the 14d of sessions.idle_timeout",
    ] {
        assert!(done.out.contains(warning), "no `{warning}` in: {}", done.out);
    }
    assert!(!done.out.contains("is good"), "{}", done.out);
}

#[test]
fn signal_during_startup_does_not_kill_the_process() {
    // A server that accepts connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("postgres://doorward@{}/doorward", silent.local_addr().expect("its address"));
    let house = House::empty();
    house.write("gateway.toml", &format!("[server]\nlisten = [\"127.0.0.1:0\"]\n[vault]\nurl = \"{url}\"\n"));
    for signals in [&["TERM"][..], &["HUP", "TERM"], &["USR2", "TERM"], &["INT"]] {
        let process = Running::start(&mut house.command(&["serve"]));
        let (_connection, _) = silent.accept().expect("the gateway connects");
        for name in signals {
            signal(process.id(), name);
        }
        let (status, out, complaint) = process.end();
        assert_eq!(status.code(), Some(0), "{signals:?}: {status}, {out:?}, {complaint:?}");
        assert!(out.is_empty(), "it has not served: {out:?}");
    }
}

#[test]
fn malformed_or_missing_configuration_is_named() {
    let house = House::empty();
    house.write("gateway.toml", "[server\n");
    assert_says(&house.run(&["serve"]).complaint(), &["gateway.toml:1:"]);
    fs::remove_file(house.path("gateway.toml")).expect("removed");
    let complaint = house.run(&["serve"]).complaint();
    assert_says(&complaint, &["gateway.toml: cannot be read", "create it, or name another file"]);
}

#[test]
fn address_in_use_names_its_setting() {
    let occupied = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = occupied.local_addr().expect("an address").to_string();
    for table in ["server", "admin"] {
        let house = House::empty();
        let other = if table == "server" { "admin" } else { "server" };
        let settings =
            format!("[{other}]\nlisten = [\"127.0.0.1:0\"]\n[{table}]\nlisten = [\"{address}\"]\n");
        house.write("gateway.toml", &settings);
        let complaint = house.run(&["serve"]).complaint();
        assert_says(&complaint, &[&format!("{table}.listen: "), &address, "choose another address"]);
    }
}

#[test]
fn unusable_listen_address_error_suggests_alternatives() {
    let house = House::empty();
    // RFC 5737: an address of no machine.
    house.write(
        "gateway.toml",
        "[server]\nlisten = [\"192.0.2.1:8080\"]\n[admin]\nlisten = [\"127.0.0.1:0\"]\n",
    );
    let complaint = house.run(&["serve"]).complaint();
    assert_says(&complaint, &["server.listen: ", "192.0.2.1:8080", "no such address", "0.0.0.0"]);
    let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let address = std::net::SocketAddr::from(([0, 0, 0, 0], 443));
    // Tests may run as root, which may bind it.
    let address = address.to_string();
    let refused = StartError::Listen { key: "server.listen", address, source }.to_string();
    assert!(refused.contains("server.listen: ") && refused.contains("CAP_NET_BIND_SERVICE"), "{refused}");
}

#[test]
fn file_that_is_no_vault_is_left_unchanged() {
    let house = House::empty();
    let letter = "Dear Ada, this is a letter and not a database. ".repeat(100);
    house.write("doorward.db", &letter);
    let complaint = house.run(&["serve"]).complaint();
    assert_says(&complaint, &["doorward.db", "is not a doorward vault", "name another path"]);
    assert_eq!(fs::read_to_string(house.path("doorward.db")).expect("a file"), letter);

    let house = House::empty();
    let other = rusqlite::Connection::open(house.path("doorward.db")).expect("a database");
    other.execute_batch("CREATE TABLE recipes (name TEXT)").expect("a table");
    drop(other);
    let complaint = house.run(&["serve"]).complaint();
    assert_says(&complaint, &["doorward.db", "another program", "name another path"]);
}

#[test]
fn damaged_vault_error_advises_a_backup() {
    let house = lived_in();
    let file = house.path("doorward.db");
    // The last connection to close checkpoints the log; afterwards only the damaged file remains.
    let vault = rusqlite::Connection::open(&file).expect("a database");
    vault.query_row("SELECT count(*) FROM users", [], |_| Ok(())).expect("a vault");
    drop(vault);
    assert!(!house.path("doorward.db-wal").exists());
    let mut bytes = fs::read(&file).expect("a file");
    bytes[100..].fill(0x5a);
    fs::write(&file, bytes).expect("a file");
    let complaint = house.run(&["serve"]).complaint();
    assert_says(&complaint, &["doorward.db", "is damaged", "backup", "doorward vault restored"]);
}

#[test]
fn vault_of_a_newer_doorward_is_left_unchanged() {
    let house = lived_in();
    let vault = rusqlite::Connection::open(house.path("doorward.db")).expect("a database");
    vault.pragma_update(None, "user_version", 99).expect("set");
    drop(vault);
    let complaint = house.run(&["serve"]).complaint();
    assert_says(&complaint, &["doorward.db", "schema 99", "run the newer doorward"]);
}

#[test]
fn missing_or_unwritable_vault_folder_is_named() {
    let house = House::empty();
    house.write("gateway.toml", "[vault]\nurl = \"sqlite:vaults/doorward.db\"\n");
    assert_says(&house.run(&["serve"]).complaint(), &["the folder", "vaults", "create it"]);

    let made = house.path("vaults");
    fs::create_dir(&made).expect("a folder");
    fs::set_permissions(&made, fs::Permissions::from_mode(0o555)).expect("a mode");
    // File modes do not stop root; the kernel's own file system does.
    let root = fs::metadata(&made).expect("a folder").uid() == 0;
    let folder = if root { Path::new("/sys") } else { &made };
    let file = folder.join("doorward.db");
    house.write("gateway.toml", &format!("[vault]\nurl = \"sqlite:{}\"\n", file.display()));
    let complaint = house.run(&["serve"]).complaint();
    assert_says(&complaint, &[&format!("`{}`", folder.display()), "cannot be written", "name another path"]);
}

#[test]
fn unusable_master_key_prevents_startup() {
    let house = lived_in();
    let file = house.path("master.key");
    let right = fs::read_to_string(&file).expect("a key");

    house.write("master.key", OTHER_KEY);
    assert_says(&house.run(&["serve"]).complaint(), &["another master secret", "restore"]);

    house.write("master.key", "not a key\n");
    assert_says(&house.run(&["serve"]).complaint(), &["master.key", "32 bytes in base64url, 43 characters"]);

    house.write("master.key", &right);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    assert_says(&house.run(&["serve"]).complaint(), &["master.key", "other users", "chmod 600"]);

    fs::remove_file(&file).expect("removed");
    for command in [&["serve"][..], &["key", "rotate"]] {
        let complaint = house.run(command).complaint();
        assert_says(&complaint, &["master.key", "does not exist", "restore it", "no new one was created"]);
        assert!(!file.exists(), "a lost master key must not be made anew");
    }

    house.write("master.key", &right);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    assert_eq!(house.serve().stop().code(), Some(0), "with the right key it starts again");
}

#[test]
fn files_of_first_start_are_readable_by_owner_only() {
    let house = House::empty();
    let gateway = house.serve();
    for name in ["doorward.db", "doorward.db-wal", "doorward.db-shm", "master.key"] {
        let mode = fs::metadata(house.path(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let made = ["doorward.db", "doorward.db-shm", "doorward.db-wal", "gateway.toml", "master.key"];
    assert_eq!(house.files(), made, "and nothing else");
    assert_eq!(gateway.stop().code(), Some(0));
}
