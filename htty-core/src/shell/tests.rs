use super::{Mark, Scanner};
use crate::emulator::Emulator;

/// The marks in pieces of output.
fn marks(pieces: &[&str]) -> Vec<(usize, Mark)> {
    let mut scanner = Scanner::default();
    let mut found = Vec::new();
    for piece in pieces {
        let mut rest = piece.as_bytes();
        while let Some((length, mark)) = scanner.find(rest) {
            found.push((length, mark));
            rest = &rest[length..];
        }
    }
    found
}

#[test]
fn finds_marks_wherever_output_is_split() {
    let output = "a\x1b\x1b]133;A\x07b\x1b]133;B;x=y\x1b\\c\x1b]133;D;130\x07\x1b]133;C\x07";
    let expected = [Mark::Prompt, Mark::Input, Mark::End(Some(130)), Mark::Output(None)];
    for cut in 0..output.len() {
        let (first, second) = output.split_at(cut);
        let found: Vec<Mark> = marks(&[first, second]).into_iter().map(|(_, mark)| mark).collect();
        assert_eq!(found, expected, "{cut}");
    }
    assert_eq!(marks(&[output])[0].0, 10);
}

#[test]
fn ignores_other_sequences() {
    for output in [
        "\x1b]133",
        "\x1b]1337;A\x07",
        "\x1b]133;A\x18",
        "\x1b]133;Z\x07",
        "\x1b]0;\x1b[133;A\x07",
        "133;A\x07",
    ] {
        assert_eq!(marks(&[output]), [], "{output:?}");
    }
    let long = format!("\x1b]133;C;{}\x07\x1b]133;A\x07", "x".repeat(100_000));
    let found: Vec<Mark> = marks(&[&long]).into_iter().map(|(_, mark)| mark).collect();
    assert_eq!(found, [Mark::Prompt]);
}

#[test]
fn parses_lines_and_exit_codes() {
    let cases = [
        ("C;cmdline_url=echo%20%C3%A4%3b", Mark::Output(Some("echo \u{e4};".into()))),
        ("C;a=b;cmdline_url=50%", Mark::Output(Some("50%".into()))),
        ("D", Mark::End(None)),
        ("D;", Mark::End(None)),
        ("D;-1;aid=3", Mark::End(Some(-1))),
    ];
    for (payload, mark) in cases {
        assert_eq!(Mark::parse(payload.as_bytes()), Some(mark), "{payload}");
    }
}

fn report(cols: u16, rows: u16, scrollback: usize, outputs: &[&str]) -> String {
    let mut emulator = Emulator::new(cols, rows, scrollback);
    for output in outputs {
        emulator.feed(output.as_bytes());
    }
    serde_json::to_string(&emulator.shell()).unwrap()
}

const PROMPT: &str = "\x1b]133;A\x07$ \x1b]133;B\x07";

#[test]
fn tracks_commands_of_a_shell() {
    assert_eq!(report(20, 5, 10, &["no marks"]), "null");
    assert_eq!(report(20, 5, 10, &[PROMPT]), r#"{"prompt":true,"finished":0,"command":null}"#);
    let run = format!("{PROMPT}echo hi\r\n\x1b]133;C\x07hi\r\n");
    assert_eq!(
        report(20, 5, 10, &[&run]),
        r#"{"prompt":false,"finished":0,"command":{"line":"echo hi","output":"hi\n","exitCode":null,"running":true}}"#
    );
    let ended = format!("{run}\x1b]133;D;3\x07{PROMPT}next");
    assert_eq!(
        report(20, 5, 10, &[&ended]),
        r#"{"prompt":true,"finished":1,"command":{"line":"echo hi","output":"hi\n","exitCode":3,"running":false}}"#
    );
    // An end without a start, and a command without an end.
    let unmarked = format!("\x1b]133;D;9\x07{run}{PROMPT}");
    assert_eq!(
        report(20, 5, 10, &[&unmarked]),
        r#"{"prompt":true,"finished":1,"command":{"line":"echo hi","output":"hi\n","exitCode":null,"running":false}}"#
    );
}

/// The output of the last command.
fn output(cols: u16, rows: u16, scrollback: usize, before: &str, written: &str) -> String {
    let marked = format!("{before}\x1b]133;C\x07{written}\x1b]133;D;0\x07{PROMPT}\r\nmore\r\n");
    let report = report(cols, rows, scrollback, &[&marked]);
    let value: serde_json::Value = serde_json::from_str(&report).unwrap();
    value["command"]["output"].as_str().unwrap().to_owned()
}

#[test]
fn follows_output_into_the_history() {
    let lines = |count: usize| (0..count).fold(String::new(), |all, line| all + &format!("{line}\r\n"));
    let plain = |count: usize| lines(count).replace('\r', "");
    for before in [0, 3, 8, 500] {
        for (written, scrollback) in [(0, 10), (1, 10), (3, 10), (12, 10), (2, 0)] {
            assert_eq!(
                output(9, 3, scrollback, &lines(before), &lines(written)),
                plain(written),
                "{before} {written} {scrollback}"
            );
        }
    }
    // Discarded lines are omitted.
    assert_eq!(output(9, 3, 4, &lines(9), &lines(100)), "94\n95\n96\n97\n98\n99\n");
}

#[test]
fn keeps_no_more_lines_than_configured() {
    let mut emulator = Emulator::new(9, 3, 4);
    emulator.feed(format!("{PROMPT}x\r\n\x1b]133;C\x07{}", "y\r\n".repeat(100)).as_bytes());
    assert_eq!(crate::emulator::scrollback(emulator.grid()).count(), 4);
    emulator.feed(format!("\x1b]133;D\x07{}", "y\r\n".repeat(100)).as_bytes());
    assert_eq!(crate::emulator::scrollback(emulator.grid()).count(), 4);
}

#[test]
fn output_is_what_the_screen_shows() {
    assert_eq!(output(5, 4, 9, "", "12345678\r\nx"), "12345678\nx");
    assert_eq!(output(20, 4, 9, "", "10%\r50%\r100%\r\n"), "100%\n");
    assert_eq!(output(20, 4, 9, "ab\r\n", "\x1b[?1049h\x1b[Hfull\r\n\r\n\r\n\r\n\x1b[?1049lafter"), "after");
    assert_eq!(output(20, 4, 9, "ab\r\n", "one\x1b[H\x1b[2J\x1b[3Jtwo"), "two");
}

#[test]
fn reports_output_while_the_alternate_screen_is_shown() {
    let text = report(20, 4, 9, &["\x1b]133;C\x07first\r\n\x1b[?1049hfull"]);
    assert!(text.contains(r#""output":"first\n","exitCode":null,"running":true"#), "{text}");
}

#[test]
fn follows_output_after_a_resize() {
    let mut emulator = Emulator::new(20, 6, 9);
    emulator.feed(b"a\r\nb\r\n\x1b]133;C\x071\r\n2\r\n3\r\n");
    emulator.resize(20, 3);
    emulator.feed(b"4\r\n");
    emulator.resize(20, 6);
    emulator.feed(b"5\r\n");
    let text = serde_json::to_string(&emulator.shell()).unwrap();
    assert!(text.contains(r#""output":"1\n2\n3\n4\n5\n""#), "{text}");
}
