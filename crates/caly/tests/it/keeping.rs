//! What lies in the database: an audit log that shows when it was changed, and keys that only the right key opens.

use crate::account::{NO_LIMITS, Person};
use crate::place::{Place, both_databases};
use crate::program::{ENCRYPTION_KEY, Server, run};
use model::OrganisationId;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use store::{Keyring, Store, StoreConfig, provider_keys};

const NEXT_KEY: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";
const PROVIDER_KEY: &str = "canary-of-a-provider-0123456789";

/// The provider key as a node with this key at rest would read it.
async fn revealed(place: &Place, person: &Person, key: &str) -> Result<Option<String>, String> {
    let keys = Keyring::from_hex(&SecretString::from(key), None).expect("a key");
    let config = StoreConfig { pool_max: 2, pool_min: 0, ..StoreConfig::new(place.url.as_str(), keys) };
    let store = Store::open(&config).await.map_err(|error| error.to_string())?;
    let tenant: OrganisationId = person.organisation.parse().expect("an id");
    let read = store.write(tenant, "test.reveal", async |tx| provider_keys::reveal(tx, "deepgram").await).await;
    store.close().await;
    read.map(|key| key.map(|key| key.expose_secret().to_owned())).map_err(|error| error.to_string())
}

both_databases! {
    async fn a_changed_audit_event_is_found_and_named(place) {
        let server = Server::start(place, &[NO_LIMITS]).await;
        let asha = Person::sign_up(&server, place, "asha").await;
        asha.make(&server, "/api/api-keys", json!({ "name": "crm", "scopes": ["agents:read"] })).await;
        server.stop().await;
        let sound = run(place, &["audit", "verify"], &[]).await;
        sound.succeeded();
        assert!(sound.stdout.contains(&asha.organisation), "{sound:?}");
        // As somebody would who has the database's own password: past every rule.
        place.run(if place.is_postgres() {
            "alter table audit_logs disable trigger all"
        } else {
            "drop trigger audit_logs_no_update"
        })
        .await;
        place.run("update audit_logs set actor = 'user:somebody-else' where kind = 'api_key.created'").await;
        let found = run(place, &["audit", "verify"], &[]).await;
        assert_eq!(found.code, Some(1), "{found:?}");
        assert!(found.stderr.contains(&asha.organisation) && found.stderr.contains("event"), "{found:?}");
    }

    async fn keys_are_wrapped_anew_and_the_old_one_opens_nothing(place) {
        let server = Server::start(place, &[NO_LIMITS]).await;
        let asha = Person::sign_up(&server, place, "asha").await;
        let key = json!({ "provider": "deepgram", "label": "ours", "key": PROVIDER_KEY });
        asha.make(&server, "/api/provider-keys", key).await;
        let shown = asha.get(&server, "/api/provider-keys").await;
        assert_eq!(shown.body["items"][0]["last4"], "6789", "{shown:?}");
        let rotating = [("ENCRYPTION_KEY", NEXT_KEY), ("CALY_ENCRYPTION_KEY_PREVIOUS", ENCRYPTION_KEY)];
        // While a node is at work.
        run(place, &["keys", "rotate"], &rotating).await.succeeded();
        assert_eq!(revealed(place, &asha, NEXT_KEY).await, Ok(Some(PROVIDER_KEY.to_owned())));
        assert!(revealed(place, &asha, ENCRYPTION_KEY).await.is_err(), "the old key opens nothing any more");
        server.stop().await;
        let server = Server::start(place, &[NO_LIMITS, ("ENCRYPTION_KEY", NEXT_KEY)]).await;
        Person::log_in(&server, &asha.email, crate::account::PASSWORD).await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_opens_nothing_is_refused_at_the_start() {
    let place = Place::sqlite();
    let server = Server::start(&place, &[NO_LIMITS]).await;
    Person::sign_up(&server, &place, "asha").await;
    server.stop().await;
    let refused = run(&place, &["serve"], &[("ENCRYPTION_KEY", NEXT_KEY)]).await;
    refused.complained(&["ENCRYPTION_KEY", "previous key"]);
    assert!(!refused.stderr.contains(NEXT_KEY));
}
