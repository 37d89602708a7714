//! Invalid upstreams and routes, in the notation of `bad`.

use super::bad::Case;

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
        r#"3: routes[0].access: missing: say who may use this route: write access = "public", "optional", "signed-in" or { roles = ["admin"], factor = "mfa", max_age = "15m" }"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = "adm"|upstream = "app""#,
        r#"6: routes[0].access: unknown form "adm" (write "public", "optional", "signed-in" or { roles = ["admin"], factor = "mfa", max_age = "15m" })"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = "Public"|upstream = "app""#,
        r#"6: routes[0].access: unknown form "Public" (write "public", "optional", "signed-in" or { roles = ["admin"], factor = "mfa", max_age = "15m" })"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = ["admin"]|upstream = "app""#,
        r#"6: routes[0].access: this is a list: write "public", "optional", "signed-in" or { roles = ["admin"], factor = "mfa", max_age = "15m" }"#,
    ),
    (
        r#"{app}[[routes]]|name = "app"|path = "/"|access = {}|upstream = "app""#,
        r#"6: routes[0].access.roles: missing: write at least one role, such as { roles = ["admin"] }, or factor = "mfa""#,
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
        r#"{app}[[routes]]|name = "app"|path = "/"|access = { factor = "otp", max_age = "5s" }|upstream = "app""#,
        r#"6: routes[0].access.factor: unknown value "otp" (write "mfa")|6: routes[0].access.max_age: "5s" is out of range: write "1m" to "30d" (people need a minute to come back, and no session is older than a month)"#,
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
