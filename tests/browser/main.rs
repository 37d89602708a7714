//! Tests in a real Chromium.

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
mod support;

#[path = "../support/providers/mod.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod identity;

use support::eventually;

mod apps;
mod attacks;
mod chromium;
mod flows;
mod gallery;
mod looks;
mod origins;
mod pages;
mod passkeys;
mod passwords;
mod providers;
