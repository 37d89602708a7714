//! T31-T40, T44, T45 over real sockets: forged, foreign, misused and expired tokens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use doorward::auth::keys;
use doorward::clock::{Clock, Timestamp};
use doorward::config::Algorithm;
use doorward::id::{SessionId, SystemRandom, UserId, base64url, from_base64url};
use doorward::identity::{Attributes, ClientKind, RightsVersion, Roles};
use doorward::session::{Record, SessionStore};
use doorward::token::access::{self, Profile, Subject};
use doorward::token::keyring::{KeySet, OpenKey};
use doorward::token::seal::MasterSecret;
use doorward::vault::UserChange;
use serde_json::{Value, json};

use crate::refusals::assert_refused;
use crate::support::gateway::{SOON, Tokens};
use crate::support::http::Client;
use crate::support::{Faults, Op, Setup, TestGateway, assert_eventually};

/// The gateway's own keys, as if vault and master secret were stolen.
pub(crate) async fn stolen_keys(gateway: &TestGateway) -> KeySet {
    let master = MasterSecret::read(&gateway.folder.path().join("master.key")).expect("the master secret");
    keys::establish(&gateway.vault, &master, Algorithm::EdDsa, &SystemRandom).await.expect("the keys")
}

/// A hand-made token.
pub(crate) struct Forger {
    profile: Profile,
    pub(crate) subject: Subject,
    now: Timestamp,
}

impl Forger {
    pub(crate) fn new(gateway: &TestGateway, user_id: UserId) -> Self {
        let profile = Profile {
            issuer: "http://gateway.test".into(),
            audience: "doorward".into(),
            ttl: Duration::from_secs(900),
            encrypted_claims: None,
        };
        let roles = Roles::parse(["admin"]).expect("roles");
        let session_id = SessionId::random(&SystemRandom);
        let (rights, attributes) = (RightsVersion(0), Attributes::NONE);
        let subject = Subject {
            session_id,
            user_id,
            roles,
            rights,
            generation: 0,
            login: None,
            attributes,
            proof: doorward::identity::Proof::NONE,
        };
        Self { profile, subject, now: gateway.clock.wall() }
    }

    pub(crate) fn token(&self, keys: &KeySet) -> String {
        let ends_at = self.now + Duration::from_secs(86_400);
        let issued = access::issue(&self.profile, &self.subject, self.now, ends_at, keys, &SystemRandom);
        issued.expect("a key").token.expose().clone()
    }
}

fn segments(token: &str) -> [String; 3] {
    let all: Vec<String> = token.split('.').map(str::to_owned).collect();
    all.try_into().expect("three segments")
}

