//! Invalid listen addresses, origins, and names of headers, in the notation of `bad`.

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
        r#"[identity_headers]|user = "HTTP_AUTHUSER""#,
        r#"2: identity_headers.user: "HTTP_AUTHUSER" is how CGI, WSGI and Django call the header AUTHUSER: write "AUTHUSER""#,
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
