//! A folder of files.

use crate::rig::{Rig, routes};
use crate::wire::Message;
use haus_gateway::{FilesTarget, Route, Target};
use haus_testkit::{is_root, loud_skip};
use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::path::PathBuf;
use tempfile::TempDir;

struct Site {
    rig: Rig,
    _folder: TempDir,
}

fn site(strip: Option<&str>) -> Site {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("assets")).unwrap();
    fs::create_dir_all(root.join("docs")).unwrap();
    fs::create_dir_all(root.join(".git")).unwrap();
    for (name, text) in [
        ("index.html", "<h1>index</h1>"),
        ("docs/index.html", "docs"),
        ("assets/app-1f2e.js", "let a"),
        ("a b.txt", "spaced"),
        (".env", "secret"),
        (".git/config", "secret"),
    ] {
        fs::write(root.join(name), text).unwrap();
    }
    fs::write(root.join("large.bin"), vec![7; 300_000]).unwrap();
    fs::write(folder.path().join("outside.txt"), "secret").unwrap();
    symlink("../outside.txt", root.join("leak.txt")).unwrap();
    symlink("/etc/passwd", root.join("passwd")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("a b.txt", root.join("inside.txt")).unwrap();
    let target =
        FilesTarget { root, fallback: Some("index.html".to_owned()), immutable: Some("/assets/".to_owned()) };
    let prefix = strip.unwrap_or("/");
    let route = Route { strip: strip.map(str::to_owned), ..Route::to(prefix, Target::Files(target)) };
    Site { rig: Rig::start(routes(vec![route])), _folder: folder }
}

impl Site {
    async fn ask(&self, method: &str, path: &str, headers: &str) -> Message {
        let raw =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        let mut wire = self.rig.connect().await;
        wire.send(raw).await;
        if method == "HEAD" { wire.head().await.unwrap() } else { wire.message(true).await.unwrap() }
    }

    async fn check(&self, path: &str, status: u16, text: &str) -> Message {
        let answer = self.ask("GET", path, "").await;
        assert_eq!(answer.status(), status, "{path}: {}", answer.text());
        assert!(answer.text().contains(text), "{path}: {}", answer.text());
        assert!(!answer.text().contains("secret") && !answer.text().contains("root:"), "{path} leaks");
        answer
    }
}

