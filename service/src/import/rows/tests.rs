use std::io::{self, Write};

use super::*;
use crate::import::source::uncompressed;

const HEADER: &str = "gift_id,campaign,occurred_at,sender,amount_usd,room,streamers\n";

fn mapping() -> Mapping {
    Mapping::parse(include_str!("../../../../docs/marathon/mapping.toml"), "mapping.toml").unwrap()
}

fn source(bytes: impl Into<Vec<u8>>) -> Source {
    uncompressed(io::Cursor::new(bytes.into())).unwrap()
}

fn rows(bytes: impl Into<Vec<u8>>) -> Rows {
    Rows::of_source(source(bytes), "gifts.csv", &mapping()).unwrap()
}

fn gift(found: Option<Found>) -> Row {
    let Some(Found::Gift(row)) = found else { panic!("no gift: {found:?}") };
    *row
}

fn gifts(rows: Rows) -> Vec<Row> {
    rows.map(|found| gift(Some(found.unwrap()))).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn json(row: &Row) -> String {
    let top_up = row.top_up.as_ref().map(|top_up| serde_json::to_string(top_up).unwrap() + "\n");
    top_up.unwrap_or_default() + &serde_json::to_string(&row.gift).unwrap()
}

#[test]
fn a_row_becomes_a_top_up_and_a_gift() {
    let text = HEADER.to_owned() + "3293,SGDQ2011,2011-08-04T19:01:38.250Z,u_1,50.05,sgdq2011-blaster,s_1|s_2|s_1\n";
    let row = gift(rows(text).next_row().unwrap());
    assert_eq!(row.line, 2);
    assert_eq!(
        json(&row).lines().collect::<Vec<_>>(),
        [
            r#"{"id":"topup-3293","occurred_at":"2011-08-04T19:01:38.250Z","actor":"overlay","top_up":{"user":"u_1","channel":"overlay","transaction":"3293","coins":5005,"paid":{"currency":"USD","amount":"50.05"}}}"#,
            r#"{"id":"gift-3293","occurred_at":"2011-08-04T19:01:38.250Z","actor":"import","gift":{"user":"u_1","item":"donation","quantity":5005,"to":[{"streamer":"s_1","weight":2},{"streamer":"s_2","weight":1}],"room":"sgdq2011-blaster","combo":null,"activity":"SGDQ2011","expected_price":1}}"#,
        ]
    );
}

#[test]
fn what_a_row_leaves_out_is_left_out() {
    let text = HEADER.to_owned() + "1,,2011-08-04T19:01:38+02:00,anonymous,1,,\n";
    let row = gift(rows(text).next_row().unwrap());
    let Command::Gift(given) = &row.gift.command else { panic!("{row:?}") };
    assert_eq!((given.to.len(), &given.room, &given.activity, given.quantity), (0, &None, &None, 100));
    let bare = Mapping { top_up: None, ..mapping() };
    let text = HEADER.to_owned() + "1,,2011-08-04T19:01:38+02:00,anonymous,1,,\n";
    let alone = gift(Rows::of_source(source(text), "gifts.csv", &bare).unwrap().next_row().unwrap());
    assert_eq!(alone, Row { top_up: None, ..row });
}

/// A row without a streamer went to the house without a word. Now the mapping has to say that it does.
#[test]
fn a_row_that_names_nobody_is_the_houses_only_on_purpose() {
    let silent = Mapping { of_nobody: None, ..mapping() };
    let text = HEADER.to_owned() + "1,,2011-08-04T19:01:38Z,u,1,,\n2,,2011-08-04T19:01:38Z,u,1,,s\n";
    let mut rows = Rows::of_source(source(text), "gifts.csv", &silent).unwrap();
    let found = rows.next_row().unwrap().unwrap();
    let Found::Malformed { line: 2, why } = &found else { panic!("{found:?}") };
    assert!(why.contains("column \"streamers\"") && why.contains("[streamers] none = \"house\""), "{why}");
    assert_eq!(gift(rows.next_row().unwrap()).line, 3);
}

#[test]
fn coins_coarser_than_the_currency_are_paid_in_full() {
    let mut tenths = mapping();
    tenths.amount.decimals = 1;
    let text = HEADER.to_owned() + "1,,2011-08-04T19:01:38Z,u,12.30,,\n";
    let row = gift(Rows::of_source(source(text), "gifts.csv", &tenths).unwrap().next_row().unwrap());
    let Some(Command::TopUp(top_up)) = row.top_up.map(|t| t.command) else { panic!("no top-up") };
    assert_eq!((top_up.coins.get(), top_up.paid.to_string().as_str()), (123, "12.30 USD"));
}

#[test]
fn a_wrong_row_says_where_and_what() {
    let many: Vec<String> = (0..65).map(|n| format!("s{n}")).collect();
    let many = format!("1,c,2011-08-04T19:01:38Z,u,1,r,{}", many.join("|"));
    for (row, said) in [
        ("1,c,2011-08-04T19:01:38Z,u,1", "gifts.csv, line 3: 5 fields where the header has 7"),
        ("1,c,2011-08-04T19:01:38Z,u,-1,r,s", "column \"amount_usd\", value \"-1\": an amount must not be negative"),
        ("1,c,2011-08-04T19:01:38Z,u,0.00,r,s", "value \"0.00\": a gift of nothing is no gift"),
        ("1,c,2011-08-04T19:01:38Z,u,1.005,r,s", "value \"1.005\": more than 2 decimals"),
        ("1,c,2011-08-04T19:01:38Z,u,90071992547409.92,r,s", "more than 9007199254740991 coins"),
        ("1,c,2011-08-04T19:01:38Z,u,NaN,r,s", "value \"NaN\": not a decimal amount"),
        (
            "1,c,04.08.2011,u,1,r,s",
            "column \"occurred_at\", value \"04.08.2011\": \"04.08.2011\" is not a time of RFC 3339",
        ),
        ("1,c,2500-01-01T00:00:00Z,u,1,r,s", "is too late: a time is at most 2262-04-11"),
        (",c,2011-08-04T19:01:38Z,u,1,r,s", "column \"gift_id\", value \"\": a gift's id must not be empty"),
        ("a b,c,2011-08-04T19:01:38Z,u,1,r,s", "column \"gift_id\", value \"a b\": ' ' in \"a b\": a transaction id"),
        ("1,c,2011-08-04T19:01:38Z,,1,r,s", "column \"sender\", value \"\": a user id must not be empty"),
        ("1,c,2011-08-04T19:01:38Z,a:b,1,r,s", "column \"sender\", value \"a:b\": ':' in \"a:b\""),
        ("1,c,2011-08-04T19:01:38Z,u,1,r r,s", "column \"room\", value \"r r\""),
        ("1,c c,2011-08-04T19:01:38Z,u,1,r,s", "column \"campaign\", value \"c c\""),
        (
            "1,c,2011-08-04T19:01:38Z,u,1,r,s||t",
            "column \"streamers\", value \"s||t\": a streamer id must not be empty",
        ),
        ("1,c,2011-08-04T19:01:38Z,u,1,r,house", "gift.to[0].streamer: found \"house\"; allowed is any other"),
        (&many, "gifts.csv, line 3: gift.to: found 65 recipients; allowed is at most 64"),
    ] {
        let good = "2,c,2011-08-04T19:01:38Z,u,1,r,s\n";
        let mut rows = rows(format!("{HEADER}{good}{row}\n{good}"));
        assert!(rows.next_row().is_ok());
        let found = rows.next_row().unwrap().unwrap();
        let Found::Malformed { line: 3, why } = &found else { panic!("{row}: {found:?}") };
        for said in [said, "gifts.csv, line 3"] {
            assert!(why.contains(said), "{row}: {why}");
        }
        assert_eq!(gift(rows.next_row().unwrap()).line, 4, "{row}: the next row is lost");
    }
}

#[test]
fn a_mapping_that_does_not_fit_says_what_the_file_has() {
    let error = Rows::of_source(source("gift_id,amount\n1,2\n"), "gifts.csv", &mapping()).err().unwrap();
    assert_eq!(
        format!("{error:#}"),
        "the mapping mapping.toml does not fit: gifts.csv has no column named \"room\" ([columns] room), \
         no column named \"streamers\" ([columns] streamers), no column named \"campaign\" ([columns] activity), \
         no column named \"occurred_at\" ([columns] time), no column named \"sender\" ([columns] sender), \
         no column named \"amount_usd\" ([columns] amount); its columns are gift_id, amount"
    );
    let error = Rows::of_source(source(""), "gifts.csv", &mapping()).err().unwrap();
    assert!(format!("{error:#}").ends_with("the file is empty"), "{error:#}");
    let error = Rows::open(Path::new("no/such.csv"), &mapping()).err().unwrap();
    assert!(format!("{error:#}").starts_with("opening no/such.csv: "), "{error:#}");
}

fn long() -> String {
    let row = |n| format!("{n},c,2011-08-04T19:01:38Z,u_{n},{n}.{:02},r,s\n", n % 100);
    HEADER.to_owned() + &(1..=5000).map(row).collect::<String>()
}

#[test]
fn content_tells_what_is_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let plain = gifts(rows(long()));
    assert_eq!(plain.len(), 5000);
    let members = [gzip(&long()[..1000]), gzip(&long()[1000..])].concat();
    for (name, bytes) in
        [("a.csv", long().into_bytes()), ("b.csv.gz", gzip(&long())), ("c.csv", gzip(&long())), ("d.gz", members)]
    {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let rows = Rows::open(&path, &mapping()).unwrap();
        let progress = rows.progress();
        assert_eq!(gifts(rows), plain, "{name}");
        assert_eq!([progress.read(), progress.total()], [bytes.len() as u64; 2], "{name}");
    }
}

