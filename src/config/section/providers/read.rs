//! Reader of `[[providers]]`.

use std::path::Path;
use std::time::Duration;

use super::presets::{CONSUMERS, ENTRA, GITHUB_ORGS, GITHUB_TEAMS};
use super::values::{
    audience, client_id, client_secret, domain, id, issuer_url, key_id, label, org, team, tenant, web_url,
};
use super::{
    ClaimPath, ClientAuthentication, CreateUsers, Preset, PrivateKey, Provider, RoleRule, SignatureAlgorithm,
};
use crate::certificate::Authorities;
use crate::config::Env;
use crate::config::parse::hint::quoted;
use crate::config::parse::location::Location;
use crate::config::parse::origin;
use crate::config::parse::reader::{Table, Value};
use crate::config::parse::secrets;
use crate::config::section::tls;

/// Maximum number of providers: more buttons than a page can have.
const MAX_PROVIDERS: usize = 32;

/// Reads all providers, in order of the file.
pub(crate) fn providers(tables: Vec<Table<'_>>, dir: &Path, env: Env<'_>) -> Vec<Provider> {
    let mut read: Vec<(Provider, Location<'_>)> = Vec::new();
    for (at, table) in tables.into_iter().enumerate() {
        let (id, client) = (table.location_of("id"), table.location_of("client_id"));
        let addresses = table.location_of("email_domains");
        if at == MAX_PROVIDERS {
            table.location().problem(format!("more than {MAX_PROVIDERS} providers: remove some"));
        }
        let Some(provider) = provider(table, dir, env) else { continue };
        if let Some((_, there)) = read.iter().find(|(other, _)| other.id == provider.id) {
            id.problem(format!(
                "\"{}\" is also the id of the provider in line {}: give each its own",
                provider.id,
                there.line()
            ));
        }
        let is_same =
            |other: &Provider| (&other.issuer, &other.client_id) == (&provider.issuer, &provider.client_id);
        if let Some((other, _)) = read.iter().find(|(other, _)| is_same(other)) {
            client.problem(format!(
                "provider \"{}\" has the same issuer and client_id: register another client, or remove one of them",
                other.id
            ));
        }
        for domain in &provider.email_domains {
            if let Some((other, _)) = read.iter().find(|(other, _)| other.email_domains.contains(domain)) {
                addresses.problem(format!(
                    "{} is also among those of provider \"{}\": an address leads to one provider, so remove it here or there",
                    quoted(domain),
                    other.id
                ));
            }
        }
        read.push((provider, id));
    }
    read.into_iter().map(|(provider, _)| provider).collect()
}

fn provider(table: Table<'_>, dir: &Path, env: Env<'_>) -> Option<Provider> {
    let id = table
        .required("id", "write a name for URLs, logs and metrics, such as id = \"example\"")
        .and_then(|value| value.parsed(id));
    let preset = match table.value("preset") {
        Some(value) => value.choice(&Preset::ALL),
        None => Some(Preset::Oidc),
    };
    let client_id = table
        .required("client_id", "write the client id that the provider shows for this client")
        .and_then(|value| value.parsed(client_id));
    let authorities = table.value("ca_file").and_then(|value| {
        let (file, pem) = tls::pem(&table, &value, "ca_file", dir)?;
        Authorities::read(&pem).map_err(|error| tls::report(&table, "ca_file", &file, &error)).ok()
    });
    let roles = rules(&table);
    // The keys below depend on the preset. With a wrong preset they are only checked for themselves.
    let known = preset.unwrap_or(Preset::Oidc);
    let authentication = authentication(&table, known, (dir, env));
    let tenants = list(&table, "tenants", r#"["72f988bf-86f1-41af-91ab-2d7cd011db47"]"#, tenant);
    let (issuer, tenants) = issuer(&table, known, tenants);
    let api_url = table.value("api_url").and_then(|value| value.parsed(web_url));
    let domains = list(&table, "allowed_domains", r#"["example.com"]"#, domain);
    let orgs = list(&table, "allowed_orgs", r#"["example"]"#, org);
    let teams = list(&table, "allowed_teams", r#"["example/platform"]"#, team);
    for (name, preset) in [
        ("allowed_orgs", Preset::GitHub),
        ("allowed_teams", Preset::GitHub),
        ("api_url", Preset::GitHub),
        ("tenants", Preset::Microsoft),
    ] {
        if table.has(name) && known != preset {
            let location = table.location_of(name);
            location.problem(format!("only for preset = \"{}\": remove it", preset.as_str()));
        }
    }
    if known == Preset::GitHub {
        check_case(&table, &roles);
    }
    let recheck = table.value("recheck").and_then(|value| {
        let range = Duration::ZERO..=Duration::from_hours(30 * 24);
        let recheck = value.duration(range, "\"0s\" never asks again; a month is the longest session")?;
        // Each recheck costs the provider some requests, and it limits them.
        if !recheck.is_zero() && recheck < Duration::from_mins(1) {
            value.location().problem("less than a minute: write \"1m\" or more, or \"0s\" for never");
            return None;
        }
        Some(recheck)
    });
    let recheck = recheck.unwrap_or(known.recheck());
    let uses_orgs = |rule: &RoleRule| [GITHUB_ORGS, GITHUB_TEAMS].contains(&rule.claim.top());
    let needs_orgs = !orgs.is_empty() || !teams.is_empty() || roles.iter().any(uses_orgs);
    let scopes = match table.value("scopes") {
        Some(value) => scopes(&value, known).unwrap_or_default(),
        None => known.scopes(!recheck.is_zero(), needs_orgs),
    };
    if known == Preset::GitHub && needs_orgs && table.has("scopes") && !scopes.iter().any(|s| s == "read:org")
    {
        let location = table.location_of("scopes");
        location.problem("organizations and teams need the scope \"read:org\": add it, or remove scopes");
    }
    let read = ReadRest {
        label: table.value("label").and_then(|value| value.parsed(label)),
        create_users: table.value("create_users").and_then(|value| {
            value.choice(&[
                ("never", CreateUsers::Never),
                ("always", CreateUsers::Always),
                ("approve", CreateUsers::Approve),
            ])
        }),
        trust_email: table.value("trust_email").and_then(|value| value.flag()),
        username: table.value("username").and_then(|value| value.parsed(str::parse::<ClaimPath>)),
        logout: table.value("logout").and_then(|value| value.flag()),
        algorithms: table.value("algorithms").and_then(|value| algorithms(&value)),
    };
    if let (Preset::Google | Preset::GitHub, Some(true)) = (known, read.logout) {
        let location = table.location_of("logout");
        location.problem(format!("{} has no address for a sign-out: remove it", known.label()));
    }
    let consent = table.value("consent").and_then(|value| value.flag());
    let factor_values = list(&table, "factor_values", r#"["mfa"]"#, factor_value);
    let audiences = list(&table, "audiences", r#"["project"]"#, audience);
    let email_domains = list(&table, "email_domains", r#"["example.com"]"#, domain);
    let private_hosts = list(&table, "private_hosts", r#"["sso.internal"]"#, |text| {
        origin::host(text).map(|host| host.trim_start_matches('[').trim_end_matches(']').to_owned())
    });
    table.finish();
    let issuer = issuer?;
    let api_url = (known == Preset::GitHub).then(|| api_url.unwrap_or_else(|| default_api(&issuer)));
    Some(Provider {
        id: id?,
        preset: preset?,
        issuer,
        api_url,
        client_id: client_id?,
        authentication: authentication?,
        label: read.label.unwrap_or_else(|| known.label().to_owned()),
        create_users: read.create_users.unwrap_or(CreateUsers::Never),
        allowed_domains: domains,
        allowed_orgs: orgs,
        allowed_teams: teams,
        tenants,
        trust_email: read.trust_email.unwrap_or(false),
        username: read.username.unwrap_or_else(|| known.username()),
        roles,
        factor_values,
        recheck,
        logout: read.logout.unwrap_or(false),
        scopes,
        email_domains,
        authorities,
        private_hosts,
        audiences,
        consent: consent.unwrap_or(known == Preset::Google && !recheck.is_zero()),
        algorithms: read.algorithms.unwrap_or_else(|| vec![SignatureAlgorithm::Rs256]),
    })
}

/// Reports a rule about organizations or teams that could match nothing.
fn check_case(table: &Table<'_>, roles: &[RoleRule]) {
    for rule in roles.iter().filter(|rule| [GITHUB_ORGS, GITHUB_TEAMS].contains(&rule.claim.top())) {
        let lowered = rule.value.to_ascii_lowercase();
        if lowered != rule.value {
            table.location_of("roles").problem(format!(
                "{} has capital letters, but organizations and teams are compared in lower case: write {}",
                quoted(&rule.value),
                quoted(&lowered)
            ));
        }
    }
}

/// Reads a value of `amr` or `acr`.
fn factor_value(text: &str) -> Result<String, String> {
    let is_plain = !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain {
        return Err(format!("{} is no value of amr or acr: write one such as \"mfa\"", quoted(text)));
    }
    // RFC 8176: one factor alone, or a risk check. Whoever trusts them trusts a password.
    if ["pwd", "pin", "kba", "rba", "geo", "user", "fed"].contains(&text) {
        return Err(format!("{} proves no second factor: write one such as \"mfa\"", quoted(text)));
    }
    Ok(text.to_owned())
}

/// Keys that depend on no other.
struct ReadRest {
    label: Option<String>,
    create_users: Option<CreateUsers>,
    trust_email: Option<bool>,
    username: Option<ClaimPath>,
    logout: Option<bool>,
    algorithms: Option<Vec<SignatureAlgorithm>>,
}

/// Reads the key `name` as a list of distinct texts; empty when it is absent or wrong.
fn list(
    table: &Table<'_>,
    name: &'static str,
    example: &str,
    parse: impl Fn(&str) -> Result<String, String>,
) -> Vec<String> {
    table.value(name).and_then(|value| value.distinct(example, parse)).unwrap_or_default()
}

/// Reads the credential of the client: a secret or a private key.
fn authentication(
    table: &Table<'_>,
    preset: Preset,
    (dir, env): (&Path, Env<'_>),
) -> Option<ClientAuthentication> {
    let secret_forms = ["client_secret", "client_secret_file", "client_secret_env"];
    let key_forms = ["private_key", "private_key_file", "private_key_env"];
    let has = |forms: [&'static str; 3]| forms.into_iter().find(|name| table.has(name));
    let (secret_form, key_form) = (has(secret_forms), has(key_forms));
    let secret = secrets::text(table, secret_forms, "the client secret", dir, env, client_secret);
    let key = secrets::text(table, key_forms, "the private key", dir, env, PrivateKey::parse);
    let key_id = table.value("private_key_id").and_then(|value| value.parsed(key_id));
    let post = table
        .value("token_auth")
        .and_then(|value| value.choice(&[("basic", false), ("post", true)]))
        // GitHub documents the form alone.
        .unwrap_or(preset == Preset::GitHub);
    match (secret_form, key_form) {
        (Some(_), Some(key_form)) => {
            table.location_of(key_form).problem("given besides a client secret: keep exactly one");
            return None;
        }
        (None, None) if !table.location().has_unreadable_lines() => {
            table.location().problem(
                "no credential: write the client secret into a file and name it in client_secret_file, or name a key in \
                 private_key_file",
            );
            return None;
        }
        (None, Some(_)) if table.has("token_auth") => {
            table.location_of("token_auth").problem("a private key has one way only: remove this");
        }
        (_, None) if table.has("private_key_id") => {
            table.location_of("private_key_id").problem("without private_key_file: remove this");
        }
        _ => {}
    }
    let secret = secret.map(|secret| match post {
        true => ClientAuthentication::SecretPost(secret),
        false => ClientAuthentication::SecretBasic(secret),
    });
    secret.or(key.map(|key| ClientAuthentication::PrivateKeyJwt { key, key_id }))
}

/// Reads the issuer, and completes it and the tenants of Entra ID by each other.
fn issuer(table: &Table<'_>, preset: Preset, mut tenants: Vec<String>) -> (Option<String>, Vec<String>) {
    let written = match (table.value("issuer"), preset.issuer()) {
        (Some(value), _) => match value.parsed(issuer_url) {
            Some(issuer) => Some(issuer),
            None => return (None, tenants),
        },
        (None, Ok(default)) => Some(default.to_owned()),
        (None, Err(_)) if preset == Preset::Microsoft && !tenants.is_empty() => None,
        (None, Err(_)) if preset == Preset::Microsoft && table.has("tenants") => {
            let location = table.location_of("tenants");
            if !location.has_problem() {
                location.problem("empty: list the tenants whose members may sign in");
            }
            return (None, tenants);
        }
        (None, Err(example)) => {
            let instead = if preset == Preset::Microsoft {
                "write tenants = [\"<tenant id>\"] instead, from the overview page of Entra ID".to_owned()
            } else {
                format!("write the issuer of the provider, such as issuer = \"{example}\"")
            };
            table.required("issuer", &instead);
            return (None, tenants);
        }
    };
    if preset != Preset::Microsoft {
        return (written, tenants);
    }
    let Some(written) = written else {
        let authority = match tenants.as_slice() {
            [one] => one.as_str(),
            many if many.iter().any(|tenant| tenant == CONSUMERS) => "common",
            _ => "organizations",
        };
        return (Some(format!("{ENTRA}/{authority}/v2.0")), tenants);
    };
    let authority =
        written.strip_suffix("/v2.0").and_then(|rest| rest.rsplit('/').next()).unwrap_or_default();
    match authority {
        "common" | "organizations" | "consumers" if tenants.is_empty() => {
            table.location_of("issuer").problem(
                "this issuer is of all tenants of Entra ID, so everybody could sign in: list yours in tenants = [\"…\"]",
            );
        }
        "common" | "organizations" => {}
        one => match tenant(one) {
            Ok(one) if tenants.is_empty() => tenants.push(one),
            Ok(one) if tenants == [one.as_str()] => {}
            Ok(_) => {
                table.location_of("tenants").problem("the issuer names one tenant: remove issuer or tenants");
            }
            Err(_) => table.location_of("issuer").problem(
                "this is not an issuer of Entra ID: remove it, and write tenants = [\"<tenant id>\"] instead",
            ),
        },
    }
    (Some(written), tenants)
}

fn default_api(issuer: &str) -> String {
    match issuer {
        "https://github.com" => "https://api.github.com".to_owned(),
        server => format!("{}/api/v3", server.trim_end_matches('/')),
    }
}

/// Reads scopes (RFC 6749 section 3.3).
fn scopes(value: &Value<'_>, preset: Preset) -> Option<Vec<String>> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let scopes = value.distinct(r#"["openid", "profile"]"#, |text| {
        if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) {
            return Err(format!("{} is not a scope: write one per element, without spaces", quoted(text)));
        }
        Ok(text.to_owned())
    })?;
    if preset != Preset::GitHub && !scopes.iter().any(|scope| scope == "openid") {
        value.location().problem("without \"openid\" there is no ID token: add it");
        return None;
    }
    Some(scopes)
}

fn algorithms(value: &Value<'_>) -> Option<Vec<SignatureAlgorithm>> {
    let algorithms = value.distinct(r#"["RS256"]"#, |text| {
        if text == "none" || text.starts_with("HS") {
            return Err(format!(
                "{} proves nothing about the signer: write RS256, and choose a signing key at the provider",
                quoted(text)
            ));
        }
        let known = SignatureAlgorithm::ALL.iter().find(|(name, _)| *name == text);
        known.map(|(_, algorithm)| *algorithm).ok_or_else(|| {
            let names: Vec<&str> = SignatureAlgorithm::ALL.iter().map(|(name, _)| *name).collect();
            format!("unknown value {} (write some of {})", quoted(text), names.join(", "))
        })
    })?;
    if algorithms.is_empty() {
        value.location().problem("empty: write [\"RS256\"], or remove it");
        return None;
    }
    Some(algorithms)
}

/// Reads `roles = [{ claim = "groups", value = "platform", role = "admin" }]`.
fn rules(table: &Table<'_>) -> Vec<RoleRule> {
    const EXAMPLE: &str = r#"[{ claim = "groups", value = "platform", role = "admin" }]"#;
    let Some(value) = table.value("roles") else { return Vec::new() };
    value.list(EXAMPLE, |item| rule(item, EXAMPLE)).unwrap_or_default()
}

fn rule(item: &Value<'_>, example: &str) -> Option<RoleRule> {
    let Some(table) = item.as_table() else { return item.wrong_type(&format!("a table, as in {example}")) };
    let claim = table
        .required("claim", "write the claim to look into, such as claim = \"groups\"")
        .and_then(|value| value.parsed(str::parse::<ClaimPath>));
    let text = table.required("value", "write the exact text that gives the role").and_then(|value| {
        value.parsed(|text| {
            if text.is_empty() || text.len() > 512 {
                return Err("write the exact text that gives the role, 1 to 512 bytes".to_owned());
            }
            Ok(text.to_owned())
        })
    });
    let role =
        table.required("role", "write the role that it gives, such as role = \"admin\"").and_then(|value| {
            value.parsed(|text| {
                text.parse().map_err(|error| format!("{} is not a role: {error}", quoted(text)))
            })
        });
    table.finish();
    Some(RoleRule { claim: claim?, value: text?, role: role? })
}
