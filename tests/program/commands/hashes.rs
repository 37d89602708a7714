//! Passwords of other programs, and peppers: from the import to the sign-in that replaces the hash.

use std::process::Command;

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::house::House;
use crate::http::Response;
use crate::process;
use crate::serving::{Serving, code};

/// Password of every hash below.
const PASSWORD: &str = "violet kettle harbour l\u{e4}ntern";

/// Login names with hashes of low cost: Django, passlib, argon2-cffi, bcrypt and htpasswd made them (src/password/notation/tests.rs).
const HASHES: &[(&str, &str)] = &[
    (
        "django-pbkdf2",
        "pbkdf2_sha256$1000$J7YEnADDdQN6BsIiECMD6d$Lhd42ffudFLVqIK+Ehj/IWDLLCfnAgNSh9cEKbCZI+0=",
    ),
    ("django-bcrypt", "bcrypt_sha256$$2b$04$xIgkQGf3p6Jzf82qicsV.uZ53866xvcpoQxzSU.51MIHLoOetxLrS"),
    (
        "django-scrypt",
        "scrypt$1024$geK6d5V9fNFqq6xLFXCZJG$8$5$98sneRdL4dxy0FLBuE1l+nvGHbBnBsA9FPiWU8FulYHM6YcZ/9LsM9Xeqw8GDh10wlVpd7RkOZVEBhp1yRRVig==",
    ),
    (
        "passlib-pbkdf2",
        "$pbkdf2-sha512$1000$ttYao3TOGaO0du4957zXWg$PNvNKp6QdnRTiOcFP7J6ysWZuduQ5Y2XWs6cuA93FhG8W32JARP7m.MBptuxYO0v97qerSg0AHoRHwIchIvSUg",
    ),
    (
        "passlib-scrypt",
        "$scrypt$ln=10,r=8,p=1$2rs3JqQU4vzfOwdgjLF2rg$Fy+lolA+v/mbQRz0p2kWAEXMPNijTsOj6VU0AfBSNig",
    ),
    ("passlib-bcrypt", "$bcrypt-sha256$v=2,t=2b,r=4$uFnA.U4Haa5CAF7/5zL/5u$BU2gI/1MYdokDCwjtaZyY7t/wE/19dG"),
    (
        "argon2i",
        "$argon2i$v=19$m=256,t=2,p=2$/Ywl0iopZrDxbIJn/oCdnA$NM3MjzLNqdSMJOKpA9k5671HuiB4zP8OKY1fpsQg/6M",
    ),
    (
        "argon2d",
        "$argon2d$v=19$m=256,t=2,p=2$Tf2ntvDri5CGXzUMyg2dGg$N2OXUIRrHuyGdBrI/xpxOY05QsGRXxKgcWEkCexqzHw",
    ),
    (
        "argon2id",
        "$argon2id$v=19$m=256,t=2,p=2$QNiVuVZVIJLE8wkyfc6Mug$1drayrD6Ajj/2Ro/J05vNyjy9fHgbgIZN6nb83bKtpI",
    ),
    ("bcrypt", "$2b$04$bEQ8wUkr2xQsJOLX9kdv7.D2Uoq1xwAxsfzxXVC05EeT2B.Sx40p2"),
    ("htpasswd", "$2y$05$dC4GYvErY6NAWQsIkTMA7.luWZP3kzbzk7JLPoGaWX6dj3kr33fBe"),
];

/// Each stored hash by login name.
fn hashes(house: &House) -> Vec<(String, String)> {
    let text = house.run(&["user", "export", "-"]).good();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.records().map(|row| row.expect("a row"));
    rows.map(|row| (row[0].to_owned(), row[1].to_owned())).collect()
}

fn import_csv(house: &House, rows: impl IntoIterator<Item = (String, String)>) -> String {
    let rows: String = rows.into_iter().map(|(name, hash)| format!("{name},\"{hash}\"\n")).collect();
    house.write("users.csv", &format!("login,password_hash\n{rows}"));
    let file = house.path("users.csv").display().to_string();
    house.run(&["user", "import", &file, "--from", "csv"]).good()
}

