//! Texts about passwords that are not accepted, in each language.

use crate::error::PasswordFault;

pub(super) fn english(fault: PasswordFault) -> String {
    let guessed = |why: &str, needs: usize| {
        format!(
            "The new password is easily guessed: {why}. Then it has fewer than {needs} characters. Add words that have nothing to do \
             with each other."
        )
    };
    match fault {
        PasswordFault::CurrentWrong => "The current password is wrong. Check it and try again.".to_owned(),
        PasswordFault::TooLong { .. } => "That password is too long. Choose a shorter one.".to_owned(),
        PasswordFault::TooShort { needs, .. } => {
            format!("The new password is too short. Choose one of at least {needs} characters.")
        }
        PasswordFault::Sequence { needs } => {
            guessed("a run such as 12345678, aaaaaaaa or qwertyui counts as one character", needs)
        }
        PasswordFault::Repeated { needs } => guessed("it repeats itself, and a repetition counts once", needs),
        PasswordFault::ContainsName { needs } => {
            guessed("it contains your user name, your name or your e-mail address, which do not count", needs)
        }
        PasswordFault::ContainsSite { needs } => {
            guessed("it contains the name or the address of this site, which do not count", needs)
        }
        PasswordFault::Common => {
            "The new password is a common one, and common ones are guessed first. Choose another one.".to_owned()
        }
        PasswordFault::CommonWords => {
            "The new password is easily guessed: it is made of common words, with digits or signs beside them. Choose at least four \
             words that have nothing to do with each other."
                .to_owned()
        }
        PasswordFault::Breached => {
            "The new password is known from a data breach. Choose another one, and change it wherever you use it.".to_owned()
        }
    }
}

pub(super) fn german(fault: PasswordFault) -> String {
    let guessed = |why: &str, needs: usize| {
        format!(
            "Das neue Passwort ist leicht zu erraten: {why}. Dann hat es weniger als {needs} Zeichen. Ergänzen Sie Wörter, die nichts \
             miteinander zu tun haben."
        )
    };
    match fault {
        PasswordFault::CurrentWrong => {
            "Das bisherige Passwort ist falsch. Prüfen Sie es und versuchen Sie es erneut.".to_owned()
        }
        PasswordFault::TooLong { .. } => "Dieses Passwort ist zu lang. Wählen Sie ein kürzeres.".to_owned(),
        PasswordFault::TooShort { needs, .. } => {
            format!("Das neue Passwort ist zu kurz. Wählen Sie eines mit mindestens {needs} Zeichen.")
        }
        PasswordFault::Sequence { needs } => {
            guessed("Eine Folge wie 12345678, aaaaaaaa oder qwertzui zählt als ein Zeichen", needs)
        }
        PasswordFault::Repeated { needs } => {
            guessed("Es wiederholt sich, und eine Wiederholung zählt einmal", needs)
        }
        PasswordFault::ContainsName { needs } => {
            guessed("Es enthält Ihren Benutzernamen, Ihren Namen oder Ihre E-Mail-Adresse; die zählen nicht", needs)
        }
        PasswordFault::ContainsSite { needs } => {
            guessed("Es enthält den Namen oder die Adresse dieser Seite; die zählen nicht", needs)
        }
        PasswordFault::Common => {
            "Das neue Passwort ist verbreitet, und verbreitete werden zuerst geraten. Wählen Sie ein anderes.".to_owned()
        }
        PasswordFault::CommonWords => {
            "Das neue Passwort ist leicht zu erraten: Es besteht aus verbreiteten Wörtern mit Ziffern oder Zeichen daneben. Wählen Sie \
             mindestens vier Wörter, die nichts miteinander zu tun haben."
                .to_owned()
        }
        PasswordFault::Breached => {
            "Das neue Passwort ist aus einem Datenleck bekannt. Wählen Sie ein anderes, und ändern Sie es überall, wo Sie es verwenden."
                .to_owned()
        }
    }
}
