# shellcheck shell=bash disable=SC2034,SC2154
# What nixpkgs's stdenv does, as far as our packages need it. `hostPath` stands
# in the line before. Also sourced by `nix develop`.
export PATH=$hostPath
# As in nixpkgs: a place without a certificate store, a home or a locale.
export HOME=/homeless-shelter LC_ALL=C.UTF-8
# What is built here is only started: the profile `release`, quick to compile.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
postUnpackHooks=()
for input in ${nativeBuildInputs-}; do
  PATH=$input/bin:$PATH
  if [ -f "$input/nix-support/setup-hook" ]; then
    # shellcheck source=/dev/null
    source "$input/nix-support/setup-hook"
  fi
done

runHook() {
  local list="${1}Hooks[@]" hook
  for hook in ${!list-}; do
    "$hook"
  done
  eval "${!1-}"
}

genericBuild() {
  cd "$TMPDIR" || exit
  if [ -z "${dontUnpack-}" ]; then
    # shellcheck disable=SC2154
    if [ -d "$src" ]; then
      cp -r "$src" source
    else
      mkdir source
      tar -xf "$src" -C source --strip-components 1
    fi
    chmod -R u+w source
    runHook postUnpack
    cd source || exit
  fi
  runHook postPatch
  eval "${buildPhase-}"
  eval "${installPhase-}"
}
