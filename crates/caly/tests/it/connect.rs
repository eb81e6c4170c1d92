//! `caly connect`: a number is answered without an API, by whoever may reach the database.

use crate::place::{Place, both_databases};
use crate::post::get;
use crate::program::{Finished, Server, run};

const FLOW: &str = "name = 'Hold'\nlanguage = 'en-IN'\n[business]\nname = 'Hold'\n[listening]\nreminders = ['Hello?']\n\
    goodbye = 'Goodbye.'\nnot_understood = 'Sorry.'\n[[step]]\nid = 'bye'\nhang_up = 'Goodbye.'\n";

async fn connect(place: &Place, organisation: &str, number: &str, flow: &str) -> Finished {
    let file = place.path("flow.toml");
    std::fs::write(&file, flow).expect("written");
    let flow = file.display().to_string();
    let arguments = ["connect", "--organisation", organisation, "--number", number, "--flow", &flow];
    run(place, &arguments, &[("CALY_PUBLIC_URL", "https://caly.example/")]).await
}

/// The path of the address that was printed.
fn address(connected: &Finished) -> String {
    let (_, rest) = connected.succeeded().stdout.split_once("https://caly.example/").expect("an address");
    format!("/{}", rest.split_whitespace().next().expect("a path"))
}

async fn asked(server: &Server, address: &str, sid: &str) -> u16 {
    get(server, &format!("{address}?CallSid={sid}&CallFrom=09876543210&CallTo=08047491899")).await.status
}

both_databases! {
    async fn a_connected_number_is_answered(place) {
        let first = address(&connect(place, "Sunrise", "+918047491899", FLOW).await);
        assert!(first.starts_with("/webhooks/exotel/voicebot/"), "{first}");
        let server = Server::start(place, &[]).await;
        assert_eq!(asked(&server, &first, "call-1").await, 200);
        // Connected again, while the server runs: the same number, a new address.
        let second = address(&connect(place, "Sunrise", "+918047491899", FLOW).await);
        assert_ne!(first, second);
        assert_eq!(asked(&server, &second, "call-2").await, 200);
        assert_eq!(asked(&server, &first, "call-3").await, 404);
        server.stop().await;
        assert_eq!(place.number("select count(*) from phone_numbers").await, 1);
        assert_eq!(place.number("select count(*) from organisations").await, 1);
        assert_eq!(place.number("select count(*) from calls").await, 2);
        connect(place, "Sunset", "+918047491899", FLOW).await.complained(&["connected to another organisation"]);
        assert_eq!(place.number("select count(*) from organisations").await, 1, "a refusal leaves nothing behind");
    }
}

#[tokio::test]
async fn what_cannot_be_connected_is_said_so() {
    let place = Place::sqlite();
    connect(&place, "Sunrise", "reception", FLOW).await.complained(&["number"]);
    connect(&place, " ", "+918047491899", FLOW).await.complained(&["the organisation's name"]);
    let faulty = FLOW.replace("hang_up", "hang_down");
    connect(&place, "Sunrise", "+918047491899", &faulty).await.complained(&[
        "flow.toml cannot be used",
        "bye",
        "hang_down",
    ]);
    let nowhere = ["connect", "--organisation", "a", "--number", "+918047491899", "--flow", "nowhere.toml"];
    run(&place, &nowhere, &[]).await.complained(&["nowhere.toml cannot be read"]);
}