/// Counts of `vault passwords`: hash, pepper, state, users.
fn counts(house: &House) -> Vec<(Value, Value, Value, Value)> {
    let text = house.run(&["vault", "passwords", "--json"]).good();
    let counts: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let each = |count: Value| {
        (count["hash"].clone(), count["pepper"].clone(), count["state"].clone(), count["users"].clone())
    };
    counts.into_iter().map(each).collect()
}

/// Signs in, as a client does that comes again when the gateway is busy: costly hashes on a busy machine.
async fn sign_in(gateway: &Serving, name: &str, password: &str) -> Response {
    for _ in 0..20 {
        let response = gateway.sign_in(name, password).await;
        if response.status != 503 || response.code() != "overloaded" {
            return response;
        }
    }
    panic!("{name}: the hashing threads are too busy")
}

async fn refused(gateway: &Serving, name: &str, password: &str) -> (u16, String) {
    code(&sign_in(gateway, name, password).await)
}

/// Starts of the texts of hashes with the current parameters.
const CURRENT: &str = "$argon2id$v=19$m=19456,t=2,p=1";

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_signs_in_and_is_argon2id_afterwards() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    import_csv(&house, HASHES.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())));
    assert!(hashes(&house).iter().all(|(_, hash)| !hash.starts_with(CURRENT)));
    let before = counts(&house);
    assert!(before.iter().all(|(_, _, state, _)| state == "renewed at the next sign-in"), "{before:?}");
    let gateway = house.serve();
    for (name, _) in HASHES {
        assert_eq!(refused(&gateway, name, "a wrong one").await, (401, "credentials_wrong".into()), "{name}");
        assert_eq!(refused(&gateway, name, &PASSWORD[1..]).await.0, 401, "{name}");
    }
    let after_wrong = hashes(&house);
    assert!(after_wrong.iter().all(|(_, hash)| !hash.starts_with(CURRENT)), "{after_wrong:?}");
    for (name, _) in HASHES {
        assert_eq!(sign_in(&gateway, name, PASSWORD).await.status, 200, "{name}");
    }
    let renewed = hashes(&house);
    assert_eq!(renewed.len(), HASHES.len());
    for (name, hash) in &renewed {
        assert!(hash.starts_with(&format!("{CURRENT}$")), "{name}: {hash}");
    }
    assert_eq!(counts(&house), [(json!("argon2id"), Value::Null, json!("current"), json!(HASHES.len()))]);
    for (name, _) in HASHES {
        assert_eq!(sign_in(&gateway, name, PASSWORD).await.status, 200, "{name}, the second time");
    }
    assert_eq!(hashes(&house), renewed, "renewed once");
    let metrics = crate::http::request(gateway.admin, "GET", "/metrics", &[], b"").await.text();
    for (kind, count) in
        [("argon2id", 1), ("argon2i", 1), ("argon2d", 1), ("bcrypt", 4), ("scrypt", 2), ("pbkdf2", 2)]
    {
        let line = format!("doorward_password_hashes_renewed_total{{kind=\"{kind}\"}} {count}");
        assert!(metrics.contains(&line), "{line}");
    }
    // The password page verifies them too; the session that changed it goes on.
    assert_eq!(refused(&gateway, "bcrypt", "a wrong one").await.0, 401);
}

/// Hashes with the default costs of Django 5.2 and passlib, made now.
const MAKE: &str = r#"
import sys
from django.conf import settings
names = ("PBKDF2PasswordHasher", "PBKDF2SHA1PasswordHasher", "Argon2PasswordHasher", "ScryptPasswordHasher")
settings.configure(PASSWORD_HASHERS=["django.contrib.auth.hashers." + name for name in names])
import django
django.setup()
from django.contrib.auth.hashers import get_hashers
from passlib.hash import pbkdf2_sha512, scrypt
password = sys.stdin.read()
for hasher in get_hashers():
    print(hasher.encode(password, hasher.salt()))
