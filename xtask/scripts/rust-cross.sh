#!/usr/bin/env bash
# rust-cross.sh DIRECTORY [all]: a Rust compiler in DIRECTORY with the standard libraries
# of x86_64 and aarch64 Linux, from Debian's packages, whose signatures apt checks,
# and of other targets, built from Debian's source package. With this compiler,
# Cargo builds for all of them, as it does after `rustup target add`. Nothing is
# installed on the machine. With `all`, it has the targets of the soak tests too: each takes
# about a minute of processor time.
set -euo pipefail
case "$#:${2-}" in 1: | 2:all) ;; *) echo "usage: rust-cross.sh DIRECTORY [all]" >&2; exit 2 ;; esac
directory=$1
targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl riscv64gc-unknown-linux-gnu
  aarch64-apple-darwin x86_64-apple-darwin x86_64-pc-windows-gnu)
if [ "${2-}" = all ]; then
  targets+=(i686-unknown-linux-musl armv7-unknown-linux-musleabihf i686-unknown-linux-gnu
    armv7-unknown-linux-gnueabihf arm-unknown-linux-gnueabihf powerpc64le-unknown-linux-gnu
    s390x-unknown-linux-gnu loongarch64-unknown-linux-gnu)
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,debs,root}
apt=(-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root
  -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o Acquire::Languages=none)
apt-get "${apt[@]}" --quiet --quiet update

# The names of the packages that the newest compiler depends on: its own libraries
# and LLVM's.
names=$(apt-cache "${apt[@]}" show rustc-web libstd-rust-web-1.96 | grep -oE 'libstd-rust-web-[0-9.]+|libllvm[0-9]+' | sort -u)
std=$(grep -E '^libstd-rust-web-' <<<"$names" | sort -V | tail -n 1)
llvm=$(grep -E '^libllvm' <<<"$names" | sort -V | tail -n 1)
(cd "$work/debs" && apt-get "${apt[@]}" --quiet --quiet download \
  rustc-web rust-web-src "$std" "$llvm" libstd-rust-web-dev libstd-rust-web-dev:arm64)
for deb in "$work"/debs/*.deb; do
  dpkg-deb -x "$deb" "$work/root"
done

mkdir -p "$work/root/bin"
cat >"$work/root/bin/rustc" <<'WRAPPER'
#!/bin/sh
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu exec "$root/usr/bin/rustc" "$@"
WRAPPER
chmod 755 "$work/root/bin/rustc"
"$work/root/bin/rustc" --version

# Cargo builds the other standard libraries (`-Zbuild-std`), without optimisation and
# without backtraces, because only tests use them.
rustlib=$work/root/usr/lib/rustlib
mkdir -p "$work/empty/.cargo"
cat >"$work/empty/Cargo.toml" <<'MANIFEST'
[package]
name = "empty"
version = "0.0.0"
edition = "2021"
[lib]
path = "lib.rs"
[profile.release]
opt-level = 0
codegen-units = 16
[profile.release.package.compiler_builtins]
opt-level = 2
[workspace]
MANIFEST
cat >"$work/empty/.cargo/config.toml" <<CONFIG
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "$rustlib/src/rust/library/vendor"
CONFIG
echo '#![no_std]' >"$work/empty/lib.rs"
build() {
  local crates=$1
  shift
  (cd "$work/empty" && env -u RUSTFLAGS RUSTC="$work/root/bin/rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$work/target" \
    cargo build --quiet --offline --release "-Zbuild-std=$crates" -Zbuild-std-features=panic-unwind "$@")
}
build std,panic_abort "${targets[@]/#/--target=}"
# Unit tests run under Wine too.
build std,panic_abort,test --target=x86_64-pc-windows-gnu
for target in "${targets[@]}"; do
  mkdir -p "$rustlib/$target/lib"
  mv "$work/target/$target"/release/deps/*.rlib "$rustlib/$target/lib/"
  rm "$rustlib/$target/lib"/libempty-*
done
# The startup objects that Rust links into Windows programs in addition to MinGW's.
windows=$rustlib/x86_64-pc-windows-gnu/lib
for object in rsbegin rsend; do
  RUSTC_BOOTSTRAP=1 "$work/root/bin/rustc" --target x86_64-pc-windows-gnu --emit obj \
    -o "$windows/$object.o" "$rustlib/src/rust/library/rtstartup/$object.rs"
done
# musl and its startup objects, which rustup's standard library includes.
self_contained=$rustlib/x86_64-unknown-linux-musl/lib/self-contained
mkdir "$self_contained"
cp /usr/lib/x86_64-linux-musl/{crt1,crti,crtn,rcrt1,Scrt1}.o /usr/lib/x86_64-linux-musl/libc.a "$self_contained/"
for object in crtbegin.o crtbeginS.o crtbeginT.o crtend.o crtendS.o; do
  cp "$(gcc -print-file-name=$object)" "$self_contained/"
done
# For the other targets zig links its own; rustc only requires that the files exist. The
# unwinder for musl is zig's copy of LLVM's, because Debian's needs glibc.
zig=$(python3 -c 'import ziglang; print(ziglang.__path__[0])')
for pair in x86_64-unknown-linux-musl:x86_64-linux-musl aarch64-unknown-linux-musl:aarch64-linux-musl \
  i686-unknown-linux-musl:x86-linux-musl armv7-unknown-linux-musleabihf:arm-linux-musleabihf; do
  [ -d "$rustlib/${pair%%:*}" ] || continue
  self_contained=$rustlib/${pair%%:*}/lib/self-contained
  compile=("$zig/zig" cc -target "${pair##*:}" -c)
  if [ ! -d "$self_contained" ]; then
    mkdir "$self_contained"
    for object in crt1 crti crtn rcrt1 Scrt1 crtbegin crtbeginS crtbeginT crtend crtendS; do
      "${compile[@]}" -x c /dev/null -o "$self_contained/$object.o"
    done
    ar rcs "$self_contained/libc.a"
  fi
  for source in libunwind.cpp Unwind-EHABI.cpp UnwindLevel1.c UnwindLevel1-gcc-ext.c UnwindRegisters{Save,Restore}.S; do
    rtti=()
    [[ $source != *.cpp ]] || rtti=(-fno-rtti)
    "${compile[@]}" -O2 -fPIC -funwind-tables -fno-exceptions "${rtti[@]}" -D_LIBUNWIND_IS_NATIVE_ONLY \
      -I"$zig/lib/libunwind/include" "$zig/lib/libunwind/src/$source" -o "$work/unwind-$source.o"
  done
  ar rcs "$self_contained/libunwind.a" "$work"/unwind-*.o
done
rm -rf "$rustlib/src" "$work/root/usr/src"
# Code compiled against another standard library does not link with this one, and Cargo
# does not notice the difference.
if [ "${2-}" != all ]; then
  for target in "${targets[@]}"; do rm -rf "$(dirname "$directory")/../$target"; done
fi
rm -rf "$directory"
mkdir -p "$(dirname "$directory")"
mv "$work/root" "$directory"
