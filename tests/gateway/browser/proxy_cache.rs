//! A real nginx with `proxy_cache` in front (F09).

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Browser;
use crate::support::gateway::ROUTES;
use crate::support::{Client, Response, Setup, TestGateway, assert_eventually, http};

/// Startup timeout.
const PATIENCE: Duration = Duration::from_secs(60);

/// nginx in front of a gateway, caching everything that is cacheable.
struct Nginx {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Nginx {
    async fn start(gateway: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let at = folder.path().display();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{}}\nhttp {{\n\
             access_log off;\nclient_body_temp_path {at}/body;\nproxy_temp_path {at}/proxy;\nfastcgi_temp_path {at}/f;\n\
             uwsgi_temp_path {at}/u;\nscgi_temp_path {at}/s;\n\
             proxy_cache_path {at}/cache keys_zone=all:1m;\nserver {{\nlisten {address};\nlocation / {{\n\
             proxy_pass http://{gateway};\nproxy_set_header Host $http_host;\nproxy_cache all;\nproxy_cache_valid any 10m;\n\
             add_header X-Cache $upstream_cache_status always;\n}}\n}}\n}}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).expect("a file");
        let nginx =
            ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let process = Command::new(nginx.unwrap_or("nginx"))
            .arg("-c")
            .arg(&file)
            .arg("-p")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("these tests need `nginx`: {error}"));
        let nginx = Self { process, address, _folder: folder };
        assert_eventually("nginx listens", PATIENCE, async || Client::try_connect(address).await.is_ok())
            .await;
        nginx
    }

    async fn get(&self, target: &str, headers: &[(&str, &str)]) -> Response {
        http::request(self.address, "GET", target, headers, b"").await
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_cache_never_serves_one_users_page_to_another() {
    let routes = "[[routes]]\nname = \"files\"\npath = \"/files\"\naccess = \"signed-in\"\nupstream = \"app\"\nshared_cache = true\n";
    let gateway = TestGateway::with(Setup { routes: format!("{ROUTES}{routes}"), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    gateway.user("eve", &[]).await;
    let nginx = Nginx::start(gateway.address()).await;
    let (ada, eve) = (
        Browser::signed_in(&gateway, "ada").await.cookie(),
        Browser::signed_in(&gateway, "eve").await.cookie(),
    );
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let fields = [
        "Cache-Control=public,+max-age=600",
        "Cache-Control=s-maxage=600",
        "Expires=Thu,+01+Jan+2099+00:00:00+GMT",
        "X-Accel-Expires=600",
        "Cache-Control=no-cache&X-Accel-Expires=600",
        "Last-Modified=Thu,+01+Jan+2015+00:00:00+GMT",
        "",
    ];
    for field in fields {
        for path in ["", "/optional"] {
            let target = format!("{path}/fields?{field}");
            for credential in [("Cookie", ada.as_str()), ("Authorization", bearer.as_str())] {
                for _ in 0..2 {
                    let hers = nginx.get(&target, &[credential]).await;
                    assert_eq!(hers.status, 200, "{target}");
                    assert!(
                        hers.text().to_lowercase().contains("x-auth-user: ada"),
                        "{target}: {}",
                        hers.text()
                    );
                    assert_ne!(hers.header("x-cache"), Some("HIT"), "{target}");
                }
            }
            for (reader, headers) in [("nobody", &[][..]), ("eve", &[("Cookie", eve.as_str())])] {
                let response = nginx.get(&target, headers).await;
                assert!(!response.text().to_lowercase().contains("x-auth-user: ada"), "{target} to {reader}");
            }
            // Her page is also not replaced by a cached anonymous one.
            let hers = nginx.get(&target, &[("Cookie", ada.as_str())]).await;
            assert!(hers.text().to_lowercase().contains("x-auth-user: ada"), "{target}: {}", hers.text());
        }
    }
    // Public content is still cached: on public routes, and where the route allows it.
    for (target, headers) in [
        ("/public/fields?Cache-Control=max-age=600", &[][..]),
        ("/files/fields?Cache-Control=max-age=600", &[("Cookie", ada.as_str())]),
    ] {
        assert_eq!(nginx.get(target, headers).await.header("x-cache"), Some("MISS"), "{target}");
        assert_eq!(nginx.get(target, headers).await.header("x-cache"), Some("HIT"), "{target}");
    }
}
