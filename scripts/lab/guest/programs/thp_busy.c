/*
 * Splits and faults huge pages as hard as it can, but gets ahead: what an analyzer
 * must not take for the livelock. Each process has one thread that splits its huge page
 * by freeing parts of it, and one that stats files into the same page. There are more
 * of them than CPUs, so that some lose their CPU in the middle of a split.
 */
#include "guest.h"

#define PROCESSES_PER_CPU 2

static char *huge;

static void *stat_for_ever(void *argument)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	(void)argument;
	set_name("stat");
	for (unsigned long page = 0;; page = (page + 37) % 512)
		syscall(SYS_fstat, fd, huge + page * PAGE + 0x40);
	return NULL;
}

static void split_for_ever(void)
{
	set_name("split");
	huge = map_huge_range();
	start_thread(stat_for_ever, NULL);
	for (;;) {
		/* Giving all of it back lets the next touch get a huge page again. */
		madvise(huge, HUGE, MADV_DONTNEED);
		huge[0] = 1;
		madvise(huge + HUGE / 2, 4 * PAGE, MADV_FREE);
	}
}

int main(void)
{
	long processes = sysconf(_SC_NPROCESSORS_ONLN) * PROCESSES_PER_CPU;

	set_name("thp-busy");
	for (long i = 0; i < processes; i++)
		if (!fork())
			split_for_ever();
	pause();
}
