//! Secrets of second factors: in no log, metric, response or Redis, and in the vault sealed or hashed only.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use doorward::id::{Random, SystemRandom, base64url};

use super::{App, codes_on, enter, with_app};
use crate::browser::{Browser, hidden, with};
use crate::identity::log::{capture, captured};
use crate::identity::stores::monitor;
use crate::postgres::{self, Server};
use crate::redis::{NONE, RedisServer};
use crate::support::{PASSWORD, Setup, TestGateway};

/// Returns true if `text` has these bytes: raw, in hexadecimal or in base64.
fn has(text: &[u8], secret: &[u8]) -> bool {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let standard = STANDARD_NO_PAD.encode(secret);
    let forms = [secret.to_vec(), hex.into(), standard.into(), URL_SAFE_NO_PAD.encode(secret).into()];
    forms.iter().any(|form| text.windows(form.len()).any(|window| window == &form[..]))
}

/// What was secret in a run, and what clients were told that were refused.
struct Run {
    secrets: Vec<(&'static str, Vec<u8>)>,
    refusals: Vec<String>,
}

impl Run {
    /// Enrols an app, signs in with it and with a recovery code, and fails at both.
    async fn of(gateway: &TestGateway) -> Self {
        gateway.user("ada", &[]).await;
        let (mut here, app, codes) = with_app(gateway, "ada").await;
        let mut waiting = Browser::new(gateway);
        waiting.sign_in("ada", PASSWORD, "/auth/login", &[]).await;
        let pending = waiting.cookies["__Host-doorward-pending"].clone();
        let mut refusals = vec![enter(&mut waiting, &app.wrong(gateway)).await.text()];
        let page = here.go("/auth/totp").await;
        let offered = App::set_up(&page);
        let fields = with(&hidden(&page), "code", "000000x");
        refusals.push(here.post("/auth/totp", &fields).await.text());
        let entered = enter(&mut waiting, &codes[0]).await;
        assert_eq!(entered.status, 303, "{}", entered.text());
        assert!(codes_on(&here.go("/auth/account").await).is_empty(), "shown once");

        let mut secrets: Vec<(&str, Vec<u8>)> = vec![
            ("the key of the app", app.0.bytes().to_vec()),
            ("the key of the app as text", app.0.base32().expose().clone().into_bytes()),
            ("an offered key", offered.0.bytes().to_vec()),
            ("the secret of the waiting sign-in", pending.into_bytes()),
        ];
        assert_eq!(codes.len(), 10);
        for code in codes {
            secrets.push(("a recovery code without signs", code.replace('-', "").into_bytes()));
            secrets.push(("a recovery code", code.into_bytes()));
        }
        Self { secrets, refusals }
    }

    /// Fails the test if a secret lies in one of `places`, in the log, in the metrics or in a refusal.
    async fn assert_kept(&self, gateway: &TestGateway, places: &[(&str, Vec<u8>)]) {
        let (metrics, log) = (gateway.probe("/metrics").await.text(), captured());
        assert!(log.contains("factor_added") && metrics.contains("doorward_"), "they are what they seem");
        for (what, secret) in &self.secrets {
            for (place, content) in places {
                assert!(!has(content, secret), "{what} lies in {place}");
            }
            assert!(!has(log.as_bytes(), secret), "{what} is in the log");
            assert!(!has(metrics.as_bytes(), secret), "{what} is in the metrics");
            let told = self.refusals.iter().find(|text| has(text.as_bytes(), secret));
            assert_eq!(told, None, "{what} is in a response");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_factors_are_sealed_in_sqlite_and_never_logged() {
    capture();
    let gateway = TestGateway::start().await;
    let run = Run::of(&gateway).await;
    let files = std::fs::read_dir(gateway.folder.path()).expect("the folder").flatten();
    // The file and its log of writes.
    let of_vault = files.filter(|file| file.file_name().to_string_lossy().contains(".db"));
    let vault: Vec<u8> = of_vault.flat_map(|file| std::fs::read(file.path()).expect("a file")).collect();
    assert!(has(&vault, b"ada"), "the users are in it");
    run.assert_kept(&gateway, &[("the vault", vault)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_factors_are_sealed_in_postgres_and_never_in_redis() {
    capture();
    let redis = RedisServer::start(NONE).await;
    let started = tokio::task::spawn_blocking(|| {
        let server = Server::start("");
        let database = server.database();
        (Arc::new(server), database)
    });
    let (server, database) = started.await.expect("a server");
    let random: &dyn Random = &SystemRandom;
    let url = postgres::url(&format!("127.0.0.1:{}", server.port), &database);
    let master_key = base64url(random.bytes::<32>());
    let vault = format!("url = \"{url}\"\nmaster_key = \"{master_key}\"\nstatement_timeout = \"60s\"");
    let sessions = format!("url = \"redis://127.0.0.1:{}/0\"", redis.port);
    let gateway = TestGateway::with(Setup { vault, sessions, ..Setup::default() }).await;
    let commands = monitor(redis.port).await;
    let run = Run::of(&gateway).await;

    let dump = tokio::task::spawn_blocking(move || {
        let tables = server.psql(&database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
        let rows = |table: &str| server.psql(&database, &format!("SELECT t::text FROM \"{table}\" t"));
        tables.lines().map(str::trim).filter(|table| !table.is_empty()).map(rows).collect::<String>()
    });
    let vault = dump.await.expect("a dump").into_bytes();
    let commands = commands.lock().expect("not poisoned").clone();
    assert!(has(&vault, b"ada") && has(&commands, b"dw:s:"), "they are what they seem");
    run.assert_kept(&gateway, &[("the vault", vault), ("Redis", commands)]).await;
}
