//! People with a browser: forms, cookies, silent renewal, and who is shown a page.

mod csrf;
mod errors;
mod jar;
mod renewal;
mod sign_in;
mod sign_out;

pub(crate) use jar::Browser;
