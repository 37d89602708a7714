//! More invalid files, in the notation of `bad`: addresses, stores, upstreams and routes.

use super::bad::Case;

/// Listen addresses, origins, and names of headers.
pub(super) const ADDRESSES: &[Case] = &[
    (
        r#"[server]|listen = []"#,
        r#"2: server.listen: empty, so nobody could be served: write an address such as "127.0.0.1:8080""#,
    ),
    (
        r#"[server]|listen = [":8080"]"#,
        r#"2: server.listen[0]: ":8080" is not an address and port: write one such as "127.0.0.1:8080" or "[::]:8080""#,
    ),
    (
        r#"[server]|listen = ["localhost:8080"]"#,
        r#"2: server.listen[0]: "localhost:8080" is not an address and port: write one such as "127.0.0.1:8080" or "[::]:8080""#,
    ),
    (
        r#"[server]|listen = ["127.0.0.1:1", "127.0.0.1:1"]"#,
        r#"2: server.listen[1]: "127.0.0.1:1" is listed twice: remove one"#,
    ),
    (
        r#"[server]|listen = ["unix:", "unix:@x", "fd:", "fd:a:b", "unix:/a", "unix:/a"]|unix_mode = "0777""#,
        r#"2: server.listen[0]: "unix:" does not name a file: write "unix:/run/doorward/doorward.sock"|2: server.listen[1]: "unix:@x" is not a path: write "unix:/run/doorward/doorward.sock"|2: server.listen[2]: "fd:" does not name a socket: write "fd:" and its FileDescriptorName=|2: server.listen[3]: "fd:a:b" does not name a socket: write "fd:" and its FileDescriptorName=|2: server.listen[5]: "unix:/a" is listed twice: remove one|3: server.unix_mode: "0777" is not a socket mode: write "0600" (owner), "0660" (owner and group) or "0666" (everybody)"#,
    ),
    (
        r#"[admin]|listen = ["unix:/run/a.sock"]|[server]|listen = ["unix:/run/a.sock"]"#,
        r#"2: admin.listen: "unix:/run/a.sock" is public too (server.listen or redirect_listen): give metrics and health their own port"#,
    ),
    (
        r#"[admin]|listen = ["127.0.0.1:8080"]"#,
        r#"2: admin.listen: "127.0.0.1:8080" is public too (server.listen or redirect_listen): give metrics and health their own port"#,
    ),
    (
        r#"[server]|redirect_listen = ["127.0.0.1:80"]"#,
        r#"2: server.redirect_listen: there is no [server.tls] to redirect to: add it, or let the proxy that terminates TLS redirect"#,
    ),
    (
        r#"[server]|redirect_listen = ["127.0.0.1:8080"]"#,
        r#"2: server.redirect_listen: "127.0.0.1:8080" is both in listen and in redirect_listen: remove it from one of the two"#,
    ),
    (
        r#"[server.limits]|header_fields = 300|http2_streams = 5000|requests_per_connection = 0|min_body_rate = 256|send_timeout = "0s"|stalled_bytes = "64KiB"|unread_responses = 128"#,
        r#"2: server.limits.header_fields: 300 is out of range: write 10 to 250 (browsers send about 20, and the HTTP parser takes 256)|3: server.limits.http2_streams: 5000 is out of range: write 0 to 1000 (0 is HTTP/1.1 only; each stream may hold a request to the app)|4: server.limits.requests_per_connection: 0 is out of range: write 1 to 100000000 (each new connection is another handshake)|5: server.limits.min_body_rate: 256 has no unit: a size is a string, write "256B"|6: server.limits.send_timeout: "0s" is out of range: write "1s" to "1h" (mobile clients pass tunnels; each stalled response holds a connection to the app)|7: server.limits.stalled_bytes: "64KiB" is out of range: write "1MiB" to "1024GiB" (each stalled download may hold 1 MiB, and all share this)|8: server.limits.unread_responses: is now stalled_bytes, a limit on memory: write stalled_bytes = "64MiB", or remove the line"#,
    ),
    (
        r#"[server]|public_urls = []"#,
        r#"2: server.public_urls: empty, but the Origin of every login is compared with it: write the URL people use"#,
    ),
    (
        r#"[server]|public_urls = ["app.example.com"]"#,
        r#"2: server.public_urls[0]: "app.example.com" does not start with http:// or https://: write the scheme too"#,
    ),
    (
        r#"[server]|public_urls = ["https://app.example.com/"]"#,
        r#"2: server.public_urls[0]: "https://app.example.com/" is more than an origin: write "https://app.example.com" without a path"#,
    ),
    (
        r#"[server]|public_urls = ["https://App.example.com"]"#,
        r#"2: server.public_urls[0]: "https://App.example.com" has capital letters: write "https://app.example.com""#,
    ),
    (
        r#"[server]|public_urls = [|  "https://a.example",|  "https://ada:hunter2@b.example",|]"#,
        r#"4: server.public_urls[1]: a user or password is not allowed here: write scheme://host:port alone"#,
    ),
    (
        r#"[server]|public_urls = ["https://a.example?x=1"]"#,
        r#"2: server.public_urls[0]: "https://a.example?x=1" is more than an origin: write "https://a.example" without a query or fragment"#,
    ),
    (
        r#"[server]|public_urls = ["ws://a.example"]"#,
        r#"2: server.public_urls[0]: "ws://a.example" does not start with http:// or https://: write the scheme too"#,
    ),
    (
        r#"[server]|auth_prefix = "/""#,
        r#"2: server.auth_prefix: "/" would take every path from the app: write a path such as "/auth""#,
    ),
    (
        r#"[server]|auth_prefix = "auth""#,
        r#"2: server.auth_prefix: "auth" does not start with /: write a path such as "/app""#,
    ),
    (
        r#"[server]|auth_prefix = "/auth/""#,
        r#"2: server.auth_prefix: "/auth/" ends in /: write "/auth", which covers what is below it"#,
    ),
    (
        r#"[server]|auth_prefix = "/.well-known""#,
        r#"2: server.auth_prefix: /.well-known is shared with the app: write a path such as "/auth""#,
    ),
    (
        r#"[server]|cors_origins = ["*"]"#,
        r#"2: server.cors_origins[0]: "*" would let the scripts of every site act as the signed-in user: list the origins"#,
    ),
    (
        r#"[server]|cors_origins = ["null"]"#,
        r#"2: server.cors_origins[0]: "null" is what any sandboxed page sends as its origin: list the origins"#,
    ),
    (
        r#"[server]|cors_origins = ["https://*.example.com"]"#,
        r#"2: server.cors_origins[0]: "*.example.com" is not a host: write a name such as app.example.com or an address"#,
    ),
    (
        r#"[server]|trusted_proxies = ["0.0.0.0/0"]"#,
        r#"2: server.trusted_proxies[0]: "0.0.0.0/0" matches every client, which could then claim any address: list your proxies"#,
    ),
    (
        r#"[server]|trusted_proxies = ["::/0"]"#,
        r#"2: server.trusted_proxies[0]: "::/0" matches every client, which could then claim any address: list your proxies"#,
    ),
    (
        r#"[server]|trusted_proxies = ["10.0.0.5/8"]"#,
        r#"2: server.trusted_proxies[0]: "10.0.0.5/8" has bits set after its prefix: write "10.0.0.0/8""#,
    ),
    (
        r#"[server]|trusted_proxies = ["proxy"]"#,
        r#"2: server.trusted_proxies[0]: "proxy" is not a network: write one such as "10.0.0.0/8", an address, or "unix:" for peers of Unix sockets"#,
    ),
    (
        r#"[server]|proxy_protocol_from = ["0.0.0.0/0"]|h2c = true|health_path = "/"|[server.limits]|http2_streams = 0"#,
        r#"2: server.proxy_protocol_from[0]: "0.0.0.0/0" matches every client, which could then claim any address: list your proxies|3: server.h2c: server.limits.http2_streams = 0 allows no HTTP/2: remove one of the two|4: server.health_path: "/" would take the app's first page from people: write a path such as "/healthz""#,
    ),
    (
        r#"[server]|health_path = "healthz""#,
        r#"2: server.health_path: "healthz" does not start with /: write a path such as "/app""#,
    ),
    (
        r#"[tokens]|issuer = "doorward""#,
        r#"2: tokens.issuer: "doorward" does not start with http:// or https://: write the scheme too"#,
    ),
    (
        r#"[tokens]|issuer = "https://id.example.com/?a""#,
        r#"2: tokens.issuer: "https://id.example.com/?a" has a query or fragment: write the issuer without it (RFC 8414)"#,
    ),
    (
        r#"[tokens]|audience = """#,
        r#"2: tokens.audience: "" is not an audience: write 1 to 200 visible ASCII characters without spaces"#,
    ),
    (
        r#"[tokens]|audience = "two words""#,
        r#"2: tokens.audience: "two words" is not an audience: write 1 to 200 visible ASCII characters without spaces"#,
    ),
    (
        r#"[identity_headers]|user = "X_Auth_User""#,
        r#"2: identity_headers.user: many servers read _ and - as the same, so a client could spoof it: write "X-Auth-User""#,
    ),
    (
        r#"[identity_headers]|user = "X-Auth-Roles""#,
        r#"2: identity_headers.user: "x-auth-roles" is the name of both user and roles: give each its own"#,
    ),
    (
        r#"[identity_headers]|user = "X-Who"|user_id = "x-who""#,
        r#"3: identity_headers.user_id: "x-who" is the name of both user and user_id: give each its own"#,
    ),
    (
        r#"[identity_headers]|user = "Host""#,
        r#"2: identity_headers.user: "Host" already has another meaning: write a name of your own, such as "X-Auth-User""#,
    ),
    (
        r#"[identity_headers]|user = "Content-Length""#,
        r#"2: identity_headers.user: "Content-Length" already has another meaning: write a name of your own, such as "X-Auth-User""#,
    ),
    (
        r#"[identity_headers]|user = "X-Forwarded-User""#,
        r#"2: identity_headers.user: "X-Forwarded-User" already has another meaning: write a name of your own, such as "X-Auth-User""#,
    ),
    (
        r#"[identity_headers]|user = "x-auth.roles""#,
        r#"2: identity_headers.user: many servers read "x-auth.roles" (user) and "x-auth-roles" (roles) as the same: give each its own"#,
    ),
    (
        r#"[identity_headers]|user = "X-Who"|session = "x.who""#,
        r#"3: identity_headers.session: many servers read "x-who" (user) and "x.who" (session) as the same: give each its own"#,
    ),
    (
        r#"[identity_headers]|user = "Via""#,
        r#"2: identity_headers.user: "Via" already has another meaning: write a name of your own, such as "X-Auth-User""#,
    ),
    (
        r#"[identity_headers]|user = "Client-Cert""#,
        r#"2: identity_headers.user: "Client-Cert" already has another meaning: write a name of your own, such as "X-Auth-User""#,
    ),
    (
        r#"[identity_headers]|user = "Date""#,
        r#"2: identity_headers.user: "Date" already has another meaning: write a name of your own, such as "X-Auth-User""#,
    ),
    (
        r#"[identity_headers]|user = "Sec-WebSocket-Key""#,
        r#"2: identity_headers.user: "Sec-WebSocket-Key" already has another meaning: write a name of your own, such as "X-Auth-User""#,
    ),
    (
        r#"[identity_headers]|user = "transfer.encoding""#,
        r#"2: identity_headers.user: "transfer.encoding" already has another meaning: write a name of your own, such as "X-Auth-User""#,
    ),
    (
        r#"[identity_headers]|user = "X Auth""#,
        r#"2: identity_headers.user: "X Auth" is not a header name: write letters, digits and -, such as "X-Auth-User""#,
    ),
    (
        r#"[identity_headers]|user = "Connection""#,
        r#"2: identity_headers.user: "Connection" already has another meaning: write a name of your own, such as "X-Auth-User""#,
    ),
    (
        r#"[server]|listen = ["127.0.0.1:9900"]"#,
        r#"2: server.listen: "127.0.0.1:9900" is public too (server.listen or redirect_listen): give metrics and health their own port"#,
    ),
];

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

