use serde_json::json;

use super::*;
use crate::config::Config;

fn settings(preset: &str, more: &str) -> Settings {
    let issuer = match preset {
        "google" | "gitlab" => "",
        "microsoft" => "tenants = [\"11111111-1111-1111-1111-111111111111\"]\n",
        _ => "issuer = \"https://a\"\n",
    };
    let text = format!(
        "[[providers]]\nid = \"a\"\npreset = \"{preset}\"\n{issuer}client_id = \"c\"\nclient_secret = \"s\"\n{more}"
    );
    let config = Config::parse(&text, std::path::Path::new("gateway.toml"), &|_| None);
    config.unwrap_or_else(|problems| panic!("{text}\n{problems}")).providers.remove(0)
}

fn claims(value: Value) -> Claims {
    let Value::Object(claims) = value else { panic!("{value}") };
    Claims::new(claims)
}

fn roles(preset: &str, claim: &str, value: &str, given: Value) -> Result<bool, UndecidedClaim> {
    let rule = format!("roles = [{{ claim = {claim:?}, value = {value:?}, role = \"admin\" }}]");
    match claims(given).roles(&settings(preset, &rule)) {
        MappedRoles::Decided(roles) => Ok(!roles.is_empty()),
        MappedRoles::Undecided(reason) => Err(reason),
        MappedRoles::Unmanaged => panic!("there is a rule"),
    }
}

#[test]
fn rule_matches_the_exact_text_only() {
    let groups = |value: Value| roles("oidc", "groups", "ops", json!({ "groups": value }));
    for (value, expected) in [
        (json!("ops"), true),
        (json!(["dev", "ops"]), true),
        (json!("ops "), false),
        (json!("OPS"), false),
        (json!("/ops"), false),
        (json!("devops"), false),
        (json!("ops,dev"), false),
        (json!(["dev ops"]), false),
        (json!([]), false),
        (json!(""), false),
    ] {
        assert_eq!(groups(value.clone()), Ok(expected), "{value}");
    }
    let nested = json!({ "realm_access": { "roles": ["ops"] }, "https://a/roles": "ops", "x.y": "ops" });
    for claim in ["realm_access.roles", "/realm_access/roles", "https://a/roles", "/x.y"] {
        assert_eq!(roles("oidc", claim, "ops", nested.clone()), Ok(true), "{claim}");
    }
    for claim in ["x.y", "realm_access", "realm_access.roles.0", "/x/y"] {
        assert!(roles("oidc", claim, "ops", nested.clone()).is_err(), "{claim}");
    }
}

#[test]
fn one_unreadable_claim_leaves_all_roles_undecided() {
    let rules = "roles = [{ claim = \"groups\", value = \"ops\", role = \"ops\" }, { claim = \"other\", value = \"x\", role = \"y\" }]";
    let settings = settings("oidc", rules);
    let decide = |value| claims(value).roles(&settings);
    assert_eq!(decide(json!({ "groups": ["ops"] })), MappedRoles::Undecided(UndecidedClaim::Missing));
    let decided = MappedRoles::Decided(Roles::parse(["ops"]).unwrap());
    assert_eq!(decide(json!({ "groups": ["ops"], "other": [] })), decided);
}

#[test]
fn lists_that_providers_cut_are_undecided() {
    let many: Vec<String> = (0..100).map(|at| format!("g{at}")).collect();
    assert_eq!(roles("okta", "groups", "ops", json!({ "groups": many })), Err(UndecidedClaim::Partial));
    assert_eq!(roles("okta", "groups", "g7", json!({ "groups": many })), Ok(true));
    assert_eq!(roles("okta", "groups", "ops", json!({ "groups": many[1..] })), Ok(false));
    assert_eq!(roles("oidc", "groups", "ops", json!({ "groups": many })), Ok(false));
}

