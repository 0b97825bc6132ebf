{ imports = [ 1 ]; }
