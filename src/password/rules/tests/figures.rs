//! Figures of `docs/passwords.md`: refusals among good and bad passwords. Run with `--nocapture` to see them.

use super::{check, measured, words};

/// Random numbers that are the same in each run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn text(&mut self, alphabet: &str, length: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const ALPHANUMERIC: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Passwords that are refused where they are the only factor, each with the reason.
fn refused(what: &str, texts: &[String]) -> Vec<String> {
    refused_below(15, what, texts)
}

/// The same for a minimum length.
fn refused_below(min_length: usize, what: &str, texts: &[String]) -> Vec<String> {
    let reason = |text: &String| Some(format!("{text}: {}", check(text, min_length).err()?.code()));
    let found: Vec<String> = texts.iter().filter_map(reason).collect();
    measured(format_args!("{what}: {} of {} refused", found.len(), texts.len()));
    found
}

#[test]
fn no_random_passphrase_is_refused() {
    let (words, mut numbers) = (words(), Numbers(1));
    for separator in [" ", "-", ""] {
        let mut texts = Vec::new();
        while texts.len() < 1_000 {
            let count = 4 + numbers.below(3);
            let text = (0..count).map(|_| numbers.pick(&words)).collect::<Vec<_>>().join(separator);
            texts.extend(Some(text).filter(|text| text.len() >= 15));
        }
        let found = refused(&format!("passphrases of 4 to 6 words joined by {separator:?}"), &texts);
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn doubled_random_word_is_refused() {
    let mut numbers = Numbers(3);
    let doubled = |numbers: &mut Numbers, between: &str| {
        let length = 8 + numbers.below(6);
        let word = numbers.text(LOWER, length);
        format!("{word}{between}{word}")
    };
    let texts: Vec<String> = (0..1_000).map(|at| doubled(&mut numbers, ["", "-", "1", ""][at % 4])).collect();
    let found = refused("random words of 8 to 13 letters, twice", &texts);
    assert_eq!(found.len(), texts.len());
}

#[test]
fn no_generated_password_is_refused() {
    let mut numbers = Numbers(2);
    let printable: String = ('!'..='~').collect();
    let base64url = format!("{ALPHANUMERIC}-_");
    let kinds: [(&str, &str, usize); 6] = [
        ("15 printable ASCII characters", &printable, 15),
        ("15 letters and digits", ALPHANUMERIC, 15),
        ("15 small letters", LOWER, 15),
        ("16 hexadecimal digits", "0123456789abcdef", 16),
        ("20 digits", "0123456789", 20),
        ("20 characters of base64url", &base64url, 20),
    ];
    for (what, alphabet, length) in kinds {
        let texts: Vec<String> = (0..1_000).map(|_| numbers.text(alphabet, length)).collect();
        let found = refused(what, &texts);
        assert!(found.is_empty(), "{found:?}");
    }
    let texts: Vec<String> =
        (0..1_000).map(|_| [0, 1, 2].map(|_| numbers.text(ALPHANUMERIC, 6)).join("-")).collect();
    let found = refused("three groups of six letters and digits", &texts);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn hardly_any_generated_password_of_eight_characters_is_refused() {
    let mut numbers = Numbers(4);
    let printable: String = ('!'..='~').collect();
    let kinds = [
        ("8 printable ASCII characters", printable.as_str()),
        ("8 letters and digits", ALPHANUMERIC),
        ("8 small letters", LOWER),
    ];
    for (what, alphabet) in kinds {
        let texts: Vec<String> = (0..1_000).map(|_| numbers.text(alphabet, 8)).collect();
        // Two of 3,000: one repeats three letters by chance (`pvEpV)EV`).
        let found = refused_below(8, what, &texts);
        assert!(found.len() <= 2, "{found:?}");
    }
}

#[test]
fn lazy_passwords_of_eight_characters_are_refused() {
    let lazy = |word: &str| {
        let capital = word[..1].to_uppercase() + &word[1..];
        [format!("{capital}1"), format!("{capital}2024"), format!("{word}123!"), format!("{word}{word}")]
    };
    let texts: Vec<String> =
        BASES.split_whitespace().flat_map(lazy).filter(|text| text.chars().count() >= 8).collect();
    let found = refused_below(8, "lazy passwords of 8 characters or more", &texts);
    let missed: Vec<&String> = texts.iter().filter(|text| check(text, 8).is_ok()).collect();
    measured(format_args!("accepted: {missed:?}"));
    assert!(texts.len() > 200 && found.len() == texts.len(), "{missed:?}");
}

/// Words of which lazy passwords are made: of the lists of the most common passwords, of the season, and of this site.
const BASES: &str = "password passw0rd qwerty qwertz letmein welcome monkey dragon football baseball sunshine princess superman batman \
                     iloveyou trustno1 master shadow michael jennifer charlie jordan summer winter autumn spring january february \
                     october november december monday tuesday friday sunday passwort geheim hallo willkommen schatz sommer winter \
                     herbst januar oktober dezember montag freitag schalke admin administrator root login changeme secret starwars \
                     pokemon liverpool chelsea arsenal ferrari mercedes computer internet samsung google facebook towerclinic doorward";

/// Lazy ways to make a word long enough.
fn lazy(word: &str) -> Vec<String> {
    let capital = word[..1].to_uppercase() + &word[1..];
    let leet: String = word
        .chars()
        .map(|c| match c {
            'a' => '@',
            'e' => '3',
            'i' => '1',
            'o' => '0',
            's' => '$',
            other => other,
        })
        .collect();
    let padded =
        |word: &str, with: &str| word.to_owned() + &with[..(15_usize.saturating_sub(word.len())).max(1)];
    vec![
        padded(word, "123456789012345"),
        padded(&capital, "111111111111111"),
        padded(word, "!!!!!!!!!!!!!!!"),
        padded(&leet, "1234567890!!!!!"),
        format!("{word}{word}{word}"),
        format!("{word}-{word}-{word}"),
        format!("{capital}{capital}{capital}1"),
        format!("{word}1{word}2{word}3"),
        format!("{capital}2024{capital}2025"),
        format!("{capital}{capital}!2024!2025"),
        format!("{leet}{leet}{leet}99"),
        format!("123456789{word}987654321"),
        format!("qwertyuiop{word}1"),
        format!("{word}abcdefghijkl"),
        format!("my{word}ismypassword"),
        format!("{word}password{word}"),
        format!("{capital}-Password-2024"),
        format!("{word}admin123456789"),
    ]
}

#[test]
fn lazy_passwords_are_refused() {
    let texts: Vec<String> =
        BASES.split_whitespace().flat_map(lazy).filter(|text| text.chars().count() >= 15).collect();
    assert!(texts.len() > 1_000, "{}", texts.len());
    let found = refused("lazy passwords of 15 characters or more", &texts);
    let missed: Vec<&String> = texts.iter().filter(|text| check(text, 15).is_ok()).collect();
    measured(format_args!("accepted: {missed:?}"));
    assert!(found.len() * 100 >= texts.len() * 99, "{missed:?}");
}