print(pbkdf2_sha512.hash(password))
print(scrypt.hash(password))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn default_costs_of_django_and_passlib_are_within_the_limits() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python");
    let made = {
        let mut make = Command::new(python);
        make.args(["-W", "ignore", "-c", MAKE]);
        process::run_for(&mut make, PASSWORD, 10 * process::PATIENCE).good()
    };
    let made: Vec<&str> = made.lines().collect();
    assert_eq!(made.len(), 6, "{made:?}");
    let rows = made.iter().enumerate().map(|(at, hash)| (format!("user{at}"), (*hash).to_owned()));
    import_csv(&house, rows);
    let gateway = house.serve();
    for (at, hash) in made.iter().enumerate() {
        let name = format!("user{at}");
        assert_eq!(sign_in(&gateway, &name, PASSWORD).await.status, 200, "{hash}");
    }
    assert!(hashes(&house).iter().all(|(_, hash)| hash.starts_with(CURRENT)));
}

#[tokio::test(flavor = "multi_thread")]
async fn password_beyond_72_bytes_never_matches_a_bcrypt_hash() {
    // N27.
    let app = TestApp::start().await;
    let house = House::new(app.address(), "[log]\nlevel = \"warn\"\n");
    import_csv(
        &house,
        [("ada".to_owned(), "$2b$04$COcwkYT7lJBaLrNJBeLYGeEUS/lLYrGxnmEpzRn0M7PUMtEKChEhe".to_owned())],
    );
    let gateway = house.serve();
    let longest = "x".repeat(72);
    assert_eq!(refused(&gateway, "ada", &format!("{longest}y")).await, (401, "credentials_wrong".into()));
    assert!(hashes(&house)[0].1.starts_with("$2b$"), "a refused password renews nothing");
    assert_eq!(sign_in(&gateway, "ada", &longest).await.status, 200);
    assert_eq!(refused(&gateway, "ada", &format!("{longest}y")).await.0, 401, "now argon2id");
    let log = gateway.log();
    let told: Vec<&Value> =
        log.iter().filter(|line| line["reason"] == "password_too_long_for_bcrypt").collect();
    assert_eq!(told.len(), 1, "{log:#?}");
    assert!(!told[0].to_string().contains("xxx"), "{told:?}");
}

const KEY_A: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const KEY_B: &str = "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// A house with these peppers, newest first.
fn pepper(house: &House, plain: &str, peppers: &[(&str, &str)]) {
    let tables: String = peppers
        .iter()
        .map(|(id, key)| format!("[[login.peppers]]\nid = \"{id}\"\nkey = \"{key}\"\n"))
        .collect();
    house.write("gateway.toml", &plain.replace("[upstreams.app]", &format!("{tables}[upstreams.app]")));
}

