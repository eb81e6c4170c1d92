//! What a compiler does not check and a reviewer forgets: who imports whom, what the pure crates may carry, sizes,
//! names, documents that say what the tree says, migrations with their way back.
//!
//! The rules are tables in `rules.rs`. Each check takes the [`Tree`] and adds [`Finding`]s.

mod architecture;
mod documents;
mod imports;
mod migrations;
mod purity;
mod rules;
mod size;
mod source;
mod tree;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use tree::Tree;

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// File or folder, from the root of the tree.
    pub path: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    fn new(path: impl Into<String>, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.into(), line, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.what, self.remedy)
    }
}

/// What [`tidy`] found.
#[derive(Debug, Default)]
pub struct Report {
    /// Findings that make the check fail, in order of path and line.
    pub errors: Vec<Finding>,
    /// Findings to keep an eye on.
    pub warnings: Vec<Finding>,
    /// Rooms looked at.
    pub rooms: usize,
    /// Text files looked at.
    pub files: usize,
}

impl Report {
    /// The findings, one a line, and a summary. With `colour` the summary is green or red.
    #[must_use]
    pub fn lines(&self, colour: bool) -> String {
        let warnings = self.warnings.iter().map(|finding| format!("warning: {finding}\n"));
        let findings: String = warnings.chain(self.errors.iter().map(|finding| format!("{finding}\n"))).collect();
        let (code, verdict) = if self.errors.is_empty() { ("32", "tidy") } else { ("31", "not tidy") };
        let verdict = if colour { format!("\u{1b}[{code}m{verdict}\u{1b}[0m") } else { verdict.to_owned() };
        let (errors, warnings) = (self.errors.len(), self.warnings.len());
        let seen = format!("{} rooms, {} files", self.rooms, self.files);
        format!("{findings}{verdict}: {errors} errors, {warnings} warnings in {seen}\n")
    }
}

/// The tree that this crate stands in.
#[must_use]
pub fn own_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/xtask has two folders above it")
        .to_path_buf()
}

/// Checks the tree under `root`, a cargo workspace with its rooms in `crates/`.
///
/// # Errors
/// The tree cannot be read, or cargo cannot make sense of it. What is merely untidy is in the report.
pub fn tidy(root: &Path) -> anyhow::Result<Report> {
    let tree = Tree::read(root)?;
    let mut report = Report { rooms: tree.rooms.len(), files: tree.files.len(), ..Report::default() };
    imports::check(&tree, &mut report);
    purity::check(&tree, &mut report)?;
    size::check(&tree, &mut report);
    words::check(&tree, &mut report);
    documents::check(&tree, &mut report);
    architecture::check(&tree, &mut report);
    migrations::check(&tree, &mut report);
    report.errors.sort();
    report.warnings.sort();
    Ok(report)
}
