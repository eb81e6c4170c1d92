//! Starting: settings that cannot be used are refused with one clear sentence each; what is missing is named.

use crate::place::{Place, variable};
use crate::program::{Finished, Server, run};
use std::net::TcpListener;

/// A good secret, and words that must never be printed.
const HIDDEN: &str = "hunter2-hidden";

async fn serve(place: &Place, settings: &[(&str, &str)]) -> Finished {
    run(place, &["serve"], settings).await
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let port = address.port().to_string();
    let place = Place::sqlite();
    let refused = serve(&place, &[("PORT", &port)]).await;
    refused.complained(&[&format!("cannot listen on {address}"), "set PORT to a free port"]);
    assert_eq!(refused.stderr.trim().lines().count(), 1, "{refused:?}");
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_written_is_named() {
    let place = Place::sqlite();
    std::fs::write(place.path("file"), "").expect("written");
    let below = place.path("file").join("data").display().to_string();
    let refused = serve(&place, &[("CALY_DATA_DIR", &below), ("DATABASE_URL", "")]).await;
    refused.complained(&[&below, "cannot be written", "set CALY_DATA_DIR"]);
}

#[tokio::test]
async fn a_setting_that_does_not_exist_is_refused() {
    let place = Place::sqlite();
    for command in ["serve", "check-config", "doctor"] {
        let refused = run(&place, &[command], &[("CALY_TYPO", "1")]).await;
        refused.complained(&["CALY_TYPO is no setting of Caly", "check-config --list"]);
    }
}

#[tokio::test]
async fn malformed_settings_are_all_named_at_once() {
    let place = Place::sqlite();
    for port in ["abc", "-1", "65536", "80 80"] {
        serve(&place, &[("PORT", port)]).await.complained(&["PORT must be a port number"]);
    }
    let refused = serve(
        &place,
        &[
            ("PORT", "abc"),
            ("CALY_HOST", "localhost"),
            ("CALY_ENV", "staging"),
            ("CALY_DRAIN_S", "soon"),
            ("CALY_PUBLIC_URL", "caly.example"),
            ("LOG_LEVEL", "loud"),
            ("WASABI_BUCKET", "recordings"),
        ],
    )
    .await;
    refused.complained(&[
        "PORT",
        "CALY_HOST",
        "CALY_ENV",
        "CALY_DRAIN_S",
        "CALY_PUBLIC_URL",
        "LOG_LEVEL",
        "WASABI_SECRET_KEY",
    ]);
}

#[tokio::test]
async fn production_is_not_open_by_omission() {
    let place = Place::sqlite();
    let refused = serve(&place, &[("CALY_ENV", "production"), ("EXOTEL_WEBHOOK_SECRET", "")]).await;
    refused.complained(&["CALY_PUBLIC_URL is missing", "EXOTEL_WEBHOOK_SECRET is missing", "SMTP_HOST is missing"]);
    let half = [("NODE_ENV", "production"), ("EXOTEL_WEBHOOK_SECRET", HIDDEN)];
    let refused = serve(&place, &half).await;
    refused.complained(&["CALY_PUBLIC_URL is missing"]);
    assert!(!refused.stderr.contains(HIDDEN));
    let whole = [
        ("CALY_ENV", "production"),
        ("CALY_PUBLIC_URL", "https://caly.example"),
        ("CALY_HOST", "127.0.0.1"),
        ("JWT_SECRET", "a secret of the tests, long enough to sign with"),
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_FROM", "Caly <caly@example.org>"),
    ];
    for (missing, _) in &whole[3..] {
        let rest: Vec<_> = whole.iter().copied().filter(|(name, _)| name != missing).collect();
        serve(&place, &rest).await.complained(&[&format!("{missing} is missing")]);
    }
    for key in ["", "0123", &"x".repeat(64)] {
        let mut broken = whole.to_vec();
        broken.push(("ENCRYPTION_KEY", key));
        serve(&place, &broken).await.complained(&["ENCRYPTION_KEY"]);
    }
    let server = Server::start(&place, &whole).await;
    assert!(server.output().contains("{\"timestamp\""), "logs are JSON: {}", server.output());
    server.stop().await;
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_said_so() {
    let place = Place::sqlite();
    serve(&place, &[("DATABASE_URL", "mysql://localhost/caly")]).await.complained(&["sqlite:///", "postgres://"]);
    std::fs::write(place.path("caly.db"), "this is no database, but a text that somebody has put there")
        .expect("written");
    let file = format!("sqlite://{}", place.path("caly.db").display());
    serve(&place, &[("DATABASE_URL", &file)]).await.complained(&["database"]);
    let secret = format!("postgres://caly:{HIDDEN}@127.0.0.1:x/caly");
    let refused = serve(&place, &[("DATABASE_URL", &secret)]).await;
    refused.complained(&["database address"]);
    assert!(!refused.stderr.contains(HIDDEN), "{refused:?}");
}

#[tokio::test]
async fn check_config_says_what_the_settings_come_to() {
    let place = Place::sqlite();
    let settings = [("PORT", "4321"), ("EXOTEL_WEBHOOK_SECRET", HIDDEN), ("DEEPGRAM_API_KEY", HIDDEN)];
    let checked = run(&place, &["check-config"], &settings).await;
    for word in ["development", "127.0.0.1:4321", "signed", "The settings are fine."] {
        assert!(checked.succeeded().stdout.contains(word), "{word}: {checked:?}");
    }
    assert!(!checked.stdout.contains(HIDDEN) && !checked.stderr.contains(HIDDEN));
    let open = run(&place, &["check-config"], &[("EXOTEL_WEBHOOK_SECRET", "")]).await;
    assert!(open.succeeded().stdout.contains("EXOTEL_WEBHOOK_SECRET is not set"), "{open:?}");
    let list = run(&place, &["check-config", "--list"], &[]).await;
    for name in ["DATABASE_URL", "PORT", "CALY_DRAIN_S", "CALY_MODELS_DIR"] {
        assert!(list.succeeded().stdout.contains(name), "{name}");
    }
}

#[tokio::test]
async fn settings_may_stand_in_a_file_and_the_environment_wins() {
    let place = Place::sqlite();
    let file = place.path("caly.toml");
    let path = file.display().to_string();
    std::fs::write(&file, "caly_host = \"127.0.0.2\"\nport = 4321\n").expect("written");
    let checked = run(&place, &["check-config"], &[("CALY_CONFIG", &path), ("PORT", "5555")]).await;
    assert!(checked.succeeded().stdout.contains("127.0.0.2:5555"), "{checked:?}");
    std::fs::write(&file, "prot = 4321\nport = [1]\n").expect("written");
    let refused = run(&place, &["check-config"], &[("CALY_CONFIG", &path)]).await;
    refused.complained(&["prot is no setting of Caly", "port in "]);
    std::fs::write(&file, "port = \n").expect("written");
    run(&place, &["check-config"], &[("CALY_CONFIG", &path)]).await.complained(&["CALY_CONFIG", "caly.toml"]);
    let nowhere = place.path("nowhere.toml").display().to_string();
    run(&place, &["check-config"], &[("CALY_CONFIG", &nowhere)]).await.complained(&["CALY_CONFIG", "nowhere.toml"]);
}

#[tokio::test]
async fn doctor_names_missing_models() {
    let place = Place::sqlite();
    let found = run(&place, &["doctor"], &[]).await;
    assert_eq!(found.code, Some(1), "{found:?}");
    for model in ["speech to text", "text to speech", "end of turn", "noisy lines"] {
        let line =
            found.stdout.lines().find(|line| line.contains(model)).unwrap_or_else(|| panic!("{model}: {found:?}"));
        assert!(line.starts_with("MISSING") && line.contains("make models"), "{line}");
    }
    for fine in ["database", "recordings"] {
        assert!(found.stdout.lines().any(|line| line.starts_with("ok") && line.contains(fine)), "{fine}: {found:?}");
    }
}

#[tokio::test]
async fn serve_starts_without_models_and_says_which_are_missing() {
    let place = Place::sqlite();
    let server = Server::start(&place, &[]).await;
    let notes = server.output().lines().filter(|line| line.starts_with("note: ")).count();
    assert!(notes >= 3, "{}", server.output());
    for model in ["speech recognition", "speech synthesis", "end of turn"] {
        assert!(server.output().contains(model), "{model}: {}", server.output());
    }
    server.stop().await;
}

#[tokio::test]
async fn doctor_is_content_with_the_built_in_models() {
    if variable("CALY_TEST_MODELS").as_deref() == Some("skip") {
        eprintln!("skipped: no models (CALY_TEST_MODELS=skip)");
        return;
    }
    let place = Place::sqlite();
    let found = run(&place, &["doctor"], &[("CALY_MODELS_DIR", "")]).await;
    assert!(!found.succeeded().stdout.contains("MISSING"), "{found:?}");
}

#[tokio::test]
async fn what_is_no_command_is_explained() {
    let place = Place::sqlite();
    for arguments in [&["dance"][..], &[], &["migrate"], &["migrate", "down"], &["replay"], &["serve", "--fast"]] {
        let refused = run(&place, arguments, &[]).await;
        assert_eq!(refused.code, Some(2), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains("Usage"), "{arguments:?}: {refused:?}");
    }
    let version = run(&place, &["--version"], &[]).await;
    assert_eq!(version.succeeded().stdout.trim(), format!("caly {}", env!("CARGO_PKG_VERSION")));
}
