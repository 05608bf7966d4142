//! `bare FILE` prints the seconds that `alacritty_terminal` alone needs to interpret a file.
//! The bench compares `ht` with it.

#![allow(clippy::unwrap_used, reason = "the bench fails by panicking")]

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
