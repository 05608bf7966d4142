# The machine's Python, and packages made with it.
{
  lib,
  machine,
  mkDerivation,
  system,
}:
let
  # A package of the machine's Python needs nothing beside it.
  ofMachine = [
    "hatchling"
    "jsonschema"
    "markdown-it-py"
    "packaging"
    "pdoc"
    "pip"
    "pypiserver"
    "pytest"
    "pyyaml"
    "tomlkit"
  ];
  paths = packages: builtins.concatMap (package: package.pythonPath or [ ]) packages;
  site = package: "${package}/${machine.sitePackages}";
  # A directory of programs that see `packages`.
  environment =
    pname: packages: programs:
    mkDerivation {
      inherit pname;
      version = "0";
      dontUnpack = true;
      installPhase = ''
        mkdir -p $out/bin
        wrap() {
          printf '#!%s\nPYTHONPATH=%s PATH=%s:$PATH exec %s "$@"\n' '${machine.bash}' \
            '${builtins.concatStringsSep ":" (map site (paths packages))}' \
            '${builtins.concatStringsSep ":" (map (package: "${package}/bin") (paths packages))}' \
            "$2" > "$out/bin/$1"
          chmod 755 "$out/bin/$1"
        }
        ${programs}
      '';
    };
  python = {
    interpreter = machine.python;
    withPackages =
      select:
      let
        packages = select python.pkgs;
      in
      environment "python3-env" packages ''
        wrap python ${machine.python}
        wrap python3 ${machine.python}
        for module in ${toString (map (package: package.module or "") packages)}; do
          wrap $module "${machine.python} -m $module"
        done
        for program in ${
          builtins.concatStringsSep " " (map (package: "${package}/bin/*") (paths packages))
        }; do
          [ -f "$program" ] && wrap "$(basename "$program")" "$program"
        done
      '';
    pkgs =
      lib.genAttrs ofMachine (module: {
        inherit module;
        type = "of the machine";
      })
      // {
        buildPythonPackage =
          attrs:
          let
            dependencies = attrs.dependencies or [ ];
            package = mkDerivation (
              {
                installPhase = "${machine.python} -m pip install --no-index --no-deps --no-build-isolation --no-compile --prefix $out .";
              }
              // removeAttrs attrs [
                "build-system"
                "dependencies"
                "nativeBuildInputs"
                "pyproject"
                "pythonImportsCheck"
              ]
            );
          in
          package // { pythonPath = [ package ] ++ paths dependencies; };
        toPythonApplication =
          package:
          environment "${package.pname or "application"}-application" [ package ] ''
            for program in ${package}/bin/*; do
              wrap "$(basename "$program")" "$program"
            done
          '';
      };
  };
in
python // { inherit system; }
