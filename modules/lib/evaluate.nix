# The evaluation of modules: loads them, joins what they declare and define, and gives each option its value, all of it only
# as far as it is asked for.
#
# A *declaration* is an option as a module declares it; a *definition* is what a module sets it to:
#   { file; value; set, attribute (where in a set it stands, for messages); priority, order (once unwrapped) }
{ lib, collections, show, definitions }:
let
  inherit (builtins)
    all any attrNames attrValues concatMap concatStringsSep elemAt filter foldl' functionArgs genList head isAttrs
    isBool isFunction isPath isString length map mapAttrs partition removeAttrs sort substring tail zipAttrsWith;
  inherit (collections) hasSuffix imap0 last min optional unique;
  inherit (definitions) plainOrder priorities;

  lines = concatStringsSep "\n";

  # --- loading ----------------------------------------------------------------------------------------------------------

  fileOf = path: let text = toString path; in if hasSuffix ".nix" text then text else "${text}/default.nix";

  isFile = module: isPath module || isString module && substring 0 1 module == "/";

  # What modules are said to be in that stand in the list itself.
  topFile = "the list of modules";

  # The body of a module, from what stands in a list of modules.
  bodyOf = arguments: file: module:
    if isFunction module || isAttrs module && module ? __functor then
      let
        missing = filter (name: !(functionArgs module).${name} && !(arguments ? ${name})) (attrNames (functionArgs module));
      in
      if isFunction module && missing != [ ] then
        throw (lines [
          "${if file == topFile then "A module in ${file}" else "The module ${file}"} asks for `${head missing}`, which modules do not get."
          "  in ${show.place { inherit file; set = functionArgs module; attribute = head missing; }}"
          "  there are: ${concatStringsSep ", " (attrNames arguments)}"
        ])
      else bodyOf arguments file (module arguments)
    else if isAttrs module then module
    else throw (lines [
      "A module must be a set, a function to one, or the path of a file that holds either; this is ${show.value module}."
      "  in ${file}"
    ]);

  # A module in its parts: { file, imports, options, config }.
  partsOf = file: body:
    let
      own = { file = body._file or file; imports = body.imports or [ ]; };
      more = attrNames (removeAttrs body [ "_file" "imports" "options" "config" ]);
    in
    if body ? _type then { inherit file; imports = [ ]; options = { }; config = body; }
    else if body ? options || body ? config then
      if more != [ ] then
        throw (lines [
          "The module has `${if body ? options then "options" else "config"}`, so `${head more}` cannot stand beside it."
          "  in ${show.place { inherit file; set = body; attribute = head more; }}"
          "Move it into `config`: `config.${head more} = …;`."
        ])
      else own // { options = body.options or { }; config = body.config or { }; }
    else own // { options = { }; config = removeAttrs body [ "_file" "imports" ]; };

  # All modules that these lead to, each once; what a module imports comes before it.
  load = arguments: parent: modules: done:
    foldl'
      (done: entry:
        let
          inherit (entry) module;
          file = if isFile module then fileOf module else parent.file;
          key = if isFile module then file else "${parent.key}, ${toString entry.index}";
          parts = partsOf file (bodyOf arguments file (if isFile module then import module else module));
          within = load arguments { inherit key; inherit (parts) file; } parts.imports (done // { seen = done.seen // { ${key} = true; }; });
        in
        if done.seen ? ${key} then done else within // { found = within.found ++ [ parts ]; })
      done
      (imap0 (index: module: { inherit index module; }) (
        if builtins.isList modules then modules
        else throw "`imports` must be a list of modules; it is ${show.value modules}.\n  in ${parent.file}"
      ));

  # --- definitions ------------------------------------------------------------------------------------------------------

  # What a definition of a set of options says of each name below: a list of sets, name → definition. Wrappers move inwards,
  # unread: a condition is only needed once the value of an option below it is.
  spread = path: def:
    let
      inherit (def) value;
      inner = content: spread path (def // { value = content; });
      rewrap = map (mapAttrs (_: below: below // { value = value // { content = below.value; }; }));
      type = if isAttrs value then value._type or null else null;
    in
    if !isAttrs value || value.type or null == "derivation" then
      throw (lines [
        (if path == [ ] then "The configuration of a module must be a set; this is ${show.value value}."
        else "`${show.name path}` is a set of options, but it is defined as ${show.value value}.")
        "  in ${show.place def}"
      ])
    else if type == null then
      [ (mapAttrs (attribute: below: { inherit (def) file; inherit attribute; value = below; set = value; }) value) ]
    else if type == "merge" then concatMap inner value.contents
    else if type == "if" || type == "override" || type == "order" then rewrap (inner value.content)
    else throw "`${show.name path}` is defined as ${show.value value}.\n  in ${show.place def}";

  # The definitions that hold, without their wrappers. What has a priority is left as it is, with `wrapped` set: nobody looks
  # into a definition that a stronger one replaces.
  unwrap = path: def:
    let
      inherit (def) value;
      inner = content: unwrap path (def // { value = content; });
      type = if isAttrs value then value._type or null else null;
    in
    if type == null then [ def ]
    else if type == "if" then
      if !isBool value.condition then
        throw (lines [
          "The condition of `mkIf` must be true or false; it is ${show.value value.condition}."
          "  in the definition of `${show.name path}`, ${show.place def}"
        ])
      else if value.condition then inner value.content else [ ]
    else if type == "merge" then concatMap inner value.contents
    else if type == "override" then [ (def // { inherit (value) priority; value = value.content; wrapped = true; }) ]
    else if type == "order" then map (found: { inherit (value) order; } // found) (inner value.content)
    else [ def ];

  # The same, with nothing wrapped any more; of nested priorities the outer one counts.
  unwrapAll = path: def:
    concatMap (found: if found ? wrapped then unwrapAll path found else [ found ]) (unwrap path (removeAttrs def [ "wrapped" ]));

  # Of definitions from `unwrap`, those of the first priority that has any.
  strongest = path: defs:
    let
      priorityOf = def: def.priority or priorities.plain;
      first = foldl' (least: def: min least (priorityOf def)) (priorityOf (head defs)) defs;
      parts = partition (def: priorityOf def == first) defs;
      found = concatMap (def: if def ? wrapped then unwrapAll path def else [ def ]) parts.right;
    in
    if defs == [ ] then [ ]
    else if any (def: def ? priority) defs then (if found != [ ] then found else strongest path parts.wrong)
    else defs;

  # The definitions that count: those of the first priority, in order.
  effectiveOf = path: unwrapped:
    let
      kept = strongest path unwrapped;
      orderOf = def: def.order or plainOrder;
    in
    if any (def: def ? order) kept then sort (a: b: orderOf a < orderOf b) kept else kept;
  effective = path: defs: effectiveOf path (concatMap (unwrap path) defs);

  shown = def: "  ${show.value def.value}, in ${show.place def}";

  conflict = path: defs:
    throw (lines (
      [ "The option `${show.name path}` has ${toString (length defs)} definitions that cannot be joined:" ]
      ++ map shown defs
      ++ [ "Remove all but one, or let one win: `lib.mkForce` makes a definition stronger, `lib.mkDefault` weaker." ]
    ));

  # The value of definitions that count.
  mergeElement = type: path: defs:
    if all (def: type.check def.value) defs then type.merge path defs
    else
      throw (lines (
        [ "The option `${show.name path}` must be ${type.one}, but is defined otherwise:" ]
        ++ map shown (filter (def: !type.check def.value) defs)
      ));

  # A list of the value, or the empty list if no definition holds.
  mergeOptional = type: path: defs:
    let found = effective path defs;
    in if found == [ ] then [ ] else [ (mergeElement type path found) ];

  # --- options ----------------------------------------------------------------------------------------------------------

  # One declaration from all of an option's.
  joinDeclarations = path: declared:
    foldl'
      (one: other:
        let type = if one.value.type ? extend && other.value.type.name == one.value.type.name then one.value.type.extend other.value.type else null;
        in
        if type == null then
          throw (lines [
            "The option `${show.name path}` is declared twice:"
            "  in ${show.place one}"
            "  in ${show.place other}"
          ])
        else one // { value = other.value // one.value // { inherit type; }; })
      (head declared)
      (tail declared);

  # What is known of an option: the declaration, and `value`, `isDefined`, `definitions`, `declared`, `path`.
  option = path: declared: defs:
    let
      declaration = joinDeclarations path declared;
      inherit (declaration.value) type;
      explicit = concatMap (unwrap path) defs;
      found = effectiveOf path (if declaration.value ? default then explicit ++ [ default ] else explicit);
      default = {
        value = declaration.value.default;
        priority = priorities.optionDefault;
        wrapped = true;
        inherit (declaration) file;
        set = declaration.value;
        attribute = "default";
      };
      value =
        if declaration.value.readOnly or false && length explicit > 1 then
          throw (lines ([ "The option `${show.name path}` is read-only, but is set ${toString (length explicit)} times:" ] ++ map shown explicit))
        else if found != [ ] then mergeElement type path found
        else if type ? empty then type.empty path
        else
          throw (lines [
            "The option `${show.name path}` is used but has no value."
            "  declared in ${show.place declaration}"
            "Define it: `${show.name path} = …;` (${type.one})."
          ]);
    in
    declaration.value // {
      inherit path;
      declared = map show.place declared;
      definitions = found;
      isDefined = found != [ ] || type ? empty;
      value = if declaration.value ? apply then declaration.value.apply value else value;
      # For the search of names.
      isOption = true;
    };

  isOption = value: isAttrs value && value._type or null == "option";

  # The tree at a path: { config, options, unknown }; `unknown` lists the definitions of what nobody declared.
  tree = path: declared: defs:
    let
      declaredBelow = zipAttrsWith (_: found: found) (map
        (entry: mapAttrs (attribute: value: { inherit (entry) file; inherit value attribute; set = entry.value; })
          (if isAttrs entry.value && !show.isType entry.value && !(entry.value ? _type) then entry.value
          else throw (lines (
            [
              "`options${if path == [ ] then "" else ".${show.name path}"}` must be a declaration (`lib.mkOption { … }`) or a set of them; it is ${show.value entry.value}."
              "  in ${show.place entry}"
            ]
            ++ optional (show.isType entry.value) "Write `lib.mkOption { type = lib.types.${entry.value.name}; }`."
          ))))
        declared);
      definedBelow = zipAttrsWith (_: found: found) (concatMap (spread path) defs);
      nodes = mapAttrs
        (name: found:
          let
            here = path ++ [ name ];
            kinds = partition (entry: isOption entry.value) found;
            described = option here kinds.right (definedBelow.${name} or [ ]);
          in
          if kinds.right == [ ] then tree here found (definedBelow.${name} or [ ])
          else if kinds.wrong != [ ] then
            throw (lines [
              "`${show.name here}` is declared as an option and as a set of options:"
              "  in ${show.place (head kinds.right)}"
              "  in ${show.place (head kinds.wrong)}"
            ])
          else { config = described.value; options = described; unknown = [ ]; })
        declaredBelow;
    in
    {
      config = mapAttrs (_: node: node.config) nodes;
      options = mapAttrs (_: node: node.options) nodes;
      unknown = concatMap
        (name: map (def: { path = path ++ [ name ]; inherit def; siblings = attrNames declaredBelow; }) definedBelow.${name})
        (attrNames (removeAttrs definedBelow (attrNames declaredBelow)))
      ++ concatMap (node: node.unknown) (attrValues nodes);
    };

  # The paths of all options of a tree.
  pathsOf = path: options:
    if options.isOption or false == true then [ path ]
    else concatMap (name: pathsOf (path ++ [ name ]) options.${name}) (attrNames options);

  # The message for a definition of something that nobody declared.
  unknownOption = prefix: options: { path, def, siblings }:
    let
      wanted = last path;
      parent = genList (elemAt path) (length path - 1);
      beside = map (name: parent ++ [ name ]) (show.near wanted siblings);
      # The same name elsewhere, or a name that is near to the whole.
      elsewhere = filter (found: last found == wanted) (pathsOf prefix options);
      suggestions = genList (elemAt (beside ++ elsewhere)) (min 3 (length (beside ++ elsewhere)));
    in
    lines (
      [ "The option `${show.name path}` does not exist." "  defined in ${show.place def}" ]
      ++ optional (suggestions != [ ]) "Did you mean ${show.alternatives "or" (map (found: "`${show.name found}`") suggestions)}?"
      ++ optional (suggestions == [ ] && parent != [ ] && siblings != [ ])
        "There are, below `${show.name parent}`: ${concatStringsSep ", " siblings}."
    );

  # --- all together -----------------------------------------------------------------------------------------------------

  # `defs` are definitions from elsewhere: of a submodule.
  evaluate = { modules, specialArgs ? { }, prefix ? [ ], defs ? [ ] }:
    let
      # A definition of a submodule is the set of its values, or a module.
      given = partition (def: isAttrs def.value) defs;
      arguments = { inherit lib; inherit (result) config options; } // specialArgs;
      loaded = (foldl'
        (done: def: load arguments { inherit (def) file; key = show.place def; } [ def.value ] done)
        (load arguments { file = topFile; key = ""; } modules { seen = { }; found = [ ]; })
        given.wrong).found;
      result = tree prefix
        (map (module: { inherit (module) file; value = module.options; }) loaded)
        (map (module: { inherit (module) file; value = module.config; }) loaded ++ given.right);
    in
    {
      inherit (result) options;
      config =
        if result.unknown == [ ] then result.config
        else throw (concatStringsSep "\n\n" (unique (map (unknownOption prefix result.options) result.unknown)));
    };
in
{
  inherit evaluate mergeElement mergeOptional conflict;

  # evalModules { modules, specialArgs } = { config, options }: the values of the options that the modules declare. Every
  # module that is a function gets `{ lib, config, options }` and the attributes of `specialArgs`.
  evalModules = { modules, specialArgs ? { }, prefix ? [ ] }: evaluate { inherit modules specialArgs prefix; };
}
