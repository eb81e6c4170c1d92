//! Invitations: one open per address, accepted once, by whom it is for.

use crate::database::{TestDatabase, at, both_databases};
use crate::users::{email, nobody, race, winners};
use model::{InvitationId, Role, TenantId, UserId};
use store::invitations::{self, Invitation, NewInvitation};
use store::{Error, PageRequest, memberships};

fn new(address: &str, by: UserId, n: u8) -> NewInvitation {
    NewInvitation {
        email: email(address),
        role: Role::Member,
        token_hash: [n; 32],
        invited_by: by,
        expires_at: at(1_000),
    }
}

async fn create(db: &TestDatabase, tenant: TenantId, new: &NewInvitation, seconds: i64) -> Result<Invitation, Error> {
    db.write(tenant, async |tx| invitations::create(tx, new, at(seconds)).await).await
}

async fn open(db: &TestDatabase, n: u8, seconds: i64) -> Result<Option<InvitationId>, Error> {
    let found = db.system(async |tx| invitations::find_open(tx, [n; 32], at(seconds)).await).await?;
    Ok(found.map(|invitation| invitation.id))
}

async fn accept(
    db: &TestDatabase,
    tenant: TenantId,
    id: InvitationId,
    user: UserId,
    seconds: i64,
) -> Result<bool, Error> {
    db.write(tenant, async |tx| invitations::accept(tx, id, user, at(seconds)).await).await
}

