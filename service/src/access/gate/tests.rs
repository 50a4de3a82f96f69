//! On real files, with a second opening of the database where another process is meant.

use ledger::ManualClock;
use tempfile::TempDir;

use super::{
    super::{
        name::Name,
        roles::{Right, Role},
        terms::{Terms, tests::terms},
    },
    *,
};
use crate::ledger_dir::LedgerDir;

/// A database in a folder of its own, and a clock.
pub struct Bed {
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub folder: TempDir,
}

impl Bed {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("log")).unwrap();
        let store = Store::open(&LedgerDir::new(folder.path())).await.unwrap();
        let clock = Arc::new(ManualClock::at("2026-11-26T10:00:00Z".parse().unwrap()));
        Self { store, clock, folder }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn access(&self) -> Access {
        Access::open(self.store.clone(), self.clock.clone()).await.unwrap()
    }

    /// As another process sees it.
    async fn other(&self) -> Store {
        Store::open(&LedgerDir::new(self.folder.path())).await.unwrap()
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn header(secret: &Secret) -> Vec<u8> {
    format!("Bearer {}", secret.expose()).into_bytes()
}

async fn code(access: &Access, header: Option<&[u8]>) -> &'static str {
    access.authenticate(header).await.map_or_else(|denied| denied.code(), |_| "in")
}

#[tokio::test]
async fn access_sees_at_once_what_another_process_makes() {
    let bed = Bed::new().await;
    let access = bed.access().await;
    assert!(!access.needs_tokens().await.unwrap());
    let other = bed.other().await;
    for round in 0..3 {
        let name = name(&format!("gifts-{round}"));
        let secret = tokens::create(&other, &name, &terms(&[Role::Append]), bed.now()).await.unwrap();
        let token = access.authenticate(Some(&header(&secret))).await.unwrap();
        assert_eq!((token.name(), token.terms().source.as_str()), (&name, "gift-service"));
        assert!(access.needs_tokens().await.unwrap());
    }
}

