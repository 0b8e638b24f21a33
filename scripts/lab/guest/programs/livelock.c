/*
 * The user side of the livelock: one thread per CPU stats a file into its own page of
 * one huge page, some more into the head page and other tails, and one thread splits
 * the huge page by freeing a part of it. Needs the module thp_livelock.
 *
 * usage: livelock [--fifo | --patched]
 *
 * --fifo: the statting threads are real-time threads. For kernels that cannot be
 * told not to preempt kernel code: there a spinner must outrank the splitter.
 * --patched: the same without the module: the host writes into the kernel's code, and
 * says so in a file of /proc (lib/gdbstub.py).
 */
#include "guest.h"

#include <sys/stat.h>

#define ARM "/sys/module/thp_livelock/parameters/arm"
#define PATCHED "/proc/sys/kernel/print-fatal-signals"
#define MAX_CPUS 64
#define HEAD_WAITERS 2

struct thread {
	char name[16];
	int cpu;		/* -1: wherever it likes */
	char *buffer;
	volatile pid_t pid;
	volatile unsigned long calls;
};

static struct thread spinners[MAX_CPUS], waiters[HEAD_WAITERS];
static int cpus;
static char *huge;
static int use_fifo, is_patched;

static void become_fifo(void)
{
	struct sched_param priority = { .sched_priority = 10 };

	if (sched_setscheduler(0, SCHED_FIFO, &priority))
		die("SCHED_FIFO");
}

static void *stat_for_ever(void *argument)
{
	struct thread *me = argument;
	int fd = open("/proc/self/exe", O_RDONLY);

	if (fd < 0)
		die("/proc/self/exe");
	set_name(me->name);
	if (me->cpu >= 0)
		pin_to(me->cpu);
	if (use_fifo && me->cpu >= 0)
		become_fifo();
	me->pid = thread_id();
	for (;;) {
		/* Not the C library's fstat(): that one may use another system call. */
		syscall(SYS_fstat, fd, me->buffer);
		me->calls++;
		/* A real-time thread must let the splitter get as far as splitting. */
		if (use_fifo)
			usleep(1000);
	}
	return NULL;
}

static void start(struct thread *thread, const char *kind, int number, int cpu, unsigned long offset)
{
	snprintf(thread->name, sizeof(thread->name), "%s/%d", kind, number);
	thread->cpu = cpu;
	thread->buffer = huge + offset;
	start_thread(stat_for_ever, thread);
}

static void wait_until_running(const struct thread *thread)
{
	while (thread->calls < 3)
		usleep(1000);
}

static void print_thread(FILE *truth, const struct thread *thread)
{
	fprintf(truth,
		"{\"pid\": %d, \"tgid\": %d, \"comm\": \"%s\", \"cpu\": %d, \"address\": \"%#lx\", \"length\": %zu}",
		thread->pid, getpid(), thread->name, thread->cpu, (unsigned long)thread->buffer,
		sizeof(struct stat));
}

static void print_truth(int splitter_cpu)
{
	FILE *truth = begin_truth("thp-livelock");

	fprintf(truth, ", \"real_time\": %s, \"patched\": %s", use_fifo ? "true" : "false",
		is_patched ? "true" : "false");
	fprintf(truth, ", \"huge_page\": {\"start\": \"%#lx\", \"end\": \"%#lx\"}",
		(unsigned long)huge, (unsigned long)huge + HUGE);
	fprintf(truth, ", \"spinners\": [");
	for (int i = 0; i < cpus; i++) {
		fprintf(truth, i ? ", " : "");
		print_thread(truth, &spinners[i]);
	}
	/* They touch the head page too, but sleep there, or wait for a CPU. */
	fprintf(truth, "], \"head_waiters\": [");
	for (int i = 0; i < HEAD_WAITERS; i++) {
		fprintf(truth, i ? ", " : "");
		print_thread(truth, &waiters[i]);
	}
	fprintf(truth, "], \"splitter\": {\"pid\": %d, \"tgid\": %d, \"comm\": \"splitter\", \"cpu\": %d}",
		thread_id(), getpid(), splitter_cpu);
	end_truth(truth);
}

static void arm(void)
{
	FILE *file = fopen(ARM, "w");

	if (!file || fprintf(file, "%#lx %d", (unsigned long)huge, cpus) < 0 || fclose(file))
		die(ARM);
}

static void wait_for_the_patch(void)
{
	int patched = 0;

	while (!patched) {
		FILE *file = fopen(PATCHED, "r");

		if (!file || fscanf(file, "%d", &patched) != 1)
			die(PATCHED);
		fclose(file);
		usleep(10000);
	}
}

static int is_huge(void)
{
	char line[256];
	unsigned long total = 0, size;
	FILE *smaps = fopen("/proc/self/smaps", "r");

	while (fgets(line, sizeof(line), smaps))
		if (sscanf(line, "AnonHugePages: %lu kB", &size) == 1)
			total += size;
	fclose(smaps);
	return total >= HUGE / 1024;
}

int main(int argc, char **argv)
{
	int splitter_cpu;

	is_patched = argc > 1 && !strcmp(argv[1], "--patched");
	use_fifo = is_patched || (argc > 1 && !strcmp(argv[1], "--fifo"));
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	splitter_cpu = cpus - 1;
	if (cpus > MAX_CPUS)
		die("too many cpus");

	set_name("splitter");
	pin_to(splitter_cpu);
	huge = map_huge_range(1);
	memset(huge, 1, HUGE);
	if (!is_huge())
		die("no huge page");

	for (int i = 0; i < HEAD_WAITERS; i++)
		start(&waiters[i], "headstat", i, -1, 0x80 + 0x100 * i);
	for (int i = 0; i < cpus; i++)
		start(&spinners[i], "fstat", i, i, (3 + 5 * i) * PAGE + 0x140);
	for (int i = 0; i < HEAD_WAITERS; i++)
		wait_until_running(&waiters[i]);
	for (int i = 0; i < cpus; i++)
		wait_until_running(&spinners[i]);

	print_truth(splitter_cpu);
	if (is_patched)
		wait_for_the_patch();
	else
		arm();
	if (madvise(huge, HUGE, MADV_NOHUGEPAGE))
		die("MADV_NOHUGEPAGE");
	if (madvise(huge + HUGE / 2, 4 * PAGE, MADV_FREE))
		die("MADV_FREE");

	errno = 0;
	die("the split went through: no livelock");
}
