//! Issuer of tokens: one text, or Entra ID's template with the tenant in it.

use serde_json::{Map, Value};

use crate::provider::error::TokenError;

/// Stands for the tenant in issuers of Entra ID that serve several.
const TENANT: &str = "{tenantid}";

/// Issuers that a provider's tokens may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::provider) struct Issuers {
    /// The issuer of the discovery document, perhaps with [`TENANT`] in it.
    pattern: String,
    /// Tenants that may sign in, in lower case; empty without Entra ID.
    tenants: Vec<String>,
}

impl Issuers {
    pub(in crate::provider) const fn new(pattern: String, tenants: Vec<String>) -> Self {
        Self { pattern, tenants }
    }

    /// Returns the issuer of a token with these claims, and checks its tenant.
    ///
    /// # Errors
    /// [`TokenError::Issuer`], [`TokenError::Tenant`].
    pub(in crate::provider) fn check<'c>(
        &self,
        claims: &'c Map<String, Value>,
    ) -> Result<&'c str, TokenError> {
        let issuer = claims.get("iss").and_then(Value::as_str).ok_or(TokenError::Malformed)?;
        if self.tenants.is_empty() {
            return if issuer == self.pattern { Ok(issuer) } else { Err(TokenError::Issuer) };
        }
        let tenant = tenant(claims).ok_or(TokenError::Tenant)?;
        if issuer != self.pattern.replace(TENANT, tenant) {
            return Err(TokenError::Issuer);
        }
        if self.tenants.iter().any(|known| known.eq_ignore_ascii_case(tenant)) {
            Ok(issuer)
        } else {
            Err(TokenError::Tenant)
        }
    }

    /// Returns whether `iss` of an authorization response is one of these (RFC 9207 section 2.4). The tenant is unknown
    /// then.
    pub(in crate::provider) fn includes(&self, issuer: &str) -> bool {
        issuer == self.pattern
            || self.tenants.iter().any(|tenant| issuer == self.pattern.replace(TENANT, tenant))
    }
}

/// Returns whether a key may sign for this issuer. Keys of Entra ID name theirs: one tenant's, or the template.
pub(in crate::provider) fn key_may_sign(
    key: Option<&str>,
    issuer: &str,
    claims: &Map<String, Value>,
) -> bool {
    match (key, tenant(claims)) {
        (None, _) => true,
        (Some(key), Some(tenant)) => key.replace(TENANT, tenant) == issuer,
        (Some(key), None) => key == issuer,
    }
}

/// Returns the tenant: a GUID.
fn tenant(claims: &Map<String, Value>) -> Option<&str> {
    let tenant = claims.get("tid")?.as_str()?;
    let is_guid = tenant.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && tenant.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_guid.then_some(tenant)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "11111111-1111-1111-1111-11111111aaaa";
    const B: &str = "22222222-2222-2222-2222-22222222bbbb";

    fn claims(issuer: &str, tenant: Option<&str>) -> Map<String, Value> {
        let Value::Object(claims) = json!({ "iss": issuer, "tid": tenant }) else { unreachable!() };
        claims
    }

    fn of(tenant: &str) -> String {
        format!("https://login.example/{tenant}/v2.0")
    }

    #[test]
    fn issuer_is_compared_byte_for_byte() {
        let issuers = Issuers::new("https://id.example/".to_owned(), Vec::new());
        assert!(issuers.check(&claims("https://id.example/", None)).is_ok());
        for other in
            ["https://id.example", "https://ID.example/", "https://id.example//", "https://id.example/ ", ""]
        {
            assert_eq!(issuers.check(&claims(other, None)), Err(TokenError::Issuer), "{other}");
            assert!(!issuers.includes(other));
        }
        assert_eq!(issuers.check(&Map::new()), Err(TokenError::Malformed));
    }

    #[test]
    fn only_listed_tenants_may_sign_in() {
        let issuers = Issuers::new(of("{tenantid}"), vec![A.to_owned()]);
        let check = |issuer: String, tenant| issuers.check(&claims(&issuer, tenant)).map(str::to_owned);
        assert_eq!(check(of(A), Some(A)), Ok(of(A)));
        assert_eq!(check(of(B), Some(B)), Err(TokenError::Tenant));
        assert_eq!(check(of(A), Some(B)), Err(TokenError::Issuer));
        assert_eq!(check(of(B), Some(A)), Err(TokenError::Issuer));
        assert_eq!(check(of(A), None), Err(TokenError::Tenant));
        assert_eq!(check(of("{tenantid}"), Some("{tenantid}")), Err(TokenError::Tenant));
        assert_eq!(check(of("x/../y"), Some("x/../y")), Err(TokenError::Tenant));
        assert!(issuers.includes(&of(A)) && !issuers.includes(&of(B)));
    }

    #[test]
    fn key_of_one_tenant_does_not_sign_for_another() {
        let may = |key: Option<String>| key_may_sign(key.as_deref(), &of(A), &claims(&of(A), Some(A)));
        assert!(may(None) && may(Some(of(A))) && may(Some(of("{tenantid}"))));
        assert!(!may(Some(of(B))) && !may(Some(String::new())));
    }
}
