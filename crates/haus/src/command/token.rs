//! `haus token`: letting services and people in. The one place where the command line shows a secret, once.

use super::running::Running;
use crate::arguments::{Asked, Token, TokenCreate, TokenRevoke, TokenRotateKey};
use crate::exit::{Code, DONE, FAILED, Failure, REFUSED, WRONG_USE};
use crate::listing::{self, NOTHING};
use crate::terminal;
use haus_api::identity::{TokenCreate as Request, TokenCreated, TokenView};
use haus_model::Secret;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Shorter beginnings of an id are too easily another one's.
const ID_CHARS_MIN: usize = 4;

pub(crate) fn cmd_token(arguments: &Token) -> Result<Code, Failure> {
    match arguments {
        Token::Create(arguments) => create(arguments),
        Token::List(asked) => list(asked),
        Token::Revoke(arguments) => revoke(arguments),
        Token::RotateKey(arguments) => rotate_key(arguments),
    }
}

fn create(arguments: &TokenCreate) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    // Opened before there is a token: one that cannot be kept need not be made.
    let file = arguments.to.as_deref().map(new_file).transpose()?;
    let request = Request {
        service: arguments.service.clone(),
        instance: arguments.instance.clone(),
        name: arguments.name.clone(),
        scopes: arguments.scope.clone(),
        expires_in_s: arguments.expires.map(|span| span.as_secs()),
    };
    let made = running.order(running.client.create_token(&request));
    let kept = made.and_then(|made| match (file, &arguments.to) {
        (Some(mut file), Some(path)) => write(&mut file, &made.token, path).map(|()| made),
        (Some(_), None) | (None, _) => Ok(made),
    });
    let made = match (kept, &arguments.to) {
        (Ok(made), _) => made,
        (Err(failure), path) => {
            // Nothing useful is in it.
            let _ = path.as_ref().map(std::fs::remove_file);
            return Err(failure);
        }
    };
    show(&made, arguments);
    Ok(DONE)
}

/// The token alone on standard output, so that it can be passed on; what is said about it goes to people.
fn show(made: &TokenCreated, arguments: &TokenCreate) {
    let scopes = listing::names(&made.scopes);
    let about =
        format!("lets {} in once, until {}, with {scopes} (id {})", made.subject, made.expires_at, made.id);
    match (&arguments.to, arguments.asked.json) {
        (None, true) => terminal::json(made),
        (Some(path), true) => terminal::json(&serde_json::json!({
            "id": made.id, "subject": made.subject, "expires_at": made.expires_at, "scopes": made.scopes,
            "file": path.display().to_string(),
        })),
        (Some(path), false) => terminal::line(&format!("{} {about}", path.display())),
        (None, false) => {
            terminal::error(&format!("shown this once; it {about}\n"));
            // A token is plain ASCII (docs/formats/tokens.md).
            terminal::line(&String::from_utf8_lossy(made.token.expose_bytes()));
        }
    }
}

fn new_file(path: &Path) -> Result<std::fs::File, Failure> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        let code = if error.kind() == std::io::ErrorKind::AlreadyExists { REFUSED } else { WRONG_USE };
        Failure::new(code, format!("cannot make {}: {error}", path.display()))
            .hint("name a new file in a folder that this account may write to")
    })
}

fn write(file: &mut std::fs::File, token: &Secret, path: &Path) -> Result<(), Failure> {
    let written = file.write_all(token.expose_bytes()).and_then(|()| file.write_all(b"\n"));
    written.and_then(|()| file.sync_all()).map_err(|error| {
        Failure::new(FAILED, format!("cannot write {}: {error}", path.display())).hint(
            "a token was made that nobody has; `haus token list` shows it, `haus token revoke` takes it back",
        )
    })
}

fn list(asked: &Asked) -> Result<Code, Failure> {
    let running = Running::of(&asked.target)?;
    let found = running.ask(running.client.all_tokens())?;
    if asked.json {
        terminal::json(&found);
    } else if found.is_empty() {
        terminal::line("nobody is in, and no one-time token is open");
    } else {
        terminal::out(&table(&found));
    }
    Ok(DONE)
}

