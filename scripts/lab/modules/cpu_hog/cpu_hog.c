// SPDX-License-Identifier: GPL-2.0
/*
 * A driver that never comes back: whoever writes to
 * /sys/module/cpu_hog/parameters/hog spins in the kernel with preemption off. The
 * plainest soft lockup there is, and nothing to do with memory.
 */
#define pr_fmt(fmt) "cpu_hog: " fmt

#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sched.h>

static bool release_cpu;

static noinline void spin_for_ever(void)
{
	preempt_disable();
	while (!READ_ONCE(release_cpu))
		cpu_relax();
	preempt_enable();
}

static int hog(const char *text, const struct kernel_param *param)
{
	pr_info("pid %d spins on cpu %d\n", current->pid, raw_smp_processor_id());
	spin_for_ever();
	return 0;
}

static const struct kernel_param_ops hog_ops = { .set = hog };
module_param_cb(hog, &hog_ops, NULL, 0200);

static int __init cpu_hog_init(void)
{
	return 0;
}

static void __exit cpu_hog_exit(void)
{
}

module_init(cpu_hog_init);
module_exit(cpu_hog_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Locks up the CPU it is asked on");
