//! Warnings about headers towards apps that have no effect.

use http::HeaderName;

use super::Warning;
use crate::config::section::header_families;
use crate::config::section::upstream_headers::names::merged;
use crate::config::{Access, Config, RequestHeaders};

/// Warns about upstreams that are told about the user by name, but have public routes only.
pub(super) fn unsent(config: &Config) -> Vec<Warning> {
    let is_public = |name: &str| {
        let mut routes = config.routes.iter().filter(|route| route.upstream == name).peekable();
        routes.peek().is_some() && routes.all(|route| route.access == Access::Public)
    };
    let tells = |headers: &RequestHeaders| {
        (headers.is_chosen && !headers.identity.is_empty()) || headers.assertion.is_some()
    };
    let all = config.upstreams.iter().filter(|it| tells(&it.request_headers) && is_public(&it.name));
    let warning = |name: &str| {
        Warning {
        key: format!("upstreams.{name}"),
        message: "every route of this upstream is public, so the app is never told who is signed in: write access = \"optional\" \
                  or \"signed-in\" on a route, or remove the identity headers"
            .to_owned(),
    }
    };
    all.map(|upstream| warning(&upstream.name)).collect()
}

/// Warns about names to remove that reach no app anyway.
pub(super) fn unneeded(config: &Config) -> Vec<Warning> {
    let is_passed = |upstream: &str, name: &HeaderName| {
        let mut routes = config.routes.iter().filter(|route| route.upstream == upstream);
        routes.any(|route| route.pass_headers.contains(name))
    };
    let mut warnings = Vec::new();
    for upstream in &config.upstreams {
        for (at, name) in upstream.request_headers.remove.iter().enumerate() {
            let is_removed = header_families::is_removed(name) || is_identity(config, name);
            if is_removed && !is_passed(&upstream.name, name) {
                let message =
                    format!("clients cannot send \"{name}\" to any app (docs/headers.md): leave it out");
                warnings.push(Warning {
                    key: format!("upstreams.{}.request_headers.remove[{at}]", upstream.name),
                    message,
                });
            }
        }
    }
    warnings
}

/// Warns about headers to pass that carry the identity to some app, and so never pass.
pub(super) fn unpassed(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, route) in config.routes.iter().enumerate() {
        for (at, name) in route.pass_headers.iter().enumerate().filter(|(_, name)| is_identity(config, name))
        {
            let message = format!(
                "\"{name}\" carries the identity to an app, so clients cannot send it to any: remove it"
            );
            warnings.push(Warning { key: format!("routes[{index}].pass_headers[{at}]"), message });
        }
    }
    warnings
}

/// Returns whether some app is told about the user under `name`.
fn is_identity(config: &Config, name: &HeaderName) -> bool {
    let default = &config.identity_headers;
    let default = [&default.user, &default.user_id, &default.roles, &default.session];
    let of_apps =
        config.upstreams.iter().flat_map(|it| it.request_headers.identity.iter().map(|(name, _)| name));
    default.into_iter().chain(of_apps).any(|known| merged(known) == merged(name))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn warned(app: &str, access: &str, route: &str) -> Vec<String> {
        let text = format!(
            "[upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n{app}\n[[routes]]\nname = \"a\"\npath = \"/\"\n\
             access = \"{access}\"\nupstream = \"app\"\n{route}\n"
        );
        let config =
            Config::parse(&text, Path::new("gateway.toml"), &|_| None).unwrap_or_else(|all| panic!("{all}"));
        let all = [unsent(&config), unneeded(&config), unpassed(&config)].concat();
        all.into_iter().map(|warning| warning.key).collect()
    }

    #[test]
    fn identity_that_is_never_sent_gets_a_warning() {
        let set = "request_headers.set = { \"X-Email\" = \"${user.email}\" }";
        for (app, access, keys) in [
            ("identity = \"grafana\"", "public", &["upstreams.app"][..]),
            (set, "public", &["upstreams.app"]),
            ("", "public", &[]),
            ("assertion = true", "public", &["upstreams.app"]),
            ("assertion = true", "optional", &[]),
            ("identity = \"none\"", "public", &[]),
            ("request_headers.set = { \"X-A\" = \"b\" }", "public", &[]),
            (set, "optional", &[]),
            ("identity = \"grafana\"", "signed-in", &[]),
        ] {
            assert_eq!(warned(app, access, ""), keys, "{app} {access}");
        }
    }

    #[test]
    fn removal_and_passing_without_effect_get_a_warning() {
        let remove =
            "identity = \"none\"\nrequest_headers.remove = [\"X-Debug\", \"Remote-User\", \"X-Auth-User\"]";
        let keys = [1, 2].map(|at| format!("upstreams.app.request_headers.remove[{at}]"));
        assert_eq!(warned(remove, "signed-in", ""), keys);
        let pass = r#"pass_headers = ["X-Envoy-Internal", "Remote-User"]"#;
        assert_eq!(warned(remove, "signed-in", pass), keys[1..], "removed after all");
        assert_eq!(warned("identity = \"remote-user\"", "signed-in", pass), ["routes[0].pass_headers[1]"]);
        assert_eq!(warned("identity = \"grafana\"", "signed-in", pass), [""; 0]);
    }
}
