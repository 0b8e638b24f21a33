//! CPUs that spin in a circle, each for a lock that the next one has: a deadlock of spin locks.

use crate::describe::{few, on_cpu};
use crate::interrupts::interrupts_off;
use crate::{Confidence, Facts, HolderFound, Spin};

/// The CPUs of the circle that leads from `cpu` back to it, over locks of which only one CPU can be the holder.
pub(super) fn of(spins: &[Spin], cpu: u32) -> Option<Vec<u32>> {
    let holder_for = |cpu: u32| match spins.iter().find(|spin| spin.cpu == cpu)?.holders.as_slice() {
        [holder] => Some(holder.cpu),
        _ => None,
    };
    let mut circle = vec![cpu];
    while circle.len() <= spins.len() {
        let next = holder_for(*circle.last()?)?;
        if next == cpu {
            return Some(circle);
        }
        circle.push(next);
    }
    None
}

/// How sure it is that a circle is one that stays. Where a lock says who has it, it is; that its address is at hand on a CPU that spins
/// for another lock may be left over from before. With interrupts off on all of them, nothing comes in between.
pub(super) fn confidence(facts: &Facts<'_>, circle: &[u32]) -> Confidence {
    let spins = || facts.state.spins.iter().filter(|spin| circle.contains(&spin.cpu));
    let recorded = |spin: &Spin| spin.holders.iter().all(|holder| holder.found == HolderFound::Recorded);
    if spins().all(recorded) {
        return Confidence::Confirmed;
    }
    let off = circle.iter().all(|&cpu| interrupts_off(facts, cpu));
    if off { Confidence::Probable } else { Confidence::Possible }
}

/// A clause about the circle.
pub(super) fn words(facts: &Facts<'_>, circle: &[u32]) -> String {
    let [first, ..] = circle else { return String::new() };
    if circle.len() == 1 {
        return format!("; {} waits for itself: a deadlock", on_cpu(facts, *first));
    }
    let mut cpus = circle.to_vec();
    cpus.sort_unstable();
    let cpus = few(cpus.iter().map(|cpu| format!("CPU {cpu}")), ", ");
    match confidence(facts, circle) {
        Confidence::Possible => format!("; {cpus} may be waiting for one another in a circle, a deadlock"),
        _ => format!("; {cpus} wait for one another in a circle: a deadlock"),
    }
}

#[cfg(test)]
mod tests {
    use vmcore_kernel::SpinLockWord;
    use vmcore_memory::VirtAddr;

    use super::*;
    use crate::{Holder, SpunFor};

    fn spin(cpu: u32, holders: &[u32]) -> Spin {
        let holder = |&cpu: &u32| Holder { cpu, found: HolderFound::Recorded };
        Spin {
            cpu,
            lock: VirtAddr::new(u64::from(cpu)),
            word: SpunFor::Spin(SpinLockWord(1)),
            polled: VirtAddr::new(0),
            node: None,
            behind: None,
            holders: holders.iter().map(holder).collect(),
        }
    }

    #[test]
    fn a_circle_leads_back_to_where_it_begins() {
        let spins = [spin(0, &[2]), spin(2, &[5]), spin(5, &[0]), spin(6, &[0]), spin(7, &[1]), spin(8, &[8])];
        assert_eq!(of(&spins, 2), Some(vec![2, 5, 0]));
        assert_eq!(of(&spins, 8), Some(vec![8]));
        for outside in [6, 7, 9] {
            assert_eq!(of(&spins, outside), None, "{outside}");
        }
        let unsure = [spin(0, &[1, 2]), spin(1, &[0])];
        assert_eq!(of(&unsure, 0), None, "it may be another that has it");
    }
}
