//! Content of the stores: dumped completely and searched for secrets; also the lifetimes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward::token::seal::MasterSecret;
use doorward::vault::{KeyUse, REVOCATION_LIFE};

use crate::load::ask;
use crate::support::PASSWORD;
use crate::support::gateway::Tokens;
use crate::world::World;

const NAME: &str = "countess.of.lovelace";

/// Encoding in which `dump` holds `needle`: raw, hexadecimal or base64url.
fn find(dump: &[u8], needle: &[u8]) -> Option<&'static str> {
    let hex: String = needle.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = URL_SAFE_NO_PAD.encode(needle);
    let forms =
        [("as it is", needle.to_vec()), ("in hexadecimal", hex.into()), ("in base64url", base64.into())];
    let found = forms.iter().find(|(_, form)| dump.windows(form.len()).any(|window| window == form));
    found.map(|(how, _)| *how)
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_hold_no_plain_secrets_and_redis_no_names() {
    let world = World::start().await;
    let replica = world.replica("").await;
    replica.gateway.user(NAME, &["staff"]).await;
    let first = replica.gateway.login(NAME).await;
    let second = Tokens::of(&replica.gateway.refresh(&first.refresh).await);
    let ended = replica.gateway.login(NAME).await;
    assert_eq!(ask(replica.gateway.address(), &second.access).await, 200);
    replica.gateway.post("/auth/logout", Some(&ended.access), &serde_json::json!(null)).await;
    replica.gateway.command(&["key", "rotate"]).await;

    let (redis, postgres) = (world.redis.dump().await, world.postgres.dump());
    let session: doorward::id::SessionId = first.session.parse().expect("an id");
    assert!(find(&redis, first.session.as_bytes()).is_some(), "the dump of Redis holds its sessions");
    assert!(find(&postgres, NAME.as_bytes()).is_some(), "the dump of Postgres holds its users");
    assert!(!redis.is_empty() && session.as_bytes().len() == 16);

    let mut secrets: Vec<(String, Vec<u8>)> = vec![
        ("the password".into(), PASSWORD.into()),
        ("the master key".into(), URL_SAFE_NO_PAD.decode(world.master_key()).expect("base64url")),
    ];
    for tokens in [&first, &second, &ended] {
        let access = tokens.access.rsplit_once('.').expect("a JWT").1;
        secrets
            .push(("the signature of an access token".into(), URL_SAFE_NO_PAD.decode(access).expect("it")));
        let refresh = URL_SAFE_NO_PAD.decode(&tokens.refresh).expect("base64url");
        // Version, kid, family (16 bytes), generation (4), MAC (16).
        secrets.push(("a family id".into(), refresh[2..18].to_vec()));
        secrets.push(("the MAC of a refresh token".into(), refresh[22..].to_vec()));
    }
    let master = MasterSecret::parse(world.master_key(), "the test").expect("a key");
    for key in replica.gateway.vault.keys.load().await.expect("keys").keys {
        let key_use = match key.key_use {
            KeyUse::Access => "access",
            KeyUse::Refresh => "refresh",
        };
        let name = format!("{key_use}/{}/{}", key.kid, key.algorithm);
        let material = master.open(&key.sealed, &name).expect("opened");
        let material = material.expose();
        // Only the last bytes: earlier ones may be a header shared by all keys.
        secrets.push((format!("key {name}"), material[material.len() - 16..].to_vec()));
    }
    assert!(secrets.len() >= 2 + 9 + 4, "{}", secrets.len());
    for (what, secret) in &secrets {
        assert_eq!(find(&redis, secret), None, "{what} lies in Redis");
        assert_eq!(find(&postgres, secret), None, "{what} lies in Postgres");
    }
    assert_eq!(find(&redis, NAME.as_bytes()), None, "a name lies in Redis");
    for key in world.redis.keys().await {
        let id = key.strip_prefix("dw:s:").expect("the shape of every key");
        assert_eq!(URL_SAFE_NO_PAD.decode(id).expect("base64url").len(), 16);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn record_lifetime_matches_token_and_tombstone_the_longest() {
    let world = World::start().await;
    let replica = world.replica("").await;
    replica.gateway.user(NAME, &[]).await;
    // Token lifetime, allowed excess, and a margin for the duration of the test.
    let (life, more, busy) = (Duration::from_secs(900), Duration::from_secs(70), Duration::from_secs(10));
    let tokens = replica.gateway.login(NAME).await;
    let stays = world.redis.stays(&tokens.session).await;
    assert!(stays > life - busy && stays < life + more, "{stays:?}");
    world.redis.leave(&tokens.session, life / 3).await;
    let next = Tokens::of(&replica.gateway.refresh(&tokens.refresh).await);
    let stays = world.redis.stays(&next.session).await;
    assert!(stays > life - busy && stays < life + more, "{stays:?}");
    replica.gateway.post("/auth/logout", Some(&next.access), &serde_json::json!(null)).await;
    let stays = world.redis.stays(&next.session).await;
    assert!(stays > REVOCATION_LIFE - busy && stays <= REVOCATION_LIFE, "{stays:?}");
}
