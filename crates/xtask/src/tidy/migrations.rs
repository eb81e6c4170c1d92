//! Every migration has its way back.

use super::tree::Tree;
use super::{Finding, Report};

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for path in tree.paths.iter().filter(|path| path.starts_with("migrations/")) {
        let (other, what) = if let Some(stem) = path.strip_suffix(".up.sql") {
            (format!("{stem}.down.sql"), "no way back")
        } else if let Some(stem) = path.strip_suffix(".down.sql") {
            (format!("{stem}.up.sql"), "a way back from nowhere")
        } else {
            continue;
        };
        if !tree.paths.contains(&other) {
            report.errors.push(Finding::new(path, 1, what, format!("write {other}")));
        }
    }
}
