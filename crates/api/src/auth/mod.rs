//! Accounts, sessions, second factor.
//!
//! What must not tell whether an address has an account is left to jobs (`store::errands`); the request itself does the
//! same work for every address.

mod accepted;
mod change_password;
mod forgot_password;
mod login;
mod logout;
mod logout_all;
mod me;
mod refresh;
mod register;
mod resend_otp;
mod reset_password;
mod second_factor;
mod sessions;
pub(crate) mod strangers;
mod tokens;
mod verify_email;

pub(crate) mod on_record;
pub(crate) mod passwords;
pub(crate) mod path_id;
pub(crate) mod secret;

pub(crate) use tokens::OrganisationOfUser;

use crate::App;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(verify_email::verify_email))
        .routes(routes!(resend_otp::resend_otp))
        .routes(routes!(login::login))
        .routes(routes!(refresh::refresh))
        .routes(routes!(logout::logout))
        .routes(routes!(logout_all::logout_all))
        .routes(routes!(forgot_password::forgot_password))
        .routes(routes!(reset_password::reset_password))
        .routes(routes!(change_password::change_password))
        .routes(routes!(me::get_me, me::update_me))
        .routes(routes!(sessions::list::list_sessions))
        .routes(routes!(sessions::end::end_session))
        .routes(routes!(second_factor::begin::begin))
        .routes(routes!(second_factor::confirm::confirm))
        .routes(routes!(second_factor::recovery_codes::renew_recovery_codes))
        .routes(routes!(second_factor::disable::disable))
}
