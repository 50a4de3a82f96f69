use std::fs;

use super::*;

fn load_with(file: &str, variables: &[(&str, &str)], typed: &[(&'static str, &str, &str)]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    if !file.is_empty() {
        fs::write(folder.path().join(FILE), file).unwrap();
    }
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let settings = typed.iter().map(|(flag, key, text)| (*flag, (*key).to_owned(), (*text).to_owned()));
    let typed = Typed { file: None, settings: settings.collect() };
    let loaded = load(&typed, folder.path(), variables);
    loaded.map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn config_takes_the_last_of_default_file_variable_and_flag() {
    let file = "listen = \"127.0.0.1:1\"\nshards = 4\n\n[limits]\nconnections = 1_000\nfollowers = 2\nfolds = 1\n";
    let variables =
        [("GIFTLEDGER_LIMITS_FOLLOWERS", "3"), ("GIFTLEDGER_LIMITS_FOLDS", "5"), ("GIFTLEDGER_LOG", "info")];
    let loaded =
        load_with(file, &variables, &[("--set", "limits.folds", "7"), ("--listen", "listen", "[::1]:9")]).unwrap();
    let limits = loaded.config.limits;
    assert_eq!((limits.connections, limits.followers, limits.folds), (1_000, 3, 7));
    assert_eq!((loaded.config.listen.to_string().as_str(), loaded.config.shards), ("[::1]:9", Some(4)));
    assert_eq!((loaded.config.log_level.as_str(), limits.bulk_lines), ("info", 100_000));
    for (key, origin) in [
        ("limits.connections", "giftledger.toml, line 5"),
        ("limits.followers", "GIFTLEDGER_LIMITS_FOLLOWERS"),
        ("limits.folds", "--set"),
        ("limits.bulk_lines", "default"),
        ("log.level", "GIFTLEDGER_LOG"),
    ] {
        assert!(loaded.origin(key).to_string().ends_with(origin), "{key}: {}", loaded.origin(key));
    }
    let nothing = load_with("", &[], &[]).unwrap();
    assert_eq!((nothing.config, nothing.file), (Config::default(), None));
}

#[test]
fn config_says_all_that_is_wrong_with_where_it_stands() {
    let file = "listen = \"nowhere\"\nconections = 5\nlimits.folds = \"2\"\nlimits.followers = 0\nshards = [1]\n\
                [tls]\nkey = \"key.pem\"\n[log]\nlevel = \"inof\"\nformat = \"xml\"\n[extra]\nthings = 1\n";
    let variables =
        [("GIFTLEDGER_LIMITS_CONNECTIONS", "many"), ("GIFTLEDGER_LISTN", "x"), ("GIFTLEDGER_PORT", "tcp://x")];
    let said = load_with(file, &variables, &[("--set", "limits.bulk_byte", "1")]).unwrap_err();
    let address = "an address and a port, such as 127.0.0.1:8040 or [::]:8040";
    let level = "off, error, warn, info, debug, trace, or a list such as warn,giftledger=debug";
    let expected = [
        "12 things are wrong with the config:".to_owned(),
        format!("giftledger.toml, line 1: listen: found \"nowhere\"; allowed is {address}"),
        "giftledger.toml, line 2: conections: there is no such setting; did you mean limits.connections?".into(),
        "giftledger.toml, line 3: limits.folds: found \"2\"; allowed is a whole number from 1 to 1024".into(),
        "giftledger.toml, line 4: limits.followers: found 0; allowed is a whole number from 1 to 1000000".into(),
        "giftledger.toml, line 5: shards: found [1]; allowed is a whole number from 1 to 1024".into(),
        format!("giftledger.toml, line 9: log.level: found \"inof\"; allowed is {level}"),
        "giftledger.toml, line 10: log.format: found \"xml\"; allowed is text or json".into(),
        "giftledger.toml, line 11: extra: there is no such setting; giftledger config show names them all".into(),
        "GIFTLEDGER_LIMITS_CONNECTIONS: limits.connections: found many; allowed is a whole number from 1 to 1000000"
            .into(),
        "GIFTLEDGER_LISTN: there is no such variable; did you mean GIFTLEDGER_LISTEN?".into(),
        "--set: limits.bulk_byte: there is no such setting; did you mean limits.bulk_bytes?".into(),
        "giftledger.toml, line 7: tls.key is set, and tls.certificate is not: a key needs its certificate".into(),
    ];
    assert_eq!(said.lines().map(str::trim).collect::<Vec<_>>(), expected);
    assert!(!said.contains("GIFTLEDGER_PORT"), "a variable that others made");
}

#[test]
fn config_that_is_no_toml_or_not_there_is_refused() {
    let said = load_with("listen = \n[limits\nfolds = 3\nfolds = 4\n", &[], &[]).unwrap_err();
    assert!(said.contains("giftledger.toml, line 1: ") && said.contains("line 2: "), "{said}");
    let said = load_with("", &[(FILE_VARIABLE, "/nowhere/config.toml")], &[]).unwrap_err();
    assert!(said.contains("/nowhere/config.toml"), "{said}");
}

#[test]
fn config_names_files_beside_the_file_that_names_them() {
    let tls = "[tls]\ncertificate = \"cert.pem\"\nkey = \"/run/key.pem\"\n";
    let loaded = load_with(tls, &[], &[]).unwrap();
    let (certificate, key) = loaded.config.tls().unwrap();
    assert_eq!(certificate, loaded.file.as_ref().unwrap().with_file_name("cert.pem"));
    assert_eq!(key, Path::new("/run/key.pem"));
}

#[test]
fn every_setting_takes_its_own_value() {
    let names: std::collections::BTreeSet<String> = SETTINGS.iter().map(Setting::variable).collect();
    assert_eq!(names.len(), SETTINGS.len(), "each has a variable of its own");
    for setting in SETTINGS {
        let value = setting.value(&Config::default());
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if !value.is_null() {
            let mut config = Config::default();
            assert!(setting.set(&mut config, settings::Found::Typed(&text)), "{}", setting.key);
            assert_eq!(config, Config::default(), "{}", setting.key);
        }
        assert!(!setting.set(&mut Config::default(), settings::Found::Typed("")), "{}", setting.key);
    }
}
