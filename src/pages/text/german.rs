//! German texts.

use std::time::Duration;

use super::ErrorOf::{Code, Other, Status};
use super::{ErrorOf, ErrorText, Text, Unit, largest, password};

pub(super) const TEXT: Text = Text {
    problem: "Problem",

    sign_in: "Anmelden",
    username: "Benutzername",
    username_or_email: "Benutzername oder E-Mail-Adresse",
    password: "Passwort",
    show: "Zeigen",
    hide: "Verbergen",
    show_password: "Passwort zeigen",
    remember: "Angemeldet bleiben",
    remember_hint: "Nicht auf Geräten, die auch andere benutzen.",
    credentials_wrong: "Der Benutzername oder das Passwort ist falsch. Prüfen Sie beide und versuchen Sie es erneut.",
    sign_in_incomplete: "Geben Sie Benutzername und Passwort ein.",
    too_many: |wait| format!("Das waren zu viele Versuche. Versuchen Sie es in {wait} erneut."),
    unavailable: "Das lässt sich gerade nicht prüfen. Es wurde nichts geändert; versuchen Sie es in einigen Sekunden \
                  erneut.",
    form_expired: "Diese Seite war zu lange offen. Es wurde nichts geändert; bitte geben Sie alles noch einmal ein.",
    cookies_refused: "Ihr Browser hat unser Cookie nicht zurückgeschickt; ohne es kann niemand angemeldet bleiben. Erlauben Sie Cookies \
                      für diese Seite, öffnen Sie sie über https und versuchen Sie es erneut.",
    no_provider: "Für diese Adresse ist kein Anbieter bekannt. Prüfen Sie sie, oder wählen Sie einen der Knöpfe.",
    go_on_sign_in: "Weiter",
    sign_in_with: |provider| format!("Anmelden mit {provider}"),
    or: "oder",

    signed_in: "Sie sind angemeldet",
    signed_in_as: "Angemeldet als",
    signed_in_hint: "Falls Sie von einem Formular in einem anderen Tab kommen, gehen Sie jetzt dorthin zurück.",
    go_on: "Weiter",
    account: "Konto",
    sign_out: "Abmelden",
    sign_out_asked: "Abmelden?",
    sign_out_everywhere: "Überall abmelden",

    signed_out: "Sie sind abgemeldet",
    signed_out_here: "Dieser Browser hat keinen Zugang mehr.",
    signed_out_everywhere: "Keines Ihrer Geräte hat noch Zugang.",
    signed_out_pending: "Dieser Browser hat keinen Zugang mehr. Unsere Datenbank war gerade nicht erreichbar, darum ist \
                         die Sitzung selbst noch nicht beendet. Falls jemand sie kopiert haben könnte, melden Sie sich \
                         später wieder an und dann überall ab.",
    signed_out_everywhere_pending: "Dieser Browser hat keinen Zugang mehr. Unsere Datenbank war gerade nicht erreichbar, \
                                    darum sind Ihre anderen Geräte noch angemeldet. Melden Sie sich später wieder an und \
                                    wiederholen Sie es.",
    still_signed_in_at: |provider| {
        format!(
            "{provider} war nicht erreichbar, darum sind Sie dort vielleicht noch angemeldet. Melden Sie sich auch dort ab."
        )
    },
    sign_out_there: |provider| format!("Bei {provider} abmelden"),
    sign_in_again: "Wieder anmelden",

    change_password: "Passwort ändern",
    current_password: "Bisheriges Passwort",
    new_password: "Neues Passwort",
    new_password_hint: |least| {
        format!("Mindestens {least} Zeichen. Einige beliebige Wörter merkt man sich leicht.")
    },
    password_effect: "Ihre anderen Geräte werden abgemeldet.",
    password_incomplete: "Geben Sie das bisherige und ein neues Passwort ein.",
    password_fault: password::german,
    password_good: "Lang genug. Ob es ein verbreitetes Passwort ist, wird beim Speichern geprüft.",
    password_changed: "Ihr Passwort ist geändert",
    password_changed_text: "Ihre anderen Geräte wurden abgemeldet. Verwenden Sie dort ab jetzt das neue Passwort.",

    my_account: "Mein Konto",
    details: "Ihre Angaben",
    name: "Name",
    email: "E-Mail-Adresse",
    email_verified: "bestätigt",
    email_unverified: "nicht bestätigt",
    roles: "Rollen",
    accounts: "Konten zum Anmelden",
    accounts_text: "Mit jedem verknüpften können Sie sich anmelden. Zum Verknüpfen und Trennen darf die Anmeldung nicht \
                    älter als zehn Minuten sein.",
    link: |provider| format!("{provider} verknüpfen"),
    unlink: |provider| format!("{provider} trennen"),
    linked: "Zuletzt benutzt",
    only_account: "Anders können Sie sich nicht anmelden, darum lässt es sich nicht trennen.",
    details_text: "Falls hier etwas nicht stimmt, sagen Sie es den Betreibern.",

    devices: "Meine Geräte",
    devices_text: "Hier sind Sie angemeldet. Kennen Sie ein Gerät nicht, melden Sie es ab und ändern Sie Ihr Passwort.",
    devices_text_provider: "Hier sind Sie angemeldet. Kennen Sie ein Gerät nicht, melden Sie es ab und ändern Sie Ihr \
                            Passwort bei dem Anbieter, mit dem Sie sich anmelden.",
    browser_on: |browser, system| format!("{browser} auf {system}"),
    unknown_device: "Unbekanntes Gerät",
    this_device: "Dieses",
    address: "Adresse",
    signed_in_at: "Angemeldet",
    renewed_at: "Zuletzt erneuert",
    ago,
    end: "Abmelden",
    end_device: |name| format!("{name} abmelden"),
    end_others: "Alle anderen abmelden",
    no_others: "Sie sind sonst nirgends angemeldet.",
    programs: "Programme",
    programs_text: "Skripte und Apps, die sich mit Ihrem Passwort angemeldet haben.",
    unknown_program: "Unbekanntes Programm",
    sign_ins: |count| if count == 1 { "1 Anmeldung".to_owned() } else { format!("{count} Anmeldungen") },
    show_sign_ins: "Anzeigen",
    older: "Ältere Anmeldungen zeigen",
    newest: "Zurück zu den neuesten",
    end_programs: "Alle Programme abmelden",

    interrupted: "Ihr Formular wurde nicht gesendet",
    interrupted_text: "Ihre Sitzung war beendet. Die Anwendung hat nichts erhalten, und Ihre Eingaben sind noch in \
                       diesem Tab.",
    interrupted_nobody: "Sie sind nicht angemeldet, oder Ihre Sitzung war beendet. Die Anwendung hat nichts erhalten, und Ihre \
                         Eingaben sind noch in diesem Tab.",
    interrupted_steps: [
        "Melden Sie sich in einem neuen Tab an.",
        "Kommen Sie hierher zurück und laden Sie diesen Tab neu. Fragt der Browser, ob er das Formular erneut senden \
         soll, bestätigen Sie.",
    ],
    interrupted_or: "Oder gehen Sie eine Seite zurück: Die meisten Browser zeigen dort noch, was Sie eingegeben haben.",
    interrupted_framed: "Ihre Sitzung war beendet. Die Anwendung hat nichts erhalten, und es wurde nichts gespeichert.",
    interrupted_framed_nobody: "Es kam ohne Ihre Anmeldung: Ihre Sitzung war beendet, oder Ihr Browser lässt die Anmeldung \
                                innerhalb der Seite einer anderen Website weg. Die Anwendung hat nichts erhalten, und es wurde \
                                nichts gespeichert.",
    interrupted_framed_steps: [
        "Melden Sie sich in einem neuen Tab an.",
        "Kommen Sie auf diese Seite zurück und senden Sie das Formular noch einmal.",
    ],
    interrupted_framed_or: "Wird es wieder nicht gesendet, benutzen Sie das Formular im neuen Tab.",
    sign_in_new_tab: "Anmelden (öffnet einen neuen Tab)",

    framed: "Öffnen Sie diese Seite für sich",
    framed_text: "Innerhalb einer anderen Seite lässt sie sich nicht benutzen.",
    framed_open: "Öffnen (in einem neuen Tab)",

    another_site: "einer anderen Website",
    cross_site: "Dieses Formular wurde nicht übergeben",
    cross_site_text: |origin, why| {
        format!(
            "Es kam von {origin}. {why}, darum hat die Anwendung nichts erhalten, und es wurde nichts gespeichert. Wollten Sie hier etwas abschließen, etwa eine Zahlung, dann öffnen Sie die \
             Anwendung und sehen Sie nach, ob es erledigt ist."
        )
    },
    cross_site_home: "Anwendung öffnen",
    home_new_tab: "Anwendung öffnen (in einem neuen Tab)",
    cookies_omitted: "Bei Formularen, die eine andere Website sendet, lassen Browser Ihre Anmeldung weg",
    not_signed_in: "Sie sind nicht angemeldet, oder Ihre Sitzung war beendet",
    other_origin: "Formulare von anderen Adressen werden nicht ungesehen weitergegeben",
    resend: "Dieses Formular an die Anwendung senden?",
    resend_text: |origin, why| {
        format!(
            "Es kam von {origin}. {why}, darum hat die Anwendung es noch nicht erhalten. Senden Sie es nur, wenn Sie es erwartet haben, etwa am Ende einer \
             Zahlung oder einer Anmeldung."
        )
    },
    resend_to: "Gesendet an",
    resend_fields: "Was darin steht",
    resend_button: "An die Anwendung senden",
    resend_not: "Nicht senden",
    more_fields: |more| format!("Und {more} weitere Felder."),
    return_lost: "Die Adresse, von der Sie kommen, ist zu lang, um dorthin zurückzukehren. Öffnen Sie sie nach der Anmeldung \
                  noch einmal.",

    try_again: "Erneut versuchen",
    wait: |wait| format!("Versuchen Sie es in {wait} erneut."),
    request: "Anfrage",
    span,
    factors: &super::factors::GERMAN,
    links: &super::links::GERMAN,
    errors: ERRORS,
};

