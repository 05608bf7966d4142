use proptest::prelude::*;

use super::{Emulator, lines};
use crate::style;

fn shown(cols: u16, rows: u16, output: &str) -> String {
    let mut emulator = Emulator::new(cols, rows, 0);
    emulator.feed(output.as_bytes());
    lines(emulator.grid()).map(style::plain).collect::<Vec<_>>().join("|")
}

fn reply(output: &str) -> String {
    let mut emulator = Emulator::new(80, 24, 0);
    emulator.feed(output.as_bytes());
    String::from_utf8(emulator.replies()).unwrap()
}

/// The column after `text`, according to a cursor position report.
fn width(text: &str) -> usize {
    let reply = reply(&format!("{text}\x1b[6n"));
    reply.trim_end_matches('R').rsplit_once(';').unwrap().1.parse::<usize>().unwrap() - 1
}

#[test]
fn widths_match_alacritty_ghostty_and_xterm_js() {
    let cases = [
        ("e\u{301}", 1),
        ("Mu\u{308}ller", 6),
        ("\u{5e9}\u{5c1}\u{5b8}\u{5dc}\u{5d5}\u{5b9}\u{5dd}", 4),
        ("\u{e2a}\u{e27}\u{e31}\u{e2a}\u{e14}\u{e35}", 4),
        ("\u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947}", 4),
        ("\u{2764}\u{fe0f}", 1),
        ("1\u{fe0f}\u{20e3}", 1),
        ("\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}", 6),
        ("\u{1112}\u{1161}\u{11ab}", 2),
        ("\u{200b}", 0),
        ("\u{200c}", 0),
        ("\u{200f}", 0),
        ("\u{feff}", 0),
        ("\u{6f22}", 2),
    ];
    for (text, columns) in cases {
        assert_eq!(width(text), columns, "{text:?}");
        // Zero-width characters are kept in their cell.
        assert!(shown(20, 1, &format!("a{text}")).starts_with(&format!("a{text}")), "{text:?}");
    }
}

#[test]
fn programs_get_replies() {
    let cases = [
        ("\x1b[c", "\x1b[?6c"),
        ("\x1b[5n", "\x1b[0n"),
        ("\x1b[3;5H\x1b[6n", "\x1b[3;5R"),
        ("\x1b[?2004$p", "\x1b[?2004;2$y"),
        ("\x1b[?25$p", "\x1b[?25;1$y"),
        ("\x1b[?2026$p", "\x1b[?2026;2$y"),
        ("\x1b]11;?\x07", "\x1b]11;rgb:0000/0000/0000\x07"),
        ("\x1b]10;?\x1b\\", "\x1b]10;rgb:d0d0/d0d0/d0d0\x1b\\"),
        ("\x1b]4;1;?\x07", "\x1b]4;1;rgb:aaaa/0000/0000\x07"),
        ("\x1b]11;#102030\x07\x1b]11;?\x07", "\x1b]11;rgb:1010/2020/3030\x07"),
        ("\x1b[14t", "\x1b[4;384;640t"),
        ("\x1b[18t", "\x1b[8;24;80t"),
        ("\x1b[?u", "\x1b[?0u"),
        ("\x1b[>1u\x1b[?u", "\x1b[?1u"),
    ];
    for (query, expected) in cases {
        assert_eq!(reply(query), expected, "{query:?}");
    }
    assert!(reply("\x1b[>c").starts_with("\x1b[>0;"));
}

#[test]
fn origin_mode_counts_from_the_region() {
    let region = "\x1b[2;4r\x1b[?6h";
    assert_eq!(shown(3, 5, &format!("{region}a\x1b[2;1Hb")), "   |a  |b  |   |   ");
    // Setting only the column keeps the line; moves stop at the edges of the region.
    assert_eq!(shown(3, 5, &format!("{region}\x1b[2;1H\x1b[3Gc")), "   |   |  c|   |   ");
    assert_eq!(shown(3, 5, &format!("{region}\x1b[3;1H\x1b[9Ad\x1b[9Be")), "   |d  |   | e |   ");
    assert_eq!(reply("\x1b[5;9r\x1b[?6h\x1b[2;3H\x1b[6n"), "\x1b[2;3R");
    // RI at the top of the region scrolls only the region.
    assert_eq!(shown(3, 5, &format!("x\x1b[2;1Hy{region}\x1bM")), "x  |   |y  |   |   ");
}

#[test]
fn the_saved_cursor_includes_charset_and_origin_mode() {
    let output = "\x1b)0\x0e\x1b7\x0fq\x1b8q";
    assert_eq!(shown(2, 1, output), "\u{2500} ");
    assert_eq!(shown(2, 3, "\x1b[2;3r\x1b[?6h\x1b7\x1b[?6l\x1b8\x1b[1;1Hx"), "  |x |  ");
}

#[test]
fn supports_older_modes_of_the_alternate_screen() {
    for mode in [47, 1047, 1049] {
        let there = format!("ab\x1b[?{mode}h\x1b[Hz");
        assert_eq!(shown(3, 1, &there), "z  ", "{mode}");
        assert_eq!(shown(3, 1, &format!("{there}\x1b[?{mode}l")), "ab ", "{mode}");
    }
}

#[test]
fn erasing_above_includes_the_first_line() {
    assert_eq!(shown(2, 3, "ab\r\ncd\r\nef\x1b[2;1H\x1b[1J"), "  | d|ef");
}

