//! Second factors of programs.

use serde_json::{Value, json};

use super::{A_STEP, strict, with_app};
use crate::browser::later;
use crate::support::gateway::Tokens;
use crate::support::{PASSWORD, TestGateway};

fn credentials(code: Option<&str>) -> Value {
    let mut body = json!({ "username": "ada", "password": PASSWORD });
    if let Some(code) = code {
        body["code"] = code.into();
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn program_signs_in_with_password_and_code() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (_, app, codes) = with_app(&gateway, "ada").await;
    let refused = gateway.post("/auth/login", None, &credentials(None)).await;
    assert!(refused.status == 403 && refused.text().contains("factor_required"), "{}", refused.text());
    let refused = gateway.post("/auth/login", None, &credentials(Some(&app.wrong(&gateway)))).await;
    assert!(refused.status == 403 && refused.text().contains("factor_wrong"), "{}", refused.text());
    for code in [app.code(&gateway), codes[3].clone()] {
        let response = gateway.post("/auth/login", None, &credentials(Some(&code))).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let me = gateway.call("GET", "/auth/me", &Tokens::of(&response).access).await.text();
        assert!(me.contains("\"mfa\""), "{me}");
    }
    // A code with a wrong password is not used up, and tells nothing.
    later(&gateway, A_STEP).await;
    let wrong =
        json!({ "username": "ada", "password": "not the right password", "code": app.code(&gateway) });
    assert_eq!(gateway.post("/auth/login", None, &wrong).await.status, 401);
    assert_eq!(gateway.post("/auth/login", None, &credentials(Some(&app.code(&gateway)))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn program_steps_up_with_a_code_or_without_a_factor_with_the_password() {
    let gateway = strict().await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let (_, app, _) = with_app(&gateway, "ada").await;
    let refused = gateway.post("/auth/step-up", Some(&tokens.access), &json!({ "code": "000" })).await;
    assert!(refused.status == 403 && refused.text().contains("factor_wrong"), "{}", refused.text());
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 200, "the session lives on");
    let code = json!({ "code": app.code(&gateway) });
    let response = gateway.post("/auth/step-up", Some(&tokens.access), &code).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let new = Tokens::of(&response);
    assert_ne!(new.session, tokens.session);
    assert_eq!(gateway.call("GET", "/vault", &new.access).await.status, 200);
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.status, 401, "the old one has ended");
    assert_eq!(gateway.refresh(&tokens.refresh).await.status, 401);
    let renewed = Tokens::of(&gateway.refresh(&new.refresh).await);
    assert_eq!(gateway.call("GET", "/vault", &renewed.access).await.status, 200, "it stays over a refresh");
    let by_password = json!({ "password": PASSWORD });
    let weaker = gateway.post("/auth/step-up", Some(&renewed.access), &by_password).await;
    assert!(weaker.status == 403 && weaker.text().contains("factor_required"), "{}", weaker.text());
    gateway.user("bob", &[]).await;
    let bob = gateway.login("bob").await;
    let response = gateway.post("/auth/step-up", Some(&bob.access), &by_password).await;
    assert_eq!(response.status, 200, "{}", response.text());
    for body in [json!({}), json!({ "code": "1", "x": "y" }), json!({ "code": 5 })] {
        let access = Tokens::of(&response).access;
        assert_eq!(gateway.post("/auth/step-up", Some(&access), &body).await.status, 400, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn token_of_a_browser_steps_up_in_its_cookies_only() {
    let gateway = strict().await;
    gateway.user("ada", &[]).await;
    let here = crate::browser::Browser::signed_in(&gateway, "ada").await;
    let refused = gateway.post("/auth/step-up", Some(here.access()), &json!({ "password": PASSWORD })).await;
    assert!(refused.status == 401 && !refused.text().contains("refresh_token"), "{}", refused.text());
}
