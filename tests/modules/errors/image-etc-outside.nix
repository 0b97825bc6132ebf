{ environment.etc."../x".text = ""; }
