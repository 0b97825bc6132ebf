{ system.name = "other"; }