#[tokio::test]
async fn files_are_served_with_type_validators_and_caching() {
    let site = site(None);
    let index = site.check("/", 200, "<h1>index</h1>").await;
    assert_eq!(index.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(index.header("cache-control"), Some("no-cache"));
    assert_eq!(index.header("x-content-type-options"), Some("nosniff"));
    let script = site.check("/assets/app-1f2e.js", 200, "let a").await;
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(script.header("cache-control"), Some("public, max-age=31536000, immutable"));
    site.check("/a%20b.txt?v=1", 200, "spaced").await;
    site.check("/inside.txt", 200, "spaced").await;
    site.check("/docs/", 200, "docs").await;
    assert_eq!(site.check("/docs", 308, "").await.header("location"), Some("./docs/"));
    assert_eq!(site.ask("GET", "/large.bin", "").await.body, vec![7; 300_000]);

    for path in ["/", "/large.bin"] {
        let head = site.ask("HEAD", path, "").await;
        let length = if path == "/" { "14" } else { "300000" };
        assert_eq!((head.status(), head.header("content-length")), (200, Some(length)));
    }
}

#[tokio::test]
async fn unchanged_files_are_not_sent_again() {
    let site = site(None);
    let first = site.check("/", 200, "index").await;
    let (tag, date) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    assert!(date.ends_with(" GMT"), "{date}");
    for (header, status) in [
        (format!("if-none-match: {tag}\r\n"), 304),
        (format!("if-none-match: \"x\", W/{tag}\r\n"), 304),
        ("if-none-match: *\r\n".to_owned(), 304),
        ("if-none-match: \"x\"\r\n".to_owned(), 200),
        (format!("if-modified-since: {date}\r\n"), 304),
        (format!("if-none-match: \"x\"\r\nif-modified-since: {date}\r\n"), 200),
        ("if-modified-since: Sat, 01 Jan 2000 00:00:00 GMT\r\n".to_owned(), 200),
    ] {
        let answer = site.ask("GET", "/", &header).await;
        assert_eq!(answer.status(), status, "{header}");
        assert_eq!(answer.header("etag"), Some(tag));
    }
}

#[tokio::test]
async fn nothing_outside_the_root_and_no_dot_file_is_served() {
    let site = site(None);
    for path in ["/leak.txt", "/passwd", "/up/outside.txt", "/.env", "/.git/config", "/docs/.x", "/%2eenv"] {
        site.check(path, 404, "no-file").await;
    }
    for path in
        ["/../outside.txt", "/docs/../../outside.txt", "/..%2foutside.txt", "/%2e%2e/outside.txt", "/a%00"]
    {
        site.check(path, 400, "bad-request").await;
    }
    site.check("/docs/../a%20b.txt", 200, "spaced").await;
    site.check("/a%20b.txt/x", 404, "no-file").await;
}

#[tokio::test]
async fn only_browsers_asking_for_pages_get_the_fallback() {
    let site = site(None);
    for (method, path, headers, status) in [
        ("GET", "/orders/7", "accept: text/html,*/*\r\n", 200),
        ("GET", "/orders/7", "accept: application/json\r\n", 404),
        ("GET", "/orders/7.js", "accept: text/html\r\n", 404),
        ("GET", "/assets/gone", "accept: text/html\r\n", 404),
        ("POST", "/orders/7", "accept: application/json\r\ncontent-length: 0\r\n", 405),
        ("DELETE", "/", "", 405),
    ] {
        let answer = site.ask(method, path, headers).await;
        assert_eq!(answer.status(), status, "{method} {path} {headers}");
        if status == 405 {
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        }
    }
    let page = site.ask("GET", "/orders/7", "accept: text/html\r\n").await;
    assert_eq!((page.text().as_str(), page.header("cache-control")), ("<h1>index</h1>", Some("no-cache")));
}

#[tokio::test]
async fn a_stripped_prefix_is_not_part_of_the_file_name() {
    let site = site(Some("/app"));
    site.check("/app/docs/", 200, "docs").await;
    site.check("/app", 200, "index").await;
    site.check("/app/assets/app-1f2e.js", 200, "let a").await;
    site.check("/docs/", 404, "no-route").await;
}

/// An account that is neither root nor ours.
const STRANGER: u32 = 65_534;

/// A house whose service owns `app` and serves `app/up`, which it may exchange; the secret is not its own.
struct Uploads {
    rig: Rig,
    folder: TempDir,
    up: PathBuf,
}

fn uploads() -> Uploads {
    let folder = tempfile::tempdir().unwrap();
    let (up, secret) = (folder.path().join("app/up"), folder.path().join("credentials"));
    fs::create_dir_all(&up).unwrap();
    fs::create_dir_all(&secret).unwrap();
    fs::write(up.join("k"), "upload").unwrap();
    fs::write(secret.join("k"), "secret").unwrap();
    symlink("app/up", folder.path().join("uploads")).unwrap();
    let target =
        FilesTarget { root: folder.path().join("uploads"), fallback: Some("k".to_owned()), immutable: None };
    let rig = Rig::start(routes(vec![Route::to("/", Target::Files(target))]));
    Uploads { rig, folder, up }
}

#[tokio::test]
async fn the_root_may_be_reached_by_a_link_of_our_own() {
    let uploads = uploads();
    assert_eq!(uploads.rig.get("localhost", "/k").await.text(), "upload");
}

#[tokio::test]
async fn a_service_cannot_lay_the_root_elsewhere() {
    if !is_root() {
        loud_skip("a_service_cannot_lay_the_root_elsewhere", "laying a link as another account needs root");
        return;
    }
    let uploads = uploads();
    assert_eq!(uploads.rig.get("localhost", "/k").await.text(), "upload");
    for path in [uploads.up.parent().unwrap(), &uploads.up] {
        lchown(path, Some(STRANGER), Some(STRANGER)).unwrap();
    }
    assert_eq!(uploads.rig.get("localhost", "/k").await.text(), "upload");
    fs::rename(&uploads.up, uploads.folder.path().join("app/old")).unwrap();
    for target in [uploads.folder.path().join("credentials"), "../credentials".into(), "old".into()] {
        symlink(&target, &uploads.up).unwrap();
        lchown(&uploads.up, Some(STRANGER), Some(STRANGER)).unwrap();
        for path in ["/k", "/page"] {
            let ask = format!(
                "GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\nconnection: close\r\n\r\n"
            );
            let answer = uploads.rig.ask(ask).await;
            assert_eq!(answer.status(), 404, "{path} {target:?}: {}", answer.text());
            assert!(
                !answer.text().contains("secret") && !answer.text().contains("app/up"),
                "{}",
                answer.text()
            );
        }
        fs::remove_file(&uploads.up).unwrap();
    }
    crate::rig::eventually("all records", || uploads.rig.records().len() == 8).await;
    let records = uploads.rig.records();
    let told = records.iter().filter_map(|record| record.why.as_deref());
    assert_eq!(told.filter(|why| why.contains("app/up is a link that account 65534 laid")).count(), 6);
}
