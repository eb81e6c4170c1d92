//! Accounts at carriers: used, changed, and their tokens never shown.

use crate::database::{TestDatabase, at, both_databases};
use model::{CarrierAccountId, CarrierKind, TenantId};
use secrecy::{ExposeSecret as _, SecretString};
use store::carrier_accounts::{self, CarrierAccount, Change, NewCarrierAccount};
use store::{Error, Keyring, PageRequest, Rotated, Store};

const CANARY: &str = "exotel-canary-0123456789-abcd";

async fn keep(db: &TestDatabase, tenant: TenantId, carrier: CarrierKind, token: &str) -> Result<CarrierAccount, Error> {
    let token = SecretString::from(token);
    let new = NewCarrierAccount {
        carrier,
        account_id: "clinic1",
        region: Some("mumbai"),
        api_key: Some("key-1"),
        flow_id: None,
        token: &token,
    };
    db.write(tenant, async |tx| carrier_accounts::create(tx, &new, at(1)).await).await
}

async fn change(
    db: &TestDatabase,
    tenant: TenantId,
    id: CarrierAccountId,
    change: &Change<'_>,
) -> Result<CarrierAccount, Error> {
    db.write(tenant, async |tx| carrier_accounts::update(tx, id, change, at(9)).await).await
}

async fn reveal(store: &Store, tenant: TenantId, carrier: CarrierKind) -> Result<Option<String>, Error> {
    let found = store.read(tenant, "test.reveal", async |tx| carrier_accounts::reveal(tx, carrier).await).await?;
    Ok(found.map(|(_, token): (CarrierAccount, SecretString)| token.expose_secret().to_owned()))
}