#[test]
fn a_file_that_is_cut_off_or_damaged_is_an_error_not_an_end() {
    let whole = gzip(&long());
    for length in (3..whole.len()).step_by(whole.len() / 50).chain([whole.len() - 8, whole.len() - 1]) {
        let error = match Rows::of_source(source(&whole[..length]), "gifts.csv.gz", &mapping()) {
            Err(error) => error,
            Ok(mut rows) => {
                let error = rows.by_ref().find_map(Result::err).expect("an error");
                assert!(rows.next().is_none(), "it reads on");
                error
            }
        };
        let error = format!("{error:#}");
        assert!(error.contains("the file is cut off, get it whole"), "{length}: {error}");
        assert!(error.starts_with("reading gifts.csv.gz"), "{length}: {error}");
    }
    let mut damaged = whole.clone();
    let middle = whole.len() / 2;
    damaged[middle..middle + 20].fill(0xff);
    let trailing = [&whole[..], b"something else entirely"].concat();
    let mut sum = whole.clone();
    let place = whole.len() - 6;
    sum[place] ^= 1;
    for bytes in [damaged, trailing, sum] {
        let mut rows = Rows::of_source(source(bytes), "gifts.csv.gz", &mapping()).unwrap();
        let error = format!("{:#}", rows.find_map(Result::err).expect("an error"));
        assert!(error.contains("its gzip data is damaged"), "{error}");
    }
}

