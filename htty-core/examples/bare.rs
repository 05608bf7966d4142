//! `bare FILE`: what `alacritty_terminal` alone takes to interpret a file; the
//! seconds go to standard output. The bench compares `ht` with it.

#![allow(clippy::unwrap_used, reason = "a failure of the bench is shown as it is")]

use std::time::Instant;

use alacritty_terminal::Term;
use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::term::Config;
use alacritty_terminal::vte::ansi::{Processor, StdSyncHandler};

struct Size;

impl Dimensions for Size {
    fn total_lines(&self) -> usize {
        24
    }

    fn screen_lines(&self) -> usize {
        24
    }

    fn columns(&self) -> usize {
        80
    }
}

fn main() {
    let bytes = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let mut term = Term::new(Config { scrolling_history: 0, ..Config::default() }, &Size, VoidListener);
    let mut parser = Processor::<StdSyncHandler>::new();
    let start = Instant::now();
    for chunk in bytes.chunks(64 * 1024) {
        parser.advance(&mut term, chunk);
    }
    println!("{}", start.elapsed().as_secs_f64());
}
