use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use doorward::vault::postgres::{PostgresOptions, PostgresVault};
use tempfile::TempDir;

use super::complaint;
use super::servers::{Server, shared};

/// A CA with one certificate, for `localhost`.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let openssl = |args: &[&str]| {
            let mut command = Command::new("openssl");
            command.args(args).current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
            let status = command.status().expect("`openssl` is missing: `make test` installs it");
            assert!(status.success(), "openssl {args:?}");
        };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let authority = [
            "req",
            "-x509",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-subj",
            "/CN=test authority",
            "-days",
            "2",
        ];
        openssl(&[&authority[..], &key].concat());
        let request = ["req", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"];
        openssl(&[&request[..], &key].concat());
        std::fs::write(folder.path().join("san"), "subjectAltName=DNS:localhost\n").expect("written");
        openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            "server.pem",
            "-days",
            "2",
            "-extfile",
            "san",
        ]);
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("ca.pem")
    }

    fn serve(&self) -> Server {
        let read = |name: &str| std::fs::read_to_string(self.0.path().join(name)).expect("readable");
        let server = Server::start("");
        server.write("server.key", &read("server.key"));
        server.write("server.pem", &read("server.pem"));
        let folder = server.folder().display().to_string();
        server.configure(&format!(
            "ssl = on\nssl_key_file = '{folder}/server.key'\nssl_cert_file = '{folder}/server.pem'"
        ));
        server.stop();
        server.start_again();
        server
    }
}

fn encrypted(server: &Server, name: &str, ca_file: &Path) -> PostgresOptions {
    let mut options = server.options(&server.database());
    options.url.hosts[0].name = name.into();
    options.url.tls = true;
    options.ca_file = Some(ca_file.into());
    options
}

#[tokio::test]
async fn certificate_and_host_name_are_verified() {
    let authority = Authority::new();
    let server = authority.serve();

    let options = encrypted(&server, "localhost", &authority.path());
    let vault = PostgresVault::open(options.clone()).await.expect("a vault");
    vault.log.read(None).await.expect("the follower, too, is encrypted");
    let raw = server.raw(&options.url.database).await;
    let ours =
        "SELECT count(*) FILTER (WHERE ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                WHERE usename = 'doorward'";
    let row = raw.query_one(ours, &[]).await.expect("an answer");
    let (with_tls, all): (i64, i64) = (row.get(0), row.get(1));
    assert!(all >= 2 && with_tls == all, "{with_tls} of {all}");

    let text = complaint(encrypted(&server, "127.0.0.1", &authority.path())).await;
    assert!(text.contains("for another name"), "{text}");

    let stranger = Authority::new();
    let text = complaint(encrypted(&server, "localhost", &stranger.path())).await;
    assert!(text.contains("not issued by a trusted CA") && text.contains("vault.ca_file"), "{text}");

    let mut unnamed = encrypted(&server, "localhost", &authority.path());
    unnamed.ca_file = None;
    let text = complaint(unnamed).await;
    assert!(text.contains("vault.ca_file"), "{text}");
}

#[tokio::test]
async fn server_without_tls_is_refused_with_advice() {
    let authority = Authority::new();
    let text = complaint(encrypted(shared(), "127.0.0.1", &authority.path())).await;
    assert!(text.contains("does not encrypt") && text.contains("sslmode=disable"), "{text}");
}

#[tokio::test]
async fn unusable_ca_file_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.pem");
    let text = complaint(encrypted(shared(), "127.0.0.1", &path)).await;
    assert!(text.contains("ca.pem") && text.contains("cannot be read"), "{text}");
    std::fs::write(&path, "no certificate\n").expect("written");
    let text = complaint(encrypted(shared(), "127.0.0.1", &path)).await;
    assert!(text.contains("holds no certificate"), "{text}");
}
