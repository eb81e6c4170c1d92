//! The tree as the checks see it: cargo's view of the rooms, and every text file.

use super::source::Source;
use anyhow::Context;
use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Largest file that is read as text, in bytes. Lock files and word lists stay below; media does not.
const TEXT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Folders that hold what was built or downloaded.
const FOLDERS_SKIPPED: &[&str] = &["target", "node_modules", ".git", ".models", "dist"];
/// Folders at the root that hold what a running Caly writes.
const ROOT_FOLDERS_SKIPPED: &[&str] = &["data"];
/// Names that end like this are text that we write.
const TEXT_ENDINGS: &[&str] = &[
    ".rs",
    ".toml",
    ".md",
    ".sql",
    ".sh",
    ".py",
    ".txt",
    ".json",
    ".yml",
    ".yaml",
    ".ts",
    ".js",
    ".svelte",
    ".css",
    ".html",
    "Makefile",
    "Dockerfile",
    ".service",
];

/// A dependency of a room on a crate, ours or another's.
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) kind: DependencyKind,
}

/// A crate of the workspace.
pub(super) struct Room {
    pub(super) name: String,
    /// Its folder from the root, such as `crates/model`.
    pub(super) folder: String,
    pub(super) dependencies: Vec<Dependency>,
}

/// A text file.
pub(super) struct TextFile {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// Present for `.rs` files.
    pub(super) source: Option<Source>,
}

impl TextFile {
    /// The room the file belongs to.
    pub(super) fn room(&self) -> Option<&str> {
        self.path.strip_prefix("crates/").and_then(|rest| rest.split('/').next())
    }

    /// Whether the whole file is test code: under `tests/`, `benches/` or `examples/`, or named `tests.rs`.
    pub(super) fn is_test(&self) -> bool {
        self.path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples" | "tests.rs"))
    }

    /// The first line that contains `needle`, from 1; 1 when there is none.
    pub(super) fn line_of(&self, needle: &str) -> usize {
        self.text.lines().position(|line| line.contains(needle)).map_or(1, |index| index + 1)
    }
}

/// Everything the checks look at.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) rooms: Vec<Room>,
    pub(super) files: Vec<TextFile>,
    /// Every folder and file from the root, with its text or not.
    pub(super) paths: Vec<String>,
}

impl Tree {
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        // cargo answers with the real path; a root behind a symbolic link must match it.
        let root = root.canonicalize().with_context(|| format!("no tree at {}", root.display()))?;
        let rooms = rooms(&root)?;
        let mut paths = Vec::new();
        walk(&root, &root, &mut paths)?;
        paths.sort();
        let mut files = Vec::new();
        for path in &paths {
            if let Some(text) = read_text(&root.join(path), path)? {
                let source = path.ends_with(".rs").then(|| Source::read(&text));
                files.push(TextFile { path: path.clone(), text, source });
            }
        }
        Ok(Self { root, rooms, files, paths })
    }

    pub(super) fn file(&self, path: &str) -> Option<&TextFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Where a dependency stands in a room's manifest.
    pub(super) fn manifest_line(&self, room: &Room, dependency: &str) -> (String, usize) {
        let path = format!("{}/Cargo.toml", room.folder);
        let line = self.file(&path).map_or(1, |file| {
            let stands_here = |line: &str| {
                let rest = line.strip_prefix(dependency);
                rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
            };
            file.text.lines().position(stands_here).map_or(1, |index| index + 1)
        });
        (path, line)
    }
}

fn rooms(root: &Path) -> anyhow::Result<Vec<Room>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo cannot read the workspace")?;
    let mut rooms = BTreeMap::new();
    for package in metadata.packages {
        let folder = package.manifest_path.parent().context("a manifest without a folder")?;
        let folder = folder.strip_prefix(root.to_string_lossy().as_ref()).unwrap_or(folder).to_string();
        let dependencies =
            package.dependencies.into_iter().map(|d| Dependency { name: d.name, kind: d.kind }).collect();
        let name = package.name.to_string();
        rooms.insert(name.clone(), Room { name, folder, dependencies });
    }
    Ok(rooms.into_values().collect())
}

fn walk(root: &Path, folder: &Path, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        let at_root = folder == root;
        if kind.is_dir() {
            if FOLDERS_SKIPPED.contains(&name.as_str()) || (at_root && ROOT_FOLDERS_SKIPPED.contains(&name.as_str())) {
                continue;
            }
            walk(root, &entry.path(), paths)?;
        }
        let path = entry.path();
        let path = path.strip_prefix(root).expect("the walk starts at the root").to_string_lossy().replace('\\', "/");
        paths.push(path);
    }
    Ok(())
}

/// The text of a file that we write; `None` for folders, media and what is not UTF-8.
fn read_text(file: &Path, path: &str) -> io::Result<Option<String>> {
    let is_text = TEXT_ENDINGS.iter().any(|ending| path.ends_with(ending)) || path.starts_with("scripts/");
    // A file may vanish between the walk and here: an editor's, or a test's of another process.
    let Ok(about) = fs::metadata(file) else { return Ok(None) };
    if !is_text || !about.is_file() || about.len() > TEXT_BYTES_MAX {
        return Ok(None);
    }
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
