//! Writing lock files.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use xbuild_flake_ref::{FINAL, attrs_to_json};

use super::{Edge, LockFile, NodeId};

impl LockFile {
    /// As JSON, and the key of each node in it.
    #[must_use]
    pub fn to_json(&self) -> (Value, BTreeMap<NodeId, String>) {
        let mut nodes = BTreeMap::new();
        let mut keys = BTreeMap::new();
        let root = self.dump(
            "root",
            Self::ROOT,
            &mut keys,
            &mut BTreeSet::new(),
            &mut nodes,
        );
        let nodes: Map<String, Value> = nodes.into_iter().collect();
        let mut json = Map::new();
        json.insert("nodes".to_owned(), Value::Object(nodes));
        json.insert("root".to_owned(), Value::from(root));
        json.insert("version".to_owned(), Value::from(7));
        (Value::Object(json), keys)
    }

    fn dump(
        &self,
        name: &str,
        id: NodeId,
        keys: &mut BTreeMap<NodeId, String>,
        taken: &mut BTreeSet<String>,
        nodes: &mut BTreeMap<String, Value>,
    ) -> String {
        if let Some(key) = keys.get(&id) {
            return key.clone();
        }
        let mut key = name.to_owned();
        let mut number = 2;
        while !taken.insert(key.clone()) {
            key = format!("{name}_{number}");
            number += 1;
        }
        keys.insert(id, key.clone());
        let node = &self.nodes[id.0];
        // In the order of their names.
        let mut json = Map::new();
        if let Some(locked) = &node.locked
            && !locked.is_flake
        {
            json.insert("flake".to_owned(), Value::from(false));
        }
        if !node.inputs.is_empty() {
            let mut inputs = Map::new();
            for (name, edge) in &node.inputs {
                let target = match edge {
                    Edge::Node(child) => Value::from(self.dump(name, *child, keys, taken, nodes)),
                    Edge::Follows(path) => Value::from(path.clone()),
                };
                inputs.insert(name.clone(), target);
            }
            json.insert("inputs".to_owned(), Value::Object(inputs));
        }
        if let Some(locked) = &node.locked {
            let mut attrs = locked.locked.to_attrs();
            attrs.remove(FINAL);
            json.insert("locked".to_owned(), attrs_to_json(&attrs));
            let original = attrs_to_json(&locked.original.to_attrs());
            json.insert("original".to_owned(), original);
            if let Some(parent) = &locked.parent {
                json.insert("parent".to_owned(), Value::from(parent.clone()));
            }
        }
        nodes.insert(key.clone(), Value::Object(json));
        key
    }

    /// The file's contents, without the line end at its end.
    #[must_use]
    pub fn to_text(&self) -> String {
        pretty(&self.to_json().0)
    }

    /// Whether both are written the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.to_json().0 == other.to_json().0
    }
}

/// JSON with an indentation of two blanks, as lock files have it.
#[must_use]
fn pretty(json: &Value) -> String {
    serde_json::to_string_pretty(json).unwrap_or_default()
}
