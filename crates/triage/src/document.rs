//! Reads what `analyze` and `log` write as JSON: the one place that knows those fields.
//!
//! It takes a document as it comes. A field that is missing, null or of another type is unknown, so that rows of older
//! and newer versions of the program can be read with one reader.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest text that is taken over into a row, in bytes.
const MAX_TEXT: usize = 2000;

/// What a document says, in short. All texts may come from the dump: untrusted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// `uname -r`.
    pub release: Option<String>,
    /// The build of the kernel.
    pub version: Option<String>,
    /// The kernel's build-id.
    pub build_id: Option<String>,
    /// The machine's name.
    pub nodename: Option<String>,
    /// The panic's message.
    pub panic: Option<String>,
    /// The CPU that panicked.
    pub panic_cpu: Option<u64>,
    /// The task that panicked.
    pub panic_pid: Option<i64>,
    /// The verdict's issue.
    pub issue: Option<String>,
    /// The verdict's confidence.
    pub confidence: Option<String>,
    /// The verdict in one sentence.
    pub text: Option<String>,
    /// The known bug behind it.
    pub known_issue: Option<String>,
    /// Whether this kernel has that bug: `yes`, `no` or `unknown`.
    pub in_this_kernel: Option<String>,
    /// What to do first, with the exact command where there is one.
    pub remedy: Option<String>,
    /// Things that could not be read.
    pub unknown: usize,
    /// Whether the dump is known to be incomplete.
    pub incomplete: bool,
}

/// A document with what is asked of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document<'d>(pub(crate) &'d Value);

/// One real frame of a stack, innermost first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'d> {
    pub(crate) symbol: &'d str,
}

/// Something that a document claims, with what it rests on, in words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Claim {
    pub(crate) title: String,
    pub(crate) evidence: Vec<String>,
}

