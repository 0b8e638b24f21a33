//! One row of the matrix: a scenario on a kernel in a form, what must be found, what is.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vmcore_memory::Architecture;
use vmcore_synth::scenario::{self, Expected, Scenario};
use vmcore_synth::{DumpForm, Generation, build};

use crate::agreement::disagreement;
use crate::evidence::without_address;

/// A dump to be made and analyzed.
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    pub(crate) kernel: &'static str,
    pub(crate) form: &'static str,
    /// The size of a page, where it is not the kernel's usual one.
    pub(crate) page_kib: Option<u32>,
}

/// A verdict, and the exit status that goes with it.
#[derive(PartialEq, Eq)]
pub(crate) struct Verdict {
    issue: Option<String>,
    confidence: String,
    spinners: Vec<i64>,
    splitters: Vec<i64>,
    status: Option<i32>,
}

/// What became of a row.
pub(crate) struct Outcome {
    pub(crate) expected: Verdict,
    pub(crate) found: Verdict,
    /// What the program says about its doubts.
    pub(crate) why: String,
    /// What `dmesg | log` says that `analyze` does not.
    pub(crate) disagreement: Option<String>,
    /// Members that evidence names without saying where they are.
    pub(crate) without_address: Vec<String>,
}

impl Row {
    /// Every scenario on every kernel that it is for; with larger pages those whose huge pages begin where such ones can; then
    /// one scenario in every form.
    pub(crate) fn all() -> Vec<Self> {
        let on_kernels = scenario::names().flat_map(|name| {
            let wanted = scenario::named(name).unwrap();
            let kernels = Generation::names().filter(move |kernel| wanted.is_for(kernel));
            kernels.map(move |kernel| Self { scenario: name, kernel, form: "elf", page_kib: None })
        });
        let with_larger_pages = scenario::names().flat_map(|name| {
            let wanted = scenario::named(name).unwrap();
            let fits = |kernel: &str| wanted.is_for(kernel) && can_have_larger_pages(&wanted);
            let kernels: Vec<_> = Generation::names().filter(|kernel| fits(kernel) && of_arm64(kernel)).collect();
            let sizes = kernels.into_iter().flat_map(|kernel| [(kernel, 16), (kernel, 64)]);
            sizes.map(move |(kernel, size)| Self { scenario: name, kernel, form: "elf", page_kib: Some(size) })
        });
        let forms =
            DumpForm::names().into_iter().map(|form| Self { scenario: "crowd", kernel: "6.1", form, page_kib: None });
        on_kernels.chain(with_larger_pages).chain(forms.skip(1)).collect()
    }

    /// Makes the dump, has it analyzed, and compares.
    pub(crate) fn run(&self) -> Result<Outcome, Box<dyn Error>> {
        let scenario = scenario::named(self.scenario)?;
        let scenario = Scenario { page_kib: self.page_kib.or(scenario.page_kib), ..scenario };
        let machine = build(&scenario, &Generation::named(self.kernel)?, 1)?;
        let directory = tempfile::tempdir()?;
        let form = DumpForm::named(self.form)?;
        let files: Vec<_> = form.files().iter().map(|file| directory.path().join(file)).collect();
        for (index, path) in files.iter().enumerate() {
            form.write(&machine, index, &mut BufWriter::new(File::create(path)?))?;
        }
        let vmlinux = directory.path().join("vmlinux");
        std::fs::write(&vmlinux, &machine.vmlinux)?;
        let (found, why, without_address) = analyze(&files, &vmlinux)?;
        let says_something = self.form == "elf" && !scenario.log.is_empty();
        let disagreement = if says_something { disagreement(&[files[0].clone(), vmlinux]) } else { None };
        Ok(Outcome { disagreement, without_address, expected: Verdict::expected(&scenario.expect), found, why })
    }
}

fn of_arm64(kernel: &str) -> bool {
    Generation::architecture_of(kernel) == Architecture::Arm64
}

/// Whether nothing in the scenario is about pages of 4 KiB alone.
fn can_have_larger_pages(scenario: &Scenario) -> bool {
    const LARGEST: u64 = 512 << 20;
    let mut mappings = scenario.process.iter().flat_map(|process| &process.map);
    let says_nothing = scenario.page_kib.is_none() && scenario.page_levels.is_none();
    says_nothing && mappings.all(|mapping| mapping.at.is_multiple_of(LARGEST))
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.form {
            "elf" if self.page_kib.is_some() => {
                let size = self.page_kib.unwrap_or_default();
                write!(f, "{} on {}, pages of {size} KiB", self.scenario, self.kernel)
            }
            "elf" => write!(f, "{} on {}", self.scenario, self.kernel),
            form => write!(f, "{} as {form}", self.scenario),
        }
    }
}

impl Outcome {
    pub(crate) fn is_as_expected(&self) -> bool {
        self.expected == self.found
    }
}

/// Verdict of `analyze`, what it says about its doubts, and its evidence that has no address and should.
fn analyze(dump: &[PathBuf], vmlinux: &Path) -> Result<(Verdict, String, Vec<String>), Box<dyn Error>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"));
    command.args(["analyze", "--format", "json"]).arg(&dump[0]).arg(vmlinux);
    for part in dump.iter().skip(1) {
        command.arg("--part").arg(part);
    }
    let output = command.output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {stderr}"))?;
    let verdict = &answer["verdict"];
    let found = Verdict {
        issue: verdict["issue"].as_str().map(str::to_owned),
        confidence: verdict["confidence"].as_str().unwrap_or_default().to_owned(),
        spinners: pids(&answer["spinners"]),
        splitters: pids(&answer["splitters"]),
        status: output.status.code(),
    };
    let why = format!("{}\nunknown: {:#}", verdict["summary"], answer["unknown"]);
    Ok((found, why, without_address(&answer)))
}

fn pids(list: &Value) -> Vec<i64> {
    let mut pids: Vec<_> = list.as_array().into_iter().flatten().filter_map(|one| one["pid"].as_i64()).collect();
    pids.sort_unstable();
    pids
}

impl Verdict {
    /// What a scenario says must be found.
    pub(crate) fn expected(expected: &Expected) -> Self {
        let numbers = |pids: &[i32]| pids.iter().copied().map(i64::from).collect();
        Self {
            issue: expected.issue.clone(),
            confidence: format!("{:?}", expected.confidence).to_lowercase(),
            spinners: numbers(&expected.spinners),
            splitters: numbers(&expected.splitters),
            status: Some(expected.exit_status().into()),
        }
    }
}

/// `thp-split-page-fault-livelock confirmed, 201 202 spin, 200 splits; exit 1`
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.issue {
            Some(issue) => write!(f, "{issue} {}", self.confidence)?,
            None if self.confidence == "none" => write!(f, "nothing")?,
            None => write!(f, "{}", self.confidence)?,
        }
        let list = |pids: &[i64]| pids.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
        for (pids, one, several) in [(&self.spinners, "spins", "spin"), (&self.splitters, "splits", "split")] {
            if !pids.is_empty() {
                write!(f, ", {} {}", list(pids), if pids.len() == 1 { one } else { several })?;
            }
        }
        match self.status {
            Some(status) => write!(f, "; exit {status}"),
            None => write!(f, "; a signal"),
        }
    }
}
