//! The value of a locked flake: its outputs, called with its inputs, which are fetched when they are used.

use xbuild_eval::attrs::AttrsBuilder;
use xbuild_eval::builtins::fetch_tree::FETCH_FINAL_TREE;
use xbuild_eval::flakes::FlakeLoader;
use xbuild_eval::{EvalError, Evaluator, Pos, Result, Value};
use xbuild_flake_ref::{FlakeRef, ParseOptions};
use xbuild_store_model::StorePath;

use crate::flake_nix::{error, ref_error};
use crate::flakes::Flakes;
use crate::lock::{LockFlags, LockedFlake};
use crate::lock_file::LockFile;
use crate::place::tree_root;

/// Takes the nodes of a lock file, the key of the root, what is known of nodes that were fetched (`sourceInfo`, `dir`), and the
/// function that fetches others.
const CALL: &str = r#"
nodes: root: fetched: fetch:
let
  # An input is the key of a node, or a path of inputs from the root.
  follow = builtins.foldl' (key: name: target nodes.${key}.inputs.${name}) root;
  target = input: if builtins.isList input then follow input else input;

  flakes = builtins.mapAttrs flakeOf nodes;

  flakeOf = key: node:
    let
      locked = node.locked or { };
      known = fetched.${key} or null;
      within =
        if known == null && locked.type or "" == "path" && builtins.substring 0 1 locked.path != "/"
        then flakes.${follow node.parent}
        else null;
      below = dir: tree: if dir == "" then tree else "${tree}/${dir}";

      sourceInfo =
        if known != null then known.sourceInfo
        else if within != null then within.sourceInfo
        else fetch (node.info or { } // builtins.removeAttrs locked [ "dir" ]);
      outPath =
        if within != null then below locked.path within.outPath
        else below (if known != null then known.dir else locked.dir or "") sourceInfo.outPath;

      inputs = builtins.mapAttrs (_: input: flakes.${target input}.value) (node.inputs or { });
      file = import "${outPath}/flake.nix";
      outputs = file.outputs (inputs // { self = flake; });
      flake = outputs // sourceInfo // {
        _type = "flake";
        inherit inputs outPath outputs sourceInfo;
      };
    in
    {
      inherit outPath sourceInfo;
      value =
        if !(node.flake or true) then sourceInfo // { inherit outPath sourceInfo; }
        else assert builtins.isFunction file.outputs; flake;
    };
in
flakes.${root}.value
"#;

impl Flakes {
    /// The value of a flake (`builtins.getFlake`).
    ///
    /// # Errors
    /// If it cannot be evaluated as far as to see that it is a flake.
    pub fn call(&self, ev: &mut Evaluator, locked: &LockedFlake) -> Result<Value> {
        let (json, keys) = locked.lock_file.to_json();
        let text = json.to_string();
        let from_json = ev.eval_internal("«flakes-internal»/lock.nix", "builtins.fromJSON")?;
        let text = ev.string(text.as_bytes());
        let lock = ev.call(from_json, &[text], Pos::NONE)?;
        let lock = ev.force_attrs(lock, Pos::NONE, "while reading a lock file")?;
        let (nodes, root) = (ev.intern(b"nodes"), ev.intern(b"root"));
        let (Some(nodes), Some(root)) = (lock.value(nodes), lock.value(root)) else {
            return Err(error("a lock file has no nodes"));
        };
        let mut fetched = AttrsBuilder::new();
        for (node, dir) in &locked.node_dirs {
            let Some(key) = keys.get(node) else {
                continue;
            };
            let tree = tree_root(dir);
            let path = StorePath::parse(&tree.to_string_lossy())
                .map_err(|failed| error(failed.to_string()))?;
            let input = match locked.lock_file.locked(*node) {
                Some(node) => &node.locked.input,
                None => &locked.flake.locked.input,
            };
            let dirty = *node == LockFile::ROOT && locked.flake.force_dirty;
            let source_info = ev.tree_value(&path, input, false, dirty);
            let below = dir.strip_prefix(&tree).unwrap_or(dir);
            let below = ev.string(below.as_os_str().as_encoded_bytes());
            let mut known = AttrsBuilder::new();
            known.insert(ev.intern(b"sourceInfo"), source_info, Pos::NONE);
            known.insert(ev.intern(b"dir"), below, Pos::NONE);
            let known = ev.attrs(known);
            fetched.insert(ev.intern(key.as_bytes()), known, Pos::NONE);
        }
        let fetched = ev.attrs(fetched);
        let call = ev.eval_internal("«flakes-internal»/call-flake.nix", CALL)?;
        let fetch = Value::from(&FETCH_FINAL_TREE);
        ev.call(call, &[nodes, root, fetched, fetch], Pos::NONE)
    }
}

impl FlakeLoader for Flakes {
    fn get_flake(&self, ev: &mut Evaluator, reference: &str, pos: Pos) -> Result<Value> {
        let options = ParseOptions {
            allow_missing: true,
            ..ParseOptions::default()
        };
        let parsed = FlakeRef::parse(reference, options, &mut |_| {})
            .map_err(|failed| ref_error(&failed))?;
        let pure = ev.settings.pure;
        if pure && !parsed.input.is_locked() {
            return Err(EvalError::new(
                Pos::NONE,
                format!(
                    "cannot call 'getFlake' on unlocked flake reference '{reference}', at {} (use --impure to override)",
                    ev.show_position(pos)
                ),
            ));
        }
        let flags = LockFlags {
            update: false,
            write: false,
            use_registries: Some(!pure && self.options.use_registries),
            allow_unlocked: !pure,
            ..LockFlags::default()
        };
        let locked = self.lock(ev, &parsed, &flags)?;
        self.call(ev, &locked)
    }
}
