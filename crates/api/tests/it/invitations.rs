//! Invitations: asked by mail, accepted by the mail's token.

use crate::app::{Answer, PASSWORD, Person, TestApp};
use crate::auth::{OTHER_PASSWORD, find, login, mails, me};
use chrono::Duration;
use identity::InvitationToken;
use model::{MailKind, Role};
use serde_json::{Value, json};
use store::users::{self, NewUser};

async fn invite(app: &TestApp, by: &Person, email: &str, role: Role) -> Answer {
    app.post("/api/invitations", &by.access_token, &json!({ "email": email, "role": role })).await
}

/// Invites, and reads the mail.
async fn invited(app: &TestApp, by: &Person, email: &str, role: Role) -> (String, String) {
    let made = invite(app, by, email, role).await.expect(201);
    let mails = mails(app).await;
    let [(to, MailKind::Invitation { link, days, .. })] = &mails[..] else { panic!("{mails:?}") };
    assert_eq!((to.as_str(), *days), (email, 7));
    let (_, token) = link.expose().split_once("#token=").expect("a token");
    assert!(!made.to_string().contains(token));
    (made["id"].as_str().expect("an id").to_owned(), token.to_owned())
}

async fn accept(app: &TestApp, body: Value) -> Answer {
    app.post_public("/api/auth/accept-invitation", &body).await
}

async fn statuses(app: &TestApp, who: &Person) -> Vec<String> {
    let list = app.get("/api/invitations", &who.access_token).await.expect(200);
    let items = list["items"].as_array().expect("items").iter();
    items.map(|item| item["status"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn somebody_new_joins_with_name_and_password() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let (id, token) = invited(&app, &owner, "ravi@example.org", Role::Member).await;
    assert_eq!(statuses(&app, &owner).await, ["open"]);

    assert_eq!(accept(&app, json!({ "token": token })).await.fields(), ["name", "password"]);
    assert_eq!(accept(&app, json!({ "token": token, "name": "Ravi" })).await.fields(), ["password"]);
    let weak = json!({ "token": token, "name": "Ravi", "password": "short" });
    assert_eq!(accept(&app, weak).await.fields(), ["password"]);

    let body = json!({ "token": token, "name": "Ravi Iyer", "password": PASSWORD });
    let joined = accept(&app, body.clone()).await.expect(200);
    assert_eq!(joined["account_created"], true);
    assert_eq!(joined["organisation"], json!({ "id": owner.tenant, "name": "Owner", "role": "member" }));
    accept(&app, body).await.expect_problem(401, "invalid_token");
    assert_eq!(statuses(&app, &owner).await, ["accepted"]);

    let tokens = login(&app, "ravi@example.org", PASSWORD).await.expect(200);
    assert_eq!((&tokens["user"]["name"], &tokens["organisation"]["role"]), (&json!("Ravi Iyer"), &json!("member")));
    assert_eq!(app.audited_times(owner.tenant, "invitation.created", &id).await, 1);
    assert_eq!(app.audited_times(owner.tenant, "invitation.accepted", &id).await, 1);
}

#[tokio::test]
async fn somebody_with_an_account_joins_with_it() {
    let app = TestApp::start().await;
    let (owner, guest) = (app.signed_up("Owner").await, app.signed_up("Guest").await);
    let (_, token) = invited(&app, &owner, &guest.email, Role::Admin).await;
    let body = json!({ "token": token, "name": "Somebody Else", "password": OTHER_PASSWORD });
    assert_eq!(accept(&app, body).await.expect(200)["account_created"], false);
    login(&app, &guest.email, OTHER_PASSWORD).await.expect_problem(401, "invalid_credentials");
    let tokens = login(&app, &guest.email, PASSWORD).await.expect(200);
    assert_eq!(tokens["user"]["name"], "Guest");
    assert_eq!(tokens["organisations"].as_array().map(Vec::len), Some(2));
    assert_eq!(me(&app, &guest.access_token).await, 200, "his sessions elsewhere go on");
    invite(&app, &owner, &guest.email, Role::Viewer).await.expect_problem(409, "conflict");
}

#[tokio::test]
async fn what_was_typed_for_an_unproved_address_does_not_count() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let now = app.now();
    let hash = app.app.passwords.hash(&OTHER_PASSWORD.into()).await.expect("a hash");
    let email = crate::auth::address("ravi@example.org");
    app.store()
        .system("test.pending", async |tx| {
            users::create(tx, &NewUser { email, name: "Impostor".to_owned(), password_hash: hash.into() }, now).await
        })
        .await
        .expect("made");
    let (_, token) = invited(&app, &owner, "ravi@example.org", Role::Member).await;
    assert_eq!(accept(&app, json!({ "token": token })).await.fields(), ["name", "password"]);
    let body = json!({ "token": token, "name": "Ravi", "password": PASSWORD });
    assert_eq!(accept(&app, body).await.expect(200)["account_created"], true);
    login(&app, "ravi@example.org", OTHER_PASSWORD).await.expect_problem(401, "invalid_credentials");
    assert_eq!(login(&app, "ravi@example.org", PASSWORD).await.expect(200)["user"]["name"], "Ravi");
}

#[tokio::test]
async fn tokens_that_are_no_longer_good_are_refused() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let (id, revoked) = invited(&app, &owner, "a@example.org", Role::Member).await;
    app.delete(&format!("/api/invitations/{id}"), &owner.access_token).await.expect(204);
    app.delete(&format!("/api/invitations/{id}"), &owner.access_token).await.expect(204);
    assert_eq!(app.audited_times(owner.tenant, "invitation.revoked", &id).await, 1);
    app.clock.advance(Duration::seconds(1));
    let (_, expired) = invited(&app, &owner, "b@example.org", Role::Member).await;
    app.clock.advance(Duration::days(7));
    let unknown = InvitationToken::random().expect("randomness");
    for token in [revoked.as_str(), &expired, unknown.expose(), "nonsense", &owner.refresh_token] {
        let body = json!({ "token": token, "name": "Ravi", "password": PASSWORD });
        accept(&app, body).await.expect_problem(401, "invalid_token");
    }
    assert!(find(&app, "a@example.org").await.is_none() && find(&app, "b@example.org").await.is_none());
    let owner = app.logged_in(owner.tenant, owner.user, &owner.email, Role::Owner).await;
    assert_eq!(statuses(&app, &owner).await, ["expired", "revoked"]);
    // An expired one does not stand in the way of another.
    invited(&app, &owner, "b@example.org", Role::Member).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_simultaneous_acceptances_one_counts() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let (id, token) = invited(&app, &owner, "ravi@example.org", Role::Member).await;
    let body = json!({ "token": token, "name": "Ravi", "password": PASSWORD });
    let answers = futures_util::future::join_all((0..8).map(|_| accept(&app, body.clone()))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401, 401, 401, 401, 401, 401, 401]);
    assert_eq!(app.audited_times(owner.tenant, "invitation.accepted", &id).await, 1);
}