#[tokio::test]
async fn access_ends_within_a_second_when_another_process_revokes() {
    let bed = Bed::new().await;
    let secret = tokens::create(&bed.store, &name("t"), &terms(&[Role::Read]), bed.now()).await.unwrap();
    let access = bed.access().await;
    let token = access.authenticate(Some(&header(&secret))).await.unwrap();
    tokens::revoke(&bed.other().await, &name("t"), bed.now()).await.unwrap();
    let revoked = Instant::now();
    while access.still(&token).await.is_ok() {
        assert!(revoked.elapsed() < Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    let denied = access.authenticate(Some(&header(&secret))).await.unwrap_err();
    assert_eq!((denied.code(), denied.token()), ("token_revoked", Some(&name("t"))));
    assert_eq!(access.still(&token).await.unwrap_err().code(), "token_revoked");
    assert!(access.needs_tokens().await.unwrap(), "one was made once");
}

#[tokio::test]
async fn access_ends_when_a_token_expires_and_when_its_grace_does() {
    let bed = Bed::new().await;
    let until = bed.now().plus_millis(7_200_000);
    let terms = Terms { expires: Some(until), ..terms(&[Role::Read]) };
    let old = tokens::create(&bed.store, &name("t"), &terms, bed.now()).await.unwrap();
    let access = bed.access().await;
    let new = tokens::rotate(&bed.other().await, &name("t"), 3_600_000, bed.now()).await.unwrap();
    let codes = async || [code(&access, Some(&header(&old))).await, code(&access, Some(&header(&new))).await];
    assert_eq!(codes().await, ["in", "in"]);
    // The new one was not known, so the database was asked: the old one has its end from now on.
    bed.clock.advance_millis(3_599_999);
    assert_eq!(codes().await, ["in", "in"]);
    bed.clock.advance_millis(1);
    assert_eq!(codes().await, ["token_replaced", "in"]);
    bed.clock.advance_millis(3_600_000);
    assert_eq!(codes().await, ["token_expired", "token_expired"]);
}

#[tokio::test]
async fn access_stays_closed_to_whatever_is_no_token() {
    let bed = Bed::new().await;
    let secret = tokens::create(&bed.store, &name("t"), &terms(&[Role::Read]), bed.now()).await.unwrap();
    let access = bed.access().await;
    let own = secret.expose();
    let stranger = Secret::random().unwrap();
    let cases: [(Vec<u8>, &str); 16] = [
        (format!("Bearer {own}").into(), "in"),
        (format!("bearer  {own} ").into(), "in"),
        (b"".to_vec(), "token_unknown"),
        (b"Bearer".to_vec(), "token_unknown"),
        (b"Bearer ".to_vec(), "token_unknown"),
        (own.into(), "token_unknown"),
        (format!("Basic {own}").into(), "token_unknown"),
        (format!("Bearer {own}{own}").into(), "token_unknown"),
        (format!("Bearer {own}, Bearer {own}").into(), "token_unknown"),
        (format!("Bearer {}", stranger.expose()).into(), "token_unknown"),
        (format!("Bearer {}", own.to_uppercase()).into(), "token_unknown"),
        (format!("Bearer {}", "A".repeat(1 << 20)).into(), "token_unknown"),
        (format!("{}Bearer {own}", " ".repeat(1 << 20)).into(), "token_unknown"),
        ("Bearer gl_' OR 1=1 --".into(), "token_unknown"),
        (vec![0xff; 53], "token_unknown"),
        (vec![0; 53], "token_unknown"),
    ];
    for (header, expected) in cases {
        assert_eq!(code(&access, Some(&header)).await, expected, "{} bytes", header.len());
    }
    assert_eq!(code(&access, None).await, "token_missing");
}

#[tokio::test]
async fn access_shows_no_secret_in_what_is_logged() {
    let bed = Bed::new().await;
    let secret = tokens::create(&bed.store, &name("t"), &terms(&[Role::Read]), bed.now()).await.unwrap();
    let access = bed.access().await;
    let token = access.authenticate(Some(&header(&secret))).await.unwrap();
    let wrong = access.authenticate(Some(&header(&Secret::random().unwrap()))).await.unwrap_err();
    let hash: String = format!("{:?}", secret.sha256());
    let shown = format!("{access:?} {token:?} {:?} {wrong:?} {wrong} {secret:?}", token.has(Right::Tokens));
    assert!(!shown.contains(&secret.expose()[3..]) && !shown.contains(&hash), "{shown}");
}

#[tokio::test]
async fn access_answers_a_crowd_of_guesses_together() {
    let bed = Bed::new().await;
    let access = Arc::new(bed.access().await);
    let began = Instant::now();
    let guesses = (0..2_000).map(|_| {
        let access = access.clone();
        let header = header(&Secret::random().unwrap());
        tokio::spawn(async move { code(&access, Some(&header)).await })
    });
    for guess in guesses.collect::<Vec<_>>() {
        assert_eq!(guess.await.unwrap(), "token_unknown");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "one question each would take 40 s");
}

#[tokio::test]
async fn access_is_counted_over_all_secrets_of_a_token_and_over_reloads() {
    let bed = Bed::new().await;
    let coins = |n| Coins::new(n).unwrap();
    let terms = Terms { per_second: "5".parse().ok(), daily_coins: Some(coins(100)), ..terms(&[Role::Support]) };
    let old = tokens::create(&bed.store, &name("t"), &terms, bed.now()).await.unwrap();
    let access = bed.access().await;
    let by_old = access.authenticate(Some(&header(&old))).await.unwrap();
    access.take(&by_old, 5).unwrap();
    let grant = |n: u64| -> Command {
        serde_json::from_str(&format!(r#"{{"grant":{{"user":"u","coins":{n},"reason":"r"}}}}"#)).unwrap()
    };
    let _ = access.reserve(&by_old, &grant(60)).await.unwrap();
    let new = tokens::rotate(&bed.store, &name("t"), 3_600_000, bed.now()).await.unwrap();
    let by_new = access.authenticate(Some(&header(&new))).await.unwrap();
    assert_eq!(access.take(&by_new, 1).unwrap_err().code(), "too_many_requests");
    let denied = access.reserve(&by_new, &grant(41)).await.unwrap_err();
    assert_eq!(
        denied.to_string(),
        "token t may make 100 coins a day and has 40 left until midnight in UTC, fewer than 41: ask again then, or \
         use a token with more daily coins"
    );
    assert_eq!(denied.retry_after(), Some(Duration::from_hours(14)));
    let reserved = access.reserve(&by_new, &grant(40)).await.unwrap();
    access.give_back(&by_new, reserved).await;
    access.close().await.unwrap();
    let listed = tokens::list(&bed.store, bed.now()).await.unwrap();
    assert_eq!(listed[0].coins_today, 60);
    let members = vec![grant(Coins::MAX.get()), grant(Coins::MAX.get())];
    let denied = access.reserve(&by_new, &Command::Group(members)).await.unwrap_err();
    assert_eq!(denied.code(), "daily_coins");
}

#[tokio::test]
async fn access_is_refused_when_nobody_can_know() {
    let bed = Bed::new().await;
    let secret = tokens::create(&bed.store, &name("t"), &terms(&[Role::Read]), bed.now()).await.unwrap();
    let access = bed.access().await;
    sqlx::query(r#"UPDATE tokens SET terms = '{"roles":["emperor"]}'"#).execute(bed.store.pool()).await.unwrap();
    let began = Instant::now();
    loop {
        match code(&access, Some(&header(&secret))).await {
            "in" => assert!(began.elapsed() < Duration::from_secs(1)),
            code => break assert_eq!(code, "tokens_unavailable"),
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(access.needs_tokens().await.unwrap_err().code(), "tokens_unavailable");
}