impl<'d> Document<'d> {
    fn at(self, pointer: &str) -> Option<&'d Value> {
        self.0.pointer(pointer).filter(|value| !value.is_null())
    }

    fn text(self, pointer: &str) -> Option<String> {
        let text = self.at(pointer)?.as_str()?;
        Some(text.chars().take(MAX_TEXT).collect())
    }

    pub(crate) fn raw(self, pointer: &str) -> String {
        self.at(pointer).map(ToString::to_string).unwrap_or_default()
    }

    fn array(self, pointer: &str) -> impl Iterator<Item = Document<'d>> + use<'d> {
        self.at(pointer).and_then(Value::as_array).into_iter().flatten().map(Document)
    }

    /// Whether it can be a document at all.
    pub(crate) fn is_document(self) -> bool {
        self.at("/verdict/confidence").is_some()
    }

    pub(crate) fn summary(self) -> Summary {
        Summary {
            release: self.text("/kernel/release"),
            version: self.text("/kernel/version"),
            build_id: self.text("/kernel/build_id"),
            nodename: self
                .text("/kernel/nodename")
                .filter(|name| !["", "(none)", "localhost"].contains(&name.as_str())),
            panic: self.text("/panic/message"),
            panic_cpu: self.at("/panic/cpu").and_then(Value::as_u64),
            panic_pid: self.at("/panic/pid").and_then(Value::as_i64),
            issue: self.text("/verdict/issue"),
            confidence: self.text("/verdict/confidence"),
            text: self.text("/verdict/summary"),
            known_issue: self.text("/known_issue/id"),
            in_this_kernel: self.text("/known_issue/in_this_kernel"),
            remedy: self.array("/remedy").next().and_then(Document::remedy),
            unknown: self.array("/unknown").count(),
            incomplete: self.at("/dump/incomplete").and_then(Value::as_bool).unwrap_or(false),
        }
    }

    /// The build-id of the kernel, where an analysis went as far as that.
    pub(crate) fn build_id(self) -> Option<Vec<u8>> {
        let text = self.text("/kernel/build_id")?;
        let (digits, rest) = text.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = digits.iter().map(byte).collect();
        bytes.filter(|bytes| rest.is_empty() && !bytes.is_empty())
    }

    fn remedy(self) -> Option<String> {
        let action = self.text("/action")?;
        Some(match self.text("/command") {
            Some(command) => format!("{action}: {command}"),
            None => action,
        })
    }

    /// When it crashed, in seconds since 1970, where the document says.
    pub(crate) fn crashed(self) -> Option<i64> {
        self.at("/crash_time").and_then(Value::as_i64).filter(|&seconds| seconds > 0)
    }

    /// The edges of the gravest shape in their order, else all edges: who waits, how, for whom.
    pub(crate) fn edges(self) -> (Option<String>, Vec<(&'d str, &'d str, &'d str)>) {
        let all: Vec<_> = self.array("/edges").filter_map(Document::edge).collect();
        let Some(shape) = self.array("/shapes").next() else { return (None, all) };
        let of_shape = shape.array("/edges").filter_map(|position| position.0.as_u64());
        let of_shape = of_shape.filter_map(|at| all.get(usize::try_from(at).ok()?).copied()).collect();
        (shape.text("/kind"), of_shape)
    }

    fn edge(self) -> Option<(&'d str, &'d str, &'d str)> {
        let text = |name| self.0.get(name).and_then(Value::as_str);
        Some((text("from")?, text("kind")?, text("to")?))
    }

    /// The frames of the stack of the task with this thread id; of an idle task, that on this CPU.
    pub(crate) fn stack(self, pid: i64, cpu: Option<u64>) -> Vec<Frame<'d>> {
        let is_it = |stack: &Document<'d>| {
            let number = |name| stack.0.get(name).and_then(Value::as_i64);
            number("pid") == Some(pid) && (pid != 0 || cpu.is_none() || number("cpu") == cpu.map(u64::cast_signed))
        };
        self.array("/stacks").find(is_it).map(Document::frames).unwrap_or_default()
    }

    /// What a log's verdict is about, in one line of its own.
    /// What the log told of a dump that was judged by it, for want of anything else.
    pub(crate) fn own_log(self) -> Option<Self> {
        self.at("/log").filter(|log| log.is_object()).map(Document)
    }

    pub(crate) fn verdict_line(self) -> Option<String> {
        self.array("/timeline").find(|entry| entry.is_of_verdict())?.text("/summary")
    }

    fn is_of_verdict(self) -> bool {
        self.0.get("is_verdict") == Some(&Value::Bool(true))
    }

    /// What a log tells of where the CPU or task was that the verdict is about; where no report says that, of one CPU; else the
    /// first that there is.
    pub(crate) fn log_stack(self, cpu: Option<u64>) -> Vec<Frame<'d>> {
        let line = |value: &Value| value.get("line").and_then(Value::as_u64);
        let lines: Vec<u64> =
            self.array("/timeline").filter(|entry| entry.is_of_verdict()).filter_map(|entry| line(entry.0)).collect();
        let is_told = |report: &Document<'d>| {
            report.array("/lines").any(|at| at.0.as_u64().is_some_and(|at| lines.contains(&at)))
        };
        let is_of_cpu = |report: &Document<'d>| cpu.is_some() && report.0.get("cpu").and_then(Value::as_u64) == cpu;
        let reports: Vec<_> = self.array("/cpus").filter(|report| report.array("/frames").next().is_some()).collect();
        let one = |is: &dyn Fn(&Document<'d>) -> bool| reports.iter().find(|report| is(report));
        let report = one(&is_told).or_else(|| one(&is_of_cpu)).or_else(|| reports.first());
        report.map(|report| report.reported_frames()).unwrap_or_default()
    }

    /// The trace of a report, with the functions that registers in it and above it name: the trace itself goes on with their
    /// callers. Without what the kernel marks with `?`: that happened to lie on the stack.
    fn reported_frames(self) -> Vec<Frame<'d>> {
        let interrupted = |at: usize| {
            let of_frame = move |value: &Document<'d>| {
                value.0.get("before_frame").and_then(Value::as_u64).and_then(|before| usize::try_from(before).ok())
                    == Some(at)
            };
            let above = Some(self).filter(|_| at == 0);
            self.array("/interrupted").filter(of_frame).chain(above).filter_map(Document::stopped_at)
        };
        let mut all: Vec<Frame<'d>> = Vec::new();
        for (at, frame) in self.array("/frames").enumerate() {
            let is_reliable = frame.0.get("reliable") != Some(&Value::Bool(false));
            let symbol = frame.0.get("symbol").and_then(Value::as_str).filter(|_| is_reliable);
            let stopped = interrupted(at).filter(|name| Some(*name) != symbol);
            all.extend(stopped.chain(symbol).map(|symbol| Frame { symbol }));
        }
        all
    }

    /// The kernel's function that its registers name.
    fn stopped_at(self) -> Option<&'d str> {
        let registers = self.at("/registers")?;
        let in_kernel = registers.get("user_mode") != Some(&Value::Bool(true));
        registers.get("symbol").and_then(Value::as_str).filter(|_| in_kernel)
    }

    /// The stacks of tasks that no CPU runs.
    pub(crate) fn sleeping_stacks(self) -> impl Iterator<Item = Vec<Frame<'d>>> {
        let sleeps = |stack: &Document<'d>| stack.0.get("on_cpu") == Some(&Value::Bool(false));
        self.array("/stacks").filter(sleeps).map(Document::frames)
    }

    /// The elements of an array, each as what it says in one sentence and the evidence for it.
    pub(crate) fn claims(self, pointer: &str) -> Vec<Claim> {
        self.array(pointer).map(Document::claim).collect()
    }

    fn claim(self) -> Claim {
        if let Some(text) = self.0.as_str() {
            return Claim { title: text.chars().take(MAX_TEXT).collect(), evidence: Vec::new() };
        }
        let word = |name: &str| match self.0.get(name)? {
            Value::String(text) => Some(text.chars().take(MAX_TEXT).collect::<String>()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let words = |names: &[&str]| names.iter().filter_map(|name| word(name)).collect::<Vec<_>>().join(", ");
        let task = || Some(format!("pid {} \"{}\" on CPU {}", word("pid")?, word("comm")?, word("cpu")?));
        let edge = || Some(format!("{}: {}; {}", word("from")?, word("why")?, word("to")?));
        let title = edge()
            .or_else(task)
            .unwrap_or_else(|| words(&["claim", "what", "id", "severity", "summary", "checked", "result"]));
        let line = |evidence: Document<'d>| {
            let at = evidence.text("/address").map(|address| format!(" at {address}")).unwrap_or_default();
            let text = |pointer| evidence.text(pointer).unwrap_or_default();
            format!("{}{at} = {}: {}", text("/what"), text("/value"), text("/meaning"))
        };
        Claim { title, evidence: self.array("/evidence").map(line).collect() }
    }

    /// All stacks, each with whose it is: of a dump by task, of a log by CPU.
    pub(crate) fn stacks(self) -> Vec<(String, Vec<Frame<'d>>)> {
        let number = |of: Document<'d>, name: &str| of.0.get(name).filter(|it| it.is_number()).map(ToString::to_string);
        let title = |of: Document<'d>| {
            let parts = [("CPU", number(of, "cpu")), ("pid", number(of, "pid")), ("", of.text("/comm"))];
            let parts = parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
            parts.collect::<Vec<_>>().join(" ")
        };
        let all = self.array("/stacks").chain(self.array("/cpus"));
        all.map(|of| (title(of), of.frames())).filter(|(_, frames)| !frames.is_empty()).collect()
    }

    fn frames(self) -> Vec<Frame<'d>> {
        let symbol = |frame: Document<'d>| frame.0.get("symbol").and_then(Value::as_str);
        self.array("/frames").filter_map(|frame| Some(Frame { symbol: symbol(frame)? })).collect()
    }

    /// The addresses of all `struct task_struct` that it names: with KASLR and a machine's history, no two crashes have
    /// the same.
    pub(crate) fn tasks(self) -> Vec<&'d str> {
        let task = |stack: Document<'d>| stack.0.get("task").and_then(Value::as_str);
        self.array("/stacks").filter_map(task).collect()
    }
}