#[test]
fn absent_claims_of_keycloak_are_none() {
    // Seen at Keycloak 26.7: of a person without groups both the ID token and UserInfo leave the claim out.
    for (claim, given) in [
        ("groups", json!({})),
        ("realm_access.roles", json!({ "realm_access": {} })),
        ("/resource_access/doorward/roles", json!({ "resource_access": {} })),
    ] {
        assert_eq!(roles("keycloak", claim, "ops", given.clone()), Ok(false), "{claim}");
        assert_eq!(roles("oidc", claim, "ops", given), Err(UndecidedClaim::Missing), "{claim}");
    }
    assert_eq!(roles("keycloak", "groups", "ops", json!({ "groups": 1 })), Err(UndecidedClaim::Malformed));
    let elsewhere = json!({ "_claim_names": { "groups": "src1" } });
    assert_eq!(roles("keycloak", "groups", "ops", elsewhere), Err(UndecidedClaim::Overage));
}

#[test]
fn absent_app_roles_of_entra_are_none() {
    assert_eq!(roles("microsoft", "roles", "ops", json!({})), Ok(false));
    assert_eq!(roles("microsoft", "groups", "ops", json!({})), Err(UndecidedClaim::Missing));
    assert_eq!(roles("oidc", "roles", "ops", json!({})), Err(UndecidedClaim::Missing));
    assert_eq!(
        roles("microsoft", "groups", "ops", json!({ "hasgroups": "true" })),
        Err(UndecidedClaim::Overage)
    );
}

/// N3
#[test]
fn address_gives_a_role_only_if_verified() {
    let given = |verified: Value| json!({ "email": "ada@example.com", "email_verified": verified });
    let role = |verified| roles("oidc", "email", "ada@example.com", given(verified));
    assert_eq!(role(json!(true)), Ok(true));
    for unverified in [json!(false), json!("true"), json!(1), json!(null)] {
        assert_eq!(role(unverified.clone()), Ok(false), "{unverified}");
    }
}

/// N3, N11
#[test]
fn authority_for_addresses_differs_by_provider() {
    for (preset, given, expected) in [
        ("oidc", json!({ "email": "a@b.example", "email_verified": true }), true),
        ("oidc", json!({ "email": "a@b.example" }), false),
        ("oidc", json!({ "email": "a@b.example", "xms_edov": true }), false),
        ("google", json!({ "email": "a@gmail.com", "email_verified": true }), true),
        ("google", json!({ "email": "a@b.example", "email_verified": true, "hd": "b.example" }), true),
        ("google", json!({ "email": "a@b.example", "email_verified": true }), false),
        ("google", json!({ "email": "a@b.example", "email_verified": "true", "hd": "b.example" }), false),
        ("microsoft", json!({ "email": "a@b.example", "email_verified": true }), false),
        ("microsoft", json!({ "email": "a@b.example", "xms_edov": false }), false),
        ("microsoft", json!({ "email": "a@b.example", "xms_edov": "0" }), false),
        ("microsoft", json!({ "email": "a@b.example", "xms_edov": true }), true),
        ("microsoft", json!({ "email": "a@b.example", "xms_edov": 1 }), true),
        ("microsoft", json!({ "email": "a@b.example", "xms_edov": "1" }), true),
    ] {
        let settings = settings(preset, "");
        let (email, is_verified) = claims(given.clone()).email(settings.preset);
        assert!(email.is_some());
        assert_eq!(is_verified, expected, "{preset} {given}");
    }
}

/// N11
#[test]
fn google_domain_is_the_claim_and_not_the_address() {
    let settings = settings("google", "allowed_domains = [\"example.com\"]");
    let admission = |given: Value| claims(given).admission(&settings);
    let address = "ada@example.com";
    let verified = |hd: Value| json!({ "email": address, "email_verified": true, "hd": hd });
    assert_eq!(admission(verified(json!("example.com"))), Admission::Admitted);
    assert_eq!(admission(verified(json!("Example.COM"))), Admission::Admitted);
    let refused = Admission::Refused(NotAdmitted::Domain);
    for hd in
        [json!(null), json!(""), json!("evil.example"), json!("example.com.evil.org"), json!(["example.com"])]
    {
        assert_eq!(admission(verified(hd.clone())), refused, "{hd}");
    }
    assert_eq!(admission(json!({ "email": address, "email_verified": true })), refused);
}

#[test]
fn login_name_is_proposed_from_any_text() {
    for (text, expected) in [
        ("Ada", Some("ada")),
        (" ada@example.com ", Some("ada@example.com")),
        ("Ada Lovelace", Some("ada-lovelace")),
        ("EXAMPLE\\ada", Some("example-ada")),
        ("Ада1", Some("---1")),
        ("Ада", None),
        ("", None),
        ("..", None),
        ("a\r\nb", Some("a--b")),
    ] {
        assert_eq!(login(text).as_ref().map(Login::as_str), expected, "{text:?}");
    }
    assert_eq!(login(&"x".repeat(500)).unwrap().as_str().len(), 128);
}

