//! A private Chromium, driven over its DevTools protocol: one process with one profile per device, ended with the test
//! process.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::eventually::{assert_eventually, eventually};

/// Timeout that only ends a hang on a machine busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// No sandbox: tests run as root in containers. The other flags disable its background network traffic.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--password-store=basic",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--lang=en",
    // Test host names resolve to this machine.
    "--host-resolver-rules=MAP *.test 127.0.0.1, MAP *.localhost 127.0.0.1",
    "--remote-debugging-port=0",
];

/// Ends the browser and removes its folder when the pipe closes, which is when the test process ends. The browser leads
/// its own process group, so its helpers end with it.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
read -r nothing
kill -9 "-$0"
rm -rf "$1"
"#;

/// One browser process.
pub(crate) struct Browser {
    process: Child,
    watchdog: Child,
    connection: Connection,
    port: u16,
}

impl Browser {
    /// Starts the browser and waits until it responds.
    pub(crate) async fn start() -> Self {
        let folder =
            tempfile::Builder::new().prefix("doorward-chromium-").tempdir().expect("a folder").keep();
        let mut chromium = Command::new("chromium");
        chromium.args(FLAGS).arg(format!("--user-data-dir={}", folder.display())).arg("about:blank");
        let log = std::fs::File::create(folder.join("log")).expect("a log file");
        let process =
            chromium.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let process = process.unwrap_or_else(|error| panic!("these tests need `chromium`: {error}"));
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, &process.id().to_string()]).arg(&folder);
        let watchdog = watchdog
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a watchdog");
        let (port, path) = endpoint(folder).await;
        Self { process, watchdog, connection: Connection::open(port, path).await, port }
    }

    /// A device with its own cookies and storage.
    pub(crate) async fn profile(&self) -> Profile<'_> {
        let made = self.connection.call("Target.createBrowserContext", json!({})).await;
        Profile { browser: self, context: text(&made, "browserContextId") }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The watchdog does the rest; waiting for it leaves nothing behind when a test ends.
        if let Some(mut pipe) = self.watchdog.stdin.take() {
            let _ = writeln!(pipe);
        }
        let _ = self.watchdog.wait();
        let _ = self.process.wait();
    }
}

/// DevTools port of the browser, which it writes into `folder`.
async fn endpoint(folder: PathBuf) -> (u16, String) {
    let mut found = None;
    assert_eventually("chromium listens", PATIENCE, async || {
        let text = std::fs::read_to_string(folder.join("DevToolsActivePort")).unwrap_or_default();
        found = text.split_once('\n').and_then(|(port, path)| {
            Some((port.parse().ok()?, path.trim().to_owned())).filter(|(_, path)| !path.is_empty())
        });
        found.is_some()
    })
    .await;
    found.expect("just found")
}

/// One device.
pub(crate) struct Profile<'b> {
    browser: &'b Browser,
    context: String,
}

impl Profile<'_> {
    /// An empty desktop-sized tab in the light theme.
    pub(crate) async fn tab(&self) -> Tab {
        let target = json!({ "url": "about:blank", "browserContextId": self.context });
        let made = self.browser.connection.call("Target.createTarget", target).await;
        let path = format!("/devtools/page/{}", text(&made, "targetId"));
        let tab = Tab { connection: Connection::open(self.browser.port, path).await };
        tab.connection.call("Page.enable", json!({})).await;
        tab.set_appearance(Appearance::DESKTOP).await;
        tab
    }

    /// All its cookies, of every site.
    pub(crate) async fn cookies(&self) -> Vec<Value> {
        let found = self
            .browser
            .connection
            .call("Storage.getCookies", json!({ "browserContextId": self.context }))
            .await;
        found["cookies"].as_array().expect("a list").clone()
    }
}

/// Theme and size of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appearance {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
}

