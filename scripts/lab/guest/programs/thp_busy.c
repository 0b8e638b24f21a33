/*
 * Splits and faults huge pages as hard as it can, but gets ahead: what an analyzer
 * must not take for the livelock. Each process has one thread that splits its huge page
 * by freeing parts of it, and one that stats files into the same page. There are more
 * of them than CPUs, so that some lose their CPU in the middle of a split.
 */
#include "guest.h"

#define PROCESSES_PER_CPU 2
#define HUGE_PAGES 8

static char *area;

static void *stat_for_ever(void *argument)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	(void)argument;
	set_name("stat");
	for (unsigned long page = 0;; page = (page + 37) % (HUGE_PAGES * (HUGE / PAGE)))
		syscall(SYS_fstat, fd, area + page * PAGE + 0x40);
	return NULL;
}

/* Only where there is not even a page table does a fault bring in a huge page. */
static void map_anew(void)
{
	if (mmap(area, HUGE_PAGES * HUGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap");
	madvise(area, HUGE_PAGES * HUGE, MADV_HUGEPAGE);
}

static void split_for_ever(void)
{
	set_name("split");
	area = map_huge_range(HUGE_PAGES);
	start_thread(stat_for_ever, NULL);
	for (;; map_anew()) {
		for (char *huge = area; huge < area + HUGE_PAGES * HUGE; huge += HUGE) {
			huge[0] = 1;
			madvise(huge + HUGE / 2, 4 * PAGE, MADV_FREE);
		}
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
