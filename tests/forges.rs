//! The workflows of `repo-template/ci/`, run as the forges run them: their steps, out of their YAML, in clones of a
//! repository on this disk. What stands for the forge is a bare repository, and a `gh` that notes what it is asked.
//!
//! Needs `git`, `curl`, and a Python with `PyYAML`, named by `TRUSTROOT_PYTHON`; without one of them the tests are skipped,
//! and say so.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use trustroot::client::write_durably;
use trustroot::crypto::sha256;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const BIN: &str = env!("CARGO_BIN_EXE_trustroot");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    GitHub,
    GitLab,
}

impl Kind {
    fn name(self) -> &'static str {
        if self == Self::GitHub { "github" } else { "gitlab" }
    }

    fn installed_at(self) -> &'static str {
        if self == Self::GitHub { ".github/workflows/trustroot.yml" } else { ".gitlab-ci.yml" }
    }
}

/// A forge with one project, and the people who work on it.
struct Forge {
    kind: Kind,
    directory: tempfile::TempDir,
    workflow: Value,
    /// What stands in the place of what maintainers fill in.
    filled_in: BTreeMap<&'static str, String>,
}

/// What a job did.
struct Ran {
    success: bool,
    /// All that it wrote to either stream.
    said: String,
    /// The outputs of its steps.
    outputs: BTreeMap<String, String>,
    comment: String,
}

#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn python() -> Option<PathBuf> {
    let there = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    match std::env::var_os("TRUSTROOT_PYTHON") {
        Some(python) if there("git") && there("curl") => Some(python.into()),
        _ => {
            eprintln!("skipped: needs git, curl, and a Python with PyYAML that TRUSTROOT_PYTHON names");
            None
        }
    }
}

fn workflow(python: &Path, kind: Kind) -> Value {
    let file = format!("{ROOT}/repo-template/ci/{}.yml", kind.name());
    let read = Command::new(python).arg(format!("{ROOT}/tests/forges/workflow.py")).arg(file).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice(&read.stdout).unwrap()
}

