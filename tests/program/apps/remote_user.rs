//! Unmodified apps that take the user from a proxy's header: each signs the right person in under its own name of the header, and a
//! client's header does not.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::eventually::assert_eventually;
use crate::house::House;
use crate::http::{self, Response};
use crate::process::Running;
use crate::redis::free_port;
use crate::serving::Serving;

/// Python starts slowly on a busy machine.
const START: Duration = Duration::from_secs(60);

/// An app and a gateway in front of it, with the users `ada` and `bob`.
struct Scene {
    gateway: Serving,
    _app: Running,
    _house: House,
    /// The name of the header, as the app has it.
    header: &'static str,
}

fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    assert!(python.exists(), "there is no .venv: run `.ci/setup test`, which makes it");
    python
}

impl Scene {
    /// `upstream` are the lines of its table.
    async fn start(app: &dyn Fn(u16, &Path) -> Command, header: &'static str, upstream: &str) -> Self {
        let house = House::empty();
        let folder = house.path("app");
        std::fs::create_dir(&folder).expect("a folder");
        for _ in 0..5 {
            // If another process takes the port first, the app ends and the next port is tried.
            let free = SocketAddr::from(([127, 0, 0, 1], free_port()));
            let mut running = Running::start(&mut app(free.port(), &folder));
            let listens = async || !running.is_alive() || TcpStream::connect(free).await.is_ok();
            assert_eventually("the app listens", START, listens).await;
            if !running.is_alive() {
                continue;
            }
            let text = format!(
                r#"
[server]
listen = ["127.0.0.1:0"]
public_urls = ["http://gateway.test"]
[admin]
listen = ["127.0.0.1:0"]
[upstreams.app]
servers = ["http://{free}"]
{upstream}
[[routes]]
name = "app"
path = "/"
access = "optional"
upstream = "app"
"#
            );
            house.write("gateway.toml", &text);
            house.add("ada", &["staff"]);
            house.add("bob", &[]);
            return Self { gateway: house.serve(), _app: running, _house: house, header };
        }
        panic!("the app does not start");
    }