#[test]
fn a_tab_at_the_edge_does_not_wrap() {
    assert_eq!(shown(3, 2, "abc\td"), "abc|d  ");
    assert_eq!(shown(9, 1, "a\tb"), "a       b");
}

#[test]
fn hidden_text_keeps_its_style() {
    let mut emulator = Emulator::new(4, 1, 0);
    emulator.feed(b"a\x1b[8mb\x1b[0mc");
    let text: String = lines(emulator.grid()).map(style::styled).collect();
    assert_eq!(text, "a\x1b[0;8mb\x1b[0mc ");
}

#[test]
fn hides_an_unfinished_update() {
    let mut emulator = Emulator::new(3, 1, 0);
    emulator.feed(b"\x1b[?2026hab");
    assert!(emulator.update_ends().is_some());
    assert_eq!(lines(emulator.grid()).map(style::plain).collect::<String>(), "   ");
    emulator.end_update();
    assert_eq!(lines(emulator.grid()).map(style::plain).collect::<String>(), "ab ");
}

#[test]
fn reads_the_primary_screen_behind_the_alternate_one() {
    let mut emulator = Emulator::new(3, 1, 0);
    emulator.feed(b"ab\x1b[?1049h\x1b[Hxyz");
    let primary = emulator.with_primary(|grid| lines(grid).map(style::plain).collect::<String>());
    assert_eq!(primary.as_deref(), Some("ab "));
    assert_eq!(lines(emulator.grid()).map(style::plain).collect::<String>(), "xyz");
    emulator.feed(b"\x1b[?1049l");
    assert_eq!(emulator.with_primary(|_| ()), None);
    assert_eq!(lines(emulator.grid()).map(style::plain).collect::<String>(), "ab ");
}

#[test]
fn limits_repetition() {
    let mut emulator = Emulator::new(3, 1, 0);
    emulator.feed("\x1b[>1u".repeat(100_000).as_bytes());
    emulator.feed(format!("a{}", "\u{301}".repeat(100_000)).as_bytes());
    let text: String = lines(emulator.grid()).map(style::plain).collect();
    assert!(text.chars().count() < 100, "{}", text.chars().count());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Random output and resizes.
    #[test]
    fn does_not_panic(
        pieces in prop::collection::vec((0_usize..PIECES.len(), 0_u16..400, 0_u16..400), 1..60),
        sizes in prop::collection::vec((2_u16..20, 1_u16..20), 1..4),
    ) {
        let mut emulator = Emulator::new(7, 5, 3);
        let chunk = pieces.len().div_ceil(sizes.len());
        for (part, (cols, rows)) in pieces.chunks(chunk).zip(sizes) {
            for (piece, first, second) in part {
                let text = PIECES[*piece].replace("%1", &first.to_string()).replace("%2", &second.to_string());
                emulator.feed(text.as_bytes());
            }
            let mut emulator_seq = Emulator::new(7, 5, 0);
            emulator_seq.feed(crate::dump::sequence(&mut emulator).as_bytes());
            emulator.resize(cols, rows);
        }
    }
}

const PIECES: [&str; 46] = [
    "a",
    "\u{6f22}",
    "\u{301}",
    "\r",
    "\n",
    "\t",
    "\x08",
    "\x0e",
    "\x0f",
    "\x1b7",
    "\x1b8",
    "\x1bM",
    "\x1bD",
    "\x1bE",
    "\x1bH",
    "\x1bc",
    "\x1b#8",
    "\x1b(0",
    "\x1b[%1;%2H",
    "\x1b[%1;%2r",
    "\x1b[%1A",
    "\x1b[%1B",
    "\x1b[%1C",
    "\x1b[%1D",
    "\x1b[%1E",
    "\x1b[%1F",
    "\x1b[%1G",
    "\x1b[%1d",
    "\x1b[%1J",
    "\x1b[1J",
    "\x1b[%1K",
    "\x1b[%1L",
    "\x1b[%1M",
    "\x1b[%1P",
    "\x1b[%1@",
    "\x1b[%1X",
    "\x1b[%1S",
    "\x1b[%1T",
    "\x1b[%1b",
    "\x1b[%1I",
    "\x1b[%1Z",
    "\x1b[?6h",
    "\x1b[?6l",
    "\x1b[?1049h",
    "\x1b[?1049l",
    "\x1b[?47h\x1b[4h\x1b[6n",
];

#[test]
fn the_view_scrolls_within_the_history() {
    let mut emulator = Emulator::new(3, 2, 9);
    emulator.feed(b"1\r\n2\r\n3\r\n4\r\n5");
    let seen = |emulator: &Emulator| super::shown(emulator.grid()).map(style::plain).collect::<String>();
    for (lines, expected) in [
        (-1, "3  4  "),
        (i32::MIN, "1  2  "),
        (i32::MIN, "1  2  "),
        (1, "2  3  "),
        (i32::MAX, "4  5  "),
        (i32::MAX, "4  5  "),
        (0, "4  5  "),
    ] {
        emulator.scroll_view(lines);
        assert_eq!(seen(&emulator), expected, "{lines}");
    }
    emulator.scroll_view(-2);
    emulator.feed(b"\r\n6");
    assert_eq!(seen(&emulator), "2  3  ");
    assert_eq!(lines(emulator.grid()).map(style::plain).collect::<String>(), "5  6  ");
}
