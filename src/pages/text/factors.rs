//! Texts of the pages about second factors.

use super::ErrorOf::Code;
use super::{ErrorOf, ErrorText};

/// The texts of one language.
pub(in crate::pages) struct FactorText {
    pub(in crate::pages) second_step: &'static str,
    pub(in crate::pages) second_step_text: &'static str,
    pub(in crate::pages) code: &'static str,
    pub(in crate::pages) code_hint: &'static str,
    pub(in crate::pages) not_you: &'static str,
    pub(in crate::pages) code_wrong: &'static str,
    pub(in crate::pages) password_wrong: &'static str,
    pub(in crate::pages) incomplete: &'static str,

    pub(in crate::pages) step_up: &'static str,
    pub(in crate::pages) step_up_factor: &'static str,
    pub(in crate::pages) step_up_recent: &'static str,
    pub(in crate::pages) step_up_no_way: &'static str,
    pub(in crate::pages) enrol_first: &'static str,
    pub(in crate::pages) confirm: &'static str,

    pub(in crate::pages) totp: &'static str,
    pub(in crate::pages) totp_text: &'static str,
    pub(in crate::pages) totp_needed: &'static str,
    pub(in crate::pages) totp_scan: &'static str,
    pub(in crate::pages) totp_type: &'static str,
    pub(in crate::pages) totp_code: &'static str,
    pub(in crate::pages) totp_name: &'static str,
    pub(in crate::pages) totp_name_hint: &'static str,
    pub(in crate::pages) add: &'static str,
    pub(in crate::pages) later: &'static str,

    pub(in crate::pages) codes: &'static str,
    pub(in crate::pages) codes_text: &'static str,
    pub(in crate::pages) codes_kept: &'static str,

    pub(in crate::pages) section: &'static str,
    pub(in crate::pages) section_text: &'static str,
    pub(in crate::pages) add_app: &'static str,
    pub(in crate::pages) added: &'static str,
    pub(in crate::pages) last_used: &'static str,
    pub(in crate::pages) remove: &'static str,
    pub(in crate::pages) remove_app: fn(&str) -> String,
    pub(in crate::pages) codes_left: fn(u32) -> String,
    pub(in crate::pages) new_codes: &'static str,

    pub(in crate::pages) interrupted_text: &'static str,
    pub(in crate::pages) interrupted_step: &'static str,
    pub(in crate::pages) interrupted_link: &'static str,

    pub(in crate::pages) second_step_passkey: &'static str,
    pub(in crate::pages) passkey_sign_in: &'static str,
    pub(in crate::pages) passkey_use: &'static str,
    pub(in crate::pages) passkey_failed: &'static str,
    pub(in crate::pages) passkey_exists: &'static str,
    pub(in crate::pages) passkey_wrong: &'static str,
    pub(in crate::pages) passkey_not_alone: &'static str,
    pub(in crate::pages) passkey: &'static str,
    pub(in crate::pages) passkey_text: &'static str,
    pub(in crate::pages) passkey_offer: &'static str,
    pub(in crate::pages) passkey_nowhere: &'static str,
    pub(in crate::pages) passkey_create: &'static str,
    pub(in crate::pages) passkey_name_hint: &'static str,
    pub(in crate::pages) add_passkey: &'static str,
    pub(in crate::pages) kind_passkey: &'static str,
    pub(in crate::pages) kind_app: &'static str,

    /// Error texts by code.
    pub(in crate::pages) errors: &'static [(ErrorOf, ErrorText)],
}

