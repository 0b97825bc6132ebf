# Options as data, for documents: name → { type, description, default, example, declared, readOnly }; texts, or null.
{ collections, show }:
let
  inherit (builtins) attrNames concatMap listToAttrs;
  inherit (collections) hasPrefix;

  entry = strip: option: {
    type = option.type.name;
    description = option.description or null;
    default =
      if option ? defaultText then option.defaultText
      else if option ? default then show.expression option.default
      else null;
    example = if option.example or null == null then null else show.expression option.example;
    declared = map strip option.declared;
    readOnly = option.readOnly or false;
  };

  walk = strip: options:
    if options.isOption or false == true then
      if options.internal or false then [ ]
      else
        [ { name = show.name options.path; value = entry strip options; } ]
        ++ (if options.type ? nested then walk strip (options.type.nested options.path) else [ ])
    else concatMap (name: walk strip options.${name}) (attrNames options);
in
{
  # optionsDoc { options, root }: `root` is a directory that the places of declarations are shown relative to.
  optionsDoc = { options, root ? null }:
    let
      prefix = "${toString root}/";
      # The line numbers change too often to stand in a document.
      withoutLine = place: let found = builtins.match "(.*):[0-9]+" place; in if found == null then place else builtins.head found;
      strip = place:
        let file = withoutLine place;
        in if root != null && hasPrefix prefix file then builtins.substring (builtins.stringLength prefix) (-1) file else file;
    in
    listToAttrs (walk strip options);
}
