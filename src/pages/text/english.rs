//! English texts.

use std::time::Duration;

use super::ErrorOf::{Code, Other, Status};
use super::{ErrorOf, ErrorText, Text, Unit, largest, password};

pub(super) const TEXT: Text = Text {
    problem: "Problem",

    sign_in: "Sign in",
    username: "User name",
    username_or_email: "User name or e-mail address",
    password: "Password",
    show: "Show",
    hide: "Hide",
    show_password: "Show password",
    remember: "Keep me signed in",
    remember_hint: "Not on a device that others use.",
    credentials_wrong: "The user name or the password is wrong. Check both and try again.",
    sign_in_incomplete: "Enter your user name and your password.",
    too_many: |wait| format!("There were too many attempts. Wait {wait}, then try again."),
    unavailable: "This cannot be checked at the moment. Nothing was changed; try again in a few seconds.",
    form_expired: "This page was open for too long. Nothing was changed; please enter it once more.",
    cookies_refused: "Your browser did not send our cookie back, and without it nobody can stay signed in. Allow cookies for this \
                      site, open it over https, and try again.",
    no_provider: "No provider is known for this address. Check it, or choose one of the buttons.",
    go_on_sign_in: "Continue",
    sign_in_with: |provider| format!("Sign in with {provider}"),
    or: "or",

    signed_in: "You are signed in",
    signed_in_as: "Signed in as",
    signed_in_hint: "If you came here from a form in another tab, go back to that tab now.",
    go_on: "Continue",
    account: "Account",
    sign_out: "Sign out",
    sign_out_asked: "Sign out?",
    sign_out_everywhere: "Sign out everywhere",

    signed_out: "You are signed out",
    signed_out_here: "This browser no longer has access.",
    signed_out_everywhere: "None of your devices has access any more.",
    signed_out_pending: "This browser no longer has access. Our records could not be reached just now, so your session \
                         itself has not been ended yet. If you fear that somebody copied it, sign in again later and \
                         sign out everywhere.",
    signed_out_everywhere_pending: "This browser no longer has access. Our records could not be reached just now, so \
                                    your other devices are still signed in. Sign in again later and repeat it.",
    still_signed_in_at: |provider| {
        format!(
            "{provider} could not be reached, so you may still be signed in there. Sign out there as well."
        )
    },
    sign_out_there: |provider| format!("Sign out at {provider}"),
    sign_in_again: "Sign in again",

    change_password: "Change password",
    current_password: "Current password",
    new_password: "New password",
    new_password_hint: |least| {
        format!("At least {least} characters. A few unrelated words are easy to remember.")
    },
    password_effect: "Your other devices will be signed out.",
    password_incomplete: "Enter your current password and a new one.",
    password_fault: password::english,
    password_good: "Long enough. Whether it is a common password is checked when you save it.",
    password_changed: "Your password is changed",
    password_changed_text: "Your other devices have been signed out. Use the new password there from now on.",

    my_account: "My account",
    details: "Your details",
    name: "Name",
    email: "E-mail address",
    email_verified: "verified",
    email_unverified: "not verified",
    roles: "Roles",
    accounts: "Accounts to sign in with",
    accounts_text: "You can sign in with each one that is linked. Linking and unlinking needs a sign-in of the last ten minutes.",
    link: |provider| format!("Link {provider}"),
    unlink: |provider| format!("Unlink {provider}"),
    linked: "Last used",
    only_account: "You have no other way to sign in, so it cannot be unlinked.",
    details_text: "If something is wrong here, tell the people who run this site.",

    devices: "My devices",
    devices_text: "Where you are signed in. If you do not recognise one, sign it out and change your password.",
    devices_text_provider: "Where you are signed in. If you do not recognise one, sign it out and change your password at the \
                            provider that you sign in with.",
    browser_on: |browser, system| format!("{browser} on {system}"),
    unknown_device: "Unknown device",
    this_device: "This one",
    address: "Address",
    signed_in_at: "Signed in",
    renewed_at: "Last renewed",
    ago,
    end: "Sign out",
    end_device: |name| format!("Sign out {name}"),
    end_others: "Sign out all others",
    no_others: "You are signed in nowhere else.",
    programs: "Programs",
    programs_text: "Scripts and apps that have signed in with your password.",
    unknown_program: "Unknown program",
    sign_ins: |count| if count == 1 { "1 sign-in".to_owned() } else { format!("{count} sign-ins") },
    show_sign_ins: "Show them",
    older: "Show older sign-ins",
    newest: "Back to the newest",
    end_programs: "Sign out all programs",

    interrupted: "Your form was not sent",
    interrupted_text: "Your session had ended. The app has received nothing, and what you entered is still in this tab.",
    interrupted_nobody: "You are not signed in, or your session had ended. The app has received nothing, and what you entered is \
                         still in this tab.",
    interrupted_steps: [
        "Sign in, in a new tab.",
        "Come back to this tab and reload it. When the browser asks whether to send the form again, confirm.",
    ],
    interrupted_or: "Or go back one page: most browsers still show what you typed.",
    interrupted_framed: "Your session had ended. The app has received nothing, and nothing was stored.",
    interrupted_framed_nobody: "It came without your sign-in: your session had ended, or your browser leaves the sign-in out \
                                inside a page of another site. The app has received nothing, and nothing was stored.",
    interrupted_framed_steps: ["Sign in, in a new tab.", "Come back to this page and send the form again."],
    interrupted_framed_or: "If it is still not sent, use the form in the new tab.",
    sign_in_new_tab: "Sign in (opens a new tab)",

    framed: "Open this page by itself",
    framed_text: "It cannot be used inside another page.",
    framed_open: "Open (opens a new tab)",

    another_site: "another site",
    cross_site: "This form was not sent on",
    cross_site_text: |origin, why| {
        format!(
            "It was sent by {origin}. {why}, so the app has received nothing, and nothing was stored. If you came here to finish something, such as a payment, open the app and look whether it \
             is done."
        )
    },
    cross_site_home: "Open the app",
    home_new_tab: "Open the app (opens a new tab)",
    cookies_omitted: "Browsers leave your sign-in out of forms that another site sends",
    not_signed_in: "You are not signed in, or your session had ended",
    other_origin: "Forms from other addresses are not passed on unseen",
    resend: "Send this form to the app?",
    resend_text: |origin, why| {
        format!(
            "It was sent by {origin}. {why}, so the app has not received it yet. Send it only if you expected it, such as at the end of a payment or a sign-in."
        )
    },
    resend_to: "Sent to",
    resend_fields: "What it says",
    resend_button: "Send it to the app",
    resend_not: "Do not send it",
    more_fields: |more| format!("And {more} more fields."),
    return_lost: "The address you came from is too long to return to. Open it again once you are signed in.",

    try_again: "Try again",
    wait: |wait| format!("Try again in {wait}."),
    request: "Request",
    span,
    factors: &super::factors::ENGLISH,
    links: &super::links::ENGLISH,
    errors: ERRORS,
};

