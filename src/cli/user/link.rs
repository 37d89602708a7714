//! Accounts at identity providers: `user link` and `user unlink`.

use std::io::Write;

use anyhow::Context as _;
use clap::Args;

use super::{find, report};
use crate::cli::AdminContext;
use crate::config::ProviderId;
use crate::identity::Login;
use crate::vault::{ProviderAccount, VaultError};

#[derive(Debug, Args)]
pub(in crate::cli) struct AccountOptions {
    /// Name of the provider: `id` in gateway.toml.
    #[arg(long, value_name = "ID")]
    provider: ProviderId,
    /// `sub`: the account's name at the provider, which never changes. It is neither the login name nor the e-mail address.
    #[arg(long)]
    subject: String,
    /// `iss` of the provider's tokens; by default the issuer in gateway.toml.
    #[arg(long)]
    issuer: Option<String>,
}

impl AccountOptions {
    /// Returns the key of the account.
    fn account(&self, context: &AdminContext) -> anyhow::Result<ProviderAccount> {
        let configured = || {
            let found = context.config.providers.iter().find(|provider| provider.id == self.provider);
            found.map(|provider| provider.issuer.clone())
        };
        let issuer = self.issuer.clone().or_else(configured).with_context(|| {
            format!(
                "there is no provider `{}` (`doorward provider list` shows them): give the issuer of a removed one \
                 with --issuer",
                self.provider
            )
        })?;
        let is_text = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        for (option, text) in [("--subject", self.subject.as_str()), ("--issuer", &issuer)] {
            anyhow::ensure!(
                is_text(text),
                "{option} is empty or has control characters: copy it from a token of the provider"
            );
        }
        Ok(ProviderAccount { provider: self.provider.to_string(), issuer, subject: self.subject.clone() })
    }
}

pub(super) async fn link(
    context: &AdminContext,
    name: &Login,
    options: &AccountOptions,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (user, account) = (find(context, name).await?, options.account(context)?);
    match context.vault.identities.link(&account, user.id).await {
        Ok(()) => {}
        Err(VaultError::AccountTaken) => {
            let owner = context.vault.identities.owner(&account).await?;
            let owner = owner.map_or_else(|| "another user".to_owned(), |owner| format!("`{}`", owner.login));
            anyhow::bail!(
                "the account belongs to {owner}: remove it there first with `doorward user unlink`"
            );
        }
        Err(error) => return Err(error.into()),
    }
    writeln!(out, "linked the account at `{}` to `{name}`", options.provider)?;
    Ok(())
}

pub(super) async fn unlink(
    context: &AdminContext,
    name: &Login,
    options: &AccountOptions,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (user, account) = (find(context, name).await?, options.account(context)?);
    match context.vault.identities.unlink(&account, user.id, None).await {
        Ok(ended) => {
            report(out, &format!("unlinked the account at `{}` from `{name}`", options.provider), &ended)
        }
        Err(VaultError::UserUnknown) => {
            anyhow::bail!(
                "the account does not belong to `{name}`: `doorward user show {name}` shows its accounts"
            )
        }
        Err(error) => Err(error.into()),
    }
}
