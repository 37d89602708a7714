//! T71: any text is read to its end; a valid configuration makes a route table.
#![no_main]

use std::path::Path;

use doorward::config::Config;
use doorward::policy::RouteTable;
use doorward::policy::headers::HeaderPolicy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The text names files, which are read: exclude those that never end.
    if ["/dev", "/proc", "/sys"].iter().any(|folder| text.contains(folder)) {
        return;
    }
    match Config::parse(text, Path::new("/nonexistent/gateway.toml"), &|_| None) {
        Ok(config) => {
            let _ = RouteTable::new(&config.server.auth_prefix, &config.routes);
            let _ = HeaderPolicy::new(
                &config.identity_headers,
                config.upstreams.iter().map(|upstream| &upstream.request_headers),
            );
        }
        Err(problems) => assert!(!problems.to_string().is_empty(), "a file is refused for a reason"),
    }
});
