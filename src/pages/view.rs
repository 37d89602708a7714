//! What each page is told.

use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Timestamp;

/// One page for a person.
#[derive(Debug)]
pub enum Page<'a> {
    /// The form to sign in with.
    SignIn(SignIn<'a>),
    /// Who is signed in, and where to go from here: what the sign-in address shows to somebody who is.
    SignedIn(SignedIn<'a>),
    /// Whether to sign out.
    SignOut(SignOut<'a>),
    /// The session has ended.
    SignedOut(SignedOut<'a>),
    /// The form to change the password with, and what became of it.
    Password(PasswordPage<'a>),
    /// My devices.
    Devices(Devices<'a>),
    /// Why there is nothing else to see.
    Error(ErrorPage<'a>),
    /// A form that met an expired session: it was not sent on.
    FormInterrupted(Interrupted<'a>),
    /// In a frame of another page, where none of our forms is shown.
    Framed(Framed<'a>),
    /// A form of another site, which came without our cookies: it was not sent on.
    CrossSite(CrossSite<'a>),
    /// The same, to be sent once more from here.
    Resend(Resend<'a>),
}

/// Posts `csrf`, `return_to` (where there is one), `username`, `password` and, ticked, `remember=on`.
#[derive(Debug)]
pub struct SignIn<'a> {
    /// Where the form is posted.
    pub action: &'a str,
    /// The token that proves the form is ours.
    pub csrf: &'a str,
    /// Where to go afterwards, as it is to be posted back.
    pub return_to: Option<&'a str>,
    /// What was typed before; empty the first time.
    pub username: &'a str,
    /// Why the form is shown again.
    pub problem: Option<SignInProblem>,
    /// Whether the box is ticked.
    pub remember: bool,
    /// Whether there is a box.
    pub remember_offered: bool,
    /// Whether the address that people came from is too long to return to.
    pub is_return_lost: bool,
}

/// Why nobody was signed in. None of them tells whether the user exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInProblem {
    /// The user name or the password is wrong.
    CredentialsWrong,
    /// One of the two was empty.
    Incomplete,
    /// Too many attempts; how long to wait.
    TooMany(Duration),
    /// Cannot be decided at the moment.
    Unavailable,
    /// The form was open for too long, or its token is not ours.
    FormExpired,
    /// The browser does not send our cookies back.
    CookiesRefused,
}

/// Somebody who is signed in, and what they can do about it. The forms post `csrf`.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The login name.
    pub user: &'a str,
    /// The token that proves a form is ours.
    pub csrf: &'a str,
    /// The app.
    pub home: &'a str,
    /// My devices.
    pub devices: &'a str,
    /// Change the password.
    pub password: &'a str,
    /// Posted to sign out here.
    pub sign_out: &'a str,
    /// Posted to sign out everywhere.
    pub sign_out_everywhere: &'a str,
}

/// Who is signed in.
#[derive(Debug)]
pub struct SignedIn<'a> {
    /// Whose session it is.
    pub account: Account<'a>,
}

/// Whether to sign out.
#[derive(Debug)]
pub struct SignOut<'a> {
    /// Whose session it is.
    pub account: Account<'a>,
}

/// The session has ended.
#[derive(Debug)]
pub struct SignedOut<'a> {
    /// Where to sign in again.
    pub sign_in: &'a str,
    /// Every session of the user, not just this one.
    pub everywhere: bool,
    /// The vault is away: signed out in this browser, elsewhere as soon as it is back.
    pub pending: bool,
}

/// Posts `csrf`, `current_password` and `new_password`.
#[derive(Debug)]
pub struct PasswordPage<'a> {
    /// Whose password it is.
    pub account: Account<'a>,
    /// Where the form is posted.
    pub action: &'a str,
    /// In characters.
    pub min_length: usize,
    /// Why the form is shown again.
    pub problem: Option<PasswordProblem>,
    /// It has been changed, and the other sessions ended.
    pub done: bool,
}

/// Why the password was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordProblem {
    /// The current one is wrong.
    CurrentWrong,
    /// One of the two was empty.
    Incomplete,
    /// The new one is shorter than `min_length`.
    TooShort,
    /// The new one is longer than anybody's.
    TooLong,
    /// The new one repeats one character or the login name.
    Guessable,
    /// Too many attempts; how long to wait.
    TooMany(Duration),
    /// Cannot be decided at the moment.
    Unavailable,
    /// The form was open for too long, or its token is not ours.
    FormExpired,
}

/// My devices. Ending one posts `csrf` and `session_id`.
#[derive(Debug)]
pub struct Devices<'a> {
    /// Whose devices they are.
    pub account: Account<'a>,
    /// Posted to end one.
    pub end: &'a str,
    /// Posted to end all but this one.
    pub end_others: &'a str,
    /// Posted to end those of all programs.
    pub end_programs: &'a str,
    /// Browsers, in the order they are shown.
    pub list: &'a [Device],
    /// Programs that have signed in by themselves: each once, however often it has.
    pub programs: &'a [Program],
    /// What "5 minutes ago" is counted from.
    pub now: Timestamp,
}

/// One session.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its id.
    pub session_id: String,
    /// What the browser said it is.
    pub user_agent: Option<String>,
    /// Its place on the network.
    pub address: Option<IpAddr>,
    /// When it began.
    pub signed_in: Timestamp,
    /// When it was last renewed.
    pub renewed: Timestamp,
    /// Whether it is the one this page is shown in.
    pub this: bool,
}

/// The sessions of one program, as far as its `User-Agent` tells programs apart.
#[derive(Clone, Debug)]
pub struct Program {
    /// How many sessions it has.
    pub count: usize,
    /// The newest of them, at least one.
    pub newest: Vec<Device>,
}

/// Why there is nothing else to see.
#[derive(Debug)]
pub struct ErrorPage<'a> {
    /// The status it is sent with.
    pub status: u16,
    /// The stable code of the refusal.
    pub code: &'a str,
    /// What the log knows the request by.
    pub request_id: Option<&'a str>,
    /// Where to sign in, when that would help.
    pub sign_in: Option<&'a str>,
    /// How long to wait, in seconds.
    pub retry_after: Option<u64>,
    /// Whom it is said to, where another would be told otherwise.
    pub person: Option<Person<'a>>,
}

/// Somebody who may want to come back as somebody else.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// The login name.
    pub user: &'a str,
    /// Where to sign out.
    pub sign_out: &'a str,
}

/// A form that met an expired session.
#[derive(Debug)]
pub struct Interrupted<'a> {
    /// Where to sign in; opened in a new tab, so that the form is kept in this one.
    pub sign_in: &'a str,
}

/// What is shown in a frame: a link that leads out of it.
#[derive(Debug)]
pub struct Framed<'a> {
    /// Where to sign in, in place of the page around the frame; `None` for a page that another site frames.
    pub sign_in: Option<&'a str>,
    /// Opened in a new tab otherwise.
    pub open: &'a str,
}

/// A form of another site that was not sent on.
#[derive(Debug)]
pub struct CrossSite<'a> {
    /// The origin of the page it is on, where the browser told it.
    pub origin: Option<&'a str>,
    /// The app.
    pub home: &'a str,
}

/// A form of another site, to be posted with the same fields from our own origin.
#[derive(Debug)]
pub struct Resend<'a> {
    /// The origin of the page it is on, where the browser told it.
    pub origin: Option<&'a str>,
    /// Where it is posted, again.
    pub action: &'a str,
    /// The app.
    pub home: &'a str,
    /// Its fields, in order.
    pub fields: &'a [(String, String)],
}
