//! Loads a file into a [`Config`]: reads every section, then checks the rules that concern several sections.

use std::collections::BTreeSet;
use std::path::Path;

use zeroize::Zeroizing;

use super::{Config, Env};
use crate::config::parse::location::Report;
use crate::config::parse::problem::{Problem, Problems};
use crate::config::parse::reader::Table;
use crate::config::parse::sources::Sources;
use crate::config::section::login::unusual;
use crate::config::section::upstream_headers::Defaults;
use crate::config::section::{
    brand, browser, login, mail, providers, routes, server, stores, tokens, upstreams,
};

/// Result of reading a configuration file, and the files that were read. A change of any of these files triggers
/// another reading, even if this one failed.
#[derive(Debug)]
pub struct Reading {
    /// The configuration, or every problem of the file.
    pub config: Result<Config, Problems>,
    /// Every file that was read.
    pub sources: Sources,
}

impl Reading {
    /// Reads and checks the file at `path`; `env` looks up environment variables.
    pub fn of(path: &Path, env: Env<'_>) -> Self {
        let mut sources = Sources::default();
        let config = text(path, &mut sources).and_then(|text| {
            let (config, problems, _) = read(&text, path, env, &mut sources);
            problems.map_or(Ok(config), Err)
        });
        Self { config, sources }
    }
}

/// Reads the text of the file. It may contain the master key, so it is zeroized on drop.
fn text(path: &Path, sources: &mut Sources) -> Result<Zeroizing<String>, Problems> {
    let whole =
        |line, message| Problems::from(Problem { file: path.to_owned(), line, key: String::new(), message });
    let bytes = sources.read("", path).map_err(|error| {
        whole(0, format!("cannot be read: {error}; create it, or name another file with --config"))
    })?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            Err(whole(line, "not UTF-8: save the file in that encoding".to_owned()))
        }
    }
}

/// Returns the configuration even if it has problems (a rejected value is replaced by its default), the problems, and
/// the text.
///
/// # Errors
/// The file cannot be read.
pub(super) fn all(
    path: &Path,
    env: Env<'_>,
) -> Result<(Config, Option<Problems>, Zeroizing<String>), Problems> {
    let mut sources = Sources::default();
    let text = text(path, &mut sources)?;
    let (config, problems, _) = read(&text, path, env, &mut sources);
    Ok((config, problems, text))
}

impl Config {
    /// Same as [`Reading::of`], without the sources.
    ///
    /// # Errors
    /// Every problem of the file, or why it cannot be read.
    pub fn load(path: &Path, env: Env<'_>) -> Result<Self, Problems> {
        Reading::of(path, env).config
    }

    /// Checks the text of a file called `file_name`; relative paths in it are resolved against that file's directory.
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn parse(text: &str, file_name: &Path, env: Env<'_>) -> Result<Self, Problems> {
        let (config, problems, _) = read(text, file_name, env, &mut Sources::default());
        problems.map_or(Ok(config), Err)
    }
}

/// Returns the configuration of a text, its problems, and the keys that were read (`*` stands for any name or index).
pub(super) fn read(
    text: &str,
    file: &Path,
    env: Env<'_>,
    sources: &mut Sources,
) -> (Config, Option<Problems>, BTreeSet<String>) {
    let (report, root) = Report::open(text, file, std::mem::take(sources));
    let dir = file.parent().unwrap_or(Path::new(""));
    let config = config(Table::root(&report, &root), Config::defaults(dir), dir, env);
    let (problems, known);
    (problems, known, *sources) = report.close();
    (config, Problems::new(problems), known)
}

/// Builds the configuration; a rejected value is replaced by its default.
fn config(root: Table<'_>, defaults: Config, dir: &Path, env: Env<'_>) -> Config {
    let (server_table, vault_table, sessions_table) =
        (root.table("server"), root.table("vault"), root.table("sessions"));
    // A rule that concerns two sections is reported at the key that the file sets.
    let (listen, lease) = (server_table.location_of("listen"), vault_table.location_of("lease"));
    let tls = server_table.location_of("tls");
    let idle = sessions_table.location_of("idle_timeout");
    let server = server::server(server_table, defaults.server, dir);
    let admin = server::admin(root.table("admin"), defaults.admin, (&server, &listen), (dir, env));
    let vault = stores::vault(vault_table, defaults.vault, dir, env);
    let sessions = stores::sessions(sessions_table, defaults.sessions, (dir, env), &vault, &lease);
    let tokens = tokens::tokens(
        root.table("tokens"),
        defaults.tokens,
        (sessions.idle_timeout, &idle),
        (dir, env),
        &vault.master_key,
    );
    let providers = root.tables("providers");
    let has_providers = !providers.is_empty();
    let providers = providers::providers(providers, dir, env);
    let (urls, of_login) = (&server.public_urls, root.table("login"));
    let login = login::login(of_login, defaults.login, has_providers, urls, (dir, env));
    let unusual = unusual::unusual(root.table("unusual"), defaults.unusual);
    let mail = mail::mail(&root, (dir, env));
    let browser = browser::browser(root.table("browser"), defaults.browser, &server);
    let identity_headers =
        tokens::identity_headers(root.table("identity_headers"), defaults.identity_headers);
    let brand = brand::brand(root.table("brand"), defaults.brand, dir);
    let log = tokens::log(root.table("log"), defaults.log);
    let of_upstreams = Defaults { names: &identity_headers, audience: &tokens.audience };
    let (upstreams, names) = upstreams::upstreams(root.table("upstreams"), dir, &of_upstreams);
    let requests_client_certificates =
        tls.has_problem() || server.tls.as_ref().is_some_and(|tls| tls.clients.is_some());
    let routes = routes::routes(root.tables("routes"), &server, &names, requests_client_certificates);
    root.finish();
    Config {
        server,
        admin,
        vault,
        sessions,
        tokens,
        login,
        mail,
        providers,
        unusual,
        browser,
        identity_headers,
        brand,
        log,
        upstreams,
        routes,
    }
}
