{ stdenv, source, autotools }:
stdenv.mkDerivation {
  pname = "stress";
  inherit (source "stress") version src;
  outputs = [ "out" "man" ];

  nativeBuildInputs = [ autotools ];
  autoreconf = true;
  # Configure can only find this out by running a program.
  configureFlags = [ "ac_cv_func_malloc_0_nonnull=yes" ];

  meta = {
    description = "Puts load on processors, memory and disks";
    homepage = "https://github.com/resurrecting-open-source-projects/stress";
    license = "GPL-2.0-or-later";
    mainProgram = "stress";
  };
}
