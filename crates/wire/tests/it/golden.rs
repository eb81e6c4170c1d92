//! Golden files: `NAME.ext` is an input, `NAME.ext.want` its reading. A reading that is missing is written, and the test
//! fails: look at it before keeping it. To have one written anew, delete it.

use std::fs;
use std::path::{Path, PathBuf};

/// Compares the reading of every input in `folder`; says all that differ. `at_least` guards against an empty folder.
pub(crate) fn check(folder: &str, at_least: usize, read: impl Fn(&Path, &[u8]) -> String) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(folder);
    let mut inputs: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "want"))
        .collect();
    inputs.sort();
    assert!(inputs.len() >= at_least, "only {} inputs in {}", inputs.len(), folder.display());
    let mut wrong = Vec::new();
    for input in &inputs {
        let got = read(input, &fs::read(input).unwrap()) + "\n";
        let want_path = PathBuf::from(format!("{}.want", input.display()));
        let want = fs::read_to_string(&want_path).unwrap_or_else(|_| {
            fs::write(&want_path, &got).unwrap();
            "(none yet, written now)".to_owned()
        });
        if want != got {
            let name = input.file_name().unwrap().to_string_lossy().into_owned();
            wrong.push(format!("{name}\n  want: {want}  got:  {got}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), inputs.len(), wrong.join("\n"));
}
