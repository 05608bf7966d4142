//! The default colors.

use alacritty_terminal::vte::ansi::Rgb;

/// The color of text.
pub(crate) const FOREGROUND: u32 = 0xd0_d0d0;
/// The color of the screen.
pub(crate) const BACKGROUND: u32 = 0x00_0000;

/// xterm's first sixteen colors.
const BASE: [u32; 16] = [
    0x00_0000, 0xaa_0000, 0x00_aa00, 0xaa_5500, 0x55_55ff, 0xe8_50a8, 0x00_aaaa, 0xd0_d0d0, 0x7f_7f7f,
    0xff_0000, 0x00_ff00, 0xff_ff00, 0x5c_5cff, 0xff_00ff, 0x00_ffff, 0xff_ffff,
];

/// A color of xterm's palette of 256.
pub(crate) fn indexed(index: u8) -> u32 {
    match index {
        0..=15 => BASE[usize::from(index)],
        // A cube of 6x6x6 colors, then 24 greys.
        16..=231 => {
            let level = |part: u8| if part == 0 { 0 } else { 55 + 40 * u32::from(part) };
            let index = index - 16;
            level(index / 36) << 16 | level(index / 6 % 6) << 8 | level(index % 6)
        }
        _ => (8 + 10 * (u32::from(index) - 232)) * 0x01_0101,
    }
}

/// A color by its index in `alacritty_terminal`: the palette, then the foreground (256), the
/// background (257) and the cursor (258).
pub(crate) fn rgb(index: usize) -> Rgb {
    let color = match u8::try_from(index) {
        Ok(index) => indexed(index),
        Err(_) if index == 257 => BACKGROUND,
        Err(_) => FOREGROUND,
    };
    let [_, r, g, b] = color.to_be_bytes();
    Rgb { r, g, b }
}