#[tokio::test]
async fn who_may_invite_to_which_role() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let admin = app.member(owner.tenant, "Admin", Role::Admin).await;
    let member = app.member(owner.tenant, "Member", Role::Member).await;
    for (number, (by, role, status)) in [
        (&owner, Role::Owner, 201),
        (&owner, Role::Viewer, 201),
        (&admin, Role::Member, 201),
        (&admin, Role::Admin, 403),
        (&admin, Role::Owner, 403),
        (&member, Role::Viewer, 403),
    ]
    .into_iter()
    .enumerate()
    {
        invite(&app, by, &format!("guest{number}@example.org"), role).await.expect(status);
    }
    let list = app.get("/api/invitations", &admin.access_token).await.expect(200);
    let as_owner = list["items"].as_array().expect("items").iter().find(|item| item["role"] == "owner").expect("one");
    let path = format!("/api/invitations/{}", as_owner["id"].as_str().expect("an id"));
    app.delete(&path, &admin.access_token).await.expect_problem(403, "forbidden");
    app.delete(&path, &member.access_token).await.expect_problem(403, "forbidden");
    app.delete(&path, &owner.access_token).await.expect(204);
    app.get("/api/invitations", &member.access_token).await.expect(200);
}

#[tokio::test]
async fn an_address_has_one_open_invitation_and_ones_own_organisation_none() {
    let app = TestApp::start().await;
    let (owner, stranger) = (app.signed_up("Owner").await, app.signed_up("Stranger").await);
    let (id, _) = invited(&app, &owner, "ravi@example.org", Role::Member).await;
    invite(&app, &owner, "ravi@example.org", Role::Viewer).await.expect_problem(409, "conflict");
    invite(&app, &owner, &owner.email, Role::Viewer).await.expect_problem(409, "conflict");
    invited(&app, &stranger, "ravi@example.org", Role::Viewer).await;
    for id in [id.as_str(), "nonsense", "0192a000-0000-7000-8000-000000000001"] {
        let path = format!("/api/invitations/{id}");
        app.delete(&path, &stranger.access_token).await.expect_problem(404, "not_found");
    }
    assert_eq!(statuses(&app, &owner).await, ["open"]);
}

#[tokio::test]
async fn nobodys_mailbox_is_filled_with_invitations() {
    let app = TestApp::start_with(|app| {
        app.policies.set("code_resend", 3, std::time::Duration::from_secs(600)).expect("a policy");
    })
    .await;
    let owner = app.signed_up("Owner").await;
    for _ in 0..3 {
        let (id, _) = invited(&app, &owner, "ravi@example.org", Role::Member).await;
        app.delete(&format!("/api/invitations/{id}"), &owner.access_token).await.expect(204);
    }
    invite(&app, &owner, "ravi@example.org", Role::Member).await.expect_problem(429, "rate_limited");
}
