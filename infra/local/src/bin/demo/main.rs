//! `make demo`: plays the life of a session against the running stack, as a mobile app, a thief and an API would live
//! it. Each step says what it shows and fails when the service does not keep its word. It knows nothing but
//! `seed.json`: everything goes over HTTP.

mod app;
mod show;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use http::StatusCode;
use leasehold_local::client::Client;
use leasehold_local::seed::Seed;

use app::{App, Session};
use show::{Failure, check, note, step, token};

/// Plays the tour against the running stack.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Flags {
    /// Data folder of the running stack
    #[arg(long, env = "DATA", default_value = ".local", value_name = "FOLDER")]
    data: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match play(&Flags::parse()).await {
        Ok(()) => {
            show::line("\nAll steps kept their word.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            show::line(&format!("\nFAILED: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn play(flags: &Flags) -> Result<(), Failure> {
    let seed = read_seed(flags)?;
    let client = Client::default();
    let app = App::of(&seed, "acme", client.clone())?;
    let other = App::of(&seed, "globex", client)?;
    show::line(&format!("Leasehold at {}, tenant acme, user {}", seed.base_url, app.username()));

    let session = sign_in(&app).await?;
    let tablet = app.login("tablet").await?;
    verify_token(&app, &other, &session).await?;
    let (first, second) = refresh(&app, &session).await?;
    let second = lost_reply(&app, &first, second).await?;
    let third = two_at_once(&app, &second).await?;
    theft(&app, &first, &third, &tablet).await?;
    foreign_door(&app, &other).await?;
    revoke(&app).await?;
    keys(&app, &other).await
}

fn read_seed(flags: &Flags) -> Result<Seed, Failure> {
    let path = flags.data.join("seed.json");
    let text = std::fs::read(&path)
        .map_err(|error| format!("{}: {error}; start the stack first (make run)", path.display()))?;
    let seed: Seed = serde_json::from_slice(&text)?;
    if seed.tenants.is_empty() {
        return Err("the stack was started without seeded tenants".into());
    }
    Ok(seed)
}

async fn sign_in(app: &App) -> Result<Session, Failure> {
    step("Sign in", "name and password buy a short access token and a long-lived refresh token.");
    let session = app.login("phone").await?;
    token("access_token", &session.access_token);
    token("refresh_token", &session.refresh_token);
    note(&format!("sid {}, access token lives {} s", session.sid, session.expires_in));
    let wrong = app.login_with("not the password").await?;
    check(wrong.status == StatusCode::UNAUTHORIZED, "a wrong password is refused with 401")?;
    check(wrong.json()["error"] == "invalid_credentials", "and says no more than invalid_credentials")?;
    Ok(session)
}

async fn verify_token(app: &App, other: &App, session: &Session) -> Result<(), Failure> {
    step(
        "Verify",
        "an API checks the access token offline, with any JWT library and the tenant's published keys.",
    );
    let keys = app.keys().await?;
    let claims = verify::access_token(&session.access_token, &keys, app.issuer(), &app.audience())?;
    for name in ["iss", "sub", "aud", "client_id", "scope", "sid", "tid", "exp"] {
        note(&format!("{name:<10} {}", claims[name]));
    }
    check(claims["tid"] == "acme", "the token names its tenant")?;
    check(claims["sid"] == *session.sid, "and its session")?;
    let foreign = other.keys().await?;
    let refused = verify::access_token(&session.access_token, &foreign, app.issuer(), &app.audience());
    check(refused.is_err(), "another tenant's keys do not verify it")
}

/// The first token and its successor.
async fn refresh(app: &App, session: &Session) -> Result<(String, Session), Failure> {
    step("Refresh", "each refresh token is used once: it buys new tokens and its own successor.");
    let successor = app.refresh(&session.refresh_token).await?;
    token("presented", &session.refresh_token);
    token("successor", &successor.refresh_token);
    note(&format!("generation {}", successor.generation));
    check(successor.refresh_token != session.refresh_token, "the refresh token has rotated")?;
    check(successor.sid == session.sid, "the session is the same")?;
    Ok((session.refresh_token.clone(), successor))
}

async fn lost_reply(app: &App, first: &str, lost: Session) -> Result<Session, Failure> {
    step(
        "Lost reply",
        "the phone never saw that answer (tunnel, crash) and presents its old token once more.",
    );
    let again = app.refresh(first).await?;
    token("presented again", first);
    token("answer", &again.refresh_token);
    check(again.replayed, "the service knows it for a retry")?;
    check(
        again.refresh_token == lost.refresh_token,
        "and gives the byte-identical successor: nobody is signed out",
    )?;
    check(again.generation == lost.generation, "of the same generation")?;
    Ok(again)
}

async fn two_at_once(app: &App, second: &Session) -> Result<Session, Failure> {
    step("Two at once", "two threads of the app present the same token in the same moment.");
    let (a, b) = tokio::join!(app.refresh(&second.refresh_token), app.refresh(&second.refresh_token));
    let (a, b) = (a?, b?);
    token("caller 1", &a.refresh_token);
    token("caller 2", &b.refresh_token);
    check(a.refresh_token == b.refresh_token, "both hold the same successor: one lineage, no fork")?;
    check(a.generation == second.generation + 1, "and the family took one step, not two")?;
    Ok(a)
}

async fn theft(app: &App, grandparent: &str, current: &Session, tablet: &Session) -> Result<(), Failure> {
    step("Theft", "a thief presents a token from two steps ago, which no honest app still holds.");
    app.refused(grandparent, "the thief gets 400 invalid_grant").await?;
    app.refused(&current.refresh_token, "the family is ended: the token that was current is refused too")
        .await?;
    let alive = app.refresh(&tablet.refresh_token).await?;
    check(alive.sid == tablet.sid, "the user's other login lives on")
}

async fn foreign_door(app: &App, other: &App) -> Result<(), Failure> {
    step("Another tenant", "acme's token at globex's door is worth nothing, and stays good at home.");
    let session = app.login("laptop").await?;
    other.refused(&session.refresh_token, "globex refuses it with 400 invalid_grant").await?;
    let home = app.refresh(&session.refresh_token).await?;
    check(home.sid == session.sid, "acme still takes it")
}

async fn revoke(app: &App) -> Result<(), Failure> {
    step("Revoke", "the user signs out: the refresh token is handed back.");
    let session = app.login("phone").await?;
    let reply = app.revoke(&session.refresh_token).await?;
    check(reply.status == StatusCode::OK, "revocation answers 200")?;
    app.refused(&session.refresh_token, "the session is over: 400 invalid_grant").await
}

async fn keys(app: &App, other: &App) -> Result<(), Failure> {
    step("Keys", "each tenant publishes its own keys, cacheable and revalidated for nothing.");
    for app in [app, other] {
        let (reply, kids) = app.published_keys().await?;
        let header =
            |name: &str| reply.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
        note(&format!("{}: {}   cache-control: {}", app.tenant(), kids.join(", "), header("cache-control")));
        let unchanged = app.published_if_changed(header("etag")).await?;
        check(unchanged.status == StatusCode::NOT_MODIFIED, "the same ETag answers 304")?;
    }
    Ok(())
}
