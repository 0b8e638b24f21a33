/* What the guest programs share: names, pinning, failing loudly, and the truth. */
#ifndef GUEST_H
#define GUEST_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

#define PAGE ((unsigned long)sysconf(_SC_PAGESIZE))
/* What one table of page-table entries covers: 2 MiB with pages of 4 KiB, 32 MiB with those of 16 KiB. */
#define HUGE (PAGE / 8 * PAGE)

static inline __attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...)
{
	va_list args;
	int error = errno;

	va_start(args, format);
	fprintf(stderr, "guest: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, ": %s\n", strerror(error));
	va_end(args);
	exit(1);
}

static inline pid_t thread_id(void)
{
	return syscall(SYS_gettid);
}

static inline void set_name(const char *name)
{
	prctl(PR_SET_NAME, name);
}

static inline void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot run on cpu %d", cpu);
}

static inline void start_thread(void *(*run)(void *), void *argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, argument))
		die("cannot start a thread");
}

/* Memory for so many huge pages, aligned; huge when the kernel agrees. */
static inline char *map_huge_range(unsigned long huge_pages)
{
	char *area = mmap(NULL, (huge_pages + 1) * HUGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *start;

	if (area == MAP_FAILED)
		die("mmap");
	start = (char *)(((unsigned long)area + HUGE - 1) & ~(HUGE - 1));
	if (madvise(start, huge_pages * HUGE, MADV_HUGEPAGE))
		die("MADV_HUGEPAGE");
	return start;
}

/*
 * The truth goes to a line of its own, so that no kernel message can land in
 * the middle of it, and is complete only when its last byte has left.
 */
static inline FILE *begin_truth(const char *scenario)
{
	struct utsname name;
	FILE *truth = fopen("/dev/truth", "w");

	if (!truth)
		die("/dev/truth");
	uname(&name);
	fprintf(truth, "{\"scenario\": \"%s\", \"release\": \"%s\", \"cpus\": %ld",
		scenario, name.release, sysconf(_SC_NPROCESSORS_ONLN));
	return truth;
}

static inline void end_truth(FILE *truth)
{
	fprintf(truth, "}\n");
	fflush(truth);
	tcdrain(fileno(truth));
	fclose(truth);
}

#endif
