//! Reasons why a password is not changed, with a stable code and a text for programs and the command line. The pages have
//! their own texts.

/// Reason why a password is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// The current password is not the one that was given.
    #[error("the current password is wrong")]
    CurrentWrong,
    /// More bytes than are read.
    #[error("the password is longer than {limit} bytes: choose a shorter one")]
    TooLong {
        /// Maximum length in bytes.
        limit: usize,
    },
    /// Too few characters.
    #[error("the password has {has} characters: choose one of at least {needs}")]
    TooShort {
        /// Length of the password.
        has: usize,
        /// Required length.
        needs: usize,
    },
    /// Too short once each run counts as one character.
    #[error(
        "the password is easily guessed: a run such as 12345678, aaaaaaaa or qwertyui counts as one character, and then it has \
         fewer than {needs}"
    )]
    Sequence {
        /// Required length.
        needs: usize,
    },
    /// Too short once what it repeats counts once.
    #[error(
        "the password is easily guessed: it repeats itself; a repetition counts once, and then it has fewer than {needs} characters"
    )]
    Repeated {
        /// Required length.
        needs: usize,
    },
    /// Too short without the user's names.
    #[error(
        "the password is easily guessed: it contains the user name, the name or the e-mail address; they do not count, and then it \
         has fewer than {needs} characters"
    )]
    ContainsName {
        /// Required length.
        needs: usize,
    },
    /// Too short without the names of the site.
    #[error(
        "the password is easily guessed: it contains the name or the address of this site; they do not count, and then it has fewer \
         than {needs} characters"
    )]
    ContainsSite {
        /// Required length.
        needs: usize,
    },
    /// On the list of common passwords.
    #[error("the password is easily guessed: it is on the list of common passwords")]
    Common,
    /// Composed of common words, names, runs and digits.
    #[error(
        "the password is easily guessed: it is made of common words, with digits, signs or runs beside them; choose four or more \
         unrelated words"
    )]
    CommonWords,
    /// Found in a collection of leaked passwords.
    #[error(
        "the password is known from a data breach: choose another one, and change it wherever it is used"
    )]
    Breached,
}

impl PasswordFault {
    /// One fault of each kind.
    pub const ALL: [Self; 10] = [
        Self::CurrentWrong,
        Self::TooLong { limit: 1024 },
        Self::TooShort { has: 3, needs: 15 },
        Self::Sequence { needs: 15 },
        Self::Repeated { needs: 15 },
        Self::ContainsName { needs: 15 },
        Self::ContainsSite { needs: 15 },
        Self::Common,
        Self::CommonWords,
        Self::Breached,
    ];

    /// Returns the stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::CurrentWrong => "current_password_wrong",
            Self::TooLong { .. } => "password_too_long",
            Self::TooShort { .. } => "password_too_short",
            Self::Sequence { .. } => "password_sequence",
            Self::Repeated { .. } => "password_repeated",
            Self::ContainsName { .. } => "password_contains_name",
            Self::ContainsSite { .. } => "password_contains_site",
            Self::Common => "password_common",
            Self::CommonWords => "password_common_words",
            Self::Breached => "password_breached",
        }
    }
}