fn decoded(segment: &str) -> Value {
    serde_json::from_slice(&from_base64url(segment).expect("base64url")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn token_with_foreign_header_or_signature_is_refused() {
    // T31-T34: the claims always belong to a live session.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &["admin"]).await;
    let tokens = gateway.login("ada").await;
    assert_eq!(gateway.call("GET", "/admin", &tokens.access).await.status, 200, "the original is good");
    let [header, claims, signature] = segments(&tokens.access);
    let ours = decoded(&header);
    let mut forged = Vec::new();
    for change in [
        json!({ "alg": "none" }),
        json!({ "alg": "None" }),
        json!({ "alg": "nOnE" }),
        json!({ "alg": ["EdDSA"] }),
        json!({ "alg": "ES256" }),
        json!({ "typ": "JWT" }),
        json!({ "typ": "rt+jwt" }),
        json!({ "kid": "../../dev/null" }),
        json!({ "kid": "' OR 1=1 --" }),
        json!({ "kid": "k".repeat(4000) }),
        json!({ "jku": "http://127.0.0.1:1/" }),
        json!({ "x5u": "http://127.0.0.1:1/" }),
        json!({ "crit": ["b64"], "b64": false }),
        json!({ "zip": "DEF" }),
    ] {
        let mut header = ours.clone();
        header.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let header = base64url(header.to_string());
        forged.extend([format!("{header}.{claims}."), format!("{header}.{claims}.{signature}")]);
    }
    for sig in [
        "",
        "AA",
        &base64url([0; 64]),
        &base64url([0xff; 64]),
        &signature[1..],
        &format!("{signature}AA"),
        &format!("{signature}="),
    ] {
        forged.push(format!("{header}.{claims}.{sig}"));
    }
    let mut promoted = decoded(&claims);
    promoted["roles"] = json!(["admin", "root"]);
    forged.push(format!("{header}.{}.{signature}", base64url(promoted.to_string())));
    forged.extend([
        format!("{header}.{claims}"),
        claims.clone(),
        format!(".{claims}.{signature}"),
        format!("{}.x", tokens.access),
    ]);
    forged.extend((1..tokens.access.len()).step_by(23).map(|end| tokens.access[..end].to_owned()));
    let before = gateway.app.seen().len();
    for token in &forged {
        assert_refused(&gateway.call("GET", "/", token).await, 401, "token_invalid");
    }
    assert_eq!(gateway.app.seen().len(), before);
    assert_eq!(gateway.call("GET", "/admin", &tokens.access).await.status, 200, "and nobody was signed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn hmac_with_the_public_key_is_refused() {
    // T31: HS256 with the public key as the secret, in every published form.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &["admin"]).await;
    let [header, claims, _] = segments(&gateway.login("ada").await.access);
    let jwks = gateway.get("/.well-known/jwks.json", &[]).await;
    let key = jwks.json()["keys"][0].clone();
    let x = key["x"].as_str().expect("the key");
    let confused = base64url(json!({ "alg": "HS256", "kid": key["kid"], "typ": "at+jwt" }).to_string());
    for secret in [
        from_base64url(x).expect("base64url"),
        x.as_bytes().to_vec(),
        key.to_string().into_bytes(),
        jwks.body.clone(),
    ] {
        for header in [&header, &confused] {
            let message = format!("{header}.{claims}");
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
            let refused = gateway.call("GET", "/", &format!("{message}.{}", base64url(tag))).await;
            assert_refused(&refused, 401, "token_invalid");
        }
    }
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_of_another_issuer_or_audience_is_refused() {
    // T36, T37.
    let (gateway, other) = (TestGateway::start().await, TestGateway::start().await);
    let user = gateway.user("ada", &["admin"]).await;
    other.user("ada", &["admin"]).await;
    let keys = stolen_keys(&gateway).await;
    let mut forged = vec![other.login("ada").await.access];
    let own = KeySet::new(
        1,
        &[OpenKey::access(Algorithm::EdDsa, &SystemRandom)],
        &[],
        &MasterSecret::random(&SystemRandom),
    )
    .expect("a key");
    forged.push(Forger::new(&gateway, user).token(&own));
    for (issuer, audience) in [
        ("http://gateway.test/", "doorward"),
        ("http://gateway.tes", "doorward"),
        ("http://gateway.test.evil", "doorward"),
        ("http://gateway.test", "other"),
        ("http://gateway.test", "doorward "),
    ] {
        let mut forger = Forger::new(&gateway, user);
        forger.profile.issuer = issuer.into();
        forger.profile.audience = audience.into();
        forged.push(forger.token(&keys));
    }
    // T35: issued in the future.
    let mut forger = Forger::new(&gateway, user);
    forger.now = forger.now + Duration::from_secs(60);
    forged.push(forger.token(&keys));
    for token in &forged {
        assert_refused(&gateway.call("GET", "/", token).await, 401, "token_invalid");
    }
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_signature_without_session_is_refused() {
    // T39: stolen signing keys still give no session.
    let gateway = TestGateway::start().await;
    let user = gateway.user("ada", &["admin"]).await;
    let bob = gateway.user("bob", &[]).await;
    let keys = stolen_keys(&gateway).await;
    assert_refused(
        &gateway.call("GET", "/", &Forger::new(&gateway, user).token(&keys)).await,
        401,
        "token_revoked",
    );
    assert_refused(
        &gateway.call("GET", "/", &Forger::new(&gateway, UserId::random(&SystemRandom)).token(&keys)).await,
        401,
        "token_revoked",
    );
    // A forged token cannot claim another user's live session.
    let live = gateway.login("ada").await;
    let mut forger = Forger::new(&gateway, bob);
    forger.subject.session_id = live.session.parse().expect("an id");
    assert_eq!(gateway.call("GET", "/", &forger.token(&keys)).await.status, 401);
    assert_eq!(gateway.app.seen().len(), 0);
    assert_eq!(gateway.call("GET", "/", &live.access).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_session_lookup_never_confirms_another_users_token() {
    let faults = Faults::new();
    let gateway = TestGateway::with(Setup { stores: faults.wrap(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let bob = gateway.user("bob", &[]).await;
    let live = gateway.login_elsewhere("ada").await;
    let mut forger = Forger::new(&gateway, bob);
    forger.subject.session_id = live.session.parse().expect("an id");
    let forged = forger.token(&stolen_keys(&gateway).await);
    // The vault has responded for the forged token, and that response is in flight when the owner's request arrives.
    let gate = faults.hold_after(Op::FindSession);
    let mut thief = Client::asking(gateway.address(), "/", &forged).await;
    gate.until_reached().await;
    let checks = faults.calls(Op::Check);
    let mut owner = Client::asking(gateway.address(), "/", &live.access).await;
    assert_eventually("the owner's waits as well", SOON, async || faults.calls(Op::Check) > checks).await;
    gate.open();
    assert_eq!(owner.response("GET").await.expect("an answer").status, 200);
    assert_refused(&thief.response("GET").await.expect("an answer"), 401, "token_revoked");
    assert_eq!(gateway.app.seen().len(), 1, "the owner's");
}

#[tokio::test(flavor = "multi_thread")]
async fn session_record_of_another_user_is_ignored() {
    // T39: as with a shared session store that learns of ada's session before this gateway.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let bob = gateway.user("bob", &[]).await;
    gateway.login("bob").await;
    let live = gateway.login_elsewhere("ada").await;
    let id = live.session.parse().expect("an id");
    let row = gateway.vault.sessions.find(id).await.expect("an answer").expect("the session");
    let idle = Some((row.grant.ends_at, ClientKind::Program));
    let record = Record { user_id: row.grant.user_id, expires_at: row.grant.expires_at, idle };
    gateway.sessions.fill(id, record, Duration::from_secs(900)).await.expect("a record");
    let mut forger = Forger::new(&gateway, bob);
    forger.subject.session_id = id;
    let forged = forger.token(&stolen_keys(&gateway).await);
    for _ in 0..2 {
        assert_refused(&gateway.call("GET", "/", &forged).await, 401, "token_revoked");
    }
    assert_eq!(gateway.app.seen().len(), 0);
    assert_eq!(gateway.call("GET", "/", &live.access).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_known_only_to_the_session_store_is_refused() {
    // T39: the vault is authoritative; the session store is a copy.
    let kept: Arc<Mutex<Option<Arc<dyn SessionStore>>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let gateway = TestGateway::with(Setup {
        stores: Box::new(move |stores| {
            *keep.lock().expect("not poisoned") = Some(Arc::clone(&stores.sessions));
            stores
        }),
        ..Setup::default()
    })
    .await;
    let user = gateway.user("ada", &["admin"]).await;
    let keys = stolen_keys(&gateway).await;
    let forger = Forger::new(&gateway, user);
    let sessions = kept.lock().expect("not poisoned").clone().expect("a store");
    let until = forger.now + Duration::from_secs(3600);
    let record = Record { user_id: user, expires_at: until, idle: Some((until, ClientKind::Program)) };
    sessions.fill(forger.subject.session_id, record, Duration::from_secs(3600)).await.expect("a record");
    for _ in 0..2 {
        assert_refused(&gateway.call("GET", "/", &forger.token(&keys)).await, 401, "token_revoked");
    }
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_deleted_or_disabled_users_are_refused() {
    // T45.
    let gateway = TestGateway::start().await;
    for (name, change) in [("ada", UserChange::Deleted), ("bob", UserChange::Disabled(true))] {
        let user = gateway.user(name, &["admin"]).await;
        let tokens = gateway.login(name).await;
        assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
        gateway.vault.users.change(user, &change).await.expect("a change");
        let refused = async || gateway.call("GET", "/", &tokens.access).await.status == 401;
        assert_eventually("the change is followed", SOON, refused).await;
        assert_refused(&gateway.call("GET", "/", &tokens.access).await, 401, "token_revoked");
        assert_refused(&gateway.refresh(&tokens.refresh).await, 401, "refresh_invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_token_is_refused_and_refresh_issues_another() {
    // T35.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (known, unseen) = (gateway.login("ada").await, gateway.login("ada").await);
    assert_eq!(gateway.call("GET", "/", &known.access).await.status, 200);
    gateway.clock.advance(Duration::from_secs(15 * 60 + 6));
    for tokens in [&known, &unseen] {
        assert_refused(&gateway.call("GET", "/", &tokens.access).await, 401, "token_expired");
        let fresh = Tokens::of(&gateway.refresh(&tokens.refresh).await);
        // The clock jumped past the lease, which is renewed at once.
        let accepted = async || gateway.call("GET", "/", &fresh.access).await.status == 200;
        assert_eventually("the new token is accepted", SOON, accepted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_token_kind_has_one_use() {
    // T37.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    assert_refused(&gateway.call("GET", "/", &tokens.refresh).await, 401, "token_invalid");
    let cookie = format!("__Host-doorward-access={}", tokens.refresh);
    assert_refused(&gateway.get("/", &[("Cookie", &cookie)]).await, 401, "token_invalid");
    let cookie = format!("__Host-doorward-refresh={}", tokens.access);
    assert_refused(&gateway.get("/", &[("Cookie", &cookie)]).await, 401, "token_missing");
    assert_refused(&gateway.refresh(&tokens.access).await, 401, "refresh_invalid");
    assert_refused(&gateway.refresh(&tokens.session).await, 401, "refresh_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_refresh_token_costs_no_query_and_ends_no_session() {
    // T44: every single bit, since a modified token that names the session must not revoke it.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let bytes = from_base64url(&tokens.refresh).expect("base64url");
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 1;
        assert_refused(&gateway.refresh(&base64url(&bent)).await, 401, "refresh_invalid");
    }
    for bad in
        [tokens.refresh[1..].to_owned(), format!("{}=", tokens.refresh), "A".repeat(51), "A".repeat(8000)]
    {
        assert_refused(&gateway.refresh(&bad).await, 401, "refresh_invalid");
    }
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200);
    assert_eq!(gateway.refresh(&tokens.refresh).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_in_query_or_body_is_not_a_credential() {
    // T38: RFC 9700 section 4.3.2.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let access = gateway.login("ada").await.access;
    for target in [
        format!("/x?access_token={access}"),
        format!("/x?token={access}"),
        format!("/auth/me?access_token={access}"),
    ] {
        assert_refused(&gateway.get(&target, &[]).await, 401, "token_missing");
    }
    let form = format!("access_token={access}");
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let refused =
        crate::support::http::request(gateway.address(), "POST", "/x", &headers, form.as_bytes()).await;
    assert_refused(&refused, 401, "token_missing");
    let headers = [("X-Access-Token", access.as_str()), ("Proxy-Authorization", access.as_str())];
    assert_refused(&gateway.get("/x", &headers).await, 401, "token_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_token_is_refused_before_any_work() {
    // T38, T27.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let access = gateway.login("ada").await.access;
    let long = format!("{access}{}", "A".repeat(8192));
    assert_refused(&gateway.call("GET", "/", &long).await, 401, "token_invalid");
    let longer = "A".repeat(64 * 1024);
    assert_refused(&gateway.call("GET", "/", &longer).await, 431, "header_too_large");
    let mut client = Client::connect(gateway.address()).await;
    client
        .try_send(
            format!(
                "GET / HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer {}\r\n\r\n",
                "A".repeat(1 << 20)
            )
            .as_bytes(),
        )
        .await;
    // The connection may be closed halfway through.
    if let Some(refused) = client.response("GET").await {
        assert!(matches!(refused.status, 400 | 431), "{}", refused.status);
    }
    assert_eq!(gateway.app.seen().len(), 0);
    assert_eq!(gateway.call("GET", "/", &access).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_forged_tokens_queries_no_store() {
    // T32: an unknown kid is looked up only in memory.
    let gateway = TestGateway::start().await;
    let user = gateway.user("ada", &["admin"]).await;
    let own = KeySet::new(
        1,
        &[OpenKey::access(Algorithm::EdDsa, &SystemRandom)],
        &[],
        &MasterSecret::random(&SystemRandom),
    )
    .expect("a key");
    for _ in 0..50 {
        assert_refused(
            &gateway.call("GET", "/", &Forger::new(&gateway, user).token(&own)).await,
            401,
            "token_invalid",
        );
    }
    assert_eq!(gateway.metric(r#"doorward_token_verifications_total{result="refused"}"#).await, 50.0);
    for from in ["vault", "session_store"] {
        let line = format!("doorward_session_confirmations_total{{source=\"{from}\"}}");
        assert_eq!(gateway.metric(&line).await, 0.0);
    }
}
