{ hostName = "one"; }
