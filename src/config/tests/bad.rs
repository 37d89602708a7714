//! Invalid files and their exact problems. `|` stands for a line end, `{app}` for a valid upstream (2 lines) and
//! `{route}` for a valid route to it (5 lines). Every line of the output starts with `gateway.toml:`.

/// A file and its problems.
pub(super) type Case = (&'static str, &'static str);

/// Syntax errors are located, and the rest of the file is still checked.
pub(super) const NOT_TOML: &[Case] = &[
    (
        "# first|[upstreams]|app = |[log]|level = 1",
        r#"3: not TOML: a value is missing, or needs quotes|5: log.level: this is an integer: write "error", "warn" or "info""#,
    ),
    (r#"a = "#, r#"1: not TOML: a value is missing, or needs quotes"#),
    (r#"[server|threads = 1"#, r#"1: not TOML: unclosed table, expected `]`"#),
    (r#"[log]|level = "info"|level = "warn""#, r#"3: defined twice: keep one of the two"#),
    (r#"[log]|[server]|[log]"#, r#"3: defined twice: keep one of the two"#),
    (
        r#"[routes]|name = "a"|[routes]|name = "b""#,
        r#"3: there are several routes: write [[routes]] above each"#,
    ),
    (r#"[server]|threads = 1 2"#, r#"2: not TOML: a value is missing, or needs quotes"#),
    (
        r#"x = "unclosed|[log]|level = "loud""#,
        r#"1: not TOML: invalid basic string, expected `"`|3: log.level: unknown value "loud" (write "error", "warn" or "info")"#,
    ),
    (r#"[tokens]|access_ttl = 15m"#, r#"2: not TOML: a value is missing, or needs quotes"#),
    (
        r#"[log]|level = info|format = "xml""#,
        r#"2: not TOML: a value is missing, or needs quotes|3: log.format: unknown value "xml" (write "json" or "text")"#,
    ),
    (r#"[server]|listen = ["127.0.0.1:1","#, r#"2: not TOML: unclosed array, expected `]`"#),
    (
        r#"[server.limits]|connections = |connections_per_ip = 20000"#,
        r#"2: not TOML: a value is missing, or needs quotes"#,
    ),
    (
        r#"[[routes]]|name = "a"|path = /|access = "public"|upstream = "app""#,
        r#"3: not TOML: a value is missing, or needs quotes"#,
    ),
    (r#"[[routes]|name = "a"|[log]|level = 1"#, r#"1: not TOML: unclosed array table, expected `]`"#),
    (
        r#"[sessions]|idle_timeout = 1h|absolute_timeout = "1h""#,
        r#"2: not TOML: a value is missing, or needs quotes"#,
    ),
];

/// Unknown keys and wrong types.
pub(super) const UNKNOWN_KEYS_AND_TYPES: &[Case] = &[
    (r#"[sesions]"#, r#"1: sesions: unknown key (did you mean "sessions"?)"#),
    (r#"routes = "/""#, r#"1: routes: this is a string: write [[routes]]"#),
    (
        r#"[server]|listen = "127.0.0.1:8080""#,
        r#"2: server.listen: this is a string: write a list such as ["127.0.0.1:8080"]"#,
    ),
    (r#"[server]|listen = [8080]"#, r#"2: server.listen[0]: this is an integer: write a string in quotes"#),
    (r#"server = 1"#, r#"1: server: this is an integer: write [server]"#),
    (r#"[[server]]"#, r#"1: server: this is a list: write [server]"#),
    (r#"[server]|treads = 4"#, r#"2: server.treads: unknown key (did you mean "threads"?)"#),
    (r#"[server]|lamedukc = "1s""#, r#"2: server.lamedukc: unknown key (did you mean "lameduck"?)"#),
    (
        r#"[server]|colour = "red""#,
        r#"2: server.colour: unknown key: remove it, or see gateway.toml for every key"#,
    ),
    (
        r#"[server]|"two words" = 1"#,
        r#"2: server."two words": unknown key: remove it, or see gateway.toml for every key"#,
    ),
    (
        r#"[server]|threads = "4""#,
        r#"2: server.threads: this is a string: write a whole number without quotes"#,
    ),
    (
        r#"[server]|threads = 1.5"#,
        r#"2: server.threads: this is a number with a fraction: write a whole number without quotes"#,
    ),
    (
        r#"[server]|threads = -1"#,
        r#"2: server.threads: -1 is out of range: write 0 to 1024 (0 is one per core; no machine needs more than 1024)"#,
    ),
    (
        r#"[server]|threads = 1979-05-27"#,
        r#"2: server.threads: this is a date or time: write a whole number without quotes"#,
    ),
    (r#"[log]|format = true"#, r#"2: log.format: this is a boolean: write "json" or "text""#),
    (r#"[log]|format = "jsno""#, r#"2: log.format: unknown value "jsno" (write "json" or "text")"#),
    (r#"[log]|level = "debug""#, r#"2: log.level: unknown value "debug" (write "error", "warn" or "info")"#),
    (
        r#"[upstreams]|app = "http://127.0.0.1:9000""#,
        r#"2: upstreams.app: this is a string: write [upstreams.app]"#,
    ),
    (r#"[routes]|name = "app""#, r#"1: routes: this is a table: write [[routes]]"#),
    (r#"routes = [1]"#, r#"1: routes[0]: this is an integer: write [[routes]]"#),
    (
        r#"[upstreams.app]|server = ["http://127.0.0.1:9000"]"#,
        r#"2: upstreams.app.server: unknown key (did you mean "servers"?)"#,
    ),
    (r#"{app}{route}timout = "5s""#, r#"8: routes[0].timout: unknown key (did you mean "timeout"?)"#),
    (
        r#"{app}{route}always_revalidate = "yes""#,
        r#"8: routes[0].always_revalidate: this is a string: write `true` or `false` without quotes"#,
    ),
    (r#"[tls]|cert_file = "a""#, r#"1: tls: unknown key: remove it, or see gateway.toml for every key"#),
    (r#"[tokens]|audience = {}"#, r#"2: tokens.audience: this is a table: write a string in quotes"#),
    (
        r#"[server.limits.more]|x = 1"#,
        r#"1: server.limits.more: unknown key: remove it, or see gateway.toml for every key"#,
    ),
    (
        r#"[log]|level = 3|fromat = "json"|[[routes]]"#,
        r#"2: log.level: this is an integer: write "error", "warn" or "info"|3: log.fromat: unknown key (did you mean "format"?)|4: routes[0].name: missing: write a name for logs and metrics, such as name = "app"|4: routes[0].path: missing: write the path it matches, such as path = "/"|4: routes[0].access: missing: say who may use this route: write access = "public", "optional", "signed-in" or { roles = ["admin"], factor = "mfa", max_age = "15m" }|4: routes[0].upstream: missing: write the name of an [upstreams.<name>] table"#,
    ),
];

/// Durations, sizes and counts.
pub(super) const UNITS_AND_RANGES: &[Case] = &[
    (
        r#"[tokens]|access_ttl = 900"#,
        r#"2: tokens.access_ttl: 900 has no unit: a duration is a string, write "900s""#,
    ),
    (
        r#"[tokens]|access_ttl = "15""#,
        r#"2: tokens.access_ttl: "15" is not a duration: write a whole number and ms, s, m, h or d, such as "15m""#,
    ),
    (
        r#"[tokens]|access_ttl = "15 min""#,
        r#"2: tokens.access_ttl: "15 min" is not a duration: write a whole number and ms, s, m, h or d, such as "15m""#,
    ),
    (
        r#"[tokens]|access_ttl = "2h""#,
        r#"2: tokens.access_ttl: "2h" is out of range: write "10s" to "1h" (each refresh costs a write, and RFC 6750 5.3 asks for an hour or less)"#,
    ),
    (
        r#"[tokens]|access_ttl = "9s""#,
        r#"2: tokens.access_ttl: "9s" is out of range: write "10s" to "1h" (each refresh costs a write, and RFC 6750 5.3 asks for an hour or less)"#,
    ),
    (
        r#"[tokens]|access_ttl = true"#,
        r#"2: tokens.access_ttl: this is a boolean: write a duration such as "15m""#,
    ),
    (
        r#"[tokens]|access_ttl = -5"#,
        r#"2: tokens.access_ttl: -5 has no unit: a duration is a string, write "15m""#,
    ),
    (
        r#"[tokens]|refresh_grace = "11m""#,
        r#"2: tokens.refresh_grace: "11m" is out of range: write "0s" to "10m" ("0s" treats every lost response as a theft; during the grace a stolen refresh token can be replayed)"#,
    ),
    (
        r#"[tokens]|refresh_grace_unused = "31d""#,
        r#"2: tokens.refresh_grace_unused: "31d" is out of range: write "0s" to "30d" ("0s" is never; a session ends with its idle timeout anyway)"#,
    ),
    (
        r#"[tokens]|algorithm = "HS256""#,
        r#"2: tokens.algorithm: unknown value "HS256" (write "EdDSA", "ES256" or "RS256")"#,
    ),
    (
        r#"[tokens]|algorithm = "eddsa""#,
        r#"2: tokens.algorithm: unknown value "eddsa" (write "EdDSA", "ES256" or "RS256")"#,
    ),
    (
        r#"[server.limits]|header_bytes = 4096"#,
        r#"2: server.limits.header_bytes: 4096 has no unit: a size is a string, write "4096B""#,
    ),
    (
        r#"[server.limits]|header_bytes = "4KB""#,
        r#"2: server.limits.header_bytes: "4KB" is not a size: write a whole number and B, KiB, MiB or GiB, such as "64KiB""#,
    ),
    (
        r#"[server.limits]|header_bytes = "2MiB""#,
        r#"2: server.limits.header_bytes: "2MiB" is out of range: write "1KiB" to "1MiB" (cookies need 1KiB, and each connection may use this much)"#,
    ),
    (
        r#"[server.limits]|header_bytes = "1023B""#,
        r#"2: server.limits.header_bytes: "1023B" is out of range: write "1KiB" to "1MiB" (cookies need 1KiB, and each connection may use this much)"#,
    ),
    (
        r#"[server.limits]|connections = 0"#,
        r#"2: server.limits.connections: 0 is out of range: write 1 to 1000000 (0 would refuse everybody; a million is more than one process can open)"#,
    ),
    (
        r#"[server.limits]|connections = 99999999999999999999"#,
        r#"2: server.limits.connections: 99999999999999999999 is out of range: write 1 to 1000000 (0 would refuse everybody; a million is more than one process can open)"#,
    ),
    (
        r#"[server.limits]|header_deadline = "0s""#,
        r#"2: server.limits.header_deadline: "0s" is out of range: write "1s" to "5m" (slow phones need a second; slow attackers use all of it)"#,
    ),
    (
        r#"[server]|lameduck = "11m""#,
        r#"2: server.lameduck: "11m" is out of range: write "0s" to "10m" (load balancers notice within minutes, and every shutdown takes this long)"#,
    ),
    (
        r#"[server]|drain_timeout = "2h""#,
        r#"2: server.drain_timeout: "2h" is out of range: write "0s" to "1h" (a shutdown must end)"#,
    ),
    (
        r#"[server]|keepalive_timeout = "0s""#,
        r#"2: server.keepalive_timeout: "0s" is out of range: write "1s" to "1h" (shorter closes connections between two clicks, longer keeps dead ones)"#,
    ),
    (
        r#"[vault]|lease = "99ms""#,
        r#"2: vault.lease: "99ms" is out of range: write "100ms" to "1m" (it is renewed four times per period, and bounds the delay of a revocation)"#,
    ),
    (
        r#"[vault]|lease = "2m""#,
        r#"2: vault.lease: "2m" is out of range: write "100ms" to "1m" (it is renewed four times per period, and bounds the delay of a revocation)"#,
    ),
    (
        r#"[vault]|statement_timeout = "0s""#,
        r#"2: vault.statement_timeout: "0s" is out of range: write "10ms" to "1m" (a disk needs 10ms, and nobody waits a minute)"#,
    ),
    (
        r#"[vault]|audit_retention = "1h""#,
        r#"2: vault.audit_retention: "1h" is out of range: write "1d" to "3660d" (addresses are personal data, and what is noticed late must still be there)"#,
    ),
    (
        r#"[sessions]|revalidate_after = "1h""#,
        r#"2: sessions.revalidate_after: "1h" is out of range: write "0s" to "10m" (0s checks on every request; longer trusts the cache too long)"#,
    ),
    (
        r#"[sessions]|vault_outage_grace = "2h""#,
        r#"2: sessions.vault_outage_grace: "2h" is out of range: write "0s" to "1h" (0s is never; without the vault a revocation may be missed)"#,
    ),
    (
        r#"[sessions]|absolute_timeout = "401d""#,
        r#"2: sessions.absolute_timeout: "401d" is out of range: write "1m" to "400d" (a session must outlast one page, and no browser keeps a cookie beyond 400d (RFC 6265bis))"#,
    ),
    (
        r#"[sessions]|idle_timeout = "31d""#,
        r#"2: sessions.idle_timeout: idle_timeout is 31d, more than the 30d of absolute_timeout, so it could never be reached: lower idle_timeout, or raise absolute_timeout"#,
    ),
    (
        r#"[sessions]|absolute_timeout = "7d""#,
        r#"2: sessions.absolute_timeout: idle_timeout is 14d, more than the 7d of absolute_timeout, so it could never be reached: lower idle_timeout, or raise absolute_timeout"#,
    ),
    (
        r#"[sessions]|idle_timeout = "10m""#,
        r#"2: sessions.idle_timeout: tokens.access_ttl is 15m, more than the 10m of sessions.idle_timeout, so a session would end between two refreshes: lower tokens.access_ttl, or raise sessions.idle_timeout"#,
    ),
    (
        r#"[sessions]|idle_timeout = "30s""#,
        r#"2: sessions.idle_timeout: "30s" is out of range: write "1m" to "400d" (a session must outlast one page, and no browser keeps a cookie beyond 400d (RFC 6265bis))"#,
    ),
    (
        r#"[sessions]|local_cache_bytes = "1KiB""#,
        r#"2: sessions.local_cache_bytes: "1KiB" is out of range: write "1MiB" to "64GiB" (1MiB holds a few hundred tokens, 64GiB more than any site has)"#,
    ),
    (
        r#"[sessions]|stream_lease = "1s"|[vault]|lease = "10s""#,
        r#"2: sessions.stream_lease: sessions.stream_lease is 1s, less than the 10s of vault.lease, so streams would end between two renewals: raise sessions.stream_lease, or lower vault.lease"#,
    ),
    (
        r#"[sessions]|idle_timeout = "30m"|[tokens]|access_ttl = "1h""#,
        r#"4: tokens.access_ttl: tokens.access_ttl is 1h, more than the 30m of sessions.idle_timeout, so a session would end between two refreshes: lower tokens.access_ttl, or raise sessions.idle_timeout"#,
    ),
    (
        r#"[login]|hash_threads = 0"#,
        r#"2: login.hash_threads: 0 is out of range: write 1 to 256 (0 could verify no password, and each keeps a core busy)"#,
    ),
    (
        r#"[login]|hash_queue = 10001"#,
        r#"2: login.hash_queue: 10001 is out of range: write 0 to 10000 (0 allows no waiting; beyond 10000 logins wait longer than browsers do)"#,
    ),
    (
        r#"[login]|min_password_length = 7"#,
        r#"2: login.min_password_length: 7 is out of range: write 8 to 256 (NIST SP 800-63B allows no less than 8, and nobody types more than 256)"#,
    ),
    (
        r#"[login]|min_password_length = 257"#,
        r#"2: login.min_password_length: 257 is out of range: write 8 to 256 (NIST SP 800-63B allows no less than 8, and nobody types more than 256)"#,
    ),
    (
        r#"[login]|factor = "totp"|factor_roles = ["Admin"]|factor_grace = "1y""#,
        r#"2: login.factor: unknown value "totp" (write "optional" or "mfa")|3: login.factor_roles[0]: "Admin" is not a role: a role has 1 to 64 characters from a-z 0-9 . _ : -|4: login.factor_grace: "1y" is not a duration: write a whole number and ms, s, m, h or d, such as "15m""#,
    ),
    (
        r#"[login]|factor_roles = ["admin"]|factor_grace = "91d""#,
        r#"2: login.factor_roles: nobody needs a second factor, so this has no effect: set factor = "mfa", or remove this|3: login.factor_grace: "91d" is out of range: write "0s" to "90d" (beyond 90 days nobody remembers the notice)|3: login.factor_grace: nobody needs a second factor, so this has no effect: set factor = "mfa", or remove this"#,
    ),
    (
        r#"[server]|public_urls = ["https://app.example.com"]|[login]|passkey_rp_id = "https://example.com""#,
        r#"4: login.passkey_rp_id: "https://example.com" is not a host name: write one in lower case without scheme and port, such as "example.com""#,
    ),
    (
        r#"[server]|public_urls = ["https://app.example.com"]|[login]|passkey_rp_id = "ample.com""#,
        r#"4: login.passkey_rp_id: "ample.com" is neither the host of an https URL in server.public_urls nor a domain above one"#,
    ),
    (
        r#"[login]|passkeys = false|passkey_rp_id = "example.com""#,
        r#"3: login.passkey_rp_id: there are no passkeys, so this has no effect: remove it, or passkeys = false"#,
    ),
    (
        r#"[login]|min_password_length = 10|factor = "mfa"|factor_min_password_length = 12"#,
        r#"4: login.factor_min_password_length: 12 is more than the 10 of min_password_length, for passwords alone: lower it, or raise that"#,
    ),
    (
        r#"[login]|factor_min_password_length = 7"#,
        r#"2: login.factor_min_password_length: 7 is out of range: write 8 to 256 (NIST SP 800-63B allows no less than 8, and nobody types more than 256)|2: login.factor_min_password_length: nobody needs a second factor, so this has no effect: set factor = "mfa", or remove this"#,
    ),
    (
        r#"[login.breached_passwords]|timeout = "50ms""#,
        r#"1: login.breached_passwords.url: missing: write the address of a range API, such as url = "https://api.pwnedpasswords.com/range"|2: login.breached_passwords.timeout: "50ms" is out of range: write "100ms" to "10s" (a far server needs 100ms, and nobody waits longer than 10s)"#,
    ),
    (
        r#"[login.breached_passwords]|url = "http://mirror.example.com/range""#,
        r#"2: login.breached_passwords.url: "http://mirror.example.com/range" is http, so everybody on the way could see and forge the answers: write https://, with ca_file for a CA of your own"#,
    ),
    (
        r#"[login.breached_passwords]|url = "https://mirror.example.com/range?a=b""#,
        r#"2: login.breached_passwords.url: "https://mirror.example.com/range?a=b" is more than scheme, host and path: write it without query and fragment"#,
    ),
    (
        r#"[login]|attempts_per_account = 0"#,
        r#"2: login.attempts_per_account: 0 is out of range: write 1 to 100 (0 would lock everybody out, and NIST SP 800-63B allows 100)"#,
    ),
    (
        r#"[login]|attempts_per_address = 0"#,
        r#"2: login.attempts_per_address: 0 is out of range: write 1 to 100000 (0 would lock everybody out; beyond 100000 it limits nothing)"#,
    ),
    (
        r#"[login]|attempts_overall = 0"#,
        r#"2: login.attempts_overall: 0 is out of range: write 1 to 1000000 (0 would hold every address to a tenth of its limit; beyond 1000000 it limits nothing)"#,
    ),
    (
        r#"[login]|failure_delay = "11s""#,
        r#"2: login.failure_delay: "11s" is out of range: write "0s" to "10s" (nobody waits longer for a typo)"#,
    ),
    (
        r#"{app}connect_timeout = "0s""#,
        r#"3: upstreams.app.connect_timeout: "0s" is out of range: write "10ms" to "1m" (a local network needs 10ms, and nobody waits a minute)"#,
    ),
    (
        r#"{app}idle_timeout = "2h""#,
        r#"3: upstreams.app.idle_timeout: "2h" is out of range: write "1s" to "1h" (shorter opens a connection per request; firewalls drop longer ones)"#,
    ),
    (
        r#"{app}{route}timeout = "0s""#,
        r#"8: routes[0].timeout: "0s" is out of range: write "100ms" to "1d" (an app needs 100ms, and one silent for a day has failed)"#,
    ),
    (
        r#"{app}{route}body_limit = "2048GiB""#,
        r#"8: routes[0].body_limit: "2048GiB" is out of range: write "0B" to "1024GiB" (0B allows no body, and more than 1024GiB is too much for one request)"#,
    ),
    (
        r#"{app}{route}body_limit = 16"#,
        r#"8: routes[0].body_limit: 16 has no unit: a size is a string, write "16B""#,
    ),
    (
        r#"[vault]|lease = "45s""#,
        r#"2: vault.lease: sessions.stream_lease is 30s, less than the 45s of vault.lease, so streams would end between two renewals: raise sessions.stream_lease, or lower vault.lease"#,
    ),
];
