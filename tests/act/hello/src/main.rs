fn main() {
    println!("wheel-hello {}", env!("CARGO_PKG_VERSION"));
}
