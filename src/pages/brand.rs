//! Branding of the pages: the name, the colours, and the files that pages load.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;

use crate::config;

/// Header fields of every file besides `Content-Type`. A file's name changes with its content, so it is cached for
/// good. The policy protects a logo that is opened directly, since an SVG may contain scripts.
pub const ASSET_HEADERS: &[(&str, &str)] = &[
    ("cache-control", "public, max-age=31536000, immutable"),
    ("x-content-type-options", "nosniff"),
    // A sandboxed frame has an origin of its own, and shows a page of ours all the same. Nothing in the files is secret.
    ("cross-origin-resource-policy", "cross-origin"),
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
];

const STYLE: &str = include_str!("../../assets/page.css");
const SCRIPT: &[u8] = include_bytes!("../../assets/show.js");
const PASSKEYS: &[u8] = include_bytes!("../../assets/passkey.js");
const STRENGTH: &[u8] = include_bytes!("../../assets/strength.js");
const ICON: &[u8] = include_bytes!("../../assets/icon.svg");

/// A file that pages load.
#[derive(Clone, Debug)]
pub struct Asset {
    /// `<name>.<hash>.<extension>`
    pub name: String,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The content.
    pub body: Bytes,
}

impl Asset {
    fn new(name: &str, content_type: &'static str, body: Bytes) -> Self {
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        // Eight bytes suffice: the files are the operator's own, so no attacker constructs collisions.
        let hash: String =
            digest(&SHA256, &body).as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name: format!("{stem}.{hash}.{extension}"), content_type, body }
    }
}

/// `[brand]`, compiled: page data and files.
#[derive(Clone, Debug)]
pub struct Brand {
    pub(super) name: String,
    folder: String,
    style: Asset,
    script: Asset,
    passkeys: Asset,
    strength: Asset,
    icon: Asset,
    logo: Option<Asset>,
    css: Option<Asset>,
}

impl Brand {
    /// Compiles the brand for pages below `auth_prefix`.
    pub fn new(brand: &config::Brand, auth_prefix: &str) -> Self {
        let (light, dark) = (brand.accent, brand.accent_dark);
        let style = format!(
            "{STYLE}:root{{--accent:{light}}}\n@media (prefers-color-scheme:dark){{:root{{--accent:{dark}}}}}\n"
        );
        let logo = brand.logo.as_ref().map(|logo| {
            Asset::new(&format!("logo.{}", logo.kind.extension()), logo.kind.media_type(), logo.bytes.clone())
        });
        let css = brand.css.clone().map(|css| Asset::new("brand.css", "text/css; charset=utf-8", css));
        Self {
            name: brand.name.clone(),
            folder: format!("{auth_prefix}/assets/"),
            style: Asset::new("page.css", "text/css; charset=utf-8", style.into()),
            script: Asset::new("show.js", "text/javascript; charset=utf-8", Bytes::from_static(SCRIPT)),
            passkeys: Asset::new(
                "passkey.js",
                "text/javascript; charset=utf-8",
                Bytes::from_static(PASSKEYS),
            ),
            strength: Asset::new(
                "strength.js",
                "text/javascript; charset=utf-8",
                Bytes::from_static(STRENGTH),
            ),
            icon: Asset::new("icon.svg", "image/svg+xml", Bytes::from_static(ICON)),
            logo,
            css,
        }
    }

    /// Returns the file at `path`, `<auth_prefix>/assets/<name>.<hash>.<extension>`.
    pub fn asset(&self, path: &str) -> Option<&Asset> {
        let name = path.strip_prefix(&self.folder)?;
        let own = [&self.style, &self.script, &self.passkeys, &self.strength, &self.icon];
        own.into_iter().chain(&self.logo).chain(&self.css).find(|asset| asset.name == name)
    }

    pub(super) fn style(&self) -> String {
        self.path(&self.style)
    }

    pub(super) fn script(&self) -> String {
        self.path(&self.script)
    }

    /// Returns the script of pages with passkeys.
    pub(super) fn passkeys(&self) -> String {
        self.path(&self.passkeys)
    }

    /// Returns the script of pages where a password is set.
    pub(super) fn strength(&self) -> String {
        self.path(&self.strength)
    }

    /// Returns the icon of the tab: the logo if there is one. It also keeps browsers from requesting `/favicon.ico`
    /// from the app.
    pub(super) fn icon(&self) -> String {
        self.path(self.logo.as_ref().unwrap_or(&self.icon))
    }

    pub(super) fn logo(&self) -> Option<String> {
        self.logo.as_ref().map(|logo| self.path(logo))
    }

    pub(super) fn css(&self) -> Option<String> {
        self.css.as_ref().map(|css| self.path(css))
    }

    fn path(&self, asset: &Asset) -> String {
        format!("{}{}", self.folder, asset.name)
    }
}