const ERRORS: &[(ErrorOf, ErrorText)] = &[
    (
        Code("origin_not_allowed"),
        ErrorText {
            title: "Sent from another site",
            text: "This was not sent from a page of ours at an address that we know, so nothing was done. Open this site \
                   yourself, at its usual address, and try again.",
        },
    ),
    (
        Code("credentials_conflict"),
        ErrorText {
            title: "More than one sign-in",
            text: "Your browser sends several sign-ins for this site, and none of them counts. Delete the cookies \
                   of this site, then sign in again.",
        },
    ),
    (
        Code("form_invalid"),
        ErrorText {
            title: "Please load the page again",
            text: "That page was open for too long, or you have signed in or out since. Nothing was done. Go \
                   back, load it again, and repeat what you did.",
        },
    ),
    (
        Code("cookie_too_large"),
        ErrorText {
            title: "Too many roles for a browser",
            text: "Your account has more roles than a browser can carry. Ask the people who run this site to take \
                   some away.",
        },
    ),
    (
        Code("https_required"),
        ErrorText {
            title: "Open this site over https",
            text: "What you sent came unprotected, so nothing was done. Write https:// in the address and try \
                   again. If it was a password, change it.",
        },
    ),
    (
        Code("connection_outdated"),
        ErrorText {
            title: "Your certificate counts no more",
            text: "The certificate that your browser has shown is not accepted here any more, so nothing was done. \
                   Close the browser, open it again, and choose another one; or ask the people who run this site.",
        },
    ),
    (
        Code("session_unknown"),
        ErrorText {
            title: "Not signed in any more",
            text: "That device has been signed out already. Go back and load the list again.",
        },
    ),
    (
        Code("request_timeout"),
        ErrorText {
            title: "That took too long",
            text: "What you sent was too slow to arrive, so nothing was done. Check your connection and try \
                   again.",
        },
    ),
    (
        Code("provider_denied"),
        ErrorText {
            title: "Not signed in",
            text: "You or the provider stopped the sign-in, so nothing was done. Try again, or choose another way \
                   to sign in.",
        },
    ),
    (
        Code("provider_flow_lost"),
        ErrorText {
            title: "Please start again",
            text: "This sign-in took more than ten minutes, began in another browser, or its cookie is gone. Begin \
                   it again from the sign-in page.",
        },
    ),
    (
        Code("provider_not_allowed"),
        ErrorText {
            title: "Not for this account",
            text: "You are signed in at the provider, but accounts like yours may not sign in here. Choose another \
                   account there, or ask the people who run this site.",
        },
    ),
    (
        Code("provider_no_account"),
        ErrorText {
            title: "No account here",
            text: "Nobody here has the account that you used. Ask the people who run this site to add you, or sign \
                   in another way and link it on your account page.",
        },
    ),
    (
        Code("provider_login_taken"),
        ErrorText {
            title: "The name is taken",
            text: "The user name that you would get belongs to an account here. If it is yours, sign in as before and \
                   link the provider on your account page; otherwise ask the people who run this site.",
        },
    ),
    (
        Code("provider_no_username"),
        ErrorText {
            title: "No user name",
            text: "The provider tells us no name that we could use for you. Ask the people who run this site.",
        },
    ),
    (
        Code("approval_pending"),
        ErrorText {
            title: "Waiting for approval",
            text: "Your account is there, but the people who run this site have not approved it yet. Come back \
                   later.",
        },
    ),
    (
        Code("account_disabled"),
        ErrorText {
            title: "Account disabled",
            text: "Your account has been disabled. Ask the people who run this site.",
        },
    ),
    (
        Code("provider_away"),
        ErrorText {
            title: "The provider does not answer",
            text: "It cannot be reached at the moment. Try again soon, or choose another way to sign in.",
        },
    ),
    (
        Code("provider_failed"),
        ErrorText {
            title: "The sign-in did not work",
            text: "The provider gave an answer that we cannot accept. Try again; if it happens again, tell the people who \
                   run this site.",
        },
    ),
    (
        Code("passwords_off"),
        ErrorText {
            title: "Sign in with a provider",
            text: "Passwords are not used here. Choose one of the buttons on the sign-in page.",
        },
    ),
    (
        Code("last_way_to_sign_in"),
        ErrorText {
            title: "This is your only way to sign in",
            text: "Without this account you could not sign in any more. Link another one first. Nothing was changed.",
        },
    ),
    (
        Code("account_taken"),
        ErrorText {
            title: "That account is in use",
            text: "The account that you wanted to link belongs to another user here, so nothing was changed. If that is \
                   you as well, unlink it there first.",
        },
    ),
    (
        Status(400),
        ErrorText {
            title: "This cannot be understood",
            text: "The address, or what was sent with it, is malformed. Check the address, or go back and try again.",
        },
    ),
    (
        Status(401),
        ErrorText { title: "Sign in first", text: "Only people who are signed in can see this page." },
    ),
    (
        Status(403),
        ErrorText {
            title: "No access",
            text: "You are signed in, but your account may not open this page. Ask the people who run it for access.",
        },
    ),
    (
        Status(404),
        ErrorText {
            title: "Nothing here",
            text: "There is no page at this address. Check it for typing mistakes.",
        },
    ),
    (
        Status(405),
        ErrorText {
            title: "Not possible here",
            text: "This page cannot be used in this way. Go back and try again.",
        },
    ),
    (
        Status(413),
        ErrorText {
            title: "Too large",
            text: "What you sent is larger than accepted here. Try a smaller file.",
        },
    ),
    (
        Status(414),
        ErrorText {
            title: "The address is too long",
            text: "Go back and follow another link to the same place.",
        },
    ),
    (Status(429), ErrorText { title: "Too many attempts", text: "Wait a little before you try again." }),
    (
        Status(431),
        ErrorText {
            title: "Too much sent along",
            text: "Your browser sent more than is accepted here, most likely old cookies. Delete the cookies of this \
                   site and try again.",
        },
    ),
    (
        Status(502),
        ErrorText {
            title: "The app does not answer",
            text: "It cannot be reached at the moment. Try again soon; you stay signed in.",
        },
    ),
    (
        Status(503),
        ErrorText {
            title: "One moment, please",
            text: "Your access cannot be checked just now. Try again in a few seconds; you stay signed in.",
        },
    ),
    (
        Status(504),
        ErrorText {
            title: "The app takes too long",
            text: "It did not answer in time. What you asked for may have been done; look before you repeat it.",
        },
    ),
    (
        Other,
        ErrorText {
            title: "Something went wrong",
            text: "The fault is on our side. Try again; if it stays, tell the people who run this site.",
        },
    ),
];

fn span(span: Duration) -> String {
    let (count, unit) = largest(span);
    let unit = match unit {
        Unit::Second => "second",
        Unit::Minute => "minute",
        Unit::Hour => "hour",
        Unit::Day => "day",
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

fn ago(age: Duration) -> String {
    if largest(age).1 == Unit::Second { "just now".to_owned() } else { format!("{} ago", span(age)) }
}
