//! Prints each line of the standard input reversed.

use std::io::{BufRead as _, Result, Write as _};

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("sample-reverse {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        writeln!(out, "{}", line?.chars().rev().collect::<String>())?;
    }
    Ok(())
}