pub(super) const ENGLISH: FactorText = FactorText {
    second_step: "One more step",
    second_step_text: "Open your authenticator app and enter the code that it shows for this site.",
    code: "Code",
    code_hint: "Six digits, or one of your recovery codes.",
    not_you: "Sign in as somebody else",
    code_wrong: "This code is wrong, or it was used before. Wait for the next one and try again.",
    password_wrong: "The password is wrong. Check it and try again.",
    incomplete: "Something is missing. Fill in the form and try again.",

    step_up: "Confirm that it is you",
    step_up_factor: "What you want to open needs a second factor.",
    step_up_recent: "For what you want to do, your sign-in is too long ago.",
    step_up_no_way: "There is no way to confirm it here. Sign out, and sign in again.",
    enrol_first: "Set up an authenticator app",
    confirm: "Confirm",

    totp: "Authenticator app",
    totp_text: "With an authenticator app on your phone, a stolen password alone opens nothing.",
    totp_needed: "Your account needs a second factor before you can go on. Set up an authenticator app on your phone.",
    totp_scan: "Scan this code with the app.",
    totp_type: "Or type this key into the app:",
    totp_code: "Code that the app shows now",
    totp_name: "Name",
    totp_name_hint: "To tell it from others, such as the name of your phone.",
    add: "Add",
    later: "Not now",

    codes: "Recovery codes",
    codes_text: "If you lose your phone, each of these codes lets you in once instead. Print them or write them down now: they are \
                 not shown again, and earlier ones are void.",
    codes_kept: "I have kept them",

    section: "Passkeys and second factors",
    section_text: "Asked for in addition to your password. A passkey also signs you in alone.",
    add_app: "Add an app",
    added: "Added",
    last_used: "Last used",
    remove: "Remove",
    remove_app: |name| format!("Remove {name}"),
    codes_left: |count| match count {
        1 => "One recovery code is left.".to_owned(),
        count => format!("{count} recovery codes are left."),
    },
    new_codes: "New recovery codes",

    interrupted_text: "What you sent needs a confirmation that it is you. The app has received nothing, and what you entered is \
                       still in this tab.",
    interrupted_step: "Confirm it, in a new tab.",
    interrupted_link: "Confirm (opens a new tab)",

    second_step_passkey: "Use your passkey, or enter one of your recovery codes.",
    passkey_sign_in: "Sign in with a passkey",
    passkey_use: "Use a passkey",
    passkey_failed: "No passkey was used. Try again, or take another way.",
    passkey_exists: "This device has a passkey for your account already.",
    passkey_wrong: "The passkey was not accepted. Try again, or take another way.",
    passkey_not_alone: "Sign in with your provider first. The passkey is asked for after that.",
    passkey: "Passkey",
    passkey_text: "With a passkey you sign in with the lock of your device: a fingerprint, a face or a PIN. Nobody can guess it, and no false page can steal it.",
    passkey_offer: "Sign in without a password next time",
    passkey_nowhere: "This browser has no passkeys for this address.",
    passkey_create: "Set up a passkey",
    passkey_name_hint: "To tell it from others, such as the name of this device.",
    add_passkey: "Add a passkey",
    kind_passkey: "Passkey",
    kind_app: "App",

    errors: &[
        (
            Code("factors_too_many"),
            ErrorText {
                title: "No more of these",
                text: "You have as many as you can have. Remove one on your account page first.",
            },
        ),
        (
            Code("factor_last"),
            ErrorText {
                title: "This one is needed",
                text: "Your account needs a second factor, and this is the last one. Add another one first.",
            },
        ),
        (
            Code("factor_unknown"),
            ErrorText { title: "Not there", text: "It was removed already, or it belongs to another user." },
        ),
        (
            Code("proof_missing"),
            ErrorText {
                title: "Confirm that it is you",
                text: "For this you need a second factor, or a more recent sign-in.",
            },
        ),
    ],
};

