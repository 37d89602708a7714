//! What an operator is told about identity providers: `check`, `provider test`, `user link`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use crate::house::{House, PASSWORD};
use crate::port::free_port;
use crate::process::Done;
use crate::tls;

/// A configuration with a provider of this issuer.
fn house(issuer: &str) -> House {
    let provider = format!(
        "[[providers]]\nid = \"sso\"\nissuer = \"{issuer}\"\nclient_id = \"doorward\"\nclient_secret = \"a secret\"\n"
    );
    House::new(SocketAddr::from(([127, 0, 0, 1], 9)), &provider)
}

/// Starts a server with one response for every connection.
fn server(response: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(response.as_bytes());
        }
    });
    address
}

#[test]
fn check_counts_the_providers() {
    let done = house("https://sso.example.com").run(&["check"]);
    assert!(done.out.contains("2 routes, 1 upstream, 1 identity provider\n"), "{} {}", done.out, done.err);
    let done = House::empty().run(&["check"]);
    assert!(done.out.contains("2 routes, 1 upstream\n"), "{} {}", done.out, done.err);
}

#[test]
fn failed_test_of_a_provider_says_what_to_do() {
    let nobody = free_port();
    let not_found = server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let moved = server(
        "HTTP/1.1 302 Found\r\nLocation: https://a.example/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let page = server(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\n<p>a",
    );
    let failing = server("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    for (issuer, expected) in [
        (format!("http://127.0.0.1:{nobody}"), "whether this machine may connect to it"),
        (format!("http://{not_found}/realms/a"), "status 404: most likely this is not the issuer"),
        (format!("http://{moved}"), "status 302: redirects are not followed"),
        (format!("http://{page}"), "most likely this is not the issuer"),
        (format!("http://{failing}"), "status 503: the provider has a failure of its own"),
        (format!("https://{failing}"), "of a CA that this machine trusts, or of one in ca_file"),
    ] {
        let house = house(&issuer);
        if issuer.starts_with("https:") {
            // Else the trust store of this machine would be read, which may be empty.
            tls::make(house.path("").as_path(), "ca", &["localhost"]);
            let text = std::fs::read_to_string(house.path("gateway.toml")).expect("the file");
            house.write("gateway.toml", &text.replace("client_id =", "ca_file = \"ca.crt\"\nclient_id ="));
        }
        let done = house.run(&["provider", "test", "sso"]);
        assert!(done.out.starts_with("redirect address      http://gateway.test/auth/"), "{}", done.out);
        let complaint = Done { out: String::new(), ..done }.complaint();
        assert!(complaint.contains(&format!("the provider `sso`, from {issuer}: ")), "{complaint}");
        assert!(complaint.contains(expected), "no `{expected}`: {complaint}");
    }
}

#[test]
fn provider_test_asks_to_register_only_what_the_provider_has() {
    let server = server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    for (preset, has_logout) in [("oidc", true), ("github", false)] {
        let house = house(&format!("http://{server}\"\npreset = \"{preset}"));
        let printed = house.run(&["provider", "test", "sso"]).out;
        assert!(
            printed.contains("redirect address      http://gateway.test/auth/providers/sso/callback\n"),
            "{printed}"
        );
        assert_eq!(printed.contains("back-channel logout"), has_logout, "{preset}: {printed}");
    }
}

#[test]
fn impossible_links_name_the_cause() {
    let house = house("https://sso.example.com");
    for name in ["ada", "bob"] {
        house.run_with(&["user", "add", name, "--password-stdin"], PASSWORD).good();
    }
    let link = |name: &str, subject: &str, more: &[&str]| {
        let words = ["user", "link", name, "--provider", "sso", "--subject", subject];
        house.run(&[&words[..], more].concat())
    };
    let empty = link("ada", "", &[]).complaint();
    assert!(empty.contains("--subject is empty or has control characters"), "{empty}");
    let empty = link("ada", "17", &["--issuer", ""]).complaint();
    assert!(empty.contains("--issuer is empty or has control characters"), "{empty}");
    link("ada", "17", &[]).good();
    let taken = link("bob", "17", &[]).complaint();
    assert!(taken.contains("belongs to `ada`: remove it there first with `doorward user unlink`"), "{taken}");
    assert!(house.run(&["user", "show", "ada"]).good().contains("\npassword    set\n"));
    assert_eq!(house.run(&["user", "approve", "ada"]).good(), "enabled `ada`\n");
}
