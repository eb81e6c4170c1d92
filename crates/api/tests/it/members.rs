//! Members of an organisation, and the organisation itself.

use crate::app::{Person, TestApp};
use crate::auth::me;
use model::{Role, Scope};
use serde_json::{Value, json};

async fn set_role(app: &TestApp, by: &Person, whom: &Person, role: Role) -> crate::app::Answer {
    app.patch(&format!("/api/members/{}", whom.user), &by.access_token, &json!({ "role": role })).await
}

async fn remove(app: &TestApp, by: &Person, whom: &Person) -> crate::app::Answer {
    app.delete(&format!("/api/members/{}", whom.user), &by.access_token).await
}

fn roles(list: &Value) -> Vec<(String, String)> {
    let items = list["items"].as_array().expect("items").iter();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    items.map(|member| (text(&member["name"]), text(&member["role"]))).collect()
}

#[tokio::test]
async fn who_may_give_and_take_which_role() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    for (by, from, to, allowed) in [
        (Role::Owner, Role::Viewer, Role::Owner, true),
        (Role::Owner, Role::Owner, Role::Viewer, true),
        (Role::Owner, Role::Admin, Role::Member, true),
        (Role::Admin, Role::Viewer, Role::Member, true),
        (Role::Admin, Role::Member, Role::Viewer, true),
        (Role::Admin, Role::Member, Role::Admin, false),
        (Role::Admin, Role::Member, Role::Owner, false),
        (Role::Admin, Role::Admin, Role::Viewer, false),
        (Role::Admin, Role::Owner, Role::Viewer, false),
        (Role::Member, Role::Viewer, Role::Viewer, false),
        (Role::Viewer, Role::Viewer, Role::Member, false),
    ] {
        let name = |who: &str| format!("{who} {by} {from} {to}");
        let who = app.member(owner.tenant, &name("by"), by).await;
        let whom = app.member(owner.tenant, &name("whom"), from).await;
        let answer = set_role(&app, &who, &whom, to).await;
        if allowed {
            assert_eq!(answer.expect(200)["role"], json!(to), "{}", name(""));
            assert_eq!(app.audited_times(owner.tenant, "member.role_changed", &whom.user.to_string()).await, 1);
        } else {
            answer.expect_problem(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn who_may_remove_whom() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    for (by, whom, allowed) in [
        (Role::Owner, Role::Owner, true),
        (Role::Owner, Role::Viewer, true),
        (Role::Admin, Role::Member, true),
        (Role::Admin, Role::Admin, false),
        (Role::Admin, Role::Owner, false),
        (Role::Member, Role::Viewer, false),
        (Role::Viewer, Role::Viewer, false),
    ] {
        let by_person = app.member(owner.tenant, &format!("by {by} {whom}"), by).await;
        let removed = app.member(owner.tenant, &format!("whom {by} {whom}"), whom).await;
        let answer = remove(&app, &by_person, &removed).await;
        if allowed {
            answer.expect(204);
            assert_eq!(me(&app, &removed.access_token).await, 401);
            assert_eq!(app.audited_times(owner.tenant, "member.removed", &removed.user.to_string()).await, 1);
            remove(&app, &by_person, &removed).await.expect_problem(404, "not_found");
        } else {
            answer.expect_problem(403, "forbidden");
            assert_eq!(me(&app, &removed.access_token).await, 200);
        }
    }
}

#[tokio::test]
async fn the_last_owner_stays() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    set_role(&app, &owner, &owner, Role::Admin).await.expect_problem(409, "conflict");
    remove(&app, &owner, &owner).await.expect_problem(409, "conflict");
    let second = app.member(owner.tenant, "Second", Role::Owner).await;
    remove(&app, &owner, &owner).await.expect(204);
    assert_eq!(me(&app, &owner.access_token).await, 401);
    set_role(&app, &second, &second, Role::Viewer).await.expect_problem(409, "conflict");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_who_remove_each_other_leave_one() {
    let app = TestApp::start().await;
    for round in 0..5 {
        let one = app.signed_up(&format!("One {round}")).await;
        let other = app.member(one.tenant, &format!("Other {round}"), Role::Owner).await;
        let (first, second) = tokio::join!(remove(&app, &one, &other), remove(&app, &other, &one));
        let left = [&one, &other].map(|person| person.access_token.clone());
        let mut alive = 0;
        for token in &left {
            alive += usize::from(me(&app, token).await == 200);
        }
        assert_eq!(alive, 1, "{} {}", first.status, second.status);
    }
}

#[tokio::test]
async fn members_are_listed_page_by_page() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let stranger = app.signed_up("Stranger").await;
    for (name, role) in [("Asha", Role::Viewer), ("Ravi", Role::Member), ("Meera", Role::Admin)] {
        app.clock.advance(chrono::Duration::seconds(1));
        app.member(owner.tenant, name, role).await;
    }
    let first = app.get("/api/members?limit=3", &owner.access_token).await.expect(200);
    let want =
        |names: &[(&str, &str)]| names.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
    assert_eq!(roles(&first), want(&[("Meera", "admin"), ("Ravi", "member"), ("Asha", "viewer")]));
    let cursor = first["next_cursor"].as_str().expect("more");
    let rest = app.get(&format!("/api/members?limit=3&cursor={cursor}"), &owner.access_token).await.expect(200);
    assert_eq!(roles(&rest), want(&[("Owner", "owner")]));
    assert!(rest.get("next_cursor").is_none());
    assert_eq!(rest["items"][0]["email_verified"], true);
    for query in ["cursor=nonsense", "limit=0", "limit=201", "more=1"] {
        app.get(&format!("/api/members?{query}"), &owner.access_token).await.expect_problem(400, "invalid_fields");
    }
    let theirs = app.get("/api/members", &stranger.access_token).await.expect(200);
    assert_eq!(roles(&theirs), want(&[("Stranger", "owner")]));
}

#[tokio::test]
async fn members_of_others_are_not_there() {
    let app = TestApp::start().await;
    let (owner, stranger) = (app.signed_up("Owner").await, app.signed_up("Stranger").await);
    set_role(&app, &owner, &stranger, Role::Viewer).await.expect_problem(404, "not_found");
    remove(&app, &owner, &stranger).await.expect_problem(404, "not_found");
    for id in ["nonsense", "0192a000-0000-7000-8000-000000000001", "%00", "%ff"] {
        app.delete(&format!("/api/members/{id}"), &owner.access_token).await.expect_problem(404, "not_found");
    }
    assert_eq!(me(&app, &stranger.access_token).await, 200);
}

#[tokio::test]
async fn a_role_that_is_none_is_refused() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let member = app.member(owner.tenant, "Member", Role::Member).await;
    let path = format!("/api/members/{}", member.user);
    for body in [json!({ "role": "root" }), json!({}), json!({ "role": "admin", "name": "x" }), json!({ "role": 1 })] {
        app.patch(&path, &owner.access_token, &body).await.expect_problem(400, "invalid_fields");
    }
    let refused = app.patch(&path, &owner.access_token, &json!({ "role": "Owner" })).await.expect(400);
    assert_eq!(refused["errors"][0]["message"], "must be one of viewer, member, admin, owner");
}

#[tokio::test]
async fn an_organisation_is_seen_by_all_and_renamed_by_admins() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Sunrise").await;
    let viewer = app.member(owner.tenant, "Viewer", Role::Viewer).await;
    let (_, key) = app.api_key(&owner, &[Scope::OrganisationRead]).await;
    for token in [&owner.access_token, &viewer.access_token, &key] {
        let seen = app.get("/api/organisation", token).await.expect(200);
        assert_eq!((&seen["id"], &seen["name"]), (&json!(owner.tenant), &json!("Sunrise")));
    }
    let renaming = json!({ "name": "  Sunrise Dental " });
    for token in [&viewer.access_token, &key] {
        app.patch("/api/organisation", token, &renaming).await.expect_problem(403, "forbidden");
    }
    let renamed = app.patch("/api/organisation", &owner.access_token, &renaming).await.expect(200);
    assert_eq!(renamed["name"], "Sunrise Dental");
    assert_eq!(app.audited_times(owner.tenant, "settings.changed", &owner.tenant.to_string()).await, 1);
    for name in ["", " ", "a\nb", &"x".repeat(121)] {
        app.patch("/api/organisation", &owner.access_token, &json!({ "name": name })).await.expect(400);
    }
}
