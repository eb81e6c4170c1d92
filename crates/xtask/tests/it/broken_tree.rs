//! A small tidy workspace in a folder of its own, with the means to break it.

use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ARCHITECTURE: &str = "# Small

<!-- rooms -->
| room | may import | what |
|---|---|---|
| `call` | audio, language, model | one call |
| `model` | | nouns |
| `store` | model | SQL |
<!-- /rooms -->
";

/// Three rooms under `tree/`, and beside them in `vendor/` crates that bear the names of real ones, so that cargo needs
/// no network.
pub(crate) struct BrokenTree {
    _folder: TempDir,
    root: PathBuf,
}

impl BrokenTree {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut tree = Self { root: folder.path().join("tree"), _folder: folder };
        let workspace = "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n\n[workspace.lints.rust]\n";
        tree.write("Cargo.toml", &format!("{workspace}unsafe_code = \"forbid\"\n"));
        tree.write("ARCHITECTURE.md", ARCHITECTURE);
        tree.write("migrations/0001_first.up.sql", "select 1;\n");
        tree.write("migrations/0001_first.down.sql", "select 1;\n");
        for room in ["call", "model", "store"] {
            tree.add_room(room, room);
        }
        for (name, dependencies) in [("tokio", ""), ("axum", ""), ("innocent", "tokio = { path = \"../tokio\" }\n")] {
            tree.write(
                &format!("../vendor/{name}/Cargo.toml"),
                &format!("{}[dependencies]\n{dependencies}", head(name)),
            );
            tree.write(&format!("../vendor/{name}/src/lib.rs"), "");
        }
        tree
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A room in `crates/<folder>` whose manifest calls it `name`.
    pub(crate) fn add_room(&mut self, folder: &str, name: &str) {
        let manifest = format!("{}[lints]\nworkspace = true\n\n[dependencies]\n", head(name));
        self.write(&format!("crates/{folder}/Cargo.toml"), &manifest);
        self.write(&format!("crates/{folder}/src/lib.rs"), "//! A room.\n");
    }

    /// A line under `[dependencies]`, the manifest's eleventh.
    pub(crate) fn add_dependency(&mut self, room: &str, line: &str) {
        self.append(&format!("crates/{room}/Cargo.toml"), &format!("\n{line}\n"));
    }

    pub(crate) fn write(&mut self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a file stands in a folder")).expect("the folder can be made");
        fs::write(path, text).expect("the file can be written");
    }

    pub(crate) fn append(&mut self, path: &str, text: &str) {
        let before = self.read(path);
        self.write(path, &(before + text));
    }

    /// Replaces `from`, which must be there.
    pub(crate) fn edit(&mut self, path: &str, from: &str, to: &str) {
        let before = self.read(path);
        assert!(before.contains(from), "{path} holds no {from:?}");
        self.write(path, &before.replace(from, to));
    }

    pub(crate) fn remove(&mut self, path: &str) {
        fs::remove_file(self.root.join(path)).expect("the file was there");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).expect("the file is there")
    }
}

fn head(name: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n")
}
