//! Links with which users set their password: `user reset` and `user invite`.

use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::{find, taken};
use crate::auth::{Composer, Draft, Letterhead, link_url, new_link};
use crate::cli::AdminContext;
use crate::clock::Timestamp;
use crate::id::UserId;
use crate::identity::{Attributes, DisplayName, Email, Login, Role, Roles};
use crate::pages::{Language, Notice};
use crate::password::{is_unusable_hash, unusable_hash};
use crate::server::master_secret;
use crate::vault::{LinkPurpose, NewLink, NewMail, NewUser, User, UserKey, VaultError};

/// Range of `--valid`. A link that lies around longer is found by others.
const VALID: std::ops::RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(30 * 24);

#[derive(Debug, Args)]
pub(in crate::cli) struct ResetOptions {
    /// Login name.
    name: Login,
    /// Time for which the link can be used, 1m to 30d.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = valid)]
    valid: Duration,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct InviteOptions {
    /// E-mail address of the new user; no other user may have it.
    email: Email,
    /// Login name; by default the address.
    #[arg(long, value_name = "NAME")]
    login: Option<Login>,
    /// Role of the user; may be given several times.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<Role>,
    /// Name for display, such as "Ada Lovelace".
    #[arg(long = "name", value_name = "DISPLAY_NAME")]
    display_name: Option<DisplayName>,
    /// Time for which the link can be used, 1m to 30d.
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = valid)]
    valid: Duration,
    /// Print the link even if [mail] is configured, and send no mail.
    #[arg(long)]
    print: bool,
    /// Language of the mail: en or de.
    #[arg(long, value_name = "LANGUAGE", default_value = "en", value_parser = language)]
    language: Language,
}

fn language(text: &str) -> Result<Language, String> {
    let found = Language::ALL.into_iter().find(|language| language.tag() == text);
    found.ok_or_else(|| "write en or de".to_owned())
}

fn valid(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).ok().filter(|span| VALID.contains(span));
    span.ok_or_else(|| "write a time such as 15m, 4h or 7d, from 1m to 30d".to_owned())
}

pub(super) async fn reset(
    context: &AdminContext,
    options: &ResetOptions,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let user = find(context, &options.name).await?;
    print_link(context, LinkPurpose::Reset, &user, options.valid, out).await
}

pub(super) async fn invite(
    context: &AdminContext,
    options: &InviteOptions,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let InviteOptions { email, login, roles, display_name, .. } = options;
    let login =
        match login {
            Some(login) => login.clone(),
            None => email.as_str().to_ascii_lowercase().parse().with_context(|| {
                format!("`{}` cannot be a login name: give one with --login", email.as_str())
            })?,
        };
    // Invited before: the first link was lost, or has expired.
    if let Some(user) = context.vault.users.find(&UserKey::Login(login.clone())).await? {
        let is_waiting = is_unusable_hash(&user.password)
            && user.attributes.email() == Some(email)
            && context.vault.identities.of_user(user.id).await?.is_empty();
        if !is_waiting {
            anyhow::bail!(
                "the user `{login}` exists already: `doorward user reset {login}` prints a link for a new password"
            );
        }
        return hand_out(context, &user, options, out).await;
    }
    let random = context.surroundings.random.as_ref();
    let new = NewUser {
        attributes: Attributes::new(Some(email.clone()), false, display_name.clone()),
        ..NewUser::new(
            UserId::random(random),
            login.clone(),
            unusable_hash(random),
            Roles::new(roles.iter().cloned()),
        )
    };
    let created = context.vault.users.create(&new).await;
    created.map_err(|error| taken(error, Some(email)))?;
    writeln!(out, "added `{login}`")?;
    let user = find(context, &login).await?;
    hand_out(context, &user, options, out).await
}

/// Sends a link to the new user, or prints it where no mails are sent.
async fn hand_out(
    context: &AdminContext,
    user: &User,
    options: &InviteOptions,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let InviteOptions { email, valid, print, language, .. } = options;
    let Some(mail) = context.config.mail.as_ref().filter(|_| !print) else {
        return print_link(context, LinkPurpose::Invitation, user, *valid, out).await;
    };
    let (random, clock) = (context.surroundings.random.as_ref(), &context.surroundings.clock);
    let master = master_secret(&context.config, &context.vault, random).await?;
    let (token, link) = new_link(random, LinkPurpose::Invitation, user, None, *valid);
    let link = NewLink { email: Some(email.clone()), max_open: u32::MAX, ..link };
    let site = site(context)?.to_owned();
    let base = format!("{site}{}", context.config.server.auth_prefix);
    let url = link_url(&base, &token);
    let letterhead = Letterhead { site, base, language: *language };
    let composer = Composer {
        random,
        master: &master,
        now: clock.wall(),
        from: &mail.from,
        brand: &context.config.brand.name,
    };
    let notice = Notice::Invitation { url: url.expose(), user: user.login.as_str(), life: *valid };
    let draft = Draft { kind: "invitation", user: user.id, to: email, life: *valid, notice };
    let message = composer.compose(&draft, &letterhead)?;
    add(context, &link, user, Some(&message)).await?;
    writeln!(
        out,
        "a gateway sends a mail with a link to `{}`; `doorward status` shows whether mails wait",
        email.as_str()
    )?;
    Ok(())
}

/// Returns the address that links begin with.
fn site(context: &AdminContext) -> anyhow::Result<&str> {
    let first = context.config.server.public_urls.first().map(String::as_str);
    first.context("server.public_urls is empty: write the address of the gateway")
}

async fn add(
    context: &AdminContext,
    link: &NewLink,
    user: &User,
    message: Option<&NewMail>,
) -> anyhow::Result<()> {
    match context.vault.mail.add_link(link, message).await {
        Err(VaultError::UserUnknown) => {
            let login = &user.login;
            anyhow::bail!("`{login}` is disabled: `doorward user enable {login}` comes first")
        }
        added => {
            added?;
            Ok(())
        }
    }
}

/// Stores a link that any browser can use, and prints it.
async fn print_link(
    context: &AdminContext,
    purpose: LinkPurpose,
    user: &User,
    valid: Duration,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (server, login, site) = (&context.config.server, &user.login, site(context)?);
    let random = context.surroundings.random.as_ref();
    let (token, link) = new_link(random, purpose, user, None, valid);
    // An operator is no stranger.
    let link = NewLink { max_open: u32::MAX, ..link };
    add(context, &link, user, None).await?;
    let until: Timestamp = context.surroundings.clock.wall() + valid;
    let url = link_url(&format!("{site}{}", server.auth_prefix), &token);
    writeln!(out, "link for `{login}` to set a password, once, until {until}:\n{}", url.expose())?;
    Ok(())
}