#[test]
fn a_resume_goes_on_where_it_was() {
    let mut first = rows(long());
    for _ in 0..1234 {
        first.next_row().unwrap().unwrap();
    }
    let position = first.reached();
    assert_eq!((position.line, position.rows), (1235, 1234));
    let stored = serde_json::to_string(&position).unwrap();
    let position: Position = serde_json::from_str(&stored).unwrap();
    // Compressed since, with other line ends: still the same rows.
    let mut second = rows(gzip(&long().replace('\n', "\r\n")));
    second.resume(&position).unwrap();
    assert_eq!(second.reached(), position);
    assert_eq!(second.next_row().unwrap(), first.next_row().unwrap());
    assert_eq!(second.reached(), first.reached());
    let mut longer = rows(long() + "5001,c,2011-08-04T19:01:38Z,u,1,r,s\n");
    longer.resume(&position).unwrap();
    assert_eq!(longer.by_ref().count(), 5001 - 1234);
    let end = longer.reached();
    for (text, position, said) in [
        (long().replace("u_77,", "u_78,"), position, "the first 1234 rows of gifts.csv are not those"),
        (long().replace("campaign", "campaigns"), position, "not fit"),
        (long().replace(",room,", ",place,"), position, "not fit"),
        (long().replace(",c,2", ",,c2"), position, "are not those that were read before"),
        (long(), end, "gifts.csv has 5000 rows, and 5001 of it were read before"),
    ] {
        let resumed = Rows::of_source(source(text), "gifts.csv", &mapping());
        let error = resumed.and_then(|mut rows| rows.resume(&position)).unwrap_err();
        assert!(format!("{error:#}").contains(said), "{error:#}");
    }
    let start = rows(long()).reached();
    assert_eq!((start.line, start.rows), (1, 0));
    rows(long()).resume(&start).unwrap();
}

