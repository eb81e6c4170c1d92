//! Lines a file. Functions are for clippy (`too-many-lines-threshold`).

use super::rules::{FILE_LINES_AIM, FILE_LINES_MAX};
use super::tree::Tree;
use super::{Finding, Report};

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for file in &tree.files {
        let Some(source) = file.source.as_ref().filter(|_| !file.is_test()) else { continue };
        let lines = source.lines_without_tests();
        let finding = |limit| Finding::new(&file.path, 1, format!("{lines} lines without tests"), limit);
        if lines > FILE_LINES_MAX {
            report.errors.push(finding(format!("split it; at most {FILE_LINES_MAX}")));
        } else if lines > FILE_LINES_AIM {
            report.warnings.push(finding(format!("aim at {FILE_LINES_AIM}")));
        }
    }
}
