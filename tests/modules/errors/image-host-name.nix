{ networking.hostName = "the camera"; }
