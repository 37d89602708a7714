//! `tokens.encrypted_claims`: what holders of the key, with foreign libraries, and nobody else read in access tokens.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use doorward::id::{Random, SystemRandom, base64url, from_base64url};
use serde_json::{Value, json};

use super::assertion::{run, set_up};
use crate::browser::{Browser, later};
use crate::support::gateway::{ROUTES, SOON, Tokens};
use crate::support::{Setup, TestGateway, assert_eventually};

/// Route whose app gets the access token.
const API: &str = "[[routes]]\nname = \"api\"\npath = \"/api\"\naccess = \"signed-in\"\nupstream = \"app\"\nforward_bearer = true\n";

/// Setting of a shared key in the file `claims.key`.
pub(crate) const SHARED: &str =
    "encrypted_claims = { claims = [\"email\", \"name\"], key_file = \"claims.key\" }";

fn openssl(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("openssl");
    let done = command.args(arguments).current_dir(folder).output().expect("`openssl` is missing");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Writes a new shared key to a file.
pub(crate) fn write_key(folder: &Path, file: &str) {
    let random: &dyn Random = &SystemRandom;
    std::fs::write(folder.join(file), base64url(random.bytes::<32>()) + "\n").expect("written");
}

/// Writes a key pair of an app, as docs/sign-in.md says: `NAME.pem`, `NAME.pub.pem` and `NAME.jwk`, which has a `kid`.
fn write_pair(folder: &Path, name: &str) {
    let [private, public] = ["pem", "pub.pem"].map(|ending| format!("{name}.{ending}"));
    let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    openssl(folder, &[&["genpkey"], &curve[..], &["-out", &private]].concat());
    openssl(folder, &["pkey", "-in", &private, "-pubout", "-out", &public]);
    openssl(folder, &["pkey", "-in", &private, "-pubout", "-outform", "DER", "-out", "pub.der"]);
    let der = std::fs::read(folder.join("pub.der")).expect("written");
    let [x, y] = [64, 32].map(|from_end| base64url(&der[der.len() - from_end..][..32]));
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "wiki-2026" });
    std::fs::write(folder.join(format!("{name}.jwk")), jwk.to_string()).expect("written");
}

/// A folder with the shared keys `claims.key` and `other.key` and the pairs `app` and `other`.
fn keys() -> Arc<tempfile::TempDir> {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["claims.key", "other.key"] {
        write_key(folder.path(), name);
    }
    for name in ["app", "other"] {
        write_pair(folder.path(), name);
    }
    Arc::new(folder)
}

async fn gateway(setting: &str) -> TestGateway {
    let (folder, routes) = (Some(keys()), format!("{ROUTES}{API}"));
    TestGateway::with(Setup { folder, routes, tokens: setting.to_owned(), ..Setup::default() }).await
}

/// Libraries that apps open the claims with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Library {
    Joserfc,
    Jose,
}

const LIBRARIES: [Library; 2] = [Library::Joserfc, Library::Jose];

/// Verifies an access token and opens its claims with the key in a file of the gateway's folder; `null` if there are none. The error
/// is what the library prints.
pub(crate) async fn open(
    library: Library,
    gateway: &TestGateway,
    key_file: &str,
    token: &str,
) -> Result<Value, String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/forwarding/encrypted_claims");
    let mut command = match library {
        Library::Joserfc => {
            let mut command = Command::new(set_up("bin/python"));
            command.arg(scripts.join("open.py"));
            command
        }
        Library::Jose => {
            let mut command = Command::new("node");
            command.arg(scripts.join("open.js")).arg(set_up("node/jose"));
            command
        }
    };
    command.arg(gateway.folder.path().join(key_file));
    command.arg(format!("http://{}/.well-known/jwks.json", gateway.address()));
    command.args(["http://gateway.test", "doorward"]);
    run(command, token).await
}

/// Opens the claims of a token without those that bind them to it, which the libraries compare.
async fn attributes(gateway: &TestGateway, key_file: &str, token: &str) -> Value {
    let mut claims = open(Library::Jose, gateway, key_file, token).await.expect("opened");
    for name in ["sub", "sid", "iat"] {
        assert!(claims.as_object_mut().expect("claims").remove(name).is_some(), "{name}");
    }
    claims
}

fn ada(email: &str) -> Value {
    json!({ "email": email, "email_verified": true, "name": "Ada Lovelace, née Byron" })
}