pub(super) const GERMAN: FactorText = FactorText {
    second_step: "Noch ein Schritt",
    second_step_text: "Öffnen Sie Ihre Authenticator-App und geben Sie den Code ein, den sie für diese Seite zeigt.",
    code: "Code",
    code_hint: "Sechs Ziffern, oder einer Ihrer Ersatzcodes.",
    not_you: "Als jemand anderes anmelden",
    code_wrong: "Dieser Code ist falsch oder wurde schon benutzt. Warten Sie auf den nächsten und versuchen Sie es noch einmal.",
    password_wrong: "Das Passwort ist falsch. Prüfen Sie es und versuchen Sie es noch einmal.",
    incomplete: "Es fehlt etwas. Füllen Sie das Formular aus und versuchen Sie es noch einmal.",

    step_up: "Bestätigen Sie, dass Sie es sind",
    step_up_factor: "Was Sie öffnen wollen, braucht einen zweiten Faktor.",
    step_up_recent: "Für das, was Sie tun wollen, ist Ihre Anmeldung zu lange her.",
    step_up_no_way: "Hier lässt es sich nicht bestätigen. Melden Sie sich ab und wieder an.",
    enrol_first: "Authenticator-App einrichten",
    confirm: "Bestätigen",

    totp: "App für Codes",
    totp_text: "Mit einer Authenticator-App auf Ihrem Telefon öffnet ein gestohlenes Passwort allein nichts.",
    totp_needed: "Ihr Konto braucht einen zweiten Faktor, bevor es weitergeht. Richten Sie eine Authenticator-App auf Ihrem Telefon ein.",
    totp_scan: "Scannen Sie diesen Code mit der App.",
    totp_type: "Oder tippen Sie diesen Schlüssel in die App:",
    totp_code: "Code, den die App jetzt zeigt",
    totp_name: "Name",
    totp_name_hint: "Um sie von anderen zu unterscheiden, etwa der Name Ihres Telefons.",
    add: "Hinzufügen",
    later: "Nicht jetzt",

    codes: "Ersatzcodes",
    codes_text: "Wenn Sie Ihr Telefon verlieren, lässt jeder dieser Codes Sie stattdessen einmal herein. Drucken Sie sie aus oder \
                 schreiben Sie sie jetzt auf: Sie werden nicht noch einmal gezeigt, und frühere gelten nicht mehr.",
    codes_kept: "Ich habe sie aufbewahrt",

    section: "Passkeys und zweite Faktoren",
    section_text: "Wird zusätzlich zu Ihrem Passwort verlangt. Ein Passkey meldet Sie auch allein an.",
    add_app: "App hinzufügen",
    added: "Hinzugefügt",
    last_used: "Zuletzt benutzt",
    remove: "Entfernen",
    remove_app: |name| format!("{name} entfernen"),
    codes_left: |count| match count {
        1 => "Ein Ersatzcode ist übrig.".to_owned(),
        count => format!("{count} Ersatzcodes sind übrig."),
    },
    new_codes: "Neue Ersatzcodes",

    interrupted_text: "Was Sie gesendet haben, braucht eine Bestätigung, dass Sie es sind. Die App hat nichts erhalten, und Ihre \
                       Eingaben sind noch in diesem Tab.",
    interrupted_step: "Bestätigen Sie es in einem neuen Tab.",
    interrupted_link: "Bestätigen (öffnet einen neuen Tab)",

    second_step_passkey: "Benutzen Sie Ihren Passkey, oder geben Sie einen Ihrer Ersatzcodes ein.",
    passkey_sign_in: "Mit einem Passkey anmelden",
    passkey_use: "Passkey benutzen",
    passkey_failed: "Es wurde kein Passkey benutzt. Versuchen Sie es noch einmal, oder nehmen Sie einen anderen Weg.",
    passkey_exists: "Dieses Gerät hat schon einen Passkey für Ihr Konto.",
    passkey_wrong: "Der Passkey wurde nicht angenommen. Versuchen Sie es noch einmal, oder nehmen Sie einen anderen Weg.",
    passkey_not_alone: "Melden Sie sich zuerst bei Ihrem Anbieter an. Der Passkey wird danach verlangt.",
    passkey: "Passkey",
    passkey_text: "Mit einem Passkey melden Sie sich mit der Sperre Ihres Geräts an: Fingerabdruck, Gesicht oder PIN. Niemand kann ihn erraten, und keine falsche Seite kann ihn stehlen.",
    passkey_offer: "Nächstes Mal ohne Passwort anmelden",
    passkey_nowhere: "Dieser Browser hat keine Passkeys für diese Adresse.",
    passkey_create: "Passkey einrichten",
    passkey_name_hint: "Um ihn von anderen zu unterscheiden, etwa der Name dieses Geräts.",
    add_passkey: "Passkey hinzufügen",
    kind_passkey: "Passkey",
    kind_app: "App",

    errors: &[
        (
            Code("factors_too_many"),
            ErrorText {
                title: "Nicht noch mehr davon",
                text: "Sie haben so viele, wie möglich sind. Entfernen Sie zuerst einen auf Ihrer Kontoseite.",
            },
        ),
        (
            Code("factor_last"),
            ErrorText {
                title: "Dieser wird gebraucht",
                text: "Ihr Konto braucht einen zweiten Faktor, und dies ist der letzte. Fügen Sie zuerst einen anderen hinzu.",
            },
        ),
        (
            Code("factor_unknown"),
            ErrorText {
                title: "Nicht vorhanden",
                text: "Er wurde schon entfernt oder gehört jemand anderem.",
            },
        ),
        (
            Code("proof_missing"),
            ErrorText {
                title: "Bestätigen Sie, dass Sie es sind",
                text: "Dafür brauchen Sie einen zweiten Faktor oder eine neuere Anmeldung.",
            },
        ),
    ],
};
