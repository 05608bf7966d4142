# The files that a package is made from: a change elsewhere builds nothing anew.
root: {
  htty-core = builtins.path {
    name = "htty-core-source";
    path = root + "/htty-core";
  };

  htty = builtins.path {
    name = "htty-source";
    path = root + "/htty";
  };
}
