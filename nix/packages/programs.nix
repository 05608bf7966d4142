# The actions' four programs with their man pages and completions; built without network
# from the crates in Cargo.lock. One build, because they share most crates.
{
  cargo,
  rustPlatform,
  rustc,
  source,
  stdenv,
  version,
}:
let
  manifest = builtins.fromTOML (builtins.readFile ../../Cargo.toml);
  names = [
    "build-wheel"
    "publish"
    "setup-nix"
    "verify-dist"
  ];
  programs = stdenv.mkDerivation {
    pname = "wheel-actions";
    inherit (manifest.workspace.package) version;
    src = source.actions;
    cargoDeps = rustPlatform.importCargoLock { lockFile = ../../Cargo.lock; };

    nativeBuildInputs = [
      cargo
      rustPlatform.cargoSetupHook
      rustc
    ];

    SOURCE_GIT_SHA = version.git;

    dontConfigure = true;
    buildPhase = ''
      runHook preBuild
      export HOME=$TMPDIR CARGO_TARGET_DIR=$PWD/target
      cargo build --release --offline --locked --workspace ${toString (map (name: "--bin ${name}") names)}
      runHook postBuild
    '';

    installPhase = ''
      runHook preInstall
      mkdir -p $out/bin $out/share/man/man1 $out/share/bash-completion/completions
      mkdir -p $out/share/zsh/site-functions $out/share/fish/vendor_completions.d
      for name in ${toString names}; do
        program=$out/bin/$name
        cp target/release/$name $program
        $program --generate man > $out/share/man/man1/$name.1
        $program --generate bash > $out/share/bash-completion/completions/$name
        $program --generate zsh > $out/share/zsh/site-functions/_$name
        $program --generate fish > $out/share/fish/vendor_completions.d/$name.fish
      done
      runHook postInstall
    '';

    doCheck = false;
  };
  only =
    name:
    stdenv.mkDerivation {
      pname = name;
      inherit (programs) version;
      dontUnpack = true;
      dontConfigure = true;
      dontBuild = true;
      installPhase = ''
        runHook preInstall
        mkdir -p $out/bin
        ln -s ${programs}/bin/${name} $out/bin/${name}
        ln -s ${programs}/share $out/share
        runHook postInstall
      '';
      # These are links, so there is nothing to strip or patch.
      dontFixup = true;
      # The program for `nix run`.
      meta.mainProgram = name;
    };
in
builtins.listToAttrs (
  map (name: {
    inherit name;
    value = only name;
  }) names
)
