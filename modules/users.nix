# Users and groups. They are fixed in the image: nothing on the board changes them.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  inherit (config.users) users groups;

  ids = types.ints.between 0 65533;
  accountName = types.strMatching "[a-z_][a-z0-9_-]{0,30}";
  # Fields of passwd(5) are separated by colons.
  field = types.strMatching "[^:\n]*";

  # As in authorized_keys, where options may stand before it. A key in base64 begins with the length of the kind's name: AAAA.
  kinds = "ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh[.]com|sk-ecdsa-sha2-nistp256@openssh[.]com";
  publicKey = types.addCheck types.str "that is a public key of ssh in one line (`ssh-ed25519 AAAA… NAME`, as in id_ed25519.pub)"
    (text: lib.match "([^\n\r]+ )?(${kinds}) +AAAA[A-Za-z0-9+/]{16,}={0,3}( [^\n\r]*)?" text != null);

  user = { name, config, ... }: {
    options = {
      name = mkOption { type = accountName; default = name; defaultText = "the attribute's name"; description = "The login name."; };
      uid = mkOption { type = ids; description = "The user's number; 1000 and up for people."; };
      group = mkOption { type = types.str; default = "users"; description = "The primary group."; };
      extraGroups = mkOption { type = types.listOf types.str; default = [ ]; description = "Further groups."; };
      description = mkOption { type = field; default = ""; description = "The full name, or what the account is for."; };
      home = mkOption {
        type = types.strMatching "/[^:\n]*";
        default = "/home/${config.name}";
        defaultText = "/home/NAME";
        description = "The home directory. Those below /home are on the data partition and are made at boot.";
      };
      shell = mkOption {
        type = types.strMatching "/[^:\n]*";
        default = "/bin/nologin";
        example = "/bin/sh";
        description = "The login shell.";
      };
      hashedPassword = mkOption {
        type = types.nullOr (types.strMatching "[$][^:\n]+");
        default = null;
        description = "The password as crypt(5) hashes it (`mkpasswd -m sha512`). Without one, no password works.";
      };
      openssh.authorizedKeys.keys = mkOption {
        type = types.listOf publicKey;
        default = [ ];
        example = [ "ssh-ed25519 AAAA… ada@example" ];
        description = "Public keys that log in as this user over ssh.";
      };
    };
  };

  group = { name, ... }: {
    options = {
      name = mkOption { type = accountName; default = name; defaultText = "the attribute's name"; description = "The group's name."; };
      gid = mkOption { type = ids; description = "The group's number."; };
      members = mkOption { type = types.listOf types.str; default = [ ]; description = "Users in it, beside those who name it."; };
    };
  };

  byNumber = number: set: lib.sort (a: b: a.${number} < b.${number}) (lib.attrValues set);
  gidOf = user: groups.${user.group}.gid or 65534;
  membersOf = group: lib.unique (group.members
    ++ map (user: user.name) (lib.filter (user: lib.elem group.name user.extraGroups) (lib.attrValues users)));

  # Of the things in a set, those whose number an earlier one has.
  repeated = number: set:
    let sorted = byNumber number set;
    in lib.concatLists (lib.genList
      (index:
        let this = lib.elemAt sorted index; next = lib.elemAt sorted (index + 1);
        in lib.optional (this.${number} == next.${number}) "${this.name} and ${next.name} (${toString this.${number}})")
      (lib.max 0 (lib.length sorted - 1)));

  # The files, by name.
  accounts = {
    passwd = lib.concatLines (map
      (user: "${user.name}:x:${toString user.uid}:${toString (gidOf user)}:${user.description}:${user.home}:${user.shell}")
      (byNumber "uid" users));
    group = lib.concatLines (map
      (group: "${group.name}:x:${toString group.gid}:${lib.concatStringsSep "," (membersOf group)}")
      (byNumber "gid" groups));
    # Days and limits are left out: passwords do not expire.
    shadow = lib.concatLines (map
      (user: "${user.name}:${if user.hashedPassword == null then "!" else user.hashedPassword}:::::::")
      (byNumber "uid" users));
  };
in
{
  options.users = {
    users = mkOption { type = types.attrsOf (types.submodule user); default = { }; description = "The users, by name."; };
    groups = mkOption { type = types.attrsOf (types.submodule group); default = { }; description = "The groups, by name."; };
  };

  config = {
    users.users = {
      root = {
        uid = 0;
        group = "root";
        home = "/root";
        description = "System administrator";
        shell = lib.mkDefault "/bin/nologin";
      };
      nobody = { uid = 65533; group = "nogroup"; home = "/var/empty"; description = "Nobody"; };
    };
    users.groups = lib.mapAttrs (_: gid: { inherit gid; }) {
      root = 0;
      tty = 5;
      disk = 6;
      dialout = 20;
      video = 44;
      users = 100;
      nogroup = 65533;
    };

    assertions =
      lib.concatLists (lib.mapAttrsToList
        (name: user: map
          (group: {
            assertion = groups ? ${group};
            message = "users.users.${name} is in group `${group}`, which users.groups does not have.";
          })
          ([ user.group ] ++ user.extraGroups))
        users)
      ++ map (pair: { assertion = false; message = "Two users have the same uid: ${pair}."; }) (repeated "uid" users)
      ++ map (pair: { assertion = false; message = "Two groups have the same gid: ${pair}."; }) (repeated "gid" groups)
      ++ lib.concatLists (lib.mapAttrsToList
        (name: group: map
          (member: {
            assertion = users ? ${member};
            message = "users.groups.${name} has the member `${member}`, which users.users does not have.";
          })
          group.members)
        groups)
      # Texts of several modules are joined: not these. (One that replaces the whole file is let through.)
      ++ lib.mapAttrsToList
        (name: text:
          let given = toString config.environment.etc.${name}.text;
          in {
            assertion = given == text || lib.replaceStrings [ text ] [ "" ] given == given;
            message = "environment.etc.\"${name}\" is made from users.users and users.groups; nothing can be added to it: use them.";
          })
        accounts;

    warnings = lib.concatLists (lib.mapAttrsToList
      (name: user: map
        (key: "users.users.${name} has the key of an example (you@example): put yours in its place, or others can log in, and you cannot.")
        (lib.filter (key: lib.hasSuffix " you@example" key) user.openssh.authorizedKeys.keys))
      users);

    environment.etc = {
      "passwd".text = accounts.passwd;
      "group".text = accounts.group;
      "shadow" = { mode = "0600"; text = accounts.shadow; };
      # Who has another shell does not come in by ssh.
      "shells".text = lib.concatLines (lib.unique ([ "/bin/sh" "/bin/ash" ]
        ++ lib.filter (shell: baseNameOf shell != "nologin") (map (user: user.shell) (byNumber "uid" users))));
    };
  };
}
