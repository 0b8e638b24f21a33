//! What the lines below a report's first add to it.

use super::text::{between, number_after, task};
use super::{Event, Kind};
use crate::frame::{Location, bracketed_address};

/// More details of one report are not kept.
const MAX_DETAILS: usize = 8;

impl Event {
    /// Takes what a line below the first says of this report. Whether it said anything.
    pub fn absorb(&mut self, text: &str) -> bool {
        let text = text.trim_end();
        match self.kind {
            Kind::RcuStall => self.stalled_line(text.strip_prefix("rcu: ").unwrap_or(text)),
            Kind::HungTask => self.owner(text.trim()),
            Kind::Sanitizer => self.access(text.trim()),
            Kind::Oops => self.old_address(text.trim()),
            Kind::Hardware => self.machine_check_detail(text.trim()),
            Kind::SoftLockup => self.interrupts(text.trim()),
            Kind::IoTimeout => self.answer(text.trim()),
            _ => false,
        }
    }

    fn detail(&mut self, text: &str) -> bool {
        let fits = self.details.len() < MAX_DETAILS && !self.details.iter().any(|known| known == text);
        if fits {
            self.details.push(text.to_owned());
        }
        fits
    }

    /// `INFO: task b:2 blocked on a mutex likely owned by task a:1.`
    fn owner(&mut self, text: &str) -> bool {
        let Some((_, owner)) =
            text.strip_prefix("INFO: task ").and_then(|rest| rest.split_once(" likely owned by task "))
        else {
            return self.last_holder(text);
        };
        let owner = owner.split(" <").next().unwrap_or(owner).trim_end_matches('.');
        match task(owner, ':') {
            Some((comm, pid)) => self.detail(&format!("likely owned by pid {pid} \"{comm}\"")),
            None => false,
        }
    }

    /// `INFO: task b:2 blocked on a semaphore likely last held by task a:1`, since 6.16.
    fn last_holder(&mut self, text: &str) -> bool {
        let held = text.strip_prefix("INFO: task ").and_then(|rest| rest.split_once(" likely last held by task "));
        match held.and_then(|(_, holder)| task(holder.trim_end_matches('.'), ':')) {
            Some((comm, pid)) => self.detail(&format!("likely last held by pid {pid} \"{comm}\"")),
            None => false,
        }
    }

    /// `CPU#28 Detect HardIRQ Time exceeds 50%. Most frequent HardIRQs:`, since 6.9: `kernel/watchdog.c`,
    /// `print_irq_counts()`.
    fn interrupts(&mut self, text: &str) -> bool {
        let Some(percent) = number_after::<u32>(text, " Detect HardIRQ Time exceeds ") else { return false };
        self.detail(&format!("interrupts took more than {percent} % of its time"))
    }

    /// `ata1.00: error: { ABRT }`, below `ata1.00: failed command: …`: the drive did answer, and says why it failed
    /// (`drivers/ata/libata-eh.c`, `ata_eh_link_report()`). One that does not answer has no such line.
    fn answer(&mut self, text: &str) -> bool {
        let of_drive = self.device.as_deref().and_then(|device| text.strip_prefix(device));
        let Some(bits) = of_drive.and_then(|rest| between(rest, ": error: { ", "}")) else { return false };
        if !self.text.contains(": failed command: ") {
            return false;
        }
        self.kind = Kind::IoError;
        self.detail(&format!("the drive answers {}", bits.trim()))
    }

    /// Whether a drive answered that it aborted the command, and nothing of a medium or a cable that failed.
    #[must_use]
    pub fn is_aborted_command(&self) -> bool {
        self.kind == Kind::IoError && self.details.iter().any(|detail| detail == "the drive answers ABRT")
    }

    /// To 4.20 `IP: [<ffffffff824164eb>] demo_ioctl+0x129b/0x2280`.
    fn old_address(&mut self, text: &str) -> bool {
        let Some(at) = text.strip_prefix("IP: ").filter(|_| self.function.is_none()) else { return false };
        let (at, address) = bracketed_address(at.trim_start());
        self.function = Location::parse(at, address).filter(|location| location.symbol.is_some());
        self.function.is_some()
    }

    /// `Read of size 8 at addr ffff8880b7eb57d4 by task demo/6756`
    fn access(&mut self, text: &str) -> bool {
        if !text.starts_with("Read of size ") && !text.starts_with("Write of size ") {
            return false;
        }
        if let Some((comm, pid)) = text.split_once(" by task ").and_then(|(_, who)| task(who, '/')) {
            self.comm = Some(comm.to_owned());
            self.pid = Some(pid);
        }
        self.detail(text)
    }

    /// `mce: [Hardware Error]: Machine check: Processor context corrupt`
    fn machine_check_detail(&mut self, text: &str) -> bool {
        let Some(what) = between(&format!("{text}\n"), "[Hardware Error]: Machine check: ", "\n").map(str::to_owned)
        else {
            return false;
        };
        self.cpus.extend(number_after::<u32>(text, "CPU "));
        self.detail(&what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_owns_the_lock() {
        let mut hung = Event::parse("INFO: task b:2 blocked for more than 120 seconds.").unwrap();
        assert!(hung.absorb("INFO: task b:2 is blocked on a mutex likely owned by task a:1."));
        assert!(hung.absorb("INFO: task b:2 <writer> blocked on an rw-semaphore likely owned by task c d:3 <reader>"));
        assert_eq!(hung.details, ["likely owned by pid 1 \"a\"", "likely owned by pid 3 \"c d\""]);
        assert!(!hung.absorb("      Not tainted 6.1.0 #1"));
        assert!(hung.absorb("INFO: task b:2 blocked on a semaphore likely last held by task a:100"));
        assert_eq!(hung.details.last().unwrap(), "likely last held by pid 100 \"a\"");
        let mut soft = Event::parse("watchdog: BUG: soft lockup - CPU#28 stuck for 23s! [fio:83921]").unwrap();
        assert!(soft.absorb("CPU#28 Detect HardIRQ Time exceeds 50%. Most frequent HardIRQs:"));
        assert_eq!(soft.details, ["interrupts took more than 50 % of its time"]);
    }

    #[test]
    fn a_drive_that_answers_an_error_is_no_silent_one() {
        let failed = || Event::parse("ata1.00: failed command: READ FPDMA QUEUED").unwrap();
        for (answer, is_abort) in [("ABRT", true), ("UNC", false), ("ICRC ABRT", false)] {
            let mut failed = failed();
            assert!(!failed.absorb("ata1.00: status: { DRDY ERR }") && !failed.absorb("ata2.00: error: { ABRT }"));
            assert_eq!((failed.kind, failed.is_aborted_command()), (Kind::IoTimeout, false));
            assert!(failed.absorb(&format!("ata1.00: error: {{ {answer} }}")));
            assert_eq!((failed.kind, failed.is_aborted_command()), (Kind::IoError, is_abort));
        }
        let mut frozen = Event::parse("ata1.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x6 frozen").unwrap();
        assert!(!frozen.absorb("ata1.00: error: { ABRT }"));
    }

    #[test]
    fn which_access_was_wrong() {
        let mut report = Event::parse("BUG: KASAN: slab-use-after-free in f+0x21/0x90").unwrap();
        assert!(report.absorb("Read of size 8 at addr ffff8880b7eb57d4 by task demo/6756"));
        assert_eq!((report.pid, report.comm.as_deref()), (Some(6756), Some("demo")));
    }
}