impl Appearance {
    pub(crate) const DESKTOP: Self = Self { name: "desktop-light", width: 1280, height: 800, dark: false };
    /// Both themes, on a phone and on a desktop.
    pub(crate) const ALL: [Self; 4] = [
        Self { name: "phone-light", width: 390, height: 844, dark: false },
        Self { name: "phone-dark", width: 390, height: 844, dark: true },
        Self::DESKTOP,
        Self { name: "desktop-dark", width: 1280, height: 800, dark: true },
    ];
}

/// One tab.
pub(crate) struct Tab {
    connection: Connection,
}

impl Tab {
    /// Navigates and waits until everything is loaded.
    pub(crate) async fn open(&self, url: &str) {
        let result = self.connection.call("Page.navigate", json!({ "url": url })).await;
        assert!(result.get("errorText").is_none(), "{url}: {result}");
        self.until("document.readyState === 'complete'").await;
    }

    /// Value of a script in the page; promises are awaited.
    pub(crate) async fn run(&self, script: &str) -> Value {
        let result = self.try_run(script).await.unwrap_or_else(|error| panic!("{script}: {error}"));
        assert!(result.get("exceptionDetails").is_none(), "{script}: {result}");
        result["result"]["value"].clone()
    }

    async fn try_run(&self, script: &str) -> Result<Value, String> {
        let parameters = json!({
            "expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        self.connection.try_call("Runtime.evaluate", parameters).await
    }

    /// Waits until the script returns `true`, on whichever page is open then, and its own scripts have run. A failure
    /// says what the tab showed instead.
    pub(crate) async fn until(&self, script: &str) {
        let ready = format!("document.readyState === 'complete' && ({script})");
        let arrived = eventually(PATIENCE, async || {
            // A page being unloaded returns an error.
            self.try_run(&ready).await.is_ok_and(|result| result["result"]["value"] == true)
        })
        .await;
        if !arrived {
            let shown = "[location.href, document.readyState, document.visibilityState, document.title, \
                         document.activeElement?.id, document.body?.innerText]";
            panic!("not within {PATIENCE:?}: {script}; the tab shows {:?}", self.try_run(shown).await);
        }
    }

    /// Title of the page.
    pub(crate) async fn title(&self) -> String {
        self.run("document.title").await.as_str().expect("a title").to_owned()
    }

    /// Current URL.
    pub(crate) async fn url(&self) -> String {
        self.run("location.href").await.as_str().expect("a URL").to_owned()
    }

    /// Text of the first matching element.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let found = self.run(&format!("document.querySelector({selector:?})?.innerText ?? null")).await;
        found.as_str().unwrap_or_else(|| panic!("there is no {selector}")).to_owned()
    }

    /// Clicks like a mouse. Wait for a navigation with [`Tab::until`].
    pub(crate) async fn click(&self, selector: &str) {
        let middle = format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center' }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let middle = self.run(&middle).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({ "type": kind, "x": middle[0], "y": middle[1], "button": "left", "clickCount": 1 });
            self.connection.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Replaces the value of a field, as typing or pasting does.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        self.run(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.focus(); e.select(); }})()"
        ))
        .await;
        self.connection.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a key: `Enter`, `Tab`.
    pub(crate) async fn press(&self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            " " => (32, " "),
            _ => panic!("teach this harness the key {key}"),
        };
        let down = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        for kind in [down, "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" {
                event["text"] = text.into();
            }
            self.connection.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Emulates a theme and size.
    pub(crate) async fn set_appearance(&self, appearance: Appearance) {
        let size = json!({
            "width": appearance.width, "height": appearance.height, "deviceScaleFactor": 1, "mobile": appearance.width < 600,
        });
        self.connection.call("Emulation.setDeviceMetricsOverride", size).await;
        self.media("prefers-color-scheme", if appearance.dark { "dark" } else { "light" }).await;
    }

    /// Emulates one more media feature, such as `forced-colors`.
    pub(crate) async fn media(&self, name: &str, value: &str) {
        let features = json!({ "features": [{ "name": name, "value": value }] });
        self.connection.call("Emulation.setEmulatedMedia", features).await;
    }

    /// Emulates a browser with this `Accept-Language`.
    pub(crate) async fn languages(&self, list: &str) {
        self.connection.call("Network.enable", json!({})).await;
        let fields = json!({ "headers": { "Accept-Language": list } });
        self.connection.call("Network.setExtraHTTPHeaders", fields).await;
    }

    /// Holds CSS animations at their start, from now on and on every page.
    pub(crate) async fn hold_animations(&self) {
        self.connection.call("Animation.enable", json!({})).await;
        self.connection.call("Animation.setPlaybackRate", json!({ "playbackRate": 0 })).await;
    }

    /// Enables or disables scripts, from the next page on.
    pub(crate) async fn scripts(&self, allowed: bool) {
        self.connection.call("Emulation.setScriptExecutionDisabled", json!({ "value": !allowed })).await;
    }

    /// Runs a script before those of each page, from the next page on.
    pub(crate) async fn before_pages(&self, script: &str) {
        self.connection.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    }

    /// Gives the tab's browser a virtual authenticator, built into the device, whose user is verified. Returns its id.
    pub(crate) async fn authenticator(&self) -> String {
        self.connection.call("WebAuthn.enable", json!({ "enableUI": false })).await;
        let options = json!({
            "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": true,
            "hasUserVerification": true, "isUserVerified": true, "automaticPresenceSimulation": true,
        });
        let added =
            self.connection.call("WebAuthn.addVirtualAuthenticator", json!({ "options": options })).await;
        text(&added, "authenticatorId")
    }

    /// Calls a method of the virtual authenticator.
    pub(crate) async fn web_authn(&self, method: &'static str, authenticator: &str, more: Value) -> Value {
        let mut parameters = more;
        parameters["authenticatorId"] = authenticator.into();
        self.connection.call(method, parameters).await
    }

    /// The whole page as WebP in base64.
    pub(crate) async fn screenshot(&self) -> String {
        let sides = ["Width", "Height"]
            .map(|side| format!("Math.max(inner{side}, document.documentElement.scroll{side})"));
        let size = self.run(&format!("[{}]", sides.join(","))).await;
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let format = json!({ "format": "webp", "quality": 90, "clip": clip, "captureBeyondViewport": true });
        text(&self.connection.call("Page.captureScreenshot", format).await, "data")
    }
}

