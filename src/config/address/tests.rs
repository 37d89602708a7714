//! What addresses mean, and which are refused.

use super::*;

fn host(name: &str, port: u16) -> StoreHost {
    StoreHost { name: name.to_owned(), port }
}

fn secret(text: &str) -> Option<Secret<String>> {
    Some(Secret::new(text.to_owned()))
}

#[test]
fn an_address_of_postgres_is_read_to_its_parts() {
    let url = postgres("postgres://door:p%40ss%3A@db1,db2:5433,[::1]:6000/vault?sslmode=require").unwrap();
    assert_eq!(url.hosts, [host("db1", 5432), host("db2", 5433), host("::1", 6000)]);
    assert_eq!((url.user.as_str(), url.database.as_str(), url.tls), ("door", "vault", true));
    assert_eq!(url.password, secret("p@ss:"));
    let socket = postgres("postgresql://door@%2Fvar%2Frun%2Fpostgresql").unwrap();
    assert_eq!(socket.hosts, [host("/var/run/postgresql", 5432)]);
    assert_eq!((socket.database.as_str(), socket.password, socket.tls), ("door", None, false));
}

#[test]
fn a_password_crosses_a_network_in_clear_only_when_that_is_said() {
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
fn every_form_of_a_redis_address_is_read() {
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
fn what_is_no_address_is_told_what_to_write_and_never_repeated() {
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
                || message.contains("take")
                || message.contains("is `")
                || message.contains("stand"),
            "{text}: {message}"
        );
    }
}
