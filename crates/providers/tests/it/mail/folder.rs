//! Into a folder.

use super::{code, discreet, every_mail, invitation, now};
use providers::ErrorKind;
use providers::mail::{Mailer, render};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn each_mail_is_a_file_to_be_read_by_this_user_alone() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("made/when/missing");
    let mailer = Mailer::folder(&folder);
    for mail in every_mail() {
        mailer.send(&mail, now()).await.unwrap();
        let file = files(&folder).into_iter().find(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            text.contains(&format!("Subject: {}\n", render(&mail.kind).subject))
        });
        let file = file.expect("a file with this subject");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(&render(&mail.kind).text), "{text}");
        assert!(text.contains(&render(&mail.kind).html), "{text}");
        assert!(text.contains("To: asha@clinic.in\n") && text.contains("Date: Mon, 21 Sep 2026 14:13:20 +0000\n"));
        assert_eq!(mode(&file), 0o600);
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with(&format!("20260921T141320Z-{}-", mail.kind.as_str())), "{name}");
        assert!(name.ends_with(".eml") && !name.contains("042137"), "{name}");
    }
    assert_eq!(files(&folder).len(), every_mail().len());
    assert_eq!(mode(&folder), 0o700);
}

#[tokio::test]
async fn two_processes_do_not_overwrite_each_other() {
    let base = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        Mailer::folder(base.path()).send(&code(), now()).await.unwrap();
    }
    assert_eq!(files(base.path()).len(), 3);
}

#[tokio::test]
async fn a_check_leaves_nothing_behind() {
    let base = tempfile::tempdir().unwrap();
    let mailer = Mailer::folder(base.path().join("mail"));
    mailer.check().await.unwrap();
    assert_eq!(files(&base.path().join("mail")), Vec::<PathBuf>::new());
    assert_eq!(mailer.describe(), format!("files in {}", base.path().join("mail").display()));
}

#[tokio::test]
async fn a_folder_that_cannot_be_is_a_failure_that_may_pass() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let mailer = Mailer::folder(file.join("mail"));
    assert_eq!(discreet(mailer.send(&code(), now()).await).0, ErrorKind::Unavailable);
    assert_eq!(discreet(mailer.send(&invitation("X"), now()).await).0, ErrorKind::Unavailable);
    assert_eq!(discreet(mailer.check().await).0, ErrorKind::Unavailable);
}
