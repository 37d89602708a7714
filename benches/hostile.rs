//! Cost of the worst known requests compared with an ordinary one: CPU per request and per byte.
//!
//! One gateway process handles the kinds of requests in turn; its CPU time is read before and after each batch. Other
//! programs on the machine affect neither the order nor the bound: the claim is the ratio, and the bound is 20 times an
//! ordinary request. `make bench-hostile`; two minutes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use doorward::demo::app::App;

#[path = "../tests/attacks/frames.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod frames;
#[path = "hostile/http2.rs"]
mod http2;
#[path = "hostile/inputs.rs"]
mod inputs;
#[expect(dead_code, reason = "shared with benches that need more of it")]
mod shared;
#[path = "../tests/support/tls.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod tls;

use inputs::Input;
use shared::gateway::Gateway;
use shared::gateway::{PASSWORD, add_user};
use shared::usage::scheduled_micros;

/// Maximum cost of a hostile request, in ordinary requests.
const BOUND: f64 = 20.0;
/// Rounds per kind; the median counts.
const ROUNDS: usize = 5;
/// Requests per batch.
const REQUESTS: usize = 200;
/// Timeout; a longer wait indicates a defect.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let app = runtime.block_on(App::start(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    let folder = tempfile::tempdir()?;
    tls::make(folder.path(), "app", &["gateway.test"]);
    write_config(folder.path(), app.address())?;
    let gateways = Gateways::start(folder.path())?;
    let token = login(gateways.plain.address)?;

    let mut kinds: Vec<(String, usize, Vec<f64>)> = Vec::new();
    let inputs = inputs::all(&token);
    for round in 0..=ROUNDS {
        for (at, input) in inputs.iter().enumerate() {
            let cost = gateways.cost(|| send(gateways.plain.address, input))?;
            note(&mut kinds, at, input.name, input.bytes.len(), cost, round);
        }
        for (at, (name, path, bytes)) in http2::targets().into_iter().enumerate() {
            let cost = gateways
                .cost(|| http2::send(&runtime, folder.path(), gateways.encrypted.address, &path, REQUESTS))?;
            note(&mut kinds, inputs.len() + at, name, bytes, cost, round);
        }
    }
    report(&kinds)
}

/// The first round is a warm-up.
fn note(
    kinds: &mut Vec<(String, usize, Vec<f64>)>,
    at: usize,
    name: &str,
    bytes: usize,
    cost: f64,
    round: usize,
) {
    if kinds.len() == at {
        kinds.push((name.to_owned(), bytes, Vec::new()));
    }
    if round > 0 {
        kinds[at].2.push(cost);
    }
}

fn report(kinds: &[(String, usize, Vec<f64>)]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let median = |costs: &[f64]| {
        let mut sorted = costs.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let ordinary = |prefix: &str| {
        let of = kinds.iter().find(|(name, _, _)| name.starts_with(prefix) && name.contains("ordinary"));
        of.map(|(_, bytes, costs)| (median(costs), *bytes as f64)).context("an ordinary request")
    };
    writeln!(
        out,
        "{:44} {:>8} {:>10} {:>10} {:>8} {:>8}",
        "request", "bytes", "us", "ns/byte", "x", "x/byte"
    )?;
    let mut beyond = Vec::new();
    for (name, bytes, costs) in kinds {
        let (usual, usual_bytes) = ordinary(if name.starts_with("HTTP/2") { "HTTP/2" } else { "HTTP/1.1" })?;
        let cost = median(costs);
        let (ratio, by_byte) = (cost / usual, (cost / *bytes as f64) / (usual / usual_bytes));
        writeln!(
            out,
            "{name:44} {bytes:8} {cost:10.1} {:10.2} {ratio:8.2} {by_byte:8.2}",
            cost * 1000.0 / *bytes as f64
        )?;
        if ratio > BOUND {
            beyond.push(format!("{name}: {ratio:.1} times an ordinary request"));
        }
    }
    ensure!(beyond.is_empty(), "beyond the bound of {BOUND} times:\n{}", beyond.join("\n"));
    writeln!(out, "all within {BOUND} times an ordinary request")?;
    Ok(())
}

/// Two gateways on one vault: plaintext, and TLS for HTTP/2.
struct Gateways {
    plain: Gateway,
    encrypted: Gateway,
}

impl Gateways {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let plain = folder.join("plain.toml");
        add_user(&plain, "bench", "user")?;
        Ok(Self { plain: Gateway::serve(&plain)?, encrypted: Gateway::serve(&folder.join("tls.toml"))? })
    }

    /// CPU microseconds of both per request of a batch.
    fn cost(&self, batch: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
        let before = self.cpu()?;
        batch()?;
        Ok((self.cpu()? - before) / REQUESTS as f64)
    }

    fn cpu(&self) -> anyhow::Result<f64> {
        Ok(scheduled_micros(self.plain.id())? + scheduled_micros(self.encrypted.id())?)
    }
}

