//! Code in which a CPU runs a guest of KVM.

use vmcore_console::base_name;
use vmcore_kernel::{Stack, StackFrame};

/// Functions that enter a guest of KVM and come back when it stops, and those in which an interrupt that stopped it is taken.
///
/// Source: `arch/x86/kvm/x86.c`, `vmx/vmx.c`, `vmx/vmenter.S`, `vmx/tdx.c`, `svm/svm.c`, `svm/vmenter.S`, `arch/x86/entry/common.c`,
/// `entry.S`, `entry_64_fred.S`, `arch/arm64/kvm/arm.c`, `hyp/vhe/switch.c`.
const IN_GUEST: [&str; 30] = [
    "vcpu_enter_guest",
    // Callers that the compiler merges the entry into.
    "vcpu_run",
    "kvm_arch_vcpu_ioctl_run",
    "vmx_vcpu_run",
    "__vmx_vcpu_run",
    "vmx_vcpu_enter_exit",
    "tdx_vcpu_run",
    "tdx_vcpu_enter_exit",
    "svm_vcpu_run",
    "__svm_vcpu_run",
    "__svm_sev_es_vcpu_run",
    "svm_vcpu_enter_exit",
    "vmx_handle_exit_irqoff",
    "vmx_handle_external_intr",
    "handle_external_interrupt_irqoff",
    // 7.2, where interrupts, and NMIs on CPUs with FRED, come in as if by FRED; 6.9, with FRED; before.
    "x86_entry_from_kvm",
    "idt_do_nmi_irqoff",
    "idt_do_interrupt_irqoff",
    "asm_fred_entry_from_kvm",
    "__fred_entry_from_kvm",
    "vmx_do_interrupt_nmi_irqoff",
    "vmx_do_interrupt_irqoff",
    "vmx_do_nmi_irqoff",
    "vmx_handle_nmi",
    "kvm_arm_vcpu_enter_exit",
    "kvm_vcpu_run_vhe",
    "__kvm_vcpu_run_vhe",
    "__kvm_vcpu_run",
    "__kvm_call_hyp",
    "__guest_enter",
];

/// Whether a CPU runs a guest, which it does for as long as the guest likes: the innermost code that it ran itself enters one.
/// What KVM does between two runs is kernel code like any other.
pub(crate) fn runs_guest(stack: &Stack, own_frame: usize) -> bool {
    let enters = |name: &str| IN_GUEST.contains(&base_name(name));
    stack.frames.get(own_frame).and_then(StackFrame::function).is_some_and(enters)
}

/// The code that takes, on the stack of KVM, what stopped the guest: it is called, so that no table of the unwinder says that
/// registers were saved there.
pub(super) fn is_called_entry(function: &str) -> bool {
    base_name(function) == "asm_fred_entry_from_kvm"
}