impl Forge {
    /// A trial whose working copy lies on the branch `main`.
    fn new(kind: Kind) -> Option<Self> {
        let workflow = workflow(&python()?, kind);
        let directory = tempfile::tempdir().unwrap();
        let digest = hex::encode(sha256(&std::fs::read(BIN).unwrap()));
        let filled_in = BTreeMap::from([
            ("TRUSTROOT_URL", format!("file://{BIN}")),
            ("TRUSTROOT_SHA256", digest),
            ("FIRST_ROOT_SHA256", String::new()),
        ]);
        let forge = Self { kind, directory, workflow, filled_in };
        let script = format!(
            "git init --quiet --bare --initial-branch main registry.git
             git -C registry.git config receive.advertisePushOptions true
             trustroot init start --trial --ci {} --name 'Trial' --online {ROOT}/keys.example/online.pub \
                 --keyholder alice={ROOT}/keys.example/alice.pub --keyholder bob={ROOT}/keys.example/bob.pub \
                 --keyholder carol={ROOT}/keys.example/carol.pub
             cd start
             git init --quiet --initial-branch main
             git add --all
             git commit --quiet --message begin
             git push --quiet ../registry.git main",
            kind.name()
        );
        forge.shell(".", &script);
        // `gh` notes what it is asked, and the comment that it is given.
        let gh = "#!/bin/sh\nfor word; do last=$word; done\necho \"gh $*\" >> \"$FORGE/asked\"\n\
                  if [ \"$2\" = comment ]; then cp \"$last\" \"$FORGE/comment\"; fi\n";
        forge.write("bin/gh", gh);
        forge.shell(".", "chmod +x bin/gh");
        Some(forge)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        write_durably(&self.path(name), text.as_bytes()).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A command with nothing of this machine's settings, whose time is bounded.
    fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new("timeout");
        let bin = Path::new(BIN).parent().unwrap();
        command
            .args(["120", "bash", "--noprofile", "--norc", "-eo", "pipefail"])
            .current_dir(directory)
            .env_clear()
            .env("PATH", format!("{}:{}", bin.display(), env!("PATH")))
            .env("HOME", self.path("home"))
            .env("FORGE", self.directory.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "somebody")))
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "somebody@localhost")))
            .stdin(std::process::Stdio::null());
        command
    }

    fn tried(&self, directory: &str, script: &str) -> Output {
        self.command(&self.path(directory)).args(["-c", script]).output().unwrap()
    }

    /// What somebody types.
    fn shell(&self, directory: &str, script: &str) -> String {
        let output = self.tried(directory, script);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{}{errors}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Somebody's clone, on a branch.
    fn clone_of(&self, person: &str, branch: &str) -> String {
        let directory = format!("clones/{person}");
        if !self.path(&directory).exists() {
            self.shell(".", &format!("mkdir -p clones; git clone --quiet registry.git {directory}"));
        }
        self.shell(&directory, &format!("git fetch --quiet; git switch --quiet -C {branch} origin/{branch}"));
        directory
    }

    /// Somebody signs an event in their own clone, and merges what others have pushed meanwhile.
    fn sign(&self, person: &str, event: &str) {
        let clone = self.clone_of(person, &format!("signing-event/{event}"));
        let pin = if self.path(&clone).join("repository/1.root.json").exists() {
            "--root-sha256 $(sha256sum repository/1.root.json | cut -d' ' -f1)"
        } else {
            ""
        };
        self.shell(
            &clone,
            &format!(
                "digest=$(trustroot ceremony status {event} --format json | sed -n 's/.*\"payloadSha256\": \"\\(.*\\)\".*/\\1/p')
                 trustroot ceremony sign {event} --key {ROOT}/keys.example/{person}.pem --payload-sha256 $digest {pin} \
                     2> ../review
                 git add signing-events
                 git commit --quiet --message '{person} signs {event}'"
            ),
        );
    }

    fn push(&self, person: &str, event: &str) {
        let clone = format!("clones/{person}");
        self.shell(
            &clone,
            &format!("git pull --quiet --no-rebase --no-edit origin signing-event/{event}; git push --quiet"),
        );
    }

    /// Two people sign at the same time, each in their own clone.
    fn two_sign(&self, event: &str) {
        self.sign("alice", event);
        self.sign("bob", event);
        self.push("alice", event);
        self.push("bob", event);
    }

    /// Somebody with the right to do so merges a pull request.
    fn merge(&self, event: &str) {
        let clone = self.clone_of("conductor", "main");
        self.shell(
            &clone,
            &format!("git merge --quiet --no-edit origin/signing-event/{event}; git push --quiet origin main"),
        );
    }

    /// Starts an event on its branch, as of `days` ago.
    fn start(&self, role: &str, days: u32) -> String {
        let clone = self.clone_of("conductor", "main");
        let event = self.shell(
            &clone,
            &format!(
                "trustroot ceremony start {role} --at $(date -u -d '-{days} days' +%Y-%m-%dT%H:%M:%SZ) |
                     sed -n 's/^proposed .* as signing event //p'"
            ),
        );
        let event = event.trim().to_owned();
        self.shell(
            &clone,
            &format!(
                "git switch --quiet -c signing-event/{event}
                 git add signing-events
                 git commit --quiet --message {event}
                 git push --quiet origin signing-event/{event}
                 git switch --quiet main"
            ),
        );
        event
    }

    fn has_branch(&self, branch: &str) -> bool {
        !self.shell(".", &format!("git ls-remote registry.git refs/heads/{branch}")).is_empty()
    }

    /// What a file is on a branch of the forge; nothing where it is absent.
    fn on_branch(&self, branch: &str, file: &str) -> String {
        let output = self.tried("registry.git", &format!("git show {branch}:{file}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a job over a branch: of a pull request, or `main`.
    fn run(&self, job: &str, branch: &str) -> Ran {
        let run = format!("runs/{}", self.count());
        self.shell(".", &format!("mkdir -p {run}/temp; git clone --quiet registry.git {run}/project"));
        let project = format!("{run}/project");
        if branch != "main" {
            // What the forge checks out is what merging would give.
            self.shell(&project, &format!("git switch --quiet --detach; git merge --quiet --no-edit origin/{branch}"));
        }
        match self.kind {
            Kind::GitHub => self.run_github(job, branch, &run),
            Kind::GitLab => self.run_gitlab(job, branch, &run),
        }
    }

    fn count(&self) -> usize {
        std::fs::read_dir(self.path("runs")).map_or(0, Iterator::count)
    }

    fn run_github(&self, job: &str, branch: &str, run: &str) -> Ran {
        let mut ran = Ran { success: true, said: String::new(), outputs: BTreeMap::new(), comment: String::new() };
        let project = self.path(&format!("{run}/project"));
        let temp = self.path(&format!("{run}/temp"));
        for (index, step) in self.workflow["jobs"][job]["steps"].as_array().unwrap().iter().enumerate() {
            let Some(script) = step["run"].as_str() else { continue };
            let file = format!("{run}/step-{index}.sh");
            self.write(&file, script);
            let mut command = self.command(&project);
            let path = format!("{}:{}", self.path("bin").display(), env!("PATH"));
            let added = std::fs::read_to_string(temp.join("path")).unwrap_or_default();
            let path = added.lines().fold(path, |path, directory| format!("{directory}:{path}"));
            command.arg(self.path(&file)).env("PATH", path).env("RUNNER_TEMP", &temp);
            command.envs(&self.filled_in);
            for (variable, file) in
                [("GITHUB_PATH", "path"), ("GITHUB_OUTPUT", "output"), ("GITHUB_STEP_SUMMARY", "summary")]
            {
                command.env(variable, temp.join(file));
            }
            for (name, value) in step["env"].as_object().into_iter().flatten() {
                command.env(name, self.expression(value.as_str().unwrap(), branch));
            }
            let output = command.output().unwrap();
            for stream in [&output.stdout, &output.stderr] {
                ran.said.push_str(&String::from_utf8_lossy(stream));
            }
            if !output.status.success() {
                ran.success = false;
                break;
            }
        }
        let outputs = std::fs::read_to_string(temp.join("output")).unwrap_or_default();
        for line in outputs.lines() {
            let (name, value) = line.split_once('=').unwrap();
            assert!(ran.outputs.insert(name.to_owned(), value.to_owned()).is_none(), "{name} twice");
        }
        ran.comment = std::fs::read_to_string(temp.join("summary")).unwrap_or_default();
        ran
    }

    /// What GitHub puts in the place of an expression in `env`.
    fn expression(&self, text: &str, branch: &str) -> String {
        let Some(start) = text.find("${{ ") else { return text.to_owned() };
        let end = text.find(" }}").unwrap();
        let name = &text[start + 4..end];
        let value = match name {
            "github.base_ref" => "main".to_owned(),
            "github.token" => "a-token-of-github".to_owned(),
            "github.repository" => "example/registry".to_owned(),
            "github.event.pull_request.number" => "7".to_owned(),
            "secrets.ONLINE_KEY" => online_key(),
            "secrets.ONLINE_PASSPHRASE" => String::new(),
            "needs.check.outputs.comment" => self.run("check", branch).outputs["comment"].clone(),
            other => panic!("{other} is not known here"),
        };
        format!("{}{value}{}", &text[..start], &text[end + 3..])
    }

    fn run_gitlab(&self, job: &str, branch: &str, run: &str) -> Ran {
        let project = self.path(&format!("{run}/project"));
        let of = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().map(|line| line.as_str().unwrap().to_owned()).collect()
        };
        let job = &self.workflow[job];
        let before = if job["before_script"].is_null() {
            &self.workflow["default"]["before_script"]
        } else {
            &job["before_script"]
        };
        let script = [of(before), of(&job["script"])].concat().join("\n");
        let file = format!("{run}/job.sh");
        self.write(&file, &script);
        let mut command = self.command(&project);
        command
            .arg(self.path(&file))
            .envs(&self.filled_in)
            .env("CI_PROJECT_DIR", &project)
            .env("CI_PROJECT_URL", self.path("registry"))
            .env("CI_COMMIT_SHA", self.shell(&format!("{run}/project"), "git rev-parse HEAD").trim());
        if branch == "main" {
            // Protected variables are for protected branches.
            command.env("PUSH_TOKEN", "a-token-of-gitlab").env("ONLINE_KEY", online_key()).env("ONLINE_PASSPHRASE", "");
        } else {
            command.env("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main");
        }
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].map(|stream| String::from_utf8_lossy(&stream).into_owned()).concat();
        let comment = std::fs::read_to_string(project.join("comment.md")).unwrap_or_default();
        Ran { success: output.status.success(), said, outputs: BTreeMap::new(), comment }
    }
}

fn online_key() -> String {
    std::fs::read_to_string(format!("{ROOT}/keys.example/online.pem")).unwrap().trim_end().to_owned()
}

fn well(ran: Ran) -> Ran {
    assert!(ran.success, "{}", ran.said);
    ran
}

/// From an empty project to the second version of a role that had become due.
fn whole_flow(kind: Kind) {
    let Some(mut forge) = Forge::new(kind) else { return };
    let template = std::fs::read_to_string(format!("{ROOT}/repo-template/ci/{}.yml", kind.name())).unwrap();
    assert_eq!(forge.on_branch("main", kind.installed_at()), template);

    // The first root: two people sign at once, each on their own branch of history.
    let event = forge.start("root", 0);
    forge.sign("alice", &event);
    forge.push("alice", &event);
    let one = well(forge.run("check", &format!("signing-event/{event}")));
    assert!(one.comment.contains("under root v1 (proposed): 1 of 2 needed"), "{}", one.comment);
    forge.sign("bob", &event);
    forge.sign("carol", &event);
    forge.push("bob", &event);
    forge.push("carol", &event);
    let all = well(forge.run("check", &format!("signing-event/{event}")));
    assert!(all.comment.contains("3 of 2 needed") && all.comment.contains("complete: it can be finished"));
    forge.merge(&event);
    well(forge.run("finish", "main"));
    let first_root = forge.on_branch("main", "repository/1.root.json");
    assert!(first_root.contains("\"version\": 1"), "{first_root}");
    forge.filled_in.insert("FIRST_ROOT_SHA256", hex::encode(sha256(first_root.as_bytes())));

    // Targets that were proposed so long ago that they are due.
    let event = forge.start("targets", 160);
    forge.two_sign(&event);
    forge.merge(&event);
    well(forge.run("finish", "main"));
    well(forge.run("publish", "main"));
    assert!(forge.on_branch("published", "timestamp.json").contains("\"version\": 1"));
    assert_eq!(forge.on_branch("published", "1.root.json"), first_root);
    assert_eq!(forge.on_branch("main", "repository/timestamp.json"), forge.on_branch("published", "timestamp.json"));
    assert!(forge.on_branch("published", "trustroot.toml").is_empty(), "what is served is the published state alone");
    // Run again, everything is there already.
    let before = forge.shell("registry.git", "git rev-parse main published");
    well(forge.run("finish", "main"));
    well(forge.run("publish", "main"));
    assert_eq!(forge.shell("registry.git", "git rev-parse main published"), before);

    // The scheduled job opens an event for the role that is due, once.
    well(forge.run("open", "main"));
    assert!(forge.has_branch("signing-event/targets-v2") && !forge.has_branch("signing-event/root-v2"));
    let opened = forge.shell("registry.git", "git rev-parse signing-event/targets-v2");
    let again = well(forge.run("open", "main"));
    assert!(again.said.contains("signing-event/targets-v2 is there already"), "{}", again.said);
    assert_eq!(forge.shell("registry.git", "git rev-parse signing-event/targets-v2"), opened);
    forge.two_sign("targets-v2");
    well(forge.run("check", "signing-event/targets-v2"));
    forge.merge("targets-v2");
    well(forge.run("finish", "main"));
    well(forge.run("publish", "main"));
    assert!(!forge.on_branch("published", "2.targets.json").is_empty());
    assert!(forge.on_branch("published", "timestamp.json").contains("\"version\": 2"));
    let last = well(forge.run("open", "main"));
    assert!(!last.said.contains("signing-event/"), "{}", last.said);

    if kind == Kind::GitHub {
        // A comment on the pull request, by another job than the one that read what the branch holds.
        let event = forge.start("targets", 0);
        well(forge.run("comment", &format!("signing-event/{event}")));
        let comment = forge.read("comment");
        assert!(
            comment.starts_with("<!-- trustroot ceremony status -->\n\n### Signing event `targets-v3`"),
            "{comment}"
        );
        assert!(
            forge.read("asked").contains("gh pr comment 7 --edit-last --create-if-none"),
            "{}",
            forge.read("asked")
        );
        assert!(forge.read("asked").contains("gh pr create --base main --head signing-event/targets-v2"));
    }

    // No secret has been written anywhere but where the job removed it again.
    let secret = online_key().lines().nth(1).unwrap().to_owned();
    for token in ["a-token-of-github", "a-token-of-gitlab", &secret] {
        let found = forge.tried(".", &format!("grep -rlF -- '{token}' ."));
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "{token}");
    }
}

