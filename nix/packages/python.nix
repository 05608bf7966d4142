# The two packages for Nix's Python.
{
  htty-core-wheel,
  htty-sdist,
  python3,
  source,
  version,
}:
let
  python = python3.pkgs;
  # From a directory with exactly one distribution.
  fromWheel =
    pname: wheel:
    python.buildPythonPackage {
      inherit pname;
      inherit (version) version;
      format = "other";
      dontUnpack = true;
      nativeBuildInputs = [ python.pip ];
      installPhase = ''
        runHook preInstall
        ${python3.interpreter} -m pip install --no-index --no-deps --no-cache-dir --no-compile \
          --prefix $out ${wheel}/*.whl
        runHook postInstall
      '';
    };
  htty =
    src: htty-core:
    python.buildPythonPackage {
      pname = "htty";
      inherit (version) version;
      inherit src;
      pyproject = true;
      build-system = [ python.hatchling ];
      dependencies = [ htty-core ];
      pythonImportsCheck = [ "htty" ];
    };
in
rec {
  # For Nix: linked like other Nix programs.
  htty-core = fromWheel "htty-core" (htty-core-wheel {
    portable = false;
  });
  # The published wheel itself.
  htty-core-portable = fromWheel "htty-core" (htty-core-wheel { });
  htty-module = htty source.htty htty-core;
  htty-from-sdist = htty "${htty-sdist}/htty-${version.version}.tar.gz" htty-core;
  htty-from-wheel = htty source.htty htty-core-portable;
}
