//! Header names that other gateways, proxies, CDNs and appliances set to describe a client. `docs/headers.md` lists the
//! same names.
//!
//! A name that ends in `*` matches every name with that prefix. `_`, `.` and the other separators count as `-`.

use http::HeaderName;

/// Default identity headers, and the assertion. They are always removed from client requests, even if other names are
/// configured: an app or another route may still read them.
pub const DEFAULT_IDENTITY: [&str; 5] =
    ["X-Auth-User", "X-Auth-User-Id", "X-Auth-Roles", "X-Auth-Session", "X-Auth-Assertion"];

/// Checks that a route may list `name` in `pass_headers`.
///
/// # Errors
/// The reason why it may not.
pub(crate) fn check_passed(name: &HeaderName) -> Result<(), &'static str> {
    if DEFAULT_IDENTITY.into_iter().any(|known| merged(known) == merged(name.as_str())) {
        return Err("is an identity header of this gateway, which clients must not send: remove it");
    }
    if is_about_origin(name) {
        return Err(
            "describes the origin or target of a request, which only this gateway may set: remove it",
        );
    }
    if !is_in(FOREIGN, name) {
        return Err("passes by default (docs/headers.md lists the headers that do not): remove it");
    }
    Ok(())
}

/// Returns whether `name` describes the origin, target or method of a request. A name in both lists is decided by the longer
/// entry, as in `policy::headers`.
pub(crate) fn is_about_origin(name: &HeaderName) -> bool {
    let is_itself = |known: &&str| merged(known) == merged(name.as_str());
    all(ORIGIN).any(|known| is_itself(&known)) || (is_in(ORIGIN, name) && !is_in(FOREIGN, name))
}

/// Returns whether clients' own copies of `name` reach no app, or only on routes that pass it.
pub(crate) fn is_removed(name: &HeaderName) -> bool {
    let is_identity = DEFAULT_IDENTITY.into_iter().any(|known| merged(known) == merged(name.as_str()));
    is_identity || is_in(ORIGIN, name) || is_in(FOREIGN, name)
}

