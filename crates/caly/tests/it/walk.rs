//! The first steps of somebody new: the script of the documents, word for word, with mails through a real SMTP server.

use crate::place::both_databases;
use crate::program::Server;
use std::path::Path;
use std::process::Stdio;
use testkit::mail_sink::MailSink;
use tokio::process::Command;

both_databases! {
    async fn the_script_of_the_documents_runs(place) {
        let mails = place.path("sink");
        std::fs::create_dir_all(&mails).expect("made");
        let sink = MailSink::start_keeping(&mails).await.expect("a port");
        let port = sink.address().port().to_string();
        let settings = [
            ("SMTP_HOST", "127.0.0.1"),
            ("SMTP_PORT", port.as_str()),
            ("SMTP_TLS", "none"),
            ("SMTP_FROM", "Caly <caly@example.org>"),
        ];
        let server = Server::start(place, &settings).await;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/walk.sh");
        let walked = Command::new("bash")
            .arg(script)
            .arg(&server.url)
            .arg(&mails)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("bash, curl and python3 are there");
        let said = String::from_utf8_lossy(&walked.stdout);
        assert!(walked.status.success(), "{said}\n{}", String::from_utf8_lossy(&walked.stderr));
        assert!(said.ends_with("All as it should be.\n"), "{said}");
        server.stop().await;
    }
}
