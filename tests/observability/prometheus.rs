//! A private Prometheus process on a free port, with its data in a temporary folder.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::servers::free_port;
use crate::support::http;

/// Short enough to see a lease lost for one second, long enough for two cores.
pub(crate) const SCRAPE_EVERY: Duration = Duration::from_millis(500);

/// Ends Prometheus when the pipe closes: when it is dropped or the test process ends.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
"$@" & pid=$!
cat >/dev/null
kill "$pid"
wait "$pid"
rm -rf "$0"
"#;

/// A running Prometheus.
pub(crate) struct Prometheus {
    address: SocketAddr,
    watchdog: Child,
}

impl Prometheus {
    /// Scrapes these gateways as the job `doorward`, with these rules.
    pub(crate) async fn start(gateways: &[SocketAddr], rules: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("prometheus-").tempdir().expect("a folder").keep();
        let targets: Vec<String> = gateways.iter().map(|address| format!("'{address}'")).collect();
        let every = format!("{}ms", SCRAPE_EVERY.as_millis());
        let settings = format!(
            "global: {{ scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every} }}\n\
             rule_files: [rules.yaml]\n\
             scrape_configs: [{{ job_name: doorward, static_configs: [{{ targets: [{}] }}] }}]\n",
            targets.join(", ")
        );
        let path = |name: &str| folder.join(name).display().to_string();
        std::fs::write(path("rules.yaml"), rules).expect("written");
        std::fs::write(path("prometheus.yaml"), settings).expect("written");
        let log = std::fs::File::create(path("log")).expect("a log file");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG]).arg(&folder).arg("prometheus").args([
            format!("--config.file={}", path("prometheus.yaml")),
            format!("--storage.tsdb.path={}", path("data")),
            format!("--web.listen-address={address}"),
            "--log.level=warn".to_owned(),
        ]);
        // In its own process group, so that Ctrl-C does not end it before it has cleaned up.
        watchdog.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let prometheus = Self { address, watchdog: watchdog.spawn().expect("`sh` runs") };
        prometheus.until_ready(&path("log")).await;
        prometheus
    }

    async fn until_ready(&self, log: &str) {
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(self.address).await.is_ok()
                && http::request(self.address, "GET", "/-/ready", &[], b"").await.status == 200
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(log).unwrap_or_default();
        panic!("`prometheus` is not ready: `make test` installs it (Debian: prometheus)\n{log}");
    }

    /// Data of an API response.
    pub(crate) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let form: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let target = format!("/api/v1/{path}?{}", form.join("&"));
        let response = http::request(self.address, "GET", &target, &[], b"").await;
        assert_eq!(response.status, 200, "{path} {parameters:?}: {}", response.text());
        let mut response = response.json();
        assert_eq!(response["warnings"], Value::Null, "{path} {parameters:?}");
        response["data"].take()
    }

    /// Values of all series of a query, per second, from `start` on.
    pub(crate) async fn history(&self, query: &str, start: f64, end: f64) -> Vec<Vec<f64>> {
        let (start, end) = (format!("{start:.3}"), format!("{end:.3}"));
        let parameters = [("query", query), ("start", start.as_str()), ("end", end.as_str()), ("step", "1")];
        let response = self.ask("query_range", &parameters).await;
        let series = response["result"].as_array().expect("a matrix");
        let number = |pair: &Value| pair[1].as_str()?.parse().ok();
        let values =
            |series: &Value| series["values"].as_array().map(|all| all.iter().filter_map(number).collect());
        series.iter().filter_map(values).collect()
    }

    /// Time by its clock, in seconds since the epoch.
    pub(crate) async fn now(&self) -> f64 {
        self.ask("query", &[("query", "time()")]).await["result"][0].as_f64().expect("a time")
    }

    /// Currently firing alerts.
    pub(crate) async fn firing(&self) -> BTreeSet<String> {
        let response = self.ask("alerts", &[]).await;
        let alerts = response["alerts"].as_array().expect("alerts");
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.filter_map(|alert| alert["labels"]["alertname"].as_str().map(str::to_owned)).collect()
    }

    /// Waits until an alert fires, or stops firing.
    pub(crate) async fn until(&self, alert: &str, fires: bool, patience: Duration) {
        let what = if fires { "fires" } else { "clears" };
        let changed = async || self.firing().await.contains(alert) == fires;
        self.wait(&format!("{alert} {what}"), patience, changed).await;
    }

    /// Waits until a query returns a value.
    pub(crate) async fn until_some(&self, query: &str, patience: Duration) {
        let answered = async || {
            let response = self.ask("query", &[("query", query)]).await;
            response["result"].as_array().is_some_and(|series| !series.is_empty())
        };
        self.wait(query, patience, answered).await;
    }

    /// Polls at the scrape interval; values change only then.
    async fn wait(&self, what: &str, patience: Duration, mut check: impl AsyncFnMut() -> bool) {
        let waiting = async {
            let mut tick = tokio::time::interval(SCRAPE_EVERY / 2);
            while !check().await {
                tick.tick().await;
            }
        };
        assert!(tokio::time::timeout(patience, waiting).await.is_ok(), "not within {patience:?}: {what}");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

fn encoded(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
