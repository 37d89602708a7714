//! Traffic of users, programs and attackers, running until stopped. It continues after any response, since stores and
//! gateways fail meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::gateway::Tokens;
use crate::support::{Client, PASSWORD, Response, http, tls};

/// Pause between two requests of one client: constant traffic, bearable for two cores.
const PAUSE: Duration = Duration::from_millis(20);
/// Pause between two rounds of rare events.
const NOW_AND_THEN: Duration = Duration::from_millis(300);
/// Connections of one address: more than `server.limits.connections_per_ip`. Twice as many exceed the total limit.
const CROWD: usize = 80;

/// Twice `tokens.refresh_grace`, and a little more.
const TWO_GRACES: Duration = Duration::from_millis(4200);
/// Clients at each gateway that present old tokens: enough for the alert, which counts eleven in its window.
const THIEVES: usize = 8;

/// All running clients.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    people: JoinSet<()>,
}

impl Traffic {
    /// No clients yet.
    pub(crate) fn new() -> Self {
        Self { stop: Arc::default(), people: JoinSet::new() }
    }

    /// Users who sign in, work, stay signed in and sign out.
    pub(crate) fn ordinary(&mut self, gateways: [SocketAddr; 2]) {
        for gateway in gateways.repeat(3) {
            self.again_and_again(PAUSE, move || work(gateway));
        }
    }

    /// Failures and attacks.
    pub(crate) fn unusual(&mut self, gateways: [SocketAddr; 2]) {
        let [one, other] = gateways;
        for (here, elsewhere) in [(one, other), (other, one)] {
            self.again_and_again(NOW_AND_THEN, move || be_refused(here));
            for _ in 0..THIEVES {
                self.again_and_again(NOW_AND_THEN, move || present_an_old_token(here));
            }
            self.again_and_again(NOW_AND_THEN, move || sign_out_elsewhere(here, elsewhere));
            self.again_and_again(NOW_AND_THEN * 5, move || crowd_in(here));
        }
    }

    fn again_and_again<F, D>(&mut self, pause: Duration, one: F)
    where
        F: Fn() -> D + Send + 'static,
        D: Future<Output = Option<()>> + Send,
    {
        let stop = Arc::clone(&self.stop);
        self.people.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                // An incomplete round is started again.
                let _ = one().await;
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// Stops the clients after their current round.
    pub(crate) async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.people.join_all().await;
    }
}

/// Sends one request on a new connection; `None` when the connect fails or no response arrives.
async fn ask(
    gateway: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Response> {
    let mut client = Client::over(TcpStream::connect(gateway).await.ok()?);
    let message = http::message(method, target, headers, body.as_bytes());
    if !client.try_send(&message).await {
        return None;
    }
    client.response(method).await
}

async fn get(gateway: SocketAddr, target: &str, access: &str) -> Option<Response> {
    ask(gateway, "GET", target, &[("Authorization", &format!("Bearer {access}"))], "").await
}

async fn post(gateway: SocketAddr, target: &str, body: &serde_json::Value) -> Option<Response> {
    ask(gateway, "POST", target, &[("Content-Type", "application/json")], &body.to_string()).await
}

async fn tokens(gateway: SocketAddr, target: &str, body: &serde_json::Value) -> Option<Tokens> {
    let response = post(gateway, target, body).await?;
    (response.status == 200).then(|| Tokens::of(&response))
}

async fn sign_in(gateway: SocketAddr) -> Option<Tokens> {
    tokens(gateway, "/auth/login", &json!({ "username": "ada", "password": PASSWORD })).await
}

async fn refresh(gateway: SocketAddr, token: &str) -> Option<Tokens> {
    tokens(gateway, "/auth/refresh", &json!({ "refresh_token": token })).await
}

async fn sign_out(gateway: SocketAddr, access: &str) -> Option<Response> {
    ask(gateway, "POST", "/auth/logout", &[("Authorization", &format!("Bearer {access}"))], "").await
}

/// A working day: each token is used for a while, and the response to a refresh is lost once for each.
async fn work(gateway: SocketAddr) -> Option<()> {
    let mut now = sign_in(gateway).await?;
    for _ in 0..3 {
        for page in 0..10 {
            get(gateway, &format!("/page/{page}"), &now.access).await?;
            get(gateway, "/public", &now.access).await?;
            tokio::time::sleep(PAUSE).await;
        }
        let next = refresh(gateway, &now.refresh).await?;
        refresh(gateway, &now.refresh).await?;
        now = next;
    }
    sign_out(gateway, &now.access).await.map(drop)
}

/// All ways to be refused or to receive no app response.
async fn be_refused(gateway: SocketAddr) -> Option<()> {
    ask(gateway, "GET", "/", &[], "").await?;
    get(gateway, "/", "not.a.token").await?;
    ask(gateway, "GET", "/public/..%2fadmin", &[], "").await?;
    ask(gateway, "GET", "/public", &[("X-Auth-User", "root")], "").await?;
    ask(gateway, "GET", "/gone", &[], "").await?;
    ask(gateway, "GET", "/hold", &[], "").await?;
    post(gateway, "/auth/login", &json!({ "username": "eve", "password": "a long guess at it" })).await?;
    post(gateway, "/auth/refresh", &json!({ "refresh_token": "made up" })).await?;
    let tokens = sign_in(gateway).await?;
    get(gateway, "/admin", &tokens.access).await?;
    sign_out(gateway, &tokens.access).await.map(drop)
}

/// Presents a token older than the previous generation, when no slow request can have brought it any more.
async fn present_an_old_token(gateway: SocketAddr) -> Option<()> {
    let first = sign_in(gateway).await?;
    let second = refresh(gateway, &first.refresh).await?;
    refresh(gateway, &second.refresh).await?;
    tokio::time::sleep(TWO_GRACES).await;
    post(gateway, "/auth/refresh", &json!({ "refresh_token": first.refresh })).await.map(drop)
}

/// Opens a stream at one gateway and ends its session at the other.
async fn sign_out_elsewhere(here: SocketAddr, elsewhere: SocketAddr) -> Option<()> {
    let tokens = sign_in(here).await?;
    let stream = TcpStream::connect(here).await.ok()?;
    let mut client = Client::over(stream);
    let bearer = format!("Bearer {}", tokens.access);
    if !client.try_send(&http::message("GET", "/events", &[("Authorization", &bearer)], b"")).await {
        return None;
    }
    let open = client.head().await?.status == 200;
    tokio::time::sleep(NOW_AND_THEN).await;
    let signed_out = sign_out(elsewhere, &tokens.access).await?.status == 200;
    if open && signed_out {
        client.until_closed().await;
    }
    Some(())
}

/// Opens more connections than one address may have, and from another address more than the total limit.
async fn crowd_in(gateway: SocketAddr) -> Option<()> {
    let mut crowd: Vec<TcpStream> = Vec::new();
    for last in [1, 2] {
        for _ in 0..CROWD {
            crowd.push(tls::connect_from([127, 0, 0, last].into(), gateway).await.ok()?);
        }
        // Waits until the gateway has handled the last one: either it is refused, or an older connection is evicted.
        let one = if last == 1 { CROWD - 1 } else { 0 };
        let closed = crowd[one].read_u8();
        let _ = tokio::time::timeout(Duration::from_secs(1), closed).await;
    }
    Some(())
}
