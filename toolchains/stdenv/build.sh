# The builder of mkDerivation: everything is in setup.sh, so that a person can source it too.
source "$setup"
genericBuild
