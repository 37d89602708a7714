//! Sign-ins in progress: many tabs, the Back button, and their end.

use std::time::Duration;

use super::{OPEN, World};
use crate::browser::ORIGIN;

fn flows(surfer: &super::Surfer) -> usize {
    surfer.here.cookies.keys().filter(|name| name.starts_with("__Host-doorward-flow-")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_work_side_by_side() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let mut callbacks = Vec::new();
    for tab in 0..3 {
        callbacks.push(surfer.up_to_callback("ada", &format!("/tab{tab}")).await);
    }
    assert_eq!(flows(&surfer), 3);
    for (tab, callback) in callbacks.iter().enumerate().rev() {
        let page = surfer.go(callback).await;
        assert_eq!((page.status, surfer.at.clone()), (200, format!("{ORIGIN}/tab{tab}")), "{}", page.text());
    }
    assert_eq!(flows(&surfer), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ninth_tab_gives_up_the_oldest() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let mut callbacks = Vec::new();
    // The jar sends cookies in the order of their names; a browser, in that of their age.
    let mut oldest = String::new();
    for tab in 0..9 {
        if tab == 8 {
            oldest = surfer.here.cookies.keys().find(|name| name.contains("-flow-")).expect("a flow").clone();
        }
        callbacks.push(surfer.up_to_callback("ada", &format!("/tab{tab}")).await);
        assert!(flows(&surfer) <= 8);
    }
    assert!(!surfer.here.cookies.contains_key(&oldest));
    let mut lost = 0;
    for callback in &callbacks {
        let mut tab = surfer.clone();
        let page = tab.go(callback).await;
        assert!(matches!(page.status, 200 | 400), "{}", page.text());
        lost += usize::from(page.status == 400);
    }
    assert_eq!(lost, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_targets_of_eight_tabs_fit_into_a_request() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let mut last = String::new();
    for tab in 0..8 {
        last = surfer.up_to_callback("ada", &format!("/tab{tab}?{}", "x".repeat(1000))).await;
    }
    assert!(surfer.here.cookie().len() < 24 << 10, "{}", surfer.here.cookie().len());
    let page = surfer.go(&last).await;
    assert_eq!(page.status, 200, "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_that_is_loaded_again_goes_on() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let callback = surfer.up_to_callback("ada", "/reports").await;
    surfer.go(&callback).await;
    let requests = world.provider.count("token:authorization_code").await;
    let again = surfer.visit(&callback).await;
    assert_eq!((again.status, again.header("location")), (303, Some("/")));
    // Back to the button, too.
    let start = surfer.visit(&format!("{ORIGIN}/auth/providers/sso/start")).await;
    assert_eq!((start.status, start.header("location")), (303, Some("/")));
    assert_eq!(world.provider.count("token:authorization_code").await, requests, "the code was sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn fragment_of_the_address_does_not_reach_the_provider() {
    let world = World::with(OPEN).await;
    let to = world.surfer().visit(&format!("{ORIGIN}/auth/providers/sso/start")).await;
    // A browser takes the fragment of an address through redirects that have none.
    let to = to.header("location").expect("a redirect").to_owned();
    assert!(to.starts_with(&world.provider.issuer()) && to.ends_with('#'), "{to}");
    assert_eq!(to.matches('#').count(), 1, "{to}");
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_ends_after_ten_minutes() {
    let world = World::with(OPEN).await;
    for (age, status) in [(50, 200), (610, 400)] {
        let mut surfer = world.surfer();
        let callback = surfer.up_to_callback("ada", "/").await;
        crate::browser::later(&world.gateway, Duration::from_secs(age)).await;
        // The code lives for a minute there.
        world.provider.advance(Duration::from_secs(age)).await;
        let page = surfer.go(&callback).await;
        assert_eq!(page.status, status, "{age} s: {}", page.text());
    }
}
