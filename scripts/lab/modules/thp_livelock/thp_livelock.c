// SPDX-License-Identifier: GPL-2.0
/*
 * Brings back, on a fixed kernel, the livelock between a task that splits a
 * transparent huge page and threads that fault on it in kernel mode.
 *
 * The bug had three ingredients. The kernel under test still has the code paths but
 * not the accidents, so this module supplies them, through ftrace, for one armed
 * process only:
 *
 *  1. migration_entry_wait() came back at once for a tail page (it looked at the tail's
 *     reference count, which is always 0). Waiting on the head page worked, so here
 *     too only the tails' waits are cut short.
 *  2. A waiter's reference on the head page made the split fail and roll back. Here the
 *     reference is taken when the split starts to unmap the page.
 *  3. In the roll back the splitter came across a cond_resched() when its time was up.
 *     Here its time is made to be up once all the other CPUs spin.
 *
 * The module leaves no frame of its own on the splitter's stack: the kernel's own
 * cond_resched() switches it out. It is armed with
 *
 *     echo "START SPINNERS" > /sys/module/thp_livelock/parameters/arm
 *
 * by the splitter itself, with the address of its huge page and the number of threads
 * that will spin; "0 0" disarms.
 */
#define pr_fmt(fmt) "thp_livelock: " fmt

#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/page_ref.h>
#include <linux/sched.h>
#include <linux/version.h>

#define WAIT_FOR_SPINNERS_MS 4000
#define RUN_AHEAD_MS 40

static struct task_struct *splitter;
static struct mm_struct *armed_mm;
static unsigned long huge_start;
static unsigned int spinners_wanted;
static bool reference_taken;
static struct cpumask spinning_cpus;

static noinline notrace void return_at_once(void)
{
}

static bool is_tail_address(unsigned long address)
{
	return address >= huge_start + PAGE_SIZE &&
	       address < huge_start + HPAGE_PMD_SIZE;
}

static void report_spinner(unsigned long address)
{
	int cpu = raw_smp_processor_id();

	if (!cpumask_test_and_set_cpu(cpu, &spinning_cpus))
		pr_info("spinner pid %d cpu %d address %#lx\n",
			current->pid, cpu, address);
}

/*
 * What a hook sees of its function's call: all registers, or, on machines whose ftrace saves no more (arm64 since
 * 6.2), the arguments and where to go on.
 */
#ifdef CONFIG_DYNAMIC_FTRACE_WITH_REGS
struct call {
	struct pt_regs *regs;
};

#ifdef CONFIG_ARM64
#define argument(call, number) ((call)->regs->regs[number])
#define go_on_at(call, function) ((call)->regs->pc = (unsigned long)(function))
#else
#define argument_0(regs) ((regs)->di)
#define argument_2(regs) ((regs)->dx)
#define argument(call, number) (argument_##number((call)->regs))
#define go_on_at(call, function) ((call)->regs->ip = (unsigned long)(function))
#endif
#define NEEDS FTRACE_OPS_FL_SAVE_REGS
#else
struct call {
	struct ftrace_regs *regs;
};

#define argument(call, number) (ftrace_regs_get_argument((call)->regs, number))
#define go_on_at(call, function) ftrace_regs_set_instruction_pointer((call)->regs, (unsigned long)(function))
#define NEEDS 0
#endif

/* migration_entry_wait(mm, pmd, address) */
static void notrace on_wait(const struct call *call)
{
	unsigned long address = argument(call, 2);

	if (current == splitter || !is_tail_address(address))
		return;
	report_spinner(address);
	go_on_at(call, return_at_once);
}

/* try_to_migrate(page or folio, flags) */
static void notrace on_unmap(const struct call *call)
{
	if (current != splitter || reference_taken)
		return;
	reference_taken = true;
	page_ref_inc((struct page *)argument(call, 0));
}

/*
 * remove_migration_ptes(old, new, locked)
 *
 * Running on for a while after the others spin puts the splitter behind the spinner
 * that is queued on this very CPU, in the scheduler's account of who is due.
 */
static void notrace on_roll_back(const struct call *call)
{
	unsigned int waited;

	if (current != splitter)
		return;
	for (waited = 0; waited < WAIT_FOR_SPINNERS_MS; waited++) {
		if (cpumask_weight(&spinning_cpus) + 1 >= spinners_wanted)
			break;
		mdelay(1);
	}
	mdelay(RUN_AHEAD_MS);
	set_tsk_need_resched(current);
	set_preempt_need_resched();
}

struct hook {
	const char *function;
	void (*handler)(const struct call *call);
	struct ftrace_ops ops;
};

#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
static void notrace dispatch(unsigned long ip, unsigned long parent_ip,
			     struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
#ifdef CONFIG_DYNAMIC_FTRACE_WITH_REGS
	struct call call = { ftrace_get_regs(fregs) };
#else
	struct call call = { fregs };
#endif
#else
static void notrace dispatch(unsigned long ip, unsigned long parent_ip,
			     struct ftrace_ops *ops, struct pt_regs *regs)
{
	struct call call = { regs };
#endif
	struct hook *hook = container_of(ops, struct hook, ops);
	struct mm_struct *mm = READ_ONCE(armed_mm);

	if (call.regs && mm && current->mm == mm)
		hook->handler(&call);
}

static struct hook hooks[] = {
	{ "migration_entry_wait", on_wait,
	  { .func = dispatch, .flags = NEEDS | FTRACE_OPS_FL_IPMODIFY } },
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 14, 0)
	{ "try_to_migrate", on_unmap,
#else
	{ "try_to_unmap", on_unmap,
#endif
	  { .func = dispatch, .flags = NEEDS } },
	{ "remove_migration_ptes", on_roll_back,
	  { .func = dispatch, .flags = NEEDS } },
};

static int arm(const char *text, const struct kernel_param *param)
{
	unsigned long start;
	unsigned int spinners;

	if (sscanf(text, "%li %u", &start, &spinners) != 2)
		return -EINVAL;
	WRITE_ONCE(armed_mm, NULL);
	cpumask_clear(&spinning_cpus);
	reference_taken = false;
	splitter = current;
	huge_start = start;
	spinners_wanted = spinners;
	smp_wmb(); /* the hooks look at armed_mm first */
	WRITE_ONCE(armed_mm, start ? current->mm : NULL);
	return 0;
}

static const struct kernel_param_ops arm_ops = { .set = arm };
module_param_cb(arm, &arm_ops, NULL, 0200);

static void unhook(unsigned int count)
{
	while (count--)
		unregister_ftrace_function(&hooks[count].ops);
}

static int __init thp_livelock_init(void)
{
	unsigned int i;
	int error;

	for (i = 0; i < ARRAY_SIZE(hooks); i++) {
		error = ftrace_set_filter(&hooks[i].ops, (char *)hooks[i].function,
					  strlen(hooks[i].function), 1);
		if (!error)
			error = register_ftrace_function(&hooks[i].ops);
		if (error) {
			pr_err("cannot hook %s: %d\n", hooks[i].function, error);
			unhook(i);
			return error;
		}
	}
	return 0;
}

static void __exit thp_livelock_exit(void)
{
	unhook(ARRAY_SIZE(hooks));
}

module_init(thp_livelock_init);
module_exit(thp_livelock_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Livelock between a huge page split and kernel-mode faults");