fn table(found: &[TokenView]) -> String {
    let or_nothing = |text: &Option<String>| text.clone().unwrap_or_else(|| NOTHING.to_owned());
    let row = |token: &TokenView| {
        [
            token.id.clone(),
            token.kind.clone(),
            token.subject.clone(),
            or_nothing(&token.used_at),
            token.expires_at.clone(),
            or_nothing(&token.made_by),
            listing::names(&token.scopes),
        ]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    listing::table(["ID", "KIND", "WHO", "USED", "EXPIRES", "MADE BY", "MAY"], &rows)
}

fn revoke(arguments: &TokenRevoke) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    let found = running.ask(running.client.all_tokens())?;
    let meant = meant(found, &arguments.token)?;
    running.order(running.client.revoke_token(&meant.id))?;
    if arguments.asked.json {
        terminal::json(&meant);
    } else {
        terminal::line(&format!(
            "{} of {} (id {}) opens nothing any more",
            meant.kind, meant.subject, meant.id
        ));
    }
    Ok(DONE)
}

/// The token that is meant: by its id, the beginning of it, or whom it lets in.
fn meant(found: Vec<TokenView>, text: &str) -> Result<TokenView, Failure> {
    if text.starts_with("haus_") || text.starts_with("eyJ") {
        return Err(Failure::new(WRONG_USE, "this is a token itself, and not its id")
            .hint("`haus token list` shows the ids; whoever saw the command line has the token now"));
    }
    let is_id = |token: &TokenView| token.id == text;
    if let Some(exact) = found.iter().find(|token| is_id(token)) {
        return Ok(exact.clone());
    }
    let is_meant = |token: &TokenView| {
        token.subject == text || (text.len() >= ID_CHARS_MIN && token.id.starts_with(text))
    };
    let mut meant: Vec<TokenView> = found.into_iter().filter(is_meant).collect();
    match (meant.len(), meant.pop()) {
        (1, Some(one)) => Ok(one),
        (_, None) => {
            Err(Failure::new(WRONG_USE, format!("there is no token or session `{}`", text.escape_debug()))
                .hint("`haus token list` shows those that there are"))
        }
        (_, Some(last)) => {
            meant.push(last);
            let shown: Vec<String> = meant
                .iter()
                .map(|token| format!("{} ({} of {})", token.id, token.kind, token.subject))
                .collect();
            let message = format!("`{}` could be one of several: {}", text.escape_debug(), shown.join(", "));
            Err(Failure::new(REFUSED, message).hint("name it by its id"))
        }
    }
}

fn rotate_key(arguments: &TokenRotateKey) -> Result<Code, Failure> {
    let running = Running::of(&arguments.asked.target)?;
    let rotated = running.order(running.client.rotate_signing_key(arguments.stolen))?;
    if arguments.asked.json {
        terminal::json(&rotated);
    } else {
        let former = match (rotated.former.is_empty(), arguments.stolen) {
            (true, _) => String::new(),
            (false, true) => "; everything that the former ones signed has ended".to_owned(),
            (false, false) => {
                format!(
                    "; what was signed with {} is still good for a quarter of an hour",
                    rotated.former.join(", ")
                )
            }
        };
        terminal::line(&format!("key {} signs access tokens{former}", rotated.key_id));
    }
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: &str, subject: &str) -> TokenView {
        TokenView {
            id: id.into(),
            kind: "session".into(),
            subject: subject.into(),
            scopes: Vec::new(),
            created_at: "then".into(),
            used_at: None,
            expires_at: "later".into(),
            made_by: None,
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&str, Code>) {
        let all =
            vec![token("abcd1", "service:api/1"), token("abcd2", "service:api/2"), token("x", "token:ada")];
        let told = meant(all, text);
        assert_eq!(told.as_ref().map(|token| token.id.as_str()).map_err(|failure| failure.code), expected);
        let words = told.map_or_else(|failure| format!("{failure:?}"), |_| String::new());
        assert!(!words.contains("AAECAw"), "{words}");
    }

    #[test]
    fn a_token_is_named_by_its_id_its_beginning_or_its_holder() {
        check("abcd2", Ok("abcd2"));
        check("x", Ok("x"));
        check("service:api/1", Ok("abcd1"));
        check("abcd", Err(REFUSED));
        check("abc", Err(WRONG_USE));
        check("service:api", Err(WRONG_USE));
    }

    #[test]
    fn a_token_itself_is_refused_and_not_repeated() {
        check("haus_en_AAECAwQFBgcICQ", Err(WRONG_USE));
        check("eyJAAECAw", Err(WRONG_USE));
    }
}
