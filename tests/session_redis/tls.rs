//! TLS: the CA and the host name are verified.

use std::path::PathBuf;
use std::time::Duration;

use doorward::config::{RedisTopology, RedisUrl, StoreHost};
use doorward::id::SystemRandom;
use doorward::secret::Secret;
use doorward::session::redis::{RedisOptions, RedisStore};
use doorward::session::{Lookup, SessionStore};

use crate::eventually::assert_eventually;
use crate::log::{capture, captured};
use crate::servers::{self, Certificates, RedisServer};
use crate::{MINUTE, SOON, assert_answers, check, fill, options, record, revoke, session, start};

#[tokio::test]
async fn redis_tls_needs_matching_ca_and_name() {
    capture();
    let (right, wrong, port) = (Certificates::new(), Certificates::new(), servers::free_port());
    let _server = RedisServer::start(&right.settings(port)).await;
    let with = |name: &str, authority: &Certificates| {
        let host = StoreHost { name: name.to_owned(), port };
        let url = RedisUrl { tls: true, ..servers::url(RedisTopology::Single(host)) };
        RedisOptions { ca_file: Some(authority.authority()), ..options(url) }
    };
    for (name, authority, cause) in
        [("localhost", &wrong, "UnknownIssuer"), ("127.0.0.1", &right, "not valid for name")]
    {
        let refused = start(with(name, authority));
        assert_eventually(cause, SOON, async || captured().contains(cause)).await;
        let line = captured().lines().rfind(|line| line.contains(cause)).map(str::to_owned);
        assert!(line.as_ref().is_some_and(|line| line.contains("set sessions.ca_file")), "{line:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        refused.check(session()).await.expect_err("not trusted");
    }
    assert_answers(&start(with("localhost", &right))).await;
}

#[tokio::test]
async fn unusable_ca_file_is_reported_at_start() {
    let host = StoreHost { name: "localhost".to_owned(), port: 6379 };
    let url = RedisUrl { tls: true, ..servers::url(RedisTopology::Single(host)) };
    let folder = servers::folder("authority");
    std::fs::write(folder.join("broken.pem"), "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
        .expect("written");
    std::fs::write(folder.join("empty.pem"), "").expect("written");
    for name in ["missing.pem", "broken.pem", "empty.pem"] {
        let options = RedisOptions { ca_file: Some(folder.join(name)), ..options(url.clone()) };
        let refused =
            RedisStore::start(options, std::sync::Arc::new(SystemRandom), std::sync::Arc::default()).err();
        let text = refused.unwrap_or_else(|| panic!("{name} was taken")).to_string();
        assert!(text.contains("sessions.ca_file"), "{name}: {text}");
    }
}

/// Asserts that a store works on servers with TLS and this password.
async fn assert_works(topology: RedisTopology, password: &str, authority: PathBuf) {
    let password = Some(Secret::new(password.to_owned()));
    let url = RedisUrl { tls: true, password, ..servers::url(topology) };
    let store = start(RedisOptions { ca_file: Some(authority), ..options(url) });
    assert_answers(&store).await;
    let id = session();
    fill(&store, id, record(), MINUTE).await;
    revoke(&store, id, MINUTE).await;
    assert_eq!(check(&store, id).await, Lookup::Tombstone);
}

#[tokio::test]
async fn cluster_with_tls_and_password_works() {
    let (certificates, port, bus) = (Certificates::new(), servers::free_port(), servers::free_port());
    let mut settings = certificates.settings(port);
    let cluster = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--requirepass", "secret"];
    let names = ["--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname"];
    let bus = ["--cluster-port", &bus.to_string()];
    settings.extend([&cluster[..], &names[..], &bus[..]].concat().into_iter().map(str::to_owned));
    let node = RedisServer::start(&settings).await;
    node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let topology = RedisTopology::Cluster(vec![StoreHost { name: "localhost".to_owned(), port }]);
    assert_works(topology, "secret", certificates.authority()).await;
}

#[tokio::test]
async fn sentinels_and_master_with_tls_and_separate_passwords_work() {
    let certificates = Certificates::new();
    let (master_port, port) = (servers::free_port(), servers::free_port());
    let mut settings = certificates.settings(master_port);
    settings.extend(["--requirepass", "secret"].map(str::to_owned));
    let _master = RedisServer::start(&settings).await;
    let tls = certificates.settings(port);
    let tls: String = tls.chunks(2).map(|pair| format!("{} {}\n", &pair[0][2..], pair[1])).collect();
    let settings = format!(
        "{tls}tls-replication yes\nsentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n\
         requirepass watcher\nsentinel monitor main localhost {master_port} 1\nsentinel auth-pass main secret"
    );
    let _sentinel = RedisServer::sentinel_with(&settings, Some("watcher")).await;
    let topology = RedisTopology::Sentinel {
        hosts: vec![StoreHost { name: "localhost".to_owned(), port }],
        master: "main".to_owned(),
        user: None,
        password: Some(Secret::new("watcher".to_owned())),
    };
    assert_works(topology, "secret", certificates.authority()).await;
}