fn write_config(folder: &Path, app: SocketAddr) -> anyhow::Result<()> {
    let route = |name: &str, path: &str, access: &str, more: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"{path}\"\naccess = \"{access}\"\nupstream = \"app\"\n{more}"
        )
    };
    let routes = [
        route("private", "/private", "signed-in", ""),
        route("public", "/public", "public", ""),
        route("zz", "/zz", "public", ""),
        route("exact", "/zz/exact", "signed-in", "exact = true\n"),
        route("st", "/st", "public", ""),
    ];
    // A large configuration: some checks compare a request with every route.
    let many = (0..300).map(|at| route(&format!("part-{at}"), &format!("/st/part-{at}/x"), "signed-in", ""));
    let routes: Vec<String> = routes.into_iter().chain(many).collect();
    for (name, scheme, tls) in [
        ("plain", "http", ""),
        (
            "tls",
            "https",
            "[server.tls]\ncertificates = [{ cert_file = \"app.crt\", key_file = \"app.key\" }]\n",
        ),
    ] {
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\npublic_urls = [\"{scheme}://gateway.test\"]\n{tls}\
             [server.limits]\nconnections_per_ip = 10000\n\
             [admin]\nlisten = []\n[log]\nlevel = \"error\"\naccess = \"none\"\n[upstreams.app]\nservers = [\"http://{app}\"]\n{}",
            routes.concat()
        );
        fs::write(folder.join(format!("{name}.toml")), text)?;
    }
    Ok(())
}

/// Sends a batch, reusing connections as far as the gateway keeps them.
fn send(gateway: SocketAddr, input: &Input) -> anyhow::Result<()> {
    let mut stream = None;
    for _ in 0..REQUESTS {
        let reader: &mut BufReader<TcpStream> = match &mut stream {
            Some(reader) => reader,
            none => none.insert(connect(gateway)?),
        };
        reader.get_mut().write_all(&input.bytes)?;
        let (status, is_kept) = response(reader).with_context(|| input.name.to_owned())?;
        ensure!(input.statuses.contains(&status), "{}: {status}", input.name);
        if !is_kept {
            stream = None;
        }
    }
    Ok(())
}

fn connect(gateway: SocketAddr) -> anyhow::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(gateway)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// Reads a response. Returns its status and whether the connection can be reused.
fn response(reader: &mut BufReader<TcpStream>) -> anyhow::Result<(u16, bool)> {
    let (mut status, mut length, mut is_kept) = (None, 0, true);
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "closed without a response");
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if status.is_none() {
            status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        is_kept &= line != "connection: close";
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((status.context("a status")?, is_kept))
}

fn login(gateway: SocketAddr) -> anyhow::Result<String> {
    let body = serde_json::json!({ "username": "bench", "password": PASSWORD }).to_string();
    let mut reader = connect(gateway)?;
    write!(
        reader.get_mut(),
        "POST /auth/login HTTP/1.1\r\nHost: gateway.test\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    let json = text.split_once("\r\n\r\n").context("a body")?.1;
    let json: serde_json::Value = serde_json::from_str(json).with_context(|| text.clone())?;
    Ok(json["access_token"].as_str().context("a token")?.to_owned())
}