#[tokio::test(flavor = "multi_thread")]
async fn pepper_is_rotated_by_signing_in() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    let plain = std::fs::read_to_string(house.path("gateway.toml")).expect("text");
    house.add("ada", &[]);
    house.add("bob", &[]);
    import_csv(&house, [("eve".to_owned(), String::new())]);
    let starts = |name: &str, start: &str| {
        let stored = hashes(&house);
        let hash = &stored.iter().find(|(known, _)| known == name).expect("a user").1;
        assert!(hash.starts_with(start), "{name}: {hash}");
    };
    let (none, a, b) =
        (format!("{CURRENT}$"), format!("{CURRENT},keyid=YQ$"), format!("{CURRENT},keyid=Yg$"));

    pepper(&house, &plain, &[("a", KEY_A)]);
    let gateway = house.serve();
    gateway.login("ada").await;
    starts("ada", &a);
    starts("bob", &none);
    assert_eq!(refused(&gateway, "ada", "a wrong one").await.0, 401);
    // A command hashes with the pepper too.
    house.run_with(&["user", "passwd", "bob", "--password-stdin"], crate::house::PASSWORD).good();
    starts("bob", &a);
    gateway.stop();

    pepper(&house, &plain, &[("b", KEY_B), ("a", KEY_A)]);
    let mut expected = vec![
        (json!("argon2id"), json!("a"), json!("renewed at the next sign-in"), json!(2)),
        (json!("argon2id"), Value::Null, json!("no password"), json!(1)),
    ];
    assert_eq!(counts(&house), expected);
    let gateway = house.serve();
    gateway.login("ada").await;
    starts("ada", &b);
    starts("bob", &a);
    gateway.stop();

    // `a` is still needed: no start, and nobody is told that the password is wrong.
    pepper(&house, &plain, &[("b", KEY_B)]);
    let complaint = house.run(&["serve"]).complaints().join("\n");
    let says =
        "login.peppers: the passwords of 1 users were hashed with the pepper `a`, which is not configured";
    assert!(complaint.contains(says) && complaint.contains("`doorward vault passwords`"), "{complaint}");
    assert!(!complaint.contains(&KEY_B[..8]), "{complaint}");
    expected.insert(0, (json!("argon2id"), json!("b"), json!("current"), json!(1)));
    expected[1].2 = json!("pepper missing");
    expected[1].3 = json!(1);
    let mut found = counts(&house);
    found.sort_by_key(|count| format!("{count:?}"));
    expected.sort_by_key(|count| format!("{count:?}"));
    assert_eq!(found, expected);

    pepper(&house, &plain, &[("b", KEY_B), ("a", KEY_A)]);
    let gateway = house.serve();
    gateway.login("bob").await;
    starts("bob", &b);
    gateway.stop();
    pepper(&house, &plain, &[("b", KEY_B)]);
    let gateway = house.serve();
    gateway.login("ada").await;
    gateway.login("bob").await;

    // Another gateway wrote a hash with a pepper that this one has not.
    pepper(&house, &plain, &[("c", KEY_A), ("b", KEY_B)]);
    house.run_with(&["user", "passwd", "bob", "--password-stdin"], crate::house::PASSWORD).good();
    assert_eq!(refused(&gateway, "bob", crate::house::PASSWORD).await, (503, "store_unavailable".into()));
    assert_eq!(refused(&gateway, "bob", "a wrong one").await, (503, "store_unavailable".into()));
    let log = gateway.log();
    let told: Vec<&Value> = log.iter().filter(|line| line["reason"] == "pepper_missing").collect();
    assert_eq!((told.len(), &told[0]["pepper"]), (2, &json!("c")), "{told:?}");
    assert!(!format!("{log:?}").contains(&KEY_B[..8]));
}

/// Users of the large import.
const MANY: usize = 100_000;
/// Maximum resident memory of the import in KiB: the program itself takes half of it.
const MEMORY_KIB: u64 = 96 << 10;

/// Runs its arguments, and prints their maximum resident memory in KiB on standard error.
const MEASURE: &str = r#"
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn hundred_thousand_users_are_imported_with_bounded_memory() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    let rows: String = (0..MANY)
        .map(|number| {
            let (_, hash) = HASHES[number % HASHES.len()];
            format!("user{number},\"{hash}\",user{number}@example.org,User {number},staff\n")
        })
        .collect();
    house.write("users.csv", &format!("login,password_hash,email,name,roles\n{rows}"));
    let file = house.path("users.csv").display().to_string();
    let inner = house.command(&["user", "import", &file, "--from", "csv"]);
    let mut measured = Command::new("python3");
    measured.args(["-c", MEASURE]).arg(inner.get_program()).args(inner.get_args());
    let started = tokio::time::Instant::now();
    let done = process::run_for(&mut measured, "", 20 * process::PATIENCE);
    let took = started.elapsed();
    let created =
        format!("users read: {MANY}; created: {MANY}; updated: 0; unchanged: 0; refused: 0; skipped: 0\n");
    assert!(done.code == Some(0) && done.out.starts_with(&created), "{done:?}");
    let memory: u64 = done.err.trim().parse().expect("KiB");
    crate::measured::measured(format_args!("import of {MANY} users: {took:?}, {memory} KiB"));
    assert!(memory < MEMORY_KIB, "{memory} KiB");

    let gateway = house.serve();
    for number in (0..MANY).step_by(MANY / 22 + 1) {
        let name = format!("user{number}");
        assert_eq!(sign_in(&gateway, &name, PASSWORD).await.status, 200, "{name}");
    }
    let renewed = counts(&house).into_iter().find(|(_, _, state, _)| state == "current").expect("renewed");
    assert_eq!(renewed, (json!("argon2id"), Value::Null, json!("current"), json!(22)));
}
