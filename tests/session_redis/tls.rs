//! Behind TLS: who signed it and for which name counts.

use std::time::Duration;

use doorward::config::{RedisTopology, RedisUrl, StoreHost};
use doorward::id::SystemRandom;
use doorward::session::SessionStore;
use doorward::session::redis::{RedisOptions, RedisStore};

use crate::eventually::assert_eventually;
use crate::servers::{self, Certificates};
use crate::{SOON, assert_answers, captured, options, session, start, text};

#[tokio::test]
async fn only_the_right_authority_and_the_right_name_are_trusted() {
    let (lines, _guard) = captured();
    let (right, wrong, port) = (Certificates::new(), Certificates::new(), servers::free_port());
    let _server = right.server(port).await;
    let with = |name: &str, authority: &Certificates| {
        let host = StoreHost { name: name.to_owned(), port };
        let url = RedisUrl { tls: true, ..servers::url(RedisTopology::Single(host)) };
        RedisOptions { ca_file: Some(authority.authority()), ..options(url) }
    };
    for (name, authority, cause) in
        [("localhost", &wrong, "UnknownIssuer"), ("127.0.0.1", &right, "not valid for name")]
    {
        let refused = start(with(name, authority));
        assert_eventually(cause, SOON, async || text(&lines).contains(cause)).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        refused.check(session()).await.expect_err("not trusted");
    }
    assert_answers(&start(with("localhost", &right))).await;
}

#[tokio::test]
async fn an_unusable_authority_is_told_at_once() {
    let host = StoreHost { name: "localhost".to_owned(), port: 6379 };
    let url = RedisUrl { tls: true, ..servers::url(RedisTopology::Single(host)) };
    let folder = servers::folder("authority");
    std::fs::write(folder.join("broken.pem"), "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
        .expect("written");
    std::fs::write(folder.join("empty.pem"), "").expect("written");
    for name in ["missing.pem", "broken.pem", "empty.pem"] {
        let options = RedisOptions { ca_file: Some(folder.join(name)), ..options(url.clone()) };
        let refused = RedisStore::start(options, std::sync::Arc::new(SystemRandom)).err();
        let text = refused.unwrap_or_else(|| panic!("{name} was taken")).to_string();
        assert!(text.contains("sessions.ca_file"), "{name}: {text}");
    }
}
