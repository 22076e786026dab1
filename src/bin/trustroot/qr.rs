//! Draws QR codes, as PNG or for a terminal.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use qrcodegen::{QrCode, QrCodeEcc, QrSegment, Version};

/// Light modules around a code (ISO/IEC 18004 section 9.1).
const QUIET: i32 = 4;
/// Pixels to a module of a picture.
const SCALE: usize = 6;

/// A code that holds a text of upper-case letters, digits and a few signs; `None` where it does not fit.
pub(crate) fn encode(text: &str) -> Option<QrCode> {
    if !QrSegment::is_alphanumeric(text) {
        return None;
    }
    let segments = [QrSegment::make_alphanumeric(text)];
    QrCode::encode_segments_advanced(&segments, QrCodeEcc::Medium, Version::MIN, Version::MAX, None, true).ok()
}

/// Two rows of modules in each line, dark on light whatever the terminal's colours are.
pub(crate) fn for_terminal(code: &QrCode) -> String {
    let style = anstyle::AnsiColor::Black.on(anstyle::AnsiColor::BrightWhite);
    let mut text = String::new();
    for y in (-QUIET..code.size() + QUIET).step_by(2) {
        let half = |x: i32| match (code.get_module(x, y), code.get_module(x, y + 1)) {
            (true, true) => '\u{2588}',
            (true, false) => '\u{2580}',
            (false, true) => '\u{2584}',
            (false, false) => ' ',
        };
        let line: String = (-QUIET..code.size() + QUIET).map(half).collect();
        let _ = writeln!(text, "{style}{line}{style:#}");
    }
    text
}

/// A picture in black and white: PNG (RFC 2083) with one bit to a pixel.
pub(crate) fn png(code: &QrCode) -> std::io::Result<Vec<u8>> {
    let side = usize::try_from(code.size() + 2 * QUIET).unwrap_or_default() * SCALE;
    let module = |pixel: usize| i32::try_from(pixel / SCALE).unwrap_or_default() - QUIET;
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::best());
    for y in 0..side {
        // Each row begins with its filter: none.
        let mut row = vec![0_u8; 1 + side.div_ceil(8)];
        for x in (0..side).filter(|x| !code.get_module(module(*x), module(y))) {
            row[1 + x / 8] |= 0x80 >> (x % 8);
        }
        rows.write_all(&row)?;
    }
    let length = u32::try_from(side).unwrap_or_default().to_be_bytes();
    // One bit to a pixel, grey, the only methods of compression and filtering that there are, not interlaced.
    let head = [&length[..], &length, &[1, 0, 0, 0, 0]].concat();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in [(b"IHDR", head), (b"IDAT", rows.finish()?), (b"IEND", Vec::new())] {
        let mut checked = flate2::Crc::new();
        checked.update(kind);
        checked.update(&content);
        bytes.extend(u32::try_from(content.len()).unwrap_or_default().to_be_bytes());
        bytes.extend(kind);
        bytes.extend(content);
        bytes.extend(checked.sum().to_be_bytes());
    }
    Ok(bytes)
}
