# The layout of a disk, computed: names, sizes and contents go in, offsets, partition numbers and UUIDs come out. Pure values,
# so that `xbuild eval` shows a layout before anything is built, and mistakes are found before anything is built.
let
  MiB = 1048576;

  # GPT partition types (UEFI 2.10, table 5-7; Discoverable Partitions Specification for the root of AArch64).
  types = {
    esp = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
    basic-data = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7";
    linux = "0fc63daf-8483-4772-8e79-3d69d8477de4";
    linux-root-arm64 = "b921b045-1df0-41c3-af44-4c6f280d3fae";
  };

  # The largest image: 8 TiB. The tools that make one write sparse files, of which file systems take no more than some TiB.
  mostMiB = 8388608;

  # What the partition table takes: the first MiB (the table itself needs 34 sectors) and the last (its copy).
  tableMiB = 1;

  # uuid SEED: a UUID of version 8 (RFC 9562, section 5.8) made from the SHA-256 of SEED; the same for everybody, forever.
  uuid = seed:
    let
      hash = builtins.hashString "sha256" "xbuild disk ${seed}";
      part = builtins.substring;
      variant = { "0" = "8"; "1" = "9"; "2" = "a"; "3" = "b"; };
      low = {
        "0" = "0"; "1" = "1"; "2" = "2"; "3" = "3"; "4" = "0"; "5" = "1"; "6" = "2"; "7" = "3";
        "8" = "0"; "9" = "1"; "a" = "2"; "b" = "3"; "c" = "0"; "d" = "1"; "e" = "2"; "f" = "3";
      };
    in
    "${part 0 8 hash}-${part 8 4 hash}-8${part 13 3 hash}-${variant.${low.${part 16 1 hash}}}${part 17 3 hash}-${part 20 12 hash}";

  isUuid = text: builtins.match "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}" text != null;

  show = value: if builtins.isString value then "`${value}'" else builtins.toJSON value;

  # layout { name; partitions; firstMiB; sizeMiB; firmware; uuid; }: see below for what comes out.
  #   name        what the UUIDs are made from; usually the target's
  #   partitions  in the order of their places: { name; size (MiB); type (a name of `types' or a GUID); start (MiB) or null: behind the
  #               one before; uuid or null; bootable: the legacy boot flag; label; content: what is in it, in words }
  #   firstMiB    where the first partition begins
  #   sizeMiB     of the whole disk, or null: as small as it can be
  #   firmware    null or { offset; maxSize; }: bytes kept free for a boot loader
  layout = { name, partitions, firstMiB ? 16, sizeMiB ? null, firmware ? null, uuid ? null }@args:
    let
      fail = message: throw "disk of ${name}: ${message}";

      integer = what: value:
        if !(builtins.isInt value) then fail "${what} is ${show value}, but must be a whole number of MiB"
        else if value < 1 then fail "${what} is ${toString value} MiB, but must be at least 1"
        else if value > mostMiB then fail "${what} is ${toString value} MiB, but an image has at most ${toString mostMiB} (8 TiB); the data partition grows on the board"
        else value;

      checkName = at: part:
        if !(builtins.isString part) || builtins.match "[A-Za-z0-9][A-Za-z0-9_-]*" part == null then
          fail "the name of partition ${toString at} is ${show part}; allowed are letters, digits, `_' and `-'"
        else if builtins.stringLength part > 36 then fail "the partition's name `${part}' is longer than GPT's 36 characters"
        else part;

      checkUuid = what: text:
        if isUuid text then text
        else fail "${what} is ${show text}, but must be a UUID in lower case (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx)";

      place = done: partition:
        let
          number = builtins.length done.list + 1;
          partName = checkName number (partition.name or null);
          size = integer "disk.partitions.${partName}.size" (partition.size or null);
          start = if partition.start or null == null then done.end else integer "disk.partitions.${partName}.start" partition.start;
          type = partition.type or "linux";
        in
        if builtins.any (other: other.name == partName) done.list then fail "two partitions are called `${partName}'"
        else if start < done.end then
          fail "partition `${partName}' begins at ${toString start} MiB, inside ${done.what}, which ends at ${toString done.end} MiB"
        else {
          list = done.list ++ [{
            inherit number size start;
            name = partName;
            type = types.${type} or (
              if isUuid type then type
              else fail "disk.partitions.${partName}.type is ${show type}; there are ${builtins.concatStringsSep ", " (map show (builtins.attrNames types))}, and GUIDs in lower case (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx)"
            );
            uuid =
              if partition.uuid or null == null then makeUuid "${name} ${partName}"
              else checkUuid "disk.partitions.${partName}.uuid" partition.uuid;
            label = if partition.label or null == null then partName else partition.label;
            bootable = partition.bootable or false;
            content = partition.content or "";
          }];
          end = start + size;
          what = "partition `${partName}'";
        };
      makeUuid = (import ./layout.nix).uuid;

      first = integer "disk.firstMiB" firstMiB;
      firmwareEnd = if firmware == null then 0 else firmware.offset + firmware.maxSize;
      placed = builtins.foldl' place { list = [ ]; end = first; what = "the space before the first partition"; } partitions;
      least = placed.end + tableMiB;
      size = if sizeMiB == null then least else integer "disk.size" sizeMiB;
    in
    if partitions == [ ] then fail "there are no partitions"
    else if builtins.length partitions > 128 then fail "${toString (builtins.length partitions)} partitions; GPT has room for 128"
    else if first * MiB < firmwareEnd then
      fail "the boot loader's place ends at ${toString firmwareEnd} bytes, behind the start of the first partition (disk.firstMiB = ${toString first})"
    else if least > mostMiB then fail "the partitions need ${toString least} MiB, but an image has at most ${toString mostMiB} (8 TiB)"
    else if size < least then
      fail "disk.size is ${toString size} MiB, but the partitions and the table need ${toString least} MiB"
    else {
      table = "gpt";
      uuid = if args.uuid or null == null then makeUuid name else checkUuid "disk.uuid" args.uuid;
      inherit size firmware;
      bytes = size * MiB;
      partitions = placed.list;
      byName = builtins.listToAttrs (map (partition: { inherit (partition) name; value = partition; }) placed.list);
    };
in
{ inherit layout uuid types MiB; }