#[test]
fn newer_claims_replace_all_but_those_of_the_token() {
    let more = |value: Value| match value {
        Value::Object(members) => members,
        other => panic!("{other}"),
    };
    let mut one = claims(json!({ "sub": "a", "name": "old", "exp": 1 }));
    one.add(more(json!({ "sub": "b", "name": "new", "exp": 2, "email": "e" })), false);
    assert_eq!((one.text("sub"), one.text("name"), one.text("email")), (Some("a"), Some("old"), Some("e")));
    one.add(more(json!({ "sub": "b", "name": "new", "exp": 2 })), true);
    assert_eq!((one.text("sub"), one.text("name")), (Some("a"), Some("new")));
    assert_eq!(one.time("exp").map(Timestamp::secs), Some(1));
}

#[test]
fn address_is_verified_by_the_response_that_states_it() {
    // Each response says whether its own address is verified: the two must not be combined.
    let more = |value: Value| match value {
        Value::Object(members) => members,
        other => panic!("{other}"),
    };
    let (ada, eve) = (json!("ada@corp.example"), json!("eve@evil.example"));
    let verified = json!(true);
    for (token, userinfo, is_newer, expected) in [
        (json!({ "email": ada }), json!({ "email": eve, "email_verified": verified }), false, (&ada, false)),
        (json!({ "email": ada }), json!({ "email_verified": verified }), false, (&ada, false)),
        (json!({ "email": ada }), json!({ "email": ada, "email_verified": verified }), false, (&ada, true)),
        (json!({ "email": ada, "email_verified": verified }), json!({ "email": eve }), false, (&ada, true)),
        (json!({ "email": ada, "email_verified": verified }), json!({ "email": eve }), true, (&eve, false)),
        (json!({ "email": ada, "email_verified": verified }), json!({ "email": ada }), true, (&ada, true)),
        (json!({ "email": ada, "email_verified": verified }), json!({ "name": "Ada" }), true, (&ada, true)),
        (
            json!({ "email": ada, "email_verified": verified }),
            json!({ "email": eve, "email_verified": verified }),
            true,
            (&eve, true),
        ),
        (json!({}), json!({ "email": eve, "email_verified": verified }), false, (&eve, true)),
        (json!({ "email_verified": verified }), json!({ "email": eve }), false, (&eve, false)),
    ] {
        let what = format!("{token} {userinfo} {is_newer}");
        let mut both = claims(token);
        both.add(more(userinfo), is_newer);
        let (email, is_verified) = both.email(Preset::Oidc);
        assert_eq!((json!(email.unwrap().as_str()), is_verified), (expected.0.clone(), expected.1), "{what}");
    }
    // The proof of Entra ID likewise.
    let mut both = claims(json!({ "email": ada, "xms_edov": true }));
    both.add(more(json!({ "email": eve })), true);
    assert!(!both.email(Preset::Microsoft).1);
}

#[test]
fn unverified_address_is_no_login_name() {
    // An app takes the login name as it is: anybody could be called by the address of somebody else.
    let name = |preset: &str, more: &str, given: Value| {
        claims(given).username(&settings(preset, more)).map(|login| login.as_str().to_owned())
    };
    let by_email = "username = \"email\"";
    let ada = json!("ada@corp.example");
    assert_eq!(name("oidc", by_email, json!({ "email": ada })), None);
    assert_eq!(name("oidc", by_email, json!({ "email": ada, "email_verified": "true" })), None);
    let verified = json!({ "email": ada, "email_verified": true });
    assert_eq!(name("oidc", by_email, verified.clone()).as_deref(), Some("ada@corp.example"));
    assert_eq!(name("google", "", verified), None, "a private account with an address of a company");
    let of_company = json!({ "email": ada, "email_verified": true, "hd": "corp.example" });
    assert_eq!(name("google", "", of_company).as_deref(), Some("ada@corp.example"));
    assert_eq!(name("microsoft", by_email, json!({ "email": ada })), None, "nOAuth");
}