fn claims_of(token: &str) -> Value {
    let segment = from_base64url(token.split('.').nth(1).expect("three segments")).expect("base64url");
    serde_json::from_slice(&segment).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_libraries_open_the_claims_with_their_key_alone() {
    for (key, opens, others) in [
        ("key_file = \"claims.key\"", "claims.key", ["other.key", "app.pem"]),
        ("recipient_key_file = \"app.pub.pem\"", "app.pem", ["other.pem", "claims.key"]),
        ("recipient_key_file = \"app.jwk\"", "app.pem", ["other.pem", "claims.key"]),
    ] {
        let setting = format!("encrypted_claims = {{ claims = [\"login\", \"email\", \"name\"], {key} }}");
        let gateway = gateway(&setting).await;
        let id = gateway.user("ada", &["admin"]).await;
        gateway.describe(id, "Ada@example.org", true, "Ada Lovelace, née Byron").await;
        let tokens = gateway.login("ada").await;
        assert_eq!(gateway.call("GET", "/api/x", &tokens.access).await.status, 200);
        let forwarded = gateway.app.last().header("authorization").expect("the token");
        assert_eq!(forwarded, format!("Bearer {}", tokens.access));

        let mut expected = ada("Ada@example.org");
        expected["login"] = json!("ada");
        expected["sub"] = json!(id.to_string());
        expected["sid"] = json!(tokens.session);
        expected["iat"] = claims_of(&tokens.access)["iat"].clone();
        for library in LIBRARIES {
            let opened = open(library, &gateway, opens, &tokens.access).await.expect("opened");
            assert_eq!(opened, expected, "{library:?}");
            for other in others {
                open(library, &gateway, other, &tokens.access).await.expect_err("another key");
            }
        }
        // Nothing of it can be read without a key, and it is no access token.
        let claims = claims_of(&tokens.access);
        let jwe = claims["encrypted_claims"].as_str().expect("a JWE");
        let segments = jwe.split('.').map(|segment| from_base64url(segment).expect("base64url"));
        for bytes in segments.chain([claims.to_string().into_bytes()]) {
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            assert!(!text.contains("lovelace") && !text.contains("example.org"), "{text}");
        }
        assert_eq!(gateway.call("GET", "/api/x", jwe).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_new_token_states_the_attributes_of_its_time() {
    let gateway = gateway(SHARED).await;
    let id = gateway.user("ada", &[]).await;
    gateway.describe(id, "ada@example.org", true, "Ada Lovelace, née Byron").await;
    let (first, mut browser) = (gateway.login("ada").await, Browser::signed_in(&gateway, "ada").await);
    for token in [first.access.as_str(), browser.access()] {
        assert_eq!(attributes(&gateway, "claims.key", token).await, ada("ada@example.org"));
    }

    gateway.describe(id, "ada@example.com", true, "Ada Lovelace, née Byron").await;
    assert_eventually("the old token is refused", SOON, async || {
        gateway.call("GET", "/api/x", &first.access).await.status == 401
    })
    .await;
    let next = Tokens::of(&gateway.refresh(&first.refresh).await);
    assert_eq!(attributes(&gateway, "claims.key", &next.access).await, ada("ada@example.com"));
    // A repeat within the grace gets an equivalent token.
    let again = Tokens::of(&gateway.refresh(&first.refresh).await);
    assert_eq!(attributes(&gateway, "claims.key", &again.access).await, ada("ada@example.com"));
    let jwe = |token: &str| claims_of(token)["encrypted_claims"].clone();
    assert_ne!(jwe(&again.access), jwe(&next.access), "each token is encrypted for itself");

    // The browser's token is renewed within a request, and a page view rotates its refresh token once a day.
    for (hours, rotates) in [(0, false), (9, false), (9, false), (9, true)] {
        let before = (browser.access().to_owned(), browser.refresh().to_owned());
        later(&gateway, Duration::from_hours(hours)).await;
        assert_eq!(browser.go("/page").await.status, 200);
        assert_ne!(browser.access(), before.0);
        assert_eq!(browser.refresh() != before.1, rotates);
        assert_eq!(attributes(&gateway, "claims.key", browser.access()).await, ada("ada@example.com"));
        assert!(browser.access().len() < 4000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_attributes_are_absent_and_without_any_there_is_no_claim() {
    let gateway = gateway(SHARED).await;
    let (ada, _) = (gateway.user("ada", &[]).await, gateway.user("bob", &[]).await);
    gateway.describe(ada, "ada@example.org", false, "").await;
    let token = gateway.login("ada").await.access;
    let expected = json!({ "email": "ada@example.org", "email_verified": false });
    assert_eq!(attributes(&gateway, "claims.key", &token).await, expected);
    let token = gateway.login("bob").await.access;
    for library in LIBRARIES {
        assert_eq!(open(library, &gateway, "claims.key", &token).await, Ok(Value::Null), "{library:?}");
    }
    assert_eq!(gateway.call("GET", "/api/x", &token).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_applies_another_key_to_the_next_token_and_keeps_the_old_ones() {
    let mut gateway = gateway(SHARED).await;
    let _reloads = gateway.follow();
    let id = gateway.user("ada", &[]).await;
    gateway.describe(id, "ada@example.org", true, "Ada Lovelace, née Byron").await;
    let first = gateway.login("ada").await;
    // A new key in the same file.
    let before = gateway.metric("doorward_config_generation").await;
    let folder = gateway.folder.path().to_owned();
    std::fs::rename(folder.join("claims.key"), folder.join("first.key")).expect("renamed");
    std::fs::rename(folder.join("other.key"), folder.join("claims.key")).expect("renamed");
    assert_eventually("the new key is in force", SOON, async || {
        gateway.metric("doorward_config_generation").await > before
    })
    .await;
    let second = gateway.login("ada").await;
    assert_eq!(attributes(&gateway, "claims.key", &second.access).await, ada("ada@example.org"));
    assert_eq!(attributes(&gateway, "first.key", &first.access).await, ada("ada@example.org"));
    for library in LIBRARIES {
        open(library, &gateway, "first.key", &second.access).await.expect_err("encrypted with the new key");
    }

    gateway.reconfigure(|text| text.replace("\"email\", \"name\"", "\"email\"")).await;
    let third = Tokens::of(&gateway.refresh(&second.refresh).await);
    let expected = json!({ "email": "ada@example.org", "email_verified": true });
    assert_eq!(attributes(&gateway, "claims.key", &third.access).await, expected);

    gateway.reconfigure(|text| text.replace("encrypted_claims", "#encrypted_claims")).await;
    let last = Tokens::of(&gateway.refresh(&third.refresh).await);
    assert_eq!(open(Library::Joserfc, &gateway, "claims.key", &last.access).await, Ok(Value::Null));
    for tokens in [&first, &second, &third, &last] {
        assert_eq!(gateway.call("GET", "/api/x", &tokens.access).await.status, 200);
    }
}
