# docs/options.md: every option of an image, from its declaration. A test compares the file with this.
{ lib, options, root }:
let
  documented = lib.optionsDoc { inherit options root; };
  names = lib.attrNames documented;
  groupOf = name: lib.head (lib.splitString "." name);
  groups = lib.unique (map groupOf names);

  # Texts of several lines become one.
  flat = text: lib.concatStringsSep " " (lib.filter (word: word != "") (lib.splitString " " (lib.replaceStrings [ "\n" ] [ " " ] text)));
  code = text: if lib.match ".*`.*" text == null then "`${text}`" else "`` ${text} ``";

  entry = name:
    let
      option = documented.${name};
      facts = [ (code option.type) ]
        ++ lib.optional (option.default != null) "default ${code (flat option.default)}"
        ++ lib.optional (option.example != null) "example ${code (flat option.example)}"
        ++ lib.optional option.readOnly "read-only";
    in
    ''
      - **`${name}`**: ${lib.concatStringsSep "; " facts}.
        ${if option.description == null then throw "the option ${name} has no description" else flat option.description}
        (${lib.concatMapStringsSep ", " (file: "[${file}](../${file})") option.declared})
    '';
in
''
  # Options of images

  What can be set in a module of an image: its name, its type, its default and what it is for. [modules.md](modules.md) says how modules
  work. This file is made from the declarations; `UPDATE=1 cargo test -p xbuild --test modules` writes it.
''
+ lib.concatMapStrings
  (group: "\n## ${group}\n\n" + lib.concatMapStrings entry (lib.filter (name: groupOf name == group) names))
  groups
