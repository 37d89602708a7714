//! Parsing of store addresses.

use super::*;

fn host(name: &str, port: u16) -> StoreHost {
    StoreHost { name: name.to_owned(), port }
}

fn secret(text: &str) -> Option<Secret<String>> {
    Some(Secret::new(text.to_owned()))
}

#[test]
fn postgres_address_is_split_into_its_parts() {
    let url = postgres("postgres://door:p%40ss%3A@db1,db2:5433,[::1]:6000/vault?sslmode=require").unwrap();
    assert_eq!(url.hosts, [host("db1", 5432), host("db2", 5433), host("::1", 6000)]);
    assert_eq!((url.user.as_str(), url.database.as_str(), url.tls), ("door", "vault", true));
    assert_eq!(url.password, secret("p@ss:"));
    let socket = postgres("postgresql://door@%2Fvar%2Frun%2Fpostgresql").unwrap();
    assert_eq!(socket.hosts, [host("/var/run/postgresql", 5432)]);
    assert_eq!((socket.database.as_str(), socket.password, socket.tls), ("door", None, false));
}

#[test]
fn tls_is_off_only_locally_or_on_request() {
    for (address, tls) in [
        ("postgres://d@db/v", true),
        ("postgres://d@127.0.0.1/v", false),
        ("postgres://d@localhost/v", false),
        ("postgres://d@[::1]/v", false),
        ("postgres://d@localhost,db/v", true),
        ("postgres://d@db/v?sslmode=disable", false),
        ("postgres://d@localhost/v?sslmode=verify-full", true),
    ] {
        assert_eq!(postgres(address).unwrap().tls, tls, "{address}");
    }
}

#[test]
fn every_form_of_a_redis_address_is_parsed() {
    let single = redis("redis://:secret@cache:6380/3").unwrap();
    assert_eq!(single.topology, RedisTopology::Single(host("cache", 6380)));
    assert_eq!(
        (single.user, single.password, single.database, single.tls),
        (None, secret("secret"), 3, false)
    );
    let tls = redis("rediss://door:pw@cache").unwrap();
    assert_eq!((tls.tls, tls.user.as_deref(), tls.database), (true, Some("door"), 0));
    let sentinel = redis("redis+sentinel://s1,s2:26380/main/2?sentinel_password=x").unwrap();
    let RedisTopology::Sentinel { hosts, master, user, password } = sentinel.topology else { panic!() };
    assert_eq!((hosts, master.as_str()), (vec![host("s1", 26379), host("s2", 26380)], "main"));
    assert_eq!((user, password, sentinel.database), (None, secret("x"), 2));
    let cluster = redis("rediss+cluster://c1,c2:7001").unwrap();
    assert_eq!(cluster.topology, RedisTopology::Cluster(vec![host("c1", 6379), host("c2", 7001)]));
    assert!(cluster.tls);
}

#[test]
fn error_says_what_to_write_and_never_quotes_the_address() {
    let postgres_ones = [
        "postgres://db/vault",
        "postgres://",
        "postgres:db",
        "postgres://u:hunter2@/vault",
        "postgres://u:hunter2@db:0/vault",
        "postgres://u:hunter2@db:port/vault",
        "postgres://u:hunter2@db/vault/more",
        "postgres://u:hunter2@db/vault?sslmode=prefer",
        "postgres://u:hunter2@db/vault?target_session_attrs=any",
        "postgres://u:hunter2@db/vault?sslrootcert=x",
        "postgres://u:hunter2@db/vault?options=x",
        "postgres://u:hunter2%zz@db/vault",
        "postgres://u:hunter2%00@db/vault",
        "postgres://u:hunter 2@db/vault",
        "postgres://u:hunter2@[::1/vault",
        "postgres://u:hunter2@d$b/vault",
    ];
    let redis_ones = [
        "redis://a,b",
        "redis://:hunter2@%2Frun%2Fredis.sock",
        "redis://:hunter2@cache/x",
        "redis://:hunter2@cache/0/1",
        "redis://:hunter2@cache?x=1",
        "redis+sentinel://:hunter2@s1",
        "redis+sentinel://:hunter2@s1/main/0/1",
        "redis+sentinel://:hunter2@s1/main?x=y",
        "redis+cluster://:hunter2@c1/0",
        "redis+other://:hunter2@c1",
        "memcached://:hunter2@c1",
    ];
    let messages = postgres_ones.iter().map(|text| (text, postgres(text).map(drop).unwrap_err()));
    let messages = messages.chain(redis_ones.iter().map(|text| (text, redis(text).map(drop).unwrap_err())));
    for (text, message) in messages {
        assert!(!message.contains("hunter2"), "{text}: {message}");
        assert!(
            message.contains("write")
                || message.contains("leave")
                || message.contains("remove")
                || message.contains("is `")
                || message.contains("must be"),
            "{text}: {message}"
        );
    }
}

