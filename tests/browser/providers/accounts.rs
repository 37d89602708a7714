//! Accounts on the account page: linked and unlinked, with scripts and without.

use super::{THERE, World, choose, sign_in_there};
use crate::chromium::Browser;
use crate::flows::sign_in;
use crate::support::PASSWORD;

const LINK: &str = "form[action='/auth/providers/sso/link'] button";
const UNLINK: &str = "form[action='/auth/providers/sso/unlink'] button";

fn shows(selector: &str) -> String {
    format!("location.pathname === '/auth/account' && !!document.querySelector({selector:?})")
}

#[tokio::test(flavor = "multi_thread")]
async fn account_is_linked_and_unlinked_with_and_without_scripts() {
    let (world, browser) = (World::with("create_users = \"never\"", "").await, Browser::start().await);
    for scripts in [true, false] {
        let profile = browser.profile().await;
        let tab = profile.tab().await;
        tab.scripts(scripts).await;
        tab.open(&world.site.url("/auth/account")).await;
        sign_in(&tab, PASSWORD).await;
        tab.until(&shows(LINK)).await;
        tab.click(LINK).await;
        // The form's redirect goes to another site, and comes back to this page.
        sign_in_there(&tab, "grace").await;
        tab.until(&shows(UNLINK)).await;
        world.sign_out(&tab).await;
        // Whoever has that account is ada here.
        tab.open(&world.site.url("/page")).await;
        choose(&tab).await;
        tab.until("document.title === 'The app'").await;
        assert_eq!(world.user().as_deref(), Some("ada"));
        tab.open(&world.site.url("/auth/account")).await;
        tab.click(UNLINK).await;
        tab.until(&shows(LINK)).await;
        world.sign_out(&tab).await;
        tab.open(&world.site.url("/page")).await;
        choose(&tab).await;
        tab.until("!!document.querySelector('.facts')").await;
        let facts = tab.text(".facts").await;
        assert!(facts.contains("provider_no_account"), "{facts}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_link_changes_nothing() {
    let (world, browser) = (World::with("create_users = \"never\"", "").await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = world.site.signed_in(&profile).await;
    tab.open(&world.site.url("/auth/account")).await;
    tab.click(LINK).await;
    tab.until(THERE).await;
    sign_in_there(&tab, "nobody").await;
    tab.until("!!document.querySelector('.facts')").await;
    let facts = tab.text(".facts").await;
    assert!(facts.contains("provider_denied"), "{facts}");
    tab.open(&world.site.url("/auth/account")).await;
    tab.until(&shows(LINK)).await;
}
