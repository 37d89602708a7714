//! More invalid files, in the notation of `bad`: identity providers. `{p}` starts a valid provider of five lines.

use super::bad::Case;

/// `[[providers]]` and `[login] password`.
pub(super) const PROVIDERS: &[Case] = &[
    (
        "[[providers]]",
        r#"1: providers[0]: no credential: write the client secret into a file and name it in client_secret_file, or name a key in private_key_file|1: providers[0].id: missing: write a name for URLs, logs and metrics, such as id = "example"|1: providers[0].client_id: missing: write the client id that the provider shows for this client|1: providers[0].issuer: missing: write the issuer of the provider, such as issuer = "https://sso.example.com""#,
    ),
    (
        r#"[[providers]]|id = "My SSO"|issuer = "https://a"|client_id = "c"|client_secret = "s""#,
        r#"2: providers[0].id: "My SSO" is not a name: a provider has a name of 1 to 32 characters from a-z 0-9 -"#,
    ),
    (
        r#"[[providers]]|id = "a"|issuer = "http://sso.example.com"|client_id = "c"|client_secret = "s""#,
        r#"3: providers[0].issuer: "http://sso.example.com" is http, so everybody on the way could sign in as anybody: write https://, with ca_file for a CA of your own"#,
    ),
    (
        r#"[[providers]]|id = "a"|issuer = "https://sso.example.com?x"|client_id = "c d"|client_secret = "s""#,
        r#"3: providers[0].issuer: "https://sso.example.com?x" has a query or fragment: write the issuer without it (RFC 8414)|4: providers[0].client_id: "c d" is not a client id: write the 1 to 256 visible ASCII characters that the provider shows"#,
    ),
    (
        r#"{p}|preset = "azure""#,
        r#"6: providers[0].preset: unknown value "azure" (write "oidc", "google", "microsoft", "github", "gitlab", "keycloak", "okta" or "authentik")"#,
    ),
    (
        r#"{p}|client_secret_env = "KEY""#,
        r#"6: providers[0].client_secret_env: given as `client_secret` and `client_secret_env`: keep exactly one"#,
    ),
    (
        r#"{p}|private_key_file = "none.pem""#,
        r#"6: providers[0].private_key_file: `none.pem` cannot be read: No such file or directory (os error 2); write the private key into it|6: providers[0].private_key_file: given besides a client secret: keep exactly one"#,
    ),
    (
        r#"[[providers]]|id = "a"|issuer = "https://a"|client_id = "c"|private_key_env = "SHORT"|token_auth = "post""#,
        "5: providers[0].private_key_env: in the environment variable: this is not a private key: write PKCS #8 in PEM, with BEGIN PRIVATE KEY (`openssl genpkey -algorithm ed25519` makes one, `openssl pkcs8 -topk8 -nocrypt` converts one)|6: providers[0].token_auth: a private key has one way only: remove this",
    ),
    (r#"{p}|private_key_id = "k""#, "6: providers[0].private_key_id: without private_key_file: remove this"),
    (
        r#"{p}|token_auth = "none""#,
        r#"6: providers[0].token_auth: unknown value "none" (write "basic" or "post")"#,
    ),
    (
        r#"{p}|factor_values = ["pwd", "a b", "mfa"]"#,
        r#"6: providers[0].factor_values[0]: "pwd" proves no second factor: write one such as "mfa"|6: providers[0].factor_values[1]: "a b" is no value of amr or acr: write one such as "mfa""#,
    ),
    (
        r#"{p}|create_users = "yes""#,
        r#"6: providers[0].create_users: unknown value "yes" (write "never", "always" or "approve")"#,
    ),
    (
        r#"{p}|allowed_domains = ["@example.com", "Example.com", "a b"]"#,
        r#"6: providers[0].allowed_domains[0]: "@example.com" is not a domain: write "example.com"|6: providers[0].allowed_domains[1]: "Example.com" has capital letters: write "example.com"|6: providers[0].allowed_domains[2]: "a b" is not a host: write a name such as app.example.com or an address"#,
    ),
    (
        r#"{p}|allowed_orgs = ["a"]|allowed_teams = ["a/b"]|tenants = []|api_url = "https://a""#,
        r#"6: providers[0].allowed_orgs: only for preset = "github": remove it|7: providers[0].allowed_teams: only for preset = "github": remove it|8: providers[0].tenants: only for preset = "microsoft": remove it|9: providers[0].api_url: only for preset = "github": remove it"#,
    ),
    (
        r#"{p}|preset = "github"|allowed_orgs = ["a b"]|allowed_teams = ["a"]|api_url = "https://a/""#,
        r#"7: providers[0].allowed_orgs[0]: "a b" is not an organization: write its name in URLs of GitHub|8: providers[0].allowed_teams[0]: "a" is not a team: write the names of organization and team as in URLs of GitHub, such as "example/platform"|9: providers[0].api_url: "https://a/" ends in /: write "https://a""#,
    ),
    (
        r#"{p}|preset = "github"|allowed_orgs = ["a"]|scopes = ["read:user"]"#,
        r#"8: providers[0].scopes: organizations and teams need the scope "read:org": add it, or remove scopes"#,
    ),
    (
        r#"{p}|preset = "github"|roles = [{ claim = "teams", value = "Example/Platform", role = "admin" }]"#,
        r#"7: providers[0].roles: "Example/Platform" has capital letters, but organizations and teams are compared in lower case: write "example/platform""#,
    ),
    (
        r#"{p}|username = "a..b""#,
        r#"6: providers[0].username: "a..b" has an empty name: write a name such as "groups", a path such as "realm_access.roles", or a JSON pointer such as "/resource_access/my.client/roles""#,
    ),
    (
        r#"{p}|roles = [{ claim = "groups" }, { claim = "g", value = "v", role = "Admin", rule = 1 }, "x"]"#,
        r#"6: providers[0].roles[0].value: missing: write the exact text that gives the role|6: providers[0].roles[0].role: missing: write the role that it gives, such as role = "admin"|6: providers[0].roles[1].role: "Admin" is not a role: a role has 1 to 64 characters from a-z 0-9 . _ : -|6: providers[0].roles[1].rule: unknown key (did you mean "role"?)|6: providers[0].roles[2]: this is a string: write a table, as in [{ claim = "groups", value = "platform", role = "admin" }]"#,
    ),
    (
        r#"{p}|recheck = "10s""#,
        r#"6: providers[0].recheck: less than a minute: write "1m" or more, or "0s" for never"#,
    ),
    (
        r#"{p}|recheck = "31d""#,
        r#"6: providers[0].recheck: "31d" is out of range: write "0s" to "30d" ("0s" never asks again; a month is the longest session)"#,
    ),
    (r#"{p}|scopes = ["email"]"#, r#"6: providers[0].scopes: without "openid" there is no ID token: add it"#),
    (
        r#"{p}|scopes = ["openid profile"]"#,
        r#"6: providers[0].scopes[0]: "openid profile" is not a scope: write one per element, without spaces"#,
    ),
    (
        r#"{p}|algorithms = ["HS256", "none", "RS1"]"#,
        r#"6: providers[0].algorithms[0]: "HS256" proves nothing about the signer: write RS256, and choose a signing key at the provider|6: providers[0].algorithms[1]: "none" proves nothing about the signer: write RS256, and choose a signing key at the provider|6: providers[0].algorithms[2]: unknown value "RS1" (write some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA)"#,
    ),
    (r#"{p}|algorithms = []"#, r#"6: providers[0].algorithms: empty: write ["RS256"], or remove it"#),
    (
        r#"{p}|label = """#,
        r#"6: providers[0].label: "" is not the text of a button: write 1 to 40 characters"#,
    ),
    (
        r#"{p}|ca_file = "none.pem""#,
        "6: providers[0].ca_file: `none.pem` cannot be read: No such file or directory (os error 2); name a PEM file that this user can read",
    ),
    (
        r#"[[providers]]|id = "a"|preset = "microsoft"|client_id = "c"|client_secret = "s""#,
        r#"1: providers[0].issuer: missing: write tenants = ["<tenant id>"] instead, from the overview page of Entra ID"#,
    ),
    (
        r#"[[providers]]|id = "a"|preset = "microsoft"|client_id = "c"|client_secret = "s"|issuer = "https://login.microsoftonline.com/common/v2.0""#,
        r#"6: providers[0].issuer: this issuer is of all tenants of Entra ID, so everybody could sign in: list yours in tenants = ["…"]"#,
    ),
    (
        r#"[[providers]]|id = "a"|preset = "microsoft"|client_id = "c"|client_secret = "s"|tenants = ["example.com"]"#,
        r#"6: providers[0].tenants[0]: "example.com" is not a tenant id: write the GUID from the overview page of Entra ID"#,
    ),
    (
        r#"[[providers]]|id = "a"|preset = "microsoft"|client_id = "c"|client_secret = "s"|issuer = "https://sts.example.com/""#,
        r#"6: providers[0].issuer: this is not an issuer of Entra ID: remove it, and write tenants = ["<tenant id>"] instead"#,
    ),
    (
        r#"{p}|{q}|id = "a"|client_id = "d""#,
        r#"11: providers[1].id: "a" is also the id of the provider in line 2: give each its own"#,
    ),
    (
        r#"{p}|{q}|id = "b"|client_id = "c""#,
        r#"12: providers[1].client_id: provider "a" has the same issuer and client_id: register another client, or remove one of them"#,
    ),
    (
        r#"[[providers]]|id = "a"|issuer = "https://sso.example.com/realms/main/.well-known/openid-configuration"|client_id = "c"|client_secret = "s""#,
        r#"3: providers[0].issuer: "https://sso.example.com/realms/main/.well-known/openid-configuration" is the address of the discovery document: write the `issuer` that stands in it, most likely "https://sso.example.com/realms/main""#,
    ),
    (
        r#"{p}|allowed_domains = ["https://Example.com/", "ada@example.org", "https://a b", "http:"]"#,
        r#"6: providers[0].allowed_domains[0]: "https://Example.com/" is not a domain: write "example.com"|6: providers[0].allowed_domains[1]: "ada@example.org" is not a domain: write "example.org"|6: providers[0].allowed_domains[2]: "https://a b" is not a host: write a name such as app.example.com or an address|6: providers[0].allowed_domains[3]: "http:" is not a host: write a name such as app.example.com or an address"#,
    ),
    (
        r#"{p}|email_domains = ["example.org", "example.com"]|{q}|id = "b"|client_id = "d"|email_domains = ["example.com"]"#,
        r#"14: providers[1].email_domains: "example.com" is also among those of provider "a": an address leads to one provider, so remove it here or there"#,
    ),
    (
        r#"{p}|preset = "github"|logout = true"#,
        "7: providers[0].logout: GitHub has no address for a sign-out: remove it",
    ),
    (
        r#"{p}|preset = "google"|logout = true"#,
        "7: providers[0].logout: Google has no address for a sign-out: remove it",
    ),
    (
        "[login]|password = false",
        "2: login.password: nobody could sign in without passwords and without [[providers]]: configure a provider, or remove this",
    ),
];