#[test]
fn postgres_parameters_for_the_existing_behaviour_are_accepted() {
    // F21: as providers hand them out, and as libpq knows them.
    let plain = postgres("postgres://d:p@db/v").unwrap();
    for query in [
        "sslmode=require&channel_binding=prefer",
        "sslmode=verify-ca",
        "ssl=true",
        "connect_timeout=10",
        "keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=5&tcp_user_timeout=1000",
        "client_encoding=UTF8",
        "target_session_attrs=read-write",
        "target_session_attrs=primary",
        "sslrootcert=system&sslmode=verify-full",
        "fallback_application_name=x",
        "ssl_min_protocol_version=TLSv1.2&sslsni=1&gssencmode=disable&load_balance_hosts=disable",
    ] {
        assert_eq!(postgres(&format!("postgres://d:p@db/v?{query}")).unwrap(), plain, "{query}");
    }
    let url =
        postgres("postgres://d:p@db/v?sslmode=require&channel_binding=require&application_name=my%20door")
            .unwrap();
    assert_eq!(
        (url.tls, url.channel_binding, url.application_name.as_deref()),
        (true, ChannelBinding::Require, Some("my door"))
    );
    let url = postgres("postgres://d@db/v?channel_binding=disable").unwrap();
    assert_eq!(url.channel_binding, ChannelBinding::Disable);
}

#[test]
fn unsupported_postgres_parameters_are_named() {
    for (query, named) in [
        ("options=-c%20x", "`options`"),
        ("sslcert=hunter2", "`sslcert`"),
        ("sslrootcert=hunter2", "`sslrootcert`: leave it out and set vault.ca_file"),
        ("connect_timeout=hunter2", "`connect_timeout`"),
        ("client_encoding=LATIN1", "`client_encoding`"),
        ("pgbouncer=true", "`pgbouncer`: remove it, and set vault.prepared = false instead"),
        ("connection_limit=1", "`connection_limit`: remove it, and set vault.pool_size instead"),
        ("ssl_min_protocol_version=TLSv1.3", "`ssl_min_protocol_version`"),
        ("channel_binding=hunter2", "`channel_binding`: write require, prefer or disable"),
        ("application_name=", "`application_name`"),
        ("hunter2%20x=1", "with an invalid name"),
        ("frobnicate=1", "`frobnicate`: it is not supported: remove it"),
        ("sslmode=require&frobnicate=1", "`frobnicate`"),
        ("sslmode=require&sslmode=disable", "`sslmode` is given twice"),
        ("sslmode=disable&channel_binding=require", "channel_binding=require needs TLS"),
    ] {
        let message = postgres(&format!("postgres://d:p@db/v?{query}")).unwrap_err();
        assert!(message.contains(named) && !message.contains("hunter2"), "{query}: {message}");
    }
    assert!(
        postgres("postgres://d@localhost/v?channel_binding=require").unwrap_err().contains("sslmode=require")
    );
}

#[test]
fn unsupported_redis_parameters_are_named() {
    let (plain, tls) = (redis("redis://:p@c").unwrap(), redis("rediss://:p@c").unwrap());
    for query in ["protocol=3", "protocol=resp2", "socket_timeout=5&connect_timeout=10s", "ssl=false", "db=0"]
    {
        assert_eq!(redis(&format!("redis://:p@c?{query}")).unwrap(), plain, "{query}");
    }
    for query in ["ssl_cert_reqs=required", "ssl=true", "tls=1", "health_check_interval=30"] {
        assert_eq!(redis(&format!("rediss://:p@c?{query}")).unwrap(), tls, "{query}");
    }
    assert_eq!(redis("redis://c?db=3").unwrap().database, 3);
    assert_eq!(redis("redis://c/?db=3").unwrap().database, 3);
    for (address, named) in [
        ("redis://c/1?db=3", "`db`"),
        ("redis+cluster://c?db=3", "`db`"),
        ("redis://c?ssl=true", "`ssl`: write rediss:// for TLS"),
        ("rediss://c?ssl_cert_reqs=none", "`ssl_cert_reqs`: certificates are always verified"),
        ("rediss://c?ssl_ca_certs=hunter2", "`ssl_ca_certs`: leave it out and set sessions.ca_file"),
        ("redis://c?password=hunter2", "`password`: write redis://<user>:<password>@<host>"),
        ("redis://c?sentinel_password=hunter2", "`sentinel_password`"),
        ("redis://c?db=1&db=2", "`db` is given twice"),
        ("redis://c?x=1", "`x`: it is not supported: remove it"),
    ] {
        let message = redis(address).unwrap_err();
        assert!(message.contains(named) && !message.contains("hunter2"), "{address}: {message}");
    }
}