#[test]
fn the_workflow_for_github_goes_from_nothing_to_a_role_that_was_renewed() {
    whole_flow(Kind::GitHub);
}

#[test]
fn the_workflow_for_gitlab_goes_from_nothing_to_a_role_that_was_renewed() {
    whole_flow(Kind::GitLab);
}

/// A forge whose first root is signed.
fn founded(kind: Kind) -> Option<Forge> {
    let mut forge = Forge::new(kind)?;
    let event = forge.start("root", 0);
    forge.two_sign(&event);
    forge.merge(&event);
    well(forge.run("finish", "main"));
    let first_root = forge.on_branch("main", "repository/1.root.json");
    forge.filled_in.insert("FIRST_ROOT_SHA256", hex::encode(sha256(first_root.as_bytes())));
    Some(forge)
}

#[test]
fn a_branch_that_changes_what_has_been_signed_is_not_taken() {
    for kind in [Kind::GitHub, Kind::GitLab] {
        let Some(forge) = founded(kind) else { return };
        let before = forge.shell("registry.git", "git rev-parse main");
        for (name, change) in [
            ("other-root", "sed -i 's/\"version\": 1/\"version\": 1 /' repository/1.root.json"),
            ("no-root", "git rm --quiet repository/1.root.json"),
            ("moved-root", "git mv repository/1.root.json repository/2.root.json"),
            ("linked", "git mv repository elsewhere; ln -s elsewhere repository"),
            // Additions are read, and nobody signed this one.
            ("junk-root", "echo {} > repository/root.json"),
            ("junk-snapshot", "echo {} > repository/1.snapshot.json"),
            ("junk-case", "cp repository/1.root.json repository/1.Root.json"),
            ("junk-role", "echo {} > repository/1.oppy.json"),
            ("junk-target", "mkdir -p repository/targets; echo {} > repository/targets/x"),
            ("junk-timestamp", "echo {} > repository/timestamp.json"),
            ("junk-link", "ln -s 1.root.json repository/snapshot.json"),
            ("forged-root", "sed 's/\"version\": 1/\"version\": 2/' repository/1.root.json > repository/2.root.json"),
        ] {
            let clone = forge.clone_of("mallory", "main");
            forge.shell(
                &clone,
                &format!(
                    "git switch --quiet -c {name}; {change}; git add --all; git commit --quiet --message {name}
                     git push --quiet origin {name}"
                ),
            );
            let ran = forge.run("check", name);
            assert!(!ran.success, "{kind:?} {name}: {}", ran.said);
        }
        assert_eq!(forge.shell("registry.git", "git rev-parse main"), before);
    }
}

