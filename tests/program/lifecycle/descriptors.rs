//! A gateway that has used up its file descriptors.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::app::TestApp;
use crate::house::House;
use crate::http::Client;

/// Fewer than the gateway has, so that it cannot connect to the app.
const FILES: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn request_without_a_descriptor_for_its_app_is_503_and_ejects_no_server() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.add("ada", &[]);
    let gateway = house.serve();
    let tokens = gateway.login("ada").await;
    let bearer = format!("Bearer {}", tokens.access);
    let headers = [("Authorization", bearer.as_str())];
    // More than the failures after which a server is ejected, each with a connection that has been accepted. None has gone to
    // the app yet: a connection that is kept to the app needs no descriptor.
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(gateway.public).await;
        assert_eq!(client.request("GET", "/auth/me", &headers, b"").await.status, 200);
        clients.push(client);
    }
    let id = Pid::from_raw(i32::try_from(gateway.process.id()).expect("a process id")).expect("not zero");
    let fewer = Rlimit { current: Some(FILES), ..getrlimit(Resource::Nofile) };
    let before = prlimit(Some(id), Resource::Nofile, fewer).expect("a limit of a child");
    for client in &mut clients {
        let response = client.request("GET", "/", &headers, b"").await;
        assert_eq!((response.status, response.code()), (503, "overloaded".to_owned()), "{}", response.text());
        assert!(response.header("retry-after").is_some());
    }
    prlimit(Some(id), Resource::Nofile, before).expect("the limit of before");
    assert_eq!(gateway.get("/", &tokens.access).await.status, 200, "the server was not ejected");
    let log = gateway.log();
    let failures = log.iter().filter(|line| line["reason"] == "upstream_connect_failed");
    assert_eq!(failures.count(), 10, "each is logged with its cause");
}
