//! What is another tenant's does not exist.

use crate::database::{agent_config, at, both_databases, object, owner, phone};
use chrono::Duration;
use model::{CarrierKind, EndedReason, TranscriptTurn, TurnRole};
use store::audit::AuditFilter;
use store::call_events::NewCallEvent;
use store::calls::{CallFilter, NewCall};
use store::carrier_accounts::{Change, NewCarrierAccount};
use store::phone_numbers::NewPhoneNumber;
use store::provider_keys::NewProviderKey;
use store::recordings::{Fetched, NewRecording, SpooledFile};
use store::{
    Error, PageRequest, agents, audit, call_events, calls, carrier_accounts, outbox, phone_numbers, provider_keys,
    recordings, stream_tokens, turns,
};

/// Every listed attempt is refused as if there were nothing.
macro_rules! refused {
    ($db:expr, $tenant:expr, $($attempt:expr),* $(,)?) => {$(
        let outcome = $db.write($tenant, $attempt).await;
        assert!(matches!(outcome, Err(Error::NotFound)), "{}: {outcome:?}", stringify!($attempt));
    )*};
}

both_databases! {
    async fn another_tenants_rows_are_not_found(db) {
        let ours = db.tenant("+918037091588").await?;
        let theirs = db.tenant("+918037091589").await?;
        let call = db.call(&theirs, "sid-1", at(1)).await?.id;
        let new = NewRecording {
            call,
            node: "a".to_owned(),
            spool_path: "x".to_owned(),
            channels: 2,
            sample_rate_hz: 8_000,
        };
        let recording = db.write(theirs.id, async |tx| recordings::create(tx, &new, at(1)).await).await?.id;
        let file = SpooledFile { duration_ms: 1, bytes: 1, sha256: [0; 32] };
        let (config, nothing) = (agent_config("Hello"), object(serde_json::json!({})));
        let turn = TranscriptTurn {
            index: 0,
            role: TurnRole::Caller,
            text: "x".to_owned(),
            intended: None,
            interrupted: false,
            started_ms: 0,
            ended_ms: 1,
            latency: None,
        };
        let event = NewCallEvent { at_ms: 0, kind: "x".to_owned(), data: nothing.clone() };
        let (me, lease) = (owner("a", 1), Duration::seconds(9));
        let secret = secrecy::SecretString::from("0123456789");
        let new_key = NewProviderKey { provider: "deepgram", label: "x", key: &secret };
        let key = db.write(theirs.id, async |tx| provider_keys::create(tx, &new_key, at(1)).await).await?.id;
        refused!(db, ours.id,
            async |tx| agents::get(tx, theirs.agent).await.map(|_| ()),
            async |tx| agents::update(tx, theirs.agent, "Mine", &config, at(2)).await.map(|_| ()),
            async |tx| agents::delete(tx, theirs.agent).await,
            async |tx| phone_numbers::get(tx, theirs.number.id).await.map(|_| ()),
            async |tx| phone_numbers::assign(tx, theirs.number.id, ours.agent).await.map(|_| ()),
            async |tx| phone_numbers::assign(tx, ours.number.id, theirs.agent).await.map(|_| ()),
            async |tx| phone_numbers::set_path_token(tx, theirs.number.id, None).await.map(|_| ()),
            async |tx| phone_numbers::delete(tx, theirs.number.id).await,
            async |tx| calls::get(tx, call).await.map(|_| ()),
            async |tx| calls::begin_media(tx, call, &me, at(2), lease).await.map(|_| ()),
            async |tx| calls::finish(tx, call, EndedReason::CallerHungUp, at(2), 1, &nothing).await.map(|_| ()),
            async |tx| calls::set_summary(tx, call, "mine").await,
            async |tx| turns::append(tx, call, std::slice::from_ref(&turn), at(2)).await,
            async |tx| call_events::append(tx, call, std::slice::from_ref(&event), at(2)).await,
            async |tx| recordings::create(tx, &new, at(2)).await.map(|_| ()),
            async |tx| recordings::get(tx, recording).await.map(|_| ()),
            async |tx| recordings::spooled(tx, recording, &file, at(2)).await.map(|_| ()),
            async |tx| recordings::stored(tx, recording, "k", at(2)).await.map(|_| ()),
            async |tx| recordings::note_error(tx, recording, "e", at(2)).await.map(|_| ()),
            async |tx| recordings::failed(tx, recording, "e", at(2)).await.map(|_| ()),
            async |tx| recordings::retry(tx, recording, at(2)).await.map(|_| ()),
            async |tx| stream_tokens::issue(tx, call, [1; 32], at(2), lease).await,
            async |tx| provider_keys::get(tx, key).await.map(|_| ()),
            async |tx| provider_keys::replace(tx, key, &secret, at(2)).await.map(|_| ()),
            async |tx| provider_keys::delete(tx, key).await,
        );
        assert_eq!(db.get_call(&theirs, call).await?.started_at, None);
        Ok(())
    }

    async fn nor_are_its_orders_accounts_and_fetched_recordings(db) {
        let ours = db.tenant("+918037091588").await?;
        let theirs = db.tenant("+918037091589").await?;
        let call = db.call(&theirs, "sid-1", at(1)).await?.id;
        let secret = secrecy::SecretString::from("0123456789");
        let awaited = db.write(theirs.id, async |tx| recordings::await_carrier(tx, call, at(1)).await).await?;
        let awaited = awaited.expect("a row").id;
        let fetched = Fetched {
            content_type: "audio/wav",
            channels: 1,
            sample_rate_hz: 8_000,
            duration_ms: 1,
            bytes: 1,
            sha256: [0; 32],
            object_key: "k",
        };
        let new_account = NewCarrierAccount {
            carrier: CarrierKind::Exotel,
            account_id: "x",
            region: None,
            api_key: None,
            flow_id: None,
            token: &secret,
        };
        let made = db.write(theirs.id, async |tx| carrier_accounts::create(tx, &new_account, at(1)).await).await?;
        let (account, change) = (made.id, Change { account_id: Some("mine"), ..Change::default() });
        let to = phone("+919000000001");
        refused!(db, ours.id,
            async |tx| calls::finish_if_waiting(tx, call, EndedReason::CalyError, at(2)).await.map(|_| ()),
            async |tx| calls::begin_dialing(tx, call, [1; 32], at(2)).await.map(|_| ()),
            async |tx| calls::dialed(tx, call, "sid-9").await.map(|_| ()),
            async |tx| calls::cancel(tx, call, at(2)).await.map(|_| ()),
            async |tx| calls::decide_transfer(tx, call, &to, at(2)).await.map(|_| ()),
            async |tx| recordings::await_carrier(tx, call, at(2)).await.map(|_| ()),
            async |tx| recordings::fetched(tx, awaited, &fetched, at(2)).await.map(|_| ()),
            async |tx| carrier_accounts::get(tx, account).await.map(|_| ()),
            async |tx| carrier_accounts::update(tx, account, &change, at(2)).await.map(|_| ()),
            async |tx| carrier_accounts::delete(tx, account).await,
        );
        assert_eq!(db.get_call(&theirs, call).await?.ended_at, None);
        Ok(())
    }

    async fn a_turn_of_another_tenant_cannot_be_overwritten(db) {
        let ours = db.tenant("+918037091588").await?;
        let theirs = db.tenant("+918037091589").await?;
        let call = db.call(&theirs, "sid-1", at(1)).await?.id;
        let mut turn = TranscriptTurn {
            index: 0,
            role: TurnRole::Caller,
            text: "theirs".to_owned(),
            intended: None,
            interrupted: false,
            started_ms: 0,
            ended_ms: 1,
            latency: None,
        };
        db.write(theirs.id, async |tx| turns::append(tx, call, std::slice::from_ref(&turn), at(2)).await).await?;
        turn.text = "ours".to_owned();
        let outcome = db.write(ours.id, async |tx| turns::append(tx, call, &[turn], at(3)).await).await;
        assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
        let read = db.read(theirs.id, async |tx| turns::list(tx, call).await).await?;
        assert_eq!(read[0].text, "theirs");
        assert_eq!(db.read(ours.id, async |tx| turns::list(tx, call).await).await?, []);
        Ok(())
    }

    async fn new_rows_cannot_point_at_another_tenants(db) {
        let ours = db.tenant("+918037091588").await?;
        let theirs = db.tenant("+918037091589").await?;
        let number = NewPhoneNumber {
            carrier: CarrierKind::Exotel,
            number: phone("+918037091599"),
            agent: theirs.agent,
            path_token_hash: None,
        };
        let their_agent = NewCall { agent: theirs.agent, ..ours.new_call("sid-1") };
        let their_number = NewCall { phone_number: Some(theirs.number.id), ..ours.new_call("sid-2") };
        refused!(db, ours.id,
            async |tx| phone_numbers::create(tx, &number, at(1)).await.map(|_| ()),
            async |tx| calls::create(tx, &their_agent, at(1)).await.map(|_| ()),
            async |tx| calls::create(tx, &their_number, at(1)).await.map(|_| ()),
        );
        Ok(())
    }

    async fn a_carriers_call_id_of_another_tenant_is_a_conflict(db) {
        let ours = db.tenant("+918037091588").await?;
        let theirs = db.tenant("+918037091589").await?;
        db.call(&theirs, "sid-1", at(1)).await?;
        let outcome = db.call(&ours, "sid-1", at(2)).await;
        assert!(matches!(outcome, Err(Error::Conflict(_))), "{outcome:?}");
        Ok(())
    }

    async fn lists_hold_the_tenants_own_only(db) {
        let ours = db.tenant("+918037091588").await?;
        let theirs = db.tenant("+918037091589").await?;
        let call = db.call(&theirs, "sid-1", at(1)).await?.id;
        let page = PageRequest::default();
        let counts: [usize; 6] = db
            .read(ours.id, async |tx| {
                Ok([
                    agents::list(tx, page).await?.items.len(),
                    phone_numbers::list(tx, page).await?.items.len(),
                    calls::list(tx, &CallFilter::default(), page).await?.items.len(),
                    call_events::list(tx, call, None, 10).await?.len(),
                    recordings::of_call(tx, call).await?.len(),
                    audit::list(tx, &AuditFilter::default(), page).await?.items.len(),
                ])
            })
            .await?;
        assert_eq!(counts, [1, 1, 0, 0, 0, 0]);
        Ok(())
    }

    async fn a_tenant_that_does_not_exist_owns_nothing(db) {
        let nobody = model::OrganisationId(uuid::Uuid::from_u128(1));
        let config = agent_config("Hello");
        refused!(db, nobody,
            async |tx| agents::create(tx, "x", &config, at(1)).await.map(|_| ()),
            async |tx| outbox::push(tx, "x", object(serde_json::json!({})), at(1)).await.map(|_| ()),
        );
        Ok(())
    }
}
