#!/usr/bin/env bash
# wine.sh DIRECTORY: the Wine of Debian 13 in DIRECTORY/bin, for 64-bit programs without
# windows. Debian 12's cannot start what Rust makes since 1.78, for lack of
# `bcryptprimitives.dll`. Nothing is installed on the machine.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: wine.sh DIRECTORY" >&2; exit 2; }
directory=$1
source=${BASH_SOURCE[0]}
! cmp -s "$source" "$directory/made-by" || exit 0
# shellcheck source=xtask/scripts/trixie.sh
source "$(dirname "$source")/trixie.sh"

rm -rf "$directory"
mkdir -p "$directory/bin"
directory=$(cd "$directory" && pwd)
root=$directory/root
trixie wine64 "$root"
# What only windows, sound and 32-bit programs need is most of it.
find "$root" \( -name 'i386-windows' -o -name 'dri' -o -name 'gstreamer-1.0' \) -type d -prune -exec rm -rf '{}' +
find "$root/usr/lib/x86_64-linux-gnu" \( -name 'libLLVM*' -o -name 'libgallium*' -o -name 'libz3*' \
  -o -name 'libicudata*' -o -name 'libav*' \) -delete
find "$root/usr/share" -mindepth 1 -maxdepth 1 ! -name wine -exec rm -rf '{}' +
rm -rf "${root:?}"/{var,etc}

# Libraries of graphics, documents and old compilers, all of which a new prefix would copy.
windows=$root/usr/lib/x86_64-linux-gnu/wine/x86_64-windows
(cd "$windows" && rm -f d2d1* d3d* ddraw* dx* jscript* mshtml* msi.dll msvcp{60,7,8,9,1[0-2]}* msvcr{7,8,9,1}* \
  msxml* opengl32* quartz* wined3d* windowscodecs* winedbg* wmvcore* ./*.msstyles)
# Where Debian's wineserver looks, seen from itself.
ln -s . "$root/usr/share/wine/wine"

# Wine starts itself again for each program: its files name their own loader and
# libraries, since a variable would reach the machine's programs, too.
libraries=$root/usr/lib/x86_64-linux-gnu
mv "$root/usr/lib/wine/wineserver64" "$root/usr/lib/wine/wineserver"
for program in wine64 wineserver; do
  patchelf --set-interpreter "$libraries/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$libraries" \
    "$root/usr/lib/wine/$program"
done
# Debian's Wine takes zlib from MinGW's directory; the path is as Windows has it.
mingw=Z:$root/usr/x86_64-w64-mingw32/lib
mingw=${mingw//\//\\}
cat >"$directory/bin/wine" <<WRAPPER
#!/bin/sh
# Quiet about what it lacks, and without menus, HTML and .NET.
export WINEPATH='$mingw' WINEPREFIX="\${WINEPREFIX-$directory/prefix}" WINEDEBUG="\${WINEDEBUG--all}"
export WINEDLLOVERRIDES="\${WINEDLLOVERRIDES-mscoree,mshtml,winemenubuilder.exe=}"
exec '$root/usr/lib/wine/wine64' "\$@"
WRAPPER
chmod 755 "$directory/bin/wine"
ln -s "$root/usr/lib/wine/wineserver" "$directory/bin/wineserver"
"$directory/bin/wine" cmd /c ver
WINEPREFIX=$directory/prefix "$directory/bin/wineserver" --wait
cp "$source" "$directory/made-by"
