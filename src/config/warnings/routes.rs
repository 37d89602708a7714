//! Warnings about routes that expose more of an app than their rules suggest.

use super::Warning;
use crate::config::{Access, Config, HostPattern, Route};

/// Warns about a stricter route below a looser one of the same app: the app may know the same resource by other names,
/// which the looser route forwards.
pub(super) fn siblings(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (at, child) in config.routes.iter().enumerate().filter(|(_, child)| !child.strict_siblings) {
        let Some(parent) = parent(child, &config.routes) else { continue };
        if parent.strict_siblings || is_as_strict(parent, child) {
            continue;
        }
        let message = format!(
            "stricter than route {:?} ({:?}), which covers it: the app may serve the same resource under other names, \
             such as {}, and that route forwards those. Write strict_siblings = true in [server] or in this route, \
             or make the route above as strict (docs/second-resources.md)",
            parent.name,
            parent.path,
            other_names(child),
        );
        warnings.push(Warning { key: format!("routes[{at}].path"), message });
    }
    warnings
}

/// Warns about a route that strips its prefix and is looser than the route of the same app that matches the rest.
pub(super) fn stripped(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (at, route) in config.routes.iter().enumerate().filter(|(_, route)| route.strip_prefix) {
        let root = config.routes.iter().find(|other| {
            other.path == "/" && !other.exact && is_of_one_app(route, other) && !is_as_strict(route, other)
        });
        if let Some(root) = root {
            let message = format!(
                "looser than route {:?} (\"/\") of the same upstream. That route is checked too, since the app sees \
                 the path without {:?}: clients it refuses are refused here. Give this route an upstream of its own, \
                 or the same access",
                root.name, route.path
            );
            warnings.push(Warning { key: format!("routes[{at}].strip_prefix"), message });
        }
    }
    warnings
}

/// Warns about upstreams that no route uses, in a file that has routes.
pub(super) fn unused(config: &Config) -> Vec<Warning> {
    let is_unused =
        |name: &str| !config.routes.is_empty() && config.routes.iter().all(|route| route.upstream != name);
    let unused = config.upstreams.iter().filter(|upstream| is_unused(&upstream.name));
    let warning = |name: &str| Warning {
        key: format!("upstreams.{name}"),
        message: "no route uses this upstream: add upstream = to a route, or remove the table".to_owned(),
    };
    unused.map(|upstream| warning(&upstream.name)).collect()
}

/// Returns the route of the same app with the longest path above that of `child`, if the two share a host.
fn parent<'r>(child: &Route, routes: &'r [Route]) -> Option<&'r Route> {
    let covers = |parent: &&Route| {
        let rest = child.path.strip_prefix(&parent.path);
        let is_above = parent.path == "/"
            || rest.is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && child.exact));
        !parent.exact
            && is_above
            && (parent.path != child.path || child.exact)
            && is_of_one_app(child, parent)
            && child.hosts.iter().any(|host| parent.hosts.iter().any(|other| answers_for(other, host)))
    };
    // The longest path above matches such other names first.
    routes.iter().filter(covers).max_by_key(|parent| parent.path.len())
}

fn is_of_one_app(one: &Route, other: &Route) -> bool {
    !std::ptr::eq(one, other) && one.upstream == other.upstream
}

/// Returns whether `pattern` matches some host of `host`.
fn answers_for(pattern: &HostPattern, host: &HostPattern) -> bool {
    match (pattern, host) {
        (HostPattern::Any, _) => true,
        (HostPattern::Below(suffix), HostPattern::Exact(name) | HostPattern::Below(name)) => {
            name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        }
        (pattern, host) => pattern == host,
    }
}

/// Returns whether everybody allowed by `one` is also allowed by `other`.
fn is_as_strict(one: &Route, other: &Route) -> bool {
    let fresh = (one.always_revalidate || !other.always_revalidate) && one.proof.implies(&other.proof);
    match (&one.access, &other.access) {
        (_, Access::Public | Access::Optional) => true,
        (Access::Public | Access::Optional, _) | (Access::SignedIn, Access::Roles(_)) => false,
        (_, Access::SignedIn) => fresh,
        (Access::Roles(one), Access::Roles(other)) => fresh && one.iter().all(|role| other.contains(role)),
    }
}

/// Examples of other names an app may know the path by.
fn other_names(route: &Route) -> String {
    let script = format!("/index.php{}", route.path);
    let mut names = vec![format!("{}.json", route.path), format!("{}~", route.path), script];
    if route.exact {
        names.insert(1, format!("{}/x", route.path));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn warned(routes: &str) -> Vec<String> {
        let text = format!("[upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n{routes}");
        let config = Config::parse(&text, Path::new("gateway.toml"), &|_| None).unwrap();
        let all = [siblings(&config), stripped(&config), unused(&config)].concat();
        all.into_iter().map(|warning| warning.key).collect()
    }

    fn route(name: &str, path: &str, access: &str, more: &str) -> String {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"{path}\"\naccess = {access}\nupstream = \"app\"\n{more}\n"
        )
    }

    #[test]
    fn stricter_route_beside_a_looser_parent_gets_a_warning() {
        let (public, person, admin) = ("\"public\"", "\"signed-in\"", "{ roles = [\"admin\"] }");
        for (routes, keys) in [
            ([route("a", "/", person, ""), route("b", "/admin", admin, "")], &["routes[1].path"][..]),
            ([route("a", "/", public, ""), route("b", "/admin", person, "")], &["routes[1].path"]),
            (
                [route("a", "/app", person, ""), route("b", "/app/x", person, "always_revalidate = true")],
                &["routes[1].path"],
            ),
            (
                [route("a", "/app", public, ""), route("b", "/app", admin, "exact = true")],
                &["routes[1].path"],
            ),
            ([route("a", "/", admin, ""), route("b", "/open", public, "")], &[]),
            ([route("a", "/app", person, ""), route("b", "/apps", admin, "")], &[]),
            ([route("a", "/", person, ""), route("b", "/admin", admin, "strict_siblings = true")], &[]),
            ([route("a", "/", person, "strict_siblings = true"), route("b", "/admin", admin, "")], &[]),
            (
                [
                    route("a", "/", person, "hosts = [\"a.test\"]"),
                    route("b", "/admin", admin, "hosts = [\"b.test\"]"),
                ],
                &[],
            ),
        ] {
            assert_eq!(warned(&routes.concat()), keys, "{}", routes.concat());
        }
        let server = "[server]\nstrict_siblings = true\n";
        let text = format!("{}{}", route("a", "/", person, ""), route("b", "/admin", admin, ""));
        assert_eq!(warned(&format!("{text}{server}")), [""; 0]);
    }

    #[test]
    fn prefix_that_hides_a_stricter_route_gets_a_warning() {
        let strip = route("s", "/strip", "\"public\"", "strip_prefix = true");
        let root = route("a", "/", "\"signed-in\"", "");
        assert_eq!(warned(&format!("{root}{strip}")), ["routes[1].strip_prefix"]);
        assert_eq!(warned(&strip), [""; 0]);
    }

    #[test]
    fn unused_upstream_gets_a_warning() {
        let spare = "[upstreams.spare]\nservers = [\"http://127.0.0.1:8\"]\n";
        let used = route("a", "/", "\"public\"", "");
        assert_eq!(warned(&format!("{spare}{used}")), ["upstreams.spare"]);
        assert_eq!(warned(&used), [""; 0]);
        assert_eq!(warned(spare), [""; 0], "nothing is sent anywhere yet");
    }
}