both_databases! {
    async fn an_account_is_kept_changed_used_and_forgotten(db) {
        let ours = db.tenant("+918037091588").await?.id;
        let theirs = db.tenant("+918037091589").await?.id;
        let kept = keep(db, ours, CarrierKind::Exotel, CANARY).await?;
        assert_eq!((kept.account_id.as_str(), kept.last4.as_str()), ("clinic1", "abcd"));
        assert_eq!((kept.region.as_deref(), kept.api_key.as_deref()), (Some("mumbai"), Some("key-1")));
        assert_eq!((kept.flow_id.as_deref(), kept.created_at, kept.updated_at), (None, at(1), at(1)));
        assert_eq!(db.read(ours, async |tx| carrier_accounts::get(tx, kept.id).await).await?, kept);
        let (used, token) =
            db.read(ours, async |tx| carrier_accounts::reveal(tx, CarrierKind::Exotel).await).await?.expect("there");
        assert_eq!((&used, token.expose_secret()), (&kept, CANARY));
        assert_eq!(reveal(&db.store, ours, CarrierKind::Twilio).await?, None);
        assert_eq!(reveal(&db.store, theirs, CarrierKind::Exotel).await?, None);
        let second = keep(db, ours, CarrierKind::Exotel, CANARY).await;
        assert!(matches!(second, Err(Error::Conflict(_))), "{second:?}");
        keep(db, theirs, CarrierKind::Exotel, "their-own-token").await?;
        keep(db, ours, CarrierKind::Plivo, "plivo-token").await?;
        db.write(ours, async |tx| carrier_accounts::delete(tx, kept.id).await).await?;
        let again = db.write(ours, async |tx| carrier_accounts::delete(tx, kept.id).await).await;
        assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
        assert_eq!(reveal(&db.store, ours, CarrierKind::Exotel).await?, None);
        assert_eq!(reveal(&db.store, ours, CarrierKind::Plivo).await?.as_deref(), Some("plivo-token"));
        keep(db, ours, CarrierKind::Exotel, "another-token").await?;
        Ok(())
    }

    async fn a_change_changes_what_it_names(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let kept = keep(db, tenant, CarrierKind::Exotel, CANARY).await?;
        let nothing = change(db, tenant, kept.id, &Change::default()).await?;
        assert_eq!(nothing, CarrierAccount { updated_at: at(9), ..kept.clone() });
        let flow = Change { flow_id: Some(Some("926")), region: Some(Some("singapore")), ..Change::default() };
        let changed = change(db, tenant, kept.id, &flow).await?;
        assert_eq!((changed.flow_id.as_deref(), changed.region.as_deref()), (Some("926"), Some("singapore")));
        assert_eq!((changed.account_id.as_str(), changed.api_key.as_deref()), ("clinic1", Some("key-1")));
        assert_eq!(reveal(&db.store, tenant, CarrierKind::Exotel).await?.as_deref(), Some(CANARY));
        let token = SecretString::from("replaced-token-wxyz");
        let removed = Change {
            account_id: Some("clinic2"),
            flow_id: Some(None),
            api_key: Some(None),
            region: Some(None),
            token: Some(&token),
        };
        let removed = change(db, tenant, kept.id, &removed).await?;
        assert_eq!((removed.account_id.as_str(), removed.last4.as_str()), ("clinic2", "wxyz"));
        assert_eq!((removed.flow_id, removed.api_key, removed.region), (None, None, None));
        assert_eq!(reveal(&db.store, tenant, CarrierKind::Exotel).await?.as_deref(), Some("replaced-token-wxyz"));
        let other = db.tenant("+918037091589").await?.id;
        let theirs = change(db, other, kept.id, &flow).await;
        assert!(matches!(theirs, Err(Error::NotFound)), "{theirs:?}");
        let short = SecretString::from("1234567");
        let refused = change(db, tenant, kept.id, &Change { token: Some(&short), ..Change::default() }).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        Ok(())
    }

    async fn accounts_are_listed_newest_first(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let token = SecretString::from("some-token");
        for (second, carrier) in (0..).zip(CarrierKind::ALL) {
            let carrier = *carrier;
            let new = NewCarrierAccount {
                carrier,
                account_id: "clinic1",
                region: None,
                api_key: None,
                flow_id: None,
                token: &token,
            };
            db.write(tenant, async |tx| carrier_accounts::create(tx, &new, at(second)).await).await?;
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = PageRequest { limit: 2, after };
            let found = db.read(tenant, async |tx| carrier_accounts::list(tx, page).await).await?;
            seen.extend(found.items.iter().map(|account| account.carrier));
            after = found.next;
            if after.is_none() {
                break;
            }
        }
        seen.reverse();
        assert_eq!(seen, CarrierKind::ALL);
        Ok(())
    }

    async fn tokens_have_their_length(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        for (length, good) in [(7, false), (2_049, false), (8, true)] {
            let outcome = keep(db, tenant, CarrierKind::Exotel, &"é".repeat(length)).await;
            assert_eq!(outcome.is_ok(), good, "{length}: {outcome:?}");
        }
        let outcome = keep(db, tenant, CarrierKind::Smartflo, &"é".repeat(2_048)).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        Ok(())
    }

    async fn a_token_opens_in_its_own_row_only_and_after_a_rotation(db) {
        let ours = db.tenant("+918037091588").await?.id;
        let theirs = db.tenant("+918037091589").await?.id;
        keep(db, ours, CarrierKind::Exotel, CANARY).await?;
        keep(db, theirs, CarrierKind::Exotel, "their-own-token").await?;
        let store = db.reopen_with(Keyring::new([8; 32], Some([7; 32]))).await;
        assert_eq!(store.rotate_keys(at(5)).await?, Rotated { rewrapped: 2, already: 0 });
        let store = db.reopen_with(Keyring::new([8; 32], None)).await;
        assert_eq!(reveal(&store, ours, CarrierKind::Exotel).await?.as_deref(), Some(CANARY));
        assert_eq!(reveal(&store, theirs, CarrierKind::Exotel).await?.as_deref(), Some("their-own-token"));
        db.raw("update carrier_accounts set sealed = (select o.sealed from carrier_accounts o where o.last4 = 'abcd')").await;
        let swapped = reveal(&store, theirs, CarrierKind::Exotel).await;
        assert!(matches!(swapped, Err(Error::Broken(_))), "{swapped:?}");
        assert_eq!(reveal(&store, ours, CarrierKind::Exotel).await?.as_deref(), Some(CANARY));
        Ok(())
    }

    async fn no_column_holds_a_token_in_the_clear(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let kept = keep(db, tenant, CarrierKind::Exotel, CANARY).await?;
        assert!(!format!("{kept:?}").contains("canary"));
        // Every column as text, and the sealed one as the hexadecimal of its bytes.
        let columns = "account_id || coalesce(region, '') || coalesce(api_key, '') || coalesce(flow_id, '') || last4";
        let sealed = if db.is_sqlite() { "lower(hex(sealed))" } else { "encode(sealed, 'hex')" };
        let canary: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
        for (text, wanted) in [
            (format!("select count(*) from carrier_accounts where {columns} like '%clinic1%'"), 1),
            (format!("select count(*) from carrier_accounts where {columns} like '%canary%'"), 0),
            (format!("select count(*) from carrier_accounts where {sealed} like '%{}%'", &canary[..24]), 0),
            (format!("select count(*) from carrier_accounts where length(sealed) >= {}", CANARY.len()), 1),
        ] {
            assert_eq!(db.number(&text).await, wanted, "{text}");
        }
        Ok(())
    }
}