#[test]
fn what_nobody_signed_for_may_be_removed_from_main_again() {
    for kind in [Kind::GitHub, Kind::GitLab] {
        let Some(forge) = founded(kind) else { return };
        let clone = forge.clone_of("mallory", "main");
        forge.shell(
            &clone,
            "echo {} > repository/timestamp.json; git add --all; git commit --quiet --message junk
             git push --quiet origin main; git switch --quiet -c still-there; echo more >> README.md; git add --all
             git commit --quiet --message more; git push --quiet origin still-there
             git switch --quiet -c clean main; git rm --quiet repository/timestamp.json
             git commit --quiet --message clean; git push --quiet origin clean",
        );
        assert!(!forge.run("check", "still-there").success, "{kind:?}");
        well(forge.run("check", "clean"));
    }
}

#[test]
fn what_a_branch_says_is_neither_an_output_nor_a_command_of_the_forge() {
    let Some(forge) = founded(Kind::GitHub) else { return };
    let event = forge.start("targets", 0);
    let clone = forge.clone_of("mallory", &format!("signing-event/{event}"));
    let reason = "::set-output name=comment::forged\ncomment=Zm9yZ2Vk\n```\n@everyone /approve\n<img src=x>";
    forge.shell(
        &clone,
        &format!("trustroot ceremony withdraw {event} --because $'{}'; git add --all; git commit --quiet --message x; git push --quiet", reason.replace('\n', "\\n")),
    );
    // It is withdrawn, and shown all the same.
    let ran = well(forge.run("check", &format!("signing-event/{event}")));
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &ran.outputs["comment"]).unwrap();
    assert_eq!(String::from_utf8(decoded).unwrap(), ran.comment);
    assert!(ran.comment.contains("@everyone"), "{}", ran.comment);
    assert!(ran.said.lines().all(|line| !line.starts_with("::")), "{}", ran.said);
    assert_eq!(ran.outputs.len(), 1);
}

