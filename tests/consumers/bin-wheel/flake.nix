{
  description = "A Rust program in a wheel";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";
    # The last nixpkgs with x86_64-darwin, for people on Intel Macs until the end
    # of 2026; the release builds that wheel without Nix.
    nixpkgs-intel-mac.url = "github:NixOS/nixpkgs/nixpkgs-26.05-darwin";
  };

  outputs =
    { nixpkgs, nixpkgs-intel-mac, ... }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
    in
    {
      packages = nixpkgs.lib.genAttrs systems (
        system:
        let
          # nixpkgs throws for x86_64-darwin since 26.11.
          inherit (if system == "x86_64-darwin" then nixpkgs-intel-mac else nixpkgs) legacyPackages;
          pkgs = legacyPackages.${system};
        in
        {
          # The wheel as Nix links it: build-wheel takes the store out of it.
          wheel = pkgs.stdenv.mkDerivation {
            pname = "sample-bin-wheel";
            version = "0.1.0";
            src = ./.;
            cargoDeps = pkgs.rustPlatform.importCargoLock { lockFile = ./Cargo.lock; };
            nativeBuildInputs = [
              pkgs.cargo
              pkgs.maturin
              pkgs.python3
              pkgs.rustPlatform.cargoSetupHook
              pkgs.rustc
            ];
            dontConfigure = true;
            buildPhase = ''
              runHook preBuild
              export HOME=$TMPDIR
              # Set by nixpkgs' Python; maturin would take the wheel's tag from it.
              unset _PYTHON_HOST_PLATFORM
              maturin build --release --offline --locked --compatibility linux --out dist
              runHook postBuild
            '';
            # Exactly one wheel in the output is what build-wheel asks for.
            installPhase = ''
              runHook preInstall
              mkdir -p $out
              cp dist/*.whl $out/
              runHook postInstall
            '';
            dontFixup = true;
            doCheck = false;
          };
        }
      );
    };
}