fn text(result: &Value, name: &str) -> String {
    result[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {result}")).to_owned()
}

/// A DevTools connection. It is blocking, so each step runs on a blocking thread.
struct Connection(Arc<Mutex<(WebSocket<TcpStream>, u64)>>);

impl Connection {
    async fn open(port: u16, path: String) -> Self {
        let opening = tokio::task::spawn_blocking(move || {
            let stream = TcpStream::connect(("127.0.0.1", port)).expect("chromium listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let url = format!("ws://127.0.0.1:{port}{path}");
            tungstenite::client(url, stream).expect("a handshake").0
        });
        Self(Arc::new(Mutex::new((opening.await.expect("a socket"), 0))))
    }

    async fn call(&self, method: &'static str, parameters: Value) -> Value {
        self.try_call(method, parameters).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_call(&self, method: &'static str, parameters: Value) -> Result<Value, String> {
        let connection = Arc::clone(&self.0);
        let asking = tokio::task::spawn_blocking(move || {
            let (socket, last) = &mut *connection.lock().expect("no panic while talking");
            *last += 1;
            let question = json!({ "id": *last, "method": method, "params": parameters });
            socket.send(Message::text(question.to_string())).expect("chromium listens");
            loop {
                let Message::Text(message) = socket.read().expect("chromium answers") else { continue };
                let mut message: Value = serde_json::from_str(&message).expect("JSON");
                // Other messages are unsolicited events.
                if message["id"] == *last {
                    let failed = message.get("error").map(Value::to_string);
                    return failed.map_or_else(|| Ok(message["result"].take()), Err);
                }
            }
        });
        asking.await.expect("an answer")
    }
}