both_databases! {
    async fn an_invitation_is_accepted_once(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let owner = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let made = create(db, tenant, &new("ravi@clinic.in", owner, 1), 1).await?;
        assert_eq!((made.tenant, made.role, made.invited_by), (tenant, Role::Member, owner));
        assert_eq!((made.email.as_str(), made.created_at, made.expires_at), ("ravi@clinic.in", at(1), at(1_000)));
        assert!(made.is_open(at(999)) && !made.is_open(at(1_000)));
        let found = db.system(async |tx| invitations::find_open(tx, [1; 32], at(2)).await).await?;
        assert_eq!(found.as_ref(), Some(&made));
        let user = db.user("ravi@clinic.in").await?;
        let outcomes = race(db, |store, _| async move {
            store.write(tenant, "test.accept", async |tx| invitations::accept(tx, made.id, user, at(3)).await).await
        })
        .await;
        assert_eq!(winners(outcomes), 1);
        let member = db.read(tenant, async |tx| memberships::get(tx, user).await).await?;
        assert_eq!((member.role, member.created_at), (Role::Member, at(3)));
        let answered = db.read(tenant, async |tx| invitations::get(tx, made.id).await).await?;
        assert_eq!((answered.accepted_at, answered.accepted_by), (Some(at(3)), Some(user)));
        assert!(!answered.is_open(at(4)));
        assert_eq!(open(db, 1, 4).await?, None);
        assert!(!db.write(tenant, async |tx| invitations::revoke(tx, made.id, at(4)).await).await?);
        Ok(())
    }

    async fn it_is_for_its_address_only(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let owner = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let id = create(db, tenant, &new("ravi@clinic.in", owner, 1), 1).await?.id;
        let eve = db.user("eve@clinic.in").await?;
        let outcome = accept(db, tenant, id, eve, 2).await;
        assert!(matches!(outcome, Err(Error::Conflict(_))), "{outcome:?}");
        let joined = db.read(tenant, async |tx| memberships::get(tx, eve).await).await;
        assert!(matches!(joined, Err(Error::NotFound)), "{joined:?}");
        assert_eq!(open(db, 1, 3).await?, Some(id), "the refused try uses nothing up");
        let outcome = accept(db, tenant, id, nobody(), 2).await;
        assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
        Ok(())
    }

    async fn it_is_not_accepted_after_its_end(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let owner = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let (ravi, dev) = (db.user("ravi@clinic.in").await?, db.user("dev@clinic.in").await?);
        let late = create(db, tenant, &new("ravi@clinic.in", owner, 1), 1).await?.id;
        assert!(!accept(db, tenant, late, ravi, 1_000).await?);
        assert_eq!(open(db, 1, 1_000).await?, None);
        let revoked = create(db, tenant, &new("dev@clinic.in", owner, 2), 1).await?.id;
        assert!(db.write(tenant, async |tx| invitations::revoke(tx, revoked, at(2)).await).await?);
        assert!(!db.write(tenant, async |tx| invitations::revoke(tx, revoked, at(3)).await).await?);
        assert_eq!(open(db, 2, 3).await?, None);
        assert!(!accept(db, tenant, revoked, dev, 3).await?);
        assert_eq!(db.read(tenant, async |tx| invitations::get(tx, revoked).await).await?.revoked_at, Some(at(2)));
        Ok(())
    }

    async fn an_address_has_one_open_invitation(db) {
        let (tenant, other) = (db.tenant("+918037091588").await?.id, db.tenant("+918037091589").await?.id);
        let owner = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        db.write(other, async |tx| memberships::add(tx, owner, Role::Owner, at(0)).await).await?;
        let first = create(db, tenant, &new("ravi@clinic.in", owner, 1), 1).await?.id;
        create(db, other, &new("ravi@clinic.in", owner, 2), 1).await?;
        let again = create(db, tenant, &new("ravi@clinic.in", owner, 3), 999).await;
        assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
        let member = create(db, tenant, &new("asha@clinic.in", owner, 4), 2).await;
        assert!(matches!(member, Err(Error::Conflict(text)) if text.contains("member")), "{member:?}");
        // Expired, it is in nobody's way.
        let renewed = NewInvitation { expires_at: at(9_000), ..new("ravi@clinic.in", owner, 5) };
        let renewed = create(db, tenant, &renewed, 1_000).await?.id;
        assert_eq!(open(db, 5, 1_001).await?, Some(renewed));
        let gone = db.read(tenant, async |tx| invitations::get(tx, first).await).await;
        assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
        db.write(tenant, async |tx| invitations::revoke(tx, renewed, at(1_002)).await).await?;
        let after = NewInvitation { expires_at: at(9_000), ..new("ravi@clinic.in", owner, 6) };
        create(db, tenant, &after, 1_003).await?;
        Ok(())
    }

    async fn of_simultaneous_invitations_one_is_made(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let owner = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let outcomes = race(db, |store, n| async move {
            let new = new("ravi@clinic.in", owner, u8::try_from(n).expect("small"));
            let made = store.write(tenant, "test.invite", async |tx| invitations::create(tx, &new, at(1)).await).await;
            match made {
                Ok(_) => Ok(true),
                Err(Error::Conflict(_)) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await;
        assert_eq!(winners(outcomes), 1);
        Ok(())
    }

    async fn nobody_is_invited_while_he_joins(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let owner = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let user = db.user("ravi@clinic.in").await?;
        let id = create(db, tenant, &new("ravi@clinic.in", owner, 100), 1).await?.id;
        let outcomes = race(db, |store, n| async move {
            let new = new("ravi@clinic.in", owner, u8::try_from(n).expect("small"));
            store
                .write(tenant, "test.mixed", async |tx| match n {
                    10 => invitations::accept(tx, id, user, at(2)).await,
                    _ => invitations::create(tx, &new, at(2)).await.map(|_| true),
                })
                .await
        })
        .await;
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Conflict(_)))).count();
        assert_eq!(refused, outcomes.len() - 1, "{outcomes:?}");
        assert!(outcomes.iter().any(|outcome| matches!(outcome, Ok(true))), "{outcomes:?}");
        Ok(())
    }

    async fn a_member_who_accepts_stays_what_he_is(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let owner = db.member(tenant, "asha@clinic.in", Role::Owner).await?;
        let id = create(db, tenant, &new("ravi@clinic.in", owner, 1), 1).await?.id;
        let user = db.member(tenant, "ravi@clinic.in", Role::Admin).await?;
        assert!(accept(db, tenant, id, user, 2).await?);
        assert_eq!(db.read(tenant, async |tx| memberships::get(tx, user).await).await?.role, Role::Admin);
        Ok(())
    }

    async fn another_organisations_are_not_found(db) {
        let (ours, theirs) = (db.tenant("+918037091588").await?.id, db.tenant("+918037091589").await?.id);
        let us = db.member(ours, "asha@clinic.in", Role::Owner).await?;
        let them = db.member(theirs, "ravi@clinic.in", Role::Owner).await?;
        let id = create(db, theirs, &new("dev@clinic.in", them, 1), 1).await?.id;
        let dev = db.user("dev@clinic.in").await?;
        let outcomes = [
            db.read(ours, async |tx| invitations::get(tx, id).await.map(|_| ())).await,
            db.write(ours, async |tx| invitations::revoke(tx, id, at(2)).await.map(|_| ())).await,
            accept(db, ours, id, dev, 2).await.map(|_| ()),
            create(db, ours, &new("new@clinic.in", them, 2), 2).await.map(|_| ()),
        ];
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Error::NotFound))), "{outcomes:?}");
        assert_eq!(open(db, 1, 3).await?, Some(id));
        create(db, ours, &new("first@clinic.in", us, 3), 3).await?;
        create(db, ours, &new("second@clinic.in", us, 4), 4).await?;
        let page = db.read(ours, async |tx| invitations::list(tx, PageRequest::default()).await).await?;
        let listed: Vec<_> = page.items.iter().map(|invitation| invitation.email.as_str()).collect();
        assert_eq!(listed, ["second@clinic.in", "first@clinic.in"]);
        Ok(())
    }
}