/// Upstreams and routes.
pub(super) const UPSTREAMS_AND_ROUTES: &[Case] = &[
    (
        r#"[upstreams.App]|servers = ["http://127.0.0.1:9000"]"#,
        r#"1: upstreams.App: "App" is not a name: write characters from a-z 0-9 _ -"#,
    ),
    (
        r#"[upstreams."a b"]|servers = ["http://127.0.0.1:9000"]"#,
        r#"1: upstreams."a b": "a b" is not a name: write characters from a-z 0-9 _ -"#,
    ),
    (
        r#"[upstreams.app]"#,
        r#"1: upstreams.app.servers: missing: write the address of the app, such as servers = ["http://127.0.0.1:9000"]"#,
    ),
    (
        r#"[upstreams.app]|servers = []"#,
        r#"2: upstreams.app.servers: empty: write the address of the app, such as ["http://127.0.0.1:9000"]"#,
    ),
    (
        r#"[upstreams.app]|servers = ["127.0.0.1:9000"]"#,
        r#"2: upstreams.app.servers[0]: "127.0.0.1:9000" does not start with http:// or https:// or h2c://: write the scheme too"#,
    ),
    (
        r#"[upstreams.app]|servers = ["http://127.0.0.1:9000/x"]"#,
        r#"2: upstreams.app.servers[0]: "http://127.0.0.1:9000/x" is more than an origin: write "http://127.0.0.1:9000" without a path"#,
    ),
    (
        r#"[upstreams.app]|servers = ["http://a@127.0.0.1"]"#,
        r#"2: upstreams.app.servers[0]: a user or password is not allowed here: write scheme://host:port alone"#,
    ),
    (
        r#"[upstreams.app]|servers = ["http://::1:9000"]"#,
        r#"2: upstreams.app.servers[0]: an IPv6 address must be in brackets: write [::1]"#,
    ),
    (
        r#"[upstreams.app]|servers = ["grpc://a"]"#,
        r#"2: upstreams.app.servers[0]: "grpc://a" does not start with http:// or https:// or h2c://: write the scheme too"#,
    ),
    (
        r#"[upstreams.app]|servers = ["http://a:0"]"#,
        r#"2: upstreams.app.servers[0]: "0" is not a port: write 1 to 65535 after the colon"#,
    ),
    (
        r#"[upstreams.app]|servers = ["http://unix:/run/app.sock", "unix:///run/app.sock", "unix:"]"#,
        r#"2: upstreams.app.servers[0]: "http://unix:/run/app.sock" is not a Unix socket: write "unix:/run/app.sock"|2: upstreams.app.servers[1]: "unix:///run/app.sock" is not a Unix socket: write "unix:/run/app.sock"|2: upstreams.app.servers[2]: "unix:" does not name a socket: write one such as "unix:/run/app.sock""#,
    ),
    (
        r#"[upstreams.app]|servers = ["https://a"]|server_name = "b:443""#,
        r#"3: upstreams.app.server_name: "b:443" is not a host: write a name such as app.example.com or an address"#,
    ),
    (
        r#"[upstreams.app]|servers = ["http://a"]|server_name = "b""#,
        r#"3: upstreams.app.server_name: none of the servers is https: write https://, or remove this"#,
    ),
    (
        r#"{app}[[routes]]|path = "/"|access = "signed-in"|upstream = "app""#,
        r#"3: routes[0].name: missing: write a name for logs and metrics, such as name = "app""#,
    ),
    (
        r#"{app}[[routes]]|name = "App"|path = "/"|access = "signed-in"|upstream = "app""#,
        r#"4: routes[0].name: "App" is not a name: write characters from a-z 0-9 _ -"#,
    ),
    (
        r#"{app}{route}[[routes]]|name = "app"|path = "/x"|access = "public"|upstream = "app""#,
        r#"9: routes[1].name: "app" is the name of the route at line 4 too: write another"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|access = "signed-in"|upstream = "app""#,
        r#"3: routes[0].path: missing: write the path it matches, such as path = "/""#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "app"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "app" does not start with /: write a path such as "/app""#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/app/"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/app/" ends in /: write "/app", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "//"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "//" ends in /: write "/", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/a//b"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/a//b" has an empty segment: write one / between segments"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/admin/*"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/admin/*" has a star, but paths have no patterns: write "/admin", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/*"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/*" has a star, but paths have no patterns: write "/", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/admin*"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/admin*" has a star, but paths have no patterns: write "/admin", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/**"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/**" has a star, but paths have no patterns: write "/", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/admin/**/*.php"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/admin/**/*.php" has a star, but paths have no patterns: write "/admin", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/v*/admin"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/v*/admin" has a star, but paths have no patterns: write "/", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/a/*b"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/a/*b" has a star, but paths have no patterns: write "/a", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/:id"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/:id" has a segment that begins with :, but paths have no patterns: write "/", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/users/:id/keys"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/users/:id/keys" has a segment that begins with :, but paths have no patterns: write "/users", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/users/{id}"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/users/{id}" has a {, but paths have no patterns: write "/users", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/v{n}/x"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/v{n}/x" has a {, but paths have no patterns: write "/", which covers what is below it"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/a/../b"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/a/../b" has the segment "..": write the path it leads to"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/./a"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/./a" has the segment ".": write the path it leads to"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/a%2Fb"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/a%2Fb" has '%' in it: write letters, digits and . _ ~ ! $ & ' ( ) + , = : @ -"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/a;b"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/a;b" has ';' in it: write letters, digits and . _ ~ ! $ & ' ( ) + , = : @ -"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = '/a\b'|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/a\\b" has '\\' in it: write letters, digits and . _ ~ ! $ & ' ( ) + , = : @ -"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/a?b"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/a?b" has '?' in it: write letters, digits and . _ ~ ! $ & ' ( ) + , = : @ -"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/auth"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/auth" is within "/auth", which the gateway serves itself: write another path, or change server.auth_prefix"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/auth/x"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/auth/x" is within "/auth", which the gateway serves itself: write another path, or change server.auth_prefix"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/.well-known/jwks.json"|access = "signed-in"|upstream = "app""#,
        r#"5: routes[0].path: "/.well-known/jwks.json" is where the gateway publishes its own keys, on every host: remove the route, or write another path"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|upstream = "app""#,
        r#"3: routes[0].access: missing: say who may use this route: write access = "public", "optional", "signed-in" or { roles = ["admin"] }"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = "adm"|upstream = "app""#,
        r#"6: routes[0].access: unknown form "adm" (write "public", "optional", "signed-in" or { roles = ["admin"] })"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = "Public"|upstream = "app""#,
        r#"6: routes[0].access: unknown form "Public" (write "public", "optional", "signed-in" or { roles = ["admin"] })"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = ["admin"]|upstream = "app""#,
        r#"6: routes[0].access: this is a list: write "public", "optional", "signed-in" or { roles = ["admin"] }"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = {}|upstream = "app""#,
        r#"6: routes[0].access.roles: missing: write at least one role, such as { roles = ["admin"] }"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = { roles = [] }|upstream = "app""#,
        r#"6: routes[0].access.roles: empty, so nobody could use the route: write at least one role, such as ["admin"]"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = { roles = ["Admin"] }|upstream = "app""#,
        r#"6: routes[0].access.roles[0]: "Admin" is not a role: a role has 1 to 64 characters from a-z 0-9 . _ : -"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = { roles = "admin" }|upstream = "app""#,
        r#"6: routes[0].access.roles: this is a string: write a list such as ["admin"]"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = { role = ["admin"] }|upstream = "app""#,
        r#"6: routes[0].access.role: unknown key (did you mean "roles"?)"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = { roles = ["admin"], scopes = ["a"] }|upstream = "app""#,
        r#"6: routes[0].access.scopes: unknown key: remove it, or see gateway.toml for every key"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = "signed-in""#,
        r#"3: routes[0].upstream: missing: write the name of an [upstreams.<name>] table"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = "signed-in"|upstream = "ap""#,
        r#"7: routes[0].upstream: no upstream is named "ap" (did you mean "app"?)"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = "signed-in"|upstream = "billing""#,
        r#"7: routes[0].upstream: no upstream is named "billing" (write "app", or add a table)"#,
    ),
    (
        r#"[[routes]]|name = "a"|path = "/"|access = "public"|upstream = "app""#,
        r#"5: routes[0].upstream: no upstream is named "app" (add an [upstreams.<name>] table)"#,
    ),
    (
        r#"{app}{route}hosts = []"#,
        r#"8: routes[0].hosts: empty, so the route would match no host: write ["*"] for every host"#,
    ),
    (
        r#"{app}{route}hosts = ["App.example.com"]"#,
        r#"8: routes[0].hosts[0]: "App.example.com" has capital letters: write "app.example.com""#,
    ),
    (
        r#"{app}{route}hosts = ["app.example.com:443"]"#,
        r#"8: routes[0].hosts[0]: "app.example.com:443" has a port: write the host alone, which matches every port"#,
    ),
    (
        r#"{app}{route}hosts = ["app.*.com"]"#,
        r#"8: routes[0].hosts[0]: "app.*.com" has a star in the wrong place: write "*", "*.example.com" or "app.example.com""#,
    ),
    (
        r#"{app}{route}hosts = ["*.127.0.0.1"]"#,
        r#"8: routes[0].hosts[0]: "*.127.0.0.1" is below an address: write a name such as *.example.com"#,
    ),
    (
        r#"{app}{route}hosts = ["a.example", "a.example"]"#,
        r#"8: routes[0].hosts[1]: "a.example" is listed twice: remove one"#,
    ),
    (
        r#"{app}{route}hosts = ["a b"]"#,
        r#"8: routes[0].hosts[0]: "a b" is not a host: write a name such as app.example.com or an address"#,
    ),
    (
        r#"{app}{route}methods = ["get"]"#,
        r#"8: routes[0].methods[0]: "get" has lower-case letters: write "GET""#,
    ),
    (
        r#"{app}{route}methods = ["GET", "GET"]"#,
        r#"8: routes[0].methods[1]: "GET" is listed twice: remove one"#,
    ),
    (
        r#"{app}{route}methods = ["CONNECT"]"#,
        r#"8: routes[0].methods[0]: CONNECT opens a tunnel past every check: remove it"#,
    ),
    (
        r#"{app}{route}methods = ["TRACE"]"#,
        r#"8: routes[0].methods[0]: TRACE sends credentials back to scripts: remove it"#,
    ),
    (
        r#"{app}{route}methods = ["G T"]"#,
        r#"8: routes[0].methods[0]: "G T" is not a method: write one such as "GET""#,
    ),
    (
        r#"{app}{route}methods = "GET""#,
        r#"8: routes[0].methods: this is a string: write a list such as ["GET", "POST"]"#,
    ),
    (
        r#"{app}{route}[[routes]]|name = "b"|path = "/"|access = "public"|upstream = "app"|methods = ["GET"]"#,
        r#"8: routes[1]: route "b" and route "app" (line 3) match the same host, path and method "/": change one of them"#,
    ),
];
