# The wheel of htty-core, in $out; built without network from the crates in its
# Cargo.lock.
{
  cargo,
  cargo-zigbuild,
  foreign,
  lib,
  maturin,
  python3,
  rustPlatform,
  rustc,
  source,
  stdenv,
  version,
  zig,

  # The Nix system to build for, if it is not the building one: Linux on x86_64
  # or aarch64, linked by zig.
  targetSystem ? null,
  # Whether the wheel runs on any distribution (linked by zig for glibc 2.17), or
  # only in Nix packages on this system.
  portable ? true,
}:
let
  buildSystem = stdenv.hostPlatform.system;
  system = if targetSystem == null then buildSystem else targetSystem;
  cross = system != buildSystem;
  triples = {
    aarch64-darwin = "aarch64-apple-darwin";
    aarch64-linux = "aarch64-unknown-linux-gnu";
    x86_64-darwin = "x86_64-apple-darwin";
    x86_64-linux = "x86_64-unknown-linux-gnu";
  };
  linux = lib.hasSuffix "-linux" system;
  known = triples ? ${system};
  triple = triples.${system};
  # In the spelling of Cargo's variables.
  shouted = lib.toUpper (builtins.replaceStrings [ "-" ] [ "_" ] triple);
  useZig = linux && (portable || cross);
in
assert lib.assertMsg known
  "htty-core-wheel: targetSystem is ${system}; known are ${toString (builtins.attrNames triples)}";
assert lib.assertMsg (cross -> linux)
  "htty-core-wheel: for targetSystem ${system} there is no linker on ${buildSystem}; build it on a Mac";
stdenv.mkDerivation {
  pname = if cross then "htty-core-wheel-${system}" else "htty-core-wheel";
  inherit (version) version;
  src = source.htty-core;
  cargoDeps = rustPlatform.importCargoLock { lockFile = ../../htty-core/Cargo.lock; };

  nativeBuildInputs = [
    cargo
    maturin
    python3
    rustPlatform.cargoSetupHook
    rustc
  ]
  ++ lib.optionals useZig [
    cargo-zigbuild
    zig
  ];

  SOURCE_GIT_SHA = version.git;

  dontConfigure = true;
  buildPhase = ''
    runHook preBuild
    export HOME=$TMPDIR ZIG_GLOBAL_CACHE_DIR=$TMPDIR/zig CARGO_ZIGBUILD_CACHE_DIR=$TMPDIR/zigbuild
    export CARGO_TARGET_DIR=$PWD/target
    # nixpkgs' Python sets this for the building machine; maturin would use it for
    # the tag of a cross wheel.
    unset _PYTHON_HOST_PLATFORM
  ''
  + lib.optionalString cross ''
    # The compiler with the other system's standard library, of the same version.
    sysroot=$PWD/sysroot/lib/rustlib
    mkdir -p "$sysroot"
    ln -s ${foreign.${system}.rustc.unwrapped}/lib/rustlib/${triple} "$sysroot/${triple}"
    export CARGO_TARGET_${shouted}_RUSTFLAGS="--sysroot=$PWD/sysroot"
  ''
  + ''
    maturin build --profile release --offline --locked --out dist \
      --target ${triple} ${lib.optionalString useZig "--zig"} \
      --compatibility ${
        if !linux then
          "pypi"
        else if useZig then
          "manylinux2014"
        else
          "linux"
      }
    runHook postBuild
  '';

  installPhase = ''
    runHook preInstall
    mkdir -p $out
    cp dist/*.whl $out/
    runHook postInstall
  '';

  # Not needed: the wheel is an archive, which build-wheel repairs.
  dontFixup = true;
  doCheck = false;
}
