//! Invalid stores and secrets, in the notation of `bad`.

use super::bad::Case;

/// Stores and secrets.
pub(super) const STORES_AND_SECRETS: &[Case] = &[
    (
        r#"[vault]|url = "postgres://ada:hunter2@db/doorward?sslmode=prefer""#,
        r#"2: vault.url: sslmode is `require` (the certificate and its name are always verified) or `disable`"#,
    ),
    (
        r#"[vault]|url = "postgres://:hunter2@db/doorward""#,
        r#"2: vault.url: the address names no user: write postgres://<user>:<password>@<host>/<database>"#,
    ),
    (
        r#"[vault]|url = "sqlite:a.db"|url_env = "VAULT""#,
        r#"3: vault.url_env: given as `url` and `url_env`: keep exactly one"#,
    ),
    (
        r#"[vault]|url_env = "NO_SUCH_VARIABLE""#,
        r#"2: vault.url_env: no environment variable of this name is set: set it, or use `url_file`"#,
    ),
    (
        r#"[vault]|pool_size = 0"#,
        r#"2: vault.pool_size: 0 is out of range: write 1 to 1000 (Postgres has 100 connections for everybody by default)"#,
    ),
    (
        r#"[vault]|url = "doorward.db""#,
        r#"2: vault.url: unknown kind of vault: write "sqlite:<file>", such as "sqlite:doorward.db", or postgres://<user>:<password>@<host>/<database>"#,
    ),
    (r#"[vault]|url = "sqlite:""#, r#"2: vault.url: this is not a path: write the name of a file"#),
    (
        r#"[vault]|url = "sqlite::memory:""#,
        r#"2: vault.url: "sqlite::memory:" is not a file, and users must outlive the process: write "sqlite:doorward.db""#,
    ),
    (
        r#"[vault]|url = "sqlite:///var/lib/doorward.db""#,
        r#"2: vault.url: this is a path, not an address: write sqlite:file or sqlite:/folder/file"#,
    ),
    (
        r#"[vault]|url = "sqlite:doorward.db?mode=ro""#,
        r#"2: vault.url: "sqlite:doorward.db?mode=ro" has parameters, which the embedded vault does not support: write sqlite:<file> alone"#,
    ),
    (
        r#"[sessions]|url = "redis://:hunter2@cache,other""#,
        r#"2: sessions.url: several hosts need their kind: write redis+sentinel:// or redis+cluster://"#,
    ),
    (
        r#"[sessions]|url = "rediss+sentinel://:hunter2@a,b""#,
        r#"2: sessions.url: write the name that the Sentinels know the master by: redis+sentinel://<host>,<host>/<name>"#,
    ),
    (
        r#"[sessions]|url = "redis://cache"|ca_file = "ca.pem""#,
        r#"3: sessions.ca_file: the address uses no TLS, so no certificate is verified: write rediss://, or remove ca_file"#,
    ),
    (
        r#"[vault]|url = "postgres://door@localhost/vault"|ca_file = "ca.pem""#,
        r#"3: vault.ca_file: the address uses no TLS, so no certificate is verified: add ?sslmode=require to it, or remove ca_file"#,
    ),
    (
        r#"[vault]|url = "postgres://door:hunter/2@db/vault""#,
        r#"2: vault.url: there is an @ after the host: in a password write %2F, %40, %3A, %3F and %23 for /, @, :, ? and #"#,
    ),
    (
        r#"[sessions]|key_prefix = "a b""#,
        r#"2: sessions.key_prefix: "a b" is not a key prefix: write at most 16 letters, digits, `:`, `-`, `_` or `.`, since every key contains it"#,
    ),
    (
        r#"[sessions]|url = "memcached://cache""#,
        r#"2: sessions.url: unknown kind of session store: write "memory:" or redis://<host>"#,
    ),
    (
        r#"[vault]|master_key = "hunter2""#,
        r#"2: vault.master_key: this is not a master key: write 32 random bytes in base64url without padding, 43 characters (`openssl rand -base64 32 | tr '+/' '-_' | tr -d =` makes one)"#,
    ),
    (
        r#"[vault]|master_key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=""#,
        r#"2: vault.master_key: this is not a master key: write 32 random bytes in base64url without padding, 43 characters (`openssl rand -base64 32 | tr '+/' '-_' | tr -d =` makes one)"#,
    ),
    (r#"[vault]|master_key = 42"#, r#"2: vault.master_key: this is an integer: write a string in quotes"#),
    (
        r#"[vault]|master_key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"|master_key_file = "k""#,
        r#"3: vault.master_key_file: given as `master_key` and `master_key_file`: keep exactly one"#,
    ),
    (
        r#"[vault]|master_key_env = "UNSET""#,
        r#"2: vault.master_key_env: no environment variable of this name is set: set it, or use `master_key_file`"#,
    ),
    (
        r#"[vault]|master_key_env = "SHORT""#,
        r#"2: vault.master_key_env: in the environment variable: this is not a master key: write 32 random bytes in base64url without padding, 43 characters (`openssl rand -base64 32 | tr '+/' '-_' | tr -d =` makes one)"#,
    ),
    (
        r#"[vault]|master_key_env = "not a name""#,
        r#"2: vault.master_key_env: this is not the name of an environment variable: write one such as DOORWARD_MASTER_KEY"#,
    ),
    (
        r#"[vault]|master_key_file = """#,
        r#"2: vault.master_key_file: this is not a path: write the name of a file"#,
    ),
];
