//! What has changed in a lock file, for people.

use std::collections::BTreeSet;

use xbuild_flake_ref::civil_date;

use super::{Edge, InputPath, LockFile, show_input_path};

impl LockFile {
    /// What has changed from `old` to `self`, for people.
    #[must_use]
    pub fn diff(&self, old: &Self) -> String {
        let (before, after) = (old.all_inputs(), self.all_inputs());
        let paths: BTreeSet<&InputPath> = before.keys().chain(after.keys()).collect();
        let mut text = String::new();
        for path in paths {
            let shown = show_input_path(path);
            match (before.get(path), after.get(path)) {
                (None, Some(new)) => {
                    text += &format!("• Added input '{shown}':\n    {}\n", self.describe(new));
                }
                (Some(_), None) => text += &format!("• Removed input '{shown}'\n"),
                (Some(old_edge), Some(new)) if !old.same_edge(old_edge, self, new) => {
                    text += &format!(
                        "• Updated input '{shown}':\n    {}\n  → {}\n",
                        old.describe(old_edge),
                        self.describe(new)
                    );
                }
                _ => {}
            }
        }
        text
    }

    fn same_edge(&self, ours: &Edge, other: &Self, theirs: &Edge) -> bool {
        match (ours, theirs) {
            (Edge::Node(ours), Edge::Node(theirs)) => {
                self.locked(*ours).map(|node| &node.locked)
                    == other.locked(*theirs).map(|node| &node.locked)
            }
            (Edge::Follows(ours), Edge::Follows(theirs)) => ours == theirs,
            _ => false,
        }
    }

    fn describe(&self, edge: &Edge) -> String {
        match edge {
            Edge::Follows(path) => format!("follows '{}'", show_input_path(path)),
            Edge::Node(node) => {
                let Some(node) = self.locked(*node) else {
                    return String::new();
                };
                let mut text = format!("'{}'", node.locked.show());
                if let Some(seconds) = node.locked.input.int("lastModified") {
                    let (year, month, day) = civil_date(seconds / 86_400);
                    text += &format!(" ({year:04}-{month:02}-{day:02})");
                }
                text
            }
        }
    }
}
