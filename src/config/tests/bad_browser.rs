//! More invalid files, in the notation of `bad`: browser settings and reactions.

use super::bad::Case;

/// `[browser]`, `[unusual]`, origins, and the keys of routes about them.
pub(super) const BROWSER: &[Case] = &[
    (
        r#"[unusual]|other_network = "end"|new_networks = "observe""#,
        r#"2: unusual.other_network: unknown value "end" (write "observe" or "end-session")|3: unusual.new_networks: unknown key (did you mean "new_network"?)"#,
    ),
    (
        r#"[browser]|clear_site_data = ["cache", "cookies", "cache"]"#,
        r#"2: browser.clear_site_data[1]: unknown value "cookies" (write "cache" or "storage")|2: browser.clear_site_data[2]: listed twice: remove one"#,
    ),
    (
        r#"[browser]|after_sign_out = "goodbye""#,
        r#"2: browser.after_sign_out: "goodbye" is neither a path nor a URL: write one such as "/goodbye" or "https://www.example.com/""#,
    ),
    (
        r#"[browser]|after_sign_out = "//evil.example""#,
        r#"2: browser.after_sign_out: "//evil.example" is neither a path nor a URL: write one such as "/goodbye" or "https://www.example.com/""#,
    ),
    (
        r#"[browser]|after_sign_out = "/good bye""#,
        r#"2: browser.after_sign_out: "/good bye" is not a valid URL: percent-encode spaces and special characters, up to 2048 bytes"#,
    ),
    (
        r#"[browser]|after_sign_out = "https://a@b/""#,
        r#"2: browser.after_sign_out: a user or password is not allowed here: write scheme://host:port alone"#,
    ),
    (
        r#"[server]|public_urls = ["https://*.example.com"]"#,
        r#"2: server.public_urls[0]: "https://*.example.com" has a star: remove it; the hosts of routes need not be listed here"#,
    ),
    (
        r#"{app}{route}cross_origin = "yes""#,
        r#"8: routes[0].cross_origin: unknown value "yes" (write "refuse", "confirm" or "allow")"#,
    ),
    (
        r#"{app}{route}shared_cache = "public""#,
        r#"8: routes[0].shared_cache: this is a string: write `true` or `false` without quotes"#,
    ),
    (
        r#"{app}{route}cors = "answer""#,
        r#"8: routes[0].cors: no origin may call this route: name some in cors_origins, here or in [server], such as ["https://app.example.com"]"#,
    ),
    (
        r#"{app}{route}cors_origins = ["*"]"#,
        r#"8: routes[0].cors_origins[0]: "*" would let the scripts of every site act as the signed-in user: list the origins"#,
    ),
];
