//! Stream tokens: one use, in time.

use crate::database::{at, both_databases};
use chrono::Duration;
use store::Error;
use store::stream_tokens::{self, Consumed};

const TTL: Duration = Duration::seconds(60);

both_databases! {
    async fn a_token_is_granted_once(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?;
        db.write(tenant.id, async |tx| stream_tokens::issue(tx, call.id, [1; 32], at(0), TTL).await).await?;
        let first = db.system(async |tx| stream_tokens::consume(tx, [1; 32], at(5)).await).await?;
        let Consumed::Granted(grant) = first else { panic!("{first:?}") };
        assert_eq!((grant.tenant, grant.call, grant.agent), (tenant.id, call.id, tenant.agent));
        assert_eq!(grant.carrier_call_id.as_deref(), Some("sid-1"));
        let again = db.system(async |tx| stream_tokens::consume(tx, [1; 32], at(6)).await).await?;
        assert_eq!(again, Consumed::Used);
        let later = db.system(async |tx| stream_tokens::consume(tx, [1; 32], at(600)).await).await?;
        assert_eq!(later, Consumed::Used, "a replay after its time is a replay all the same");
        Ok(())
    }

    async fn unknown_and_expired_are_told_apart(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?;
        db.write(tenant.id, async |tx| stream_tokens::issue(tx, call.id, [1; 32], at(0), TTL).await).await?;
        let unknown = db.system(async |tx| stream_tokens::consume(tx, [2; 32], at(5)).await).await?;
        assert_eq!(unknown, Consumed::Unknown);
        let expired = db.system(async |tx| stream_tokens::consume(tx, [1; 32], at(60)).await).await?;
        assert_eq!(expired, Consumed::Expired);
        let in_time = db.system(async |tx| stream_tokens::consume(tx, [1; 32], at(59)).await).await?;
        assert!(matches!(in_time, Consumed::Granted(_)), "a refused try uses nothing up");
        Ok(())
    }

    async fn of_simultaneous_uses_one_is_granted(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?;
        db.write(tenant.id, async |tx| stream_tokens::issue(tx, call.id, [1; 32], at(0), TTL).await).await?;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let store = db.store.clone();
            tasks.spawn(async move {
                let outcome: Result<Consumed, Error> = store
                    .system("test.consume", async |tx| stream_tokens::consume(tx, [1; 32], at(5)).await)
                    .await;
                outcome
            });
        }
        let (mut granted, mut used) = (0, 0);
        while let Some(done) = tasks.join_next().await {
            match done?? {
                Consumed::Granted(_) => granted += 1,
                Consumed::Used => used += 1,
                other @ (Consumed::Unknown | Consumed::Expired) => panic!("{other:?}"),
            }
        }
        assert_eq!((granted, used), (1, 19));
        Ok(())
    }

    async fn a_use_that_is_rolled_back_is_no_use(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?;
        db.write(tenant.id, async |tx| stream_tokens::issue(tx, call.id, [1; 32], at(0), TTL).await).await?;
        let _: Result<(), Error> = db
            .system(async |tx| {
                stream_tokens::consume(tx, [1; 32], at(5)).await?;
                Err(Error::Busy)
            })
            .await;
        let after = db.system(async |tx| stream_tokens::consume(tx, [1; 32], at(6)).await).await?;
        assert!(matches!(after, Consumed::Granted(_)));
        Ok(())
    }

    async fn expired_tokens_are_removed(db) {
        let tenant = db.tenant("+918037091588").await?;
        let call = db.call(&tenant, "sid-1", at(0)).await?;
        for (hash, issued) in [([1; 32], 0), ([2; 32], 100)] {
            db.write(tenant.id, async |tx| stream_tokens::issue(tx, call.id, hash, at(issued), TTL).await).await?;
        }
        assert_eq!(db.system(async |tx| stream_tokens::purge(tx, at(100)).await).await?, 1);
        let gone = db.system(async |tx| stream_tokens::consume(tx, [1; 32], at(101)).await).await?;
        let kept = db.system(async |tx| stream_tokens::consume(tx, [2; 32], at(101)).await).await?;
        assert!(gone == Consumed::Unknown && matches!(kept, Consumed::Granted(_)));
        Ok(())
    }
}
