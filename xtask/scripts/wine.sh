#!/usr/bin/env bash
# wine.sh DIRECTORY: Debian 13's Wine in DIRECTORY/bin, for 64-bit console programs.
# Debian 12's cannot start programs built with Rust 1.78 or later, because it has no
# `bcryptprimitives.dll`. Nothing is installed on the machine.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: wine.sh DIRECTORY" >&2; exit 2; }
directory=$1
# shellcheck source=xtask/scripts/trixie.sh
source "$(dirname "${BASH_SOURCE[0]}")/trixie.sh"

rm -rf "$directory"
mkdir -p "$directory/bin"
directory=$(cd "$directory" && pwd)
root=$directory/root
trixie wine64 "$root"
# Graphics, sound and 32-bit programs make up most of the size, and tests need none.
find "$root" \( -name 'i386-windows' -o -name 'dri' -o -name 'gstreamer-1.0' \) -type d -prune -exec rm -rf '{}' +
find "$root/usr/lib/x86_64-linux-gnu" \( -name 'libLLVM*' -o -name 'libgallium*' -o -name 'libz3*' \
  -o -name 'libicudata*' -o -name 'libav*' \) -delete
find "$root/usr/share" -mindepth 1 -maxdepth 1 ! -name wine -exec rm -rf '{}' +
rm -rf "${root:?}"/{var,etc}

# Libraries for graphics, documents and old compilers, which every new prefix would copy.
windows=$root/usr/lib/x86_64-linux-gnu/wine/x86_64-windows
(cd "$windows" && rm -f d2d1* d3d* ddraw* dx* jscript* mshtml* msi.dll msvcp{60,7,8,9,1[0-2]}* msvcr{7,8,9,1}* \
  msxml* opengl32* quartz* wined3d* windowscodecs* winedbg* wmvcore* ./*.msstyles)
# Debian's wineserver finds its files by this path, relative to itself.
ln -s . "$root/usr/share/wine/wine"

# Wine starts itself again for each program, so its files name their own loader and
# libraries. A variable would also affect the programs of the machine.
libraries=$root/usr/lib/x86_64-linux-gnu
mv "$root/usr/lib/wine/wineserver64" "$root/usr/lib/wine/wineserver"
for program in wine64 wineserver; do
  patchelf --set-interpreter "$libraries/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$libraries" \
    "$root/usr/lib/wine/$program"
done
# Debian's Wine loads zlib from MinGW's directory. WINEPATH takes Windows paths.
mingw=Z:$root/usr/x86_64-w64-mingw32/lib
mingw=${mingw//\//\\}
cat >"$directory/bin/wine" <<WRAPPER
#!/bin/sh
# No messages about missing features; no menus, HTML or .NET.
export WINEPATH='$mingw' WINEPREFIX="\${WINEPREFIX-$directory/prefix}" WINEDEBUG="\${WINEDEBUG--all}"
export WINEDLLOVERRIDES="\${WINEDLLOVERRIDES-mscoree,mshtml,winemenubuilder.exe=}"
exec '$root/usr/lib/wine/wine64' "\$@"
WRAPPER
chmod 755 "$directory/bin/wine"
ln -s "$root/usr/lib/wine/wineserver" "$directory/bin/wineserver"
"$directory/bin/wine" cmd /c ver
WINEPREFIX=$directory/prefix "$directory/bin/wineserver" --wait