    /// Sends a request with a spoofed user in every spelling.
    async fn spoofed(
        &self,
        method: &str,
        path: &str,
        access: Option<&str>,
        more: &[(&str, &str)],
    ) -> Response {
        let name = self.header;
        let names = [
            name.to_owned(),
            name.to_uppercase(),
            name.replace('-', "_"),
            name.replace('-', "."),
            format!("HTTP_{}", name.to_uppercase().replace('-', "_")),
        ];
        let bearer = access.map(|access| format!("Bearer {access}"));
        let credential = bearer.as_deref().map(|bearer| ("Authorization", bearer));
        let spoofed = names.iter().map(|name| (name.as_str(), "ada"));
        let headers: Vec<_> = spoofed.chain(more.iter().copied()).chain(credential).collect();
        http::request(self.gateway.public, method, path, &headers, b"").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn radicale_knows_its_user_by_x_remote_user() {
    let radicale = |port: u16, folder: &Path| {
        let mut command = Command::new(python());
        command.args(["-m", "radicale", "--config", "", "--server-hosts", &format!("127.0.0.1:{port}")]);
        command.args([
            "--auth-type",
            "http_x_remote_user",
            "--rights-type",
            "owner_only",
            "--web-type",
            "none",
        ]);
        command.args(["--storage-filesystem-folder"]).arg(folder);
        command
    };
    let settings = "identity = \"none\"\nrequest_headers.set = { \"X-Remote-User\" = \"${user.login}\" }";
    let scene = Scene::start(&radicale, "X-Remote-User", settings).await;
    let gateway = &scene.gateway;
    let (ada, bob) = (gateway.login("ada").await, gateway.login("bob").await);
    let principal =
        b"<?xml version=\"1.0\"?><propfind xmlns=\"DAV:\"><prop><current-user-principal/></prop></propfind>";
    for (user, tokens) in [("ada", &ada), ("bob", &bob)] {
        let found = gateway.call("PROPFIND", "/", &tokens.access, &[("Depth", "0")], principal).await;
        assert_eq!(found.status, 207, "{}", found.text());
        assert!(found.text().contains(&format!("<href>/{user}/</href>")), "{}", found.text());
    }
    assert_eq!(gateway.call("MKCALENDAR", "/ada/diary/", &ada.access, &[], b"").await.status, 201);
    let event = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//t//t//EN\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n\
                  DTSTART:20260101T000000Z\r\nSUMMARY:secret\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let calendar = [("Content-Type", "text/calendar")];
    assert_eq!(gateway.call("PUT", "/ada/diary/1.ics", &ada.access, &calendar, event).await.status, 201);
    assert!(gateway.get("/ada/diary/1.ics", &ada.access).await.text().contains("SUMMARY:secret"));
    assert_eq!(gateway.get("/ada/diary/1.ics", &bob.access).await.status, 403);
    let spoofed = scene.spoofed("GET", "/ada/diary/1.ics", Some(&bob.access), &[]).await;
    assert_eq!(spoofed.status, 403, "bob stays bob");
    let spoofed = scene.spoofed("GET", "/ada/diary/1.ics", None, &[]).await;
    assert_eq!(spoofed.status, 403, "nobody stays nobody");
    let moved =
        scene.spoofed("MOVE", "/ada/diary/1.ics", Some(&bob.access), &[("Destination", "/bob/1.ics")]).await;
    assert_eq!(moved.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn django_knows_its_user_by_remote_user() {
    let django = |port: u16, folder: &Path| {
        let mut command = Command::new(python());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/apps/remote_user_django.py");
        command.arg(script).arg(port.to_string()).arg(folder);
        command
    };
    let scene = Scene::start(&django, "Remote-User", "identity = \"remote-user\"").await;
    let gateway = &scene.gateway;
    let (ada, bob) = (gateway.login("ada").await, gateway.login("bob").await);
    let me = async |access: &str| gateway.get("/me", access).await.json();
    assert_eq!(me(&ada.access).await, serde_json::json!({ "user": "ada", "groups": "staff" }));
    assert_eq!(me(&bob.access).await, serde_json::json!({ "user": "bob", "groups": null }));
    let spoofed = scene.spoofed("GET", "/me", Some(&bob.access), &[("Remote_Groups", "staff")]).await;
    assert_eq!(spoofed.json(), serde_json::json!({ "user": "bob", "groups": null }));
    let spoofed = scene.spoofed("GET", "/me", None, &[("Remote-Groups", "staff")]).await;
    assert_eq!(spoofed.json(), serde_json::json!({ "user": "", "groups": null }));
}

#[tokio::test(flavor = "multi_thread")]
async fn wsgidav_knows_its_user_by_the_names_of_grafana() {
    let dav = |port: u16, folder: &Path| {
        let mut command = Command::new(python());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/apps/remote_user_dav.py");
        command.arg(script).arg(port.to_string()).arg(folder);
        command
    };
    let scene = Scene::start(&dav, "X-WEBAUTH-USER", "identity = \"grafana\"").await;
    let gateway = &scene.gateway;
    let (ada, bob) = (gateway.login("ada").await, gateway.login("bob").await);
    for (user, tokens) in [("ada", &ada), ("bob", &bob)] {
        let page = gateway.get("/", &tokens.access).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains(&format!("Authenticated user: \"{user}\"")), "{}", page.text());
    }
    assert_eq!(gateway.call("PUT", "/notes.txt", &ada.access, &[], b"hers").await.status, 201);
    // A lock belongs to its user.
    let lock = b"<?xml version=\"1.0\"?><lockinfo xmlns=\"DAV:\"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>";
    let locked = gateway.call("LOCK", "/notes.txt", &ada.access, &[("Depth", "0")], lock).await;
    assert_eq!(locked.status, 200, "{}", locked.text());
    let token = locked.header("lock-token").expect("a token").to_owned();
    let condition = format!("({token})");
    let with_token = [("If", condition.as_str())];
    let own = gateway.call("PUT", "/notes.txt", &ada.access, &with_token, b"hers again").await;
    assert_eq!(own.status, 204, "{}", own.text());
    for (condition, status) in [(&with_token[..], 412), (&[], 423)] {
        let spoofed = scene.spoofed("PUT", "/notes.txt", Some(&bob.access), condition).await;
        assert_eq!(spoofed.status, status, "bob does not get it by her name");
    }
    let nobody = scene.spoofed("GET", "/", None, &[]).await;
    assert_eq!(nobody.status, 401, "nobody stays nobody");
}