/// Lower-cases a name and replaces every character that is neither letter nor digit.
pub(crate) fn merged(text: &str) -> String {
    text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

fn all(families: &'static [Family]) -> impl Iterator<Item = &'static str> {
    families.iter().flat_map(|family| family.names.iter().copied())
}

fn is_in(families: &'static [Family], name: &HeaderName) -> bool {
    let name = merged(name.as_str());
    all(families).any(|known| match known.strip_suffix('*') {
        Some(prefix) => name.starts_with(&merged(prefix)),
        None => name == merged(known),
    })
}

/// Header names with a common meaning, and the software that sets them.
#[derive(Debug)]
pub struct Family {
    /// The gateway, proxy or server that sets them, or the purpose they share.
    pub source: &'static str,
    /// The names.
    pub names: &'static [&'static str],
}

/// Headers for the origin, target and method of a request. They are removed on every route; this gateway then sets
/// some.
pub const ORIGIN: &[Family] = &[
    Family {
        source: "Forwarding (RFC 7239 and the de-facto fields)",
        names: &["Forwarded", "Forwarded-*", "X-Forward*", "X-Real-*", "Z-Forwarded-For"],
    },
    Family { source: "Request id (set by this gateway)", names: &["X-Request-Id"] },
    Family {
        source: "Scheme and host",
        names: &[
            "Front-End-Https",
            "X-Front-End-Https",
            "Https",
            "X-Https",
            "X-Proto",
            "X-Scheme",
            "X-Url-Scheme",
            "X-Host",
            "X-Host-Override",
            "X-Http-Host-Override",
        ],
    },
    Family {
        source: "URL and path",
        names: &[
            "X-Original-*",
            "X-Rewrite-*",
            "X-Override-Url",
            "X-Http-Path-Override",
            "X-Request-Base",
            "X-Waws-Unencoded-Url",
            "X-Script-Name",
            "X-Ingress-Path",
        ],
    },
    Family {
        source: "gunicorn and WSGI: the path as environment variables",
        names: &["Script-Name", "Path-Info", "Request-Uri"],
    },
    Family { source: "Method", names: &["X-Http-Method", "X-Http-Method-Override", "X-Method-Override"] },
    Family {
        source: "Instructions to a server (CVE-2016-5385, CVE-2025-61780, CVE-2025-29927)",
        names: &["Proxy", "X-Sendfile-Type", "X-Accel-Mapping", "X-Middleware-Subrequest"],
    },
    Family {
        source: "Client certificate (RFC 9440, set by this gateway with `forward_client_cert`)",
        names: &["Client-Cert", "Client-Cert-Chain"],
    },
];

/// Headers for identity, client certificates and client addresses. They are removed unless a route lists them in
/// `pass_headers`.
pub const FOREIGN: &[Family] = &[
    Family {
        source: "oauth2-proxy and forward authentication",
        names: &[
            "X-Auth-Request-*",
            "X-Forwarded-User",
            "X-Forwarded-Email",
            "X-Forwarded-Groups",
            "X-Forwarded-Preferred-Username",
            "X-Forwarded-Access-Token",
            "Gap-Auth",
            "Gap-Signature",
        ],
    },
    Family {
        source: "Keycloak Gatekeeper, louketo and others with `X-Auth-*`",
        names: &[
            "X-Auth-User*",
            "X-Auth-Name",
            "X-Auth-Given-Name",
            "X-Auth-Family-Name",
            "X-Auth-Preferred-Username",
            "X-Auth-Email*",
            "X-Auth-Mail",
            "X-Auth-Login",
            "X-Auth-Account",
            "X-Auth-Subject",
            "X-Auth-Sub",
            "X-Auth-Uid",
            "X-Auth-Role*",
            "X-Auth-Group*",
            "X-Auth-Permissions",
            "X-Auth-Scope",
            "X-Auth-Scopes",
            "X-Auth-Claim*",
            "X-Auth-Audience",
            "X-Auth-Expiresin",
            "X-Auth-Session-Id",
            "X-Auth-Tenant*",
            "X-Auth-Org",
            "X-Auth-Organization",
        ],
    },
    Family {
        source: "Authelia, Authentik, Kubernetes front proxy, CGI's `REMOTE_USER`",
        names: &["Remote-*", "X-Remote-*", "X-Authentik-*", "Logon-User", "X-Logon-User"],
    },
    Family { source: "Grafana and Gitea", names: &["X-Webauth-*"] },
    Family {
        source: "Pomerium, Vouch, Caddy Security, Ory",
        names: &["X-Pomerium-*", "X-Vouch-*", "X-Token-Subject", "X-Token-User-*", "X-Kratos-*"],
    },
    Family {
        source: "Kong, APISIX",
        names: &[
            "X-Consumer-*",
            "X-Credential-*",
            "X-Anonymous-Consumer",
            "X-Authenticated-*",
            "X-Userinfo",
            "X-Id-Token",
        ],
    },
    Family {
        source: "JWT claims: Istio, WSO2, Google Cloud Endpoints",
        names: &[
            "X-Jwt-Assertion",
            "X-Jwt-Payload",
            "X-Jwt-Claim*",
            "X-Endpoint-Api-Userinfo",
            "X-Apigateway-Api-Userinfo",
        ],
    },
    Family {
        source: "Google IAP and App Engine",
        names: &["X-Goog-Authenticated-User-*", "X-Goog-Iap-*", "X-Appengine-*", "X-Google-Real-Ip"],
    },
    Family {
        source: "AWS load balancers and API Gateway",
        names: &[
            "X-Amzn-Oidc-*",
            "X-Amzn-Mtls-*",
            "X-Amzn-Tls-*",
            "X-Amzn-Request-Context",
            "X-Amzn-Lambda-Context",
        ],
    },
    Family {
        source: "Azure App Service, AD FS, Front Door, IIS",
        names: &[
            "X-Ms-Client-Principal*",
            "X-Ms-Token-*",
            "X-Ms-Forwarded-Client-Ip",
            "X-Ms-Proxy",
            "X-Ms-Adfs-*",
            "X-Azure-Clientip",
            "X-Azure-Socketip",
            "X-Arr-*",
            "X-Iisnode-*",
            "X-Iis-Windowsauthtoken",
            "Ms-Aspnetcore-*",
        ],
    },
    Family {
        source: "Cloudflare",
        names: &[
            "Cf-Access-*",
            "Cf-Connecting-*",
            "Cf-Pseudo-Ipv4",
            "Cf-Visitor",
            "Cf-Client-Cert-*",
            "True-Client-Ip",
        ],
    },
    Family { source: "Tailscale", names: &["Tailscale-*", "X-Tailscale-*"] },
    Family { source: "Teleport", names: &["Teleport-*", "X-Teleport-*"] },
    Family { source: "SiteMinder", names: &["Sm-*", "Smuser*"] },
    Family {
        source: "Shibboleth",
        names: &[
            "Shib-*",
            "X-Shib-*",
            "Eppn",
            "Persistent-Id",
            "Targeted-Id",
            "Subject-Id",
            "Pairwise-Id",
            "Unscoped-Affiliation",
            "Edupersonprincipalname",
        ],
    },
    Family { source: "mod_auth_openidc, mod_auth_mellon", names: &["Oidc-*", "X-Oidc-*", "Mellon-*"] },
    Family {
        source: "IBM WebSEAL and WebSphere",
        names: &["Iv-User*", "Iv-Groups*", "Iv-Creds*", "Iv-Remote-Address*", "Iv-Server-Name", "$Ws*"],
    },
    Family {
        source: "Oracle Access Manager, Oracle SSO, WebLogic",
        names: &["Oam-*", "Osso-*", "Wl-Proxy-*", "Proxy-Client-Ip", "X-Proxy-Client-Ip"],
    },
    Family {
        source: "OpenSearch, JupyterHub, RStudio, Home Assistant and other apps behind a proxy",
        names: &[
            "X-Proxy-User*",
            "X-Proxy-Role*",
            "X-Proxy-Ext-*",
            "X-Proxy-Remote-User",
            "X-Proxied-User",
            "Proxy-User",
            "Proxy-Remote-User",
            "X-Rstudio-Username",
            "X-Hass-User-Id",
            "X-Hass-Is-Admin",
            "X-Sso-User*",
            "X-Sso-Email",
        ],
    },
    Family {
        source: "Envoy, Istio, Linkerd, SPIFFE",
        names: &["X-Envoy-*", "X-Forwarded-Client-Cert", "X-Istio-*", "L5d-*", "X-Spiffe-*"],
    },
    Family {
        source: "Client certificates of nginx, HAProxy, Apache, Traefik, Apigee",
        names: &[
            "Ssl-*",
            "X-Ssl",
            "X-Ssl-*",
            "X-Forwarded-Tls-Client-Cert*",
            "X-Tls-*",
            "Tls-Client-*",
            "X-Mtls-*",
            "Client-Cert-*",
            "X-Client-Cert*",
            "X-Clientcert*",
            "X-Client-Dn",
            "X-Client-Cn",
            "X-Client-Verify",
            "X-Client-Verified",
            "X-Client-Subject*",
            "X-Client-Issuer*",
            "X-Client-Serial",
        ],
    },
    Family {
        source: "Client address of CDNs and hosts",
        names: &[
            "Fastly-Client*",
            "Fastly-Ssl",
            "Fly-Client-Ip",
            "Fly-Forwarded-*",
            "Cloudfront-Viewer-Address",
            "Cloudfront-Forwarded-Proto",
            "Incap-Client-Ip",
            "Ali-Cdn-Real-Ip",
            "Cdn-Real-Ip",
            "Cdn-Src-Ip",
            "Cdn-Client-Ip",
            "Eo-Client-Ip",
            "Eo-Connecting-Ip",
            "Do-Connecting-Ip",
            "X-Vercel-Forwarded-For",
            "X-Vercel-Proxied-For",
            "X-Nf-Client-Connection-Ip",
            "X-Sp-Forwarded-Ip",
            "X-Sucuri-Clientip",
            "X-Akamai-Client-Ip",
            "Ns-Client-Ip",
        ],
    },
    Family {
        source: "Client address of proxies and appliances",
        names: &[
            "Client-Ip",
            "X-Client-Ip",
            "X-Clientip",
            "X-Client-Addr",
            "X-Client-Real-Ip",
            "X-Cluster-Client-Ip",
            "X-Originating-Ip",
            "X-Custom-Ip-Authorization",
            "X-Proxyuser-Ip",
            "X-True-Client-Ip",
            "X-True-Ip",
            "X-Source-Ip",
            "X-Src-Ip",
            "X-User-Ip",
            "X-Ip",
            "X-From-Ip",
            "X-Comingfrom",
            "X-Coming-From",
            "Coming-From",
        ],
    },
];
