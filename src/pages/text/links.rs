//! Texts about links in mails, and of the mails.

/// The texts of one language.
pub(in crate::pages) struct LinkText {
    /// Link on the sign-in page, and title of the form.
    pub(in crate::pages) forgot: &'static str,
    pub(in crate::pages) forgot_text: &'static str,
    pub(in crate::pages) send: &'static str,
    pub(in crate::pages) incomplete: &'static str,
    pub(in crate::pages) look: &'static str,
    pub(in crate::pages) look_text: &'static str,
    pub(in crate::pages) look_else: &'static str,
    pub(in crate::pages) to_sign_in: &'static str,

    pub(in crate::pages) new_password: &'static str,
    pub(in crate::pages) new_password_text: &'static str,
    pub(in crate::pages) invited: &'static str,
    pub(in crate::pages) invited_text: &'static str,
    pub(in crate::pages) effect: &'static str,
    pub(in crate::pages) password_missing: &'static str,
    pub(in crate::pages) set: &'static str,

    pub(in crate::pages) password_set: &'static str,
    pub(in crate::pages) password_set_text: &'static str,
    pub(in crate::pages) invalid: &'static str,
    pub(in crate::pages) invalid_text: &'static str,
    pub(in crate::pages) other_browser: &'static str,
    pub(in crate::pages) other_browser_text: &'static str,
    pub(in crate::pages) again: &'static str,

    /// Button on the account page, title of the page of its link, and of that page's button.
    pub(in crate::pages) verify: &'static str,
    pub(in crate::pages) verify_text: fn(&str, &str) -> String,
    pub(in crate::pages) verified: &'static str,
    pub(in crate::pages) verified_text: &'static str,
    pub(in crate::pages) verify_sent: &'static str,
    pub(in crate::pages) verify_sent_text: &'static str,
    pub(in crate::pages) to_account: &'static str,

    /// Subjects take the name of the site; texts the login name, where there is one, and the name of the site.
    pub(in crate::pages) mail_reset: fn(&str) -> String,
    pub(in crate::pages) mail_reset_text: fn(&str, &str) -> String,
    pub(in crate::pages) mail_reset_life: &'static str,
    pub(in crate::pages) mail_reset_bound: &'static str,
    pub(in crate::pages) mail_reset_not_you: &'static str,
    pub(in crate::pages) mail_verify: fn(&str) -> String,
    pub(in crate::pages) mail_verify_text: fn(&str, &str) -> String,
    pub(in crate::pages) mail_verify_not_you: &'static str,
    pub(in crate::pages) mail_invite: fn(&str) -> String,
    pub(in crate::pages) mail_invite_text: fn(&str, &str) -> String,
    pub(in crate::pages) mail_invite_life: fn(&str) -> String,
    pub(in crate::pages) mail_invite_not_you: &'static str,
    pub(in crate::pages) mail_changed: fn(&str) -> String,
    pub(in crate::pages) mail_changed_text: fn(&str, &str) -> String,
    pub(in crate::pages) mail_changed_not_you: &'static str,
    pub(in crate::pages) mail_test: fn(&str) -> String,
    pub(in crate::pages) mail_test_text: fn(&str) -> String,
}

