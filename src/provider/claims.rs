//! From claims to a person: the configured paths, rules and gates.

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::config::{ClaimPath, Preset, Provider as Settings, RoleRule};
use crate::identity::{DisplayName, Email, Login, Roles};
use crate::provider::oidc::id_token;
use crate::provider::person::{Admission, MappedRoles, NotAdmitted, UndecidedClaim};

/// Number of groups from which Okta's list may be cut: it ends there without a sign.
const OKTA_GROUPS: usize = 100;

/// Maximum number of texts of a list that are compared; real ones are shorter.
const MAX_VALUES: usize = 10_000;

/// Claims that say whether the address of the same response is verified.
const PROOFS: [&str; 2] = ["email_verified", "xms_edov"];

/// Claims about a person, from one or several responses about the same subject.
#[derive(Debug, Default)]
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) const fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// Adds claims of the UserInfo endpoint. `is_newer`: they replace those of the same name.
    pub(super) fn add(&mut self, mut more: Map<String, Value>, is_newer: bool) {
        self.part_proofs(&mut more, is_newer);
        for (name, value) in more {
            // The identity of the token and its times stay those of the token.
            let is_of_token =
                matches!(name.as_str(), "iss" | "sub" | "aud" | "exp" | "iat" | "nonce" | "azp");
            if (is_newer && !is_of_token) || !self.0.contains_key(&name) {
                self.0.insert(name, value);
            }
        }
    }

    /// Removes the proofs that are not of the address which counts: each response says whether its own is verified. Combined with
    /// the address of the other, they would verify one that nobody has.
    fn part_proofs(&mut self, more: &mut Map<String, Value>, is_newer: bool) {
        let (own, theirs) = (self.0.get("email"), more.get("email"));
        if own.is_some() && own == theirs {
            return;
        }
        let their_address_counts = theirs.is_some() && (is_newer || own.is_none());
        let others = if their_address_counts { &mut self.0 } else { more };
        for proof in PROOFS {
            others.remove(proof);
        }
    }

    /// Returns a time; a malformed one is none.
    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        id_token::time(&self.0, name).ok().flatten()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Returns the texts of `amr`, at most 16, and that of `acr`.
    pub(super) fn amr(&self) -> Vec<String> {
        let methods = self.0.get("amr").and_then(Value::as_array).into_iter().flatten();
        let methods = methods.filter_map(Value::as_str).take(16);
        methods.chain(self.text("acr")).filter(|value| value.len() <= 128).map(str::to_owned).collect()
    }

    fn at(&self, path: &ClaimPath) -> Option<&Value> {
        let mut parts = path.parts().iter();
        let mut value = self.0.get(parts.next()?)?;
        for part in parts {
            value = value.as_object()?.get(part)?;
        }
        Some(value)
    }

    /// Returns whether the UserInfo endpoint could add a claim that the settings need.
    pub(super) fn lack(&self, settings: &Settings) -> bool {
        let rules = settings.roles.iter().map(|rule| &rule.claim);
        let has_scope = |scope: &str| settings.scopes.iter().any(|known| known == scope);
        let is_missing = |name: &str| !self.0.contains_key(name);
        rules.chain([&settings.username]).any(|path| self.at(path).is_none())
            || (has_scope("email") && is_missing("email"))
            || (has_scope("profile") && is_missing("name"))
    }

    /// Proposes a login name. An address that is not verified is none: apps take the name as it is, and anybody could be called by
    /// the address of somebody else.
    pub(super) fn username(&self, settings: &Settings) -> Option<Login> {
        if settings.username.parts() == ["email"] && !self.email(settings.preset).1 {
            return None;
        }
        login(self.at(&settings.username)?.as_str()?)
    }

    /// Returns the display name.
    pub(super) fn name(&self) -> Option<DisplayName> {
        self.text("name")?.parse().ok()
    }

    /// Returns the address, and whether the provider is an authority for it.
    pub(super) fn email(&self, preset: Preset) -> (Option<Email>, bool) {
        let Some(email) = self.text("email").and_then(|text| text.parse::<Email>().ok()) else {
            return (None, false);
        };
        let says = |name: &str| self.0.get(name);
        let is_verified = says("email_verified") == Some(&Value::Bool(true));
        let is_verified = match preset {
            // Addresses of other domains without `hd` belong to private accounts; their owner may have lost the domain.
            Preset::Google => is_verified && (email.domain() == "gmail.com" || says("hd").is_some()),
            // Entra ID has no `email_verified`: administrators of a tenant write any address. The optional claim tells
            // whether the domain was proven; it comes as a boolean, a number or a text.
            Preset::Microsoft => says("xms_edov").is_some_and(|value| {
                *value == Value::Bool(true) || *value == 1 || *value == "1" || *value == "true"
            }),
            _ => is_verified,
        };
        (Some(email), is_verified)
    }

    /// Applies `allowed_domains`.
    pub(super) fn admission(&self, settings: &Settings) -> Admission {
        let allowed = &settings.allowed_domains;
        if allowed.is_empty() {
            return Admission::Admitted;
        }
        let admit = |domain: &str| match allowed.iter().any(|known| known == domain) {
            true => Admission::Admitted,
            false => Admission::Refused(NotAdmitted::Domain),
        };
        if settings.preset == Preset::Google {
            // The end of an address is no gate: private accounts have foreign addresses, and no `hd`.
            return admit(&self.text("hd").unwrap_or_default().to_ascii_lowercase());
        }
        if !self.0.contains_key("email") {
            return Admission::Undecided(UndecidedClaim::Missing);
        }
        match self.email(settings.preset) {
            (Some(email), true) => admit(email.domain()),
            _ => Admission::Refused(NotAdmitted::Domain),
        }
    }

    /// Applies the rules. One claim that cannot be read leaves all roles undecided: half of a person's roles are not
    /// their roles.
    pub(super) fn roles(&self, settings: &Settings) -> MappedRoles {
        if settings.roles.is_empty() {
            return MappedRoles::Unmanaged;
        }
        let mut roles = Vec::new();
        for rule in &settings.roles {
            match self.meets(rule, settings.preset) {
                Ok(true) => roles.push(rule.role.clone()),
                Ok(false) => {}
                Err(reason) => return MappedRoles::Undecided(reason),
            }
        }
        MappedRoles::Decided(Roles::new(roles))
    }

    /// Returns whether the claim has exactly the text of the rule.
    fn meets(&self, rule: &RoleRule, preset: Preset) -> Result<bool, UndecidedClaim> {
        let is_email = rule.claim.parts() == ["email"];
        match self.at(&rule.claim) {
            // Anybody can write the address of somebody else until it is verified.
            Some(_) if is_email && !self.email(preset).1 => Ok(false),
            Some(Value::String(one)) => Ok(*one == rule.value),
            Some(Value::Array(many)) if many.iter().all(Value::is_string) => {
                let cut = match preset {
                    Preset::Okta if rule.claim.top() == "groups" => OKTA_GROUPS,
                    _ => MAX_VALUES,
                };
                match many.iter().take(MAX_VALUES).any(|one| *one == rule.value.as_str()) {
                    true => Ok(true),
                    false if many.len() >= cut => Err(UndecidedClaim::Partial),
                    false => Ok(false),
                }
            }
            Some(_) => Err(UndecidedClaim::Malformed),
            None if self.is_overage(rule.claim.top()) => Err(UndecidedClaim::Overage),
            // App roles are the one claim that Entra ID leaves out when there are none.
            None if preset == Preset::Microsoft && rule.claim.parts() == ["roles"] => Ok(false),
            // Keycloak has no empty lists: of a person without groups or roles it leaves the claim out.
            None if preset == Preset::Keycloak => Ok(false),
            None => Err(UndecidedClaim::Missing),
        }
    }

    /// Returns whether the provider names another place for a claim (Core section 5.6.2). It is never fetched: the place
    /// is text of a token.
    fn is_overage(&self, name: &str) -> bool {
        let names = self.0.get("_claim_names").and_then(Value::as_object);
        let flag = self.0.get("hasgroups");
        names.is_some_and(|names| names.contains_key(name))
            || (name == "groups" && flag.is_some_and(|flag| *flag == Value::Bool(true) || *flag == "true"))
    }
}

/// Makes a login name of a text: characters that it cannot have become `-`.
pub(super) fn login(text: &str) -> Option<Login> {
    let mapped: String = text
        .trim()
        .chars()
        .take(128)
        .map(|c| if c.is_ascii_alphanumeric() || "._@+-".contains(c) { c } else { '-' })
        .collect();
    // A text without any letter or digit that fits would leave nothing to recognise.
    mapped.contains(|c: char| c.is_ascii_alphanumeric()).then(|| mapped.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
