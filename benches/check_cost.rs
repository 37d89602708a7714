//! Cost of the check: CPU per authenticated request compared with a public route of the same gateway.
//!
//! One gateway process serves the two routes in turn under `wrk`; its CPU time is read before and after each round. The
//! claim is the ratio; the microseconds depend on this machine. `cargo bench --bench check_cost` (needs wrk).

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, ensure};
use doorward::demo::app::App;

#[expect(dead_code, reason = "shared with benches that need more of it")]
mod shared;

use shared::gateway::Gateway;
use shared::gateway::{PASSWORD, add_user};

/// Rounds per route; their median is stable to about one percent here.
const ROUNDS: usize = 11;
/// Seconds per round.
const SECONDS: u32 = 3;
const CONNECTIONS: u32 = 64;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let app = runtime.block_on(App::start(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    let folder = tempfile::tempdir()?;
    let gateway = start(folder.path(), app.address())?;
    let token = runtime.block_on(login(gateway.address))?;
    let routes = [("public", "/public"), ("signed-in", "/private")];
    let mut cost: [Vec<f64>; 2] = Default::default();
    for round in 0..=ROUNDS {
        for (at, (_, path)) in routes.iter().enumerate() {
            let micros = measure(&gateway, path, &token)?;
            // The first round is a warm-up.
            if round > 0 {
                cost[at].push(micros);
            }
        }
    }
    let mut out = std::io::stdout().lock();
    let ratios: Vec<f64> = cost[0].iter().zip(&cost[1]).map(|(public, checked)| checked / public).collect();
    for ((name, _), cost) in routes.iter().zip(&cost) {
        writeln!(out, "{name:10} {}", spread(cost, "µs of CPU a request"))?;
    }
    writeln!(out, "ratio      {}", spread(&ratios, "(signed-in / public, round by round)"))?;
    Ok(())
}

fn spread(values: &[f64], what: &str) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part) as usize];
    format!("median {:.3}  (min {:.3}, max {:.3}) {what}", at(0.5), at(0.0), at(1.0))
}

/// CPU microseconds of the gateway per request in one round.
fn measure(gateway: &Gateway, path: &str, token: &str) -> anyhow::Result<f64> {
    let before = gateway.cpu()?;
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s")])
        .args(["-H", &format!("Authorization: Bearer {token}")])
        .arg(format!("http://{}{path}", gateway.address))
        .output()
        .context("cannot run wrk: install it")?;
    let spent = gateway.cpu()? - before;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(!text.contains("Non-2xx"), "a request was refused:\n{text}");
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "));
    let requests: f64 = requests.context("wrk printed no count")?.0.parse()?;
    ensure!(requests > 1000.0, "too few requests to say anything:\n{text}");
    Ok(spent / requests)
}

fn start(folder: &std::path::Path, app: SocketAddr) -> anyhow::Result<Gateway> {
    let file = folder.join("gateway.toml");
    let route = |name: &str, access: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\naccess = \"{access}\"\nupstream = \"app\"\n"
        )
    };
    let routes = route("public", "public") + &route("private", "signed-in");
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = []\n[log]\nlevel = \"warn\"\n[upstreams.app]\nservers = [\"http://{app}\"]\n{routes}"
    );
    fs::write(&file, text)?;
    add_user(&file, "bench", "user")?;
    Gateway::serve(&file)
}

async fn login(address: SocketAddr) -> anyhow::Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let body = serde_json::json!({ "username": "bench", "password": PASSWORD }).to_string();
    let request = format!(
        "POST /auth/login HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let json = response.split_once("\r\n\r\n").context("a body")?.1;
    let json: serde_json::Value = serde_json::from_str(json).with_context(|| response.clone())?;
    Ok(json["access_token"].as_str().context("a token")?.to_owned())
}