pub(super) const ENGLISH: LinkText = LinkText {
    forgot: "Forgot your password?",
    forgot_text: "Enter your user name or your e-mail address. If it belongs to an account with a verified address, you get a mail \
                  with a link to set a new password.",
    send: "Send the link",
    incomplete: "Enter your user name or your e-mail address.",
    look: "Look into your mailbox",
    look_text: "If there is such an account with a verified address, a mail is on its way to it. Open the link in this browser within \
                15 minutes.",
    look_else: "No mail? Look into the folder for unwanted mail. If you have no verified address here, ask whoever runs this site.",
    to_sign_in: "To the sign-in page",

    new_password: "Set a new password",
    new_password_text: "Choose a new password. Afterwards you sign in with it, and with your second factor if you have one.",
    invited: "Welcome",
    invited_text: "You were invited. Choose a password for your account; afterwards you sign in with it.",
    effect: "All your devices are signed out.",
    password_missing: "Enter a new password.",
    set: "Set the password",

    password_set: "Password set",
    password_set_text: "Your new password is set, and all your devices were signed out. Sign in with it now.",
    invalid: "This link does not work any more",
    invalid_text: "It was used already, it is too old, or the password was changed since. Nothing was changed by opening it.",
    other_browser: "Open the link in the other browser",
    other_browser_text: "This link works only in the browser in which you asked for it, so that nobody else can use it. Open it there, or \
                         ask for a new link from here.",
    again: "Ask for a new link",

    verify: "Verify this address",
    verify_text: |email, user| {
        format!("Does {email} belong to you, the owner of the account {user}? Then confirm it.")
    },
    verified: "Address verified",
    verified_text: "Your e-mail address is verified. If you forget your password, you get a link there.",
    verify_sent: "Look into your mailbox",
    verify_sent_text: "A mail with a link is on its way to you. Open it in this browser within 15 minutes.",
    to_account: "To your account",

    mail_reset: |brand| format!("{brand}: set a new password"),
    mail_reset_text: |user, brand| {
        format!(
            "Somebody, most likely you, asked for a new password for your account {user} at {brand}. Set it with this link:"
        )
    },
    mail_reset_life: "The link works once, for 15 minutes.",
    mail_reset_bound: "Open it in the browser in which you asked for it; it does not work in another one.",
    mail_reset_not_you: "If it was not you, you need not do anything: your password stays as it is.",
    mail_verify: |brand| format!("{brand}: verify your e-mail address"),
    mail_verify_text: |user, brand| {
        format!("Is this the address of your account {user} at {brand}? Then open this link and confirm it:")
    },
    mail_verify_not_you: "If you have no such account, you need not do anything.",
    mail_invite: |brand| format!("{brand}: you are invited"),
    mail_invite_text: |user, brand| {
        format!("You were invited to {brand}. Your user name is {user}. Set your password with this link:")
    },
    mail_invite_life: |span| format!("The link works once, for {span}."),
    mail_invite_not_you: "If you do not know what this is about, you need not do anything.",
    mail_changed: |brand| format!("{brand}: your password was changed"),
    mail_changed_text: |user, brand| {
        format!(
            "The password of your account {user} at {brand} was changed just now, and your other devices were signed out."
        )
    },
    mail_changed_not_you: "If it was not you, somebody can read your mail or knows your password: tell whoever runs this site at once.",
    mail_test: |brand| format!("{brand}: test of the mail settings"),
    mail_test_text: |brand| format!("{brand} can send you mail."),
};

