//! QR code (ISO/IEC 18004) as the path of an SVG: no image file, no style, so it fits a strict content security policy.

use std::fmt::Write;

use qrcodegen::QrCodeEcc;

/// Width of the light margin, in modules (ISO/IEC 18004 section 6.3.8).
const MARGIN: i32 = 4;

/// QR code to be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrCode {
    /// Width and height of the drawing, margin included, in modules.
    pub size: i32,
    /// Dark modules, as an SVG path of unit squares.
    pub path: String,
}

/// Draws a text. `None` if it is too long (2,953 bytes at this level).
pub fn qr_code(text: &str) -> Option<QrCode> {
    let code = qrcodegen::QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let start = x;
            while x < code.size() && code.get_module(x, y) {
                x += 1;
            }
            if x > start {
                let drawn =
                    write!(path, "M{} {}h{}v1h-{}z", start + MARGIN, y + MARGIN, x - start, x - start);
                drawn.expect("writing into a string does not fail");
            }
            x += 1;
        }
    }
    Some(QrCode { size: code.size() + 2 * MARGIN, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_has_a_margin_and_only_path_commands() {
        let code = qr_code("otpauth://totp/doorward:ada?secret=GEZDGNBVGY3TQOJQ").unwrap();
        assert!(code.size > 2 * MARGIN + 20 && code.path.starts_with("M4 4h7v1h-7z"), "{}", code.path);
        assert!(code.path.bytes().all(|byte| b"Mhvz -0123456789".contains(&byte)));
        assert_eq!(qr_code(&"x".repeat(4000)), None);
    }
}
