//! Links between documents lead somewhere.

use super::tree::Tree;
use super::{Finding, Report};
use std::path::{Component, Path};

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for (index, line) in file.text.lines().enumerate() {
            for target in links(line) {
                let path = flatten(&folder.join(target));
                if !path.as_ref().is_some_and(|path| path.is_empty() || tree.paths.contains(path)) {
                    let what = format!("the link to `{target}` leads nowhere");
                    report.errors.push(Finding::new(&file.path, index + 1, what, "mend the link or write the page"));
                }
            }
        }
    }
}

/// The files that `[text](target)` in a line points to; web pages and anchors left out.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        let elsewhere = target.contains("://") || target.starts_with("mailto:");
        (!target.is_empty() && !elsewhere).then_some(target.trim_end_matches('/'))
    })
}

/// The path without `.` and `..`; `None` when it leaves the tree.
fn flatten(path: &Path) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_into_the_tree_are_followed() {
        let line = "[a](b.md) [c](https://example.com/x) [d](#e) [f](../g/h.md#i) [j](k/) [l](mailto:a@example.com)";
        assert_eq!(links(line).collect::<Vec<_>>(), ["b.md", "../g/h.md", "k"]);
    }

    #[test]
    fn paths_are_flattened() {
        assert_eq!(flatten(Path::new("docs/../README.md")).as_deref(), Some("README.md"));
        assert_eq!(flatten(Path::new("docs/./a/b.md")).as_deref(), Some("docs/a/b.md"));
        assert_eq!(flatten(Path::new("../other")), None);
        assert_eq!(flatten(Path::new("/etc/passwd")), None);
    }
}