#[test]
fn rows_can_move_to_another_thread() {
    fn sent<T: Send>() {}
    sent::<Rows>();
}

/// A mapping for a statement: its `[file]` and the sections that are added, and what it replaces.
fn statement(sections: &str, columns: &str, amount: &str) -> Mapping {
    let text = format!(
        "{sections}\n[columns]\n{columns}\n[streamers]\nnone = 'house'\n[amount]\n{amount}\n[gift]\nitem = 'donation'\nactor = 'import'\n{}",
        if columns.contains("gift = ") { "" } else { "id_prefix = '2026-12-'\nnumber_rows = true\n" }
    );
    Mapping::parse(&text, "m.toml").unwrap()
}

/// Time, sender, coins of each gift; `-` of a row that is left out.
fn told(bytes: &[u8], mapping: &Mapping) -> Vec<String> {
    let rows = Rows::of_source(source(bytes), "statement.csv", mapping).unwrap();
    let told = |found| match found {
        Found::Gift(row) => {
            let Command::Gift(gift) = &row.gift.command else { panic!("{row:?}") };
            format!("{} {} {} {}", row.gift.id, row.gift.occurred_at.unwrap(), gift.user, row.coins)
        }
        Found::LeftOut { line } => format!("- {line}"),
        Found::Malformed { why, .. } => panic!("{why}"),
    };
    rows.map(|found| told(found.unwrap())).collect()
}

fn encoded(text: &str, label: &str) -> Vec<u8> {
    let (bytes, _, unmappable) = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap().encode(text);
    assert!(!unmappable);
    bytes.into_owned()
}

