//! T02: no spelling passes that an app could merge into an identity header; framing and Host pass unchanged.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use doorward::config::Config;
use doorward::policy::headers::{HeaderPolicy, Kind};
use http::HeaderName;
use libfuzzer_sys::fuzz_target;

static POLICY: LazyLock<HeaderPolicy> =
    LazyLock::new(|| HeaderPolicy::new(&Config::defaults(Path::new("")).identity_headers, [].into_iter()));

fuzz_target!(|name: &[u8]| {
    let Ok(name) = HeaderName::from_bytes(name) else { return };
    let kind = POLICY.kind(&name);
    let merged: String =
        name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    // CGI naming, whose own prefix a client may supply.
    let merged = merged.strip_prefix("http_").unwrap_or(&merged);
    let has = |names: &[&str]| names.contains(&merged);
    if has(&["x_auth_user", "x_auth_user_id", "x_auth_roles", "x_auth_session", "x_auth_assertion"]) {
        assert_eq!(kind, Kind::Identity, "{name}");
    } else if merged.starts_with("x_forwarded_") || has(&["forwarded", "x_real_ip", "client_cert"]) {
        assert!(matches!(kind, Kind::Drop | Kind::Foreign), "{name}");
    } else {
        assert_ne!(kind, Kind::Identity, "{name}");
    }
    if ["host", "content-length", "transfer-encoding", "cookie", "authorization"].contains(&name.as_str()) {
        assert_eq!(kind, Kind::Pass, "{name}");
    }
});
