//! What README prints to be typed is typed here, as printed, in a folder of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use giftledger_tests::binary::giftledger;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The indented blocks of README, without their indentation.
fn blocks() -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (mut blocks, mut block) = (Vec::new(), String::new());
    for line in readme.lines().chain([""; 2]) {
        match line.strip_prefix("    ") {
            Some(line) => block.extend([line, "\n"]),
            None if line.is_empty() && !block.is_empty() && !block.ends_with("\n\n") => block.push('\n'),
            None if !block.is_empty() => blocks.push(std::mem::take(&mut block)),
            None => {}
        }
    }
    blocks
}

/// The block with a command that begins so.
fn block_with(command: &str) -> String {
    let is_it = |block: &String| block.lines().any(|line| line.trim_start_matches("$ ").starts_with(command));
    let mut found: Vec<String> = blocks().into_iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "blocks of README with `{command}`: {found:?}");
    found.remove(0)
}

/// A folder in which `giftledger` is the binary, `docs` are the project's and `../shared` is the one beside it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let within = |name: &str| folder.path().join(name);
        fs::create_dir_all(within("bin")).unwrap();
        fs::create_dir_all(within("here")).unwrap();
        symlink(giftledger().get_program(), within("bin/giftledger")).unwrap();
        symlink(root().join("docs"), within("here/docs")).unwrap();
        symlink(root().join("../shared"), within("shared")).unwrap();
        Self { folder }
    }

    /// Types a script, line by line, until one fails.
    fn types(&self, script: &str) -> Output {
        let path = format!("{}:{}", self.folder.path().join("bin").display(), env::var("PATH").unwrap());
        let mut bash = Command::new("bash");
        bash.args(["-euc", script]).env("PATH", path).current_dir(self.folder.path().join("here"));
        bash.env_remove("GIFTLEDGER_DATA").env_remove("GIFTLEDGER_LOG");
        bash.output().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a block with prompts types; files that it shows with `cat` are written first.
fn typed(block: &str) -> String {
    let (mut script, mut shown) = (String::new(), false);
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            if std::mem::take(&mut shown) {
                script += "GIFTLEDGER_FILE\n";
            }
            match command.strip_prefix("cat ") {
                Some(file) => {
                    script.extend(["cat > ", file, " <<'GIFTLEDGER_FILE'\n"]);
                    shown = true;
                }
                None => script.extend([command, "\n"]),
            }
        } else {
            script.extend([line, "\n"]);
        }
    }
    script
}

#[test]
fn the_first_commands_are_taken() {
    let place = Place::new();
    let script = typed(&block_with("giftledger append"));
    let done = place.types(&script);
    let (out, errors) = (text(&done.stdout), text(&done.stderr));
    assert!(done.status.success(), "{script}\n{out}\n{errors}");
    let answers: Vec<serde_json::Value> =
        out.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!answers.is_empty(), "{out}");
    for answer in answers {
        assert_eq!(answer["state"], "taken", "{answer}");
    }
}

/// A port of loopback that nobody has.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The server is asked as printed, on a port of its own; then support does what it does, on the folder.
#[test]
fn the_server_answers_and_support_acts_as_printed() {
    let place = Place::new();
    let port = free_port();
    let script = typed(&block_with("giftledger serve ")).replace("8040", &port.to_string());
    let script = format!("set -m\nexport GIFTLEDGER_LISTEN=127.0.0.1:{port}\n{script}wait\n");
    let done = place.types(&script);
    let (out, errors) = (text(&done.stdout), text(&done.stderr));
    let answers: Vec<&str> = out.lines().flat_map(|line| line.split_inclusive('}')).collect();
    assert!(out.matches(r#""state":"taken""#).count() == 2, "{script}\n{out}\n{errors}");
    assert!(out.contains(r#""event":"gift_given""#) && out.contains(r#""spendable":"500""#), "{answers:?}");
    assert!(out.contains(r#""type":"giftledger."#), "{out}");
    let support = block_with("giftledger orders ");
    let done = place.types(&support);
    let (out, errors) = (text(&done.stdout), text(&done.stderr));
    assert!(done.status.success(), "{support}\n{out}\n{errors}");
    assert_eq!(out.matches("done: ").count(), 2, "{out}");
}

#[test]
fn the_demo_runs_as_the_first_command_says() {
    let block = block_with("cargo run --release -- ");
    let arguments = block.trim().strip_prefix("cargo run --release -- ").unwrap();
    let done = Place::new().types(&format!("giftledger {arguments}"));
    assert!(done.status.success(), "{}\n{}", text(&done.stdout), text(&done.stderr));
}

#[test]
fn the_real_data_is_read_as_printed() {
    if !root().join("../shared/data/marathon-gifts.csv.gz").is_file() {
        eprintln!("not tried: the real data is not there");
        return;
    }
    let script = block_with("giftledger import ");
    let done = Place::new().types(&script);
    assert!(done.status.success(), "{script}\n{}\n{}", text(&done.stdout), text(&done.stderr));
}

#[test]
fn every_command_of_the_table_is_one() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let table = readme.split("| command | does |").nth(1).expect("README has a table of commands");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let words = rows.flat_map(|row| {
        let cell = row.split(" | ").next().unwrap().trim_start_matches("| ");
        let commands = cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        commands.into_iter().filter(|command| !command.starts_with('-'))
    });
    let mut count = 0;
    for command in words {
        let words: Vec<&str> =
            command.split(' ').take_while(|word| word.bytes().all(|b| b.is_ascii_lowercase())).collect();
        let help = giftledger().args(&words).arg("--help").output().unwrap();
        assert!(help.status.success(), "`{command}`: {}", text(&help.stderr));
        count += 1;
    }
    assert!(count > 15, "{count} commands in README's table");
}
