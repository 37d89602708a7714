//! Whose pages they are: the name, the colours, and the files the pages load.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;

use crate::config;

/// The header fields every file is sent with, beside its `Content-Type`. The name changes with the content, so it is
/// kept for good; the policy is for a logo that is opened by itself, since an SVG may hold scripts.
pub const ASSET_HEADERS: &[(&str, &str)] = &[
    ("cache-control", "public, max-age=31536000, immutable"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
];

const STYLE: &str = include_str!("../../assets/page.css");
const SCRIPT: &[u8] = include_bytes!("../../assets/show.js");
const ICON: &[u8] = include_bytes!("../../assets/icon.svg");

/// One file that pages load.
#[derive(Clone, Debug)]
pub struct Asset {
    /// `<name>.<hash>.<extension>`
    pub name: String,
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// What it holds.
    pub body: Bytes,
}

impl Asset {
    fn new(name: &str, content_type: &'static str, body: Bytes) -> Self {
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        // Eight bytes: nobody looks for collisions among files of the operator's own.
        let hash: String =
            digest(&SHA256, &body).as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name: format!("{stem}.{hash}.{extension}"), content_type, body }
    }
}

/// `[brand]`, compiled: what the pages need of it, and the files.
#[derive(Clone, Debug)]
pub struct Brand {
    pub(super) name: String,
    folder: String,
    style: Asset,
    script: Asset,
    icon: Asset,
    logo: Option<Asset>,
    css: Option<Asset>,
}

impl Brand {
    /// For pages below `auth_prefix`.
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
            icon: Asset::new("icon.svg", "image/svg+xml", Bytes::from_static(ICON)),
            logo,
            css,
        }
    }

    /// The file at `path`, `<auth_prefix>/assets/<name>.<hash>.<extension>`.
    pub fn asset(&self, path: &str) -> Option<&Asset> {
        let name = path.strip_prefix(&self.folder)?;
        let ours = [&self.style, &self.script, &self.icon];
        ours.into_iter().chain(&self.logo).chain(&self.css).find(|asset| asset.name == name)
    }

    pub(super) fn style(&self) -> String {
        self.path(&self.style)
    }

    pub(super) fn script(&self) -> String {
        self.path(&self.script)
    }

    /// For the tab: the logo where there is one, which also keeps browsers from asking the app for `/favicon.ico`.
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