const ERRORS: &[(ErrorOf, ErrorText)] = &[
    (
        Code("origin_not_allowed"),
        ErrorText {
            title: "Von einer fremden Seite gesendet",
            text: "Das kam nicht von einer unserer Seiten unter einer Adresse, die wir kennen, darum wurde nichts getan. \
                   Öffnen Sie diese Seite selbst, unter ihrer üblichen Adresse, und versuchen Sie es erneut.",
        },
    ),
    (
        Code("credentials_conflict"),
        ErrorText {
            title: "Mehr als eine Anmeldung",
            text: "Ihr Browser sendet mehrere Anmeldungen für diese Seite, und keine davon zählt. Löschen Sie die \
                   Cookies dieser Seite und melden Sie sich dann neu an.",
        },
    ),
    (
        Code("form_invalid"),
        ErrorText {
            title: "Bitte laden Sie die Seite neu",
            text: "Sie war zu lange offen, oder Sie haben sich seitdem an- oder abgemeldet. Es wurde nichts \
                   getan. Gehen Sie zurück, laden Sie sie neu und wiederholen Sie es.",
        },
    ),
    (
        Code("cookie_too_large"),
        ErrorText {
            title: "Zu viele Rollen für einen Browser",
            text: "Ihr Konto hat mehr Rollen, als ein Browser mit sich führen kann. Bitten Sie die Betreiber um weniger.",
        },
    ),
    (
        Code("https_required"),
        ErrorText {
            title: "Öffnen Sie diese Seite über https",
            text: "Was Sie gesendet haben, kam ungeschützt, darum wurde nichts getan. Schreiben Sie https:// in \
                   die Adresse und versuchen Sie es erneut. War es ein Passwort, ändern Sie es.",
        },
    ),
    (
        Code("connection_outdated"),
        ErrorText {
            title: "Ihr Zertifikat gilt nicht mehr",
            text: "Das Zertifikat, das Ihr Browser gezeigt hat, wird hier nicht mehr angenommen, darum wurde nichts \
                   getan. Schließen Sie den Browser, öffnen Sie ihn wieder und wählen Sie ein anderes; oder fragen \
                   Sie die Betreiber.",
        },
    ),
    (
        Code("session_unknown"),
        ErrorText {
            title: "Nicht mehr angemeldet",
            text: "Dieses Gerät wurde schon abgemeldet. Gehen Sie zurück und laden Sie die Liste neu.",
        },
    ),
    (
        Code("request_timeout"),
        ErrorText {
            title: "Das hat zu lange gedauert",
            text: "Was Sie gesendet haben, kam zu langsam an, darum wurde nichts getan. Prüfen Sie Ihre \
                   Verbindung und versuchen Sie es erneut.",
        },
    ),
    (
        Code("provider_denied"),
        ErrorText {
            title: "Nicht angemeldet",
            text: "Sie oder der Anbieter haben die Anmeldung abgebrochen; es ist nichts geschehen. Versuchen Sie es \
                   noch einmal, oder melden Sie sich anders an.",
        },
    ),
    (
        Code("provider_flow_lost"),
        ErrorText {
            title: "Bitte neu beginnen",
            text: "Diese Anmeldung hat länger als zehn Minuten gedauert, wurde in einem anderen Browser begonnen, \
                   oder ihr Cookie fehlt. Beginnen Sie sie auf der Anmeldeseite neu.",
        },
    ),
    (
        Code("provider_not_allowed"),
        ErrorText {
            title: "Nicht für dieses Konto",
            text: "Beim Anbieter sind Sie angemeldet, aber Konten wie Ihres dürfen sich hier nicht anmelden. Wählen \
                   Sie dort ein anderes, oder fragen Sie die Betreiber.",
        },
    ),
    (
        Code("provider_no_account"),
        ErrorText {
            title: "Hier kein Konto",
            text: "Das benutzte Konto gehört hier niemandem. Bitten Sie die Betreiber, Sie hinzuzufügen, oder \
                   melden Sie sich anders an und verknüpfen Sie es auf Ihrer Kontoseite.",
        },
    ),
    (
        Code("provider_login_taken"),
        ErrorText {
            title: "Der Name ist vergeben",
            text: "Der Benutzername, den Sie bekämen, gehört hier zu einem Konto. Ist es Ihres, melden Sie sich wie bisher an \
                   und verknüpfen Sie den Anbieter auf Ihrer Kontoseite; sonst fragen Sie die Betreiber.",
        },
    ),
    (
        Code("provider_no_username"),
        ErrorText {
            title: "Kein Benutzername",
            text: "Der Anbieter nennt keinen Benutzernamen, den wir verwenden können. Fragen Sie die Betreiber.",
        },
    ),
    (
        Code("approval_pending"),
        ErrorText {
            title: "Wartet auf Freigabe",
            text: "Ihr Konto gibt es, aber die Betreiber haben es noch nicht freigegeben. Kommen Sie später wieder.",
        },
    ),
    (
        Code("account_disabled"),
        ErrorText { title: "Konto gesperrt", text: "Ihr Konto wurde gesperrt. Fragen Sie die Betreiber." },
    ),
    (
        Code("provider_away"),
        ErrorText {
            title: "Der Anbieter antwortet nicht",
            text: "Er ist gerade nicht erreichbar. Versuchen Sie es bald wieder, oder melden Sie sich anders an.",
        },
    ),
    (
        Code("provider_failed"),
        ErrorText {
            title: "Die Anmeldung hat nicht funktioniert",
            text: "Der Anbieter hat etwas geantwortet, das wir nicht annehmen können. Versuchen Sie es noch einmal; \
                   geschieht es wieder, sagen Sie es den Betreibern.",
        },
    ),
    (
        Code("passwords_off"),
        ErrorText {
            title: "Anmelden mit einem Anbieter",
            text: "Passwörter gibt es hier nicht. Wählen Sie einen der Knöpfe auf der Anmeldeseite.",
        },
    ),
    (
        Code("last_way_to_sign_in"),
        ErrorText {
            title: "Damit melden Sie sich an",
            text: "Ohne dieses Konto könnten Sie sich nicht mehr anmelden. Verknüpfen Sie zuerst ein anderes. Es wurde \
                   nichts geändert.",
        },
    ),
    (
        Code("account_taken"),
        ErrorText {
            title: "Das Konto ist vergeben",
            text: "Das Konto gehört hier zu einem anderen Benutzer. Sind Sie das auch, trennen Sie es erst dort.",
        },
    ),
    (
        Status(400),
        ErrorText {
            title: "Das ist nicht zu verstehen",
            text: "Die Adresse oder etwas, das mitgesendet wurde, ist fehlerhaft. Prüfen Sie die Adresse, oder gehen Sie \
                   zurück und versuchen Sie es erneut.",
        },
    ),
    (Status(401), ErrorText { title: "Erst anmelden", text: "Diese Seite sieht nur, wer angemeldet ist." }),
    (
        Status(403),
        ErrorText {
            title: "Kein Zugang",
            text: "Sie sind angemeldet, aber Ihr Konto darf diese Seite nicht öffnen. Bitten Sie die Betreiber um Zugang.",
        },
    ),
    (
        Status(404),
        ErrorText {
            title: "Hier ist nichts",
            text: "Unter dieser Adresse gibt es keine Seite. Prüfen Sie sie auf Tippfehler.",
        },
    ),
    (
        Status(405),
        ErrorText {
            title: "Das geht hier nicht",
            text: "Diese Seite lässt sich so nicht benutzen. Gehen Sie zurück und versuchen Sie es erneut.",
        },
    ),
    (
        Status(413),
        ErrorText {
            title: "Zu groß",
            text: "Was Sie gesendet haben, ist größer als hier erlaubt. Versuchen Sie es mit einer kleineren Datei.",
        },
    ),
    (
        Status(414),
        ErrorText {
            title: "Die Adresse ist zu lang",
            text: "Gehen Sie zurück und folgen Sie einem anderen Link zum selben Ort.",
        },
    ),
    (
        Status(429),
        ErrorText {
            title: "Zu viele Versuche",
            text: "Warten Sie ein wenig, bevor Sie es erneut versuchen.",
        },
    ),
    (
        Status(431),
        ErrorText {
            title: "Zu viel mitgesendet",
            text: "Ihr Browser hat mehr gesendet als hier erlaubt, wahrscheinlich alte Cookies. Löschen Sie die Cookies \
                   dieser Seite und versuchen Sie es erneut.",
        },
    ),
    (
        Status(502),
        ErrorText {
            title: "Die Anwendung antwortet nicht",
            text: "Sie ist gerade nicht erreichbar. Versuchen Sie es bald erneut; Sie bleiben angemeldet.",
        },
    ),
    (
        Status(503),
        ErrorText {
            title: "Einen Moment bitte",
            text: "Ihr Zugang lässt sich gerade nicht prüfen. Versuchen Sie es in einigen Sekunden erneut; Sie bleiben \
                   angemeldet.",
        },
    ),
    (
        Status(504),
        ErrorText {
            title: "Die Anwendung braucht zu lange",
            text: "Sie hat nicht rechtzeitig geantwortet. Vielleicht ist schon geschehen, was Sie wollten; sehen Sie \
                   nach, bevor Sie es wiederholen.",
        },
    ),
    (
        Other,
        ErrorText {
            title: "Etwas ist schiefgegangen",
            text: "Der Fehler liegt bei uns. Versuchen Sie es erneut; bleibt er, sagen Sie es den Betreibern.",
        },
    ),
];

/// Formats a span in the dative, as used after "vor" and "in".
fn span(span: Duration) -> String {
    let (count, unit) = largest(span);
    let (one, many) = match unit {
        Unit::Second => ("einer Sekunde", "Sekunden"),
        Unit::Minute => ("einer Minute", "Minuten"),
        Unit::Hour => ("einer Stunde", "Stunden"),
        Unit::Day => ("einem Tag", "Tagen"),
    };
    if count == 1 { one.to_owned() } else { format!("{count} {many}") }
}

fn ago(age: Duration) -> String {
    if largest(age).1 == Unit::Second { "gerade eben".to_owned() } else { format!("vor {}", span(age)) }
}