/// As `WeChat`, Alipay, `PayPal`, Venmo and a German bank write them: what is public of them needs no
/// preparation, only a mapping.
#[test]
fn statements_are_read_as_they_come() {
    let preamble = "支付宝交易明细, \"某行\n".repeat(23);
    let alipay = preamble.clone()
        + "交易时间,交易分类,对方账号,收/支,金额,状态,订单号,\r\n"
        + "2026-11-01 08:00:00,转账,a_1,收入,28.16,成功,\"2026110100\t\",\r\n"
        + "2026-11-01 09:00:00,餐饮,a_2,支出,5.00,成功,2026110101\t,\r\n"
        + "2026-11-01 10:00:00,转账,a_3,收入,7.00,失败,2026110102\t,\r\n"
        + "------------------------------------------------\r\n共3笔\r\n";
    let alipay_mapping = statement(
        "[file]\nencoding = 'GB18030'\nskip_lines = 23\nend = '----'\n\
         [time]\nformat = '%Y-%m-%d %H:%M:%S'\nzone = 'Asia/Shanghai'\n\
         [[only]]\ncolumn = '收/支'\nequals = '收入'\n[[only]]\ncolumn = '状态'\nin = ['成功', '完成']\n",
        "gift = '订单号'\ntime = '交易时间'\nsender = '对方账号'\namount = '金额'",
        "currency = 'CNY'",
    );
    let wechat = "\u{feff}交易时间,用户标识,微信订单号,货币种类,金额\n`2026-11-01 08:00:00,`o_1,`42000,`CNY,`¥28.16\n\
                  `2026-11-01 08:00:01,`o_2,`42001,`CNY,`¥1.00\n总交易单数,总额\n`2,`29.16\n";
    let wechat_mapping = statement(
        "[file]\ntrim = ' \t`'\nend = ['总交易单数']\n\
         [time]\nformat = '%Y-%m-%d %H:%M:%S'\nzone = 'Asia/Shanghai'\n",
        "gift = '微信订单号'\ntime = '交易时间'\nsender = '用户标识'\namount = '金额'\ncurrency = '货币种类'",
        "currency = 'CNY'\nsign = '¥'",
    );
    let paypal = "\u{feff}\"Date\",\"Time\",\"From\",\"Gross\",\"ID\"\r\n\
                  \"07/04/2026\",\"13:02:03\",\"p1\",\"12,500.00\t\",\"8AB\"\r\n\
                  \"07/05/2026\",\"00:00:00\",\"p2\",\"-1,000.00\",\"8AC\"\r\n";
    let paypal_mapping = statement(
        "[time]\nformat = '%m/%d/%Y %H:%M:%S'\nzone = 'America/Los_Angeles'\n",
        "gift = 'ID'\ntime = ['Date', 'Time']\nsender = 'From'\namount = 'Gross'",
        "currency = 'USD'\nthousands_mark = ','\nnegative = 'skip'",
    );
    let venmo = "Account Statement\r\rID\tDatetime\tFrom\tAmount\r1\t2026-07-04T13:02:03+00:00\tv1\t- $220.00\r\
                 2\t2026-07-04T13:02:04+00:00\tv2\t+ $1,220.00\r";
    let venmo_mapping = statement(
        "[file]\nskip_lines = 2\ndelimiter = \"\\t\"\n",
        "gift = 'ID'\ntime = 'Datetime'\nsender = 'From'\namount = 'Amount'",
        "currency = 'USD'\nthousands_mark = ','\nsign = '$'\nnegative = 'skip'",
    );
    let german = "Buchungstag;Auftraggeber;Betrag;Währung\r\n24.12.2026;müller;1.234,56 €;EUR\r\n\
                  24.12.2026;müller;1.234,56 €;EUR\r\n";
    let german_mapping = statement(
        "[file]\nencoding = 'windows-1252'\ndelimiter = ';'\n\
         [time]\nformat = '%d.%m.%Y'\nzone = 'Europe/Berlin'\n",
        "time = 'Buchungstag'\nsender = 'Auftraggeber'\namount = 'Betrag'\ncurrency = 'Währung'",
        "currency = 'EUR'\ndecimal_mark = ','\nthousands_mark = '.'\nsign = '€'",
    );
    let utf_16 = format!("\u{feff}{}", wechat.trim_start_matches('\u{feff}'));
    let utf_16: Vec<u8> = utf_16.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let of_wechat = &["42000 2026-11-01T00:00:00Z o_1 2816", "42001 2026-11-01T00:00:01Z o_2 100"];
    let cases: [(&str, Vec<u8>, &Mapping, &[&str]); 6] = [
        (
            "a preamble of 23 lines in GB18030, a filter, a trailer",
            encoded(&alipay, "gb18030"),
            &alipay_mapping,
            &["2026110100 2026-11-01T00:00:00Z a_1 2816", "- 26", "- 27"],
        ),
        ("backticks and a yuan sign", wechat.as_bytes().to_vec(), &wechat_mapping, of_wechat),
        ("the same in UTF-16", utf_16, &wechat_mapping, of_wechat),
        (
            "thousands, a tab behind, date and time apart",
            paypal.as_bytes().to_vec(),
            &paypal_mapping,
            &["8AB 2026-07-04T20:02:03Z p1 1250000", "- 3"],
        ),
        (
            "CR alone, tabs, minus before the dollar",
            venmo.as_bytes().to_vec(),
            &venmo_mapping,
            &["- 4", "2 2026-07-04T13:02:04Z v2 122000"],
        ),
        (
            "semicolons, decimal commas, no ids: two rows alike are two gifts",
            encoded(&german.replace("müller", "mueller"), "windows-1252"),
            &german_mapping,
            &["2026-12-1 2026-12-23T23:00:00Z mueller 123456", "2026-12-2 2026-12-23T23:00:00Z mueller 123456"],
        ),
    ];
    for (what, bytes, mapping, expected) in cases {
        assert_eq!(told(&bytes, mapping), expected, "{what}");
    }
}

#[test]
fn a_row_in_another_currency_is_malformed() {
    let mapping =
        statement("", "gift = 'i'\ntime = 't'\nsender = 's'\namount = 'a'\ncurrency = 'c'", "currency = 'USD'");
    let text = "i,t,s,a,c\n1,2026-07-04T13:02:03Z,u,5,EUR\n";
    let found = Rows::of_source(source(text), "f.csv", &mapping).unwrap().next_row().unwrap();
    let Some(Found::Malformed { why, .. }) = found else { panic!("{found:?}") };
    assert_eq!(
        why,
        "f.csv, line 2, column \"c\", value \"EUR\": the amounts are in USD, says the mapping: [amount] currency"
    );
}
