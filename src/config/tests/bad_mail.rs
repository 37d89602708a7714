//! More invalid files, in the notation of `bad`: the mail server.

use super::bad::Case;

/// `[mail]`.
pub(super) const MAIL: &[Case] = &[
    (
        "[mail]",
        r#"1: mail.url: missing: write the address of a mail server, such as url = "smtp://mail.example.com"|1: mail.from: missing: write the address of the sender, such as from = "noreply@example.com""#,
    ),
    (
        r#"[mail]|url = "mail.example.com"|from = "me""#,
        r#"2: mail.url: "mail.example.com" is no address of a mail server: write smtp://HOST:PORT, smtps://HOST:PORT or file:FOLDER|3: mail.from: "me": an e-mail address has at most 254 bytes: a local part without quotes, white space and ()<>[]:;,\, one @, and a domain of labels of a-z 0-9 - _ (an international domain is written as xn--…)"#,
    ),
    (
        r#"[mail]|url = "smtp://me:hunter2@mail.example.com"|from = "a@b.test""#,
        "2: mail.url: write the host and perhaps the port alone, such as smtp://mail.example.com:587; the user name belongs into username",
    ),
    (
        r#"[mail]|url = "smtps://mail.example.com:0/x"|from = "a@b.test""#,
        "2: mail.url: write the host and perhaps the port alone, such as smtp://mail.example.com:587; the user name belongs into username",
    ),
    (
        r#"[mail]|url = "file:nowhere"|from = "a@b.test""#,
        "2: mail.url: `nowhere` is not a folder: create it, or name another one",
    ),
    (
        r#"[mail]|url = "smtp://mail.example.com"|from = "a@b.test"|username = "me""#,
        "4: mail.username: there is no password: name its file in password_file",
    ),
    (
        r#"[mail]|url = "smtp://mail.example.com"|from = "a@b.test"|password = "hunter2""#,
        "4: mail.password: there is no user name: write it as username",
    ),
    (
        r#"[mail]|url = "smtp://mail.example.com"|from = "a@b.test"|starttls = false|username = "me"|password = "hunter2""#,
        "5: mail.username: starttls = false would send the password in clear over the network: remove one of them",
    ),
    (
        r#"[mail]|url = "smtps://h"|from = "a@b.test"|starttls = false"#,
        "4: mail.starttls: smtps:// begins with TLS, so this has no effect: remove it",
    ),
    (
        r#"[mail]|url = "file:."|from = "a@b.test"|starttls = false|username = "me"|password = "hunter2""#,
        "4: mail.starttls: mails go to a folder, so this has no effect: remove it|5: mail.username: mails go to a folder, so this has no effect: remove it",
    ),
    (
        r#"[mail]|url = "smtp://mail.example.com"|from = "a@b.test"|password_env = "NONE"|username = """#,
        "4: mail.password_env: no environment variable of this name is set: set it, or use `password_file`|5: mail.username: this is not a user name: write 1 to 256 characters",
    ),
];
