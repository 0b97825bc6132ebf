{ boot.kernelParams = [ "x\ny" ]; }
