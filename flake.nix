{
  description = "htty: a headless terminal for Python, and the actions that release it";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";
    # The last nixpkgs with x86_64-darwin, for users of Intel Macs; no workflow
    # uses it. It is supported until the end of 2026: `.github/scan.sh support`
    # fails after that.
    nixpkgs-intel-mac.url = "github:NixOS/nixpkgs/nixpkgs-26.05-darwin";
  };

  outputs =
    {
      self,
      nixpkgs,
      nixpkgs-intel-mac,
    }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      version = import ./nix/lib/version.nix { rev = self.rev or self.dirtyRev or null; };
      each = nixpkgs.lib.genAttrs systems (
        system:
        let
          # nixpkgs has rejected x86_64-darwin since 26.11.
          inherit (if system == "x86_64-darwin" then nixpkgs-intel-mac else nixpkgs) legacyPackages;
          pkgs = legacyPackages.${system};
          built = import ./nix/packages {
            inherit pkgs version;
            root = ./.;
            foreign = nixpkgs.legacyPackages;
          };
        in
        {
          packages = built.public;
          apps = import ./nix/apps.nix {
            inherit pkgs;
            inherit (built) python;
          };
          devShells = import ./nix/devshells {
            inherit pkgs;
            inherit (built) python;
            packages = built.public;
          };
          formatter = import ./nix/formatter.nix { inherit pkgs; };
        }
      );
      select = name: builtins.mapAttrs (_: outputs: outputs.${name}) each;
    in
    {
      lib.version = version;
      packages = select "packages";
      apps = select "apps";
      devShells = select "devShells";
      formatter = select "formatter";
      # All packages and shells, so that `nix flake check` builds them.
      checks = builtins.mapAttrs (
        _: outputs: removeAttrs outputs.packages [ "default" ] // outputs.devShells
      ) each;
    };
}
