//! More invalid files, in the notation of `bad`: health checks of upstreams.

use super::bad::Case;

/// `[upstreams.<name>.health]`
pub(super) const HEALTH: &[Case] = &[
    (r#"{app}health = true"#, r#"3: upstreams.app.health: this is a boolean: write [upstreams.app.health]"#),
    (
        r#"{app}[upstreams.app.health]|pth = "/"|"#,
        r#"4: upstreams.app.health.pth: unknown key (did you mean "path"?)"#,
    ),
    (
        r#"{app}[upstreams.app.health]|path = "healthz""#,
        r#"4: upstreams.app.health.path: "healthz" is not a path: write one such as "/healthz""#,
    ),
    (
        r#"{app}[upstreams.app.health]|path = "/health z""#,
        r#"4: upstreams.app.health.path: "/health z" is not a path: write one such as "/healthz""#,
    ),
    (
        r#"{app}[upstreams.app.health]|path = "/"|host = "http://app""#,
        r#"5: upstreams.app.health.host: "http://app" is not a host: write a name such as app.example.com, with its port where the app needs it"#,
    ),
    (
        r#"{app}[upstreams.app.health]|host = "app"|status = [200]"#,
        r#"4: upstreams.app.health.host: without `path` the check is only a connect, and this has no effect: add `path`, or remove this|5: upstreams.app.health.status: without `path` the check is only a connect, and this has no effect: add `path`, or remove this"#,
    ),
    (
        r#"{app}[upstreams.app.health]|path = "/"|status = []"#,
        r#"5: upstreams.app.health.status: empty, so every check would fail: write the good statuses, such as [200, 204]"#,
    ),
    (
        r#"{app}[upstreams.app.health]|path = "/"|status = [200, 100]"#,
        r#"5: upstreams.app.health.status[1]: 100 is out of range: write 200 to 599 (a response has no others (RFC 9110 15))"#,
    ),
    (
        r#"{app}[upstreams.app.health]|path = "/"|status = 200"#,
        r#"5: upstreams.app.health.status: this is an integer: write a list such as [200, 204]"#,
    ),
    (
        r#"{app}[upstreams.app.health]|interval = 5"#,
        r#"4: upstreams.app.health.interval: 5 has no unit: a duration is a string, write "5s""#,
    ),
    (
        r#"{app}[upstreams.app.health]|interval = "10ms""#,
        r#"4: upstreams.app.health.interval: "10ms" would put too much load on the server: write at least "100ms", or "0s" for no checks"#,
    ),
    (
        r#"{app}[upstreams.app.health]|interval = "2h""#,
        r#"4: upstreams.app.health.interval: "2h" is out of range: write "0s" to "1h" (0s disables checks; a failure should be noticed within the hour)"#,
    ),
    (
        r#"{app}[upstreams.app.health]|timeout = "6s""#,
        r#"4: upstreams.app.health.timeout: timeout is 6s, more than the 5s of interval, so checks would overlap: lower timeout, or raise interval"#,
    ),
    (
        r#"{app}[upstreams.app.health]|interval = "500ms""#,
        r#"4: upstreams.app.health.interval: timeout is 1s, more than the 500ms of interval, so checks would overlap: lower timeout, or raise interval"#,
    ),
    (
        r#"{app}[upstreams.app.health]|healthy_after = 0|unhealthy_after = 1000"#,
        r#"4: upstreams.app.health.healthy_after: 0 is out of range: write 1 to 100 (0 would never decide, more than 100 too late)|5: upstreams.app.health.unhealthy_after: 1000 is out of range: write 1 to 100 (0 would never decide, more than 100 too late)"#,
    ),
    (
        r#"{app}[upstreams.app.health]|eject_after = 3"#,
        r#"4: upstreams.app.health.eject_after: this is an integer: write [upstreams.app.health.eject_after]"#,
    ),
    (
        r#"{app}[upstreams.app.health]|eject_after = { connect = 1, responses = -1 }"#,
        r#"4: upstreams.app.health.eject_after.responses: -1 is out of range: write 0 to 1000 (0 is never; more than 1000 would hardly ever eject)|4: upstreams.app.health.eject_after.connect: unknown key (did you mean "connects"?)"#,
    ),
    (
        r#"{app}[upstreams.app.health]|base_ejection_time = "10m""#,
        r#"4: upstreams.app.health.base_ejection_time: base_ejection_time is 10m, more than the 5m of max_ejection_time, the limit of its doubling: lower base_ejection_time, or raise max_ejection_time"#,
    ),
    (
        r#"{app}[upstreams.app.health]|max_ejection_time = "5s""#,
        r#"4: upstreams.app.health.max_ejection_time: base_ejection_time is 10s, more than the 5s of max_ejection_time, the limit of its doubling: lower base_ejection_time, or raise max_ejection_time"#,
    ),
    (
        r#"{app}[upstreams.app.health]|base_ejection_time = "0s""#,
        r#"4: upstreams.app.health.base_ejection_time: "0s" is out of range: write "100ms" to "1h" (a restart takes seconds, and a recovered server should be used again)"#,
    ),
];