#[test]
fn a_trustroot_that_is_not_the_one_that_was_reviewed_is_not_run() {
    for kind in [Kind::GitHub, Kind::GitLab] {
        let Some(mut forge) = founded(kind) else { return };
        forge.filled_in.insert("TRUSTROOT_SHA256", "0".repeat(64));
        let ran = forge.run("publish", "main");
        assert!(!ran.success && !forge.has_branch("published"), "{}", ran.said);
    }
}

#[test]
fn another_first_root_on_main_is_neither_finished_nor_published() {
    for kind in [Kind::GitHub, Kind::GitLab] {
        let Some(mut forge) = founded(kind) else { return };
        forge.filled_in.insert("FIRST_ROOT_SHA256", "0".repeat(64));
        for job in ["open", "finish", "publish"] {
            assert!(!forge.run(job, "main").success, "{job}");
        }
        assert!(!forge.has_branch("published"));
    }
}

#[test]
fn nothing_that_a_fork_proposes_runs_with_secrets_or_a_right_to_write() {
    let Some(python) = python() else { return };
    let github = workflow(&python, Kind::GitHub);
    assert!(github["on"]["pull_request"].is_object() && github["on"]["pull_request_target"].is_null());
    assert_eq!(github["permissions"], serde_json::json!({}));
    assert_eq!(github["jobs"]["check"]["permissions"], serde_json::json!({"contents": "read"}));
    for (name, job) in github["jobs"].as_object().unwrap() {
        let text = job.to_string();
        // Secrets are for the one job whose environment says which branch may have them.
        assert_eq!(text.contains("secrets."), name == "publish", "{name}");
        let for_pull_requests = ["check", "comment"].contains(&name.as_str());
        let condition = job["if"].as_str().unwrap_or_default();
        let kept_away = condition.contains("!= 'pull_request'") || condition.contains("== 'schedule'");
        // A job that needs one that did not run does not run either.
        assert!(for_pull_requests || kept_away || job["needs"] == "finish", "{name}: {condition}");
        for step in job["steps"].as_array().unwrap() {
            // What stands in a script is read as script, whatever it is.
            assert!(!step["run"].as_str().unwrap_or_default().contains("${{"), "{name}: {step}");
            if let Some(action) = step["uses"].as_str() {
                let (_, commit) = action.split_once('@').unwrap();
                assert!(commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()), "{action}");
                assert_eq!(step["with"]["persist-credentials"], false, "{name}");
            }
        }
    }
    let comment = github["jobs"]["comment"]["if"].as_str().unwrap();
    assert!(comment.contains("head.repo.full_name == github.repository"), "{comment}");
    assert_eq!(github["jobs"]["publish"]["environment"], "publish");

    let gitlab = workflow(&python, Kind::GitLab);
    assert!(gitlab["image"].as_str().unwrap().contains("@sha256:"));
    for job in ["open", "finish", "publish"] {
        let rules = gitlab[job]["rules"].to_string();
        assert!(!rules.contains("merge_request"), "{job}: {rules}");
    }
    let check = gitlab["check"].to_string();
    assert!(["PUSH_TOKEN", "ONLINE_KEY", "ONLINE_PASSPHRASE"].iter().all(|secret| !check.contains(secret)));
}
