//! `backstitch new`: what it writes passes as written, and runs.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of a test are tests too, which clippy does not see"
)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything that is started may take to be there.
const WAIT_MAX: Duration = Duration::from_secs(60);

fn backstitch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstitch"));
    command.current_dir(folder).env("USER", "ann");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BACKSTITCH_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG");
    command
}

/// Runs a command; its code and all that it says.
fn run(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

fn runs_well(command: &mut Command) -> String {
    let (code, said) = run(command);
    assert_eq!(code, 0, "{command:?}: {said}");
    said
}

/// A new saga in a folder of its own.
fn new(arguments: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    runs_well(
        backstitch(folder.path())
            .args(["new", "book-room"])
            .args(arguments),
    );
    let project = folder.path().join("book-room");
    (folder, project)
}

/// A process that ends with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command, said: &Path) -> Self {
        let errors = std::fs::File::create(said).unwrap();
        let child = command.stdout(Stdio::null()).stderr(errors).spawn();
        Self(child.unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks until something is so.
fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        match look() {
            Ok(found) => return found,
            Err(said) => assert!(Instant::now() < deadline, "{what}: {said}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_new_definition_has_no_faults() {
    let (_folder, project) = new(&["--worker", "python"]);
    let checked =
        runs_well(backstitch(&project).args(["check", "--deny-warnings", "book-room.yaml"]));
    assert!(
        checked.contains("ok: book-room.yaml defines book-room, 2 steps"),
        "{checked}"
    );
}

#[test]
fn a_new_definition_passes_its_tests_and_every_walk() {
    let (_folder, project) = new(&["--worker", "python"]);
    runs_well(backstitch(&project).args(["test", "book-room.yaml"]));
}

#[test]
fn nothing_is_overwritten() {
    let (folder, project) = new(&["--worker", "python"]);
    let file = project.join("book-room.yaml");
    std::fs::write(&file, "mine").unwrap();
    for worker in ["rust", "python"] {
        let (code, said) =
            run(backstitch(folder.path()).args(["new", "book-room", "--worker", worker]));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("is there already"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert!(!project.join("worker/Cargo.toml").exists());
}

#[test]
fn a_name_that_cannot_be_a_saga_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["Book", "../book", "book_room", ""] {
        let (code, said) = run(backstitch(folder.path()).args(["new", name]));
        assert_eq!(code, 2, "{said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_kit_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) =
        run(backstitch(folder.path()).args(["new", "book-room", "--kit", "nowhere"]));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("--worker python"), "{said}");
    assert!(!folder.path().join("book-room").exists());
}

/// Cargo in the folder of a new worker, with this workspace's profiles, lock file and target folder, so that what is built
/// already is not built again.
fn cargo(worker: &Path) -> Command {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = std::fs::read_to_string(top.join("Cargo.toml")).unwrap();
    let profiles = manifest
        .find("[profile.")
        .map_or("", |begin| &manifest[begin..]);
    std::fs::create_dir_all(worker.join(".cargo")).unwrap();
    std::fs::write(worker.join(".cargo/config.toml"), profiles).unwrap();
    std::fs::copy(top.join("Cargo.lock"), worker.join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(worker).env("CARGO_TARGET_DIR", target);
    command
}

#[test]
fn a_new_worker_in_rust_passes_its_tests_and_serves_its_saga() {
    let (_folder, project) = new(&[]);
    let worker = project.join("worker");
    let tested = runs_well(cargo(&worker).args(["test", "--offline"]));
    assert!(tested.contains("3 passed; 0 failed"), "{tested}");
    runs_well(cargo(&worker).args(["build", "--offline"]));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("debug/book-room-worker");
    serves(&project, |address| {
        let mut command = Command::new(&program);
        command.env("BACKSTITCH_BOOTSTRAP", address);
        command
    });
}

#[test]
fn a_new_worker_in_python_passes_its_tests_and_serves_its_saga() {
    let (_folder, project) = new(&["--worker", "python"]);
    let named = std::env::var_os("BACKSTITCH_TEST_PYTHON");
    let Some(python) = named.filter(|path| !path.is_empty()) else {
        println!("left out: the environment names no Python");
        return;
    };
    let tested = runs_well(
        Command::new(&python)
            .args(["-m", "unittest", "discover", "-s", "worker"])
            .current_dir(&project),
    );
    assert!(tested.contains("Ran 4 tests"), "{tested}");
    serves(&project, |address| {
        let mut command = Command::new(&python);
        command.args(["worker/worker.py", "--bootstrap", address]);
        command
    });
}

/// Runs the project as its README says: one request completes, one is taken back.
fn serves(project: &Path, worker: impl Fn(&str) -> Command) {
    // Free now; whoever takes it in between makes `dev` end with an error, which the test then shows.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let settings = project.join("backstitch.toml");
    let mut file = std::fs::read_to_string(&settings).unwrap();
    file.push_str(&format!("[embedded]\nport = {port}\n"));
    std::fs::write(&settings, file).unwrap();
    let said = project.join("dev.err");
    let _dev = Running::start(backstitch(project).args(["dev", "--no-workers"]), &said);
    until("dev is there", || {
        let (code, told) = run(backstitch(project).args(["topics", "apply"]));
        let ready = code == 0 && run(backstitch(project).arg("list")).0 == 0;
        let dev = || std::fs::read_to_string(&said).unwrap_or_default();
        ready
            .then_some(())
            .ok_or_else(|| format!("{told}{}", dev()))
    });
    let mut command = worker(&format!("127.0.0.1:{port}"));
    let _worker = Running::start(command.current_dir(project), &project.join("worker.err"));
    runs_well(backstitch(project).args([
        "publish",
        "--topic",
        "book-room-requests",
        "--file",
        "events.jsonl",
        "--key-field",
        "id",
    ]));
    for (id, status) in [("4711", "completed"), ("4712", "compensated")] {
        let key = format!("book-room/{id}");
        let saga = until(&format!("{key} to be {status}"), || {
            let (code, told) = run(backstitch(project).args(["show", &key, "--json"]));
            let errors = std::fs::read_to_string(project.join("worker.err")).unwrap_or_default();
            let saga: Value = serde_json::from_str(&told).unwrap_or_default();
            let there = code == 0 && saga["status"] == status;
            there.then_some(saga).ok_or(format!("{told}{errors}"))
        });
        assert_eq!(saga["ledger"].as_array().unwrap().len(), 1, "{saga}");
    }
}