pub(super) const GERMAN: LinkText = LinkText {
    forgot: "Passwort vergessen?",
    forgot_text: "Geben Sie Ihren Benutzernamen oder Ihre E-Mail-Adresse ein. Gehört sie zu einem Konto mit bestätigter Adresse, \
                  erhalten Sie eine E-Mail mit einem Link, um ein neues Passwort zu setzen.",
    send: "Link senden",
    incomplete: "Geben Sie Ihren Benutzernamen oder Ihre E-Mail-Adresse ein.",
    look: "Sehen Sie in Ihr Postfach",
    look_text: "Wenn es ein solches Konto mit bestätigter Adresse gibt, ist eine E-Mail dorthin unterwegs. Öffnen Sie den Link in diesem \
                Browser innerhalb von 15 Minuten.",
    look_else: "Keine E-Mail? Sehen Sie im Ordner für unerwünschte E-Mails nach. Haben Sie hier keine bestätigte Adresse, fragen Sie die \
                Betreiber dieser Seite.",
    to_sign_in: "Zur Anmeldung",

    new_password: "Neues Passwort setzen",
    new_password_text: "Wählen Sie ein neues Passwort. Danach melden Sie sich damit an, und mit Ihrem zweiten Faktor, falls Sie einen \
                        haben.",
    invited: "Willkommen",
    invited_text: "Sie wurden eingeladen. Wählen Sie ein Passwort für Ihr Konto; danach melden Sie sich damit an.",
    effect: "Alle Ihre Geräte werden abgemeldet.",
    password_missing: "Geben Sie ein neues Passwort ein.",
    set: "Passwort setzen",

    password_set: "Passwort gesetzt",
    password_set_text: "Ihr neues Passwort ist gesetzt, und alle Ihre Geräte wurden abgemeldet. Melden Sie sich jetzt damit an.",
    invalid: "Dieser Link gilt nicht mehr",
    invalid_text: "Er wurde schon benutzt, ist zu alt, oder das Passwort wurde seitdem geändert. Durch das Öffnen hat sich nichts geändert.",
    other_browser: "Öffnen Sie den Link im anderen Browser",
    other_browser_text: "Dieser Link gilt nur in dem Browser, in dem Sie ihn angefordert haben, damit ihn niemand sonst benutzen kann. \
                         Öffnen Sie ihn dort, oder fordern Sie von hier einen neuen an.",
    again: "Neuen Link anfordern",

    verify: "Diese Adresse bestätigen",
    verify_text: |email, user| {
        format!("Gehört {email} Ihnen, und das Konto {user} auch? Dann bestätigen Sie es.")
    },
    verified: "Adresse bestätigt",
    verified_text: "Ihre E-Mail-Adresse ist bestätigt. Wenn Sie Ihr Passwort vergessen, erhalten Sie dort einen Link.",
    verify_sent: "Sehen Sie in Ihr Postfach",
    verify_sent_text: "Eine E-Mail mit einem Link ist unterwegs zu Ihnen. Öffnen Sie ihn in diesem Browser innerhalb von 15 Minuten.",
    to_account: "Zu Ihrem Konto",

    mail_reset: |brand| format!("{brand}: neues Passwort setzen"),
    mail_reset_text: |user, brand| {
        format!(
            "Jemand, wahrscheinlich Sie selbst, hat ein neues Passwort für Ihr Konto {user} bei {brand} angefordert. Setzen Sie es mit \
             diesem Link:"
        )
    },
    mail_reset_life: "Der Link gilt einmal, für 15 Minuten.",
    mail_reset_bound: "Öffnen Sie ihn in dem Browser, in dem Sie ihn angefordert haben; in einem anderen gilt er nicht.",
    mail_reset_not_you: "Waren Sie es nicht, brauchen Sie nichts zu tun: Ihr Passwort bleibt, wie es ist.",
    mail_verify: |brand| format!("{brand}: E-Mail-Adresse bestätigen"),
    mail_verify_text: |user, brand| {
        format!(
            "Ist dies die Adresse Ihres Kontos {user} bei {brand}? Dann öffnen Sie diesen Link und bestätigen Sie es:"
        )
    },
    mail_verify_not_you: "Haben Sie kein solches Konto, brauchen Sie nichts zu tun.",
    mail_invite: |brand| format!("{brand}: Einladung"),
    mail_invite_text: |user, brand| {
        format!(
            "Sie wurden zu {brand} eingeladen. Ihr Benutzername ist {user}. Setzen Sie Ihr Passwort mit diesem Link:"
        )
    },
    mail_invite_life: |span| format!("Der Link gilt einmal, für {span}."),
    mail_invite_not_you: "Wissen Sie nicht, worum es geht, brauchen Sie nichts zu tun.",
    mail_changed: |brand| format!("{brand}: Ihr Passwort wurde geändert"),
    mail_changed_text: |user, brand| {
        format!(
            "Das Passwort Ihres Kontos {user} bei {brand} wurde soeben geändert, und Ihre anderen Geräte wurden abgemeldet."
        )
    },
    mail_changed_not_you: "Waren Sie es nicht, kann jemand Ihre E-Mails lesen oder kennt Ihr Passwort: Sagen Sie es sofort den \
                           Betreibern dieser Seite.",
    mail_test: |brand| format!("{brand}: Test der E-Mail-Einstellungen"),
    mail_test_text: |brand| format!("{brand} kann Ihnen E-Mails senden."),
};
