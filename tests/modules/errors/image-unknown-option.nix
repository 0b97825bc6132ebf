{ networking.hostname = "camera"; }
