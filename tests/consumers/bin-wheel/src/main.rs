//! Prints the greatest common divisor of two numbers.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args == ["--version"] {
        println!("sample-bin {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let numbers: Result<Vec<u64>, _> = args.iter().map(|arg| arg.parse()).collect();
    match numbers.as_deref() {
        Ok([a, b]) => {
            println!("{}", gcd(*a, *b));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: sample-bin NUMBER NUMBER");
            ExitCode::from(2)
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
