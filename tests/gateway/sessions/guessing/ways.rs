use serde_json::{Value, json};

use crate::browser::Browser;
use crate::support::{PASSWORD, Setup, TestGateway};

const WRONG: &str = "a wrong password";

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_with_a_password_goes_through_the_throttle() {
    // T56, N22: a new cookie jar for each try is no new guesser.
    let gateway =
        TestGateway::with(Setup { login: "attempts_per_account = 3".into(), ..Setup::default() }).await;
    let (mut tokens, mut found) = (Vec::new(), Vec::new());
    for way in ["json", "form", "change", "step-up"] {
        gateway.user(way, &[]).await;
        tokens.push(gateway.login(way).await.access);
    }
    for _ in 0..5 {
        let body = json!({ "username": "json", "password": WRONG });
        let json = gateway.post("/auth/login", None, &body).await.status;
        let form = Browser::new(&gateway).sign_in("form", WRONG, "/auth/login", &[]).await.status;
        let signed_in =
            async |path: &str, token: &str, body: Value| gateway.post(path, Some(token), &body).await.status;
        let change = json!({ "current_password": WRONG, "new_password": "another long password" });
        let change = signed_in("/auth/password", &tokens[2], change).await;
        let step_up = signed_in("/auth/step-up", &tokens[3], json!({ "password": WRONG })).await;
        found.push([json, form, change, step_up]);
    }
    assert_eq!(found, [[401, 401, 400, 400]; 3].into_iter().chain([[429; 4]; 2]).collect::<Vec<_>>());
    // What a session guesses counts for sign-ins as well.
    for way in ["json", "form", "change", "step-up"] {
        let right = json!({ "username": way, "password": PASSWORD });
        assert_eq!(gateway.post("/auth/login", None, &right).await.status, 429, "{way}");
    }
}
